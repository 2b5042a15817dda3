//! Accounts: who owns everything else.

use tongguan_model::id::AccountId;

use super::table::Columns as _;
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

columns! {
    AccountRow {
        id, name, active = "status = 'Active'", created_ms,
        users = "(SELECT count(*) FROM ram_user WHERE account = account.id)",
        gateways = "(SELECT count(*) FROM vpn_gateway WHERE account = account.id)",
    }
}

impl Snapshot<'_> {
    /// The account that was made first.
    ///
    /// # Errors
    /// A database error.
    pub fn first_account(&self) -> Result<Option<AccountId>, StoreError> {
        self.session.one("SELECT id FROM account ORDER BY created_ms, id LIMIT 1", &[])
    }

    /// Every account, the oldest first.
    ///
    /// # Errors
    /// A database error, as for every query below.
    pub fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        self.session.all(sql!("SELECT ", AccountRow::COLUMNS, " FROM account ORDER BY created_ms, id"), &[])
    }

    /// The account of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn account(&self, id: &AccountId) -> Result<Option<AccountRow>, StoreError> {
        self.session.one(sql!("SELECT ", AccountRow::COLUMNS, " FROM account WHERE id = ?1"), &binds![id])
    }

    /// Whether the account may be used.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`].
    pub fn account_active(&self, id: &AccountId) -> Result<bool, StoreError> {
        let sql = "SELECT status = 'Active' FROM account WHERE id = ?1";
        let Some(active) = self.session.one(sql, &binds![id])? else { return Ok(false) };
        self.vouch(Bearer::Account(id.as_str()))?;
        Ok(active)
    }
}

impl Tx<'_> {
    /// Makes sure that the account has a row, and its default resource group.
    ///
    /// # Errors
    /// A database error, as for every change below.
    pub fn ensure_account(&self, account: &AccountId, now_ms: i64) -> Result<(), StoreError> {
        let row = insert!(
            self.session,
            "account" { id: account, created_ms: now_ms, epoch: now_ms } "ON CONFLICT DO NOTHING"
        );
        if row? > 0 {
            self.account_made(account)?;
        }
        self.insert_default_group(account, now_ms)
    }

    /// Stores a new account, with its default resource group.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_account(&self, id: &AccountId, name: &str, now_ms: i64) -> Result<(), StoreError> {
        insert!(self.session, "account" { id: id, name: name, created_ms: now_ms, epoch: now_ms })?;
        self.account_made(id)?;
        self.insert_default_group(id, now_ms)
    }

    /// Enables or disables an account; returns whether there is one of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn set_account_active(&self, id: &AccountId, active: bool) -> Result<bool, StoreError> {
        let status = if active { "Active" } else { "Disabled" };
        self.rights_changed(id)?;
        Ok(update!(self.session, "account" { status: status } where { id: id })? > 0)
    }
}
