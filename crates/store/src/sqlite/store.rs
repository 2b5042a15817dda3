//! The embedded store of one data directory: opening it, asking, changing, and what its keys are given for.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;

use super::health::Condition;
use super::journal::{Left, Proof};
use super::mark::{Found, Mark};
use super::open::{connect, look_before_opening, make_folder, make_owner_only, mark_failed, open_journal};
use super::readers::Readers;
use super::structure;
use super::writer::{self, Verdict, Writer, WriterStats};
use super::{lock, schema, state};
use crate::rights::{self, Rights};
use crate::session::Session;
use crate::{
    AUDIT_FOLDER, AuditRecord, DATABASE_FILE, Finding, NewAuditKey, Node, Options, Purpose, RightsKey,
    Snapshot, StoreError, Trouble, Tx, look,
};

/// First schema whose audit journals prove who wrote them.
const WITH_PROOFS: u32 = 4;

/// Bytes of a database whose every page is checked at each start: about a tenth of a second of work. A
/// larger one is left to `tongguan check`.
const CHECKED_AT_START: u64 = 32 * 1024 * 1024;

/// The embedded store of one data directory. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Embedded {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    readers: Arc<Readers>,
    writer: Writer,
    condition: Arc<Condition>,
    /// What an earlier process left in the audit journal, until there is a key to verify that it did.
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

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the database in `directory` (made for its owner alone if absent), migrates it and starts the writer.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if the directory is not ours, [`StoreError::InUse`] if another process has it,
    /// [`StoreError::NewerSchema`] if a newer release wrote it, and file or database errors.
    pub(crate) fn open(directory: &Path, options: &Options) -> Result<Self, StoreError> {
        look(directory)?;
        // The journal's folder as well, for its owner alone whatever the umask.
        for folder in [directory, &directory.join(AUDIT_FOLDER)] {
            make_folder(folder).map_err(|source| StoreError::File {
                what: "cannot make data directory",
                path: folder.to_path_buf(),
                source,
            })?;
        }
        let lock = lock::take(directory)?;
        Self::open_locked(directory, options, lock).map_err(structure::classified)
    }

    fn open_locked(directory: &Path, options: &Options, lock: File) -> Result<Self, StoreError> {
        let path = directory.join(DATABASE_FILE);
        let mark = Arc::new(Mark::of(directory, options.mark_file.as_deref()));
        let found = look_before_opening(directory, &path, &mark, options.take_as_it_is)?;
        make_owner_only(&path)?;
        let mut connection = connect(&path, options.writer_cache_kib)?;
        let schema = schema::known(Session::new(&connection))?;
        let (unproven, new) = (schema < WITH_PROOFS, schema == 0);
        if let Some(purpose) = options.purpose.filter(|_| !new) {
            state::fits(Session::new(&connection), purpose)?;
        }
        schema::migrate(&mut connection)?;
        let session = Session::new(&connection);
        match options.purpose {
            Some(Purpose::Tests) if new => state::is_for_tests(session)?,
            Some(Purpose::TestsOnCopy) => state::is_for_tests(session)?,
            Some(Purpose::Tests | Purpose::Service) | None => {}
        }
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if let Some(finding) = structure::at_start(session, bytes <= CHECKED_AT_START)? {
            return Err(StoreError::Unsound(finding));
        }
        let groups = state::groups(session)?;
        let (left, journal) = open_journal(directory, session)?;
        // Of a sealed database it is left alone until the key is known.
        if !rights::sealed(session)? && !matches!(found, Found::Sealed(..)) {
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
    /// The error of `question`, or a database error.
    pub(crate) fn read<T>(
        &self,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.inner.readers.read(question).map_err(|error| match Trouble::of(&error) {
            Some(trouble) => self.inner.condition.note(trouble),
            None => error,
        })
    }

    /// Says which process this is: what it accepts from now on is its own. The first word counts.
    pub(crate) fn act_as(&self, node: Node) -> &Node {
        self.inner.rights.node.get_or_init(|| node)
    }

    /// Why the store cannot be used at present; none if it can.
    #[must_use]
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.inner.condition.get()
    }

    /// Runs `change` in the next batch and returns once it is durable.
    ///
    /// `change` may be called more than once: if the batch's transaction fails, each of its members is
    /// tried again alone. It must therefore not have effects outside the transaction.
    ///
    /// # Errors
    /// A database error (nothing was changed) or [`StoreError::Closed`].
    pub(crate) async fn write<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send + 'static,
    {
        let answer = self.inner.writer.submit(change)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// [`Embedded::write`] for an account (by any fingerprint), whose waiting changes have a share of the places.
    ///
    /// # Errors
    /// As [`Embedded::write`]; [`StoreError::Crowded`] if the account has used up its share, and [`StoreError::Full`]
    /// if there is no place at all.
    pub(crate) async fn write_for<T, F>(&self, account: u64, change: F) -> Result<T, StoreError>
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

    /// [`Embedded::write`] for a caller outside an async runtime.
    ///
    /// # Errors
    /// As [`Embedded::write`].
    pub(crate) fn write_blocking<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send + 'static,
    {
        let answer = self.inner.writer.submit(change)?;
        answer.blocking_recv().map_err(|_| StoreError::Closed)?
    }

    /// Takes the audit record of a call that changed nothing, and gives it a number for
    /// [`Embedded::audit_written`]; 0, which is written already, if it was only counted: a refusal of one who
    /// has proved nothing, of which there were too many in this minute. It is in the database with the next
    /// batch, at the latest after [`Options::audit_flush_ms`]. Returns the record if too many wait: then
    /// write it with [`Embedded::write`], which makes its caller wait.
    ///
    /// # Errors
    /// The record itself.
    pub(crate) fn audit_later(&self, record: AuditRecord) -> Result<u64, Box<AuditRecord>> {
        self.inner.writer.audit_later(record)
    }

    /// Makes the record of this number survive the death of the process, with all others that wait for it:
    /// the call must not be answered before.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(crate) fn audit_written(&self, number: u64) -> Result<(), StoreError> {
        self.inner.writer.audit_written(number)
    }

    /// Whether there is a sealed mark beside the database: then its rows that confer rights were sealed.
    #[must_use]
    pub(crate) fn mark_is_sealed(&self) -> bool {
        matches!(self.inner.found, Found::Sealed(..))
    }

    /// Takes up the seals of the rows that confer rights, under this key: whatever is written from now on is
    /// sealed, and whoever's rights are read for use is looked at. Nothing can be changed in a sealed
    /// database before. The sums of the seals, the state of the database and the mark are looked at first.
    ///
    /// # Errors
    /// [`StoreError::Unsound`] or [`StoreError::Mark`] if they are not as the service left them; nothing was
    /// changed then.
    pub(crate) fn open_rights(&self, key: &RightsKey) -> Result<(), StoreError> {
        let (groups, marked, unsealed) = self.read(|snapshot| {
            let session = snapshot.session();
            if let Some(finding) = key.at_start(session)? {
                return Err(StoreError::Unsound(finding));
            }
            self.inner.rights.found_sound(session)?;
            let unsealed = rights::service_keys_unsealed(session)?;
            Ok((state::groups(session)?, rights::mark_sealed(session)?, unsealed))
        })?;
        // A process that was killed when it had just sealed the rows has not sealed the mark.
        let sealed = marked || self.mark_is_sealed();
        if let Some(what) = self.inner.found.fault(key).filter(|_| sealed) {
            return Err(StoreError::Mark { path: self.inner.mark.path().to_path_buf(), what });
        }
        self.inner.rights.give(key);
        self.rely_on_mark(key, groups, marked)?;
        if unsealed {
            let sealing = key.clone();
            self.write_blocking(move |tx| Ok(Verdict::Keep(tx.seal_service_keys(&sealing)?)))?;
        }
        Ok(())
    }

    /// Seals the rows that confer rights as they are now, in place of any seals that are there, with what
    /// `also` does, in one transaction; then the mark. To be called instead of [`Embedded::open_rights`].
    ///
    /// # Errors
    /// A database error, or what `also` gives; nothing was changed then.
    pub(crate) fn seal_rights<E, F>(&self, key: &RightsKey, mut also: F) -> Result<(), E>
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
        let groups = self.read(|snapshot| state::groups(snapshot.session()))?;
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
    pub(crate) fn seal_audit(
        &self,
        key: &[u8],
        new: Option<NewAuditKey>,
    ) -> Result<Vec<Finding>, StoreError> {
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
    /// that are there stay and are no longer part of it. To be called instead of [`Embedded::seal_audit`].
    ///
    /// # Errors
    /// A database error, or the journal cannot be taken up.
    pub(crate) fn begin_audit_anew(
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
        let records = left.proven(&Proof::of(key), self.inner.unproven);
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
    pub(crate) async fn trim_audit(&self, now_ms: i64, batch: u32) -> Result<usize, StoreError> {
        self.inner.writer.trim_audit(now_ms, batch)?.await.map_err(|_| StoreError::Closed)?
    }

    /// Writes the whole database anew and empties its log, so that nothing that was replaced is left in its
    /// files, and ends the store.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another handle of the store is held, and database errors; nothing is lost then.
    pub(crate) fn compact(self) -> Result<(), StoreError> {
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
        Session::new(&connection)
            .script("PRAGMA secure_delete = ON; VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
        drop(connection);
        drop(lock);
        Ok(())
    }

    /// What the writer has done since it started.
    #[must_use]
    pub(crate) fn stats(&self) -> WriterStats {
        self.inner.writer.stats()
    }
}
