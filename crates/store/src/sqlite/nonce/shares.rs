//! Who owns the remembered nonces, and who may have one more.
//!
//! A quarter of the table is reserved: the root key of an account and its users together each have a *floor* in it,
//! a number of nonces that nobody else can take from them. The rest is a pool. An account may hold as much of it as
//! is free, times [`GREED`]: alone it gets most of the pool, but the more others take, the less it may hold, and an
//! account that holds more is refused until enough of it has expired. What an account may hold is divided among its
//! users in the same way. So there is always room for somebody who has little.

use std::collections::{HashMap, VecDeque};

use super::over;

/// Accounts whose floors fit into what is set aside for floors.
const FLOORS: usize = 128;
/// How much of what is free one may hold, as a multiple of it.
const GREED: usize = 4;

/// Who a nonce is counted for: an account and a principal in it, by fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    pub(super) account: u64,
    /// 0 for the account itself.
    pub(super) principal: u64,
}

impl Owner {
    /// The root key of an account.
    #[must_use]
    pub fn root(account: &str) -> Self {
        Self { account: fingerprint(&[account]), principal: 0 }
    }

    /// A principal of an account, by its kind and name.
    #[must_use]
    pub fn principal(account: &str, kind: &str, name: &str) -> Self {
        Self { account: fingerprint(&[account]), principal: fingerprint(&[kind, "/", name]).max(1) }
    }

    /// As a database has written it.
    pub(crate) fn of_fingerprints(account: u64, principal: u64) -> Self {
        Self { account, principal }
    }

    /// Fingerprint of the account.
    #[must_use]
    pub fn account(self) -> u64 {
        self.account
    }

    /// Fingerprint of the principal; none for the root key.
    #[must_use]
    pub fn in_account(self) -> Option<u64> {
        (self.principal != 0).then_some(self.principal)
    }
}

/// FNV-1a: the same in each process, as the log needs it.
fn fingerprint(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes());
    bytes.fold(14_695_981_039_346_656_037, |number, byte| {
        (number ^ u64::from(byte)).wrapping_mul(1_099_511_628_211)
    })
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Shares {
    limit: usize,
    /// What may be held above floors.
    pool: usize,
    floor: usize,
    total: usize,
    /// Held above floors, by all.
    pooled: usize,
    accounts: HashMap<u64, Account>,
    /// What is held until the end of each minute of the steady clock, earliest first.
    minutes: VecDeque<(i64, HashMap<Owner, usize>)>,
    /// What other nodes hold, when they were last asked.
    of_others: HashMap<Owner, usize>,
}

#[derive(Debug, Default)]
struct Account {
    root: usize,
    users: usize,
    principals: HashMap<u64, usize>,
}

impl Account {
    /// What the account holds above its floors.
    fn pooled(&self, floor: usize) -> usize {
        self.root.saturating_sub(floor) + self.users.saturating_sub(floor)
    }
}

impl Shares {
    pub(crate) fn new(limit: usize) -> Self {
        let reserve = limit / 4;
        let floor = (reserve / (2 * FLOORS)).max(1);
        Self {
            limit,
            pool: limit - reserve,
            floor,
            total: 0,
            pooled: 0,
            accounts: HashMap::new(),
            minutes: VecDeque::new(),
            of_others: HashMap::new(),
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Counts one more for `owner`, until the end of this minute, if its share has room.
    pub(crate) fn take(&mut self, owner: Owner, minute: i64) -> bool {
        let room = self.room(owner);
        if room {
            self.add(owner, minute);
        }
        room
    }

    fn room(&self, owner: Owner) -> bool {
        if self.total >= self.limit {
            return false;
        }
        let Some(account) = self.accounts.get(&owner.account) else { return true };
        let free = self.pool.saturating_sub(self.pooled);
        let may_hold = free.saturating_mul(GREED);
        let room = may_hold.saturating_sub(account.pooled(self.floor)).min(free);
        let below_floor = |held: usize| self.floor.saturating_sub(held);
        if owner.principal == 0 {
            return below_floor(account.root) + room > 0;
        }
        let room = below_floor(account.users) + room;
        let held = account.principals.get(&owner.principal).copied().unwrap_or(0);
        held < room.saturating_mul(GREED)
    }

    /// Counts one more for `owner`, whatever its share.
    pub(super) fn add(&mut self, owner: Owner, minute: i64) {
        self.count(owner, 1);
        let place = self.minutes.partition_point(|(number, _)| *number < minute);
        if self.minutes.get(place).is_none_or(|(number, _)| *number != minute) {
            self.minutes.insert(place, (minute, HashMap::new()));
        }
        *self.minutes[place].1.entry(owner).or_default() += 1;
    }

    /// No longer counts one of `owner` that was to be kept until this minute.
    pub(crate) fn give_back(&mut self, owner: Owner, minute: i64) {
        let Ok(place) = self.minutes.binary_search_by_key(&minute, |(number, _)| *number) else { return };
        let held = &mut self.minutes[place].1;
        let Some(number) = held.get_mut(&owner) else { return };
        *number -= 1;
        if *number == 0 {
            held.remove(&owner);
        }
        self.subtract(owner, 1);
    }

    /// What `owner` holds here until this minute.
    pub(crate) fn held(&self, owner: Owner, minute: i64) -> usize {
        let place = self.minutes.binary_search_by_key(&minute, |(number, _)| *number);
        place.ok().and_then(|place| self.minutes[place].1.get(&owner).copied()).unwrap_or(0)
    }

    /// What other nodes hold, in place of what they held when they were last asked.
    pub(crate) fn others_hold(&mut self, held: HashMap<Owner, usize>) {
        for (owner, number) in std::mem::take(&mut self.of_others) {
            self.subtract(owner, number);
        }
        for (owner, number) in &held {
            self.count(*owner, *number);
        }
        self.of_others = held;
    }

    fn count(&mut self, owner: Owner, number: usize) {
        let floor = self.floor;
        let account = self.accounts.entry(owner.account).or_default();
        let before = account.pooled(floor);
        if owner.principal == 0 {
            account.root += number;
        } else {
            account.users += number;
            *account.principals.entry(owner.principal).or_default() += number;
        }
        self.pooled += account.pooled(floor) - before;
        self.total += number;
    }

    /// No longer counts what was kept until a minute that is over.
    pub(crate) fn drop_old(&mut self, steady: i64) {
        while self.minutes.front().is_some_and(|(number, _)| over(*number, steady)) {
            let Some((_, held)) = self.minutes.pop_front() else { return };
            held.into_iter().for_each(|(owner, number)| self.subtract(owner, number));
        }
    }

    fn subtract(&mut self, owner: Owner, number: usize) {
        let floor = self.floor;
        let Some(account) = self.accounts.get_mut(&owner.account) else { return };
        let before = account.pooled(floor);
        if owner.principal == 0 {
            account.root -= number;
        } else {
            account.users -= number;
            if let Some(held) = account.principals.get_mut(&owner.principal) {
                *held -= number;
                if *held == 0 {
                    account.principals.remove(&owner.principal);
                }
            }
        }
        self.pooled -= before - account.pooled(floor);
        self.total -= number;
        if account.root + account.users == 0 {
            self.accounts.remove(&owner.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(shares: &mut Shares, owner: Owner, minute: i64) -> usize {
        (0..).take_while(|_| shares.take(owner, minute)).count()
    }

    #[test]
    fn one_account_alone_gets_most_and_leaves_room() {
        let mut shares = Shares::new(100_000);
        let (a, b) = (Owner::root("a"), Owner::root("b"));
        let alone = fill(&mut shares, a, 0);
        assert!((55_000..75_000).contains(&alone), "{alone}");
        let beside = fill(&mut shares, b, 0);
        assert!(beside > 10_000, "{beside}");
        // Twenty more find less and less of the pool, but each its floor.
        for number in 0..20 {
            let found = fill(&mut shares, Owner::root(&format!("{number}")), 0);
            assert!(found >= shares.floor, "account {number} found {found}");
        }
        assert!(shares.total() <= 100_000);
    }

    #[test]
    fn who_has_most_gives_way() {
        let mut shares = Shares::new(100_000);
        let (a, b) = (Owner::root("a"), Owner::root("b"));
        let alone = fill(&mut shares, a, 0);
        fill(&mut shares, b, 1);
        // What a held expires; both ask again, b first. Neither is refused before it holds its half.
        shares.drop_old(60);
        let (half, mut held) = (25_000, [shares.accounts[&b.account].root, 0]);
        for _ in 0..half {
            held[0] += usize::from(shares.take(b, 2));
            held[1] += usize::from(shares.take(a, 2));
        }
        assert!(held.iter().all(|held| *held > 20_000), "{held:?} after {alone} alone");
    }

    #[test]
    fn users_leave_room_to_each_other_and_to_root() {
        let mut shares = Shares::new(100_000);
        let user = |name: &str| Owner::principal("a", "user", name);
        let one = fill(&mut shares, user("one"), 0);
        let other = fill(&mut shares, user("other"), 0);
        assert!(one > 40_000 && other > 1_000, "{one} {other}");
        for number in 0..50 {
            fill(&mut shares, user(&number.to_string()), 0);
        }
        let root = fill(&mut shares, Owner::root("a"), 0);
        assert!(root >= shares.floor, "{root}");
        // Another account is as if there were one filler.
        assert!(fill(&mut shares, Owner::root("b"), 0) > 5_000);
    }

    #[test]
    fn what_others_hold_counts_for_the_shares_of_all() {
        let (a, b) = (Owner::root("a"), Owner::principal("b", "user", "u"));
        let mut shares = Shares::new(100_000);
        shares.others_hold([(a, 40_000), (b, 1)].into());
        assert_eq!(shares.total(), 40_001);
        let more = fill(&mut shares, a, 0);
        assert!((15_000..35_000).contains(&more), "{more} beside 40000");
        assert!(fill(&mut shares, b, 0) > 1_000);
        let own = shares.total() - 40_001;
        // What they hold no longer is free again; what is held here stays counted.
        shares.others_hold([(b, 3)].into());
        assert_eq!(shares.total(), own + 3);
        assert_eq!(shares.held(a, 0), more);
        assert!(fill(&mut shares, a, 1) > 10_000);
        shares.give_back(a, 0);
        assert_eq!((shares.held(a, 0), shares.held(b, 7)), (more - 1, 0));
        shares.others_hold([].into());
        shares.drop_old(120);
        assert_eq!((shares.total(), shares.pooled), (0, 0));
        assert!(shares.accounts.is_empty() && shares.minutes.is_empty());
    }

    #[test]
    fn what_expires_is_counted_no_more() {
        let mut shares = Shares::new(1_000);
        for minute in 0..10 {
            for (owner, times) in [(Owner::root("a"), 20), (Owner::principal("b", "user", "u"), 30)] {
                assert_eq!((0..times).filter(|_| shares.take(owner, minute)).count(), times);
            }
        }
        assert_eq!(shares.total(), 500);
        shares.drop_old(5 * 60);
        assert_eq!(shares.total(), 250);
        shares.drop_old(10 * 60);
        assert_eq!((shares.total(), shares.pooled), (0, 0));
        assert!(shares.accounts.is_empty() && shares.minutes.is_empty());
    }
}
