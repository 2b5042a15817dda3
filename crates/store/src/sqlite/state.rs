//! The table `store`: what the database knows of itself.

use super::schema::known;
use crate::rights::Sum;
use crate::rows::{Done, Relation};
use crate::session::Session;
use crate::{StoreError, Tx};

/// First schema with the table `store`.
const WITH_STORE: u32 = 2;

/// Batches that the database contains.
pub(crate) fn groups(session: Session<'_>) -> Result<u64, StoreError> {
    of_store(session, "SELECT groups FROM store")
}

/// Number of the last audit record that was moved from the journal.
pub(crate) fn journalled(session: Session<'_>) -> Result<u64, StoreError> {
    of_store(session, "SELECT journal FROM store")
}

fn of_store(session: Session<'_>, question: &str) -> Result<u64, StoreError> {
    if known(session)? < WITH_STORE {
        return Ok(0);
    }
    let number: i64 = session.only(question, &[])?;
    Ok(number.max(0).cast_unsigned())
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] =
    &[("the store knows itself", "SELECT count(*) FROM store HAVING count(*) <> 1")];

impl Tx<'_> {
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
