//! Programs under measurement: child processes that say where they listen.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use tongguan_testkit::program::{self, Log, Program};

use crate::api;
use crate::ceiling::Check;
use crate::machine::Cores;

/// Limits that the suite would run into.
const QUOTAS: [&str; 8] = [
    "vpn_gateways_per_account=1000000",
    "vpn_connections_per_gateway=1000000",
    "vpcs_per_region=1000000",
    "vswitches_per_vpc=1000000",
    "certificates_per_account=1000000",
    "audit_records=10000000",
    "audit_changes=10000000",
    "nonces=50000000",
];

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
        self.start_with(directory, |_| ())
    }

    /// The same with what `more` says.
    ///
    /// # Errors
    /// It does not come to listen.
    pub(crate) fn start_with(&self, directory: &Path, more: impl FnOnce(&mut Command)) -> Result<Program> {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let mut command = program::serve(&self.binary, directory, "0", &api::root());
        command.args(["--admin-listen", "off"]);
        for quota in QUOTAS {
            command.args(["--quota", quota]);
        }
        more(&mut command);
        start(command, self.cores, directory.with_extension("log"))
    }
}

/// Starts a ceiling that answers the bytes in `body`.
///
/// # Errors
/// It does not come to listen.
pub(crate) fn ceiling(check: Check, body: &Path, cores: Cores) -> Result<Program> {
    let mut command = Command::new(std::env::current_exe().context("where am I?")?);
    let name = match check {
        Check::None => "none",
        Check::V1 => "v1",
        Check::V3 => "v3",
    };
    command.args(["ceiling", "--secret", &api::root().secret, "--check", name, "--body"]).arg(body);
    start(command, cores, body.with_extension(name))
}

fn start(command: Command, cores: Cores, log: PathBuf) -> Result<Program> {
    cores.on_server(|| Program::spawn(command, Log::At(log)))?.ready()
}
