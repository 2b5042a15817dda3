//! What an operator does with a service beside calling it: asks whether it is ready, checks a configuration before it
//! is used, and has a running service take up a new certificate.
#![allow(clippy::disallowed_methods, reason = "whoever calls from outside goes by the time of day")]
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::program::{Process, ended, program, program_with_key, text};
use rustix::process::Signal;
use tongguan_pki::{Ca, KeySpec, PrivateKey, Subject, Usage, create_csr};

const KEY: &str = "LTAIoperating";
const SECRET: &str = "a secret of the operating tests";

fn secret_file(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Puts a certificate of a new CA and its key where the service reads them; the CA's is beside them.
fn certify(directory: &Path, ca_file: &str) {
    let subject = |name: &str| Subject::parse(&format!("CN={name},OU=t,O=t,C=CN")).unwrap();
    let now = jiff::Timestamp::now().as_second();
    let ca = Ca::new(KeySpec::EcP256, &subject(ca_file), now - 60, now + 86_400).unwrap();
    let key = PrivateKey::generate(KeySpec::EcP256).unwrap();
    let csr = create_csr(&key, &subject("localhost"), &["localhost".to_owned()]).unwrap();
    let leaf = ca.issue(&csr, Usage::Tls, now - 60, now + 86_400).unwrap();
    std::fs::write(directory.join("tls.pem"), leaf.to_pem()).unwrap();
    secret_file(&directory.join("tls.key"), &key.to_pkcs8_pem().unwrap());
    std::fs::write(directory.join(ca_file), ca.certificate().to_pem()).unwrap();
}

fn configure(directory: &Path, log: &str) {
    let config = format!("tls_cert = 'tls.pem'\ntls_key = 'tls.key'\nlog = '{log}'\n");
    std::fs::write(directory.join("tongguan.toml"), config).unwrap();
}

/// Whether a caller who trusts this CA alone is answered.
fn call(service: &Process, directory: &Path, ca_file: &str) -> Output {
    let port = service.endpoint.rsplit_once(':').unwrap().1;
    let endpoint = format!("https://localhost:{port}");
    let words = ["call", "Sts", "GetCallerIdentity", "--endpoint", &endpoint, "--ca", ca_file];
    program_with_key(&words, KEY, SECRET).current_dir(directory).output().unwrap()
}

/// Waits until the service has logged this so often.
fn logged(service: &Process, what: &str, times: usize) -> String {
    let begun = Instant::now();
    loop {
        let log = service.logged();
        if log.matches(what).count() >= times {
            return log;
        }
        assert!(begun.elapsed() < PATIENCE, "{what:?} is never logged: {log}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn told_to_reload_it_takes_up_certificate_and_log_level_or_nothing() {
    const TAKEN_UP: &str = "read anew";
    const NOTHING: &str = "nothing was taken up anew";
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    certify(place, "first.pem");
    configure(place, "info");
    let words = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--config", "tongguan.toml"];
    let mut command = program_with_key(&words, KEY, SECRET);
    command.current_dir(place);
    let service = Process::start(command);
    assert!(call(&service, place, "first.pem").status.success());
    assert!(!service.logged().contains("tongguan::request"), "{}", service.logged());

    certify(place, "second.pem");
    configure(place, "info,tongguan::request=debug");
    service.signal(Signal::HUP);
    logged(&service, TAKEN_UP, 1);
    let output = call(&service, place, "second.pem");
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(call(&service, place, "first.pem").status.code(), Some(3));
    logged(&service, "tongguan::request", 1);

    // A file that is wrong changes nothing, and is named; nor does a key without its certificate.
    configure(place, "info,=debug=");
    service.signal(Signal::HUP);
    assert!(logged(&service, NOTHING, 1).contains("TONGGUAN_LOG"));
    configure(place, "info");
    let other = PrivateKey::generate(KeySpec::EcP256).unwrap();
    secret_file(&place.join("tls.key"), &other.to_pkcs8_pem().unwrap());
    service.signal(Signal::HUP);
    logged(&service, NOTHING, 2);
    std::fs::remove_file(place.join("tls.key")).unwrap();
    service.signal(Signal::HUP);
    assert!(logged(&service, NOTHING, 3).contains("tls.key"));
    let lines = service.logged().matches("tongguan::request").count();
    assert!(call(&service, place, "second.pem").status.success());
    logged(&service, "tongguan::request", lines + 1);
    assert!(service.stop().success());
}

#[test]
fn a_service_says_whether_it_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let serve = |admin: &str| {
        let words = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", admin, "--data-dir", "data"];
        let mut command = program_with_key(&words, KEY, SECRET);
        command.current_dir(directory.path());
        Process::start(command)
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ready = |more: &[&str]| {
        let mut command = program(&["ready", "--url", &free]);
        command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut nobody = ready(&[]);
    assert_eq!(ended(&mut nobody).code(), Some(3));
    let said = text(&nobody.wait_with_output().unwrap());
    assert!(said.contains(&format!("cannot connect to http://{free}")), "{said}");
    // Whoever waits is told when it has come.
    let mut waiting = ready(&["--wait", "30s"]);
    let service = serve(&free);
    assert_eq!(ended(&mut waiting).code(), Some(0));
    assert_eq!(text(&waiting.wait_with_output().unwrap()), "ready\n");
    // The listener of the API is no admin listener.
    let other = program(&["ready", "--url", &service.endpoint]).output().unwrap();
    assert_eq!(other.status.code(), Some(3), "{}", text(&other));
    assert!(text(&other).contains("this is not an admin listener"), "{}", text(&other));
    for wrong in ["", "ftp://x", "http://h/readyz"] {
        let output = program(&["ready", "--url", wrong]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}: {}", text(&output));
    }
    assert!(service.stop().success());
}

#[test]
fn a_configuration_is_checked_and_nothing_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let check = |more: &[&str]| {
        let mut command = program(&["serve", "--check"]);
        let output = command.args(more).current_dir(place).output().unwrap();
        (output.status.code(), text(&output))
    };
    let (code, said) = check(&[]);
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "The configuration is right: http://127.0.0.1:8080, data in `data`.\n")
    );
    certify(place, "ca.pem");
    configure(place, "info");
    assert_eq!(check(&["--config", "tongguan.toml"]).0, Some(0));
    let before: Vec<_> = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(before.len(), 4, "{before:?}");
    let principal = "[[principal]]\naccount_id = '1234567890123456'\naccess_key_id = 'k'\n";
    for (config, named) in [
        ("lisen = 'x'\n".to_owned(), "lisen"),
        ("log = 'a=b=c'\n".to_owned(), "--log"),
        ("access_key_id = 'k'\n".to_owned(), "access_key_secret"),
        ("tls_cert = 'none.pem'\ntls_key = 'tls.key'\n".to_owned(), "none.pem"),
        (format!("{principal}rsa_public_key_file = 'none.pem'\n"), "none.pem"),
        (format!("{principal}access_key_secret = 's'\nuser_name = 'u'\npolicies = ['None']\n"), "`None`"),
    ] {
        secret_file(&place.join("tongguan.toml"), &config);
        let (code, said) = check(&["--config", "tongguan.toml"]);
        assert_eq!(code, Some(78), "{config}: {said}");
        assert!(said.contains(named), "{config}: {said}");
    }
    // A directory of somebody else's is no data directory.
    std::fs::create_dir(place.join("theirs")).unwrap();
    std::fs::write(place.join("theirs/letter.txt"), "").unwrap();
    assert_eq!(check(&["--data-dir", "theirs"]).0, Some(78));
    assert!(!place.join("data").exists());
}
