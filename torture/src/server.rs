//! The server under test: started on a data directory, killed, started again.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::api::{ACCESS_KEY_ID, ACCOUNT, SECRET};

/// Signal of a process that aborted itself, which a crash point does.
const ABORTED: i32 = 6;
/// How long a server may take to stop in order.
const STOP: Duration = Duration::from_secs(60);
/// Limits that the load would run into.
const QUOTAS: [&str; 6] = [
    "vpn_gateways_per_account=100000",
    "vpcs_per_region=100000",
    "audit_records=1000000000",
    "audit_changes=1000000000",
    "audit_strangers=1000000000",
    // Each refusal one by one: the load repeats requests on purpose.
    "audit_strangers_per_minute=1000000000",
];

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Server {
    /// The program.
    pub binary: PathBuf,
    /// Where its data is.
    pub directory: PathBuf,
}

/// How one life of a server differs from the others.
#[derive(Debug, Clone, Default)]
pub struct Life {
    /// `--apply-delay`.
    pub apply_delay: String,
    /// Where it crashes by itself: `point:n`.
    pub crash_at: Option<String>,
    /// Further quotas.
    pub quotas: Vec<String>,
    /// Points that fail or wait, as the crate `fail` reads them from `FAILPOINTS`.
    pub failpoints: Option<String>,
}

impl Life {
    /// A life with this apply delay.
    #[must_use]
    pub fn with_delay(delay: &str) -> Self {
        Self { apply_delay: delay.to_owned(), ..Self::default() }
    }
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How a start went.
#[derive(Debug)]
pub enum Start {
    /// It listens.
    Listening(Program),
    /// It crashed at its crash point before it listened.
    Crashed,
}

impl Server {
    /// Names of the crash points; none if the program was built without them.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn crash_points(&self) -> Result<Vec<String>> {
        let output =
            Command::new(&self.binary).arg("crash-points").output().context("cannot run the server")?;
        if !output.status.success() {
            return Ok(Vec::new());
        }
        let text = String::from_utf8(output.stdout).context("the crash points are no text")?;
        // Those of `master-key rotate` are not passed by a server.
        let points =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("rotate::"));
        Ok(points.map(ToOwned::to_owned).collect())
    }

    /// Starts it.
    ///
    /// # Errors
    /// It does not come to listen.
    pub fn start(&self, life: &Life) -> Result<Program> {
        match self.try_start(life)? {
            Start::Listening(program) => Ok(program),
            Start::Crashed => bail!("the server aborted before it listened: {}", self.log_tail()),
        }
    }

    /// Starts it; it may have a crash point on the way.
    ///
    /// # Errors
    /// It ends in another way.
    pub fn try_start(&self, life: &Life) -> Result<Start> {
        let data = self.directory.join("data");
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--apply-delay", &life.apply_delay, "--data-dir"]);
        command.arg(&data).current_dir(&self.directory);
        for quota in QUOTAS.iter().copied().chain(life.quotas.iter().map(String::as_str)) {
            command.args(["--quota", quota]);
        }
        command.env("TONGGUAN_ACCESS_KEY_ID", ACCESS_KEY_ID);
        command.env("TONGGUAN_ACCESS_KEY_SECRET", SECRET);
        command.env("TONGGUAN_ACCOUNT_ID", ACCOUNT);
        match &life.crash_at {
            Some(point) => command.env("TONGGUAN_CRASH_AT", point),
            None => command.env_remove("TONGGUAN_CRASH_AT"),
        };
        match &life.failpoints {
            Some(points) => command.env("FAILPOINTS", points),
            None => command.env_remove("FAILPOINTS"),
        };
        let log =
            OpenOptions::new().create(true).append(true).open(self.log()).context("cannot make the log")?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().context("cannot start the server")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        loop {
            line.clear();
            if lines.read_line(&mut line).context("cannot read what the server says")? == 0 {
                let status = child.wait().context("cannot wait")?;
                if life.crash_at.is_some() && aborted(status) {
                    return Ok(Start::Crashed);
                }
                bail!("the server ended with {status}: {}", self.log_tail());
            }
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                let address = address.parse().with_context(|| format!("no address: {line}"))?;
                // A full pipe would block the server, a closed one might end it.
                std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
                return Ok(Start::Listening(Program { child, address }));
            }
        }
    }

    /// Runs `tongguan check` on the data.
    ///
    /// # Errors
    /// It finds something.
    pub fn check(&self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        let output = command.args(["check", "--data-dir"]).arg(self.directory.join("data")).output();
        let output = output.context("cannot run the server")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "`tongguan check` ended with {}: {said}", output.status);
        Ok(())
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.directory.join("data").join("tongguan.db")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    fn log_tail(&self) -> String {
        tail(&self.log())
    }
}

impl Program {
    /// Kills it with SIGKILL. Answers whether it had ended by itself, at its crash point.
    ///
    /// # Errors
    /// It had ended in another way.
    pub fn kill(mut self) -> Result<bool> {
        self.child.kill().context("cannot kill the server")?;
        let status = self.child.wait().context("cannot wait for the server")?;
        match status.signal() {
            Some(ABORTED) => Ok(true),
            Some(9) => Ok(false),
            _ => bail!("the server ended by itself with {status}"),
        }
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// It does not stop, or says that it failed.
    pub fn stop(mut self) -> Result<()> {
        // A signal takes `unsafe` or a shell.
        let kill = format!("kill -TERM {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().context("cannot run sh")?;
        ensure!(sent.success(), "cannot signal the server");
        let begun = Instant::now();
        while begun.elapsed() < STOP {
            if let Some(status) = self.child.try_wait().context("cannot wait")? {
                ensure!(status.success(), "the server stopped with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("the server did not stop within {STOP:?}")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn aborted(status: ExitStatus) -> bool {
    status.signal() == Some(ABORTED)
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
