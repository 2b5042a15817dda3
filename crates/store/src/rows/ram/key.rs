//! Access keys.

use tongguan_model::id::AccountId;

use crate::rows::{Columns as _, Relation};
use crate::session::{Cells, FromRow};
use crate::{Bearer, DatabaseError, Snapshot, StoreError, Tx};

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

/// Columns of [`OwnKeyRow`].
const OWN: &str = "id, status = 'Active', created_ms, used_ms, used_for";
/// Keys of one owner.
const OWNED: &str =
    sql!("SELECT ", OWN, " FROM access_key WHERE account = ?1 AND user_seq IS NOT DISTINCT FROM ?2");

impl FromRow for OwnKeyRow {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        let (id, active, created_ms) = cells.next()?;
        let (used_ms, used_for): (Option<i64>, Option<String>) = cells.next()?;
        Ok(Self { id, active, created_ms, used: used_ms.map(|ms| (ms, used_for.unwrap_or_default())) })
    }
}

columns! {
    SessionsFrom {
        account = "a.sessions_from_ms", user = "coalesce(u.sessions_from_ms, 0)", key = "k.sessions_from_ms",
    }
}

/// A key without a user is the account's own.
impl FromRow for KeyOwner {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        if cells.is_null()? {
            cells.skip(3);
            return Ok(Self::Root);
        }
        let (seq, name, id) = cells.next()?;
        Ok(Self::User { seq, name, id })
    }
}

columns! {
    AccessKeyRow {
        id = "k.id", account = "k.account", sealed_secret = "k.sealed_secret",
        active = "k.status = 'Active' AND a.status = 'Active'", owner = "u.seq, u.name, u.id",
        sessions_from = SessionsFrom::COLUMNS,
    }
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "an access key and its user are of one account",
    "SELECT k.id FROM access_key k JOIN ram_user u ON u.seq = k.user_seq WHERE u.account <> k.account",
)];

impl Snapshot<'_> {
    /// Whether there is any access key.
    ///
    /// # Errors
    /// A database error.
    pub fn has_access_keys(&self) -> Result<bool, StoreError> {
        Ok(self.number("SELECT EXISTS (SELECT 1 FROM access_key)", &[])? > 0)
    }

    /// The access keys of a user, or without one the account's own, in the order of creation.
    ///
    /// # Errors
    /// A database error.
    pub fn keys_of(&self, account: &AccountId, user: Option<i64>) -> Result<Vec<OwnKeyRow>, StoreError> {
        self.session.all(sql!(OWNED, " ORDER BY created_ms, id"), &binds![account, user])
    }

    /// How many access keys a user, or without one the account itself, has.
    ///
    /// # Errors
    /// A database error.
    pub fn key_count(&self, account: &AccountId, user: Option<i64>) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM access_key WHERE account = ?1 AND user_seq IS NOT DISTINCT FROM ?2";
        self.number(sql, &binds![account, user])
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
        self.session.one(sql!(OWNED, " AND id = ?3"), &binds![account, user, id])
    }

    /// The access key of this id, whoever owns it: for the gate.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`] for the key, its user or its account.
    pub fn access_key(&self, id: &str) -> Result<Option<AccessKeyRow>, StoreError> {
        let sql = sql!(
            "SELECT ",
            AccessKeyRow::COLUMNS,
            " FROM access_key k JOIN account a ON a.id = k.account \
             LEFT JOIN ram_user u ON u.seq = k.user_seq WHERE k.id = ?1"
        );
        let row: Option<AccessKeyRow> = self.session.one(sql, &binds![id])?;
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
        self.session.one("SELECT account FROM access_key WHERE id = ?1", &binds![id])
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
        // Whoever had it before has it no longer.
        self.rights_changed_of_key(id)?;
        self.rights_changed(account)?;
        insert!(
            self.session,
            "access_key" { id: id, account: account, sealed_secret: sealed_secret, created_ms: now_ms }
            "ON CONFLICT (id) DO UPDATE SET sealed_secret = excluded.sealed_secret, account = excluded.account"
        )?;
        Ok(())
    }

    /// Notes when an access key last signed a call, and of which product.
    ///
    /// # Errors
    /// A database error.
    pub fn access_key_used(&self, id: &str, used_ms: i64, used_for: &str) -> Result<(), StoreError> {
        self.execute(
            "UPDATE access_key SET used_ms = ?2, used_for = ?3 WHERE id = ?1 AND coalesce(used_ms, 0) < ?2",
            &binds![id, used_ms, used_for],
        )
    }

    /// Stores a new access key, active.
    ///
    /// # Errors
    /// A database error, also if there is a key of the id.
    pub fn insert_key(&self, key: &NewKey<'_>) -> Result<(), StoreError> {
        self.rights_changed(key.account)?;
        insert!(self.session, "access_key" {
            id: key.id,
            account: key.account,
            user_seq: key.user,
            sealed_secret: key.sealed_secret,
            created_ms: key.created_ms,
        })?;
        Ok(())
    }

    /// Allows or forbids the use of an access key.
    ///
    /// # Errors
    /// A database error.
    pub fn set_key_active(&self, id: &str, active: bool) -> Result<(), StoreError> {
        self.rights_changed_of_key(id)?;
        let status = if active { "Active" } else { "Inactive" };
        update!(self.session, "access_key" { status: status } where { id: id })?;
        Ok(())
    }

    /// Removes an access key with its secret.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_key(&self, id: &str) -> Result<(), StoreError> {
        self.rights_changed_of_key(id)?;
        self.execute("DELETE FROM access_key WHERE id = ?1", &binds![id])
    }
}
