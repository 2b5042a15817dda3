//! `tongguan move`: a whole store from a data directory into a database that several nodes share, or back.
//!
//! Nobody serves either side meanwhile. The store is checked before, what it has become is checked after, every row is
//! compared with the one that it came from, and only then the other side is put in force.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use tongguan_service::check::{self, Verdict};
use tongguan_service::context::{Clock as _, SystemClock};
use tongguan_service::master::{self, Fit};
use tongguan_service::vault::Vault;
use tongguan_service::{audit, rights};
use tongguan_store::{Archive, Carried, Move, MoveKeys, Site};

use super::MarkArgs;
use super::backup::copy_owner_only;
use super::place::PlaceArgs;
use super::terminal::{self, columns, harmless};
use crate::database::DatabaseArgs;
use crate::secrets::{self, KeyArgs};
use crate::{exit, permissions};

/// Move a store from a data directory into a database that several nodes share, or back. Nobody may serve either
#[derive(Debug, Args)]
#[command(
    after_help = "What it came from stays as it is: never serve both. Exit codes: 0 done, 2 wrong usage, 65 the store is \
    damaged, or something was not carried over as it is, 75 somebody serves one side, 78 the target is not empty, or \
    another master key."
)]
pub(crate) struct MoveArgs {
    /// The data directory that holds the store, or the URL of the shared database:
    /// postgres://USER@HOST1,HOST2/NAME
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// Where it goes: an empty database with a role that owns it, or a new or empty directory
    #[arg(long, value_name = "PLACE")]
    to: String,
    /// File with the password of the database, readable by its owner alone. The password can be in
    /// TONGGUAN_DATABASE_PASSWORD
    #[arg(long, env = "TONGGUAN_DATABASE_PASSWORD_FILE", value_name = "FILE")]
    database_password_file: Option<PathBuf>,
    /// Certificates of the authorities that vouch for the database, PEM [default: those of the platform]
    #[arg(long, env = "TONGGUAN_DATABASE_CA", value_name = "FILE")]
    database_ca: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    mark: MarkArgs,
    /// Do all of it but the last step: nothing comes of it
    #[arg(long)]
    dry_run: bool,
}

impl MoveArgs {
    /// A place as it was given.
    fn place(&self, text: &str) -> PlaceArgs {
        let mark = self.mark.clone();
        if !text.contains("://") {
            return PlaceArgs { data_dir: text.into(), database: DatabaseArgs::default(), mark };
        }
        let database = DatabaseArgs {
            database: Some(text.to_owned()),
            database_password_file: self.database_password_file.clone(),
            database_ca: self.database_ca.clone(),
        };
        PlaceArgs { data_dir: PathBuf::new(), database, mark }
    }
}

fn site(place: &PlaceArgs) -> Result<Site> {
    Ok(match place.shared()? {
        Some(shared) => Site::Shared(Box::new(shared.hosts()?)),
        None => Site::Directory { path: place.data_dir.clone(), mark_file: place.mark.mark_file.clone() },
    })
}

/// Carries out `tongguan move`.
pub(crate) fn run(args: &MoveArgs) -> Result<ExitCode> {
    let begun = Instant::now();
    let (from, to) = (args.place(&args.from), args.place(&args.to));
    // Of an older schema: says how it is brought up.
    drop(from.look_at_rows()?);
    let mut moving = Move::begin(site(&from)?, site(&to)?)?;
    let directory = if moving.source().is_shared() { &to.data_dir } else { &from.data_dir };
    let vault = secrets::look(directory, &args.keys, false, moving.source())?.ok_or_else(|| {
        anyhow!("the master key is needed: say where it is (--master-key-file)").context(exit::Configuration)
    })?;
    if moving.source().read(|snapshot| master::fit(snapshot, &vault))? != Fit::Fits {
        return Err(secrets::other_key("what was given"));
    }
    if let Some(fault) = fault(moving.source(), &vault)? {
        return unsound(&format!("the store is not sound ({fault}): see `tongguan check`"));
    }
    say_what(args, moving.source())?;
    let (Some(rights), Some(audit)) =
        (rights::key(moving.source(), &vault)?, audit::key(moving.source(), &vault)?)
    else {
        bail!("the store has not all keys of the service's own: start the service on it once, and stop it")
    };
    let now_ms = SystemClock.now_ms();
    let keys = MoveKeys { rights: &rights, audit: &audit };
    let carried = moving.carry(&keys, now_ms.div_euclid(1000), &|head| audit::moved(&head, now_ms))?;
    if let Some(differs) = moving.compare()?.into_iter().next() {
        return unsound(&differs.to_string());
    }
    if let Some(fault) = fault(moving.target()?, &vault)? {
        return unsound(&format!("what was carried over is not sound ({fault})"));
    }
    if !args.dry_run {
        if let Some(given) = args.keys.master_key_file.as_ref().filter(|_| moving.source().is_shared()) {
            let own = directory.join(permissions::MASTER_KEY_FILE);
            if !own.exists() {
                copy_owner_only(given, &own)?;
            }
        }
        moving.finish().context("whether the store was moved is to be looked at: `tongguan check`")?;
    }
    tell(args, &carried, begun)
}

/// What is wrong with a store, if anything is.
fn fault(archive: &Archive, vault: &Vault) -> Result<Option<String>> {
    let verdicts = check::everything(archive, Some(vault))?;
    Ok(verdicts.iter().flat_map(|Verdict { findings, .. }| findings).next().map(ToString::to_string))
}

fn unsound(what: &str) -> Result<ExitCode> {
    terminal::tell(&format!("{what}; nothing was moved"));
    Ok(ExitCode::from(exit::DATA))
}

/// What is about to be done.
fn say_what(args: &MoveArgs, source: &Archive) -> Result<()> {
    let (accounts, gateways) = source.read(|snapshot| {
        let accounts = snapshot.accounts()?;
        Ok((accounts.len(), accounts.iter().map(|account| account.gateways).sum::<u64>()))
    })?;
    let (from, to) = (shown(&args.from), shown(&args.to));
    writeln!(terminal::out(), "from {from} to {to}: {accounts} accounts with {gateways} gateways")?;
    Ok(())
}

/// A place without what may be a password in it.
fn shown(place: &str) -> String {
    let place = match (place.split_once("://"), place.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => place.to_owned(),
    };
    harmless(place.split_once('?').map_or(place.as_str(), |(place, _)| place))
}

fn tell(args: &MoveArgs, carried: &Carried, begun: Instant) -> Result<ExitCode> {
    let Carried { rows, nonces } = carried;
    let mut out = terminal::out();
    let lines = rows.iter().map(|(table, rows)| vec![format!("  {table}"), rows.to_string()]);
    out.text(&columns(lines, &[1]))?;
    let all: u64 = rows.iter().map(|(_, rows)| rows).sum();
    let seconds = begun.elapsed().as_secs_f64();
    writeln!(out, "{all} rows of {} tables and {nonces} nonces, in {seconds:.1} s", rows.len())?;
    writeln!(out, "each row was compared with the one that it came from, and what it has become is sound")?;
    if args.dry_run {
        writeln!(out, "nothing was moved: --dry-run")?;
    } else {
        writeln!(out, "what it came from is as it was: serve the one or the other, never both")?;
    }
    Ok(ExitCode::SUCCESS)
}
