//! What a node counts of its dealings with the database: for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What became of a batch whose commit was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// It was committed.
    Committed,
    /// It was not, and was run again.
    NotCommitted,
    /// Nobody could say in time: its callers were told so.
    Untold,
}

/// Counters of one node.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) lent: AtomicU64,
    pub(super) waited: AtomicU64,
    pub(super) crowded: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) unopened: AtomicU64,
    pub(super) retries: AtomicU64,
    looked: [AtomicU64; 3],
    lanes: AtomicU64,
}

impl Stats {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn looked_up(&self, found: Looked) {
        Self::add(&self.looked[found as usize]);
    }

    /// What was counted.
    pub(super) fn read(&self) -> SharedStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [committed, not_committed, untold] = self.looked.each_ref().map(read);
        SharedStats {
            lent: read(&self.lent),
            waited: read(&self.waited),
            crowded: read(&self.crowded),
            opened: read(&self.opened),
            unopened: read(&self.unopened),
            retries: read(&self.retries),
            committed,
            not_committed,
            untold,
            lanes: read(&self.lanes),
            timeline: 0,
            host: None,
        }
    }
}

/// A lane that is this node's, as long as this lives.
pub(super) struct Held(Arc<Stats>);

impl Held {
    pub(super) fn new(stats: &Arc<Stats>) -> Self {
        Stats::add(&stats.lanes);
        Self(Arc::clone(stats))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.lanes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a node has counted of its dealings with a database that several share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedStats {
    /// Connections for reading that are in use.
    pub lent: u64,
    /// How often somebody had to wait for one of them.
    pub waited: u64,
    /// How often none became free in time.
    pub crowded: u64,
    /// Connections opened.
    pub opened: u64,
    /// How often no primary was found.
    pub unopened: u64,
    /// Batches, and questions about nonces, that were tried again.
    pub retries: u64,
    /// Batches whose commit was not answered, and that were found committed.
    pub committed: u64,
    /// Those that were found not to be.
    pub not_committed: u64,
    /// Those of which nobody could say in time.
    pub untold: u64,
    /// Lanes that are this node's.
    pub lanes: u64,
    /// The highest timeline seen; 0 if none was.
    pub timeline: u32,
    /// The host that was the primary when a connection was last opened.
    pub host: Option<String>,
}
