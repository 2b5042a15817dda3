//! A bounded resource that many connections share: memory for long requests and answers, or TLS handshakes.
//!
//! Whoever exhausts it must not affect others. As long as there is room, everybody is served. When there is none,
//! waiting requests are served in this order:
//!
//! 1. one that names a key that can sign before a stranger's,
//! 2. one of a source within its fair share (the room divided by the number of sources, at most half of it) before
//!    one of a source that exceeds it,
//! 3. one that has begun before one that has not, and then in the order of arrival;
//!
//! and a holder loses its part to the waiting one, and its connection is closed, if
//!
//! - it has made no progress for [`STALLED_MS`],
//! - or it is a stranger's, and the waiting one is not,
//! - or its source exceeds its fair share, and the waiting one's does not.
//!
//! Of these, strangers go first, then the source that holds most, then the one whose last progress is longest ago.
//! A request that was read completely is never closed for this.
//!
//! Room is taken in steps, so all that have begun could be waiting for each other. Therefore the last part of it,
//! as much as one needs at most, is granted to one at a time, which can then finish.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::slot::{ANSWERING, Common, EVICTED, Shares, Slot};

/// A holder without progress for this long loses its part to anybody.
const STALLED_MS: u64 = 1_000;
/// An answer of a source that has more than its fair share may take this long.
const GREEDY_MS: u64 = 100;
/// Those who wait at most. Beyond them the last is refused.
const WAITERS: usize = 1_024;
/// Connections ended at once for one who waits.
const VICTIMS: usize = 64;
/// Time changes who gives way: so often is looked again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// However many wait, no more often than this.
const LOOK_AGAIN_MS: u64 = 20;

/// Something bounded that many share.
#[derive(Debug)]
pub(super) struct Room {
    /// Units in all.
    capacity: usize,
    /// The last part, for one at a time.
    reserve: usize,
    /// State of a connection that holds a part and can still be ended for others.
    kind: u64,
    common: Arc<Common>,
    /// Changed under the lock; read without it.
    used: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    shares: Shares,
    holds: Vec<Arc<Hold>>,
    waiters: Vec<Waiter>,
    /// Who has the last part.
    finisher: Option<Arc<Slot>>,
    arrivals: u64,
    looked_ms: u64,
}

/// Who asks for room.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) slot: Arc<Slot>,
    /// It names no key that can sign.
    pub(super) stranger: bool,
    /// It holds a part already.
    pub(super) begun: bool,
    pub(super) units: usize,
}

#[derive(Debug)]
struct Waiter {
    ask: Ask,
    arrival: u64,
    sender: oneshot::Sender<Place>,
}

#[derive(Debug)]
struct Hold {
    slot: Arc<Slot>,
    stranger: bool,
    units: usize,
    /// What its source holds.
    share: Arc<AtomicUsize>,
    /// Place among the holds.
    index: AtomicUsize,
}

/// A part of a room, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    hold: Arc<Hold>,
}

impl Room {
    pub(super) fn new(common: &Arc<Common>, capacity: usize, reserve: usize, kind: u64) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            reserve,
            kind,
            common: Arc::clone(common),
            used: AtomicUsize::new(0),
            inner: Mutex::default(),
        })
    }

    /// Units that are taken.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A part of the room, waited for if need be. None if too many wait who come before.
    pub(super) async fn take(self: &Arc<Self>, ask: Ask) -> Option<Place> {
        let (waits, undelivered);
        {
            let mut inner = self.lock();
            if inner.waiters.is_empty() && self.fits(&mut inner, &ask) {
                return Some(self.hold(&mut inner, &ask));
            }
            waits = self.line_up(&mut inner, ask.clone());
            undelivered = self.serve(&mut inner);
        }
        drop(undelivered);
        let (arrival, mut placed) = waits?;
        let _waiting = Waiting { room: self, slot: &ask.slot, arrival };
        ask.slot.waits.store(true, Ordering::SeqCst);
        loop {
            tokio::select! {
                biased;
                placed = &mut placed => {
                    ask.slot.pass(self.kind, self.kind);
                    return placed.ok();
                }
                () = sleep(LOOK_AGAIN) => self.look_again(),
            }
        }
    }

    /// A part of the room even if there is none left: it is needed for what has already arrived.
    pub(super) fn take_anyway(self: &Arc<Self>, slot: &Arc<Slot>, units: usize) -> Place {
        let ask = Ask { slot: Arc::clone(slot), stranger: false, begun: false, units };
        self.hold(&mut self.lock(), &ask)
    }

    /// Whether more was taken than there is.
    pub(super) fn overfull(&self) -> bool {
        self.used() > self.capacity
    }

    /// Ends those who take their answers too slowly, until no more is taken than there is.
    pub(super) fn press(&self) {
        let now = self.common.now_ms();
        let mut inner = self.lock();
        if now < inner.looked_ms + LOOK_AGAIN_MS {
            return;
        }
        inner.looked_ms = now;
        let fair = self.fair(&inner);
        let mut leaving = 0;
        let mut slow: Vec<_> = Vec::new();
        for hold in &inner.holds {
            if hold.slot.kind() == EVICTED {
                leaving += hold.units;
                continue;
            }
            let patience = if hold.held() > fair { GREEDY_MS } else { STALLED_MS };
            if hold.slot.kind() == ANSWERING && hold.slot.since_ms() + patience <= now {
                slow.push(hold);
            }
        }
        slow.sort_by_key(|hold| (Reverse(hold.held()), hold.slot.since_ms()));
        for hold in slow {
            if self.used() <= self.capacity + leaving {
                return;
            }
            hold.slot.evict(|kind, _| kind == ANSWERING);
            leaving += hold.units;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a source may have without giving way to others.
    fn fair(&self, inner: &Inner) -> usize {
        self.capacity / inner.shares.sources().max(2)
    }

    /// Whether there is room for this. The last part becomes its own if it is nobody's.
    fn fits(&self, inner: &mut Inner, ask: &Ask) -> bool {
        let used = self.used() + ask.units;
        if used + self.reserve <= self.capacity {
            return true;
        }
        if used > self.capacity {
            return false;
        }
        let finisher = inner.finisher.get_or_insert_with(|| Arc::clone(&ask.slot));
        Arc::ptr_eq(finisher, &ask.slot)
    }

    fn hold(self: &Arc<Self>, inner: &mut Inner, ask: &Ask) -> Place {
        self.used.fetch_add(ask.units, Ordering::Relaxed);
        let hold = Arc::new(Hold {
            slot: Arc::clone(&ask.slot),
            stranger: ask.stranger,
            units: ask.units,
            share: inner.shares.add(ask.slot.source, ask.units),
            index: AtomicUsize::new(inner.holds.len()),
        });
        inner.holds.push(Arc::clone(&hold));
        Place { room: Arc::clone(self), hold }
    }

    /// Lets somebody wait; the last of all is sent away if there are too many.
    fn line_up(&self, inner: &mut Inner, ask: Ask) -> Option<(u64, oneshot::Receiver<Place>)> {
        let (sender, receiver) = oneshot::channel();
        inner.arrivals += 1;
        let waiter = Waiter { ask, arrival: inner.arrivals, sender };
        if inner.waiters.len() >= WAITERS {
            let fair = self.fair(inner);
            let rank = |waiter: &Waiter| waiter.rank(inner.shares.of(waiter.ask.slot.source), fair);
            let last = (0..inner.waiters.len()).max_by_key(|index| rank(&inner.waiters[*index]))?;
            if rank(&inner.waiters[last]) <= rank(&waiter) {
                return None;
            }
            inner.waiters.swap_remove(last);
        }
        inner.waiters.push(waiter);
        Some((inner.arrivals, receiver))
    }

    /// Gives room to those who wait, the best first; ends others for it if need be. Places whose owner has gone
    /// meanwhile are handed back, to be dropped when the lock is free.
    #[must_use]
    fn serve(self: &Arc<Self>, inner: &mut Inner) -> Vec<Place> {
        let mut undelivered = Vec::new();
        loop {
            let fair = self.fair(inner);
            let rank = |index: &usize| {
                inner.waiters[*index].rank(inner.shares.of(inner.waiters[*index].ask.slot.source), fair)
            };
            let Some(best) = (0..inner.waiters.len()).min_by_key(rank) else { return undelivered };
            let ask = inner.waiters[best].ask.clone();
            if !self.fits(inner, &ask) {
                self.displace(inner, &ask, fair);
                return undelivered;
            }
            let waiter = inner.waiters.swap_remove(best);
            let place = self.hold(inner, &ask);
            undelivered.extend(waiter.sender.send(place).err());
        }
    }

    /// Ends as many as it takes to make room for this.
    fn displace(&self, inner: &Inner, ask: &Ask, fair: usize) {
        let now = self.common.now_ms();
        let within = inner.shares.of(ask.slot.source) + ask.units <= fair;
        for _ in 0..VICTIMS {
            let mut leaving = 0;
            let mut worst = None;
            for hold in &inner.holds {
                if hold.slot.kind() == EVICTED {
                    leaving += hold.units;
                } else if hold.gives_way(self.kind, ask, now, within.then_some(fair)) {
                    worst = worst.max(Some(Worst {
                        order: (hold.stranger, hold.held(), Reverse(hold.slot.since_ms())),
                        hold,
                    }));
                }
            }
            if self.used() + ask.units + self.reserve <= self.capacity + leaving {
                return;
            }
            let Some(worst) = worst else { return };
            worst.hold.slot.evict(|kind, _| kind == self.kind);
        }
    }

    /// Looks whether somebody gives way by now.
    fn look_again(self: &Arc<Self>) {
        let now = self.common.now_ms();
        let mut inner = self.lock();
        if now < inner.looked_ms + LOOK_AGAIN_MS {
            return;
        }
        inner.looked_ms = now;
        let undelivered = self.serve(&mut inner);
        drop(inner);
        drop(undelivered);
    }
}

/// A part that could be freed, the one to be freed first being the greatest.
struct Worst<'a> {
    order: (bool, usize, Reverse<u64>),
    hold: &'a Arc<Hold>,
}

impl PartialEq for Worst<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Worst<'_> {}

impl PartialOrd for Worst<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Worst<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

impl Waiter {
    /// Smaller is better. `held` is what its source holds.
    fn rank(&self, held: usize, fair: usize) -> (bool, bool, bool, u64) {
        (self.ask.stranger, held + self.ask.units > fair, !self.ask.begun, self.arrival)
    }
}

impl Hold {
    /// What its source holds.
    fn held(&self) -> usize {
        self.share.load(Ordering::Relaxed)
    }

    /// Whether this may be ended for `ask`. `fair` is a fair share if `ask` stays within one.
    fn gives_way(&self, kind: u64, ask: &Ask, now: u64, fair: Option<usize>) -> bool {
        if self.slot.kind() != kind || Arc::ptr_eq(&self.slot, &ask.slot) {
            return false;
        }
        let stalled = !self.slot.waits.load(Ordering::SeqCst) && self.slot.since_ms() + STALLED_MS <= now;
        let greedy = self.stranger == ask.stranger && fair.is_some_and(|fair| self.held() > fair);
        stalled || greedy || (self.stranger && !ask.stranger)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self { room, hold } = self;
        let mut inner = room.lock();
        room.used.fetch_sub(hold.units, Ordering::Relaxed);
        inner.shares.remove(hold.slot.source, hold.units);
        let index = hold.index.load(Ordering::Relaxed);
        inner.holds.swap_remove(index);
        if let Some(moved) = inner.holds.get(index) {
            moved.index.store(index, Ordering::Relaxed);
        }
        if inner.finisher.as_ref().is_some_and(|finisher| Arc::ptr_eq(finisher, &hold.slot)) {
            inner.finisher = None;
        }
        let undelivered = room.serve(&mut inner);
        drop(inner);
        drop(undelivered);
    }
}

/// Takes one who waits out of the line when it has got its place or has gone.
struct Waiting<'a> {
    room: &'a Room,
    slot: &'a Slot,
    arrival: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.slot.waits.store(false, Ordering::SeqCst);
        self.room.lock().waiters.retain(|waiter| waiter.arrival != self.arrival);
    }
}

#[cfg(test)]
mod tests {
    use super::super::slot::{BODY, Source};
    use super::*;

    const FIRST: u8 = 1;
    const SECOND: u8 = 2;

    struct Test {
        common: Arc<Common>,
        room: Arc<Room>,
        shares: Shares,
    }

    impl Test {
        fn new(capacity: usize, reserve: usize) -> Self {
            let common = Arc::new(Common::new());
            Self { room: Room::new(&common, capacity, reserve, BODY), common, shares: Shares::default() }
        }

        /// A connection from this source whose body arrives.
        fn slot(&mut self, source: u8) -> Arc<Slot> {
            let source = Source::of([192, 0, 2, source].into());
            let slot = Slot::new(&self.common, source, self.shares.add(source, 1), 0);
            slot.begin(BODY);
            Arc::new(slot)
        }

        /// Places of one unit each, for connections of their own.
        async fn fill(&mut self, source: u8, stranger: bool, number: usize) -> Vec<(Arc<Slot>, Place)> {
            let mut all = Vec::new();
            for _ in 0..number {
                let slot = self.slot(source);
                let place = self.room.take(ask(&slot, stranger, 1)).await.unwrap();
                all.push((slot, place));
            }
            all
        }
    }

    fn ask(slot: &Arc<Slot>, stranger: bool, units: usize) -> Ask {
        Ask { slot: Arc::clone(slot), stranger, begun: false, units }
    }

    fn evicted(holders: &[(Arc<Slot>, Place)]) -> usize {
        holders.iter().filter(|(slot, _)| slot.kind() == EVICTED).count()
    }

    /// Drops those that were told to end, as their connections would.
    fn end(holders: &mut Vec<(Arc<Slot>, Place)>) {
        holders.retain(|(slot, _)| slot.kind() != EVICTED);
    }

    /// Polls once: what can be had now.
    async fn now(future: &mut (impl Future<Output = Option<Place>> + Unpin)) -> Option<Option<Place>> {
        tokio::select! {
            biased;
            place = future => Some(place),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn strangers_give_way_to_whoever_names_a_key() {
        let mut test = Test::new(8, 0);
        let room = Arc::clone(&test.room);
        let mut strangers = test.fill(FIRST, true, 8).await;
        // Another stranger of the same source waits: nobody has stood still.
        let slot = test.slot(FIRST);
        let mut last = Box::pin(room.take(ask(&slot, true, 1)));
        assert!(now(&mut last).await.is_none());
        assert_eq!(evicted(&strangers), 0);
        // Whoever names a key, of the same source too, has somebody go, and comes before who waited longer.
        let slot = test.slot(FIRST);
        let mut first = Box::pin(room.take(ask(&slot, false, 2)));
        assert!(now(&mut first).await.is_none());
        assert_eq!(evicted(&strangers), 2);
        end(&mut strangers);
        let place = now(&mut first).await.unwrap().unwrap();
        assert!(now(&mut last).await.is_none());
        drop(place);
        assert!(now(&mut last).await.unwrap().is_some());
        assert_eq!(room.used(), 6);
    }

    #[tokio::test]
    async fn a_source_gives_way_beyond_its_share_and_not_within() {
        let mut test = Test::new(8, 0);
        let mut many = test.fill(FIRST, false, 7).await;
        let mut few = test.fill(SECOND, false, 1).await;
        let mut got = Vec::new();
        // Its share is half: three more for the second.
        for _ in 0..3 {
            let slot = test.slot(SECOND);
            let mut more = Box::pin(test.room.take(ask(&slot, false, 1)));
            assert!(now(&mut more).await.is_none());
            assert_eq!((evicted(&many), evicted(&few)), (1, 0));
            end(&mut many);
            got.push((slot, now(&mut more).await.unwrap().unwrap()));
        }
        let slot = test.slot(SECOND);
        let mut more = Box::pin(test.room.take(ask(&slot, false, 1)));
        assert!(now(&mut more).await.is_none());
        assert_eq!(evicted(&many) + evicted(&few) + evicted(&got), 0);
        end(&mut few);
    }

    #[tokio::test]
    async fn who_does_not_get_on_gives_way_to_anybody() {
        let mut test = Test::new(4, 0);
        let mut keys = test.fill(FIRST, false, 4).await;
        sleep(Duration::from_millis(STALLED_MS + 100)).await;
        // One of them has got on, one is read to its end.
        keys[1].0.pass(BODY, BODY);
        keys[2].0.begin_work();
        let slot = test.slot(FIRST);
        let mut stranger = Box::pin(test.room.take(ask(&slot, true, 1)));
        assert!(now(&mut stranger).await.is_none());
        assert_eq!(evicted(&keys), 1);
        assert!(evicted(&keys[1..3]) == 0, "one that gets on, and one that is whole");
        end(&mut keys);
        assert!(now(&mut stranger).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn those_who_have_begun_come_to_their_end_one_after_the_other() {
        let mut test = Test::new(10, 4);
        // Three of them, each wants four in all: more than there is.
        let mut slots: Vec<_> = (0..3).map(|_| (test.slot(FIRST), Vec::new())).collect();
        for (slot, places) in &mut slots {
            places.push(test.room.take(ask(slot, false, 2)).await.unwrap());
        }
        let more = |slot: &Arc<Slot>| Ask { begun: true, ..ask(slot, false, 2) };
        // The last part goes to the first who asks, and to nobody else until that one has ended.
        let place = test.room.take(more(&slots[0].0)).await.unwrap();
        let mut second = Box::pin(test.room.take(more(&slots[1].0)));
        let mut third = Box::pin(test.room.take(more(&slots[2].0)));
        assert!(now(&mut second).await.is_none() && now(&mut third).await.is_none());
        assert_eq!(test.room.used(), 8);
        drop(place);
        slots[0].1.clear();
        assert!(now(&mut second).await.unwrap().is_some());
        assert!(now(&mut third).await.is_some());
    }

    #[tokio::test]
    async fn the_line_is_bounded_and_its_last_goes_first() {
        let mut test = Test::new(1, 0);
        let room = Arc::clone(&test.room);
        let holder = test.fill(FIRST, false, 1).await;
        let slots: Vec<_> = (0..WAITERS).map(|_| test.slot(FIRST)).collect();
        let mut waiting: Vec<_> = slots.iter().map(|slot| Box::pin(room.take(ask(slot, true, 1)))).collect();
        for one in &mut waiting {
            assert!(now(one).await.is_none());
        }
        let slot = test.slot(FIRST);
        assert!(room.take(ask(&slot, true, 1)).await.is_none());
        let mut better = Box::pin(room.take(ask(&slot, false, 1)));
        assert!(now(&mut better).await.is_none());
        assert!(now(waiting.last_mut().unwrap()).await.unwrap().is_none());
        drop(holder);
        assert!(now(&mut better).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn one_who_goes_leaves_nothing_behind() {
        let mut test = Test::new(2, 1);
        let holder = test.fill(FIRST, false, 2).await;
        let slot = test.slot(SECOND);
        let mut waits = Box::pin(test.room.take(ask(&slot, true, 1)));
        assert!(now(&mut waits).await.is_none());
        assert!(slot.waits.load(Ordering::SeqCst));
        drop(waits);
        assert!(!slot.waits.load(Ordering::SeqCst));
        drop(holder);
        let inner = test.room.lock();
        assert_eq!((inner.holds.len(), inner.waiters.len(), inner.shares.sources()), (0, 0, 0));
        assert!(inner.finisher.is_none());
        drop(inner);
        assert_eq!(test.room.used(), 0);
    }

    /// Answers that are left lying end, those of the source that has most of them first and earlier.
    #[tokio::test]
    async fn answers_left_lying_end() {
        let mut test = Test::new(4, 0);
        let room = Room::new(&test.common, 4, 0, ANSWERING);
        let mut answer = |source, units| {
            let slot = test.slot(source);
            slot.begin(ANSWERING);
            let place = room.take_anyway(&slot, units);
            (slot, place)
        };
        let greedy: Vec<_> = (0..4).map(|_| answer(FIRST, 1)).collect();
        let modest = vec![answer(SECOND, 1)];
        assert!(room.overfull());
        room.press();
        assert_eq!(evicted(&greedy) + evicted(&modest), 0);
        sleep(Duration::from_millis(GREEDY_MS + 50)).await;
        room.press();
        assert_eq!((evicted(&greedy), evicted(&modest)), (1, 0));
    }
}
