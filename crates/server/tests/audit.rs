//! `tongguan audit` on the real program: what it shows of a running and of a stopped service, and that `check`
//! finds what somebody has changed in the database's file.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::program::{Process, ended, program_with_key, signal, text};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const KEY: &str = "LTAIaudit";
const SECRET: &str = "a secret of this test";

fn program(arguments: &[&str]) -> Command {
    program_with_key(arguments, KEY, SECRET)
}

/// A running server.
struct Server(Process);

impl Server {
    fn on(data: &Path) -> Self {
        let data = data.to_str().unwrap();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--apply-delay", "0", "--data-dir", data];
        Self(Process::start(program(&arguments)))
    }

    fn call(&self, arguments: &[&str]) -> Output {
        let head = ["call", "--endpoint", &self.0.endpoint, "--region", "cn-hangzhou", "--raw"];
        program(&[&head, arguments].concat()).output().unwrap()
    }

    /// A call that nobody has signed, with this key id, written as in a URL; answers the response.
    fn forged(&self, key: &str) -> String {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().replace(':', "%3A");
        let request = format!(
            "GET /?Action=DescribeVpcs&Version=2016-04-28&RegionId=cn-hangzhou&AccessKeyId={key}&SignatureNonce=once&\
             SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&Timestamp={now}&Signature=none HTTP/1.1
\
             Host: vpc.aliyuncs.com
Connection: close

"
        );
        let mut stream = TcpStream::connect(&self.0.endpoint).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stop(self) {
        assert!(self.0.stop().success());
    }
}

/// A child that does not outlive its test.
struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A data directory, and what was called on it: four calls, of which two were refused.
fn called() -> (TempDir, PathBuf, Server) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::on(&data);
    assert!(server.call(&["Vpc", "CreateVpc", "--VpcName", "first"]).status.success());
    assert!(server.call(&["Vpc", "DescribeVpcs"]).status.success());
    assert!(!server.call(&["Vpc", "DescribeVpnGateway", "--VpnGatewayId", "vpn-unknown"]).status.success());
    let answer = server.forged("LTAI%1B%5B31m");
    assert!(answer.contains("InvalidAccessKeyId.NotFound"), "{answer}");
    // Records of reads are a tenth of a second behind.
    let begun = Instant::now();
    while records(&data, &[]).len() < 4 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", records(&data, &[]));
        std::thread::sleep(Duration::from_millis(10));
    }
    (directory, data, server)
}

fn audit(data: &Path, arguments: &[&str]) -> Output {
    program(&[&["audit", "--data-dir", data.to_str().unwrap()], arguments].concat()).output().unwrap()
}

fn records(data: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = audit(data, &[&["--format", "json"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn check(data: &Path, more: &[&str]) -> (Option<i32>, String) {
    let arguments = [&["check", "--data-dir", data.to_str().unwrap()], more].concat();
    let output = program(&arguments).output().unwrap();
    (output.status.code(), text(&output))
}

fn tamper(data: &Path, sql: &str) {
    rusqlite::Connection::open(data.join("tongguan.db")).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn filters_choose_among_all_calls() {
    let (_directory, data, _server) = called();
    let id = records(&data, &[])[2]["requestId"].as_str().unwrap().to_owned();
    let numbers = |arguments: &[&str]| -> Vec<i64> {
        records(&data, arguments).iter().map(|record| record["seq"].as_i64().unwrap()).collect()
    };
    for (arguments, expected) in [
        (&[][..], &[1, 2, 3, 4][..]),
        (&["--limit", "2"], &[3, 4]),
        (&["--limit", "0"], &[1, 2, 3, 4]),
        (&["--action", "DescribeVpcs"], &[2, 4]),
        (&["--action", "vpc:describe*"], &[2, 3]),
        (&["--action", "Describe"], &[]),
        (&["--outcome", "granted"], &[1, 2]),
        (&["--outcome", "refused"], &[3, 4]),
        (&["--code", "InvalidAccessKeyId*"], &[4]),
        (&["--resource", "vpn-*"], &[3]),
        (&["--principal", "root"], &[1, 2, 3]),
        (&["--principal", "acs:ram::1234567890123456:*", "--action", "Create*"], &[1]),
        (&["--account", "1234567890123456", "--outcome", "refused"], &[3]),
        (&["--account", "6543210987654321"], &[]),
        (&["--access-key", KEY, "--limit", "1"], &[3]),
        (&["--source", "127.0.0.0/8"], &[1, 2, 3, 4]),
        (&["--source", "192.0.2.1"], &[]),
        (&["--since", "1h"], &[1, 2, 3, 4]),
        (&["--until", "1h"], &[]),
        (&["--since", "2026-01-01", "--until", "2026-01-02T00:00:00Z"], &[]),
        (&["--request-id", &id], &[3]),
    ] {
        assert_eq!(numbers(arguments), expected, "{arguments:?}");
    }
    for wrong in [["--since", "soon"], ["--source", "nowhere"], ["--limit", "-1"], ["--outcome", "maybe"]] {
        assert_eq!(audit(&data, &wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn people_and_tools_read_who_did_what() {
    let (_directory, data, server) = called();
    let third = &records(&data, &[])[2];
    for (member, expected) in [
        ("outcome", "refused"),
        ("account", "1234567890123456"),
        ("principal", "root"),
        ("accessKeyId", KEY),
        ("source", "127.0.0.1"),
        ("action", "DescribeVpnGateway"),
        ("resource", "vpn-unknown"),
    ] {
        assert_eq!(third[member].as_str(), Some(expected), "{third}");
    }
    assert!(third["code"].is_string() && third["status"].as_u64() >= Some(400), "{third}");
    let shown = text(&audit(&data, &[]));
    assert!(shown.lines().count() == 4 && !shown.contains('\u{1b}'), "{shown}");
    assert!(
        shown.contains("granted  1234567890123456/root  127.0.0.1 ") && shown.contains("vpc:CreateVpc"),
        "{shown}"
    );
    assert!(shown.contains("\\u{1b}[31m") && !shown.contains(SECRET), "{shown}");
    // Whoever reads may go at any time.
    let mut command = program(&["audit", "--data-dir", data.to_str().unwrap(), "--follow"]);
    let mut child = Follower(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    drop(child.0.stdout.take());
    server.call(&["Vpc", "DescribeVpcs"]);
    assert!(ended(&mut child.0).success());
    let mut said = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    let nowhere = data.join("nowhere");
    assert_eq!(audit(&nowhere, &[]).status.code(), Some(74));
    assert_eq!(audit(&nowhere, &["--begin-anew"]).status.code(), Some(74));
    assert!(!nowhere.exists());
}

fn lines(child: &mut Child) -> Receiver<Value> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let out = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _ = sender.send(serde_json::from_str(&line).unwrap());
        }
    });
    receiver
}

/// New calls are shown as they come, also when old records were removed and the service was restarted.
#[test]
fn following_shows_new_calls() {
    let (_directory, data, server) = called();
    let arguments =
        ["audit", "--data-dir", data.to_str().unwrap(), "--follow", "--format", "json", "--limit", "1"];
    let mut command = program(&[&arguments[..], &["--action", "*DescribeVpcs"]].concat());
    let mut child = Follower(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let shown = lines(&mut child.0);
    let next = || shown.recv_timeout(PATIENCE).unwrap()["seq"].as_i64().unwrap();
    assert_eq!(next(), 4);
    server.call(&["Vpc", "DescribeVpcs"]);
    assert_eq!(next(), 5);
    server.call(&["Vpc", "DescribeVSwitches"]);
    server.call(&["Vpc", "CreateVpc"]);
    server.stop();
    let server = Server::on(&data);
    tamper(&data, "DELETE FROM audit WHERE seq < 6");
    server.call(&["Vpc", "DescribeVpcs"]);
    assert_eq!(next(), 8, "those between are of other operations");
    signal(&child.0, Signal::INT);
    assert!(ended(&mut child.0).success());
}

#[test]
fn check_finds_what_was_changed() {
    let (_directory, data, server) = called();
    let head = text(&audit(&data, &["--head"])).trim().to_owned();
    assert!(head.starts_with("4:") && head.len() == 66, "{head}");
    let (code, said) = check(&data, &["--audit-head", &head]);
    assert!(code == Some(0) && said.contains(&format!("audit head {head}")), "{said}");
    assert_eq!(check(&data, &["--audit-head", "4"]).0, Some(2));
    let (code, said) = check(&data, &["--audit-head", &format!("3:{}", &head[2..])]);
    assert!(code == Some(65) && said.contains("kept elsewhere, 3, has another hash"), "{said}");
    assert_eq!(audit(&data, &["--begin-anew"]).status.code(), Some(75), "the service is running");
    server.stop();
    let whole = std::fs::read(data.join("tongguan.db")).unwrap();

    for (sql, expected) in [
        ("UPDATE audit SET source = '192.0.2.1' WHERE seq = 2", "record 2 (request "),
        ("DELETE FROM audit WHERE seq = 3", "record 3 was removed before record 4 (request "),
        ("DELETE FROM audit WHERE seq = 4", "record 4 was removed: the newest"),
        ("DELETE FROM service_key WHERE name = 'audit-chain'", "there is no seal and no key for it"),
        (
            "UPDATE service_key SET sealed_key = x'00' WHERE name = 'audit-chain'",
            "key of the seal does not open",
        ),
    ] {
        std::fs::write(data.join("tongguan.db"), &whole).unwrap();
        tamper(&data, sql);
        let (code, said) = check(&data, &[]);
        assert!(code == Some(65) && said.contains(expected), "{sql}: {said}");
        assert!(said.contains("audit --begin-anew"), "{sql}: {said}");
    }
    std::fs::write(data.join("tongguan.db"), &whole).unwrap();
    tamper(&data, "UPDATE audit SET source = '192.0.2.1' WHERE seq = 2");
    // The service goes on, and does not make it good.
    let server = Server::on(&data);
    assert!(server.call(&["Vpc", "DescribeVpcs"]).status.success());
    server.stop();
    assert_eq!(check(&data, &[]).0, Some(65));
    let output = audit(&data, &["--begin-anew"]);
    assert!(output.status.success() && text(&output).contains("begins anew with 6:"), "{}", text(&output));
    assert_eq!(check(&data, &[]).0, Some(0), "{}", check(&data, &[]).1);
    let server = Server::on(&data);
    assert!(server.call(&["Vpc", "DescribeVpcs"]).status.success());
    server.stop();
    assert_eq!(check(&data, &[]).0, Some(0), "{}", check(&data, &[]).1);
    let actions: Vec<_> = records(&data, &["--limit", "2"]).iter().map(|r| r["action"].to_string()).collect();
    assert_eq!(actions, ["\"BeginAuditAnew\"", "\"DescribeVpcs\""]);
}

/// The service comes back with what there is; the doubt stays.
#[test]
fn a_backup_with_a_changed_record_is_restored_and_said_so() {
    let (directory, data, server) = called();
    server.stop();
    tamper(&data, "UPDATE audit SET source = '192.0.2.1' WHERE seq = 2");
    let (copy, back) = (directory.path().join("copy.db"), directory.path().join("back"));
    let (copy, key) = (copy.to_str().unwrap(), data.join("master.key"));
    let output = program(&["backup", copy, "--data-dir", data.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let into = ["--data-dir", back.to_str().unwrap(), "--master-key-file", key.to_str().unwrap()];
    let output = program(&[&["restore", copy], &into[..]].concat()).output().unwrap();
    assert!(output.status.success() && text(&output).contains("record 2 (request "), "{}", text(&output));
    assert!(check(&back, &[]).1.contains("record 2 (request "));
}

/// A killed service leaves a whole chain, and its last calls are shown before the next start.
#[test]
fn a_killed_service_leaves_every_record() {
    let (_directory, data, mut server) = called();
    server.call(&["Vpc", "DescribeVSwitches"]);
    server.0.child.kill().unwrap();
    server.0.child.wait().unwrap();
    let last = records(&data, &["--limit", "1"]);
    assert_eq!(last[0]["action"].as_str(), Some("DescribeVSwitches"));
    assert_eq!(records(&data, &[]).len(), 5);
    assert_eq!(check(&data, &[]).0, Some(0), "{}", check(&data, &[]).1);
    Server::on(&data).stop();
    assert_eq!(records(&data, &["--limit", "0"]).len(), 5);
    assert_eq!(check(&data, &[]).0, Some(0), "{}", check(&data, &[]).1);
}
