//! Whether the store can be used: a full disk is temporary, a damaged database is not.
//!
//! A temporary failure (no space, no permission, an I/O error) refuses the changes that meet it and is over with
//! the first batch that commits again. Damage stays: nothing more is written to a database that SQLite found to be
//! malformed, so that what can be saved is not made worse.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::ErrorCode;
use tracing::{error, info};

use crate::{StoreError, postgres};

/// Why the store cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It may pass: a full disk, a lost permission, an I/O error.
    Passing(String),
    /// The database is malformed; nothing is written to it any more.
    Damaged(String),
}

impl Trouble {
    /// The trouble behind an error; none if the error is a change's own.
    pub(crate) fn of(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::Database(error) if error.postgres().is_some_and(postgres::Failure::passes) => {
                Some(Self::Passing(error.to_string()))
            }
            StoreError::Database(error) => match error.code()? {
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                    Some(Self::Damaged(error.to_string()))
                }
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::OutOfMemory
                | ErrorCode::FileLockingProtocolFailed => Some(Self::Passing(error.to_string())),
                _ => None,
            },
            StoreError::Unusable(trouble) => Some(trouble.clone()),
            StoreError::NoLane | StoreError::KeyChanged | StoreError::File { .. } => {
                Some(Self::Passing(error.to_string()))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passing(what) => f.write_str(what),
            Self::Damaged(what) => write!(
                f,
                "the database is damaged ({what}); nothing more is written to it: stop the service, run `tongguan \
                 check`, and restore a backup into a new data directory"
            ),
        }
    }
}

/// The store's condition, shared by its threads.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    troubled: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
}

impl Condition {
    /// Notes a failure, logs it when it is new, and returns the error for the caller.
    pub(crate) fn note(&self, trouble: Trouble) -> StoreError {
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let worse = !matches!(*known, Some(Trouble::Damaged(_)));
        if worse && known.as_ref() != Some(&trouble) {
            error!(%trouble, "the store cannot be used");
            *known = Some(trouble.clone());
            self.troubled.store(true, Ordering::Release);
        }
        StoreError::Unusable(trouble)
    }

    /// A batch was committed: a temporary failure is over.
    pub(crate) fn sound(&self) {
        if !self.troubled.load(Ordering::Acquire) {
            return;
        }
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*known, Some(Trouble::Passing(_))) {
            info!("the store can be used again");
            *known = None;
            self.troubled.store(false, Ordering::Release);
        }
    }

    /// Refuses if the database is damaged.
    pub(crate) fn usable(&self) -> Result<(), StoreError> {
        match self.get() {
            Some(trouble @ Trouble::Damaged(_)) => Err(StoreError::Unusable(trouble)),
            Some(Trouble::Passing(_)) | None => Ok(()),
        }
    }

    pub(crate) fn get(&self) -> Option<Trouble> {
        if !self.troubled.load(Ordering::Acquire) {
            return None;
        }
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passing_trouble_passes_and_damage_stays() {
        let condition = Condition::default();
        condition.note(Trouble::Passing("full".into()));
        assert!(condition.usable().is_ok() && condition.get().is_some());
        condition.sound();
        assert_eq!(condition.get(), None);
        condition.note(Trouble::Damaged("malformed".into()));
        condition.note(Trouble::Passing("full".into()));
        condition.sound();
        assert!(condition.usable().is_err());
    }
}
