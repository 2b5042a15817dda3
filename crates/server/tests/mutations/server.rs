//! The server under test: the real program, in a directory of its own.

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tongguan_testkit::Caller;
use tongguan_testkit::api::{ACCOUNT, STS};
use tongguan_testkit::program::{self, Program, ended, memory_kib};

use crate::exchange::{Client, Outcome};
use crate::parameters;

pub struct Server {
    program: Program,
    pub address: String,
    directory: TempDir,
}

/// The key that the recorded requests were signed with.
pub fn key() -> Caller {
    Caller::of("testid", "testsecret")
}

impl Server {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let program = Program::start(program::serve(&program::binary(), &data, "0", &key()));
        Self { address: program.endpoint.clone(), program, directory }
    }

    /// Resident memory.
    pub fn memory_kib(&self) -> u64 {
        memory_kib(self.program.pid(), "VmRSS").unwrap()
    }

    /// Makes a call that must succeed, and gives its answer.
    pub fn call(&self, action: &str, version: &str, values: &[(&str, &str)]) -> Value {
        let owned = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let message = parameters::plain(action, version, owned);
        let mut client = Client::new(&self.address);
        let outcome = client.exchange(&message, false);
        assert!(matches!(&outcome, Outcome::Answered(answers) if answers == &["200"]), "{outcome:?}");
        serde_json::from_slice(&client.last_body).unwrap()
    }

    /// An ordinary call is answered as ever.
    pub fn still_works(&self) {
        let answer = self.call("GetCallerIdentity", STS, &[]);
        assert_eq!(answer["AccountId"], ACCOUNT);
    }

    /// Stops the server in order; its log tells of no bug.
    pub fn stop(self) {
        let Self { mut program, directory, .. } = self;
        program.signal(Signal::TERM);
        assert!(ended(&mut program.child).success(), "the server did not stop in order");
        let log = program.logged();
        let faults: Vec<&str> = log
            .lines()
            .filter(|line| ["panic", "ERROR", "a bug"].iter().any(|word| line.contains(word)))
            .take(5)
            .collect();
        assert!(faults.is_empty(), "the log tells of faults:\n{}", faults.join("\n"));
        drop(directory);
    }
}
