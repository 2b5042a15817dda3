//! RAM users.

use rusqlite::{OptionalExtension as _, Row, params};
use tongguan_model::id::AccountId;

use super::folded;
use crate::{Snapshot, StoreError};

/// A RAM user as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Place in the order of creation.
    pub seq: i64,
    /// Decimal id.
    pub id: String,
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account without regard to case.
    pub name: String,
    /// Display name.
    pub display_name: String,
    /// Telephone number.
    pub mobile_phone: String,
    /// Mail address.
    pub email: String,
    /// Remarks.
    pub comments: String,
    /// When it was made, UNIX milliseconds.
    pub created_ms: i64,
    /// When it was last changed, UNIX milliseconds.
    pub updated_ms: i64,
}

const COLUMNS: &str =
    "seq, id, account, name, display_name, mobile_phone, email, comments, created_ms, updated_ms";

fn user(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    Ok(UserRow {
        seq: row.get(0)?,
        id: row.get(1)?,
        account: AccountId::new(row.get::<_, String>(2)?),
        name: row.get(3)?,
        display_name: row.get(4)?,
        mobile_phone: row.get(5)?,
        email: row.get(6)?,
        comments: row.get(7)?,
        created_ms: row.get(8)?,
        updated_ms: row.get(9)?,
    })
}

impl Snapshot<'_> {
    /// The account's user of this name.
    ///
    /// # Errors
    /// A database error, as for every question of this folder.
    pub fn user(&self, account: &AccountId, name: &str) -> Result<Option<UserRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ram_user WHERE account = ?1 AND folded = ?2");
        let mut statement = self.connection().prepare_cached(&sql)?;
        Ok(statement.query_row(params![account.as_str(), folded(name)], user).optional()?)
    }
}
