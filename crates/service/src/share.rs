//! Shares of a common cache: how much of it each account has, and which of an account's entries are evicted when it
//! exceeds its share.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use tongguan_model::id::AccountId;

/// What each account has.
#[derive(Debug)]
pub(crate) struct Shares {
    /// Bytes that one account may have.
    most: usize,
    accounts: Mutex<HashMap<AccountId, Share>>,
}

#[derive(Debug, Default)]
struct Share {
    bytes: usize,
    next: u64,
    /// Bytes of each entry, and when it was noted last.
    entries: HashMap<String, (usize, u64)>,
    /// Entries in the order in which they were noted; those that were noted again since are passed over.
    order: VecDeque<(String, u64)>,
}

impl Shares {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, accounts: Mutex::default() }
    }

    /// Notes that an account has an entry of so many bytes, and answers which of its entries are beyond its share: the
    /// oldest. The new one stays, however large.
    pub(crate) fn note(&self, account: &AccountId, id: &str, bytes: usize) -> Vec<String> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let share = accounts.entry(account.clone()).or_default();
        let number = share.next;
        share.next += 1;
        if let Some((before, _)) = share.entries.insert(id.to_owned(), (bytes, number)) {
            share.bytes -= before;
        }
        share.bytes += bytes;
        share.order.push_back((id.to_owned(), number));
        let mut gone = Vec::new();
        while share.bytes > self.most && share.entries.len() > 1 {
            let Some((oldest, noted)) = share.order.pop_front() else { break };
            let current = share.entries.get(&oldest).filter(|(_, last)| *last == noted).copied();
            if let Some((bytes, _)) = current {
                share.entries.remove(&oldest);
                share.bytes -= bytes;
                gone.push(oldest);
            }
        }
        // Entries that are noted over and over leave their old places behind.
        if share.order.len() > 2 * share.entries.len() + 16 {
            let entries = &share.entries;
            share.order.retain(|(id, noted)| entries.get(id).is_some_and(|(_, last)| last == noted));
        }
        gone
    }

    /// Entries that are noted, of all accounts.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.values().map(|share| share.entries.len()).sum()
    }

    /// Notes that an account's entry is no longer there: what is noted is bounded by what the store holds.
    pub(crate) fn forget(&self, account: &AccountId, id: &str) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(share) = accounts.get_mut(account) else { return };
        if let Some((bytes, _)) = share.entries.remove(id) {
            share.bytes -= bytes;
        }
        if share.entries.is_empty() {
            accounts.remove(account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_displaces_its_own_alone() {
        let shares = Shares::new(100);
        let (a, b) = (AccountId::new("1"), AccountId::new("2"));
        assert!(shares.note(&a, "a1", 40).is_empty());
        for n in 0..1_000 {
            let gone = shares.note(&b, &format!("b{n}"), 30);
            let expected: Vec<String> = if n < 3 { Vec::new() } else { vec![format!("b{}", n - 3)] };
            assert_eq!(gone, expected);
        }
        assert!(shares.note(&a, "a2", 40).is_empty());
        // One that is read again is the newest, and counts once.
        assert!(shares.note(&a, "a1", 40).is_empty());
        assert_eq!(shares.note(&a, "a3", 40), ["a2"]);
        // One beyond the share stays alone.
        assert_eq!(shares.note(&a, "a4", 1_000), ["a1", "a3"]);
        assert_eq!(shares.note(&a, "a5", 10), ["a4"]);
    }

    #[test]
    fn an_account_without_entries_is_not_remembered() {
        let shares = Shares::new(100);
        for number in 0..1_000 {
            let account = AccountId::new(number.to_string());
            assert!(shares.note(&account, "a", 60).is_empty());
            assert!(shares.note(&account, "b", 30).is_empty());
            shares.forget(&account, "a");
            shares.forget(&account, "unknown");
            assert!(shares.note(&account, "c", 70).is_empty());
            shares.forget(&account, "b");
            shares.forget(&account, "c");
        }
        assert!(shares.accounts.lock().unwrap().is_empty());
    }

    #[test]
    fn reading_one_over_and_over_takes_no_room() {
        let shares = Shares::new(100);
        for _ in 0..10_000 {
            assert!(shares.note(&AccountId::new("1"), "a", 60).is_empty());
        }
        let accounts = shares.accounts.lock().unwrap();
        let share = &accounts[&AccountId::new("1")];
        assert!(share.order.len() <= 32 && share.bytes == 60, "{share:?}");
    }
}
