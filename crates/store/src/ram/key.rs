//! Access keys.

use rusqlite::OptionalExtension as _;
use tongguan_model::id::AccountId;

use crate::{Snapshot, StoreError};

/// An access key with all that its use depends on.
#[derive(Debug, Clone)]
pub struct AccessKeyRow {
    /// Access key id.
    pub id: String,
    /// Account that it belongs to.
    pub account: AccountId,
    /// Its secret, sealed.
    pub sealed_secret: Vec<u8>,
    /// Whether the key and its account may be used.
    pub active: bool,
    /// Whose it is.
    pub owner: KeyOwner,
}

/// Whose an access key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOwner {
    /// The account's own.
    Root,
    /// A RAM user's.
    User {
        /// The user's row.
        seq: i64,
        /// Name.
        name: String,
        /// Decimal id.
        id: String,
    },
}

impl Snapshot<'_> {
    /// The access key of this id, whoever owns it: for the gate.
    ///
    /// # Errors
    /// A database error.
    pub fn access_key(&self, id: &str) -> Result<Option<AccessKeyRow>, StoreError> {
        let sql = "SELECT k.id, k.account, k.sealed_secret, k.status = 'Active' AND a.status = 'Active', \
                   u.seq, u.name, u.id \
                   FROM access_key k JOIN account a ON a.id = k.account LEFT JOIN ram_user u ON u.seq = k.user \
                   WHERE k.id = ?1";
        let row = self.connection().prepare_cached(sql)?.query_row([id], |row| {
            let owner = match row.get(4)? {
                None => KeyOwner::Root,
                Some(seq) => KeyOwner::User { seq, name: row.get(5)?, id: row.get(6)? },
            };
            Ok(AccessKeyRow {
                id: row.get(0)?,
                account: AccountId::new(row.get::<_, String>(1)?),
                sealed_secret: row.get(2)?,
                active: row.get(3)?,
                owner,
            })
        });
        Ok(row.optional()?)
    }
}
