//! `tongguan audit` on the real program: what it shows of a running and of a stopped service, and that `check`
//! finds what somebody has changed in the database's file.
#![allow(clippy::disallowed_methods, reason = "whoever calls from outside goes by the time of day")]
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use common::program::{Process, ended, program_with_key, signal, text};
use common::{PATIENCE, VPC};
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
        Self::with(data, &[])
    }

    fn with(data: &Path, more: &[&str]) -> Self {
        let data = data.to_str().unwrap();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--apply-delay", "0", "--data-dir", data];
        Self(Process::start(program(&[&arguments[..], more].concat())))
    }

    fn call(&self, arguments: &[&str]) -> Output {
        let head = ["call", "--endpoint", &self.0.endpoint, "--region", "cn-hangzhou", "--raw"];
        program(&[&head, arguments].concat()).output().unwrap()
    }

    /// A call that nobody has signed, with this key id, written as in a URL; answers the response.
    fn forged(&self, key: &str) -> String {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().replace(':', "%3A");
        let request = format!(
            "GET /?Action=DescribeVpcs&Version={VPC}&RegionId=cn-hangzhou&AccessKeyId={key}&SignatureNonce=once&\
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

    // The keys of the service's own are under seals as well: without one of them the record alone cannot begin anew.
    let (anew, restore) = ("audit --begin-anew", "restore a backup");
    for (sql, expected, advice) in [
        ("UPDATE audit SET source = '192.0.2.1' WHERE seq = 2", "record 2 (request ", anew),
        ("DELETE FROM audit WHERE seq = 3", "record 3 was removed before record 4 (request ", anew),
        ("DELETE FROM audit WHERE seq = 4", "record 4 was removed: the newest", anew),
        ("DELETE FROM service_key WHERE name = 'audit-chain'", "there is no seal and no key for it", restore),
        (
            "UPDATE service_key SET sealed_key = x'00' WHERE name = 'audit-chain'",
            "key of the seal does not open",
            restore,
        ),
    ] {
        std::fs::write(data.join("tongguan.db"), &whole).unwrap();
        tamper(&data, sql);
        let (code, said) = check(&data, &[]);
        assert!(code == Some(65) && said.contains(expected), "{sql}: {said}");
        assert!(said.contains(advice), "{sql}: {said}");
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

/// Requests of a stranger, pipelined; answers how many were answered.
fn strangers_requests(endpoint: &str, count: usize) -> usize {
    let stream = TcpStream::connect(endpoint).unwrap();
    let mut write = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let batch = b"GET /?Action=x HTTP/1.1\r\nhost: a\r\n\r\n".repeat(100);
        (0..count.div_ceil(100)).for_each(|_| write.write_all(&batch).unwrap());
    });
    // A body does not end its line.
    let lines = BufReader::new(stream).split(b'\n').map_while(Result::ok);
    let answers = lines.filter(|line| line.windows(12).any(|window| window == b"HTTP/1.1 400"));
    let answered = answers.take(count).count();
    writer.join().unwrap();
    answered
}

/// A stranger and another tenant fill what is theirs: not one record of the first is gone, and what was counted can be
/// read by people and tools. In short form; `nobody_displaces_the_records_of_another` of the store has a million.
#[test]
fn strangers_and_tenants_displace_no_record_of_another() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let quotas =
        ["audit_records=60", "audit_changes=20", "audit_strangers=40", "audit_strangers_per_minute=10"];
    let quotas: Vec<_> = quotas.iter().flat_map(|quota| ["--quota", quota]).collect();
    let server = Server::with(&data, &[&quotas[..], &["--admin-listen", "off"]].concat());
    for name in ["first", "second", "third"] {
        assert!(server.call(&["Vpc", "CreateVpc", "--VpcName", name]).status.success());
        assert!(server.call(&["Vpc", "DescribeVpcs"]).status.success());
    }
    let made = program(&["account", "create", "other", "--json", "--data-dir", data.to_str().unwrap()]);
    let made: Value = serde_json::from_slice(&{ made }.output().unwrap().stdout).unwrap();
    let (id, secret) = (made["AccessKeyId"].as_str().unwrap(), made["AccessKeySecret"].as_str().unwrap());
    let head = text(&audit(&data, &["--head"])).trim().to_owned();
    for number in 0..25 {
        let cidr = format!("10.{number}.0.0/16");
        let arguments = ["call", "--endpoint", &server.0.endpoint, "--region", "cn-hangzhou", "--raw"];
        let create = ["Vpc", if number < 10 { "CreateVpc" } else { "DescribeVpcs" }, "--CidrBlock", &cidr];
        program_with_key(&[&arguments[..], &create].concat(), id, secret).output().unwrap();
    }
    assert_eq!(strangers_requests(&server.0.endpoint, 20_000), 20_000);
    server.stop();
    // The next start lets go what is over.
    let server = Server::with(&data, &quotas);
    assert_eq!(strangers_requests(&server.0.endpoint, 5_000), 5_000);
    server.stop();
    let own = records(&data, &["--account", "1234567890123456", "--limit", "0"]);
    let mut actions: Vec<_> = own.iter().map(|record| record["action"].as_str().unwrap()).collect();
    actions.sort_unstable();
    assert_eq!(actions, [["CreateVpc"; 3], ["DescribeVpcs"; 3]].concat());
    assert!(own.iter().all(|record| record["chain"] == "whole"), "{own:?}");
    assert_eq!(own.iter().filter(|record| record["changed"] == true).count(), 3);
    let strangers = records(&data, &["--action", "x", "--limit", "0"]);
    let count = |record: &Value| record["repeats"].as_u64().unwrap_or(1);
    assert_eq!(strangers.iter().map(count).sum::<u64>(), 25_000);
    assert!(strangers.len() <= 30, "{}", strangers.len());
    let counted = strangers.iter().find(|record| record["repeats"].is_u64()).unwrap();
    assert!(counted["since"].is_string() && counted["source"] == "127.0.0.1", "{counted}");
    let shown = text(&audit(&data, &["--action", "x", "--limit", "0"]));
    assert!(shown.contains(&format!("  {} times since 20", count(counted))), "{shown}");
    let (code, said) = check(&data, &["--audit-head", &head]);
    assert!(code == Some(0) && !said.contains("note:"), "{said}");
}

/// A head that was kept elsewhere and whose record retention has removed is no alarm; one that was replaced is.
#[test]
fn a_head_that_retention_removed_is_no_alarm() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::on(&data);
    assert!(server.call(&["Vpc", "DescribeVpcs"]).status.success());
    server.stop();
    let head = text(&audit(&data, &["--head"])).trim().to_owned();
    let server = Server::on(&data);
    assert!(server.call(&["Vpc", "DescribeVpcs"]).status.success());
    server.stop();
    // One read is kept; the start lets the other go.
    let server = Server::with(&data, &["--quota", "audit_records=1"]);
    let begun = Instant::now();
    while records(&data, &["--limit", "0"])[0]["seq"] == 1 {
        assert!(begun.elapsed() < PATIENCE, "the first read is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.stop();
    let (code, said) = check(&data, &["--audit-head", &head]);
    assert!(
        code == Some(0) && said.contains("note: record 1 was removed by retention; it was the one"),
        "{said}"
    );
    let (code, said) = check(&data, &["--audit-head", &head, "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(code == Some(0) && said["notes"][0].as_str().unwrap().contains("removed by retention"), "{said}");
    let other = format!("1:{}", "7".repeat(64));
    let (code, said) = check(&data, &["--audit-head", &other]);
    assert!(code == Some(65) && said.contains("kept elsewhere, 1, has another hash"), "{said}");
}

/// Whoever plants a record has it shown for what it is, also while the service runs.
#[test]
fn what_is_planted_is_shown_for_what_it_is() {
    let (_directory, data, server) = called();
    let plant = "INSERT INTO audit (seq, time_ms, request_id, account, principal, access_key, source, product, action, \
                 resource, status, code, hash, stream) SELECT -7, time_ms, 'PLANTED', account, 'user/innocent', \
                 access_key, source, product, 'DeleteVpnGateway', 'vpn-prod', 200, NULL, hash, stream FROM audit \
                 WHERE seq = 1";
    tamper(&data, plant);
    let planted = records(&data, &["--principal", "user/innocent"]);
    assert_eq!((planted.len(), planted[0]["chain"].as_str()), (1, Some("broken")));
    let shown = text(&audit(&data, &[]));
    assert_eq!(shown.matches("(NOT OF THE CHAIN: run `tongguan check`)").count(), 1, "{shown}");
    let (code, said) = check(&data, &[]);
    let expected = "record -7 (request PLANTED) was put in before the begin of the chain, 0";
    assert!(code == Some(65) && said.contains(expected), "{said}");
    server.stop();
    let server = Server::on(&data);
    assert!(server.0.logged().contains("record -7 was put in") || server.0.logged().contains(expected));
    server.stop();
    // Begun anew, it is one of those that nobody vouches for.
    assert!(audit(&data, &["--begin-anew"]).status.success());
    let all = records(&data, &["--limit", "0"]);
    assert_eq!(all.iter().filter(|record| record["chain"] == "before").count(), all.len() - 1);
    assert!(text(&audit(&data, &[])).contains("(from before the chain: not checked)"));
    assert_eq!(check(&data, &[]).0, Some(0));
}

/// The record of a call that made a key says which, so that what the key did can be traced to it.
#[test]
fn the_record_of_a_new_key_names_it() {
    let (_directory, data, server) = called();
    assert!(server.call(&["Ram", "CreateUser", "--UserName", "alice"]).status.success());
    let made = server.call(&["Ram", "CreateAccessKey", "--UserName", "alice"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let id = made["AccessKey"]["AccessKeyId"].as_str().unwrap();
    let found = records(&data, &["--access-key", id]);
    assert_eq!((found.len(), found[0]["action"].as_str()), (1, Some("CreateAccessKey")));
    assert_eq!(found[0]["issued"].as_str(), Some(id));
    let shown = text(&audit(&data, &["--access-key", id]));
    assert!(shown.contains(&format!("  made {id}")), "{shown}");
    server.stop();
}
