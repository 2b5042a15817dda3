//! Connections for reading, as many as there may be, lent to one thread at a time.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

use super::Failure;
use super::hosts::Hosts;
use super::link::Link;
use super::stats::Stats;
use crate::StoreError;

/// How long somebody waits for a connection to become free.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection that was answered so recently has its server still, or has lost it a moment ago as any may.
const FAMILIAR: Duration = Duration::from_millis(500);

/// Connections for reading.
pub(super) struct Pool {
    hosts: Arc<Hosts>,
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    idle: Vec<Link>,
    /// So many more may be opened, or are lent.
    left: usize,
}

impl Pool {
    pub(super) fn new(hosts: Arc<Hosts>, most: usize) -> Self {
        Self { hosts, state: Mutex::new(State { idle: Vec::new(), left: most }), freed: Condvar::new() }
    }

    /// Does this on one consistent state of the database.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Link) -> Result<T, StoreError>) -> Result<T, StoreError> {
        waiting(|| {
            let link = self.begun()?;
            // What was read is of one state of the database, whatever becomes of the transaction afterwards.
            let answer = work(&link).and_then(|answer| link.end_reading().map(|()| answer));
            if answer.is_err() && !link.is_gone() {
                // Only what a bug left open is left open by a rollback that fails: then it is not used again.
                let _ = link.script("ROLLBACK");
            }
            self.give_back(link);
            answer
        })
    }

    /// A connection with a transaction. One that lay idle for long may have lost its server meanwhile, which the first
    /// statement shows: then there is another.
    fn begun(&self) -> Result<Link, StoreError> {
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        loop {
            let (link, fresh) = self.take()?;
            let familiar = link.quiet_for() < FAMILIAR;
            match if familiar { link.script_later(BEGIN) } else { link.script(BEGIN) } {
                Ok(()) => return Ok(link),
                Err(error) if fresh || !link.is_gone() => {
                    self.give_back(link);
                    return Err(error);
                }
                Err(_) => self.give_back(link),
            }
        }
    }

    /// A connection, and whether it was opened for this since none was idle.
    fn take(&self) -> Result<(Link, bool), StoreError> {
        let (until, mut waits) = (Instant::now() + PATIENCE, false);
        let stats = &self.hosts.stats;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            while let Some(link) = state.idle.pop() {
                if !link.is_gone() {
                    Stats::add(&stats.lent);
                    return Ok((link, false));
                }
                state.left += 1;
            }
            if state.left > 0 {
                state.left -= 1;
                drop(state);
                Stats::add(&stats.lent);
                return Link::open(&self.hosts).map(|link| (link, true)).inspect_err(|_| self.free());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                Stats::add(&stats.crowded);
                return Err(Failure::Crowded.into());
            }
            if !std::mem::replace(&mut waits, true) {
                Stats::add(&stats.waited);
            }
            state = self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn free(&self) {
        self.hosts.stats.lent.fetch_sub(1, Ordering::Relaxed);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).left += 1;
        self.freed.notify_one();
    }

    fn give_back(&self, link: Link) {
        if link.is_gone() {
            drop(link);
            return self.free();
        }
        self.hosts.stats.lent.fetch_sub(1, Ordering::Relaxed);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).idle.push(link);
        self.freed.notify_one();
    }
}

/// Does what waits for the network; a thread that has other tasks hands them to another first.
pub(super) fn waiting<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}
