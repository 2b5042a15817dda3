//! `tongguan master-key rotate`: another master key, and every secret encrypted again under it.
//!
//! The service must be stopped: it holds the old key in memory and would go on encrypting with it. The lock of the
//! data directory enforces that, and in a shared database the places at which nodes write. What happens when the
//! process dies half-way is described in [`crate::secrets`].

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use fail::fail_point;
use tongguan_service::context::{Clock as _, SystemClock};
use tongguan_service::master::{self, Fit, ResealError};
use tongguan_service::rights;
use tongguan_store::{DATABASE_FILE, Store, StoreError, look};

use super::place::{PlaceArgs, now_ms};
use super::terminal::{self, Screen, harmless};
use crate::database::Shared;
use crate::master_key::MasterKey;
use crate::secrets::{self, KeyArgs, KeySource};
use crate::{exit, permissions};

/// Work on the master key, which seals secrets at rest
#[derive(Debug, Args)]
pub(crate) struct MasterKeyArgs {
    #[command(subcommand)]
    command: MasterKeyCommand,
}

#[derive(Debug, Subcommand)]
enum MasterKeyCommand {
    /// Encrypt every secret again under another master key; the service must be stopped
    Rotate(RotateArgs),
}

/// Encrypt every secret again under another master key; the service must be stopped
#[derive(Debug, Args)]
struct RotateArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    keys: KeyArgs,
    /// File with the new master key; needed if the key is not kept in the data directory [default: a new one is made]
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<PathBuf>,
}

/// Carries out `tongguan master-key`.
pub(crate) fn run(args: &MasterKeyArgs) -> Result<ExitCode> {
    let MasterKeyCommand::Rotate(args) = &args.command;
    rotate(args)
}

fn rotate(args: &RotateArgs) -> Result<ExitCode> {
    let source = args.keys.source().context(exit::Configuration)?.unwrap_or_default();
    let given = args.new_key_file.as_deref().map(MasterKey::read).transpose()?;
    match args.place.shared()? {
        Some(shared) => rotate_shared(args, &shared, &source, given),
        None => rotate_embedded(args, source, given),
    }
}

/// The key of a shared database. Nodes hold the old one in memory, and those that were thought dead may go on: the
/// store has every place to write at to itself until all is sealed anew, and lets nobody write again who has the old
/// key.
fn rotate_shared(
    args: &RotateArgs,
    shared: &Shared,
    source: &KeySource,
    given: Option<MasterKey>,
) -> Result<ExitCode> {
    let Some(new) = given else {
        let said = "each node has the master key in a place of its own: make the new one and name it by --new-key-file";
        bail!(anyhow!(said).context(exit::Configuration));
    };
    let store = shared.connect_for_a_change()?;
    let count = rotate_elsewhere(args, source, &store, &new).map_err(|error| {
        if matches!(error.downcast_ref(), Some(ResealError::Store(StoreError::NodesLive))) {
            return error.context(
                "the master key is changed while all nodes are stopped, since they would go on sealing under the old one",
            );
        }
        error
    })?;
    let mut out = terminal::out();
    tell(&mut out, count)?;
    writeln!(out, "Give every node the new key from now on.")?;
    writeln!(
        out,
        "Backups and archived logs made before this need the old key, and so do rows that the database has not removed \
         yet: keep it as long as them."
    )?;
    Ok(ExitCode::SUCCESS)
}

fn tell(out: &mut Screen, count: Option<u64>) -> Result<()> {
    match count {
        Some(count) => writeln!(out, "{count} secrets were sealed anew under the new master key")?,
        None => writeln!(out, "the secrets are sealed under the new master key already")?,
    }
    Ok(())
}

fn rotate_embedded(args: &RotateArgs, source: KeySource, given: Option<MasterKey>) -> Result<ExitCode> {
    let data_dir = &args.place.data_dir;
    let source = source.in_data_directory(data_dir);
    look(data_dir)?;
    if !data_dir.join(DATABASE_FILE).exists() {
        return Err(anyhow!("`{}` holds no database", data_dir.display()).context(exit::Configuration));
    }
    owned_by_us(data_dir)?;
    permissions::tighten(data_dir)?;
    let store = match Store::open(data_dir, &args.place.mark.options()) {
        Err(error @ StoreError::InUse { .. }) => {
            return Err(anyhow::Error::new(error).context(
                "the master key is changed while the service is stopped, since it would go on sealing under the old \
                 one: stop it first",
            ));
        }
        opened => opened?,
    };
    let count = match (&source, given) {
        (KeySource::DataDirectory, given) => rotate_here(args, &store, given)?,
        (source, Some(new)) => rotate_elsewhere(args, source, &store, &new)?,
        (_, None) => bail!(
            anyhow!("the master key is not kept in the data directory: make the new one and name it by --new-key-file")
                .context(exit::Configuration)
        ),
    };
    let mut out = terminal::out();
    tell(&mut out, count)?;
    if matches!(source, KeySource::DataDirectory) {
        let path = data_dir.join(permissions::MASTER_KEY_FILE);
        let path = harmless(&path.display().to_string());
        writeln!(out, "The new key is in {path}: keep a copy of it, elsewhere.")?;
    } else {
        writeln!(out, "Give the service the new key from now on.")?;
    }
    writeln!(
        out,
        "Backups made before this need the old key: keep it as long as them, or make a new backup."
    )?;
    store.compact().context(
        "the rotation is done, but the database's file was not written anew: secrets sealed under the old key may be \
         left in its unused pages until it is run again",
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Files that another user made here, root above all, could not be read by the service afterwards.
fn owned_by_us(data_dir: &Path) -> Result<()> {
    let failed = || format!("cannot look into `{}`", data_dir.display());
    let owner = std::fs::metadata(data_dir).with_context(failed)?.uid();
    let user = rustix::process::geteuid().as_raw();
    if owner == user {
        return Ok(());
    }
    let said = format!(
        "`{}` belongs to user {owner}, this is user {user}: run it as that user, or the service could not read its files",
        data_dir.display()
    );
    Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, said).into())
}

/// The key is the file in the data directory: it is replaced.
fn rotate_here(args: &RotateArgs, store: &Store, given: Option<MasterKey>) -> Result<Option<u64>> {
    let data_dir = &args.place.data_dir;
    let old = secrets::open(data_dir, &KeySource::DataDirectory, store)?;
    rights::open(store, &old.vault()?, SystemClock.now_ms())?;
    let new = given.map_or_else(MasterKey::generate, Ok)?;
    if new.is(&old) {
        return Ok(None);
    }
    secrets::prepare(data_dir, &new)?;
    fail_point!("rotate::prepared");
    let resealed = master::reseal(store, old.vault()?, new.vault()?, SystemClock.now_ms());
    if let Err(ResealError::Sealed { .. }) = resealed {
        // Nothing was changed. After an error of the store that is not certain: the next start looks.
        secrets::abandon(data_dir)?;
    }
    let count = resealed?;
    fail_point!("rotate::resealed");
    secrets::replace(data_dir)?;
    fail_point!("rotate::replaced");
    Ok(Some(count))
}

/// The key is the operator's: the values are sealed anew, and the operator gives the new key from then on.
fn rotate_elsewhere(
    args: &RotateArgs,
    source: &KeySource,
    store: &Store,
    new: &MasterKey,
) -> Result<Option<u64>> {
    let vault = new.vault()?;
    if store.read(|snapshot| master::fit(snapshot, &vault))? == Fit::Fits {
        return Ok(None);
    }
    let old = secrets::open(&args.place.data_dir, source, store)?;
    let now_ms = now_ms(store)?;
    rights::open(store, &old.vault()?, now_ms)?;
    Ok(Some(master::reseal(store, old.vault()?, vault, now_ms)?))
}
