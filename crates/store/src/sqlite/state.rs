//! The table `store`: what the database knows of itself.

use super::schema::known;
use crate::rights::Sum;
use crate::rows::{Done, Relation};
use crate::session::Session;
use crate::{Purpose, Snapshot, StoreError, Tx};

/// First schema with the table `store`.
const WITH_STORE: u32 = 2;
/// First schema that says whether a database was made for the test API.
const WITH_PURPOSE: u32 = 6;

/// Batches that the database contains.
pub(crate) fn groups(session: Session<'_>) -> Result<u64, StoreError> {
    of_store(session, "SELECT groups FROM store")
}

/// Number of the last audit record that was moved from the journal.
pub(crate) fn journalled(session: Session<'_>) -> Result<u64, StoreError> {
    of_store(session, "SELECT journal FROM store")
}

/// Refuses a database that was made for something else.
pub(crate) fn fits(session: Session<'_>, purpose: Purpose) -> Result<(), StoreError> {
    if known(session)? < WITH_PURPOSE {
        return if purpose == Purpose::Tests { Err(StoreError::NotForTests) } else { Ok(()) };
    }
    is_for(session, purpose)
}

/// Refuses a database of this release that was made for something else.
pub(crate) fn is_for(session: Session<'_>, purpose: Purpose) -> Result<(), StoreError> {
    match (purpose, test_ahead_ms(session)?.is_some()) {
        (Purpose::Service, false) | (Purpose::Tests, true) | (Purpose::TestsOnCopy, _) => Ok(()),
        (Purpose::Service, true) => Err(StoreError::ForTests),
        (Purpose::Tests, false) => Err(StoreError::NotForTests),
    }
}

/// Notes that a database which has just been made, or copied, is for the test API.
pub(crate) fn is_for_tests(session: Session<'_>) -> Result<(), StoreError> {
    session.execute("UPDATE store SET test_ahead_ms = 0 WHERE test_ahead_ms IS NULL", &[])?;
    Ok(())
}

fn test_ahead_ms(session: Session<'_>) -> Result<Option<i64>, StoreError> {
    session.only("SELECT test_ahead_ms FROM store", &[])
}

fn of_store(session: Session<'_>, question: &'static str) -> Result<u64, StoreError> {
    if known(session)? < WITH_STORE {
        return Ok(0);
    }
    let number: i64 = session.only(question, &[])?;
    Ok(number.max(0).cast_unsigned())
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] =
    &[("the store knows itself", "SELECT count(*) FROM store HAVING count(*) <> 1")];

impl Snapshot<'_> {
    /// Milliseconds by which the service's clock is ahead of the machine's, if the database was made for the test API.
    ///
    /// # Errors
    /// A database error.
    pub fn test_ahead_ms(&self) -> Result<Option<i64>, StoreError> {
        test_ahead_ms(self.session())
    }
}

impl Tx<'_> {
    /// Sets how far the service's clock is ahead of the machine's, milliseconds.
    ///
    /// # Errors
    /// [`StoreError::NotForTests`] if the database was not made for that; a database error.
    pub fn set_test_ahead_ms(&self, ahead_ms: i64) -> Done {
        let sql = "UPDATE store SET test_ahead_ms = ?1 WHERE test_ahead_ms IS NOT NULL";
        if self.session().execute(sql, &binds![ahead_ms])? == 0 {
            return Err(StoreError::NotForTests);
        }
        Ok(())
    }

    /// Notes that the records of the audit journal up to this number are in the database.
    pub(crate) fn journalled(&self, number: u64) -> Done {
        let sql = "UPDATE store SET journal = max(journal, ?1)";
        self.execute(sql, &binds![number])
    }

    /// Counts a batch of the writer, and the audit records moved with it, up to number `journal`; with the seal of the
    /// state that it leaves, if it has one.
    pub(crate) fn count_group(&self, groups: u64, journal: u64, seal: Option<&Sum>) -> Done {
        let sql = "UPDATE store SET groups = ?1, journal = max(journal, ?2), \
                   rights_seal = coalesce(?3, rights_seal)";
        self.execute(sql, &binds![groups, journal, seal])
    }
}
