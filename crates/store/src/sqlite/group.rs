//! The writer's thread: gathers the changes that wait, runs them in one transaction, and answers after its commit.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fail::fail_point;
use rusqlite::Connection;
use tongguan_model::id::AccountId;
use tracing::{error, warn};

use super::checkpoint::{
    CHECKPOINT_AGAIN_PAGES, CHECKPOINT_HARD_PAGES, CHECKPOINT_PAGES, Checkpointer, checkpoint_now,
};
use super::health::{Condition, Trouble};
use super::journal;
use super::mark::Mark;
use super::readers::Readers;
use super::seals::Keeper;
use super::trim::{Retention, TRIMMED};
use super::writer::{AUDIT_PER_GROUP, Backlog, Counters, Job, Message, Trim};
use crate::audit::chain::{Ends, Found, Sealing};
use crate::rights::Rights;
use crate::session::Session;
use crate::session::ready::Ready;
use crate::{AuditRecord, Options, StoreError, Tx};

/// After so many changes and records, retention checks whether some have to be purged.
pub(crate) const TRIM_AFTER: u64 = 1_024;
/// After a change had to be undone, so many batches give each change a savepoint of its own. Without one a batch is
/// cheaper, and is run again from its beginning if a change of it must be undone: so that costs others little, however
/// often somebody makes it happen.
const SAVEPOINT_GROUPS: u32 = 64;

/// Audit records taken from the backlog, and the number of the last.
#[derive(Default)]
struct Audits {
    records: Vec<AuditRecord>,
    last: u64,
}

pub(super) struct Loop<'c> {
    pub(super) connection: &'c Connection,
    /// Its statements.
    pub(super) ready: Ready<'c>,
    pub(super) readers: Arc<Readers>,
    /// Pages in the write-ahead log after the last commit.
    pub(super) log_pages: Arc<AtomicU64>,
    pub(super) backlog: Arc<Mutex<Backlog>>,
    pub(super) counters: Arc<Counters>,
    pub(super) checkpoints: Checkpointer,
    pub(super) options: Options,
    pub(super) full_sync: bool,
    pub(super) since_trim: u64,
    /// Who waits for retention.
    pub(super) trims: Vec<Trim>,
    pub(super) retention: Retention,
    pub(super) mark: Arc<Mark>,
    pub(super) groups: u64,
    pub(super) condition: Arc<Condition>,
    /// Pages in the log at which the writer itself checkpoints next.
    pub(super) checkpoint_at: u64,
    pub(super) sealing: Arc<Sealing>,
    /// Anchor and head of the audit chain as this process left them, once it seals.
    pub(super) ends: Option<Ends>,
    /// Somebody else has changed them: nothing is sealed any more.
    pub(super) forged: bool,
    pub(super) rights: Arc<Rights>,
    pub(super) keeper: Keeper,
    /// Groups to come in which each change has a savepoint.
    pub(super) savepoints: u32,
}

/// How a batch is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undo {
    /// Each change can be undone by itself.
    Savepoints,
    /// None can.
    Nothing,
}

/// The outcome of a batch's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worked {
    /// Whether any is kept, and where the chain begins and ends if it was sealed.
    Kept(bool, Option<Ends>),
    /// One must be undone that cannot be: the batch is to be run again.
    Again,
}

impl Loop<'_> {
    fn session(&self) -> Session<'_> {
        Session::keeping(self.connection, &self.ready)
    }

    pub(super) fn run(mut self, receiver: &Receiver<Message>) {
        let pause = Duration::from_millis(self.options.audit_flush_ms);
        let mut last_flush = Instant::now();
        loop {
            let first = receiver.recv_timeout(pause);
            if matches!(first, Err(RecvTimeoutError::Disconnected)) {
                break;
            }
            let jobs = self.gather(receiver, first.ok());
            let audits = self.take_audits(jobs.is_empty() || last_flush.elapsed() >= pause, false);
            if !audits.records.is_empty() {
                last_flush = Instant::now();
            }
            if !jobs.is_empty() || !audits.records.is_empty() {
                let work = jobs.len() + audits.records.len();
                self.commit(jobs, audits);
                self.housekeep(work);
            }
            for Trim { now_ms, most, reply } in std::mem::take(&mut self.trims) {
                // Nobody may be waiting any more.
                let _ = reply.send(self.trim_audit(Some(now_ms), most));
            }
        }
        loop {
            let audits = self.take_audits(true, true);
            if audits.records.is_empty() || !self.commit(Vec::new(), audits) {
                // What is left stays in the journal and is moved at the next start.
                break;
            }
        }
        self.readers.while_closed(|| {
            if let Err(error) = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
                warn!(%error, "the last checkpoint failed; the log is replayed at the next start");
            }
        });
    }

    fn gather(&mut self, receiver: &Receiver<Message>, first: Option<Message>) -> Vec<Box<dyn Job>> {
        let mut jobs = Vec::new();
        let mut next = first;
        loop {
            match next {
                Some(Message::Job(job)) => jobs.push(job),
                Some(Message::Trim(trim)) => self.trims.push(trim),
                Some(Message::Wake) | None => {}
            }
            if jobs.len() >= self.options.group {
                return jobs;
            }
            match receiver.try_recv() {
                Ok(message) => next = Some(message),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return jobs,
            }
        }
    }

    /// The records that wait, if it is time for them; `last`: also what was only counted so far.
    fn take_audits(&self, due: bool, last: bool) -> Audits {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        if last || backlog.folder.due(Instant::now()) {
            for record in backlog.folder.end() {
                backlog.journal.take(&journal::line(&record));
                backlog.waiting.push_back(record);
            }
        }
        let waiting = backlog.waiting.len();
        if waiting == 0 || (!due && waiting < AUDIT_PER_GROUP) {
            return Audits::default();
        }
        let taken = waiting.min(AUDIT_PER_GROUP);
        let last = backlog.journal.last() - (waiting - taken) as u64;
        Audits { records: backlog.waiting.drain(..taken).collect(), last }
    }

    /// Commits a batch; if a change is at fault, tries each member alone, so that it affects no other.
    /// Returns whether everything succeeded.
    fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>, audits: Audits) -> bool {
        let error = match self.transact(&mut jobs, &audits) {
            Ok(()) => {
                self.settle(jobs, &audits);
                return true;
            }
            Err(error) => error,
        };
        if let Some(trouble) = Trouble::of(&error) {
            // Not the fault of any change: trying them one by one would only take longer.
            for job in jobs {
                job.finish(Err(self.condition.note(trouble.clone())));
            }
            self.put_back(audits);
            return false;
        }
        if jobs.len() <= 1 && audits.records.is_empty() {
            error!(%error, "a change was not stored");
            if let Some(job) = jobs.pop() {
                job.finish(Err(error));
            }
            return false;
        }
        warn!(%error, changes = jobs.len(), "a batch was not committed; trying its members alone");
        for job in jobs {
            self.commit(vec![job], Audits::default());
        }
        if let Err(error) = self.transact(&mut [], &audits) {
            error!(%error, records = audits.records.len(), "audit records were not stored");
            self.put_back(audits);
            return false;
        }
        self.settle(Vec::new(), &audits);
        true
    }

    /// After a commit: lets readers and callers know.
    fn settle(&mut self, jobs: Vec<Box<dyn Job>>, audits: &Audits) {
        if !jobs.is_empty() {
            self.readers.committed();
        }
        if !audits.records.is_empty() {
            let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
            backlog.journal.moved(audits.last);
        }
        self.counters.changes.fetch_add(jobs.len() as u64, Ordering::Relaxed);
        jobs.into_iter().for_each(|job| job.finish(Ok(())));
    }

    fn put_back(&self, audits: Audits) {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        for record in audits.records.into_iter().rev() {
            backlog.waiting.push_front(record);
        }
    }

    fn transact(&mut self, jobs: &mut [Box<dyn Job>], audits: &Audits) -> Result<(), StoreError> {
        let undo = if self.savepoints > 0 { Undo::Savepoints } else { Undo::Nothing };
        self.savepoints = self.savepoints.saturating_sub(1);
        if self.attempt(jobs, audits, undo)? == Worked::Again {
            self.savepoints = SAVEPOINT_GROUPS;
            self.counters.again.fetch_add(1, Ordering::Relaxed);
            self.attempt(jobs, audits, Undo::Savepoints)?;
        }
        Ok(())
    }

    fn attempt(
        &mut self,
        jobs: &mut [Box<dyn Job>],
        audits: &Audits,
        undo: Undo,
    ) -> Result<Worked, StoreError> {
        self.condition.usable()?;
        let full = !jobs.is_empty();
        self.set_sync(full)?;
        self.keeper.attend(self.connection, &self.rights)?;
        let begun = Instant::now();
        self.session().execute("BEGIN IMMEDIATE", &[])?;
        fail_point!("store::begun");
        let session = Session::keeping(self.connection, &self.ready);
        let looked = Found::look(session, self.ends, &mut self.forged).and_then(|found| {
            self.keeper.look(session, &self.rights)?;
            Ok(found)
        });
        let (mut ends, mut root) = (None, None);
        let mut raised = Vec::new();
        let worked = looked.and_then(|found| self.work(jobs, audits, found, undo, &mut raised));
        let result = worked.and_then(|worked| {
            let Worked::Kept(kept, left) = worked else { return Ok(None) };
            ends = left;
            // A group that keeps nothing writes nothing, and does not wait for the disk.
            let groups = self.groups + u64::from(kept);
            let mut seal = None;
            if kept {
                (seal, root) = self.keeper.seal(self.session(), &self.rights, groups)?;
            }
            if kept || !audits.records.is_empty() {
                Tx::new(self.session()).count_group(groups, audits.last, seal.as_ref())?;
            }
            fail_point!("store::changed");
            self.session().execute("COMMIT", &[])?;
            fail_point!("store::committed");
            Ok(Some(groups))
        });
        if !self.connection.is_autocommit() {
            self.session().script("ROLLBACK")?;
        }
        let Some(groups) = result? else { return Ok(Worked::Again) };
        self.rights.epochs.raised(&raised);
        self.ends = ends.or(self.ends);
        let kept = groups > self.groups;
        if kept || !audits.records.is_empty() {
            // Something was written: what was in the way is over.
            self.condition.sound();
        }
        self.counters.groups.fetch_add(1, Ordering::Relaxed);
        self.counters.audit_records.fetch_add(audits.records.len() as u64, Ordering::Relaxed);
        if kept {
            self.groups = groups;
            self.keeper.left(root);
            self.counters.timed(begun.elapsed());
            // The changes are durable; a mark that is behind says less and no wrong.
            if let Err(error) = self.mark.set(groups, self.keeper.mark_key(&self.rights)) {
                warn!(%error, "the mark beside the database was not written");
            }
            fail_point!("store::marked");
        }
        Ok(Worked::Kept(kept, ends))
    }

    /// Runs the changes and writes the records; adds the epochs that were raised.
    fn work(
        &self,
        jobs: &mut [Box<dyn Job>],
        audits: &Audits,
        found: Option<Found>,
        undo: Undo,
        raised: &mut Vec<(AccountId, u64)>,
    ) -> Result<Worked, StoreError> {
        let tx = Tx::vouching(self.session(), &self.rights);
        tx.found.replace(found);
        let mut kept = false;
        for job in jobs {
            let (before, head) = (self.connection.total_changes(), tx.head.get());
            let rights = self.rights.changes.load(Ordering::Relaxed);
            if undo == Undo::Savepoints {
                self.session().execute("SAVEPOINT change", &[])?;
            }
            // A bug in one change must not end the writer for all.
            let run = std::panic::catch_unwind(AssertUnwindSafe(|| job.run(&tx)));
            let keep = run.map_err(|_| StoreError::Panicked)??;
            kept |= keep;
            let own = tx.raised().take();
            debug_assert!(
                !keep || !own.is_empty() || self.rights.changes.load(Ordering::Relaxed) == rights,
                "a change of rights has raised no epoch"
            );
            if keep {
                raised.extend(own);
            }
            let wrote = self.connection.total_changes() > before;
            if undo == Undo::Savepoints {
                if !keep {
                    self.session().execute("ROLLBACK TO change", &[])?;
                    tx.head.set(head);
                }
                self.session().execute("RELEASE change", &[])?;
            } else if !keep && wrote {
                return Ok(Worked::Again);
            }
        }
        tx.audit_all(&audits.records)?;
        let key = self.sealing.get().and_then(Option::as_ref);
        let sealed = !self.forged && (kept || !audits.records.is_empty());
        Ok(Worked::Kept(kept, tx.end_batch(key.filter(|_| sealed))?))
    }

    /// A batch without changes (audit of reads and refusals alone) need not wait for the disk.
    pub(super) fn set_sync(&mut self, full: bool) -> Result<(), StoreError> {
        if self.full_sync != full {
            let mode = if full { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            self.session().script(mode)?;
            self.full_sync = full;
        }
        Ok(())
    }

    fn housekeep(&mut self, work: usize) {
        self.since_trim += work as u64;
        if self.since_trim > TRIM_AFTER {
            self.since_trim = 0;
            if let Err(error) = self.trim_audit(None, 4 * TRIMMED) {
                warn!(%error, "old audit records were not removed");
            }
        }
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages <= CHECKPOINT_HARD_PAGES {
            self.checkpoint_at = CHECKPOINT_HARD_PAGES;
        }
        if pages > self.checkpoint_at {
            self.checkpoint_at = pages + CHECKPOINT_AGAIN_PAGES;
            self.readers.while_closed(|| {
                if let Err(error) = checkpoint_now(self.connection) {
                    warn!(%error, "checkpoint failed");
                }
            });
        } else if pages > CHECKPOINT_PAGES {
            self.readers.let_go();
            self.checkpoints.ask();
        }
    }
}
