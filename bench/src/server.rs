//! Programs under measurement: child processes that say where they listen.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::api::{ACCESS_KEY_ID, ACCOUNT, SECRET};
use crate::ceiling::Check;
use crate::machine::Cores;

/// How long a program may take to stop in order.
const STOP: Duration = Duration::from_secs(60);

/// Limits that the suite would run into.
const QUOTAS: [&str; 7] = [
    "vpn_gateways_per_account=1000000",
    "vpcs_per_region=1000000",
    "vswitches_per_vpc=1000000",
    "certificates_per_account=1000000",
    "audit_records=10000000",
    "audit_changes=10000000",
    "nonces=50000000",
];

/// A running program that serves HTTP. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// The server, ready to be started on data directories.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    binary: PathBuf,
    cores: Cores,
}

impl Server {
    /// The server in `binary`.
    pub(crate) fn new(binary: PathBuf, cores: Cores) -> Self {
        Self { binary, cores }
    }

    /// The program file.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Starts it on a data directory, which is made if absent.
    ///
    /// # Errors
    /// It does not come to listen.
    pub(crate) fn start(&self, directory: &Path) -> Result<Program> {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"]);
        command.args(["--apply-delay", "0", "--data-dir"]);
        command.arg(directory);
        for quota in QUOTAS {
            command.args(["--quota", quota]);
        }
        command.env("TONGGUAN_ACCESS_KEY_ID", ACCESS_KEY_ID);
        command.env("TONGGUAN_ACCESS_KEY_SECRET", SECRET);
        command.env("TONGGUAN_ACCOUNT_ID", ACCOUNT);
        Program::start(command, self.cores, &directory.with_extension("log"))
    }
}

impl Program {
    /// Starts a ceiling that answers the bytes in `body`.
    ///
    /// # Errors
    /// It does not come to listen.
    pub(crate) fn ceiling(check: Check, body: &Path, cores: Cores) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("where am I?")?);
        let name = match check {
            Check::None => "none",
            Check::V1 => "v1",
            Check::V3 => "v3",
        };
        command.args(["ceiling", "--secret", SECRET, "--check", name, "--body"]).arg(body);
        Self::start(command, cores, &body.with_extension(name))
    }

    fn start(mut command: Command, cores: Cores, log: &Path) -> Result<Self> {
        let stderr = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child =
            cores.on_server(|| command.spawn()).with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        let address = loop {
            line.clear();
            if lines.read_line(&mut line).context("cannot read what the program says")? == 0 {
                let status = child.wait().context("cannot wait")?;
                bail!("{name} ended with {status}: {}", tail(log));
            }
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                break address.parse().with_context(|| format!("no address: {line}"))?;
            }
        };
        // A full pipe would block the program, a closed one might end it.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Ok(Self { child, address })
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// It does not stop, or says that it failed.
    pub(crate) fn stop(mut self) -> Result<()> {
        // A signal takes `unsafe` or a shell.
        let kill = format!("kill -TERM {}", self.pid());
        let sent = Command::new("sh").args(["-c", &kill]).status().context("cannot run sh")?;
        ensure!(sent.success(), "cannot signal the server");
        let begun = Instant::now();
        while begun.elapsed() < STOP {
            if let Some(status) = self.child.try_wait().context("cannot wait")? {
                ensure!(status.success(), "the server stopped with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
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

/// The end of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
