//! The store as everybody above sees it, whichever database is behind it.

use std::path::Path;
use std::sync::Arc;

use crate::postgres::SharedStats;
use crate::postgres::hosts::Hosts;
use crate::postgres::schema;
use crate::postgres::store::Store as Shared;
use crate::sqlite::store::Embedded;
use crate::{
    Admission, AuditRecord, Finding, NewAuditKey, Node, Options, RightsKey, Snapshot, StoreError, Trouble,
    Tx, Verdict, WriterStats,
};

/// What a change may look at or write: nobody else changes it meanwhile. In the embedded store nobody else writes at
/// all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Anything: nobody else changes anything meanwhile.
    Everything,
    /// What these accounts have, each by any fingerprint that is the same on every node.
    Accounts(Vec<u64>),
    /// Nothing but what its statements guard themselves.
    Nothing,
}

/// What a database that several nodes share says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseState {
    /// The host that is the primary.
    pub host: String,
    /// Its timeline: how often there was another primary.
    pub timeline: u32,
    /// Schema of the database; 0 if it has none.
    pub schema: u32,
    /// The oldest schema whose releases may serve on it.
    pub oldest: u32,
    /// Schema of this release.
    pub newest: u32,
    /// Whether this release may serve on it.
    pub serves: bool,
    /// Lanes that there are, over which nodes write.
    pub lanes: u64,
    /// Those that nodes have.
    pub taken: u64,
}

/// The store: embedded, or on a database that several nodes share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Engine);

#[derive(Clone)]
enum Engine {
    Embedded(Embedded),
    Shared(Arc<Shared>),
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded(store) => store.fmt(f),
            Self::Shared(_) => f.write_str("Shared"),
        }
    }
}

impl Store {
    /// Opens the database in `directory` (made for its owner alone if absent), migrates it and starts the writer.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if the directory is not ours, [`StoreError::InUse`] if another process has it,
    /// [`StoreError::NewerSchema`] if a newer release wrote it, and file or database errors.
    pub fn open(directory: &Path, options: &Options) -> Result<Self, StoreError> {
        Embedded::open(directory, options).map(|store| Self(Engine::Embedded(store)))
    }

    /// Connects to a database that several nodes share.
    ///
    /// # Errors
    /// [`StoreError::OlderSchema`], or [`StoreError::NewerSchema`] if it is one on which this release may not serve,
    /// and database errors.
    pub fn connect(hosts: Hosts, options: &Options) -> Result<Self, StoreError> {
        Shared::connect(hosts, options).map(|store| Self(Engine::Shared(Arc::new(store))))
    }

    /// Makes the schema of a database that several nodes are to share, or brings it up; answers whether anything was
    /// done. One caller does it, others wait for it.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`], and database errors.
    pub fn make(hosts: Hosts) -> Result<bool, StoreError> {
        schema::make(&Arc::new(hosts))
    }

    /// What a database that several nodes share says of itself.
    ///
    /// # Errors
    /// It cannot be reached, or read.
    pub fn look(hosts: Hosts) -> Result<DatabaseState, StoreError> {
        schema::look(&Arc::new(hosts))
    }

    /// Whether other nodes may use the database at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Engine::Shared(_))
    }

    /// Runs a query on one consistent state of the database, on this thread.
    ///
    /// # Errors
    /// The error of `question`, or a database error.
    pub fn read<T>(
        &self,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &self.0 {
            Engine::Embedded(store) => store.read(question),
            Engine::Shared(store) => store.read(question),
        }
    }

    /// What lets signed requests in over a database that is shared, where all nodes together remember at most `nonces`
    /// of them in shares; none over an embedded one, where a [`NonceLog`](crate::NonceLog) does.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn admission(&self, nonces: usize) -> Result<Option<Admission>, StoreError> {
        match &self.0 {
            Engine::Embedded(_) => Ok(None),
            Engine::Shared(store) => Ok(Some(Admission::asking(store.admitter(nonces)?))),
        }
    }

    /// Says which process this is: what it accepts from now on is its own. The first word counts.
    pub fn act_as(&self, node: Node) -> &Node {
        match &self.0 {
            Engine::Embedded(store) => store.act_as(node),
            Engine::Shared(store) => store.act_as(node),
        }
    }

    /// Why the store cannot be used at present; none if it can.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        match &self.0 {
            Engine::Embedded(store) => store.trouble(),
            Engine::Shared(store) => store.trouble(),
        }
    }

    /// Runs `change` in the next batch and returns once it is durable. It may touch anything; see [`Store::write_in`].
    ///
    /// `change` may be called more than once: if the batch's transaction fails, each of its members is
    /// tried again alone. It must therefore not have effects outside the transaction.
    ///
    /// # Errors
    /// A database error (nothing was changed) or [`StoreError::Closed`].
    pub async fn write<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send + 'static,
    {
        self.write_in(Scope::Everything, change).await
    }

    /// [`Store::write`] of a change that looks at and writes no more than `scope`.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn write_in<T, F>(&self, scope: Scope, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send + 'static,
    {
        match &self.0 {
            Engine::Embedded(store) => store.write(change).await,
            Engine::Shared(store) => store.submit(scope, change)?.await.map_err(|_| StoreError::Closed)?,
        }
    }

    /// [`Store::write_in`] for an account (by any fingerprint), whose waiting changes have a share of the places.
    ///
    /// # Errors
    /// As [`Store::write`]; [`StoreError::Crowded`] if the account has used up its share, and [`StoreError::Full`]
    /// if there is no place at all.
    pub async fn write_for<T, F>(&self, account: u64, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send + 'static,
    {
        match &self.0 {
            Engine::Embedded(store) => store.write_for(account, change).await,
            Engine::Shared(store) => {
                let place = store.places().place(account)?;
                let mut change = change;
                let answer = store.submit(Scope::Accounts(vec![account]), move |tx: &Tx<'_>| {
                    let _place = &place;
                    change(tx)
                })?;
                answer.await.map_err(|_| StoreError::Closed)?
            }
        }
    }

    /// [`Store::write`] for a caller outside an async runtime.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_blocking<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send + 'static,
    {
        match &self.0 {
            Engine::Embedded(store) => store.write_blocking(change),
            Engine::Shared(store) => store.write_blocking(change),
        }
    }

    /// Takes the audit record of a call that changed nothing, and gives it a number for
    /// [`Store::audit_written`]; 0, which is written already, if it was only counted: a refusal of one who
    /// has proved nothing, of which there were too many in this minute. It is in the database with the next
    /// batch, at the latest after [`Options::audit_flush_ms`]. Returns the record if too many wait: then
    /// write it with [`Store::write`], which makes its caller wait.
    ///
    /// # Errors
    /// The record itself.
    pub fn audit_later(&self, record: AuditRecord) -> Result<u64, Box<AuditRecord>> {
        match &self.0 {
            Engine::Embedded(store) => store.audit_later(record),
            Engine::Shared(store) => store.audit_later(record),
        }
    }

    /// Makes the record of this number survive the death of the process, with all others that wait for it:
    /// the call must not be answered before.
    ///
    /// # Errors
    /// The journal, or the database, cannot be written.
    pub async fn audit_written(&self, number: u64) -> Result<(), StoreError> {
        match &self.0 {
            Engine::Embedded(store) => {
                // Calls that end at the same time share the writes: whoever comes first makes them for all.
                tokio::task::yield_now().await;
                store.audit_written(number)
            }
            Engine::Shared(store) => store.audit_written(number).await,
        }
    }

    /// Whether there is a sealed mark beside the database: then its rows that confer rights were sealed.
    #[must_use]
    pub fn mark_is_sealed(&self) -> bool {
        match &self.0 {
            Engine::Embedded(store) => store.mark_is_sealed(),
            Engine::Shared(_) => false,
        }
    }

    /// Takes up the seals of the rows that confer rights, under this key: whatever is written from now on is
    /// sealed, and whoever's rights are read for use is looked at. Nothing can be changed in a sealed
    /// database before. The sums of the seals, the state of the database and the mark are looked at first.
    ///
    /// # Errors
    /// [`StoreError::Unsound`] or [`StoreError::Mark`] if they are not as the service left them; nothing was
    /// changed then.
    pub fn open_rights(&self, key: &RightsKey) -> Result<(), StoreError> {
        match &self.0 {
            Engine::Embedded(store) => store.open_rights(key),
            Engine::Shared(store) => store.open_rights(key),
        }
    }

    /// Seals the rows that confer rights as they are now, in place of any seals that are there, with what
    /// `also` does, in one transaction; then the mark. To be called instead of [`Store::open_rights`]. Of a shared
    /// database that has seals nobody else may use it meanwhile.
    ///
    /// # Errors
    /// A database error, or what `also` gives, or [`StoreError::NodesLive`]; nothing was changed then.
    pub fn seal_rights<E, F>(&self, key: &RightsKey, also: F) -> Result<(), E>
    where
        E: From<StoreError> + Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<(), E> + Send + 'static,
    {
        match &self.0 {
            Engine::Embedded(store) => store.seal_rights(key, also),
            Engine::Shared(store) => store.seal_rights(key, also),
        }
    }

    /// Seals the chain of audit records with every batch from now on, under a key that is not in the clear in
    /// the database; keeps it if it is `new`. Looks at the newest records and at the last seal first; if something
    /// is wrong with them it answers what, and seals nothing, so that `tongguan check` goes on finding it. Takes up
    /// what an earlier process left in its journal.
    ///
    /// # Errors
    /// A database error, or the journal cannot be taken up.
    pub fn seal_audit(&self, key: &[u8], new: Option<NewAuditKey>) -> Result<Vec<Finding>, StoreError> {
        match &self.0 {
            Engine::Embedded(store) => store.seal_audit(key, new),
            Engine::Shared(store) => store.seal_audit(key, new),
        }
    }

    /// Begins the chain of audit records anew, whatever is wrong with it, with `record` as the first: the records
    /// that are there stay and are no longer part of it. To be called instead of [`Store::seal_audit`]. Of a shared
    /// database, which nobody else may use meanwhile, the chains of lanes begin anew that are not whole; all of them
    /// under a new key. Answers which: none is that of the embedded store.
    ///
    /// # Errors
    /// A database error, or the journal cannot be taken up; [`StoreError::NodesLive`].
    pub fn begin_audit_anew(
        &self,
        key: &[u8],
        new: Option<NewAuditKey>,
        record: AuditRecord,
    ) -> Result<Vec<Option<i64>>, StoreError> {
        match &self.0 {
            Engine::Embedded(store) => store.begin_audit_anew(key, new, record).map(|()| vec![None]),
            Engine::Shared(store) => store.begin_audit_anew(key, new, record),
        }
    }

    /// Removes the audit records that retention does not keep at this moment, UNIX milliseconds, at most `batch` of
    /// them; answers how many. Nothing is removed as long as it is not known how the chain is sealed, and from a
    /// chain that is not whole.
    ///
    /// # Errors
    /// A database error (nothing was removed).
    pub async fn trim_audit(&self, now_ms: i64, batch: u32) -> Result<usize, StoreError> {
        match &self.0 {
            Engine::Embedded(store) => store.trim_audit(now_ms, batch).await,
            Engine::Shared(store) => store.trim_audit(now_ms, batch).await,
        }
    }

    /// Writes the whole database anew and empties its log, so that nothing that was replaced is left in its
    /// files, and ends the store.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another handle of the store is held, and database errors; nothing is lost then.
    pub fn compact(self) -> Result<(), StoreError> {
        match self.0 {
            Engine::Embedded(store) => store.compact(),
            Engine::Shared(_) => Err(StoreError::Embedded),
        }
    }

    /// What was counted of the dealings with the database, where several nodes share it.
    #[must_use]
    pub fn shared_stats(&self) -> Option<SharedStats> {
        match &self.0 {
            Engine::Embedded(_) => None,
            Engine::Shared(store) => Some(store.shared_stats()),
        }
    }

    /// What the writer has done since it started.
    #[must_use]
    pub fn stats(&self) -> WriterStats {
        match &self.0 {
            Engine::Embedded(store) => store.stats(),
            Engine::Shared(store) => store.stats(),
        }
    }
}
