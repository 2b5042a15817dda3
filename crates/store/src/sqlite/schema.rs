//! Schema versions: forward only, each step in a transaction, the version in `user_version`.
//!
//! `crates/store/tests/schemas/` keeps a database of every released schema; a test opens each.

use rusqlite::{Connection, TransactionBehavior};

use crate::StoreError;
use crate::audit::append;
use crate::rows::{connection, resource_group};
use crate::session::{Session, failed};

/// Each step brings the database from its index to the next version.
const STEPS: &[&str] = &[
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
    include_str!("schema/0006.sql"),
    include_str!("schema/0007.sql"),
    include_str!("schema/0008.sql"),
    include_str!("schema/0009.sql"),
];

/// Newest schema that this release knows.
pub(crate) const NEWEST: u32 = 9;
const _: () = assert!(STEPS.len() == NEWEST as usize, "one step per schema");

/// Brings the database up to the newest schema.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let session = Session::new(&tx);
    let found = known(session)?;
    for step in STEPS.iter().skip(found as usize) {
        session.script(step)?;
    }
    if found < 4 {
        append::bring_up(session)?;
    }
    if found < 5 {
        resource_group::bring_up(session)?;
    }
    if found < 7 {
        connection::bring_up(session)?;
    }
    if found < NEWEST {
        tx.pragma_update(None, "user_version", NEWEST).map_err(failed)?;
    }
    Ok(tx.commit().map_err(failed)?)
}

/// The database's schema, if this release knows it.
pub(crate) fn known(session: Session<'_>) -> Result<u32, StoreError> {
    let found = session.only("PRAGMA user_version", &[])?;
    if found > NEWEST { Err(StoreError::NewerSchema { found, known: NEWEST }) } else { Ok(found) }
}

/// An empty database of the newest schema, in memory.
pub(crate) fn fresh() -> Result<Connection, StoreError> {
    let mut fresh = Connection::open_in_memory().map_err(failed)?;
    migrate(&mut fresh)?;
    Ok(fresh)
}
