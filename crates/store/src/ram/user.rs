//! RAM users.

use rusqlite::{OptionalExtension as _, Row, params};
use tongguan_model::id::AccountId;

use super::folded;
use crate::{Snapshot, StoreError, Tx};

/// A RAM user as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Place in the order of creation; of no meaning in a row that is to be inserted.
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

pub(super) const COLUMNS: &str =
    "seq, id, account, name, display_name, mobile_phone, email, comments, created_ms, updated_ms";

pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<UserRow> {
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
    /// A database error, as for every query of this folder.
    pub fn user(&self, account: &AccountId, name: &str) -> Result<Option<UserRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ram_user WHERE account = ?1 AND folded = ?2");
        let mut statement = self.connection().prepare_cached(&sql)?;
        Ok(statement.query_row(params![account.as_str(), folded(name)], user).optional()?)
    }

    /// The account's user of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn user_by_id(&self, account: &AccountId, id: &str) -> Result<Option<UserRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ram_user WHERE account = ?1 AND id = ?2");
        let mut statement = self.connection().prepare_cached(&sql)?;
        Ok(statement.query_row(params![account.as_str(), id], user).optional()?)
    }

    /// The account's users after this place in the order of creation, at most `most` of them.
    ///
    /// # Errors
    /// A database error.
    pub fn users(&self, account: &AccountId, after: i64, most: u64) -> Result<Vec<UserRow>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM ram_user WHERE account = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
        let mut statement = self.connection().prepare_cached(&sql)?;
        let rows = statement.query_map(params![account.as_str(), after, most.cast_signed()], user)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether a policy is attached to the user.
    ///
    /// # Errors
    /// A database error.
    pub fn user_has_policies(&self, user: i64) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM ram_attachment WHERE user = ?1)";
        Ok(self.connection().prepare_cached(sql)?.query_row([user], |row| row.get(0))?)
    }
}

impl Tx<'_> {
    /// Stores a new user.
    ///
    /// # Errors
    /// A database error, also if the account has a user of the name.
    pub fn insert_user(&self, user: &UserRow) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO ram_user (id, account, name, folded, display_name, mobile_phone, email, comments, \
             created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                user.id,
                user.account.as_str(),
                user.name,
                folded(&user.name),
                user.display_name,
                user.mobile_phone,
                user.email,
                user.comments,
                user.created_ms,
                user.updated_ms
            ],
        )?;
        self.count("ram_user", &user.account, "", 1)
    }

    /// Stores a user's name, texts and time of change; all else stays.
    ///
    /// # Errors
    /// A database error, also if the account has another user of the name.
    pub fn update_user(&self, user: &UserRow) -> Result<(), StoreError> {
        self.execute(
            "UPDATE ram_user SET name = ?2, folded = ?3, display_name = ?4, mobile_phone = ?5, email = ?6, \
             comments = ?7, updated_ms = ?8 WHERE seq = ?1",
            params![
                user.seq,
                user.name,
                folded(&user.name),
                user.display_name,
                user.mobile_phone,
                user.email,
                user.comments,
                user.updated_ms
            ],
        )
    }

    /// Removes a user.
    ///
    /// # Errors
    /// A database error, also if it has keys, groups or policies.
    pub fn delete_user(&self, user: &UserRow) -> Result<(), StoreError> {
        self.execute("DELETE FROM ram_user WHERE seq = ?1", [user.seq])?;
        self.count("ram_user", &user.account, "", -1)
    }
}
