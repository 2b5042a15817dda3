//! `tongguan seal-anew`: accepts a database as it is, after somebody has examined what `tongguan check` found.
//!
//! The rows that confer rights, and the mark, are sealed as they are. This is how to continue after a repair by
//! hand, or with a database that lacks answered changes. It needs the master key.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tongguan_service::rights;
use tongguan_store::{Archive, DATABASE_FILE, Finding, Options, Store, StoreError};

use super::place::{PlaceArgs, now_ms};
use super::terminal::{self, harmless};
use crate::database::Shared;
use crate::secrets::{self, KeyArgs};

/// Accept a database as it is: seal the rows that confer rights, and the mark, again; the service, or every node, must
/// be stopped
#[derive(Debug, Args)]
pub(crate) struct SealAnewArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

/// Carries out `tongguan seal-anew`; says what was taken as it is.
pub(crate) fn run(args: &SealAnewArgs) -> Result<ExitCode> {
    let PlaceArgs { data_dir, mark, .. } = &args.place;
    let shared = args.place.shared()?;
    // Before anything is brought up, or sealed.
    let findings = findings(args, shared.as_ref())?;
    let store = match &shared {
        Some(shared) => shared.connect_as_it_is()?,
        None => Store::open(data_dir, &Options { take_as_it_is: true, ..mark.options() })?,
    };
    let vault = secrets::open(data_dir, &args.keys.source()?.unwrap_or_default(), &store)?.vault()?;
    rights::seal_anew(&store, &vault, now_ms(&store)?)?;
    let mut out = terminal::out();
    for finding in findings {
        writeln!(out, "taken as it is: {}", harmless(&finding.what))?;
    }
    let mark = if store.is_shared() { "" } else { ", and the mark," };
    writeln!(out, "the rows that confer rights{mark} are sealed as they are")?;
    Ok(ExitCode::SUCCESS)
}

/// What does not fit its seal. An older schema has no seals.
fn findings(args: &SealAnewArgs, shared: Option<&Shared>) -> Result<Vec<Finding>> {
    let data_dir = &args.place.data_dir;
    let archive = match shared {
        Some(shared) => Archive::connect(shared.hosts()?)?,
        None => {
            let database = data_dir.join(DATABASE_FILE);
            if !database.exists() {
                return Err(StoreError::Missing(data_dir.clone()).into());
            }
            Archive::open_file(&database)?
        }
    };
    match secrets::look(data_dir, &args.keys, false, &archive)? {
        Some(vault) if archive.current() => Ok(rights::findings(&archive, &vault)?),
        _ => Ok(Vec::new()),
    }
}
