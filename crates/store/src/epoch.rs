//! The epochs of accounts: numbers in their rows that say whether rights that were read still hold.
//!
//! Whatever changes what a principal of an account may do (keys, users, groups, roles, policies, what is attached to
//! whom, the state of the account, the end of sessions) raises the epoch of the account in the same transaction: the
//! changes of [`Tx`] do it themselves, so that no caller can forget it. What is read of somebody's rights is kept with
//! the [`Epoch`] under which it was read, and holds as long as the account has that epoch.
//!
//! An account begins with the moment at which it was made, so that one that is made again under the same id does not
//! have the epochs of the first.
//!
//! This process knows the newest epoch of each account that it has read or changed: the writer notes those that a
//! batch has raised after its commit and before its changes are answered. On the embedded store nobody else raises
//! any, so that what is noted is what is stored.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tongguan_model::id::AccountId;

use crate::{Snapshot, StoreError, Tx};

/// The epoch of an account under which something was read.
#[derive(Debug, Clone)]
pub struct Epoch {
    pub(crate) account: AccountId,
    pub(crate) read: u64,
    newest: Arc<AtomicU64>,
}

impl Epoch {
    /// Whether the account still has it, as far as this process knows.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.newest.load(Ordering::Acquire) == self.read
    }
}

/// The newest epoch of each account that this process knows one of.
#[derive(Debug, Default)]
pub(crate) struct Epochs(RwLock<HashMap<AccountId, Arc<AtomicU64>>>);

impl Epochs {
    /// Notes what was read, or committed; an epoch never falls. Answers where the newest one is.
    pub(crate) fn note(&self, account: &AccountId, epoch: u64) -> Arc<AtomicU64> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(account).cloned();
        let newest = known.unwrap_or_else(|| {
            let mut epochs = self.0.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(epochs.entry(account.clone()).or_default())
        });
        newest.fetch_max(epoch, Ordering::AcqRel);
        newest
    }

    /// To be called after the commit of a change and before it is answered.
    pub(crate) fn raised(&self, raised: &[(AccountId, u64)]) {
        for (account, epoch) in raised {
            self.note(account, *epoch);
        }
    }
}

/// The epochs that a change has raised.
#[derive(Debug, Default)]
pub(crate) struct Raised(RefCell<Vec<(AccountId, u64)>>);

impl Raised {
    fn add(&self, account: AccountId, epoch: u64) {
        self.0.borrow_mut().push((account, epoch));
    }

    fn has(&self, account: &AccountId) -> bool {
        self.0.borrow().iter().any(|(raised, _)| raised == account)
    }

    /// Takes them: the next change begins with none.
    pub(crate) fn take(&self) -> Vec<(AccountId, u64)> {
        self.0.take()
    }
}

impl Snapshot<'_> {
    /// The epoch of an account; one that is not in the store has the first. To be asked before what is read under it.
    ///
    /// # Errors
    /// A database error.
    pub fn epoch(&self, account: &AccountId) -> Result<Epoch, StoreError> {
        let read = self.session().one("SELECT epoch FROM account WHERE id = ?1", &binds![account])?;
        let read: u64 = read.unwrap_or_default();
        // Where no rights are used nothing is kept either.
        let newest = self.rights().map(|rights| rights.epochs.note(account, read));
        Ok(Epoch {
            account: account.clone(),
            read,
            newest: newest.unwrap_or_else(|| Arc::new(AtomicU64::new(read))),
        })
    }
}

impl Tx<'_> {
    /// Raises the epoch of an account, once in each change.
    pub(crate) fn rights_changed(&self, account: &AccountId) -> Result<(), StoreError> {
        if self.raised().has(account) {
            return Ok(());
        }
        self.raise("UPDATE account SET epoch = epoch + 1 WHERE id = ?1 RETURNING id, epoch", account)
    }

    /// The same for the account of an access key.
    pub(crate) fn rights_changed_of_key(&self, id: &str) -> Result<(), StoreError> {
        let account = self.account_of_access_key(id)?;
        account.map_or(Ok(()), |account| self.rights_changed(&account))
    }

    /// The same for the account of a user.
    pub(crate) fn rights_changed_of_user(&self, seq: i64) -> Result<(), StoreError> {
        self.rights_changed_of("SELECT account FROM ram_user WHERE seq = ?1", seq)
    }

    /// The same for the account of a group.
    pub(crate) fn rights_changed_of_group(&self, seq: i64) -> Result<(), StoreError> {
        self.rights_changed_of("SELECT account FROM ram_group WHERE seq = ?1", seq)
    }

    /// The same for the account of a role.
    pub(crate) fn rights_changed_of_role(&self, seq: i64) -> Result<(), StoreError> {
        self.rights_changed_of("SELECT account FROM ram_role WHERE seq = ?1", seq)
    }

    fn rights_changed_of(&self, account: &'static str, seq: i64) -> Result<(), StoreError> {
        let account: Option<AccountId> = self.session().one(account, &binds![seq])?;
        account.map_or(Ok(()), |account| self.rights_changed(&account))
    }

    /// Raises the epochs of all accounts.
    pub(crate) fn all_rights_changed(&self) -> Result<(), StoreError> {
        let accounts: Vec<AccountId> = self.session().all("SELECT id FROM account", &[])?;
        accounts.iter().try_for_each(|account| self.rights_changed(account))
    }

    /// Says that what the principals of all accounts may do has changed, for changes of what is no row of theirs.
    ///
    /// # Errors
    /// A database error.
    pub fn rights_of_all_changed(&self) -> Result<(), StoreError> {
        self.all_rights_changed()
    }

    /// An account was made: it has its first epoch.
    pub(crate) fn account_made(&self, account: &AccountId) -> Result<(), StoreError> {
        self.raise("SELECT id, epoch FROM account WHERE id = ?1", account)
    }

    fn raise(&self, sql: &'static str, account: &AccountId) -> Result<(), StoreError> {
        if let Some((account, epoch)) = self.session().one(sql, &binds![account])? {
            self.raised().add(account, epoch);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_never_falls_and_holds_until_another_is_known() {
        let (epochs, account) = (Epochs::default(), AccountId::new("1"));
        let newest = epochs.note(&account, 7);
        let of = AccountId::new("1234567890123456");
        let read = |read| Epoch { account: of.clone(), read, newest: Arc::clone(&newest) };
        assert!(read(7).holds() && !read(6).holds());
        // What somebody else has read earlier says nothing new.
        epochs.note(&account, 6);
        assert!(read(7).holds());
        epochs.raised(&[(AccountId::new("2"), 9)]);
        assert!(read(7).holds());
        // A snapshot may be newer than what is noted, as its change is committed and not yet answered.
        assert!(!read(8).holds());
        epochs.raised(&[(account, 8)]);
        assert!(read(8).holds() && !read(7).holds());
    }
}
