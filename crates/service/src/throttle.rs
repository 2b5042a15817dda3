//! Rate limits: how many requests an account may make per second, and how that is divided within it.
//!
//! Requests are counted once the signature was verified and the nonce found unused, so that nobody uses up
//! another's rate, neither by a wrong signature nor by a replay; where another has to be asked about the nonce, its
//! [`Place`] is taken first and given back if the request is not let in. Time is the monotonic clock.
//!
//! Nodes that share a store divide the rate: each lets through its part of what an account may send, so that all of
//! them together let through no more. Parts are equal, however callers are spread, and never less than one request.
//!
//! Within an account a principal has at most three quarters of the rate, and users and sessions together seven
//! eighths: the rest is the root key's, so that users cannot keep it from disabling them. Calls count what they
//! cost: a long request more than a short one, generating a key as much as a hundred reads; and a call that no
//! policy allows counts [`REFUSED`] more against its caller alone, so that a key without permissions uses up
//! little.
//!
//! Sources of requests without a valid signature are rate-limited too ([`Failures`]).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tongguan_store::Owner;

/// Requests per second and account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests in each second.
    pub per_second: NonZeroU32,
    /// Requests at once, after a rest.
    pub burst: NonZeroU32,
}

/// What a call that no policy allows counts beyond what it is.
pub const REFUSED: u32 = 9;
/// Bytes of query and body that count as one request more.
pub const WEIGHED_BYTES: usize = 16 * 1024;
/// Requests that nobody signed, of one source, before they are answered in short: in each second.
pub const FAILURES_PER_SECOND: u32 = 100;
/// The same at once.
pub const FAILURES_BURST: u32 = 1_000;

const SHARDS: usize = 16;
/// Accounts in one shard, and principals in one account; those beyond share a rate until others rest.
const ACCOUNTS: usize = 4_096;
const PRINCIPALS: usize = 4_096;
/// Sources, and sources with key ids, that are told apart.
pub const SOURCES: usize = 65_536;
/// Stands for all who found no place.
const OTHERS: u64 = u64::MAX;
const NS_PER_MS: u64 = 1_000_000;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// A rate as the generic cell rate algorithm (ITU-T I.371) has it.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Nanoseconds until one more request is allowed.
    each: u64,
    /// How far ahead of time requests may be, nanoseconds.
    ahead: u64,
}

impl Pace {
    /// `eighths` of a rate, at least one request at once.
    fn of(rate: Rate, eighths: u64) -> Self {
        let each = (NS_PER_SECOND * 8 / (u64::from(rate.per_second.get()) * eighths)).max(1);
        let burst = (u64::from(rate.burst.get()) * eighths / 8).max(1);
        Self { each, ahead: each.saturating_mul(burst) }
    }

    /// The part of one of so many nodes, at least one request at once.
    fn shared(self, nodes: u64) -> Self {
        let each = self.each.saturating_mul(nodes);
        let burst = (self.ahead / self.each / nodes).max(1);
        Self { each, ahead: each.saturating_mul(burst) }
    }
}

/// When the next request would be on time, nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Cell(u64);

impl Cell {
    fn admits(self, pace: Pace, cost: u64, now: u64) -> bool {
        let cost = cost.saturating_mul(pace.each).min(pace.ahead);
        self.0.saturating_sub(now).saturating_add(cost) <= pace.ahead
    }

    /// Counts, into debt if need be, but no further than twice what may be asked for at once.
    fn charge(&mut self, pace: Pace, cost: u64, now: u64) -> Charge {
        let before = self.0.max(now);
        let due = before.saturating_add(cost.saturating_mul(pace.each));
        self.0 = due.min(now.saturating_add(pace.ahead.saturating_mul(2)));
        Charge { due: self.0, cost: self.0.saturating_sub(before) }
    }

    /// Counts no longer what is left of a charge: what time has made good meanwhile is nobody's to have again.
    fn give_back(&mut self, charge: Charge, now: u64) {
        self.0 = self.0.saturating_sub(charge.cost.min(charge.due.saturating_sub(now)));
    }

    fn rests(self, now: u64) -> bool {
        self.0 <= now
    }
}

/// What was counted in a cell: until when it counts, and how much, nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Charge {
    due: u64,
    cost: u64,
}

/// The place of a request that was let through.
#[derive(Debug)]
#[must_use]
pub struct Place {
    owner: Owner,
    all: Charge,
    users: Charge,
    principal: Charge,
}

/// Lets requests through as long as their account and their principal keep to their rate.
#[derive(Debug, Default)]
pub struct Throttle {
    paces: Option<Paces>,
    /// Nodes that divide the rate; as long as nobody has counted them it is one.
    nodes: Arc<AtomicU32>,
    shards: [Mutex<HashMap<u64, Account>>; SHARDS],
    refused: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Paces {
    account: Pace,
    users: Pace,
    principal: Pace,
}

impl Paces {
    fn shared(self, nodes: u64) -> Self {
        let Self { account, users, principal } = self;
        Self {
            account: account.shared(nodes),
            users: users.shared(nodes),
            principal: principal.shared(nodes),
        }
    }
}

#[derive(Debug, Default)]
struct Account {
    all: Cell,
    /// All but the root key.
    users: Cell,
    principals: HashMap<u64, Cell>,
}

impl Account {
    fn principal(&mut self, principal: u64, now: u64) -> &mut Cell {
        let key = place(&mut self.principals, principal, PRINCIPALS, |cell| cell.rests(now));
        self.principals.entry(key).or_default()
    }

    fn keeps_to(&mut self, paces: Paces, owner: Owner, cost: u64, now: u64) -> bool {
        let all = self.all.admits(paces.account, cost, now);
        match owner.in_account() {
            None => all,
            Some(principal) => {
                all && self.users.admits(paces.users, cost, now)
                    && self.principal(principal, now).admits(paces.principal, cost, now)
            }
        }
    }

    fn charge(&mut self, paces: Paces, owner: Owner, cost: u64, now: u64) -> Place {
        let Some(principal) = owner.in_account() else {
            let all = self.all.charge(paces.account, cost, now);
            return Place { owner, all, users: Charge::default(), principal: Charge::default() };
        };
        let principal = self.principal(principal, now).charge(paces.principal, cost, now);
        let users = self.users.charge(paces.users, cost, now);
        // What users owe is not taken from the reserve of the root key.
        let reserve = now.saturating_add(paces.account.ahead / 8 * 7);
        let before = self.all;
        self.all.charge(paces.account, cost, now);
        self.all.0 = self.all.0.min(reserve.max(before.0));
        let all = Charge { due: self.all.0, cost: self.all.0.saturating_sub(before.0.max(now)) };
        Place { owner, all, users, principal }
    }

    fn give_back(&mut self, place: &Place, now: u64) {
        self.all.give_back(place.all, now);
        if let Some(principal) = place.owner.in_account() {
            self.users.give_back(place.users, now);
            self.principal(principal, now).give_back(place.principal, now);
        }
    }

    fn rests(&self, now: u64) -> bool {
        self.all.rests(now) && self.users.rests(now) && self.principals.values().all(|cell| cell.rests(now))
    }
}

/// The key under which there is a place in a bounded table: makes room first if there is none.
fn place<T>(table: &mut HashMap<u64, T>, key: u64, most: usize, rests: impl Fn(&T) -> bool) -> u64 {
    if table.contains_key(&key) || table.len() < most {
        return key;
    }
    // Looked at rarely: the others' place is taken until somebody is found to rest.
    if key.is_multiple_of(64) {
        table.retain(|_, value| !rests(value));
    }
    if table.len() < most { key } else { OTHERS }
}

impl Throttle {
    /// Every account keeps to this rate; none: there is no limit.
    #[must_use]
    pub fn new(rate: Option<Rate>) -> Self {
        let paces = rate.map(|rate| Paces {
            account: Pace::of(rate, 8),
            users: Pace::of(rate, 7),
            principal: Pace::of(rate, 6),
        });
        Self { paces, ..Self::default() }
    }

    /// Whether there is a limit.
    #[must_use]
    pub fn limits(&self) -> bool {
        self.paces.is_some()
    }

    /// The same, the rate divided among as many nodes as there are at the time, this one among them.
    #[must_use]
    pub fn among(self, nodes: &Arc<AtomicU32>) -> Self {
        Self { nodes: Arc::clone(nodes), ..self }
    }

    /// Takes a place for one more request, which counts as `cost`, if it keeps to the rates of who sent it.
    pub fn take(&self, owner: Owner, cost: u32, now_ms: i64) -> Option<Place> {
        let place = self.with(owner, now_ms, |account, paces, now| {
            let keeps = account.keeps_to(paces, owner, u64::from(cost), now);
            keeps.then(|| account.charge(paces, owner, u64::from(cost), now))
        });
        let none = Charge::default();
        let place = place.unwrap_or(Some(Place { owner, all: none, users: none, principal: none }));
        if place.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    /// Gives a place back: its request was not let in, for another reason.
    pub fn give_back(&self, place: &Place, now_ms: i64) {
        self.with(place.owner, now_ms, |account, _, now| account.give_back(place, now));
    }

    /// Whether one more request of `owner` would be too many. Nothing is counted: nobody knows who sent it.
    #[must_use]
    pub fn exceeds(&self, owner: Owner, cost: u32, now_ms: i64) -> bool {
        let keeps = self
            .with(owner, now_ms, |account, paces, now| account.keeps_to(paces, owner, u64::from(cost), now));
        keeps == Some(false)
    }

    /// Counts work that a request has turned out to ask for.
    pub fn charge(&self, owner: Owner, cost: u32, now_ms: i64) {
        self.with(owner, now_ms, |account, paces, now| {
            let _owed = account.charge(paces, owner, u64::from(cost), now);
        });
    }

    /// Counts that no policy allowed a request.
    pub fn charge_refused(&self, owner: Owner, now_ms: i64) {
        let Some(principal) = owner.in_account() else { return };
        self.with(owner, now_ms, |account, paces, now| {
            account.principal(principal, now).charge(paces.principal, u64::from(REFUSED), now);
        });
    }

    fn with<T>(
        &self,
        owner: Owner,
        now_ms: i64,
        work: impl FnOnce(&mut Account, Paces, u64) -> T,
    ) -> Option<T> {
        let paces = match self.nodes.load(Ordering::Relaxed) {
            0 | 1 => self.paces?,
            nodes => self.paces?.shared(u64::from(nodes)),
        };
        let (key, now) = (owner.account(), nanoseconds(now_ms));
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        let key = place(&mut shard, key, ACCOUNTS, |account| account.rests(now));
        Some(work(shard.entry(key).or_default(), paces, now))
    }

    fn shard(&self, account: u64) -> &Mutex<HashMap<u64, Account>> {
        &self.shards[account as usize % SHARDS]
    }

    /// Requests refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Forgets accounts and principals that have rested: to be called now and then.
    pub fn forget_rested(&self, now_ms: i64) {
        let now = nanoseconds(now_ms);
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, account| !account.rests(now));
            for account in shard.values_mut() {
                account.principals.retain(|_, cell| !cell.rests(now));
                account.principals.shrink_to_fit();
            }
            shard.shrink_to_fit();
        }
    }

    /// Accounts remembered, and principals in them.
    #[must_use]
    pub fn remembered(&self) -> (usize, usize) {
        self.shards.iter().fold((0, 0), |(accounts, principals), shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let more: usize = shard.values().map(|account| account.principals.len()).sum();
            (accounts + shard.len(), principals + more)
        })
    }
}

fn nanoseconds(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0).saturating_mul(NS_PER_MS)
}

/// Requests that nobody signed, by source, and by source and the key id that they name. A key id alone is never
/// counted: knowing one would be enough to keep its owner out.
///
/// A source is an IPv4 address or the first 64 bits of an IPv6 address. Above its rate a source is answered in
/// short, and long requests of it that name this key are refused before they are verified; short ones are verified
/// all the same, so that the owner of a key is served also from a source that others misuse.
#[derive(Debug)]
pub struct Failures {
    pace: Option<Pace>,
    table: Mutex<HashMap<u64, Cell>>,
    hashing: RandomState,
    counted: AtomicU64,
    cut_short: AtomicU64,
}

impl Failures {
    /// Sources are held to their rate if there `is_limit`, else all are only counted.
    #[must_use]
    pub fn new(is_limit: bool) -> Self {
        let rate = NonZeroU32::new(FAILURES_PER_SECOND).zip(NonZeroU32::new(FAILURES_BURST));
        let pace =
            rate.filter(|_| is_limit).map(|(per_second, burst)| Pace::of(Rate { per_second, burst }, 8));
        Self {
            pace,
            table: Mutex::default(),
            hashing: RandomState::new(),
            counted: AtomicU64::new(0),
            cut_short: AtomicU64::new(0),
        }
    }

    /// Counts a request that was not signed, or wrongly, and answers whether its source was over its rate already.
    pub fn note(&self, source: IpAddr, key: Option<&str>, bytes: usize, now_ms: i64) -> bool {
        self.counted.fetch_add(1, Ordering::Relaxed);
        let over = self.exceeds(source, key, now_ms);
        let Some(pace) = self.pace else { return false };
        let now = nanoseconds(now_ms);
        let cost = 1 + bytes as u64 / (WEIGHED_BYTES as u64 / 4);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        for key in self.keys(source, key).into_iter().flatten() {
            let key = place(&mut table, key, SOURCES, |cell| cell.rests(now));
            table.entry(key).or_default().charge(pace, cost, now);
        }
        drop(table);
        if over {
            self.cut_short.fetch_add(1, Ordering::Relaxed);
        }
        over
    }

    /// Whether the source (with this key id, if one is named) is over its rate. Nothing is counted.
    #[must_use]
    pub fn exceeds(&self, source: IpAddr, key: Option<&str>, now_ms: i64) -> bool {
        let Some(pace) = self.pace else { return false };
        let now = nanoseconds(now_ms);
        let keys = self.keys(source, key);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // With a key id the pair counts, not what the source does otherwise.
        let Some(key) = keys[1].or(keys[0]) else { return false };
        let key = place(&mut table, key, SOURCES, |cell| cell.rests(now));
        table.get(&key).is_some_and(|cell| !cell.admits(pace, 1, now))
    }

    /// Where source, and source with key id, stand in the table.
    fn keys(&self, source: IpAddr, key: Option<&str>) -> [Option<u64>; 2] {
        let source = match source.to_canonical() {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        let hash = |of: (u64, &str)| self.hashing.hash_one(of);
        [Some(hash((source, ""))), key.filter(|key| !key.is_empty()).map(|key| hash((source, key)))]
    }

    /// Requests counted so far.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    /// Those of them that were answered in short.
    #[must_use]
    pub fn cut_short(&self) -> u64 {
        self.cut_short.load(Ordering::Relaxed)
    }

    /// Forgets sources that have rested: to be called now and then.
    pub fn forget_rested(&self, now_ms: i64) {
        let now = nanoseconds(now_ms);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, cell| !cell.rests(now));
        table.shrink_to_fit();
    }

    /// Sources remembered, and sources with key ids.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(per_second: u32, burst: u32) -> Throttle {
        let rate = Rate { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() };
        Throttle::new(Some(rate))
    }

    fn user(name: &str) -> Owner {
        Owner::principal("1", "user", name)
    }

    #[test]
    fn an_account_gets_its_burst_then_its_rate() {
        let throttle = throttle(10, 20);
        let (one, other) = (Owner::root("1"), Owner::root("2"));
        let admitted =
            |owner, times, now| (0..times).filter(|_| throttle.take(owner, 1, now).is_some()).count();
        assert_eq!(admitted(one, 100, 0), 20);
        assert_eq!(throttle.refused(), 80);
        assert_eq!(admitted(other, 5, 0), 5);
        assert_eq!(admitted(one, 100, 500), 5);
        assert_eq!(admitted(one, 100, 60_500), 20);
    }

    #[test]
    fn users_leave_something_to_each_other_and_to_root() {
        let throttle = throttle(80, 80);
        let admitted =
            |owner, times, now| (0..times).filter(|_| throttle.take(owner, 1, now).is_some()).count();
        assert_eq!(admitted(user("one"), 1_000, 0), 60);
        assert_eq!(admitted(user("other"), 1_000, 0), 10);
        assert_eq!(admitted(user("third"), 1_000, 0), 0);
        assert_eq!(admitted(Owner::root("1"), 1_000, 0), 10);
        // A second later as well, whoever comes first.
        assert_eq!(admitted(user("one"), 1_000, 1_000), 60);
        assert_eq!(admitted(user("other"), 1_000, 1_000), 10);
        assert_eq!(admitted(Owner::root("1"), 1_000, 1_000), 10);
    }

    #[test]
    fn calls_weigh_what_they_cost() {
        let throttle = throttle(100, 200);
        let one = Owner::root("1");
        assert!(throttle.take(one, 1, 0).is_some());
        throttle.charge(one, 100, 0);
        assert_eq!((0..1_000).filter(|_| throttle.take(one, 1, 0).is_some()).count(), 99);
        // Work that was begun is owed, but never more than as much again as may be asked for at once.
        throttle.charge(one, 1_000_000, 0);
        assert!(throttle.take(one, 1, 1_999).is_none());
        assert!(throttle.take(one, 1, 2_011).is_some());
        // What weighs more than may be asked for at once is still admitted after a rest.
        assert!(throttle.take(Owner::root("2"), 5_000, 0).is_some());
    }

    #[test]
    fn work_of_users_leaves_the_reserve_of_root() {
        let throttle = throttle(80, 80);
        for _ in 0..50 {
            throttle.charge(user("one"), 1_000, 0);
        }
        assert_eq!((0..100).filter(|_| throttle.take(Owner::root("1"), 1, 0).is_some()).count(), 10);
        assert!(throttle.take(user("other"), 1, 0).is_none());
    }

    #[test]
    fn what_no_policy_allows_uses_up_its_callers_own_part() {
        let throttle = throttle(80, 80);
        let weak = user("weak");
        let served = (0..1_000)
            .filter(|_| {
                let admitted = throttle.take(weak, 1, 0).is_some();
                if admitted {
                    throttle.charge_refused(weak, 0);
                }
                admitted
            })
            .count();
        assert_eq!(served, 6);
        assert_eq!((0..1_000).filter(|_| throttle.take(user("other"), 1, 0).is_some()).count(), 60);
        assert_eq!((0..1_000).filter(|_| throttle.take(Owner::root("1"), 1, 0).is_some()).count(), 14);
    }

    #[test]
    fn who_rests_is_forgotten_and_the_table_is_bounded() {
        let throttle = throttle(1, 1);
        for number in 0..1_000 {
            assert!(throttle.take(Owner::root(&number.to_string()), 1, 0).is_some());
        }
        for number in 0..2 * PRINCIPALS {
            throttle.charge_refused(user(&number.to_string()), 0);
        }
        throttle.forget_rested(0);
        let (accounts, principals) = throttle.remembered();
        assert_eq!(accounts, 1_000);
        assert!((PRINCIPALS..=PRINCIPALS + 1).contains(&principals), "{principals}");
        assert!(throttle.take(Owner::root("0"), 1, 10_000).is_some());
        throttle.forget_rested(10_000);
        assert_eq!(throttle.remembered(), (1, 0));
    }

    #[test]
    fn nodes_divide_the_rate_and_each_has_some() {
        let nodes = Arc::new(AtomicU32::new(3));
        let throttle = throttle(90, 90).among(&nodes);
        let admitted =
            |owner, times, now| (0..times).filter(|_| throttle.take(owner, 1, now).is_some()).count();
        assert_eq!(admitted(user("one"), 1_000, 0), 22);
        assert_eq!(admitted(Owner::root("1"), 1_000, 0), 8);
        assert_eq!(admitted(Owner::root("2"), 1_000, 0), 30);
        assert_eq!(admitted(Owner::root("2"), 1_000, 1_000), 30);
        // Who goes leaves his part to the others, and what was used stays used.
        nodes.store(1, Ordering::Relaxed);
        assert_eq!(admitted(Owner::root("3"), 1_000, 1_000), 90);
        assert_eq!(admitted(Owner::root("2"), 1_000, 1_100), 9);
        // However many there are, nobody is shut out for ever.
        nodes.store(1_000, Ordering::Relaxed);
        assert_eq!(admitted(Owner::root("4"), 1_000, 0), 1);
        assert_eq!(admitted(Owner::root("4"), 1_000, 11_000), 0);
        assert_eq!(admitted(Owner::root("4"), 1_000, 11_200), 1);
    }

    #[test]
    fn a_place_is_given_back_once_and_not_what_time_has_made_good() {
        let throttle = throttle(80, 80);
        for owner in [Owner::root("1"), user("one")] {
            for _ in 0..1_000 {
                let place = throttle.take(owner, 7, 0).unwrap();
                throttle.give_back(&place, 0);
            }
        }
        let admitted =
            |owner, times, now| (0..times).filter(|_| throttle.take(owner, 1, now).is_some()).count();
        assert_eq!(admitted(user("one"), 1_000, 0), 60);
        assert_eq!(admitted(user("other"), 1_000, 0), 10);
        assert_eq!(admitted(Owner::root("1"), 1_000, 0), 10);
        // What comes back late is little, or nothing: the rate is kept all the same.
        let one = Owner::root("2");
        let places: Vec<_> = (0..80).map(|_| throttle.take(one, 1, 0).unwrap()).collect();
        for place in &places {
            throttle.give_back(place, 500);
        }
        assert_eq!(admitted(one, 1_000, 500), 80);
        assert_eq!(admitted(one, 1_000, 1_000), 40);
    }

    #[test]
    fn without_a_rate_everything_is_let_through() {
        let throttle = Throttle::new(None);
        assert!((0..10_000).all(|_| throttle.take(Owner::root("1"), 1, 0).is_some()));
        assert_eq!((throttle.remembered(), throttle.refused()), ((0, 0), 0));
    }

    #[test]
    fn failures_count_by_source_and_key() {
        let failures = Failures::new(true);
        let (here, there) = ("203.0.113.1".parse().unwrap(), "203.0.113.2".parse().unwrap());
        let short = (0..2_000).filter(|_| failures.note(here, Some("key"), 100, 0)).count();
        assert_eq!((short, failures.counted(), failures.cut_short()), (1_000, 2_000, 1_000));
        // Neither the same key from elsewhere nor another key from here is touched.
        assert!(!failures.exceeds(there, Some("key"), 0) && !failures.exceeds(here, Some("other"), 0));
        assert!(failures.exceeds(here, None, 0));
        // Owed is at most as much again: ten seconds, and one more.
        assert!(failures.exceeds(here, Some("key"), 9_999) && !failures.exceeds(here, Some("key"), 10_010));
        // Long ones weigh more.
        let long = (0..2_000).filter(|_| failures.note(there, Some("key"), 1_000_000, 0)).count();
        assert!(long > 1_990, "{long}");
    }

    #[test]
    fn sources_are_bounded_and_forgotten() {
        let failures = Failures::new(true);
        for number in 0..2 * SOURCES as u128 {
            let source = IpAddr::V6(((0x2001_0db8_u128 << 96) + (number << 64) + number).into());
            failures.note(source, None, 0, 0);
        }
        assert!(failures.remembered() <= SOURCES + 1);
        // One network is one source.
        let failures = Failures::new(true);
        for number in 0..1_000_u128 {
            failures.note(IpAddr::V6(((0x2001_0db8_u128 << 96) + number).into()), None, 0, 0);
        }
        assert_eq!(failures.remembered(), 1);
        failures.forget_rested(60_000);
        assert_eq!(failures.remembered(), 0);
        assert!(!Failures::new(false).note(IpAddr::from([127, 0, 0, 1]), None, 0, 0));
    }
}
