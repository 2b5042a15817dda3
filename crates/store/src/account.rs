//! Accounts: who owns everything else.

use rusqlite::{OptionalExtension as _, Row, params};
use tongguan_model::id::AccountId;

use crate::{Bearer, Snapshot, StoreError, Tx};

/// An account as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Sixteen decimal digits.
    pub id: AccountId,
    /// For people; may be empty.
    pub name: String,
    /// Whether its keys and sessions may be used.
    pub active: bool,
    /// When it was made, UNIX milliseconds.
    pub created_ms: i64,
    /// RAM users that it has.
    pub users: u64,
    /// Gateways that it has.
    pub gateways: u64,
}

const ACCOUNT: &str = "SELECT id, name, status = 'Active', created_ms, \
    (SELECT count(*) FROM ram_user WHERE account = account.id), \
    (SELECT count(*) FROM vpn_gateway WHERE account = account.id) FROM account";

fn account(row: &Row<'_>) -> rusqlite::Result<AccountRow> {
    Ok(AccountRow {
        id: AccountId::new(row.get::<_, String>(0)?),
        name: row.get(1)?,
        active: row.get(2)?,
        created_ms: row.get(3)?,
        users: row.get::<_, i64>(4)?.max(0).cast_unsigned(),
        gateways: row.get::<_, i64>(5)?.max(0).cast_unsigned(),
    })
}

impl Snapshot<'_> {
    /// Every account, the oldest first.
    ///
    /// # Errors
    /// A database error, as for every query below.
    pub fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        let sql = format!("{ACCOUNT} ORDER BY created_ms, id");
        let mut statement = self.connection().prepare_cached(&sql)?;
        let rows = statement.query_map([], account)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The account of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn account(&self, id: &AccountId) -> Result<Option<AccountRow>, StoreError> {
        let sql = format!("{ACCOUNT} WHERE id = ?1");
        Ok(self.connection().prepare_cached(&sql)?.query_row([id.as_str()], account).optional()?)
    }

    /// Whether the account may be used.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`].
    pub fn account_active(&self, id: &AccountId) -> Result<bool, StoreError> {
        let sql = "SELECT status = 'Active' FROM account WHERE id = ?1";
        let active = self.connection().prepare_cached(sql)?.query_row([id.as_str()], |row| row.get(0));
        let Some(active) = active.optional()? else { return Ok(false) };
        self.vouch(Bearer::Account(id.as_str()))?;
        Ok(active)
    }
}

impl Tx<'_> {
    /// Stores a new account.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_account(&self, id: &AccountId, name: &str, now_ms: i64) -> Result<(), StoreError> {
        self.connection()
            .prepare_cached("INSERT INTO account (id, name, created_ms) VALUES (?1, ?2, ?3)")?
            .execute(params![id.as_str(), name, now_ms])?;
        Ok(())
    }

    /// Makes an account usable or not; answers whether there is one of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn set_account_active(&self, id: &AccountId, active: bool) -> Result<bool, StoreError> {
        let status = if active { "Active" } else { "Disabled" };
        let changed = self
            .connection()
            .prepare_cached("UPDATE account SET status = ?2 WHERE id = ?1")?
            .execute(params![id.as_str(), status])?;
        Ok(changed > 0)
    }
}
