//! The writer thread: runs the changes that wait together in one transaction and syncs once for all.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fail::fail_point;
use rusqlite::Connection;
use tokio::sync::oneshot;
use tracing::{error, warn};

use crate::reader::Readers;
use crate::{AuditRecord, Options, StoreError, Tx};

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
    /// Changes committed in them.
    pub changes: u64,
    /// Audit records of reads and refusals written.
    pub audit_records: u64,
}

/// Changes that may wait for the writer before callers wait for room.
const QUEUE: usize = 65_536;
/// Audit records written with one group.
const AUDIT_PER_GROUP: usize = 1_024;
/// WAL pages after which the checkpointer is woken.
const CHECKPOINT_PAGES: u64 = 2_000;
/// WAL pages after which the writer itself waits for a full checkpoint, so that the log stays bounded.
const CHECKPOINT_HARD_PAGES: u64 = 40_000;

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
    Wake,
}

/// Handle of the writer thread; stops it, after what it has accepted, when dropped.
pub(crate) struct Writer {
    sender: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    backlog: Arc<Mutex<Vec<AuditRecord>>>,
    backlog_limit: usize,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    groups: AtomicU64,
    changes: AtomicU64,
    audit_records: AtomicU64,
}

impl Writer {
    pub(crate) fn start(
        connection: Connection,
        checkpointer: Connection,
        readers: Arc<Readers>,
        options: Options,
    ) -> Result<Self, StoreError> {
        let (sender, receiver) = sync_channel(QUEUE);
        let backlog = Arc::new(Mutex::new(Vec::new()));
        let counters = Arc::new(Counters::default());
        let backlog_limit = options.audit_backlog;
        let mut connection = connection;
        let log_pages = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&log_pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            seen.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let state = Loop {
            connection,
            readers,
            log_pages,
            backlog: Arc::clone(&backlog),
            counters: Arc::clone(&counters),
            checkpoints: start_checkpointer(checkpointer)?,
            options,
            full_sync: true,
            since_trim: 0,
        };
        let thread = spawn("store-writer", move || state.run(&receiver))?;
        Ok(Self { sender: Some(sender), thread: Some(thread), backlog, backlog_limit, counters })
    }

    pub(crate) fn submit<T, F>(
        &self,
        change: F,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Change { change, value: None, reply });
        let sender = self.sender.as_ref().ok_or(StoreError::Closed)?;
        sender.send(Message::Job(job)).map_err(|_| StoreError::Closed)?;
        Ok(answer)
    }

    pub(crate) fn audit_later(&self, record: AuditRecord) -> Result<(), Box<AuditRecord>> {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        if backlog.len() >= self.backlog_limit {
            return Err(Box::new(record));
        }
        backlog.push(record);
        let waiting = backlog.len();
        drop(backlog);
        if waiting == AUDIT_PER_GROUP {
            // A full queue means that the writer is awake anyway.
            let _ = self.sender.as_ref().map(|sender| sender.try_send(Message::Wake));
        }
        Ok(())
    }

    pub(crate) fn stats(&self) -> WriterStats {
        WriterStats {
            groups: self.counters.groups.load(Ordering::Relaxed),
            changes: self.counters.changes.load(Ordering::Relaxed),
            audit_records: self.counters.audit_records.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the store's writer ended with a panic");
        }
    }
}

struct Loop {
    connection: Connection,
    readers: Arc<Readers>,
    /// Pages in the write-ahead log after the last commit.
    log_pages: Arc<AtomicU64>,
    backlog: Arc<Mutex<Vec<AuditRecord>>>,
    counters: Arc<Counters>,
    checkpoints: SyncSender<()>,
    options: Options,
    full_sync: bool,
    since_trim: u64,
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
            let audits = self.take_audits(jobs.is_empty() || last_flush.elapsed() >= pause);
            if !audits.is_empty() {
                last_flush = Instant::now();
            }
            if jobs.is_empty() && audits.is_empty() {
                continue;
            }
            self.commit(jobs, &audits);
            self.housekeep(audits.len());
        }
        loop {
            let audits = self.take_audits(true);
            if audits.is_empty() {
                break;
            }
            self.commit(Vec::new(), &audits);
        }
        self.readers.while_closed(|| {
            if let Err(error) = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
                warn!(%error, "the last checkpoint failed; the log is replayed at the next start");
            }
        });
    }

    fn gather(&self, receiver: &Receiver<Message>, first: Option<Message>) -> Vec<Box<dyn Job>> {
        let mut jobs = Vec::new();
        let mut next = first;
        loop {
            if let Some(Message::Job(job)) = next {
                jobs.push(job);
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

    fn take_audits(&self, due: bool) -> Vec<AuditRecord> {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        if !due && backlog.len() < AUDIT_PER_GROUP {
            return Vec::new();
        }
        if backlog.len() <= AUDIT_PER_GROUP {
            return std::mem::take(&mut *backlog);
        }
        backlog.drain(..AUDIT_PER_GROUP).collect()
    }

    /// Commits a group; if that fails, tries each member alone, so that one bad change harms no other.
    fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>, audits: &[AuditRecord]) {
        let whole = self.transact(&mut jobs, audits);
        match whole {
            Ok(()) => {
                if !jobs.is_empty() {
                    self.readers.committed();
                }
                self.counters.changes.fetch_add(jobs.len() as u64, Ordering::Relaxed);
                jobs.into_iter().for_each(|job| job.finish(Ok(())));
            }
            Err(error) if jobs.len() <= 1 && audits.is_empty() => {
                error!(%error, "a change was not stored");
                if let Some(job) = jobs.pop() {
                    job.finish(Err(error));
                }
            }
            Err(error) => {
                warn!(%error, changes = jobs.len(), "a group was not stored; trying its members alone");
                for job in jobs {
                    self.commit(vec![job], &[]);
                }
                if !audits.is_empty()
                    && let Err(error) = self.transact(&mut Vec::new(), audits)
                {
                    error!(%error, records = audits.len(), "audit records were not stored");
                }
            }
        }
    }

    fn transact(&mut self, jobs: &mut [Box<dyn Job>], audits: &[AuditRecord]) -> Result<(), StoreError> {
        self.set_sync(!jobs.is_empty())?;
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        fail_point!("store::begun");
        let result = self.work(jobs, audits).and_then(|()| {
            fail_point!("store::changed");
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            fail_point!("store::committed");
            Ok(())
        });
        if result.is_err() && !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        if result.is_ok() {
            self.counters.groups.fetch_add(1, Ordering::Relaxed);
            self.counters.audit_records.fetch_add(audits.len() as u64, Ordering::Relaxed);
        }
        result
    }

    fn work(&self, jobs: &mut [Box<dyn Job>], audits: &[AuditRecord]) -> Result<(), StoreError> {
        let tx = Tx::new(&self.connection);
        for job in jobs {
            self.connection.prepare_cached("SAVEPOINT change")?.execute([])?;
            // A bug in one change must not end the writer for all.
            let run = std::panic::catch_unwind(AssertUnwindSafe(|| job.run(&tx)));
            let keep = run.map_err(|_| StoreError::Panicked)??;
            if !keep {
                self.connection.prepare_cached("ROLLBACK TO change")?.execute([])?;
            }
            self.connection.prepare_cached("RELEASE change")?.execute([])?;
        }
        for record in audits {
            tx.audit(record)?;
        }
        Ok(())
    }

    /// A group without changes (audit of reads and refusals alone) need not wait for the disk.
    fn set_sync(&mut self, full: bool) -> Result<(), StoreError> {
        if self.full_sync != full {
            let mode = if full { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            self.connection.execute_batch(mode)?;
            self.full_sync = full;
        }
        Ok(())
    }

    fn housekeep(&mut self, audits: usize) {
        self.since_trim += 1 + audits as u64;
        if self.since_trim > 4_096 {
            self.since_trim = 0;
            let trimmed = Tx::new(&self.connection).trim_audit(self.options.audit_records, 8_192);
            if let Err(error) = trimmed {
                warn!(%error, "old audit records were not removed");
            }
        }
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages > CHECKPOINT_HARD_PAGES {
            self.readers.while_closed(|| {
                if let Err(error) = self.connection.execute_batch("PRAGMA wal_checkpoint(RESTART)") {
                    warn!(%error, "checkpoint failed");
                }
            });
        } else if pages > CHECKPOINT_PAGES {
            self.readers.let_go();
            // One request waiting is enough.
            let _ = self.checkpoints.try_send(());
        }
    }
}

/// Checkpoints beside the writer, which a passive checkpoint does not hold up.
fn start_checkpointer(connection: Connection) -> Result<SyncSender<()>, StoreError> {
    let (sender, receiver) = sync_channel(1);
    spawn("store-checkpoint", move || {
        while receiver.recv().is_ok() {
            if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)") {
                warn!(%error, "checkpoint failed");
            }
        }
    })?;
    Ok(sender)
}

fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(|source| StoreError::File {
        what: "cannot start thread",
        path: name.into(),
        source,
    })
}
