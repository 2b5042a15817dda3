//! One connection as the others see it: its source, what it waits for and since when, and whether it was chosen to
//! be evicted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Notify;
use tracing::warn;

/// What a connection does; stands in the low bits of a slot's state, above it the time since when.
const KIND: u64 = 0b111;
const KIND_BITS: u32 = 3;
/// Waits for a request: none of it is there, or not all of its head.
pub(super) const IDLE: u64 = 0;
/// Waits for the rest of a request's body.
pub(super) const BODY: u64 = 1;
/// Has a whole request, which is worked on.
pub(super) const BUSY: u64 = 2;
/// Has an answer, which the client is taking.
pub(super) const ANSWERING: u64 = 3;
/// Was chosen to make room.
pub(super) const EVICTED: u64 = 4;

/// Who counts as one: an IPv4 address, or the network of 64 bits that an IPv6 address lies in, for one
/// customer has all of such a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(u128);

impl Source {
    /// The source that an address belongs to.
    #[must_use]
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() & !u128::from(u64::MAX)),
        }
    }
}

/// How much each source has of something; the counts can be read without the map.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<Source, Arc<AtomicUsize>>);

impl Shares {
    pub(super) fn add(&mut self, source: Source, amount: usize) -> Arc<AtomicUsize> {
        let share = self.0.entry(source).or_default();
        share.fetch_add(amount, Ordering::Relaxed);
        Arc::clone(share)
    }

    pub(super) fn remove(&mut self, source: Source, amount: usize) {
        let left = self.0.get(&source).map(|share| share.fetch_sub(amount, Ordering::Relaxed) - amount);
        if left == Some(0) {
            self.0.remove(&source);
        }
        // Room for a crowd is given back when the crowd has gone.
        if self.0.capacity() > 1_024 && self.0.len() < self.0.capacity() / 8 {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    pub(super) fn of(&self, source: Source) -> usize {
        self.0.get(&source).map_or(0, |share| share.load(Ordering::Relaxed))
    }

    /// Sources that have any.
    pub(super) fn sources(&self) -> usize {
        self.0.len()
    }
}

/// What the connections of a listener have in common: their clock, and the count of those that had to go.
#[derive(Debug)]
pub(super) struct Common {
    started: Instant,
    evicted: AtomicU64,
    warned_ms: AtomicU64,
}

impl Common {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), evicted: AtomicU64::new(0), warned_ms: AtomicU64::new(0) }
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Says once a minute that connections are ended to make room.
    fn count_evicted(&self) {
        const MINUTE_MS: u64 = 60_000;
        let ended = self.evicted.fetch_add(1, Ordering::Relaxed) + 1;
        let (now, last) = (self.now_ms(), self.warned_ms.load(Ordering::Relaxed));
        if last == 0 || now >= last + MINUTE_MS {
            self.warned_ms.store(now.max(1), Ordering::Relaxed);
            warn!(ended, "connections that wait are ended to make room for others");
        }
    }
}

/// One connection as the others see it.
#[derive(Debug)]
pub(super) struct Slot {
    common: Arc<Common>,
    pub(super) source: Source,
    /// Connections of its source.
    pub(super) share: Arc<AtomicUsize>,
    /// Kind and, above it, milliseconds.
    state: AtomicU64,
    /// Heads read to their end.
    pub(super) heads: AtomicU32,
    /// The head was too long to be free: the connection ends with its answer, and its memory with it.
    pub(super) large: AtomicBool,
    /// It waits for a place in a room: what does not come is not the client's fault.
    pub(super) waits: AtomicBool,
    /// It was refused a place in a room.
    pub(super) refused: AtomicBool,
    /// TLS is being agreed on.
    pub(super) shaking: AtomicBool,
    /// Since the stop began nothing was found in the socket.
    pub(super) drained: AtomicBool,
    /// The answer was given before the request had been read to its end.
    pub(super) unread: AtomicBool,
    /// Place in the list of open connections.
    pub(super) index: AtomicUsize,
    pub(super) told: Notify,
}

impl Slot {
    pub(super) fn new(common: &Arc<Common>, source: Source, share: Arc<AtomicUsize>, index: usize) -> Self {
        Self {
            common: Arc::clone(common),
            source,
            share,
            state: AtomicU64::new(common.now_ms() << KIND_BITS | IDLE),
            heads: AtomicU32::new(0),
            large: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            shaking: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            index: AtomicUsize::new(index),
            told: Notify::new(),
        }
    }

    pub(super) fn kind(&self) -> u64 {
        self.state.load(Ordering::SeqCst) & KIND
    }

    /// When its state began, or when it last got on.
    pub(super) fn since_ms(&self) -> u64 {
        self.state.load(Ordering::SeqCst) >> KIND_BITS
    }

    /// Begins a state at this moment.
    pub(super) fn begin(&self, kind: u64) {
        self.state.store(self.common.now_ms() << KIND_BITS | kind, Ordering::SeqCst);
    }

    /// Begins to be worked on. Nobody asks since when.
    pub(super) fn begin_work(&self) {
        self.state.store(BUSY, Ordering::SeqCst);
    }

    /// Passes from one state to another, or stays in one that has got on. One that was chosen to make room
    /// stays chosen. Whether it was in that state.
    pub(super) fn pass(&self, from: u64, to: u64) -> bool {
        let state = self.state.load(Ordering::SeqCst);
        if state & KIND != from {
            return false;
        }
        let next = self.common.now_ms() << KIND_BITS | to;
        self.state.compare_exchange(state, next, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Ends it if it is in a state of which `fits` holds, given the kind and since when.
    pub(super) fn evict(&self, fits: impl FnOnce(u64, u64) -> bool) {
        let state = self.state.load(Ordering::SeqCst);
        if fits(state & KIND, state >> KIND_BITS)
            && self.state.compare_exchange(state, EVICTED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            self.told.notify_one();
            self.common.count_evicted();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_or_a_network() {
        let source = |text: &str| Source::of(text.parse().unwrap());
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_ne!(source("::1"), source("127.0.0.1"));
    }

    #[test]
    fn shares_are_forgotten_with_their_last_part() {
        let (mut shares, source) = (Shares::default(), Source::of([192, 0, 2, 1].into()));
        let share = shares.add(source, 3);
        shares.add(source, 4);
        assert_eq!((shares.of(source), share.load(Ordering::Relaxed), shares.sources()), (7, 7, 1));
        shares.remove(source, 3);
        shares.remove(source, 4);
        assert_eq!((shares.of(source), shares.sources()), (0, 0));
    }
}
