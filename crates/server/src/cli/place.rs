//! Where a command finds the store: in a data directory, or in a database that several nodes share.
//!
//! Reading is the same in both places, whoever serves meanwhile ([`PlaceArgs::look`]). What changes something does it
//! in place of the one service that a data directory has, or beside the nodes of a shared database and by their rules
//! ([`PlaceArgs::open`]).

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tongguan_service::context::{Clock as _, SystemClock};
use tongguan_service::vault::Vault;
use tongguan_service::{audit, rights};
use tongguan_store::{Archive, DATABASE_FILE, Store, StoreError, Territory, look};

use super::{MarkArgs, terminal};
use crate::database::{DatabaseArgs, Shared};
use crate::exit;
use crate::secrets::{self, KeyArgs};

/// Where the store is.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceArgs {
    /// Directory that holds the database
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR", default_value = super::data_directory(), global = true)]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub mark: MarkArgs,
}

/// The present moment by the clock of a shared database, which its nodes go by too; by the machine's, of an embedded
/// store. UNIX milliseconds.
///
/// # Errors
/// The database cannot be read.
pub(crate) fn now_ms(store: &Store) -> Result<i64, StoreError> {
    Ok(store.read(|snapshot| snapshot.database_ms())?.unwrap_or_else(|| SystemClock.now_ms()))
}

impl PlaceArgs {
    /// The database that several nodes share, if the store is there.
    ///
    /// # Errors
    /// What was given contradicts itself.
    pub(crate) fn shared(&self) -> Result<Option<Shared>> {
        Shared::new(self.database.clone()).context(exit::Configuration)
    }

    /// Looks at the store and changes nothing; it may be served meanwhile.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(crate) fn look(&self) -> Result<Archive> {
        Ok(match self.shared()? {
            Some(shared) => Archive::connect(shared.hosts()?)?,
            None => Archive::open_with_mark(&self.data_dir, self.mark.mark_file.as_deref())?,
        })
    }

    /// [`PlaceArgs::look`] at a store of this release's schema: only then rows can be read.
    ///
    /// # Errors
    /// As [`PlaceArgs::look`], and it is of another schema.
    pub(crate) fn look_at_rows(&self) -> Result<Archive> {
        let archive = self.look()?;
        if !archive.current() {
            let how =
                if archive.is_shared() { "`tongguan database upgrade`" } else { "a start of the service" };
            bail!("the database is of schema {}: {how} brings it up", archive.schema());
        }
        Ok(archive)
    }

    /// Opens the store for a change, with its master key.
    ///
    /// # Errors
    /// There is none, somebody else has it, or it is not sound; the master key is another one.
    pub(crate) fn open(&self, keys: &KeyArgs) -> Result<(Store, Vault)> {
        let (store, vault, now_ms) = self.open_unsealed(keys)?;
        if store.is_shared() {
            // What is changed leaves a record in a chain that is sealed; the embedded store's is with the next start.
            for finding in audit::seal(&store, &vault, now_ms)? {
                terminal::tell(&format!("{finding}; the audit record is not sealed: run `tongguan check`"));
            }
            secrets::still_fits(&store, &vault)?;
        }
        Ok((store, vault))
    }

    /// The same for what leaves the audit record unsealed; with the present moment.
    ///
    /// # Errors
    /// As [`PlaceArgs::open`].
    pub(crate) fn open_unsealed(&self, keys: &KeyArgs) -> Result<(Store, Vault, i64)> {
        let source = keys.source()?.unwrap_or_default();
        let store = match self.shared()? {
            Some(shared) => shared.connect_for_a_change()?,
            None => {
                let directory = &self.data_dir;
                if look(directory)? != Territory::Ours || !directory.join(DATABASE_FILE).exists() {
                    return Err(StoreError::Missing(directory.clone()).into());
                }
                Store::open(directory, &self.mark.options())?
            }
        };
        let vault = secrets::open(&self.data_dir, &source, &store)?.vault()?;
        let now_ms = now_ms(&store)?;
        rights::open(&store, &vault, now_ms)?;
        Ok((store, vault, now_ms))
    }
}
