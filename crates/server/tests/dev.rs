//! `tongguan dev`, `tongguan ca` and `tongguan call --wait`: what somebody uses who tests against the service.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::program::{Process, ended, program, program_with_key, signal, text};
use rustix::process::Signal;
use serde_json::Value;
use tongguan_testkit::dev::{Dev, place};

/// The names in a directory.
fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_known_key_changes_at_once_and_nothing_is_left() {
    let (directory, temporary) = place();
    let env_file = directory.path().join("dev.env");
    for end in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut dev = Dev::start(&temporary, &["--env-file", "dev.env"]);
        assert_eq!(dev.of("accessKeyId"), "tongguan-dev");
        let vpc = dev.answer("Vpc CreateVpc")["VpcId"].as_str().unwrap().to_owned();
        dev.answer(&format!("Vpc DescribeVpcAttribute --VpcId {vpc} --wait Status=Available --timeout 20s"));
        // A shell with the file has all that it needs.
        let script = "set -eu; . ./dev.env; tongguan call Sts GetCallerIdentity --endpoint \"$TONGGUAN_ENDPOINT\"; \
                      tongguan ready; test -s \"$TONGGUAN_CA_DIR/ca.pem\"";
        let own = Path::new(env!("CARGO_BIN_EXE_tongguan")).parent().unwrap();
        let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(directory.path()).env_clear().env("PATH", path);
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains("1234567890123456"), "{}", text(&output));
        assert!(!entries(&temporary).is_empty());
        signal(&dev.child, end);
        assert_eq!(ended(&mut dev.child).code(), Some(0));
        assert_eq!(entries(&temporary), Vec::<String>::new(), "{end:?}");
        assert!(!env_file.exists());
    }
}

#[test]
fn it_ends_with_the_test_that_started_it() {
    let (_directory, temporary) = place();
    let mut command = Dev::command(&temporary, &["--until-eof"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with('{'), "{line}");
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    assert_eq!(ended(&mut child).code(), Some(0));
    assert_eq!(entries(&temporary), Vec::<String>::new());
}

#[test]
fn what_it_prints_is_for_a_shell() {
    let (_directory, temporary) = place();
    let mut command = program(&["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.env("TMPDIR", &temporary).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    while !said.contains("TONGGUAN_CA_DIR") {
        assert_ne!(out.read_line(&mut said).unwrap(), 0, "{said}");
    }
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("# "), "{said}");
    assert!(lines[1..].iter().all(|line| line.starts_with("export ")), "{said}");
    for name in [
        "ALIBABA_CLOUD_ACCESS_KEY_ID='tongguan-dev'",
        "TONGGUAN_ENDPOINT='127.0.0.1:",
        "TONGGUAN_ADMIN_URL='http://",
    ] {
        assert!(said.contains(name), "{name}: {said}");
    }
    signal(&child, Signal::TERM);
    assert_eq!(ended(&mut child).code(), Some(0));
    // The key that everybody knows is for the loopback address.
    let dev = Dev::start(&temporary, &[]);
    assert_eq!(dev.of("accessKeySecret"), "tongguan-dev-secret");
    dev.stop();
    let mut command = program(&["dev", "--json", "--listen", "0.0.0.0:0", "--admin-listen", "127.0.0.1:0"]);
    let mut child =
        command.env("TMPDIR", &temporary).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.contains("tongguan-dev-secret"), "{line}");
    signal(&child, Signal::TERM);
    assert_eq!(ended(&mut child).code(), Some(0));
    let output = program(&["dev", "--admin-listen", "0.0.0.0:0"]).env("TMPDIR", &temporary).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    assert_eq!(entries(&temporary), Vec::<String>::new());
}

#[test]
fn a_seed_gives_the_same_ids_again() {
    let (_directory, temporary) = place();
    let ids = |seed: &str| {
        let dev = Dev::start(&temporary, &["--seed", seed]);
        let vpc = dev.answer("Vpc CreateVpc")["VpcId"].as_str().unwrap().to_owned();
        dev.answer(&format!("Vpc DescribeVpcAttribute --VpcId {vpc} --wait Status=Available"));
        let gateway =
            dev.answer(&format!("Vpc CreateVpnGateway --VpcId {vpc} --Bandwidth 10"))["VpnGatewayId"].clone();
        let gateway = gateway.as_str().unwrap().to_owned();
        let shown =
            dev.answer(&format!("Vpc DescribeVpnGateway --VpnGatewayId {gateway} --wait Status=active"));
        let certificate = dev.answer(
            "Kms CreateCertificate --KeySpec EC_SM2 --Subject CN=a,OU=b,O=c,C=CN --ExportablePrivateKey false",
        );
        dev.stop();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        [vpc, gateway, text(&shown["InternetIp"]), text(&certificate["CertificateId"])]
    };
    let first = ids("7");
    assert_eq!(ids("7"), first);
    for (other, first) in ids("8").iter().zip(&first) {
        assert_ne!(other, first);
    }
}

#[test]
fn https_is_served_with_a_ca_of_its_own() {
    let (_directory, temporary) = place();
    let dev = Dev::start(&temporary, &["--https"]);
    let ca = dev.of("tlsCa").to_owned();
    assert!(dev.of("endpoint").starts_with("https://127.0.0.1:"), "{}", dev.said);
    assert!(dev.call(&format!("Sts GetCallerIdentity --ca {ca}")).status.success());
    assert_eq!(dev.call("Sts GetCallerIdentity").status.code(), Some(3));
    // By its name as well, as OpenSSL sees it.
    let address = dev.of("endpoint").trim_start_matches("https://").to_owned();
    for check in [["-verify_ip", "127.0.0.1"], ["-verify_hostname", "localhost"]] {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &address, "-CAfile", &ca, "-verify_return_error"]).args(check);
        let output = openssl.stdin(Stdio::null()).output().unwrap();
        assert!(text(&output).contains("Verify return code: 0 (ok)"), "{}", text(&output));
    }
    dev.stop();
}

#[test]
fn init_is_done_before_it_is_ready() {
    let (directory, temporary) = place();
    let init = directory.path().join("init");
    std::fs::create_dir(&init).unwrap();
    let calls = r#"[
        {"product": "Vpc", "action": "CreateVpc", "parameters": {"VpcName": "lab"}, "as": "vpc"},
        {"product": "Vpc", "action": "DescribeVpcAttribute", "parameters": {"VpcId": "${vpc.VpcId}"}, "wait": "Status=Available"},
        {"product": "Vpc", "action": "CreateVSwitch",
         "parameters": {"VpcId": "${vpc.VpcId}", "ZoneId": "cn-hangzhou-h", "CidrBlock": "172.16.1.0/24"}}
    ]"#;
    std::fs::write(init.join("10-network.json"), calls).unwrap();
    // The second step finds what the first has made, and waits until it is told to go on.
    let script = "tongguan call Vpc DescribeVSwitches --endpoint \"$TONGGUAN_ENDPOINT\" --region cn-hangzhou \
                  --wait VSwitches.VSwitch.0.Status=Available\n\
                  echo \"$TONGGUAN_ADMIN_URL\" > admin.part; mv admin.part admin\n\
                  until [ -e go ]; do sleep 0.02; done\n";
    std::fs::write(init.join("20-script.sh"), script).unwrap();
    std::fs::write(init.join("notes.txt"), "not run").unwrap();
    let mut child = Dev::command(&temporary, &["--init", "init"]).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !directory.path().join("admin").exists() {
        assert!(begun.elapsed() < PATIENCE, "the script is not run");
        std::thread::sleep(Duration::from_millis(5));
    }
    let admin = std::fs::read_to_string(directory.path().join("admin")).unwrap();
    let output = program(&["ready", "--url", admin.trim()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("init (what --init has to do is not done)"), "{}", text(&output));
    std::fs::write(directory.path().join("go"), "").unwrap();
    assert!(program(&["ready", "--url", admin.trim(), "--wait", "20s"]).status().unwrap().success());
    signal(&child, Signal::TERM);
    assert_eq!(ended(&mut child).code(), Some(0));

    // What fails ends it, by its name, and leaves nothing.
    for (name, content, why) in [
        (
            "30-wrong.json",
            r#"[{"product": "Vpc", "action": "DeleteVpc", "parameters": {"VpcId": "vpc-none"}}]"#,
            "InvalidVpcId.NotFound",
        ),
        (
            "30-wrong.json",
            r#"[{"product": "Vpc", "action": "CreateVpc", "parameters": {"VpcName": "${x.Y}"}}]"#,
            "`x`",
        ),
        ("30-wrong.json", "{", "no list of calls"),
        ("30-wrong.sh", "exit 7\n", "exit status: 7"),
    ] {
        for file in ["30-wrong.json", "30-wrong.sh"] {
            let _ = std::fs::remove_file(init.join(file));
        }
        std::fs::write(init.join(name), content).unwrap();
        let mut child = Dev::command(&temporary, &["--init", "init"]).spawn().unwrap();
        assert_eq!(ended(&mut child).code(), Some(1), "{name}");
        let said = text(&child.wait_with_output().unwrap());
        assert!(said.contains(name) && said.contains(why), "{name}: {said}");
    }
    assert_eq!(entries(&temporary), Vec::<String>::new());
}

/// What `tongguan ca issue` answers to a request.
fn issue(directory: &Path, csr: &str, more: &[&str]) -> Output {
    let mut command = program(&["ca", "issue"]);
    command.args(more).current_dir(directory);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have ended before it read.
    let _ = child.stdin.take().unwrap().write_all(csr.as_bytes());
    child.wait_with_output().unwrap()
}

/// The README's story, and each of its mistakes, without any other program.
#[test]
fn an_authority_certifies_rightly_and_wrongly() {
    let (directory, temporary) = place();
    let place = directory.path();
    let dev = Dev::start(&temporary, &[]);
    let vpc = dev.answer("Vpc CreateVpc")["VpcId"].as_str().unwrap().to_owned();
    dev.answer(&format!("Vpc DescribeVpcAttribute --VpcId {vpc} --wait Status=Available"));
    let made =
        dev.answer(&format!("Vpc CreateVpnGateway --VpcId {vpc} --Bandwidth 10 --VpnType NationalStandard"));
    let gateway = made["VpnGatewayId"].as_str().unwrap().to_owned();
    let active = format!("Vpc DescribeVpnGateway --VpnGatewayId {gateway} --wait Status=active");
    dev.answer(&active);
    assert!(program(&["ca", "new", "ca"]).current_dir(place).status().unwrap().success());
    let again = program(&["ca", "new", "ca"]).current_dir(place).output().unwrap();
    assert!(!again.status.success(), "an authority was overwritten");

    // What a certificate comes to: the code of the upload, else that of the binding.
    let certified = |more: &[&str]| {
        let made = dev.answer(
            "Kms CreateCertificate --KeySpec EC_SM2 --Subject CN=a,OU=b,O=c,C=CN --ExportablePrivateKey false",
        );
        let output = issue(place, made["Csr"].as_str().unwrap(), more);
        assert!(output.status.success(), "{more:?}: {}", text(&output));
        std::fs::write(place.join("leaf.pem"), &output.stdout).unwrap();
        let id = made["CertificateId"].as_str().unwrap();
        let (leaf, chain) = (place.join("leaf.pem"), place.join("ca/ca.pem"));
        let upload = dev.call(&format!(
            "Kms UploadCertificate --CertificateId {id} --Certificate @{} --CertificateChain @{}",
            leaf.display(),
            chain.display()
        ));
        if !upload.status.success() {
            return text(&upload);
        }
        let role = if more.contains(&"encryption") { "Encryption" } else { "Signature" };
        let bound = dev.call(&format!(
            "Vpc AssociateVpnGatewayWithCertificate --VpnGatewayId {gateway} --CertificateId {id} --CertificateType {role}"
        ));
        dev.answer(&active);
        text(&bound)
    };
    for (wrong, told) in [
        ("user-id", "distid"),
        ("chain", "ignature"),
        ("dates", "expired"),
        ("usage", "IllegalParam.CertificateId"),
    ] {
        let said = certified(&["--usage", "encryption", "--wrong", wrong]);
        assert!(said.contains("\"Code\"") && said.contains(told), "{wrong}: {said}");
    }
    for usage in ["encryption", "signature"] {
        let said = certified(&["--usage", usage, "--days", "30"]);
        assert!(!said.contains("\"Code\""), "{usage}: {said}");
    }
    let bound = dev.answer(&format!("Vpc ListVpnCertificateAssociations --VpnGatewayId.1 {gateway}"));
    assert_eq!(bound["TotalCount"], 2);
    for wrong in ["", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"] {
        assert!(!issue(place, wrong, &["--usage", "tls"]).status.success());
    }
    assert!(!issue(place, "", &["--usage", "tls", "--ca", "none"]).status.success());
    dev.stop();
}

#[test]
fn a_call_waits_for_what_it_is_told() {
    let (_directory, temporary) = place();
    let dev = Dev::start(&temporary, &["--apply-delay", "60m"]);
    let vpc = dev.answer("Vpc CreateVpc")["VpcId"].as_str().unwrap().to_owned();
    let late =
        dev.call(&format!("Vpc DescribeVpcAttribute --VpcId {vpc} --wait Status=Available --timeout 200ms"));
    assert_eq!(late.status.code(), Some(4), "{}", text(&late));
    assert!(text(&late).contains("Status=Available did not come: there is Pending"), "{}", text(&late));
    // It is told when it comes.
    let endpoint = dev.of("endpoint").to_owned();
    let mut waiting =
        program(&["call", "Vpc", "DescribeVpcAttribute", "--VpcId", &vpc, "--endpoint", &endpoint]);
    waiting.args(["--region", "cn-hangzhou", "--wait", "Status=Available", "--timeout", "25s"]);
    waiting.env("ALIBABA_CLOUD_ACCESS_KEY_ID", dev.of("accessKeyId"));
    waiting.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", dev.of("accessKeySecret"));
    let mut waiting = waiting.stdout(Stdio::piped()).spawn().unwrap();
    let admin = dev.of("admin").trim_start_matches("http://").to_owned();
    let mut stream = std::net::TcpStream::connect(&admin).unwrap();
    let body = r#"{"advance":"2h"}"#;
    let request =
        format!("POST /test/clock HTTP/1.1\r\nhost: {admin}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(ended(&mut waiting).code(), Some(0));
    // A refusal ends it, unless that is what is waited for.
    let gone = "Vpc DescribeVpcAttribute --VpcId vpc-none --wait";
    assert_eq!(dev.call(&format!("{gone} Status=Available")).status.code(), Some(1));
    assert_eq!(dev.call(&format!("{gone} Code=InvalidVpcId.NotFound")).status.code(), Some(0));
    dev.stop();
}

/// A service that was backed up: its data directory, the backup, and a RAM user's key that works there.
fn backed_up(directory: &Path) -> (std::path::PathBuf, std::path::PathBuf, Value) {
    let (data, backup) = (directory.join("data"), directory.join("backup.db"));
    let words =
        ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--apply-delay", "0", "--data-dir"];
    let (id, secret) = ("LTAIoriginal", "a secret of the original");
    let mut command = program_with_key(&words, id, secret);
    command.arg(&data);
    let service = Process::start(command);
    let call = |line: &str| -> Value {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = program_with_key(&["call"], id, secret);
        command.args(words).args(["--endpoint", &service.endpoint, "--region", "cn-hangzhou"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}: {}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    call("Vpc CreateVpc --VpcName original");
    call("Ram CreateUser --UserName alice");
    let key = call("Ram CreateAccessKey --UserName alice")["AccessKey"].clone();
    assert!(service.stop().success());
    let mut command = program(&["backup"]);
    let output = command.arg(&backup).arg("--data-dir").arg(&data).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    (data, backup, key)
}

#[test]
fn a_copy_of_a_backup_is_for_tests_and_the_original_is_untouched() {
    let (directory, temporary) = place();
    let (data, backup, alice) = backed_up(directory.path());
    let master_key = data.join("master.key");
    let (backup, master_key) = (backup.to_str().unwrap(), master_key.to_str().unwrap());
    let before = std::fs::read(backup).unwrap();

    // Secrets in it open with its master key alone; nothing is left of the try.
    let refused = |more: &[&str]| {
        let mut child = Dev::command(&temporary, more).spawn().unwrap();
        let code = ended(&mut child).code();
        assert_eq!(entries(&temporary), Vec::<String>::new());
        (code, text(&child.wait_with_output().unwrap()))
    };
    let (code, said) = refused(&["--from", backup]);
    assert!(code == Some(78) && said.contains("master key"), "{code:?} {said}");
    let (code, said) = refused(&["--from", backup, "--unverified"]);
    assert!(code == Some(78) && said.contains("--master-key-file"), "{code:?} {said}");
    assert_eq!(refused(&["--master-key-file", master_key]).0, Some(2));
    let changed = directory.path().join("changed.db");
    std::fs::write(&changed, [&before[..], b"x"].concat()).unwrap();
    std::fs::copy(format!("{backup}.sha256"), directory.path().join("changed.db.sha256")).unwrap();
    let (code, said) = refused(&["--from", changed.to_str().unwrap(), "--master-key-file", master_key]);
    assert!(code == Some(65) && said.contains("nothing was restored"), "{code:?} {said}");

    let dev = Dev::start(&temporary, &["--from", backup, "--master-key-file", master_key]);
    assert_eq!((dev.of("accessKeyId"), dev.of("accountId")), ("tongguan-dev", common::ACCOUNT));
    let vpcs = dev.answer("Vpc DescribeVpcs");
    assert_eq!(vpcs["Vpcs"]["Vpc"][0]["VpcName"], "original", "{vpcs}");
    let who = |dev: &Dev| {
        let mut command =
            program(&["call", "Sts", "GetCallerIdentity", "--endpoint", dev.of("endpoint"), "--region"]);
        command.arg(dev.of("regionId"));
        command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", alice["AccessKeyId"].as_str().unwrap());
        command.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", alice["AccessKeySecret"].as_str().unwrap());
        text(&command.output().unwrap())
    };
    assert!(who(&dev).contains("user/alice"), "its principals sign as before: {}", who(&dev));
    let admin = dev.of("admin").trim_start_matches("http://").to_owned();
    let mut stream = std::net::TcpStream::connect(&admin).unwrap();
    write!(stream, "POST /test/reset HTTP/1.1\r\nhost: {admin}\r\ncontent-length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(dev.answer("Vpc DescribeVpcs")["TotalCount"], 0);
    assert!(who(&dev).contains("InvalidAccessKeyId"), "{}", who(&dev));
    dev.stop();
    assert_eq!(entries(&temporary), Vec::<String>::new());

    // The original is what it was: a service, and no store for tests.
    assert!(std::fs::read(backup).unwrap() == before);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"];
    let mut command = program(&[&serve[..], &[data.to_str().unwrap(), "--test-api"]].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    assert_ne!(ended(&mut child).code(), Some(0));
    assert!(text(&child.wait_with_output().unwrap()).contains("test"));
    let mut command = program(&serve);
    command.arg(&data);
    assert!(Process::start(command).stop().success());
}
