//! Roles.

use rusqlite::{OptionalExtension as _, Row, params};
use tongguan_model::id::AccountId;

use super::folded;
use crate::{Snapshot, StoreError, Tx};

/// A role as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// Place in the order of creation; of no meaning in a row that is to be inserted.
    pub seq: i64,
    /// Decimal id.
    pub id: String,
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account without regard to case.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Trust policy: the document as it was given.
    pub trust: String,
    /// Longest session, seconds.
    pub max_session_seconds: u32,
    /// Service of a service-linked role; none for all others.
    pub service: Option<String>,
    /// When it was made, UNIX milliseconds.
    pub created_ms: i64,
    /// When it was last changed, UNIX milliseconds.
    pub updated_ms: i64,
}

const COLUMNS: &str =
    "seq, id, account, name, description, trust, max_session_seconds, service, created_ms, updated_ms";

fn role(row: &Row<'_>) -> rusqlite::Result<RoleRow> {
    Ok(RoleRow {
        seq: row.get(0)?,
        id: row.get(1)?,
        account: AccountId::new(row.get::<_, String>(2)?),
        name: row.get(3)?,
        description: row.get(4)?,
        trust: row.get(5)?,
        max_session_seconds: row.get(6)?,
        service: row.get(7)?,
        created_ms: row.get(8)?,
        updated_ms: row.get(9)?,
    })
}

impl Snapshot<'_> {
    /// The account's role of this name.
    ///
    /// # Errors
    /// A database error.
    pub fn role(&self, account: &AccountId, name: &str) -> Result<Option<RoleRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ram_role WHERE account = ?1 AND folded = ?2");
        let mut statement = self.connection().prepare_cached(&sql)?;
        Ok(statement.query_row(params![account.as_str(), folded(name)], role).optional()?)
    }

    /// The role of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn role_by_id(&self, id: &str) -> Result<Option<RoleRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ram_role WHERE id = ?1");
        Ok(self.connection().prepare_cached(&sql)?.query_row([id], role).optional()?)
    }
}

impl Tx<'_> {
    /// Stores a new role.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_role(&self, role: &RoleRow) -> Result<(), StoreError> {
        self.connection()
            .prepare_cached(
                "INSERT INTO ram_role (id, account, name, folded, description, trust, max_session_seconds, service, \
                 created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                role.id,
                role.account.as_str(),
                role.name,
                folded(&role.name),
                role.description,
                role.trust,
                role.max_session_seconds,
                role.service,
                role.created_ms,
                role.updated_ms
            ])?;
        self.count("ram_role", &role.account, "", 1)
    }
}
