//! The real program as a child process: without this process's settings, killed when dropped.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tempfile::NamedTempFile;

use crate::api::ACCOUNT;
use crate::{Caller, PATIENCE};

/// How long a program may take to stop in order.
const STOP: Duration = Duration::from_secs(60);
/// Lines of a log that are shown where a start went wrong.
const TAIL: usize = 20;

/// The program under test: cargo tells where it is, and else it stands beside the tests.
pub fn binary() -> PathBuf {
    std::env::var_os("CARGO_BIN_EXE_tongguan").map_or_else(
        || std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("tongguan"),
        PathBuf::from,
    )
}

/// A program with nothing that the environment says of it.
pub fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("TONGGUAN_") || name.starts_with("ALIBABA_") || name == "FAILPOINTS" {
            command.env_remove(&*name);
        }
    }
    command
}

/// The program under test with these arguments, and nothing that the environment says of it.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = command(&binary());
    command.args(arguments);
    command
}

/// The same with a root key, for the service and for who calls it.
pub fn program_with_key(arguments: &[&str], id: &str, secret: &str) -> Command {
    let mut command = program(arguments);
    with_root(&mut command, &Caller::of(id, secret));
    command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", id).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret);
    command
}

/// A service on a free loopback port, its root key from the environment. How fast changes come into force is
/// `apply_delay`.
pub fn serve(binary: &Path, data: &Path, apply_delay: &str, root: &Caller) -> Command {
    let mut command = command(binary);
    command.args(["serve", "--listen", "127.0.0.1:0", "--apply-delay", apply_delay, "--data-dir"]).arg(data);
    with_root(&mut command, root);
    command
}

fn with_root(command: &mut Command, root: &Caller) {
    command.env("TONGGUAN_ACCESS_KEY_ID", &root.id).env("TONGGUAN_ACCESS_KEY_SECRET", &root.secret);
    command.env("TONGGUAN_ACCOUNT_ID", ACCOUNT);
}

/// All that a process has said.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Sends a signal.
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

/// A line of `/proc/PID/status`, in KiB: `VmRSS` is resident memory.
///
/// # Errors
/// There is no such process, or no `/proc`.
pub fn memory_kib(pid: u32, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("no such process")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    kib.with_context(|| format!("no {name}"))
}

/// Lets this process open as many files as it may; answers how many that are.
pub fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap())
}

/// Where a program logs.
#[derive(Debug)]
pub enum Log {
    /// Into a file that goes with it.
    Scratch(NamedTempFile),
    /// To the end of this file.
    At(PathBuf),
}

/// A child process that says on standard output where it listens. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    /// The process.
    pub child: Child,
    /// Where it listens, host and port; empty until it has said so.
    pub endpoint: String,
    said: Arc<Said>,
    /// Bytes of what it said that were looked at.
    seen: usize,
    log: Log,
}

/// What a program has written to its standard output.
#[derive(Debug, Default)]
struct Said {
    /// The bytes, and whether there will be no more.
    text: Mutex<(Vec<u8>, bool)>,
    more: Condvar,
}

/// A program that ended before it listened.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// The end of its log.
    pub log: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the program ended with {}: {}", self.status, self.log)
    }
}

impl std::error::Error for Ended {}

impl Program {
    /// Starts it, and waits until it has said where it listens.
    pub fn start(command: Command) -> Self {
        let log = Log::Scratch(NamedTempFile::new().unwrap());
        Self::spawn(command, log).and_then(Self::ready).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Starts it.
    ///
    /// # Errors
    /// It cannot be run, or nothing can be logged.
    pub fn spawn(mut command: Command, log: Log) -> Result<Self> {
        let stderr = match &log {
            Log::Scratch(file) => file.reopen().context("cannot open the log")?,
            Log::At(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                file.with_context(|| format!("cannot make {}", path.display()))?
            }
        };
        let child = command.stdout(Stdio::piped()).stderr(stderr).spawn();
        let name = command.get_program().to_string_lossy().into_owned();
        let child = child.with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, endpoint: String::new(), said: Arc::default(), seen: 0, log })
    }

    /// Waits until it has said where it listens.
    ///
    /// # Errors
    /// [`Ended`]: it has ended before. Or it says nothing for too long.
    pub fn ready(mut self) -> Result<Self> {
        let mut stdout = self.child.stdout.take().context("no standard output")?;
        let said = Arc::clone(&self.said);
        // A full pipe would block the program, a closed one might end it.
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            loop {
                let read = stdout.read(&mut buffer).unwrap_or_default();
                let mut text = said.text.lock().unwrap_or_else(PoisonError::into_inner);
                text.0.extend_from_slice(&buffer[..read]);
                text.1 = read == 0;
                said.more.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        let told = self.try_told("listening on ")?;
        self.endpoint = told.rsplit_once("//").with_context(|| format!("no address: {told}"))?.1.to_owned();
        Ok(self)
    }

    /// Waits for a line of standard output after those that were waited for; answers its rest.
    pub fn told(&mut self, what: &str) -> String {
        self.try_told(what).unwrap_or_else(|error| panic!("{error:#}"))
    }

    fn try_told(&mut self, what: &str) -> Result<String> {
        let begun = Instant::now();
        let said = Arc::clone(&self.said);
        let mut text = said.text.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let rest = &text.0[self.seen..];
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                self.seen += end + 1;
                if let Some(rest) = line.trim_end().strip_prefix(what) {
                    return Ok(rest.to_owned());
                }
                continue;
            }
            if text.1 {
                drop(text);
                let status = self.child.wait().context("cannot wait")?;
                return Err(Ended { status, log: self.log_tail() }.into());
            }
            let left = STOP.saturating_sub(begun.elapsed());
            ensure!(!left.is_zero(), "the program never says {what:?}: {}", self.log_tail());
            text = said.more.wait_timeout(text, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything that it has written to standard output so far.
    pub fn said(&self) -> Vec<u8> {
        self.said.text.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap()
    }

    fn log_path(&self) -> &Path {
        match &self.log {
            Log::Scratch(file) => file.path(),
            Log::At(path) => path,
        }
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.parse().unwrap()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub fn signal(&self, which: Signal) {
        signal(&self.child, which);
    }

    /// Has it stop in order, and waits for its end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        ended(&mut self.child)
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// It does not stop, or says that it failed.
    pub fn end(mut self) -> Result<()> {
        self.signal(Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < STOP {
            if let Some(status) = self.child.try_wait().context("cannot wait")? {
                ensure!(status.success(), "the program stopped with {status}: {}", self.log_tail());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("the program did not stop within {STOP:?}")
    }

    /// Kills it, if it has not ended already. Answers how it ended.
    ///
    /// # Errors
    /// It cannot be killed or waited for.
    pub fn kill(mut self) -> Result<ExitStatus> {
        self.child.kill().context("cannot kill the program")?;
        self.child.wait().context("cannot wait for the program")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
