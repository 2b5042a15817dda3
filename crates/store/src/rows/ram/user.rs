//! RAM users.

use tongguan_model::id::AccountId;

use super::folded;
use crate::rows::Table as _;
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

table! {
    UserRow as user in "ram_user" {
        both { id, account, name, display_name, mobile_phone, email, comments, created_ms, updated_ms }
        read { seq }
        write { folded = folded(&user.name) }
    }
}

impl Snapshot<'_> {
    /// The account's user of this name.
    ///
    /// # Errors
    /// A database error, as for every query of this module.
    pub fn user(&self, account: &AccountId, name: &str) -> Result<Option<UserRow>, StoreError> {
        self.session
            .one(sql!(UserRow::SELECT, " WHERE account = ?1 AND folded = ?2"), &binds![account, folded(name)])
    }

    /// The account's user of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn user_by_id(&self, account: &AccountId, id: &str) -> Result<Option<UserRow>, StoreError> {
        self.session.one(sql!(UserRow::SELECT, " WHERE account = ?1 AND id = ?2"), &binds![account, id])
    }

    /// The account's users after this place in the order of creation, at most `most` of them.
    ///
    /// # Errors
    /// A database error.
    pub fn users(&self, account: &AccountId, after: i64, most: u64) -> Result<Vec<UserRow>, StoreError> {
        let sql = sql!(UserRow::SELECT, " WHERE account = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
        self.session.all(sql, &binds![account, after, most])
    }

    /// Whether a policy is attached to the user.
    ///
    /// # Errors
    /// A database error.
    pub fn user_has_policies(&self, user: i64) -> Result<bool, StoreError> {
        self.session.only("SELECT EXISTS (SELECT 1 FROM ram_attachment WHERE user_seq = ?1)", &binds![user])
    }
}

impl Tx<'_> {
    /// Stores a new user.
    ///
    /// # Errors
    /// A database error, also if the account has a user of the name.
    pub fn insert_user(&self, user: &UserRow) -> Result<(), StoreError> {
        self.rights_changed(&user.account)?;
        insert(self.session, user)?;
        self.count("ram_user", &user.account, "", 1)
    }

    /// Stores a user's name, texts and time of change; all else stays.
    ///
    /// # Errors
    /// A database error, also if the account has another user of the name.
    pub fn update_user(&self, user: &UserRow) -> Result<(), StoreError> {
        self.rights_changed_of_user(user.seq)?;
        update!(self.session, "ram_user" {
            name: user.name,
            folded: folded(&user.name),
            display_name: user.display_name,
            mobile_phone: user.mobile_phone,
            email: user.email,
            comments: user.comments,
            updated_ms: user.updated_ms,
        } where { seq: user.seq })?;
        Ok(())
    }

    /// Removes a user.
    ///
    /// # Errors
    /// A database error, also if it has keys, groups or policies.
    pub fn delete_user(&self, user: &UserRow) -> Result<(), StoreError> {
        self.rights_changed(&user.account)?;
        self.execute("DELETE FROM ram_user WHERE seq = ?1", &binds![user.seq])?;
        self.count("ram_user", &user.account, "", -1)
    }
}
