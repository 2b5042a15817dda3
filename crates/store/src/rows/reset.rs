//! Empties a database that was made for the test API, but for the accounts that a configuration names: a test begins
//! where the first one began.
//!
//! What the service knows of itself stays (its keys, seals, the number of its batches), and so does the audit record:
//! nothing that holds it can take a record away, and the emptying is one of its records.

use tongguan_model::id::AccountId;

use super::{Answer, Done};
use crate::{Snapshot, StoreError, Tx};

/// The tables that are emptied, what refers to others before them.
const EMPTIED: &[&str] = &[
    "vpn_route",
    "vpn_observation",
    "vpn_tunnel",
    "vpn_diagnosis",
    "vpn_connection",
    "customer_gateway",
    "binding",
    "address",
    "vpn_gateway",
    "vswitch",
    "vpc",
    "cas_csr",
    "certificate",
    "cas_certificate",
    "tag",
    "intent",
    "applied",
    "fault",
    "client_token",
    "ram_attachment",
    "ram_membership",
    "ram_policy_version",
    "ram_policy",
    "access_key",
    "ram_user",
    "ram_group",
    "ram_role",
    "ram_role_deletion",
    "resource_group",
    "tally",
    "account",
];

/// The tables that stay, each with the reason; a test compares both lists with the schema.
#[cfg(test)]
const STAYS: &[(&str, &str)] = &[
    ("audit", "no record is taken away"),
    ("audit_chain", "of the audit record"),
    ("audit_gap", "of the audit record"),
    ("audit_trimmed", "of the audit record"),
    ("lease", "of the process, which goes on"),
    ("node", "of the process, which goes on"),
    ("row_bucket", "follows from the seals, which follow from the rows"),
    ("row_seal", "follows from the rows"),
    ("service_key", "the service's own, in use"),
    ("store", "what the database knows of itself"),
];

/// What [`Tx::reset`] leaves.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Accounts that a configuration names: they are as at the first start.
    pub accounts: Vec<AccountId>,
    /// Access keys in the store that they keep, by id.
    pub keys: Vec<String>,
}

impl Snapshot<'_> {
    /// The account's own access key that was stored first, by id.
    ///
    /// # Errors
    /// A database error.
    pub fn first_root_key(&self, account: &AccountId) -> Answer<Option<String>> {
        let sql = "SELECT id FROM access_key WHERE account = ?1 AND user_seq IS NULL ORDER BY created_ms, id LIMIT 1";
        self.session.one(sql, &binds![account])
    }
}

impl Tx<'_> {
    /// Removes everything but what is kept.
    ///
    /// # Errors
    /// [`StoreError::NotForTests`] if the database was not made for that; a database error.
    pub fn reset(&self, kept: &Kept, now_ms: i64) -> Done {
        if self.test_ahead_ms()?.is_none() {
            return Err(StoreError::NotForTests);
        }
        self.all_rights_changed()?;
        // Rows that refer to others go with them, in one transaction: what is left is looked at when it ends.
        self.session
            .script(self.session.either("PRAGMA defer_foreign_keys = ON", "SET CONSTRAINTS ALL DEFERRED"))?;
        for table in EMPTIED {
            match *table {
                "access_key" => self.delete_but("access_key", &kept.keys)?,
                "account" => {
                    let accounts: Vec<&str> = kept.accounts.iter().map(AccountId::as_str).collect();
                    self.delete_but("account", &accounts)?;
                }
                table => self.execute(&format!("DELETE FROM {table}"), &[])?,
            }
        }
        for account in &kept.accounts {
            self.ensure_account(account, now_ms)?;
            self.set_account_active(account, true)?;
        }
        Ok(())
    }

    fn delete_but<T: AsRef<str>>(&self, table: &str, ids: &[T]) -> Done {
        let there: Vec<String> = self.session.all(&format!("SELECT id FROM {table}"), &[])?;
        for id in there.iter().filter(|id| !ids.iter().any(|kept| kept.as_ref() == *id)) {
            self.execute(&format!("DELETE FROM {table} WHERE id = ?1"), &binds![id])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::session::Session;
    use crate::sqlite::schema;

    #[test]
    fn every_table_is_emptied_or_stays_for_a_reason() {
        let fresh = schema::fresh().unwrap();
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        let there: BTreeSet<String> = Session::new(&fresh).all(sql, &[]).unwrap().into_iter().collect();
        let known = EMPTIED.iter().copied().chain(STAYS.iter().map(|(table, _)| *table));
        let listed: Vec<String> = known.map(str::to_owned).collect();
        assert_eq!(there, listed.iter().cloned().collect());
        assert_eq!(there.len(), listed.len(), "a table is listed twice");
    }
}
