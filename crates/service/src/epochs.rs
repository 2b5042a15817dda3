//! The epochs of accounts: counters that are raised when rows that say what somebody may do have changed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tongguan_model::id::AccountId;

/// One counter for each account that was asked about.
#[derive(Debug, Default)]
pub(crate) struct AccountEpochs(RwLock<HashMap<AccountId, Arc<AtomicU64>>>);

impl AccountEpochs {
    /// The epoch of an account.
    pub(crate) fn of(&self, account: &AccountId) -> Arc<AtomicU64> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(account).cloned();
        known.unwrap_or_else(|| {
            let mut epochs = self.0.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(epochs.entry(account.clone()).or_default())
        })
    }

    /// To be called after a change of such rows was committed and before it is answered.
    pub(crate) fn raise(&self, account: &AccountId) {
        self.of(account).fetch_add(1, Ordering::Release);
    }

    /// The same, after a change of the rows of every account.
    pub(crate) fn raise_all(&self) {
        let epochs = self.0.read().unwrap_or_else(PoisonError::into_inner);
        epochs.values().for_each(|epoch| {
            epoch.fetch_add(1, Ordering::Release);
        });
    }
}
