//! What is durable: schema, migrations and transactions on the embedded SQLite database.
//!
//! * **One writer.** A thread owns the only connection that writes. Callers hand it closures over a
//!   [`Tx`]; it runs those that wait together in one transaction, so that durability costs one sync per
//!   *group*, and answers each caller after the commit. A closure whose verdict is
//!   [`Verdict::Discard`] leaves nothing behind.
//! * **Readers beside it.** [`Store::read`] runs a closure over a [`Snapshot`] on the caller's thread;
//!   readers never wait for the writer (write-ahead log), and see every change that was answered.
//! * **No rules.** Business rules live in `tongguan-model` and `tongguan-service`; this crate knows rows.
//!
//! No SQL text stands outside this crate.
#![forbid(unsafe_code)]

mod audit;
mod nonce;
mod overview;
mod query;
mod reader;
mod schema;
mod write;
mod writer;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use audit::AuditRecord;
pub use nonce::{NonceError, NonceLog};
pub use overview::{CertificateCounts, EXPIRY_DAYS, GatewayCounts, Overview};
pub use query::{
    BindingFilter, BindingRow, CertificateKey, GatewayFilter, GatewayRow, Intent, IntentKind, NetworkFilter,
    Page, SealedKey, Snapshot, StoredToken, TagFilter, TagRow, VSwitchRow, VpcRow,
};
pub use write::{NewToken, Tx};
pub use writer::{Verdict, WriterStats};

use reader::Readers;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use writer::Writer;

/// Name of the database inside a data directory.
pub const DATABASE_FILE: &str = "tongguan.db";
/// Name of the file whose lock keeps a second process out.
pub const LOCK_FILE: &str = "tongguan.lock";

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A file could not be made, read or locked.
    #[error("{what} `{path}`: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Another process serves this data directory.
    #[error("data directory `{0}` is in use by another tongguan process")]
    InUse(PathBuf),
    /// The database was written by a newer release.
    #[error("the database has schema {found}, this release knows up to {known}: use the newer release")]
    NewerSchema {
        /// Schema found.
        found: u32,
        /// Newest schema that this release knows.
        known: u32,
    },
    /// A row holds a value that no release writes.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A change ended with a panic; it left nothing behind.
    #[error("a change ended with a panic")]
    Panicked,
    /// The writer has stopped.
    #[error("the store is closed")]
    Closed,
}

/// How the store is tuned. Every limit has a name.
#[derive(Debug, Clone)]
pub struct Options {
    /// Operations committed in one group at most.
    pub group: usize,
    /// Audit records of reads and refusals that may wait in memory for the next group.
    pub audit_backlog: usize,
    /// Audit records kept; older ones are removed.
    pub audit_records: u64,
    /// Milliseconds that a waiting audit record may wait for company.
    pub audit_flush_ms: u64,
    /// Page cache of each reading connection, KiB.
    pub cache_kib: u32,
    /// Page cache of the writing connection, KiB.
    pub writer_cache_kib: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            group: 256,
            audit_backlog: 4_096,
            audit_records: 1_000_000,
            audit_flush_ms: 100,
            cache_kib: 2_048,
            writer_cache_kib: 4_096,
        }
    }
}

/// The embedded store of one data directory. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    readers: Arc<Readers>,
    writer: Writer,
    /// Held for as long as the store lives.
    _lock: File,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database in `directory` (made for its owner alone if absent), migrates it and starts the writer.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it, [`StoreError::NewerSchema`] if a newer release
    /// wrote it, and file or database errors.
    pub fn open(directory: &Path, options: &Options) -> Result<Self, StoreError> {
        let mut owner_only = std::fs::DirBuilder::new();
        owner_only.recursive(true).mode(0o700).create(directory).map_err(|source| StoreError::File {
            what: "cannot make data directory",
            path: directory.to_path_buf(),
            source,
        })?;
        let lock = lock(directory)?;
        let path = directory.join(DATABASE_FILE);
        let mut connection = connect(&path, options.writer_cache_kib)?;
        schema::migrate(&mut connection)?;
        let checkpointer = connect(&path, 64)?;
        let readers = Arc::new(Readers::new(path.clone(), options.cache_kib));
        let writer = Writer::start(connection, checkpointer, Arc::clone(&readers), options.clone())?;
        Ok(Self { inner: Arc::new(Inner { path, readers, writer, _lock: lock }) })
    }

    /// Runs `question` over one consistent state of the database, on this thread.
    ///
    /// # Errors
    /// What the question gives, or a database error.
    pub fn read<T>(
        &self,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.inner.readers.read(question)
    }

    /// Runs `change` in the next group and answers once it is durable.
    ///
    /// `change` may be called more than once: if the group's transaction fails, each of its members is
    /// tried again alone. It must therefore not have effects outside the transaction.
    ///
    /// # Errors
    /// A database error (nothing was changed) or [`StoreError::Closed`].
    pub async fn write<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send + 'static,
    {
        let answer = self.inner.writer.submit(change)?;
        answer.await.map_err(|_| StoreError::Closed)?
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
        let answer = self.inner.writer.submit(change)?;
        answer.blocking_recv().map_err(|_| StoreError::Closed)?
    }

    /// Hands over the audit record of a call that changed nothing; it is written with the next group,
    /// at the latest after [`Options::audit_flush_ms`]. Gives the record back if too many wait: then
    /// write it with [`Store::write`], which makes its caller wait.
    ///
    /// # Errors
    /// The record itself.
    pub fn audit_later(&self, record: AuditRecord) -> Result<(), Box<AuditRecord>> {
        self.inner.writer.audit_later(record)
    }

    /// What the writer has done since it started.
    #[must_use]
    pub fn stats(&self) -> WriterStats {
        self.inner.writer.stats()
    }
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK_FILE);
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|source| {
            StoreError::File { what: "cannot open lock file", path: path.clone(), source }
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse(directory.to_path_buf())),
        Err(std::fs::TryLockError::Error(source)) => {
            Err(StoreError::File { what: "cannot lock", path, source })
        }
    }
}

fn connect(path: &Path, cache_kib: u32) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(128);
    // Without this every new value bound to a statement may plan it anew, which costs more than it saves.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{cache_kib}; \
         PRAGMA trusted_schema = OFF;"
    ))?;
    Ok(connection)
}
