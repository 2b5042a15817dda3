//! Access keys.

use rusqlite::{OptionalExtension as _, params};
use tongguan_model::id::AccountId;

use crate::{Snapshot, StoreError, Tx};

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

    /// The account of the access key of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn account_of_access_key(&self, id: &str) -> Result<Option<AccountId>, StoreError> {
        let sql = "SELECT account FROM access_key WHERE id = ?1";
        let account = self.connection().prepare_cached(sql)?.query_row([id], |row| row.get::<_, String>(0));
        Ok(account.optional()?.map(AccountId::new))
    }
}

impl Tx<'_> {
    /// Notes when an access key last signed a call, and of which product.
    ///
    /// # Errors
    /// A database error.
    pub fn access_key_used(&self, id: &str, used_ms: i64, used_for: &str) -> Result<(), StoreError> {
        self.connection()
            .prepare_cached(
                "UPDATE access_key SET used_ms = ?2, used_for = ?3 WHERE id = ?1 AND coalesce(used_ms, 0) < ?2",
            )?
            .execute(params![id, used_ms, used_for])?;
        Ok(())
    }
}
