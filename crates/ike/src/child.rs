//! The child SAs of a connection: which one counts, which one goes, and when.

use std::time::Duration;

use tongguan_pki::Random;

use crate::config::Selector;
use crate::exchange::New;
use crate::io::Now;
use crate::sa::{AT_ONCE, OVERLAP, jitter};
use crate::wire::Cookie;

/// When a child SA is replaced, in parts of its lifetime, less up to a tenth.
const REKEY: f64 = 0.85;
/// How long before its end the peer is told that one that was replaced is gone. What the peer has sent under it until
/// it has heard of that still arrives.
const LINGER: Duration = Duration::from_secs(2);
/// How long after it was replaced, at least: by then both sides use the other one.
const SETTLED: Duration = Duration::from_secs(1);

/// A child SA, without its keys.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) selector: Selector,
    pub(crate) inbound: u32,
    pub(crate) outbound: u32,
    /// Our cookie of the IKE SA under which it was made.
    pub(crate) under: Cookie,
    nonce: Vec<u8>,
    made: Duration,
    /// When another should take its place; none if one does, or is asked for.
    rekey: Option<Duration>,
    end: Duration,
    /// Another that is made within this time was made at once.
    at_once: Duration,
    /// When another took its place.
    replaced: Option<Duration>,
    /// Whether the peer was told that it is gone.
    told: bool,
}

impl Child {
    pub(crate) fn new(
        new: &New,
        under: Cookie,
        lifetime: Duration,
        now: Now,
        random: &mut dyn Random,
    ) -> Self {
        // Who has not begun waits longer, so that rarely both begin.
        let part = if new.initiated { REKEY } else { (1.0 + REKEY) / 2.0 };
        let rekey = lifetime.mul_f64(part) - jitter(lifetime.mul_f64((1.0 - part) / 2.0), random);
        Self {
            selector: new.child.selector,
            inbound: new.child.inbound.spi,
            outbound: new.child.outbound.spi,
            under,
            nonce: new.nonce.clone(),
            made: now.steady,
            rekey: Some(now.steady + rekey),
            end: now.steady + lifetime,
            at_once: AT_ONCE.min(lifetime / 10),
            replaced: None,
            told: false,
        }
    }

    pub(crate) fn is_over(&self, now: Now) -> bool {
        now.steady >= self.end
    }

    /// When the peer is to be told that it is gone, if that comes before its end.
    fn farewell(&self) -> Option<Duration> {
        let replaced = self.replaced.filter(|_| !self.told)?;
        Some(self.end.saturating_sub(LINGER).max(replaced + SETTLED))
    }

    pub(crate) fn is_told(&self) -> bool {
        self.told
    }

    fn retire(&mut self, now: Now) {
        self.replaced = Some(now.steady);
        self.rekey = None;
        self.end = self.end.min(now.steady + OVERLAP);
    }
}

/// All of a connection, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Children(Vec<Child>);

impl Children {
    /// Adds one. Another with the same networks goes: the older one, or, if both were made at once, the one with the
    /// smaller nonce.
    pub(crate) fn add(&mut self, mut new: Child, now: Now) {
        let selector = new.selector;
        for old in self.0.iter_mut().filter(|old| old.selector == selector && old.replaced.is_none()) {
            let at_once = now.steady.saturating_sub(old.made) < old.at_once;
            if at_once && old.nonce > new.nonce {
                new.retire(now);
            } else {
                old.retire(now);
            }
        }
        self.0.push(new);
    }

    /// Takes out those that meet a condition.
    pub(crate) fn take(&mut self, condition: impl Fn(&Child) -> bool) -> Vec<Child> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(|child| condition(child));
        self.0 = left;
        taken
    }

    /// The inbound SPIs of those that the peer is to be told of now: nothing is sent under them any more.
    pub(crate) fn leaving(&mut self, now: Now) -> Vec<u32> {
        let due = self.0.iter_mut().filter(|child| child.farewell().is_some_and(|at| now.steady >= at));
        due.map(|child| {
            child.told = true;
            child.inbound
        })
        .collect()
    }

    /// The peer says that one is gone, by the SPI under which we send. Answers its inbound SPI if another has taken its
    /// place: then what the peer had sent before it said so may still be on its way, and is received for a while.
    pub(crate) fn linger(&mut self, outbound: u32, now: Now) -> Option<u32> {
        let child = self.0.iter_mut().find(|child| child.outbound == outbound && child.replaced.is_some())?;
        child.told = true;
        child.end = child.end.min(now.steady + LINGER);
        Some(child.inbound)
    }

    /// The networks whose child SA should be replaced now; later, if it cannot be done now.
    pub(crate) fn due(&mut self, possible: bool, now: Now) -> Vec<Selector> {
        let due = self.0.iter_mut().filter(|child| child.rekey.is_some_and(|rekey| now.steady >= rekey));
        let due = due.filter_map(|child| {
            child.rekey = (!possible).then_some(now.steady + Duration::from_secs(1));
            possible.then_some(child.selector)
        });
        due.collect()
    }

    /// Nobody has answered for some networks: what is to be replaced there is asked for again. False if there is
    /// nothing.
    pub(crate) fn ask_again(&mut self, selector: Selector, now: Now) -> bool {
        let waiting =
            self.0.iter_mut().filter(|child| child.selector == selector && child.replaced.is_none());
        waiting.map(|child| child.rekey = Some(now.steady)).count() > 0
    }

    /// One has carried so much that it should be replaced, or must end.
    pub(crate) fn exhausted(&mut self, inbound: u32, hard: bool, now: Now) {
        for child in self.0.iter_mut().filter(|child| child.inbound == inbound) {
            if hard {
                child.end = now.steady;
            } else if child.rekey.is_some() {
                child.rekey = Some(now.steady);
            }
        }
    }

    /// Whether there is one for some networks that is to stay.
    pub(crate) fn has(&self, selector: Selector) -> bool {
        self.0.iter().any(|child| child.selector == selector && child.replaced.is_none())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn inbound(&self) -> Vec<u32> {
        self.0.iter().map(|child| child.inbound).collect()
    }

    pub(crate) fn next_timer(&self) -> Option<Duration> {
        self.0.iter().flat_map(|child| [Some(child.end), child.rekey, child.farewell()]).flatten().min()
    }
}
