//! `tongguan dev` as a process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::program::{ended, program, signal, text};

/// A `tongguan dev` that has said where it is. Killed when dropped.
#[derive(Debug)]
pub struct Dev {
    /// The process.
    pub child: Child,
    /// What it has said.
    pub said: Value,
}

impl Dev {
    /// The command, with a folder for its temporary files.
    pub fn command(temporary: &Path, more: &[&str]) -> Command {
        let mut command =
            program(&["dev", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.args(more).env("TMPDIR", temporary).current_dir(temporary.parent().unwrap());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it.
    pub fn start(temporary: &Path, more: &[&str]) -> Self {
        let mut child = Self::command(temporary, more).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            panic!("{}", text(&child.wait_with_output().unwrap()));
        }
        Self { said: serde_json::from_str(&line).unwrap(), child }
    }

    /// A member of what it has said.
    pub fn of(&self, name: &str) -> &str {
        self.said[name].as_str().unwrap()
    }

    /// `tongguan call` with its key.
    pub fn call(&self, line: &str) -> Output {
        self.call_by(self.of("endpoint"), line)
    }

    /// The same, by way of another endpoint.
    pub fn call_by(&self, endpoint: &str, line: &str) -> Output {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = program(&["call"]);
        command.args(words).args(["--endpoint", endpoint, "--region", self.of("regionId")]);
        command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", self.of("accessKeyId"));
        command.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", self.of("accessKeySecret"));
        command.output().unwrap()
    }

    /// What such a call answers; it must be granted.
    pub fn answer(&self, line: &str) -> Value {
        let output = self.call(line);
        assert!(output.status.success(), "{line}: {}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Stops it in order.
    pub fn stop(mut self) {
        signal(&self.child, Signal::TERM);
        assert_eq!(ended(&mut self.child).code(), Some(0));
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory with a folder for temporary files in it.
pub fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let temporary = directory.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    (directory, temporary)
}
