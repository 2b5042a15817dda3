//! What ends role sessions. Sessions are not stored: each carries, sealed in its token, the number
//! `sessions_from_ms` of every row that it depends on, and is over when one of these has another number.

use rusqlite::{OptionalExtension as _, params};
use tongguan_model::id::AccountId;

use crate::{Bearer, Snapshot, StoreError, Tx};

/// Whose sessions are ended.
#[derive(Debug, Clone, Copy)]
pub enum SessionsOf<'a> {
    /// Sessions of the account's roles, and those that its users made, wherever the role is.
    Account(&'a AccountId),
    /// Those that the user of this row made, and what came of them.
    User(i64),
    /// Those of the role of this row, and what came of them.
    Role(i64),
    /// Those that the access key of this id made, and what came of them.
    AccessKey(&'a str),
}

impl Snapshot<'_> {
    /// The number that sessions must have been made under that depend on this account; none if there is no such
    /// account, or it is disabled.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Forged`].
    pub fn account_sessions_from(&self, account: &AccountId) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT sessions_from_ms FROM account WHERE id = ?1 AND status = 'Active'";
        let mut statement = self.connection().prepare_cached(sql)?;
        let from = statement.query_row([account.as_str()], |row| row.get(0)).optional()?;
        if from.is_some() {
            self.vouch(Bearer::Account(account.as_str()))?;
        }
        Ok(from)
    }
}

impl Tx<'_> {
    /// Ends all sessions that were made before: another number is in force from now on. It never falls, whatever the
    /// clock does. Answers whether there is such a row.
    ///
    /// # Errors
    /// A database error.
    pub fn end_sessions(&self, of: SessionsOf<'_>, now_ms: i64) -> Result<bool, StoreError> {
        let set = "SET sessions_from_ms = max(sessions_from_ms + 1, ?2) WHERE";
        let run = |sql: &str, id: &dyn rusqlite::ToSql| -> Result<bool, StoreError> {
            Ok(self.connection().prepare_cached(sql)?.execute(params![id, now_ms])? > 0)
        };
        match of {
            SessionsOf::Account(account) => run(&format!("UPDATE account {set} id = ?1"), &account.as_str()),
            SessionsOf::User(seq) => run(&format!("UPDATE ram_user {set} seq = ?1"), &seq),
            SessionsOf::Role(seq) => run(&format!("UPDATE ram_role {set} seq = ?1"), &seq),
            SessionsOf::AccessKey(id) => run(&format!("UPDATE access_key {set} id = ?1"), &id),
        }
    }
}
