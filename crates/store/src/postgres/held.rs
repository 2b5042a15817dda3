//! Who holds how many nonces, on all nodes together: so nobody who fills the table decides for others.
//!
//! Each node counts what it has taken itself, by owner and by the minute of expiry, and writes the counts that have
//! changed into rows of its own every [`TOLD`]; with the same breath it reads what the others hold. Shares are decided
//! on the sum ([`Shares`]). They are so exact as the counts are young: all nodes together may exceed the bound by what
//! they let in within that time. The counts of a node that dies stay until their nonces have expired.
//!
//! Here nonces are removed too that nobody accepts any more: nobody who asks to be let in waits for that.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use super::hosts::Hosts;
use super::link::Link;
use crate::session::Session;
use crate::sqlite::nonce::Shares;
use crate::{Owner, StoreError};

/// How long after its expiry a nonce is kept and no request with it let in, both by the clock of the database, seconds.
pub(crate) const LATE_SECONDS: i64 = 60;
/// How often nodes tell each other what they hold.
const TOLD: Duration = Duration::from_secs(2);
/// How often nonces are removed.
const REMOVED: Duration = Duration::from_secs(60);
/// Nonces removed at once.
const BATCH: u32 = 10_000;

/// What this node and the others hold.
#[derive(Debug)]
pub(super) struct Held(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    shares: Shares,
    /// What this node holds otherwise than it has written.
    changed: HashSet<(Owner, i64)>,
}

impl Held {
    pub(super) fn new(limit: usize) -> Self {
        Self(Mutex::new(Counts { shares: Shares::new(limit), changed: HashSet::new() }))
    }

    /// Counts one more for `owner` if its share has room. `now` and `expires` are by the clocks that clients sign by,
    /// UNIX seconds.
    pub(super) fn take(&self, owner: Owner, now: i64, expires: i64) -> bool {
        let mut counts = self.counts();
        counts.shares.drop_old(now.saturating_sub(LATE_SECONDS));
        let minute = minute(expires);
        let taken = counts.shares.take(owner, minute);
        if taken {
            counts.changed.insert((owner, minute));
        }
        taken
    }

    /// The nonce was not taken after all.
    pub(super) fn give_back(&self, owner: Owner, expires: i64) {
        let mut counts = self.counts();
        let minute = minute(expires);
        counts.shares.give_back(owner, minute);
        counts.changed.insert((owner, minute));
    }

    /// Nonces that all nodes hold.
    pub(super) fn total(&self) -> usize {
        self.counts().shares.total()
    }

    /// What has changed, with what is held now.
    fn changed(&self) -> Vec<(Owner, i64, usize)> {
        let mut counts = self.counts();
        let changed = std::mem::take(&mut counts.changed);
        changed
            .into_iter()
            .map(|(owner, minute)| (owner, minute, counts.shares.held(owner, minute)))
            .collect()
    }

    /// It was not written: it has changed still.
    fn not_written(&self, changed: &[(Owner, i64, usize)]) {
        self.counts().changed.extend(changed.iter().map(|(owner, minute, _)| (*owner, *minute)));
    }

    fn others_hold(&self, held: HashMap<Owner, usize>) {
        self.counts().shares.others_hold(held);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn minute(expires: i64) -> i64 {
    expires.div_euclid(60)
}

/// Tells other nodes what this one holds, hears what they do, and removes what has expired.
pub(super) struct Keeper {
    hosts: Arc<Hosts>,
    held: Arc<Held>,
    /// Whose the rows of this node are.
    node: i64,
    link: Option<Link>,
}

impl Keeper {
    pub(super) fn new(hosts: Arc<Hosts>, held: Arc<Held>) -> Self {
        Self { hosts, held, node: fastrand::i64(..), link: None }
    }

    /// Runs until the other end is dropped.
    pub(super) fn run(mut self, ended: &Receiver<()>) {
        let mut removed = Instant::now();
        loop {
            let last = !matches!(ended.recv_timeout(TOLD), Err(RecvTimeoutError::Timeout));
            if let Err(error) = self.tell() {
                warn!(%error, "what nodes hold of the nonces was not exchanged");
            }
            if last {
                return;
            }
            if removed.elapsed() >= REMOVED {
                removed = Instant::now();
                if let Err(error) = self.remove() {
                    warn!(%error, "nonces that nobody accepts any more were not removed");
                }
            }
        }
    }

    fn link(&mut self) -> Result<&Link, StoreError> {
        super::link::kept(&mut self.link, &self.hosts)
    }

    fn tell(&mut self) -> Result<(), StoreError> {
        let (node, held) = (self.node, Arc::clone(&self.held));
        let changed = held.changed();
        let others = self.link().and_then(|link| {
            if !changed.is_empty() {
                link.hold(node, &changed)?;
            }
            link.others_hold(node)
        });
        let others = others.inspect_err(|_| held.not_written(&changed))?;
        held.others_hold(others);
        Ok(())
    }

    fn remove(&mut self) -> Result<(), StoreError> {
        let session = Session::Postgres(self.link()?);
        let nonces = "DELETE FROM nonce WHERE print IN (SELECT print FROM nonce WHERE until < now_ms() / 1000 - ?1 LIMIT ?2)";
        while session.execute(nonces, &binds![LATE_SECONDS, BATCH])? == BATCH as usize {}
        let counts = "DELETE FROM nonce_held WHERE (minute + 1) * 60 < now_ms() / 1000 - ?1";
        session.execute(counts, &binds![LATE_SECONDS]).map(drop)
    }
}
