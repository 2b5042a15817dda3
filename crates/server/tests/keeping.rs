//! What an operator keeps data with, on the real program: backup, restore, check, status, exit codes, and
//! what happens when the disk is full, read-only or damaged.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Instant;

use common::PATIENCE;
use common::program::{Process, ended, program_with_key, text};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const KEY: &str = "LTAIkeeping";
const SECRET: &str = "a secret of this test";

/// The program with the root key of this file.
fn program(arguments: &[&str]) -> Command {
    program_with_key(arguments, KEY, SECRET)
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

/// A running server.
struct Server(Process);

impl Server {
    fn on(data: &Path) -> Self {
        let data = shown(data);
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--apply-delay", "0", "--data-dir", &data];
        Self(Process::start(program(&arguments)))
    }

    fn call(&self, action: &str, parameters: &[&str]) -> (ExitStatus, Value) {
        let head =
            ["call", "--endpoint", &self.0.endpoint, "--region", "cn-hangzhou", "--raw", "Vpc", action];
        let output = run(&[&head, parameters].concat());
        (output.status, serde_json::from_slice(&output.stdout).unwrap_or_default())
    }

    /// Makes a VPC and answers its id.
    fn vpc(&self) -> String {
        let (status, answer) = self.call("CreateVpc", &[]);
        assert!(status.success(), "{answer}");
        answer["VpcId"].as_str().unwrap().to_owned()
    }

    fn vpcs(&self) -> Vec<String> {
        let (status, answer) = self.call("DescribeVpcs", &["--PageSize", "50"]);
        assert!(status.success(), "{answer}");
        let vpcs = answer["Vpcs"]["Vpc"].as_array().unwrap().iter();
        vpcs.map(|vpc| vpc["VpcId"].as_str().unwrap().to_owned()).collect()
    }

    fn stop(self) -> ExitStatus {
        self.0.stop()
    }
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A directory with a data directory in it that has seen an orderly stop.
fn kept() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::on(&data);
    server.vpc();
    assert!(server.stop().success());
    (directory, data)
}

/// `serve` that must refuse to start: its exit code and what it says.
fn refused(data: &Path, more: &[&str]) -> (Option<i32>, String) {
    let data = shown(data);
    let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--data-dir", &data];
    arguments.extend(more);
    let mut child = program(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let code = ended(&mut child).code();
    (code, text(&child.wait_with_output().unwrap()))
}

#[test]
fn a_backup_of_a_running_service_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let (data, copy, restored) =
        (directory.path().join("data"), directory.path().join("copy.db"), directory.path().join("restored"));
    let server = Server::on(&data);
    let before = [server.vpc(), server.vpc()];
    let output = run(&["backup", &shown(&copy), "--data-dir", &shown(&data)]);
    assert!(output.status.success(), "{}", text(&output));
    let after = server.vpc();
    // What is there is not overwritten, neither a backup nor a database.
    let again = run(&["backup", &shown(&copy), "--data-dir", &shown(&data)]);
    assert_eq!(again.status.code(), Some(74), "{}", text(&again));
    assert!(!run(&["restore", &shown(&copy), "--data-dir", &shown(&data)]).status.success());
    assert_eq!(server.vpcs().len(), 3);
    let check = run(&["check", "--file", &shown(&copy)]);
    assert!(check.status.success(), "{}", text(&check));
    let key = shown(&data.join("master.key"));
    let output = run(&["restore", &shown(&copy), "--data-dir", &shown(&restored), "--master-key-file", &key]);
    assert!(output.status.success(), "{}", text(&output));
    let back = Server::on(&restored);
    let vpcs = back.vpcs();
    assert!(before.iter().all(|id| vpcs.contains(id)) && !vpcs.contains(&after), "{vpcs:?}");
    // Whoever got hold of a file alone gets no secret.
    let bytes = std::fs::read(&copy).unwrap();
    assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&copy).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_backup_that_was_changed_is_not_restored() {
    let (directory, data) = kept();
    let copy = directory.path().join("copy.db");
    assert!(run(&["backup", &shown(&copy), "--data-dir", &shown(&data)]).status.success());
    let mut bytes = std::fs::read(&copy).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    let into = directory.path().join("into");
    let output = run(&["restore", &shown(&copy), "--data-dir", &shown(&into)]);
    assert_eq!(output.status.code(), Some(65), "{}", text(&output));
    assert!(!into.exists());
}

#[test]
fn status_tells_what_is_there() {
    let (_directory, data) = kept();
    let look = || {
        let output = run(&["status", "--json", "--data-dir", &shown(&data)]);
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let seen = look();
    assert_eq!((seen["running"].as_bool(), seen["underWay"].as_u64()), (Some(false), Some(0)));
    let server = Server::on(&data);
    assert_eq!(look()["process"].as_u64(), Some(u64::from(server.0.child.id())));
}

#[test]
fn every_reason_not_to_start_has_its_exit_code() {
    let (_directory, data) = kept();
    let server = Server::on(&data);
    let (code, said) = refused(&data, &[]);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains(&server.0.child.id().to_string()), "{said}");
    assert!(server.stop().success());

    let (code, said) = refused(&data, &["--config", "/nowhere/tongguan.toml"]);
    assert_eq!(code, Some(78), "{said}");
    assert_eq!(refused(&data, &["--no-such-option"]).0, Some(2));

    let database = data.join("tongguan.db");
    let sound = std::fs::read(&database).unwrap();
    for (what, damage) in [
        ("header", Box::new(|bytes: &mut Vec<u8>| bytes[..100].fill(0x55)) as Box<dyn Fn(&mut Vec<u8>)>),
        ("page", Box::new(|bytes: &mut Vec<u8>| bytes[4096..8192].fill(0x55))),
        ("cut short", Box::new(|bytes: &mut Vec<u8>| bytes.truncate(3 * 4096))),
        ("gone", Box::new(Vec::clear)),
    ] {
        let mut bytes = sound.clone();
        damage(&mut bytes);
        std::fs::write(&database, &bytes).unwrap();
        let (code, said) = refused(&data, &[]);
        assert_eq!(code, Some(65), "{what}: {said}");
        assert!(said.contains("restore"), "{what}: it says what to do: {said}");
        assert_eq!(std::fs::read(&database).unwrap(), bytes, "{what}: it is left as it is");
    }
    std::fs::write(&database, &sound).unwrap();
    assert!(Server::on(&data).stop().success());
}

/// Needs a mount of its own: a user namespace. Where that is not allowed there is nothing to try.
fn in_namespace(script: &str, directory: &Path) -> Option<Command> {
    let allowed = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        tongguan_testkit::skipped("no mounts in a user namespace here");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script]).current_dir(directory).stdin(Stdio::null());
    for (name, value) in program(&[]).get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Some(command.env("BIN", env!("CARGO_BIN_EXE_tongguan")).env("DIR", directory).to_owned_command())
}

/// `Command::env` gives a reference; the tests want the command.
trait Owned {
    fn to_owned_command(&mut self) -> Command;
}

impl Owned for Command {
    fn to_owned_command(&mut self) -> Command {
        std::mem::replace(self, Command::new("true"))
    }
}

#[test]
fn a_read_only_directory_is_refused() {
    let (directory, data) = kept();
    let script = "mount --bind data data && mount -o remount,ro,bind data && \
                  \"$BIN\" serve --listen 127.0.0.1:0 --data-dir data";
    let Some(mut command) = in_namespace(script, directory.path()) else { return };
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(ended(&mut child).code(), Some(77));
    let said = text(&child.wait_with_output().unwrap());
    assert!(said.contains("tongguan.lock") || said.contains("ead-only"), "{said}");
    assert!(Server::on(&data).stop().success());
}

/// The disk fills up under the service: changes and reads are refused with 503, never with 500, nothing
/// that was answered is lost, and when there is room again it goes on by itself.
#[test]
fn a_full_disk_passes() {
    let directory = tempfile::tempdir().unwrap();
    let script = "mkdir m && mount -t tmpfs -o size=6m none m && dd if=/dev/zero of=m/ballast bs=1k count=4000 2>/dev/null
        \"$BIN\" serve --listen 127.0.0.1:0 --apply-delay 0 --data-dir m/data --quota vpcs_per_region=100000 &
        server=$!
        trap 'rm m/ballast' USR1
        trap 'kill $server' TERM
        while kill -0 $server 2>/dev/null; do wait $server; done
        \"$BIN\" check --data-dir m/data > check.txt 2>&1; echo $? > check.code";
    let Some(command) = in_namespace(script, directory.path()) else { return };
    let mut server = Server(Process::start(command));
    let mut made = Vec::new();
    let full = (0..20_000).any(|_| {
        let (status, answer) = server.call("CreateVpc", &["--Description", &"x".repeat(200)]);
        match (status.code(), answer["Code"].as_str()) {
            (Some(0), _) => made.push(answer["VpcId"].as_str().unwrap().to_owned()),
            (Some(1), Some("ServiceUnavailable")) => return true,
            other => panic!("{other:?} {answer}"),
        }
        false
    });
    assert!(full, "the disk never filled up");
    let (_, answer) = server.call("DescribeVpcs", &[]);
    assert!(matches!(answer["Code"].as_str(), None | Some("ServiceUnavailable")), "{answer}");
    server.0.signal(Signal::USR1);
    let begun = Instant::now();
    while !server.call("CreateVpc", &[]).0.success() {
        assert!(begun.elapsed() < PATIENCE, "it does not go on");
    }
    let (_, answer) = server.call("DescribeVpcs", &["--PageSize", "1"]);
    // One that was answered 503 may have been stored all the same; none that was answered 200 is missing.
    assert!(answer["TotalCount"].as_u64().unwrap() > made.len() as u64, "{answer}");
    for id in [&made[0], &made[made.len() / 2], &made[made.len() - 1]] {
        assert!(server.call("DescribeVpcAttribute", &["--VpcId", id]).0.success(), "{id} is lost");
    }
    // The script ends when it has checked what is left.
    server.0.signal(Signal::TERM);
    ended(&mut server.0.child);
    let code = std::fs::read_to_string(directory.path().join("check.code")).unwrap();
    assert_eq!(code.trim(), "0", "{}", std::fs::read_to_string(directory.path().join("check.txt")).unwrap());
}

/// The service is told to begin where there is no room at all.
#[test]
fn a_full_disk_at_the_start_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let script = "mkdir m && mount -t tmpfs -o size=64k none m && dd if=/dev/zero of=m/ballast bs=1k count=60 2>/dev/null
        exec \"$BIN\" serve --listen 127.0.0.1:0 --data-dir m/data";
    let Some(mut command) = in_namespace(script, directory.path()) else { return };
    let log = directory.path().join("log");
    let mut child = command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let code = ended(&mut child).code();
    assert_eq!(code, Some(74), "{}", std::fs::read_to_string(log).unwrap());
}
