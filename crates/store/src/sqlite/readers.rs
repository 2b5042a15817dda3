//! Reading connections, each with a snapshot that is kept open from one query to the next.
//!
//! Opening and closing a snapshot takes two locks on the database's shared memory, more than a query by id itself.
//! A snapshot is therefore kept until a change was committed after it was opened, or for [`KEPT`]. No answered
//! change is ever missed: the writer counts a commit before it answers, and a reader checks the count before it
//! opens. So that no idle snapshot holds back the write-ahead log, the writer closes them when it needs a
//! checkpoint.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::open::connect;
use crate::rights::Rights;
use crate::session::Session;
use crate::{Snapshot, StoreError};

/// A snapshot is kept this long at most: audit records of reads are not counted as changes.
const KEPT: Duration = Duration::from_millis(20);

/// The reading connections.
pub(crate) struct Readers {
    path: PathBuf,
    cache_kib: u32,
    rights: Arc<Rights>,
    idle: Mutex<Idle>,
    /// Groups with changes that were committed.
    commits: AtomicU64,
}

struct Idle {
    readers: Vec<Reader>,
    /// Whether snapshots may stay open.
    keep: bool,
}

struct Reader {
    connection: Connection,
    /// The open snapshot: commits counted and the moment before it was opened.
    open: Option<(u64, Instant)>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, cache_kib: u32, rights: Arc<Rights>) -> Self {
        let idle = Mutex::new(Idle { readers: Vec::new(), keep: true });
        Self { path, cache_kib, rights, idle, commits: AtomicU64::new(0) }
    }

    /// Runs a query on a state that contains every change answered before.
    pub(crate) fn read<T>(
        &self,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let commits = self.commits.load(Ordering::Acquire);
        let idle = self.idle().readers.pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => Reader { connection: connect(&self.path, self.cache_kib)?, open: None },
        };
        reader.freshen(commits)?;
        // After an error the connection is closed, which ends its snapshot.
        let answer = question(&Snapshot::vouching(Session::new(&reader.connection), &self.rights))?;
        let mut idle = self.idle();
        if !idle.keep {
            reader.end()?;
        }
        idle.readers.push(reader);
        Ok(answer)
    }

    /// Counts a commit; to be called before its changes are answered.
    pub(crate) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Release);
    }

    /// Ends the snapshots of idle readers.
    pub(crate) fn let_go(&self) {
        self.idle().end_all();
    }

    /// Runs `work` while no snapshot is kept open.
    pub(crate) fn while_closed(&self, work: impl FnOnce()) {
        let mut idle = self.idle();
        idle.keep = false;
        idle.end_all();
        drop(idle);
        work();
        self.idle().keep = true;
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn end_all(&mut self) {
        // A reader whose snapshot does not end is closed, which ends it too.
        self.readers.retain_mut(|reader| reader.end().is_ok());
    }
}

impl Reader {
    fn freshen(&mut self, commits: u64) -> Result<(), StoreError> {
        let now = Instant::now();
        match self.open {
            Some((known, opened)) if known == commits && now.duration_since(opened) < KEPT => return Ok(()),
            Some(_) => self.end()?,
            None => {}
        }
        Session::new(&self.connection).execute("BEGIN", &[])?;
        self.open = Some((commits, now));
        Ok(())
    }

    fn end(&mut self) -> Result<(), StoreError> {
        if self.open.take().is_some() {
            Session::new(&self.connection).execute("COMMIT", &[])?;
        }
        Ok(())
    }
}
