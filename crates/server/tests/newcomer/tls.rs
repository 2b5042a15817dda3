//! Certificates as people have them: one that signed itself, one of a small CA, one that is for another host
//! or too old.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::common::program::text;
use super::{KEY, Process, SECRET, program_with_key, serve};

/// Certificate and key of that name, copied for their owner alone.
fn place(directory: &Path, name: &str) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/newcomer/tls");
    for ending in ["pem", "key"] {
        let (from, to) = (kept.join(format!("{name}.{ending}")), directory.join(format!("{name}.{ending}")));
        if from.exists() {
            std::fs::copy(from, &to).unwrap();
            std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn serving(directory: &Path, name: &str) -> Process {
    place(directory, name);
    let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
    serve(directory, &["--tls-cert", &certificate, "--tls-key", &key])
}

fn call(directory: &Path, service: &Process, more: &[&str], file: Option<&str>) -> (Option<i32>, String) {
    let endpoint = format!("https://{}", service.endpoint);
    let mut command =
        program_with_key(&["call", "Sts", "GetCallerIdentity", "--endpoint", &endpoint], KEY, SECRET);
    command.args(more).current_dir(directory).env_remove("SSL_CERT_DIR");
    match file {
        Some(file) => command.env("SSL_CERT_FILE", file),
        None => command.env_remove("SSL_CERT_FILE"),
    };
    let output = command.output().unwrap();
    (output.status.code(), text(&output))
}

#[test]
fn a_certificate_that_signed_itself_is_taken_where_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let service = serving(directory.path(), "self-signed");
    assert!(service.logged().contains("CA:TRUE"), "{}", service.logged());
    let (code, said) = call(directory.path(), &service, &["--ca", "self-signed.pem"], None);
    assert_eq!(code, Some(0), "{said}");
    // Where nothing says that it is the server's own, what to do is said.
    let (code, said) = call(directory.path(), &service, &[], Some("self-signed.pem"));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("--ca FILE") && said.contains("CA:FALSE"), "{said}");
    place(directory.path(), "ca");
    let (code, said) = call(directory.path(), &service, &["--ca", "ca.pem"], None);
    assert!(code == Some(3) && said.contains("--ca FILE"), "{said}");
    assert!(service.stop().success());
}

#[test]
fn a_certificate_of_a_small_ca_is_taken_and_not_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let service = serving(directory.path(), "leaf");
    assert!(!service.logged().contains("certificate"), "{}", service.logged());
    place(directory.path(), "ca");
    for (more, file) in [(&["--ca", "ca.pem"][..], None), (&[], Some("ca.pem"))] {
        let (code, said) = call(directory.path(), &service, more, file);
        assert_eq!(code, Some(0), "{said}");
    }
    place(directory.path(), "self-signed");
    let (code, said) = call(directory.path(), &service, &["--ca", "self-signed.pem"], None);
    assert!(code == Some(3) && said.contains("--ca FILE"), "{said}");
    for (file, part) in [("nowhere.pem", "nowhere.pem"), ("leaf.key", "holds no certificate")] {
        let (code, said) = call(directory.path(), &service, &["--ca", file], None);
        assert!(code == Some(2) && said.contains(part), "{said}");
    }
    assert!(service.stop().success());
}

/// To be given is not to be believed: the host and the time are looked at all the same.
#[test]
fn a_given_certificate_must_be_for_the_host_and_in_time() {
    for (name, part) in [("elsewhere", "subjectAltName"), ("expired", "xpired")] {
        let directory = tempfile::tempdir().unwrap();
        let service = serving(directory.path(), name);
        let (code, said) = call(directory.path(), &service, &["--ca", &format!("{name}.pem")], None);
        assert_eq!(code, Some(3), "{name}: {said}");
        assert!(said.contains(part), "{name}: {said}");
        assert!(service.stop().success());
    }
}
