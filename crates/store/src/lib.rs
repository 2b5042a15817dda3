//! The durable state: schema, migrations and transactions on the embedded SQLite database.
//!
//! * **One writer.** A thread owns the only connection that writes. Callers hand it closures over a
//!   [`Tx`]; it runs those that wait together in one transaction, so that durability costs one sync per
//!   *batch*, and answers each caller after the commit. A closure whose verdict is
//!   [`Verdict::Discard`] leaves no trace.
//! * **Readers beside it.** [`Store::read`] runs a closure over a [`Snapshot`] on the caller's thread;
//!   readers never wait for the writer (write-ahead log), and see every change that was answered.
//! * **No rules.** Business rules live in `tongguan-model` and `tongguan-service`; this crate knows rows.
//!
//! No SQL text stands outside this crate.
#![forbid(unsafe_code)]

mod account;
mod audit;
mod chain;
mod fold;
mod health;
mod inspect;
mod journal;
mod mark;
mod nonce;
mod overview;
mod query;
mod ram;
mod reader;
mod retention;
mod rights;
mod schema;
mod sealed;
mod territory;
mod verify;
mod write;
mod writer;

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use account::AccountRow;
pub use audit::{AuditRecord, Repeats};
pub use chain::{AuditChain, AuditLink, NewAuditKey, NoLink};
pub use health::Trouble;
pub use inspect::{Archive, BackupError, Finding};
pub use mark::MARK_FILE;
pub use nonce::{Moment, NonceError, NonceLog, Owner};
pub use overview::{CertificateCounts, EXPIRY_DAYS, FaultCounts, GatewayCounts, Overview};
pub use query::{
    BindingFilter, BindingRow, CertificateKey, Fault, FaultOutcome, GatewayFilter, GatewayRow, Intent,
    IntentKind, NetworkFilter, Page, Snapshot, StoredToken, TagFilter, TagRow, VSwitchRow, VpcRow,
};
pub use ram::{
    AccessKeyRow, AttachedPolicy, Attachment, DeletionStatus, Entities, EntityRow, GroupRow, Holder,
    KeyOwner, MemberRow, NewKey, OwnKeyRow, PolicyKey, PolicyRow, PolicyVersionRow, RoleDeletion, RoleRow,
    SessionsFrom, SessionsOf, UserRow, Via,
};
pub use retention::{AuditClass, YOUNG_DAYS};
pub use rights::{Bearer, RIGHTS_RULE, RightsKey};
pub use sealed::SealedKind;
pub use territory::{NONCE_FOLDER, Territory, look, own_entries, vacant};
pub use verify::{AUDIT_RULE, AuditVerdict, HeadFate, Vouched};
pub use write::{NewToken, Tx};
pub use writer::{COMMIT_BOUNDS_US, QUEUE, QUEUE_SHARE, Verdict, WriterStats};

use aws_lc_rs::hmac;
use health::Condition;
use journal::{Journal, Left};
use mark::{Found, Mark};
use reader::Readers;
use rights::Rights;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use writer::Writer;

/// How long a connection waits for a lock of another process.
pub(crate) const BUSY_TIME: std::time::Duration = std::time::Duration::from_secs(10);

/// Name of the database inside a data directory.
pub const DATABASE_FILE: &str = "tongguan.db";
/// Name of the file whose lock keeps a second process out.
pub const LOCK_FILE: &str = "tongguan.lock";

/// Folder of the audit journal inside a data directory.
const AUDIT_FOLDER: &str = "audit";

/// First schema whose audit journals prove who wrote them.
const WITH_PROOFS: u32 = 4;

/// Bytes of a database whose every page is checked at each start: about a tenth of a second of work. A
/// larger one is left to `tongguan check`.
const CHECKED_AT_START: u64 = 32 * 1024 * 1024;

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
    #[error("data directory `{}` is in use by another tongguan process{}", .directory.display(), pid(*.process))]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// Id of the process, if it said so.
        process: Option<u32>,
    },
    /// The database lacks changes that were answered.
    #[error(
        "the database in `{}` holds {found} batches of changes, but {answered} were answered, as the mark `{}` says: its \
         write-ahead log `{DATABASE_FILE}-wal` is missing or cut short, or the database is an older copy. Nothing was \
         changed. Put the right files back or restore a backup; to go on without the lost changes, `tongguan seal-anew`",
        .directory.display(), .mark.display()
    )]
    Lost {
        /// The data directory.
        directory: PathBuf,
        /// The mark.
        mark: PathBuf,
        /// Groups that the database has.
        found: u64,
        /// Groups that were answered.
        answered: u64,
    },
    /// The database is missing from a directory that had one.
    #[error(
        "`{}` had a database and has none now. Nothing was changed. Put `{DATABASE_FILE}` and `{DATABASE_FILE}-wal` \
         back or restore a backup; to begin anew, use an empty directory",
        .0.display()
    )]
    Missing(PathBuf),
    /// The directory is not ours: nothing in it is touched.
    #[error(
        "`{}` is not a data directory of tongguan: {why}. Nothing was changed; name a new or empty directory, or the \
         right one",
        .directory.display()
    )]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A database was to be put where something is already.
    #[error(
        "`{}` holds {name}: restore into a new directory, nothing is overwritten",
        .directory.display()
    )]
    Occupied {
        /// The directory.
        directory: PathBuf,
        /// What is there.
        name: String,
    },
    /// The database is not as this release keeps it.
    #[error("the database is not sound ({0}): run `tongguan check`, and restore a backup if it says so too")]
    Unsound(Finding),
    /// The mark is not the one that the service wrote.
    #[error(
        "the mark `{}` {what}. Nothing was changed. Put the right one back, or say where it is kept (--mark-file); to \
         take the database as it is, `tongguan seal-anew`",
        .path.display()
    )]
    Mark {
        /// Where it is looked for.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A row that confers rights does not fit its seal.
    #[error("{what} was changed without the master key, and is refused: run `tongguan check`")]
    Forged {
        /// Whose row.
        what: String,
        /// Whether somebody acts by it; if not it is a certificate.
        principal: bool,
    },
    /// The rows that confer rights are sealed, and the key of the seals was not given: nothing may be changed.
    #[error("the rows that confer rights are sealed, and the key of the seals is not known")]
    RightsClosed,
    /// The store cannot be used now: full disk, I/O error, damaged database. Nothing was changed.
    #[error("{0}")]
    Unusable(Trouble),
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
    /// So many changes of this account wait already that one more would make others wait.
    #[error("too many changes of this account wait")]
    Crowded,
    /// More changes wait than there are places.
    #[error("too many changes wait")]
    Full,
}

impl StoreError {
    /// Whether SQLite says that what it reads is no sound database.
    #[must_use]
    pub fn malformed(&self) -> bool {
        use rusqlite::ErrorCode;
        matches!(self, Self::Sqlite(error)
            if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)))
    }

    /// Whether SQLite says that it may not write.
    #[must_use]
    pub fn read_only(&self) -> bool {
        use rusqlite::ErrorCode;
        matches!(self, Self::Sqlite(error)
            if matches!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied)))
    }
}

/// How the store is tuned. Every limit has a name.
#[derive(Debug, Clone)]
pub struct Options {
    /// Operations committed in one batch at most.
    pub group: usize,
    /// Audit records of reads and refusals that may wait in memory for the next batch.
    pub audit_backlog: usize,
    /// Audit records of reads and refusals kept of each account; its older ones are removed.
    pub audit_records: u64,
    /// Audit records of changes kept of each account, and as many of temporary keys that it issued; its older ones are
    /// removed.
    pub audit_changes: u64,
    /// Audit records of refusals kept of all those together who have proved nothing; older ones are removed.
    pub audit_strangers: u64,
    /// Such refusals that are recorded one by one, of one source in a minute; further ones are counted.
    pub audit_strangers_per_minute: u32,
    /// Days that audit records are kept at most; 0: as long as there is room.
    pub audit_days: u64,
    /// Days that audit records of changes are to be kept at least: it is told if there was no room for that.
    pub audit_change_days: u64,
    /// Milliseconds that a waiting audit record may wait for company.
    pub audit_flush_ms: u64,
    /// Page cache of each reading connection, KiB.
    pub cache_kib: u32,
    /// Page cache of the writing connection, KiB.
    pub writer_cache_kib: u32,
    /// Where the mark is kept; none: in the data directory.
    pub mark_file: Option<PathBuf>,
    /// Opens a database that lacks answered changes, or whose mark is not whole: for who takes it as it is.
    pub take_as_it_is: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            group: 256,
            audit_backlog: 4_096,
            audit_records: 500_000,
            audit_changes: 500_000,
            audit_strangers: 50_000,
            audit_strangers_per_minute: 60,
            audit_days: 0,
            audit_change_days: 180,
            audit_flush_ms: 100,
            cache_kib: 2_048,
            writer_cache_kib: 4_096,
            mark_file: None,
            take_as_it_is: false,
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
    condition: Arc<Condition>,
    /// What an earlier process left in the audit journal, until there is a key to tell whether it did.
    left: Mutex<Option<Left>>,
    /// The database was of a schema whose journals prove nothing.
    unproven: bool,
    rights: Arc<Rights>,
    mark: Arc<Mark>,
    /// What was found in the place of the mark.
    found: Found,
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
    /// [`StoreError::Foreign`] if the directory is not ours, [`StoreError::InUse`] if another process has it,
    /// [`StoreError::NewerSchema`] if a newer release wrote it, and file or database errors.
    pub fn open(directory: &Path, options: &Options) -> Result<Self, StoreError> {
        look(directory)?;
        // The journal's folder as well, for its owner alone whatever the umask.
        for folder in [directory, &directory.join(AUDIT_FOLDER)] {
            make_folder(folder).map_err(|source| StoreError::File {
                what: "cannot make data directory",
                path: folder.to_path_buf(),
                source,
            })?;
        }
        let lock = lock(directory)?;
        Self::open_locked(directory, options, lock).map_err(inspect::classified)
    }

    fn open_locked(directory: &Path, options: &Options, lock: File) -> Result<Self, StoreError> {
        let path = directory.join(DATABASE_FILE);
        let mark = Arc::new(Mark::of(directory, options.mark_file.as_deref()));
        let found = look_before_opening(directory, &path, &mark, options.take_as_it_is)?;
        make_owner_only(&path)?;
        let mut connection = connect(&path, options.writer_cache_kib)?;
        let unproven = schema::known(&connection)? < WITH_PROOFS;
        schema::migrate(&mut connection)?;
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if let Some(finding) = inspect::at_start(&connection, bytes <= CHECKED_AT_START)? {
            return Err(StoreError::Unsound(finding));
        }
        let groups = schema::groups(&connection)?;
        let (left, journal) = open_journal(directory, &connection)?;
        // Of a sealed database it is left alone until the key is known.
        if !rights::sealed(&connection)? && !matches!(found, Found::Sealed(..)) {
            mark.begin(groups, None).map_err(mark_failed(&mark, "cannot write the mark"))?;
        }
        let checkpointer = connect(&path, 64)?;
        let rights = Arc::new(Rights::default());
        let readers = Arc::new(Readers::new(path.clone(), options.cache_kib, Arc::clone(&rights)));
        let condition = Arc::new(Condition::default());
        let writer = Writer::start(writer::Parts {
            connection,
            checkpointer,
            readers: Arc::clone(&readers),
            journal,
            waits: !left.is_empty(),
            mark: Arc::clone(&mark),
            rights: Arc::clone(&rights),
            groups,
            condition: Arc::clone(&condition),
            options: options.clone(),
        })?;
        let left = Mutex::new(Some(left));
        let inner =
            Inner { path, readers, writer, condition, left, unproven, rights, mark, found, _lock: lock };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs a query on one consistent state of the database, on this thread.
    ///
    /// # Errors
    /// What the question gives, or a database error.
    pub fn read<T>(
        &self,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.inner.readers.read(question).map_err(|error| match Trouble::of(&error) {
            Some(trouble) => self.inner.condition.note(trouble),
            None => error,
        })
    }

    /// Why the store cannot be used at present; none if it can.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.inner.condition.get()
    }

    /// Runs `change` in the next batch and returns once it is durable.
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
        let answer = self.inner.writer.submit(change)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// [`Store::write`] for an account (by any fingerprint), whose waiting changes have a share of the places.
    ///
    /// # Errors
    /// As [`Store::write`]; [`StoreError::Crowded`] if the account has used up its share, and [`StoreError::Full`]
    /// if there is no place at all.
    pub async fn write_for<T, F>(&self, account: u64, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send + 'static,
    {
        let place = self.inner.writer.place(account)?;
        let mut change = change;
        let answer = self.inner.writer.submit(move |tx: &Tx<'_>| {
            let _place = &place;
            change(tx)
        })?;
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

    /// Takes the audit record of a call that changed nothing, and gives it a number for
    /// [`Store::audit_written`]; 0, which is written already, if it was only counted: a refusal of one who
    /// has proved nothing, of which there were too many in this minute. It is in the database with the next
    /// batch, at the latest after [`Options::audit_flush_ms`]. Returns the record if too many wait: then
    /// write it with [`Store::write`], which makes its caller wait.
    ///
    /// # Errors
    /// The record itself.
    pub fn audit_later(&self, record: AuditRecord) -> Result<u64, Box<AuditRecord>> {
        self.inner.writer.audit_later(record)
    }

    /// Makes the record of this number survive the death of the process, with all others that wait for it:
    /// the call must not be answered before.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn audit_written(&self, number: u64) -> Result<(), StoreError> {
        self.inner.writer.audit_written(number)
    }

    /// Whether there is a sealed mark beside the database: then its rows that confer rights were sealed.
    #[must_use]
    pub fn mark_is_sealed(&self) -> bool {
        matches!(self.inner.found, Found::Sealed(..))
    }

    /// Takes up the seals of the rows that confer rights, under this key: whatever is written from now on is
    /// sealed, and whoever's rights are read for use is looked at. Nothing can be changed in a sealed
    /// database before. The sums of the seals, the state of the database and the mark are looked at first.
    ///
    /// # Errors
    /// [`StoreError::Unsound`] or [`StoreError::Mark`] if they are not as the service left them; nothing was
    /// changed then.
    pub fn open_rights(&self, key: &RightsKey) -> Result<(), StoreError> {
        let (groups, marked) = self.read(|snapshot| {
            let connection = snapshot.connection();
            if let Some(finding) = key.at_start(connection)? {
                return Err(StoreError::Unsound(finding));
            }
            self.inner.rights.found_sound(connection)?;
            Ok((schema::groups(connection)?, rights::mark_sealed(connection)?))
        })?;
        // A process that was killed when it had just sealed the rows has not sealed the mark.
        let sealed = marked || self.mark_is_sealed();
        if let Some(what) = self.inner.found.fault(key).filter(|_| sealed) {
            return Err(StoreError::Mark { path: self.inner.mark.path().to_path_buf(), what });
        }
        self.inner.rights.give(key);
        self.rely_on_mark(key, groups, marked)
    }

    /// Seals the rows that confer rights as they are now, in place of any seals that are there, with what
    /// `also` does, in one transaction; then the mark. To be called instead of [`Store::open_rights`].
    ///
    /// # Errors
    /// A database error, or what `also` gives; nothing was changed then.
    pub fn seal_rights<E, F>(&self, key: &RightsKey, mut also: F) -> Result<(), E>
    where
        E: From<StoreError> + Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<(), E> + Send + 'static,
    {
        self.inner.rights.give(key);
        let sealing = key.clone();
        let sealed = self.write_blocking(move |tx| {
            if let Err(error) = also(tx) {
                return Ok(Verdict::Discard(Err(error)));
            }
            tx.seal_all_rights(&sealing)?;
            Ok(Verdict::Keep(Ok(())))
        });
        sealed??;
        let groups = self.read(|snapshot| schema::groups(snapshot.connection()))?;
        Ok(self.rely_on_mark(key, groups, false)?)
    }

    /// Writes the mark sealed, durably, and then notes that it is.
    fn rely_on_mark(&self, key: &RightsKey, groups: u64, marked: bool) -> Result<(), StoreError> {
        let mark = &self.inner.mark;
        mark.begin(groups, Some(key)).map_err(mark_failed(mark, "cannot write the mark"))?;
        if marked {
            return Ok(());
        }
        fail::fail_point!("rights::sealed");
        self.write_blocking(|tx| Ok(Verdict::Keep(tx.rely_on_mark()?)))
    }

    /// Seals the chain of audit records with every batch from now on, under a key that is not in the clear in
    /// the database; keeps it if it is `new`. Looks at the newest records and at the last seal first; if something
    /// is wrong with them it answers what, and seals nothing, so that `tongguan check` goes on finding it. Takes up
    /// what an earlier process left in its journal.
    ///
    /// # Errors
    /// A database error, or the journal cannot be taken up.
    pub fn seal_audit(&self, key: &[u8], new: Option<NewAuditKey>) -> Result<Vec<Finding>, StoreError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let findings = self.read(|snapshot| snapshot.recent_audit(&key, new.is_some()))?;
        let whole = findings.is_empty();
        self.inner.writer.seal_with(&key, whole);
        let (left, records) = self.left(&key);
        let last = left.last;
        // Every group that keeps something seals: the key is there from the first seal on.
        self.write_blocking(move |tx| {
            new.iter().filter(|_| whole).try_for_each(|new| tx.put_audit_key(new))?;
            tx.audit_all(&records)?;
            tx.journalled(last)?;
            Ok(Verdict::Keep(()))
        })?;
        self.journal_moved(left)?;
        Ok(findings)
    }

    /// Begins the chain of audit records anew, whatever is wrong with it, with `record` as the first: the records
    /// that are there stay and are no longer part of it. To be called instead of [`Store::seal_audit`].
    ///
    /// # Errors
    /// A database error, or the journal cannot be taken up.
    pub fn begin_audit_anew(
        &self,
        key: &[u8],
        new: Option<NewAuditKey>,
        record: AuditRecord,
    ) -> Result<(), StoreError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        self.inner.writer.seal_with(&key, true);
        let (left, records) = self.left(&key);
        let last = left.last;
        self.write_blocking(move |tx| {
            new.iter().try_for_each(|new| tx.put_audit_key(new))?;
            tx.begin_audit_anew()?;
            tx.audit(&record)?;
            tx.audit_all(&records)?;
            tx.journalled(last)?;
            Ok(Verdict::Keep(()))
        })?;
        self.journal_moved(left)
    }

    /// What an earlier process left in the journal, and those of its records that it has written itself.
    fn left(&self, key: &hmac::Key) -> (Left, Vec<AuditRecord>) {
        let left = self.inner.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut left = left.unwrap_or_default();
        let records = left.proven(&journal::key_of(key), self.inner.unproven);
        (left, records)
    }

    fn journal_moved(&self, left: Left) -> Result<(), StoreError> {
        let path = self.inner.path.with_file_name(AUDIT_FOLDER);
        let failed = |source| StoreError::File { what: "cannot take up the audit journal in", path, source };
        left.moved().map_err(failed)?;
        self.inner.writer.journal_taken();
        Ok(())
    }

    /// Removes the audit records that retention does not keep at this moment, UNIX milliseconds, at most `batch` of
    /// them; answers how many. Nothing is removed as long as it is not known how the chain is sealed, and from a
    /// chain that is not whole.
    ///
    /// # Errors
    /// A database error (nothing was removed).
    pub async fn trim_audit(&self, now_ms: i64, batch: u32) -> Result<usize, StoreError> {
        self.inner.writer.trim_audit(now_ms, batch)?.await.map_err(|_| StoreError::Closed)?
    }

    /// Writes the whole database anew and empties its log, so that nothing that was replaced is left in its
    /// files, and ends the store.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another handle of the store is held, and database errors; nothing is lost then.
    pub fn compact(self) -> Result<(), StoreError> {
        let path = self.inner.path.clone();
        let directory = path.parent().unwrap_or(&path).to_path_buf();
        let Some(inner) = Arc::into_inner(self.inner) else {
            return Err(StoreError::InUse { directory, process: Some(std::process::id()) });
        };
        let Inner { readers, writer, _lock: lock, .. } = inner;
        drop(writer);
        drop(readers);
        let connection = connect(&path, 4_096)?;
        // Freed pages are overwritten as well, should the file not be cut at its end.
        connection.execute_batch("PRAGMA secure_delete = ON; VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
        drop(connection);
        drop(lock);
        Ok(())
    }

    /// What the writer has done since it started.
    #[must_use]
    pub fn stats(&self) -> WriterStats {
        self.inner.writer.stats()
    }
}

/// Creates a folder, and its parents, for their owner alone; an existing one is left as it is.
pub(crate) fn make_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the database's file for its owner alone, if there is none: SQLite would leave that to the umask. Its
/// log gets the same mode.
fn make_owner_only(path: &Path) -> Result<(), StoreError> {
    territory::in_place().open(path).map(drop).map_err(|source| StoreError::File {
        what: "cannot make database",
        path: path.to_path_buf(),
        source,
    })
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK_FILE);
    let mut file = territory::in_place().read(true).open(&path).map_err(|source| StoreError::File {
        what: "cannot open lock file",
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => {
            // Only for people and messages: the lock is the file's, not its text's.
            let named = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            named.map_err(|source| StoreError::File { what: "cannot write lock file", path, source })?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(StoreError::InUse { directory: directory.to_path_buf(), process: holder(directory) })
        }
        Err(std::fs::TryLockError::Error(source)) => {
            Err(StoreError::File { what: "cannot lock", path, source })
        }
    }
}

/// Whether a process serves a data directory, and which, if it said so.
#[must_use]
pub fn serving(directory: &Path) -> Option<Option<u32>> {
    let file = File::open(directory.join(LOCK_FILE)).ok()?;
    match file.try_lock_shared() {
        Err(std::fs::TryLockError::WouldBlock) => Some(holder(directory)),
        Ok(()) | Err(std::fs::TryLockError::Error(_)) => None,
    }
}

/// Id of the process that serves a data directory, as it wrote it down.
fn holder(directory: &Path) -> Option<u32> {
    std::fs::read_to_string(directory.join(LOCK_FILE)).ok()?.trim().parse().ok()
}

fn pid(process: Option<u32>) -> String {
    process.map(|process| format!(" (process {process})")).unwrap_or_default()
}

fn mark_failed(mark: &Mark, what: &'static str) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = mark.path().to_path_buf();
    move |source| StoreError::File { what, path, source }
}

/// Refuses, untouched, a database that is missing, lacks answered changes, or is a newer release's. Answers what is in
/// the place of the mark.
fn look_before_opening(
    directory: &Path,
    path: &Path,
    mark: &Mark,
    take_as_it_is: bool,
) -> Result<Found, StoreError> {
    let found_mark = mark.read().map_err(mark_failed(mark, "cannot read the mark"))?;
    let answered = found_mark.groups().unwrap_or(0);
    if std::fs::metadata(path).map_or(0, |metadata| metadata.len()) == 0 {
        let had_one = answered > 0;
        let missing = || StoreError::Missing(directory.to_path_buf());
        return if had_one { Err(missing()) } else { Ok(found_mark) };
    }
    let connection = connect_read_only(path)?;
    schema::known(&connection)?;
    let found = schema::groups(&connection)?;
    if found < answered && !take_as_it_is {
        let mark = mark.path().to_path_buf();
        return Err(StoreError::Lost { directory: directory.to_path_buf(), mark, found, answered });
    }
    Ok(found_mark)
}

/// What an earlier process left in the audit journal, and the journal for the records to come.
fn open_journal(directory: &Path, connection: &Connection) -> Result<(Left, Journal), StoreError> {
    let failed = |source| StoreError::File {
        what: "cannot take up the audit journal in",
        path: directory.to_path_buf(),
        source,
    };
    let mut left = Left::read(directory, schema::journalled(connection)?).map_err(failed)?;
    left.tidy().map_err(failed)?;
    let journal = Journal::begin(directory, left.last).map_err(failed)?;
    Ok((left, journal))
}

/// Triggers and views that somebody has put into the database would act as we: they do not run. Those of a
/// connection of its own do.
fn run_nothing_of_the_database(connection: &Connection) -> Result<(), StoreError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    Ok(())
}

/// A connection that cannot write, for looking at a database that is, or may be, in use.
fn connect_read_only(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIME)?;
    run_nothing_of_the_database(&connection)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;")?;
    Ok(connection)
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
    connection.busy_timeout(BUSY_TIME)?;
    run_nothing_of_the_database(&connection)?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{cache_kib}; \
         PRAGMA trusted_schema = OFF;"
    ))?;
    Ok(connection)
}
