//! Access keys.

use rusqlite::{OptionalExtension as _, Row, params};
use tongguan_model::id::AccountId;

use crate::rows::Relation;
use crate::{Bearer, Snapshot, StoreError, Tx};

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
    /// What sessions that the key made must have been made under.
    pub sessions_from: SessionsFrom,
}

/// The numbers of [`Tx::end_sessions`] of an access key and of whom it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionsFrom {
    /// Of the account.
    pub account: i64,
    /// Of the user; 0 without one.
    pub user: i64,
    /// Of the key.
    pub key: i64,
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

/// An access key as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKeyRow {
    /// Access key id.
    pub id: String,
    /// Whether the key may be used.
    pub active: bool,
    /// When it was made, UNIX milliseconds.
    pub created_ms: i64,
    /// When it last signed a call that was taken, UNIX milliseconds, and of which product; none: never.
    pub used: Option<(i64, String)>,
}

/// A new access key.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// Access key id.
    pub id: &'a str,
    /// Account.
    pub account: &'a AccountId,
    /// Row of the user who owns it; none: the account itself.
    pub user: Option<i64>,
    /// Its secret, sealed.
    pub sealed_secret: &'a [u8],
    /// When it is made, UNIX milliseconds.
    pub created_ms: i64,
}

const OWN: &str = "SELECT id, status = 'Active', created_ms, used_ms, used_for FROM access_key \
     WHERE account = ?1 AND user IS ?2";

fn own(row: &Row<'_>) -> rusqlite::Result<OwnKeyRow> {
    let used_ms: Option<i64> = row.get(3)?;
    let used_for: Option<String> = row.get(4)?;
    Ok(OwnKeyRow {
        id: row.get(0)?,
        active: row.get(1)?,
        created_ms: row.get(2)?,
        used: used_ms.map(|ms| (ms, used_for.unwrap_or_default())),
    })
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "an access key and its user are of one account",
    "SELECT k.id FROM access_key k JOIN ram_user u ON u.seq = k.user WHERE u.account <> k.account",
)];

impl Snapshot<'_> {
    /// Whether there is any access key.
    ///
    /// # Errors
    /// A database error.
    pub fn has_access_keys(&self) -> Result<bool, StoreError> {
        Ok(self.number("SELECT EXISTS (SELECT 1 FROM access_key)", [])? > 0)
    }

    /// The access keys of a user, or without one the account's own, in the order of creation.
    ///
    /// # Errors
    /// A database error.
    pub fn keys_of(&self, account: &AccountId, user: Option<i64>) -> Result<Vec<OwnKeyRow>, StoreError> {
        let mut statement = self.connection().prepare_cached(&format!("{OWN} ORDER BY created_ms, id"))?;
        let rows = statement.query_map(params![account.as_str(), user], own)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many access keys a user, or without one the account itself, has.
    ///
    /// # Errors
    /// A database error.
    pub fn key_count(&self, account: &AccountId, user: Option<i64>) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM access_key WHERE account = ?1 AND user IS ?2";
        let mut statement = self.connection().prepare_cached(sql)?;
        let count: i64 = statement.query_row(params![account.as_str(), user], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    /// The access key of this id if it is the user's, or without one the account's own.
    ///
    /// # Errors
    /// A database error.
    pub fn key_of(
        &self,
        account: &AccountId,
        user: Option<i64>,
        id: &str,
    ) -> Result<Option<OwnKeyRow>, StoreError> {
        let mut statement = self.connection().prepare_cached(&format!("{OWN} AND id = ?3"))?;
        Ok(statement.query_row(params![account.as_str(), user, id], own).optional()?)
    }

    /// The access key of this id, whoever owns it: for the gate.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`] for the key, its user or its account.
    pub fn access_key(&self, id: &str) -> Result<Option<AccessKeyRow>, StoreError> {
        let sql = "SELECT k.id, k.account, k.sealed_secret, k.status = 'Active' AND a.status = 'Active', \
                   u.seq, u.name, u.id, a.sessions_from_ms, coalesce(u.sessions_from_ms, 0), k.sessions_from_ms \
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
                sessions_from: SessionsFrom { account: row.get(7)?, user: row.get(8)?, key: row.get(9)? },
            })
        });
        let row: Option<AccessKeyRow> = row.optional()?;
        if let Some(row) = &row {
            self.vouch(Bearer::Key(id))?;
            self.vouch(Bearer::Account(row.account.as_str()))?;
            if let KeyOwner::User { seq, .. } = &row.owner {
                self.vouch(Bearer::User(*seq))?;
            }
        }
        Ok(row)
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
    /// Stores an access key, replacing the secret of one that exists.
    ///
    /// # Errors
    /// A database error.
    pub fn put_access_key(
        &self,
        id: &str,
        account: &AccountId,
        sealed_secret: &[u8],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO access_key (id, account, sealed_secret, created_ms) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (id) DO UPDATE SET sealed_secret = excluded.sealed_secret, account = excluded.account",
            params![id, account.as_str(), sealed_secret, now_ms],
        )
    }

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

    /// Stores a new access key, active.
    ///
    /// # Errors
    /// A database error, also if there is a key of the id.
    pub fn insert_key(&self, key: &NewKey<'_>) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO access_key (id, account, user, sealed_secret, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![key.id, key.account.as_str(), key.user, key.sealed_secret, key.created_ms],
        )
    }

    /// Allows or forbids the use of an access key.
    ///
    /// # Errors
    /// A database error.
    pub fn set_key_active(&self, id: &str, active: bool) -> Result<(), StoreError> {
        let status = if active { "Active" } else { "Inactive" };
        self.execute("UPDATE access_key SET status = ?2 WHERE id = ?1", params![id, status])
    }

    /// Removes an access key with its secret.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_key(&self, id: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM access_key WHERE id = ?1", [id])
    }
}
