//! The writer thread: runs the changes that wait together in one transaction, a *batch*, and syncs once for all.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use rusqlite::Connection;
use tokio::sync::oneshot;
use tracing::error;

use super::checkpoint::{CHECKPOINT_HARD_PAGES, Checkpointer};
use super::group::Loop;
use super::health::{Condition, Trouble};
use super::journal::{self, Journal, Proof};
use super::mark::Mark;
use super::readers::Readers;
use super::seals::Keeper;
use super::trim::Retention;
use crate::audit::chain::Sealing;
use crate::audit::fold::Folder;
use crate::rights::Rights;
use crate::session::failed;
use crate::session::ready::Ready;
use crate::{AuditClass, AuditRecord, Options, StoreError, Tx};

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
pub(crate) const AUDIT_PER_GROUP: usize = 1_024;

pub(crate) trait Job: Send {
    fn run(&mut self, tx: &Tx<'_>) -> Result<bool, StoreError>;
    fn finish(self: Box<Self>, result: Result<(), StoreError>);
}

pub(crate) struct Change<T, F> {
    change: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Change<T, F> {
    /// One whose answer is sent there.
    pub(crate) fn new(change: F, reply: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { change, value: None, reply }
    }
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

pub(super) enum Message {
    Job(Box<dyn Job>),
    Trim(Trim),
    Wake,
}

/// What retention does not keep at this moment is to be removed.
pub(crate) struct Trim {
    pub(crate) now_ms: i64,
    pub(crate) most: u32,
    pub(crate) reply: oneshot::Sender<Result<usize, StoreError>>,
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
    waiting: Places,
}

/// Accounts' changes that wait.
#[derive(Debug, Default)]
struct Waiting {
    all: usize,
    by_account: HashMap<u64, usize>,
}

/// The places among the changes that wait.
#[derive(Debug, Default)]
pub(crate) struct Places(Arc<Mutex<Waiting>>);

impl Places {
    /// A place for a change of an account, if its share has room.
    pub(crate) fn place(&self, account: u64) -> Result<Place, StoreError> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        Ok(Place { account, waiting: Arc::clone(&self.0) })
    }
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

/// Audit records that are in the journal and not in the database, and those that are only counted.
pub(super) struct Backlog {
    pub(super) journal: Journal,
    pub(super) waiting: VecDeque<AuditRecord>,
    pub(super) folder: Folder,
    /// What an earlier process left in the journal was not taken up yet: nothing is journalled after it before.
    pub(super) waits: bool,
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
pub(crate) struct Counters {
    pub(crate) groups: AtomicU64,
    pub(crate) again: AtomicU64,
    pub(crate) changes: AtomicU64,
    pub(crate) audit_records: AtomicU64,
    pub(crate) audit_folded: AtomicU64,
    pub(crate) audit_removed: [AtomicU64; AuditClass::ALL.len()],
    pub(crate) audit_removed_young: [AtomicU64; AuditClass::ALL.len()],
    pub(crate) audit_fullest: [AtomicU64; AuditClass::ALL.len()],
    pub(crate) commits: [AtomicU64; COMMIT_BOUNDS_US.len() + 1],
    pub(crate) commit_us: AtomicU64,
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
        connection
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
                seen.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }))
            .map_err(failed)?;
        let sealing = Arc::new(Sealing::new());
        let checkpoints = Checkpointer::start(checkpointer)?;
        let thread = {
            let (log_pages, backlog, counters) =
                (Arc::clone(&log_pages), Arc::clone(&backlog), Arc::clone(&counters));
            let (condition, sealing, rights) =
                (Arc::clone(&condition), Arc::clone(&sealing), Arc::clone(&rights));
            spawn("store-writer", move || {
                let state = Loop {
                    connection: &connection,
                    ready: Ready::new(&connection),
                    readers,
                    log_pages,
                    backlog,
                    counters,
                    checkpoints,
                    options,
                    full_sync: true,
                    since_trim: 0,
                    trims: Vec::new(),
                    retention: Retention::default(),
                    mark,
                    groups,
                    condition,
                    checkpoint_at: CHECKPOINT_HARD_PAGES,
                    sealing,
                    ends: None,
                    forged: false,
                    rights,
                    keeper: Keeper::default(),
                    savepoints: 0,
                };
                state.run(&receiver);
            })?
        };
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
            waiting: Places::default(),
        })
    }

    /// A place for a change of an account, if its share has room.
    pub(crate) fn place(&self, account: u64) -> Result<Place, StoreError> {
        self.waiting.place(account)
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
        let job = Box::new(Change::new(change, reply));
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
        self.backlog().journal.prove_with(Proof::of(key));
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
        let log_pages = self.log_pages.load(Ordering::Relaxed);
        WriterStats { log_pages, forged: self.rights.found(), ..self.counters.stats() }
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

impl Counters {
    /// What they count.
    pub(crate) fn stats(&self) -> WriterStats {
        let by_class = |counters: &[AtomicU64; AuditClass::ALL.len()]| {
            std::array::from_fn(|class| counters[class].load(Ordering::Relaxed))
        };
        WriterStats {
            audit_folded: self.audit_folded.load(Ordering::Relaxed),
            audit_removed: by_class(&self.audit_removed),
            audit_removed_young: by_class(&self.audit_removed_young),
            audit_fullest: by_class(&self.audit_fullest),
            groups: self.groups.load(Ordering::Relaxed),
            groups_again: self.again.load(Ordering::Relaxed),
            changes: self.changes.load(Ordering::Relaxed),
            audit_records: self.audit_records.load(Ordering::Relaxed),
            commits: std::array::from_fn(|class| self.commits[class].load(Ordering::Relaxed)),
            commit_us: self.commit_us.load(Ordering::Relaxed),
            ..WriterStats::default()
        }
    }

    pub(crate) fn timed(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = COMMIT_BOUNDS_US.partition_point(|bound| *bound < us);
        self.commits[class].fetch_add(1, Ordering::Relaxed);
        self.commit_us.fetch_add(us, Ordering::Relaxed);
    }
}

pub(crate) fn spawn(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(|source| StoreError::File {
        what: "cannot start thread",
        path: name.into(),
        source,
    })
}
