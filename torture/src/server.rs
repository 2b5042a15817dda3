//! The server under test: started on a data directory, killed, started again.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;

use anyhow::{Context as _, Result, bail, ensure};
use tongguan_testkit::program::{self, Ended, Log, Program};

use crate::api::root;

/// Signal of a process that aborted itself, which a crash point does.
const ABORTED: i32 = 6;
/// Limits that the load would run into.
pub const QUOTAS: [&str; 6] = [
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

/// How a start went.
#[derive(Debug)]
pub enum Start {
    /// It listens.
    Listening(Program),
    /// It crashed at its crash point before it listened.
    Crashed(Ended),
}

impl Server {
    /// Names of the crash points; none if the program was built without them.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn crash_points(&self) -> Result<Vec<String>> {
        let output = program::command(&self.binary).arg("crash-points").output();
        let output = output.context("cannot run the server")?;
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
            Start::Crashed(ended) => Err(ended.into()),
        }
    }

    /// Starts it; it may have a crash point on the way.
    ///
    /// # Errors
    /// It ends in another way.
    pub fn try_start(&self, life: &Life) -> Result<Start> {
        let data = self.directory.join("data");
        let mut command = program::serve(&self.binary, &data, &life.apply_delay, &root());
        command.current_dir(&self.directory);
        for quota in QUOTAS.iter().copied().chain(life.quotas.iter().map(String::as_str)) {
            command.args(["--quota", quota]);
        }
        command.envs(life.crash_at.iter().map(|point| ("TONGGUAN_CRASH_AT", point)));
        command.envs(life.failpoints.iter().map(|points| ("FAILPOINTS", points)));
        let log = Log::At(self.directory.join("server.log"));
        match Program::spawn(command, log)?.ready() {
            Ok(program) => Ok(Start::Listening(program)),
            Err(error) => match error.downcast::<Ended>() {
                Ok(ended) if life.crash_at.is_some() && aborted(ended.status) => Ok(Start::Crashed(ended)),
                Ok(ended) => Err(ended.into()),
                Err(error) => Err(error),
            },
        }
    }

    /// Runs `tongguan check` on the data.
    ///
    /// # Errors
    /// It finds something.
    pub fn check(&self) -> Result<()> {
        let mut command = program::command(&self.binary);
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
}

/// Kills a server with SIGKILL. Answers whether it had ended by itself, at its crash point.
///
/// # Errors
/// It had ended in another way.
pub fn kill(program: Program) -> Result<bool> {
    let status = program.kill()?;
    match status.signal() {
        Some(ABORTED) => Ok(true),
        Some(9) => Ok(false),
        _ => bail!("the server ended by itself with {status}"),
    }
}

fn aborted(status: ExitStatus) -> bool {
    status.signal() == Some(ABORTED)
}
