//! `serve --audit-log` on the real program: every record is in the file once, whatever becomes of the process, the
//! file, the disk and the database.
#![allow(clippy::disallowed_methods, reason = "whoever calls from outside goes by the time of day")]
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::program::{Process, ended, program_with_key, text};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const KEY: &str = "LTAIauditlog";
const SECRET: &str = "a secret of this test";

fn program(arguments: &[&str]) -> Command {
    program_with_key(arguments, KEY, SECRET)
}

/// A place with a data directory and an audit log.
struct Place {
    directory: TempDir,
    data: PathBuf,
    log: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (data, log) = (directory.path().join("data"), directory.path().join("audit.jsonl"));
        Self { directory, data, log }
    }

    fn serve(&self, more: &[&str]) -> Command {
        let head =
            ["serve", "--listen", "127.0.0.1:0", "--apply-delay", "0", "--admin-listen", "127.0.0.1:0"];
        let mut command = program(&[&head[..], more].concat());
        command.arg("--data-dir").arg(&self.data);
        command
    }

    fn start(&self) -> Process {
        let mut command = self.serve(&[]);
        command.arg("--audit-log").arg(&self.log);
        Process::start(command)
    }

    /// What the database has.
    fn records(&self) -> Vec<Value> {
        let arguments =
            ["audit", "--format", "json", "--limit", "0", "--data-dir", self.data.to_str().unwrap()];
        let output = program(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        parsed(&String::from_utf8(output.stdout).unwrap())
    }

    fn lines(&self) -> Vec<Value> {
        lines(&self.log)
    }

    /// Waits until so many lines are there.
    fn wait(&self, count: usize) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let lines = self.lines();
            if lines.len() >= count {
                return lines;
            }
            assert!(begun.elapsed() < PATIENCE, "{count} lines never come: {lines:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The whole lines of a file; none if it is not there.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    parsed(text.rsplit_once('\n').map_or("", |(whole, _)| whole))
}

fn parsed(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(lines: &[Value]) -> Vec<i64> {
    lines.iter().map(|line| line["seq"].as_i64().unwrap()).collect()
}

fn call(endpoint: &str, operation: &str) -> Output {
    let arguments = ["call", "--endpoint", endpoint, "--region", "cn-hangzhou", "--raw", "Vpc", operation];
    program(&arguments).output().unwrap()
}

fn calls(service: &Process, count: usize) {
    for _ in 0..count {
        let output = call(&service.endpoint, "DescribeVpcs");
        assert!(output.status.success(), "{}", text(&output));
    }
}

/// What the admin listener says at a path.
fn admin(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn admin_of(service: &mut Process) -> String {
    service.told("admin on ").rsplit_once("//").unwrap().1.to_owned()
}

#[test]
fn lines_are_those_of_the_audit_command_and_have_no_secret() {
    let place = Place::new();
    let service = place.start();
    assert!(call(&service.endpoint, "CreateVpc").status.success());
    assert!(!call(&service.endpoint, "DeleteVpc").status.success());
    let written = place.wait(2);
    assert!(service.stop().success());
    assert_eq!(written, place.records());
    assert_eq!((&written[0]["changed"], &written[1]["outcome"]), (&true.into(), &"refused".into()));
    assert!(!std::fs::read_to_string(&place.log).unwrap().contains(SECRET));
    assert_eq!(std::fs::metadata(&place.log).unwrap().permissions().mode() & 0o777, 0o640);
}

/// It is killed while it answers and writes, the file is rotated while nothing runs, a line is cut short: every record
/// is written once, in order.
#[test]
fn killed_at_any_time_no_record_is_lost_or_written_twice() {
    const ROUNDS: u64 = 8;
    let place = Place::new();
    let mut files = Vec::new();
    for round in 0..ROUNDS {
        let service = place.start();
        let endpoint = service.endpoint.clone();
        let callers: Vec<_> = ["DescribeVpcs", "CreateVpc", "DescribeVSwitches"]
            .map(|operation| {
                let endpoint = endpoint.clone();
                std::thread::spawn(move || while call(&endpoint, operation).status.success() {})
            })
            .into();
        // Longer and longer: before the first line, between two batches, in one.
        let before = place.lines().len();
        let begun = Instant::now();
        while place.lines().len() < before + usize::try_from(round).unwrap() * 3 {
            assert!(begun.elapsed() < PATIENCE, "nothing is written");
        }
        assert!(!service.kill().unwrap().success());
        for caller in callers {
            caller.join().unwrap();
        }
        match round % 4 {
            1 => {
                let mut file = OpenOptions::new().append(true).open(&place.log).unwrap();
                file.write_all(b"{\"accessKeyId\":\"LTAI").unwrap();
            }
            2 => {
                let old = place.log.with_extension(format!("jsonl.{round}"));
                std::fs::rename(&place.log, &old).unwrap();
                File::create(&place.log).unwrap();
                files.push(old);
            }
            _ => {}
        }
    }
    // What the last one left in its journal gets its numbers now.
    assert!(place.start().stop().success());
    let recorded = place.records();
    let service = place.start();
    files.push(place.log);
    let begun = Instant::now();
    let written = loop {
        let written: Vec<Value> = files.iter().flat_map(|file| lines(file)).collect();
        if written.len() >= recorded.len() {
            break written;
        }
        assert!(begun.elapsed() < PATIENCE, "{} of {} records", written.len(), recorded.len());
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(service.stop().success());
    assert_eq!(numbers(&written), numbers(&recorded));
    assert_eq!(written, recorded);
    assert!(recorded.len() > 50, "{} records", recorded.len());
}

#[test]
fn rotated_or_removed_while_it_runs_it_goes_on_in_a_new_file() {
    let place = Place::new();
    let service = place.start();
    calls(&service, 3);
    place.wait(3);
    let old = place.directory.path().join("audit.jsonl.1");
    std::fs::rename(&place.log, &old).unwrap();
    // Until it is told, it goes on in the old one.
    calls(&service, 1);
    let begun = Instant::now();
    while lines(&old).len() < 4 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", lines(&old));
        std::thread::sleep(Duration::from_millis(10));
    }
    service.signal(Signal::HUP);
    let begun = Instant::now();
    while !place.log.exists() {
        assert!(begun.elapsed() < PATIENCE, "no new file: {}", service.logged());
        std::thread::sleep(Duration::from_millis(10));
    }
    calls(&service, 2);
    assert_eq!(numbers(&place.wait(2)), [5, 6]);
    assert_eq!(numbers(&lines(&old)), [1, 2, 3, 4]);
    assert_eq!(std::fs::metadata(&place.log).unwrap().permissions().mode() & 0o777, 0o640);
    std::fs::remove_file(&place.log).unwrap();
    calls(&service, 1);
    assert_eq!(numbers(&place.wait(1)), [7]);
    assert!(service.logged().contains("the audit log was removed"), "{}", service.logged());
    // A start right after a rotation knows where to go on.
    assert!(service.stop().success());
    std::fs::remove_file(&place.log).unwrap();
    let service = place.start();
    calls(&service, 1);
    assert_eq!(numbers(&place.wait(1)), [8]);
    assert!(service.stop().success());
}

#[test]
fn it_begins_with_the_oldest_record_and_says_what_was_purged_before_it_was_written() {
    let place = Place::new();
    let service = Process::start(place.serve(&[]));
    calls(&service, 3);
    assert!(service.stop().success());
    let service = place.start();
    assert_eq!(numbers(&place.wait(3)), [1, 2, 3], "those of before");
    assert!(service.stop().success());

    // Without the log, more is called than is kept.
    let service = Process::start(place.serve(&[]));
    calls(&service, 6);
    assert!(service.stop().success());
    let few = ["--quota", "audit_records=2"];
    let service = Process::start(place.serve(&few));
    let begun = Instant::now();
    while place.records().len() > 2 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", numbers(&place.records()));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(service.stop().success());
    let service = place.start();
    let written = place.wait(6);
    assert!(service.stop().success());
    assert_eq!(numbers(&written), [1, 2, 3, 7, 8, 9]);
    let gap = &written[3];
    assert_eq!((&gap["gap"]["first"], &gap["gap"]["last"]), (&4.into(), &7.into()), "{gap}");
    assert!(gap["requestId"].is_null() && gap["note"].is_string(), "{gap}");
}

#[test]
fn a_database_that_was_restored_is_said_and_written_again() {
    let place = Place::new();
    let service = place.start();
    calls(&service, 2);
    place.wait(2);
    assert!(service.stop().success());
    let backup = place.directory.path().join("backup.db");
    let (data, file) = (place.data.to_str().unwrap().to_owned(), backup.to_str().unwrap().to_owned());
    let run = |arguments: &[&str]| {
        let output = program(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    };
    run(&["backup", &file, "--data-dir", &data]);
    let service = place.start();
    calls(&service, 2);
    place.wait(4);
    assert!(service.stop().success());

    // Another number three and four: nothing but their hashes tells them from those that were written.
    let key = place.directory.path().join("master.key");
    std::fs::copy(place.data.join("master.key"), &key).unwrap();
    std::fs::remove_dir_all(&place.data).unwrap();
    run(&["restore", &file, "--data-dir", &data, "--master-key-file", key.to_str().unwrap()]);
    let service = Process::start(place.serve(&[]));
    calls(&service, 3);
    assert!(service.stop().success());
    let recorded = place.records();
    let service = place.start();
    let written = place.wait(4 + 1 + recorded.len());
    assert!(service.stop().success());
    assert_eq!(written[4]["elsewhere"]["written"], 4, "{}", written[4]);
    assert_eq!(written[5..], recorded);
    // It is said once.
    let service = place.start();
    calls(&service, 1);
    let more = place.wait(written.len() + 1);
    assert!(service.stop().success());
    assert_eq!(numbers(&more[written.len()..]), [i64::try_from(recorded.len()).unwrap() + 1]);
}

/// Needs a mount of its own: a user namespace. Where that is not allowed there is nothing to try.
#[test]
fn on_a_full_disk_it_goes_on_answering_and_catches_up() {
    let place = Place::new();
    let allowed = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no mounts in a user namespace here");
        return;
    }
    let script = "mkdir m && mount -t tmpfs -o size=64k none m && dd if=/dev/zero of=m/ballast bs=1k count=52 2>/dev/null
        \"$@\" --audit-log m/audit.jsonl &
        server=$!
        trap 'rm m/ballast' USR1
        trap 'kill $server' TERM
        while kill -0 $server 2>/dev/null; do wait $server; done
        cp m/audit.jsonl audit.jsonl";
    let serve = place.serve(&[]);
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh"]).arg(serve.get_program()).args(serve.get_args());
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(place.directory.path()).stdin(Stdio::null());
    let mut service = Process::start(command);
    let address = admin_of(&mut service);
    let failing = || admin(&address, "/readyz").contains("\"check\":\"audit_log\",\"ok\":false");
    let begun = Instant::now();
    while !failing() {
        calls(&service, 1);
        assert!(begun.elapsed() < PATIENCE, "the disk is never full");
    }
    calls(&service, 5);
    let ready = admin(&address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("No space left"), "{ready}");
    let metrics = admin(&address, "/metrics");
    assert!(metrics.contains("tongguan_audit_log_failing 1\n"), "{metrics}");
    assert!(!metrics.contains("tongguan_audit_log_failures_total 0\n"), "{metrics}");
    assert!(service.logged().contains("records wait in the database"), "{}", service.logged());
    service.signal(Signal::USR1);
    let caught_up = || {
        let metrics = admin(&address, "/metrics");
        metrics.contains("tongguan_audit_log_failing 0\n")
            && metrics.contains("tongguan_audit_log_behind 0\n")
    };
    let begun = Instant::now();
    while !caught_up() {
        assert!(begun.elapsed() < PATIENCE, "{}", admin(&address, "/readyz"));
        std::thread::sleep(Duration::from_millis(10));
    }
    service.signal(Signal::TERM);
    ended(&mut service.child);
    let (written, recorded) = (place.lines(), place.records());
    assert_eq!(numbers(&written), numbers(&recorded));
    assert_eq!(written, recorded);
}

#[test]
fn what_is_no_audit_log_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let refused = |path: &Path, more: &[&str]| {
        let mut command = place.serve(more);
        command.arg("--audit-log").arg(path).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let code = ended(&mut child).code();
        (code, text(&child.wait_with_output().unwrap()))
    };
    let nowhere = place.directory.path().join("nowhere/audit.jsonl");
    let letter = place.directory.path().join("letter.txt");
    for text in ["Dear Sir", "Dear Sir\n", "{\"seq\": \"none\"}\n"] {
        std::fs::write(&letter, text).unwrap();
        for path in [&letter, &nowhere, &place.directory.path().to_owned()] {
            for more in [&[][..], &["--check"]] {
                let (code, said) = refused(path, more);
                assert_eq!(code, Some(78), "{said}");
            }
        }
        assert_eq!(std::fs::read_to_string(&letter).unwrap(), text);
    }
    // One file is of one service.
    let service = place.start();
    let mut other = Place::new();
    other.log.clone_from(&place.log);
    let mut command = other.serve(&[]);
    command.arg("--audit-log").arg(&place.log).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    assert_eq!(ended(&mut child).code(), Some(78), "{}", text(&child.wait_with_output().unwrap()));
    assert!(service.stop().success());
}
