//! `tongguan seal-anew`: accepts a database as it is, after somebody has examined what `tongguan check` found.
//!
//! The rows that confer rights, and the mark, are sealed as they are. This is how to continue after a repair by
//! hand, or with a database that lacks answered changes. It needs the master key.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tongguan_service::context::{Clock as _, SystemClock};
use tongguan_service::rights;
use tongguan_store::{Archive, DATABASE_FILE, Finding, Options, Store, StoreError};

use super::MarkArgs;
use super::terminal::{self, harmless};
use crate::secrets::{self, KeyArgs};

/// Accept a database as it is: seal the rows that confer rights, and the mark, again; the service must be stopped
#[derive(Debug, Args)]
pub(crate) struct SealAnewArgs {
    /// Directory that holds the database and the keys
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR", default_value = super::data_directory())]
    data_dir: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    mark: MarkArgs,
}

/// Carries out `tongguan seal-anew`; says what was taken as it is.
pub(crate) fn run(args: &SealAnewArgs) -> Result<ExitCode> {
    let database = args.data_dir.join(DATABASE_FILE);
    if !database.exists() {
        return Err(StoreError::Missing(args.data_dir.clone()).into());
    }
    let findings = findings(args, &database)?;
    let options = Options { take_as_it_is: true, ..args.mark.options() };
    let store = Store::open(&args.data_dir, &options)?;
    let vault = secrets::open(&args.data_dir, &args.keys.source()?.unwrap_or_default(), &store)?.vault()?;
    rights::seal_anew(&store, &vault, SystemClock.now_ms())?;
    let mut out = terminal::out();
    for finding in findings {
        writeln!(out, "taken as it is: {}", harmless(&finding.what))?;
    }
    writeln!(out, "the rows that confer rights, and the mark, are sealed as they are")?;
    Ok(ExitCode::SUCCESS)
}

/// What did not fit its seal before. An older schema has no seals.
fn findings(args: &SealAnewArgs, database: &std::path::Path) -> Result<Vec<Finding>> {
    let archive = Archive::open_file(database)?;
    match secrets::look(&args.data_dir, &args.keys, false, &archive)? {
        Some(vault) if archive.current() => Ok(rights::findings(&archive, &vault)?),
        _ => Ok(Vec::new()),
    }
}
