//! The writer thread: runs the changes that wait together in one transaction, a *batch*, and syncs once for all.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use fail::fail_point;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use tokio::sync::oneshot;
use tracing::{error, warn};

use crate::chain::{AuditChain, AuditLink};
use crate::fold::Folder;
use crate::health::{Condition, Trouble};
use crate::journal::{self, Journal};
use crate::mark::Mark;
use crate::reader::Readers;
use crate::retention::{self, Plan, Removed, Tally, TrimError};
use crate::rights::{Keeper, Rights};
use crate::{AuditClass, AuditRecord, BUSY_TIME, Options, StoreError, Tx};

/// What a change leaves behind.
#[derive(Debug)]
pub enum Verdict<T> {
    /// Its effects stay.
    Keep(T),
    /// Its effects are undone; the answer is given all the same.
    Discard(T),
}

/// What the writer has done.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriterStats {
    /// Groups committed.
    pub groups: u64,
    /// Groups that were run a second time, with a savepoint for each change, because one had to be undone.
    pub groups_again: u64,
    /// Changes committed in them.
    pub changes: u64,
    /// Audit records of reads and refusals written.
    pub audit_records: u64,
    /// Refusals of those who have proved nothing that were only counted.
    pub audit_folded: u64,
    /// Audit records that retention removed, in the order of [`AuditClass::ALL`].
    pub audit_removed: [u64; AuditClass::ALL.len()],
    /// Those of them that were younger than they should have been: their account had filled its share.
    pub audit_removed_young: [u64; AuditClass::ALL.len()],
    /// How much of its share of the audit record the account with the most records has used, in hundredths.
    pub audit_fullest: [u64; AuditClass::ALL.len()],
    /// Pages in the write-ahead log.
    pub log_pages: u64,
    /// How long batches with changes took, from the first statement to the end of the sync: commits that
    /// took at most so many microseconds as [`COMMIT_BOUNDS_US`] says, in its order, then all longer ones.
    pub commits: [u64; COMMIT_BOUNDS_US.len() + 1],
    /// Sum of those times, microseconds.
    pub commit_us: u64,
    /// How often a row that confers rights did not fit its seal.
    pub forged: u64,
}

/// Upper bounds of the classes of commit times, microseconds.
pub const COMMIT_BOUNDS_US: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_000_000];

/// Changes that may wait for the writer before callers wait for room.
pub const QUEUE: usize = 65_536;
/// Places that are left for the service's own changes.
const OWN: usize = 4_096;
/// Changes of one account that may wait, while there is as much room left for others.
pub const QUEUE_SHARE: usize = 4_096;
/// Audit records written with one batch.
const AUDIT_PER_GROUP: usize = 1_024;
/// Audit records removed in one transaction: changes wait as long as that takes.
const TRIMMED: u32 = 1_024;
/// After so many changes and records, retention checks whether some have to be purged.
const TRIM_AFTER: u64 = 1_024;
/// How often a warning says that an account loses young records.
const TOLD_AGAIN: Duration = Duration::from_secs(3_600);
/// WAL pages after which the checkpointer is woken.
const CHECKPOINT_PAGES: u64 = 2_000;
/// WAL pages after which the writer itself waits for a full checkpoint, so that the log stays bounded.
const CHECKPOINT_HARD_PAGES: u64 = 40_000;
/// Longest that such a checkpoint may wait for a reader, such as a backup: changes wait as long.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(100);
/// Pages written after a checkpoint that was held up before the next one is tried.
const CHECKPOINT_AGAIN_PAGES: u64 = 10_000;

/// After a change had to be undone, so many batches give each change a savepoint of its own. Without one a batch is
/// cheaper, and is run again from its beginning if a change of it must be undone: so that costs others little, however
/// often somebody makes it happen.
const SAVEPOINT_GROUPS: u32 = 64;

trait Job: Send {
    fn run(&mut self, tx: &Tx<'_>) -> Result<bool, StoreError>;
    fn finish(self: Box<Self>, result: Result<(), StoreError>);
}

struct Change<T, F> {
    change: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Change<T, F>
where
    T: Send,
    F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send,
{
    fn run(&mut self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let (value, keep) = match (self.change)(tx)? {
            Verdict::Keep(value) => (value, true),
            Verdict::Discard(value) => (value, false),
        };
        self.value = Some(value);
        Ok(keep)
    }

    fn finish(self: Box<Self>, result: Result<(), StoreError>) {
        let answer = match (result, self.value) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => Err(StoreError::Closed),
            (Err(error), _) => Err(error),
        };
        // The caller may have gone; the change stands all the same.
        let _ = self.reply.send(answer);
    }
}

enum Message {
    Job(Box<dyn Job>),
    Trim(Trim),
    Wake,
}

/// What retention does not keep at this moment is to be removed.
struct Trim {
    now_ms: i64,
    most: u32,
    reply: oneshot::Sender<Result<usize, StoreError>>,
}

/// Handle of the writer thread; stops it, after what it has accepted, when dropped.
pub(crate) struct Writer {
    sender: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    backlog: Arc<Mutex<Backlog>>,
    backlog_limit: usize,
    counters: Arc<Counters>,
    log_pages: Arc<AtomicU64>,
    condition: Arc<Condition>,
    /// Number of the last record that is in the journal.
    journalled: AtomicU64,
    sealing: Arc<Sealing>,
    rights: Arc<Rights>,
    waiting: Arc<Mutex<Waiting>>,
}

/// Accounts' changes that wait.
#[derive(Debug, Default)]
struct Waiting {
    all: usize,
    by_account: HashMap<u64, usize>,
}

/// A place among the changes that wait, until it is dropped.
pub(crate) struct Place {
    account: u64,
    waiting: Arc<Mutex<Waiting>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.all -= 1;
        if let Some(held) = waiting.by_account.get_mut(&self.account) {
            *held -= 1;
            if *held == 0 {
                waiting.by_account.remove(&self.account);
            }
        }
    }
}

/// The key that the chain of audit records is sealed with, once it is known; none if the chain was not
/// whole when it became known.
type Sealing = OnceLock<Option<hmac::Key>>;

/// Audit records that are in the journal and not in the database, and those that are only counted.
struct Backlog {
    journal: Journal,
    waiting: VecDeque<AuditRecord>,
    folder: Folder,
    /// What an earlier process left in the journal was not taken up yet: nothing is journalled after it before.
    waits: bool,
}

/// What the writer works with.
pub(crate) struct Parts {
    pub(crate) connection: Connection,
    pub(crate) checkpointer: Connection,
    pub(crate) readers: Arc<Readers>,
    pub(crate) journal: Journal,
    /// An earlier process left something in it.
    pub(crate) waits: bool,
    pub(crate) mark: Arc<Mark>,
    pub(crate) rights: Arc<Rights>,
    /// Groups committed so far.
    pub(crate) groups: u64,
    pub(crate) condition: Arc<Condition>,
    pub(crate) options: Options,
}

#[derive(Default)]
struct Counters {
    groups: AtomicU64,
    again: AtomicU64,
    changes: AtomicU64,
    audit_records: AtomicU64,
    audit_folded: AtomicU64,
    audit_removed: [AtomicU64; AuditClass::ALL.len()],
    audit_removed_young: [AtomicU64; AuditClass::ALL.len()],
    audit_fullest: [AtomicU64; AuditClass::ALL.len()],
    commits: [AtomicU64; COMMIT_BOUNDS_US.len() + 1],
    commit_us: AtomicU64,
}

impl Writer {
    pub(crate) fn start(parts: Parts) -> Result<Self, StoreError> {
        let Parts {
            mut connection,
            checkpointer,
            readers,
            journal,
            waits,
            mark,
            rights,
            groups,
            condition,
            options,
        } = parts;
        let (sender, receiver) = sync_channel(QUEUE);
        let folder = Folder::new(options.audit_strangers_per_minute);
        let backlog = Backlog { journal, waiting: VecDeque::new(), folder, waits };
        let backlog = Arc::new(Mutex::new(backlog));
        let counters = Arc::new(Counters::default());
        let backlog_limit = options.audit_backlog;
        let log_pages = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&log_pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            seen.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let sealing = Arc::new(Sealing::new());
        let state = Loop {
            connection,
            readers,
            log_pages: Arc::clone(&log_pages),
            backlog: Arc::clone(&backlog),
            counters: Arc::clone(&counters),
            checkpoints: Checkpointer::start(checkpointer)?,
            options,
            full_sync: true,
            since_trim: 0,
            trims: Vec::new(),
            tally: None,
            told: HashMap::new(),
            mark,
            groups,
            condition: Arc::clone(&condition),
            checkpoint_at: CHECKPOINT_HARD_PAGES,
            sealing: Arc::clone(&sealing),
            ends: None,
            forged: false,
            rights: Arc::clone(&rights),
            keeper: Keeper::default(),
            savepoints: 0,
        };
        let thread = spawn("store-writer", move || state.run(&receiver))?;
        let sender = Some(sender);
        let thread = Some(thread);
        let journalled = AtomicU64::new(0);
        Ok(Self {
            sender,
            thread,
            backlog,
            backlog_limit,
            counters,
            log_pages,
            condition,
            journalled,
            sealing,
            rights,
            waiting: Arc::default(),
        })
    }

    /// A place for a change of an account, if its share has room.
    pub(crate) fn place(&self, account: u64) -> Result<Place, StoreError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let left = (QUEUE - OWN).saturating_sub(waiting.all);
        let held = waiting.by_account.get(&account).copied().unwrap_or(0);
        if left == 0 {
            return Err(StoreError::Full);
        }
        if held > 0 && held >= QUEUE_SHARE.min(left) {
            return Err(StoreError::Crowded);
        }
        waiting.all += 1;
        *waiting.by_account.entry(account).or_default() += 1;
        Ok(Place { account, waiting: Arc::clone(&self.waiting) })
    }

    pub(crate) fn submit<T, F>(
        &self,
        change: F,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send + 'static,
    {
        self.condition.usable()?;
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Change { change, value: None, reply });
        let sender = self.sender.as_ref().ok_or(StoreError::Closed)?;
        sender.send(Message::Job(job)).map_err(|_| StoreError::Closed)?;
        Ok(answer)
    }

    pub(crate) fn audit_later(&self, record: AuditRecord) -> Result<u64, Box<AuditRecord>> {
        let mut record = record;
        if AuditClass::of(&record, false) == AuditClass::Stranger {
            let mut backlog = self.backlog();
            match backlog.folder.take(record, Instant::now()) {
                Some(single) => record = single,
                None => {
                    self.counters.audit_folded.fetch_add(1, Ordering::Relaxed);
                    return Ok(0);
                }
            }
        }
        let line = journal::line(&record);
        let mut backlog = self.backlog();
        if backlog.waits || backlog.waiting.len() >= self.backlog_limit {
            return Err(Box::new(record));
        }
        let number = backlog.journal.take(&line);
        backlog.waiting.push_back(record);
        let waiting = backlog.waiting.len();
        drop(backlog);
        if waiting == AUDIT_PER_GROUP {
            // A full queue means that the writer is awake anyway.
            let _ = self.sender.as_ref().map(|sender| sender.try_send(Message::Wake));
        }
        Ok(number)
    }

    pub(crate) fn audit_written(&self, number: u64) -> Result<(), StoreError> {
        if self.journalled.load(Ordering::Acquire) >= number {
            return Ok(());
        }
        let written = self.backlog().journal.write();
        match written {
            Ok(written) => {
                self.journalled.fetch_max(written, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                let trouble = Trouble::Passing(format!("the audit journal cannot be written: {error}"));
                Err(self.condition.note(trouble))
            }
        }
    }

    /// Seals the audit records of every batch from now on; if the chain is not `whole`, it is known that they are
    /// not sealed. What is journalled is proven with the key in any case.
    pub(crate) fn seal_with(&self, key: &hmac::Key, whole: bool) {
        // The first word counts.
        let _ = self.sealing.set(whole.then(|| key.clone()));
        self.backlog().journal.prove_with(journal::key_of(key));
    }

    /// What an earlier process left in the journal was taken up.
    pub(crate) fn journal_taken(&self) {
        self.backlog().waits = false;
    }

    /// Removes what retention does not keep at this moment, at most so many records.
    pub(crate) fn trim_audit(
        &self,
        now_ms: i64,
        most: u32,
    ) -> Result<oneshot::Receiver<Result<usize, StoreError>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sender = self.sender.as_ref().ok_or(StoreError::Closed)?;
        sender.send(Message::Trim(Trim { now_ms, most, reply })).map_err(|_| StoreError::Closed)?;
        Ok(answer)
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> WriterStats {
        let by_class = |counters: &[AtomicU64; AuditClass::ALL.len()]| {
            std::array::from_fn(|class| counters[class].load(Ordering::Relaxed))
        };
        WriterStats {
            audit_folded: self.counters.audit_folded.load(Ordering::Relaxed),
            audit_removed: by_class(&self.counters.audit_removed),
            audit_removed_young: by_class(&self.counters.audit_removed_young),
            audit_fullest: by_class(&self.counters.audit_fullest),
            groups: self.counters.groups.load(Ordering::Relaxed),
            groups_again: self.counters.again.load(Ordering::Relaxed),
            changes: self.counters.changes.load(Ordering::Relaxed),
            audit_records: self.counters.audit_records.load(Ordering::Relaxed),
            log_pages: self.log_pages.load(Ordering::Relaxed),
            commits: std::array::from_fn(|class| self.counters.commits[class].load(Ordering::Relaxed)),
            commit_us: self.counters.commit_us.load(Ordering::Relaxed),
            forged: self.rights.found(),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        // A change may hold the last handle of the store: then it ends on the writer's own thread, which
        // cannot wait for itself and ends anyway.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            error!("the store's writer ended with a panic");
        }
    }
}

/// Audit records taken from the backlog, and the number of the last.
#[derive(Default)]
struct Audits {
    records: Vec<AuditRecord>,
    last: u64,
}

impl Counters {
    fn timed(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = COMMIT_BOUNDS_US.partition_point(|bound| *bound < us);
        self.commits[class].fetch_add(1, Ordering::Relaxed);
        self.commit_us.fetch_add(us, Ordering::Relaxed);
    }
}

struct Loop {
    connection: Connection,
    readers: Arc<Readers>,
    /// Pages in the write-ahead log after the last commit.
    log_pages: Arc<AtomicU64>,
    backlog: Arc<Mutex<Backlog>>,
    counters: Arc<Counters>,
    checkpoints: Checkpointer,
    options: Options,
    full_sync: bool,
    since_trim: u64,
    /// Who waits for retention.
    trims: Vec<Trim>,
    /// How many records each account has, once they were counted.
    tally: Option<Tally>,
    /// By stream, when it was told last that it loses young records.
    told: HashMap<i64, Instant>,
    mark: Arc<Mark>,
    groups: u64,
    condition: Arc<Condition>,
    /// Pages in the log at which the writer itself checkpoints next.
    checkpoint_at: u64,
    sealing: Arc<Sealing>,
    /// Anchor and head of the audit chain as this process left them, once it seals.
    ends: Option<(AuditLink, AuditLink)>,
    /// Somebody else has changed them: nothing is sealed any more.
    forged: bool,
    rights: Arc<Rights>,
    keeper: Keeper,
    /// Groups to come in which each change has a savepoint.
    savepoints: u32,
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
    /// Whether any is kept.
    Kept(bool),
    /// One must be undone that cannot be: the batch is to be run again.
    Again,
}

impl Loop {
    fn run(mut self, receiver: &Receiver<Message>) {
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
    /// Answers whether everything went well.
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
        self.keeper.attend(&self.connection, &self.rights)?;
        let begun = Instant::now();
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        fail_point!("store::begun");
        let looked = self.look_at_ends().and_then(|()| self.keeper.look(&self.connection, &self.rights));
        let (mut ends, mut root) = (self.ends, None);
        let result = looked.and_then(|()| self.work(jobs, audits, undo)).and_then(|worked| {
            let Worked::Kept(kept) = worked else { return Ok(None) };
            // A group that keeps nothing writes nothing, and does not wait for the disk.
            let groups = self.groups + u64::from(kept);
            if kept || !audits.records.is_empty() {
                Tx::new(&self.connection).count_group(groups, audits.last)?;
                ends = self.ends_now()?;
            }
            if kept {
                root = self.keeper.seal(&self.connection, &self.rights, groups)?;
            }
            fail_point!("store::changed");
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            fail_point!("store::committed");
            Ok(Some(groups))
        });
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        let Some(groups) = result? else { return Ok(Worked::Again) };
        self.ends = ends;
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
        Ok(Worked::Kept(kept))
    }

    /// Runs the changes and writes the records.
    fn work(&self, jobs: &mut [Box<dyn Job>], audits: &Audits, undo: Undo) -> Result<Worked, StoreError> {
        let tx = Tx::vouching(&self.connection, &self.rights);
        let mut kept = false;
        for job in jobs {
            let before = self.connection.total_changes();
            if undo == Undo::Savepoints {
                self.connection.prepare_cached("SAVEPOINT change")?.execute([])?;
            }
            // A bug in one change must not end the writer for all.
            let run = std::panic::catch_unwind(AssertUnwindSafe(|| job.run(&tx)));
            let keep = run.map_err(|_| StoreError::Panicked)??;
            kept |= keep;
            let wrote = self.connection.total_changes() > before;
            if undo == Undo::Savepoints {
                if !keep {
                    self.connection.prepare_cached("ROLLBACK TO change")?.execute([])?;
                }
                self.connection.prepare_cached("RELEASE change")?.execute([])?;
            } else if !keep && wrote {
                return Ok(Worked::Again);
            }
        }
        tx.audit_all(&audits.records)?;
        if let Some(Some(key)) = self.sealing.get()
            && !self.forged
            && (kept || !audits.records.is_empty())
        {
            tx.seal_audit(key)?;
        }
        Ok(Worked::Kept(kept))
    }

    /// Anchor and head of the chain, if this process seals it.
    fn ends_now(&self) -> Result<Option<(AuditLink, AuditLink)>, StoreError> {
        match self.sealing.get() {
            Some(Some(_)) => {
                let chain = AuditChain::read(&self.connection)?;
                Ok(Some((chain.anchor, chain.head)))
            }
            _ => Ok(None),
        }
    }

    /// Stops sealing if the chain does not end as this process left it: what somebody else has put in must not get
    /// our seal. To be called inside a transaction, before anything is written.
    fn look_at_ends(&mut self) -> Result<(), StoreError> {
        if self.ends.is_none() || self.forged || self.ends_now()? == self.ends {
            return Ok(());
        }
        error!("the audit record was changed beside the service; it is sealed no more: run `tongguan check`");
        self.forged = true;
        Ok(())
    }

    /// A batch without changes (audit of reads and refusals alone) need not wait for the disk.
    fn set_sync(&mut self, full: bool) -> Result<(), StoreError> {
        if self.full_sync != full {
            let mode = if full { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            self.connection.execute_batch(mode)?;
            self.full_sync = full;
        }
        Ok(())
    }

    /// Removes what retention does not keep, at most so many records. What is wrong with the chain is kept, to be
    /// looked at.
    fn trim_audit(&mut self, now_ms: Option<i64>, most: u32) -> Result<usize, StoreError> {
        let mut removed = 0;
        loop {
            let left = most.saturating_sub(u32::try_from(removed).unwrap_or(u32::MAX)).min(TRIMMED);
            let sealing = Arc::clone(&self.sealing);
            let Some(Some(key)) = sealing.get().filter(|_| !self.forged && left > 0) else { break };
            let once = match self.trim_once(now_ms, left, key) {
                Ok(once) => once,
                Err(TrimError::Store(error)) => return Err(error),
                Err(TrimError::Forged(what)) => {
                    error!(
                        what,
                        "the audit record was tampered with; nothing is removed from it, and it is sealed no more: run `tongguan check`"
                    );
                    self.forged = true;
                    break;
                }
            };
            removed += once;
            if once == 0 {
                break;
            }
        }
        Ok(removed)
    }

    /// One transaction of [`Loop::trim_audit`].
    fn trim_once(&mut self, now_ms: Option<i64>, most: u32, key: &hmac::Key) -> Result<usize, TrimError> {
        // Who removes nothing durably removes it again.
        self.set_sync(false)?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let chain = AuditChain::read(&transaction)?;
        if self.ends.is_some_and(|ends| ends != (chain.anchor, chain.head)) {
            // The next group says so.
            return Ok(0);
        }
        let tally = match &mut self.tally {
            Some(tally) => tally,
            none => none.insert(Tally::read(&transaction)?),
        };
        tally.catch_up(&transaction, chain.head.seq)?;
        let now_ms = match now_ms {
            Some(now_ms) => now_ms,
            None => newest_ms(&transaction)?,
        };
        let mut done: Vec<(Plan, Removed)> = Vec::new();
        let mut left = most;
        for plan in tally.plans(&self.options, now_ms) {
            if left == 0 {
                break;
            }
            let removed = Tx::new(&transaction).trim_stream(&plan, left, key)?;
            left = left.saturating_sub(u32::try_from(removed.count).unwrap_or(u32::MAX));
            done.push((plan, removed));
        }
        if left == most {
            transaction.rollback()?;
        } else {
            transaction.commit()?;
        }
        self.trimmed(done);
        Ok((most - left) as usize)
    }

    /// Counts what was removed, and says if it should have stayed longer.
    fn trimmed(&mut self, done: Vec<(Plan, Removed)>) {
        let Some(tally) = &mut self.tally else { return };
        for (plan, Removed { count, young, account }) in done.into_iter().filter(|(_, done)| done.count > 0) {
            tally.removed(plan.stream, count);
            let Some(class) = retention::class_of(plan.stream) else { continue };
            self.counters.audit_removed[class.place()].fetch_add(count as u64, Ordering::Relaxed);
            self.counters.audit_removed_young[class.place()].fetch_add(young as u64, Ordering::Relaxed);
            let told = self.told.get(&plan.stream).is_some_and(|told| told.elapsed() < TOLD_AGAIN);
            // Strangers are many, and how long theirs are kept is up to them.
            if young > 0 && class != AuditClass::Stranger && !told {
                self.told.insert(plan.stream, Instant::now());
                let class = class.as_str();
                warn!(
                    account,
                    class,
                    young,
                    "an account has filled its share of the audit record; its own oldest records, younger than they should be, were removed"
                );
            }
        }
        for (most, class) in tally.fullest(&self.options).into_iter().zip(&self.counters.audit_fullest) {
            class.store(most, Ordering::Relaxed);
        }
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
                if let Err(error) = checkpoint_now(&self.connection) {
                    warn!(%error, "checkpoint failed");
                }
            });
        } else if pages > CHECKPOINT_PAGES {
            self.readers.let_go();
            self.checkpoints.ask();
        }
    }
}

/// When the newest record was answered, UNIX milliseconds: how old the others are is measured by it.
fn newest_ms(connection: &Connection) -> Result<i64, StoreError> {
    let sql = "SELECT time_ms FROM audit ORDER BY seq DESC LIMIT 1";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Moves the whole log into the database, so that it begins anew.
fn checkpoint_now(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(CHECKPOINT_WAIT)?;
    let done = connection.execute_batch("PRAGMA wal_checkpoint(RESTART)");
    connection.busy_timeout(BUSY_TIME)?;
    done
}

/// Checkpoints beside the writer, which a passive checkpoint does not hold up.
///
/// Its connection is closed when it is dropped, not some time later: whoever ends the store may touch its
/// files at once.
struct Checkpointer {
    sender: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    fn start(connection: Connection) -> Result<Self, StoreError> {
        let (sender, receiver) = sync_channel(1);
        let thread = spawn("store-checkpoint", move || {
            while receiver.recv().is_ok() {
                if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)") {
                    warn!(%error, "checkpoint failed");
                }
            }
        })?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Asks for a checkpoint; one request waiting is enough.
    fn ask(&self) {
        let _ = self.sender.as_ref().map(|sender| sender.try_send(()));
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the store's checkpoints ended with a panic");
        }
    }
}

fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(|source| StoreError::File {
        what: "cannot start thread",
        path: name.into(),
        source,
    })
}
