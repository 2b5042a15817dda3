//! The program as a process: without this process's settings, killed when its test ends.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use super::PATIENCE;

/// The program with these arguments, and nothing that the environment says of it.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tongguan"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars() {
        if name.starts_with("TONGGUAN_") || name.starts_with("ALIBABA_") || name == "FAILPOINTS" {
            command.env_remove(name);
        }
    }
    command
}

/// The same with a root key, for the service and for who calls it.
pub fn program_with_key(arguments: &[&str], id: &str, secret: &str) -> Command {
    let mut command = program(arguments);
    command.env("TONGGUAN_ACCESS_KEY_ID", id).env("TONGGUAN_ACCESS_KEY_SECRET", secret);
    command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", id).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret);
    command.env("TONGGUAN_ACCOUNT_ID", "1234567890123456");
    command
}

/// All that a process has said.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

/// Waits for the end of a process; one that goes on is killed.
pub fn ended(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the process does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A service that was started by a command.
pub struct Process {
    pub child: Child,
    /// Where it listens, host and port.
    pub endpoint: String,
    lines: BufReader<ChildStdout>,
    log: NamedTempFile,
}

impl Process {
    /// Starts it, and waits until it has said where it listens.
    pub fn start(mut command: Command) -> Self {
        let log = NamedTempFile::new().unwrap();
        let errors = Stdio::from(log.reopen().unwrap());
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self { child, endpoint: String::new(), lines, log };
        process.endpoint = process.told("listening on ").rsplit_once("//").unwrap().1.to_owned();
        process
    }

    /// Waits for a line of standard output; answers its rest.
    pub fn told(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).unwrap();
            assert!(read > 0, "{}", self.logged());
            if let Some(rest) = line.trim_end().strip_prefix(what) {
                return rest.to_owned();
            }
        }
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    pub fn signal(&self, which: Signal) {
        signal(&self.child, which);
    }

    /// Ends it in order.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        ended(&mut self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
