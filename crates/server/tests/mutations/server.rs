//! The server under test: the real program, in a directory of its own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::exchange::{Client, Outcome};
use crate::parameters;

/// The key that the recorded requests were signed with.
pub(crate) const KEY: (&str, &str) = ("testid", "testsecret");

pub(crate) struct Server {
    child: Child,
    pub address: String,
    directory: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tongguan"))
            .args(["serve", "--listen", "127.0.0.1:0", "--apply-delay", "0", "--data-dir"])
            .arg(directory.path().join("data"))
            .env("TONGGUAN_ACCESS_KEY_ID", KEY.0)
            .env("TONGGUAN_ACCESS_KEY_SECRET", KEY.1)
            .env("TONGGUAN_ACCOUNT_ID", "1234567890123456")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = lines
            .map(Result::unwrap)
            .find_map(|line| line.split_once("listening on http://").map(|(_, address)| address.to_owned()));
        Self { child, address: listening.expect("the server says where it listens"), directory }
    }

    /// Resident memory.
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Makes a call that must succeed, and gives its answer.
    pub(crate) fn call(&self, action: &str, version: &str, values: &[(&str, &str)]) -> Value {
        let owned = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let message = parameters::plain(action, version, owned);
        let mut client = Client::new(&self.address);
        let outcome = client.exchange(&message, false);
        assert!(matches!(&outcome, Outcome::Answered(answers) if answers == &["200"]), "{outcome:?}");
        serde_json::from_slice(&client.last_body).unwrap()
    }

    /// An ordinary call is answered as ever.
    pub(crate) fn still_works(&self) {
        let answer = self.call("GetCallerIdentity", "2015-04-01", &[]);
        assert_eq!(answer["AccountId"], "1234567890123456");
    }

    /// Stops the server in order; its log tells of no bug.
    pub(crate) fn stop(mut self) {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        assert!(self.child.wait().unwrap().success(), "the server did not stop in order");
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap();
        let faults: Vec<&str> = log
            .lines()
            .filter(|line| ["panic", "ERROR", "a bug"].iter().any(|word| line.contains(word)))
            .take(5)
            .collect();
        assert!(faults.is_empty(), "the log tells of faults:\n{}", faults.join("\n"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After an orderly stop both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
