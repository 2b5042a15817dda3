//! Schema versions: forward only, each step in a transaction, the version in `user_version`.

use rusqlite::{Connection, TransactionBehavior};

use crate::StoreError;

/// Each step brings the database from its index to the next version.
const STEPS: &[&str] = &[include_str!("schema/0001.sql")];

/// Brings the database up to the newest schema.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    for step in STEPS.iter().skip(found as usize) {
        tx.execute_batch(step)?;
    }
    if found < known {
        tx.pragma_update(None, "user_version", known)?;
    }
    tx.commit()?;
    Ok(())
}
