//! What somebody meets who has the program for the first time: whose directories it touches, what it says of a mistake
//! and with which exit code, whether the README is true.
#![allow(clippy::disallowed_methods, reason = "whoever calls from outside goes by the time of day")]
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

#[path = "../common/mod.rs"]
mod common;
mod mistakes;
mod printing;
mod readme;
mod territory;
mod tls;

use std::path::{Path, PathBuf};
use std::process::Output;

use common::program::{Process, ended, program, program_with_key, text};
use common::{KEY, SECRET};

/// Runs the program with what a shell would split.
fn run(line: &str, directory: &Path) -> Output {
    let words: Vec<&str> = line.split_whitespace().collect();
    program(&words).current_dir(directory).output().unwrap()
}

/// Exit code and all that was said. A `serve` that goes on is killed, and fails the test.
fn told(line: &str, directory: &Path) -> (Option<i32>, String) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut command = program(&words);
    command.current_dir(directory).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let code = ended(&mut child).code();
    (code, text(&child.wait_with_output().unwrap()))
}

/// A service on `data` inside a directory.
fn serve(directory: &Path, more: &[&str]) -> Process {
    let mut command =
        program_with_key(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"], KEY, SECRET);
    command.args(["--apply-delay", "0"]).args(more).current_dir(directory);
    Process::start(command)
}

/// The root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
