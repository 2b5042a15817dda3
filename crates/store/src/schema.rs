//! Schema versions: forward only, each step in a transaction, the version in `user_version`.
//!
//! `crates/store/tests/schemas/` keeps a database of every released schema; a test opens each.

use rusqlite::{Connection, TransactionBehavior};

use crate::{StoreError, chain};

/// Each step brings the database from its index to the next version.
const STEPS: &[&str] = &[
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
];

/// Newest schema that this release knows.
pub(crate) const NEWEST: u32 = 4;
const _: () = assert!(STEPS.len() == NEWEST as usize, "one step per schema");

/// First schema with the table `store`.
const WITH_STORE: u32 = 2;

/// Brings the database up to the newest schema.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = known(&tx)?;
    for step in STEPS.iter().skip(found as usize) {
        tx.execute_batch(step)?;
    }
    if found < 4 {
        chain::bring_up(&tx)?;
    }
    if found < NEWEST {
        tx.pragma_update(None, "user_version", NEWEST)?;
    }
    tx.commit()?;
    Ok(())
}

/// The database's schema, if this release knows it.
pub(crate) fn known(connection: &Connection) -> Result<u32, StoreError> {
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > NEWEST { Err(StoreError::NewerSchema { found, known: NEWEST }) } else { Ok(found) }
}

/// Batches that the database contains.
pub(crate) fn groups(connection: &Connection) -> Result<u64, StoreError> {
    of_store(connection, "SELECT groups FROM store")
}

/// Number of the last audit record that was moved from the journal.
pub(crate) fn journalled(connection: &Connection) -> Result<u64, StoreError> {
    of_store(connection, "SELECT journal FROM store")
}

fn of_store(connection: &Connection, question: &str) -> Result<u64, StoreError> {
    if known(connection)? < WITH_STORE {
        return Ok(0);
    }
    Ok(connection.query_row(question, [], |row| row.get::<_, i64>(0))?.max(0).cast_unsigned())
}
