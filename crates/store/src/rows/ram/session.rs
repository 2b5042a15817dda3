//! What ends role sessions. Sessions are not stored: each carries, sealed in its token, the number
//! `sessions_from_ms` of every row that it depends on, and is over when one of these has another number.

use tongguan_model::id::AccountId;

use crate::session::AsBind as _;
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
        let from = self.session.one(sql, &binds![account])?;
        if from.is_some() {
            self.vouch(Bearer::Account(account.as_str()))?;
        }
        Ok(from)
    }
}

impl Tx<'_> {
    /// Ends all sessions that were made before: another number is in force from now on. It never falls, whatever the
    /// clock does. Returns whether there is such a row.
    ///
    /// # Errors
    /// A database error.
    pub fn end_sessions(&self, of: SessionsOf<'_>, now_ms: i64) -> Result<bool, StoreError> {
        const SET: &str = "SET sessions_from_ms = CASE WHEN sessions_from_ms >= ?2 THEN sessions_from_ms + 1 ELSE ?2 END WHERE";
        match of {
            SessionsOf::Account(account) => self.rights_changed(account)?,
            SessionsOf::User(seq) => self.rights_changed_of_user(seq)?,
            SessionsOf::Role(seq) => self.rights_changed_of_role(seq)?,
            SessionsOf::AccessKey(id) => self.rights_changed_of_key(id)?,
        }
        let (sql, id) = match &of {
            SessionsOf::Account(account) => (sql!("UPDATE account ", SET, " id = ?1"), account.bind()),
            SessionsOf::User(seq) => (sql!("UPDATE ram_user ", SET, " seq = ?1"), seq.bind()),
            SessionsOf::Role(seq) => (sql!("UPDATE ram_role ", SET, " seq = ?1"), seq.bind()),
            SessionsOf::AccessKey(id) => (sql!("UPDATE access_key ", SET, " id = ?1"), id.bind()),
        };
        Ok(self.session.execute(sql, &binds![id, now_ms])? > 0)
    }
}
