//! Deletions of service-linked roles, as tasks.

use rusqlite::{OptionalExtension as _, Row, params};
use tongguan_model::id::{AccountId, VpnGatewayId};
use tongguan_model::wire_enum;

use crate::{Snapshot, StoreError, Tx};

wire_enum! {
    /// How far the deletion of a service-linked role has come.
    pub enum DeletionStatus {
        /// Not decided yet.
        InProgress = "IN_PROGRESS",
        /// The role is gone.
        Succeeded = "SUCCEEDED",
        /// The role is in use, and stays.
        Failed = "FAILED",
        /// It could not be decided.
        InternalError = "INTERNAL_ERROR",
    }
}

/// The deletion of a service-linked role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDeletion {
    /// Id of the task.
    pub id: String,
    /// Account.
    pub account: AccountId,
    /// Name of the role, as it was stored.
    pub role: String,
    /// How far it has come.
    pub status: DeletionStatus,
    /// Why it failed: a JSON object as it is answered.
    pub reason: Option<String>,
    /// When it was asked for, UNIX milliseconds.
    pub created_ms: i64,
}

const COLUMNS: &str = "id, account, role, status, reason, created_ms";

fn deletion(row: &Row<'_>) -> rusqlite::Result<RoleDeletion> {
    Ok(RoleDeletion {
        id: row.get(0)?,
        account: AccountId::new(row.get::<_, String>(1)?),
        role: row.get(2)?,
        status: crate::query::word(row, 3, DeletionStatus::parse)?,
        reason: row.get(4)?,
        created_ms: row.get(5)?,
    })
}

impl Snapshot<'_> {
    /// The deletion of this id, whoever asked for it: for the engine.
    ///
    /// # Errors
    /// A database error.
    pub fn role_deletion_of_any_account(&self, id: &str) -> Result<Option<RoleDeletion>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ram_role_deletion WHERE id = ?1");
        Ok(self.connection().prepare_cached(&sql)?.query_row([id], deletion).optional()?)
    }

    /// The account's deletion of this id.
    ///
    /// # Errors
    /// A database error.
    pub fn role_deletion(&self, account: &AccountId, id: &str) -> Result<Option<RoleDeletion>, StoreError> {
        Ok(self.role_deletion_of_any_account(id)?.filter(|deletion| deletion.account == *account))
    }

    /// The latest deletion of a role that is remembered.
    ///
    /// # Errors
    /// A database error.
    pub fn latest_role_deletion(
        &self,
        account: &AccountId,
        role: &str,
    ) -> Result<Option<RoleDeletion>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM ram_role_deletion WHERE account = ?1 AND role = ?2 \
             ORDER BY created_ms DESC, status = 'IN_PROGRESS' DESC, id LIMIT 1"
        );
        let mut statement = self.connection().prepare_cached(&sql)?;
        Ok(statement.query_row(params![account.as_str(), role], deletion).optional()?)
    }

    /// The account's gateways that hold a certificate, whatever its state, each with its region: at most
    /// `limit`, by region.
    ///
    /// # Errors
    /// A database error.
    pub fn gateways_with_bindings(
        &self,
        account: &AccountId,
        limit: u32,
    ) -> Result<Vec<(String, VpnGatewayId)>, StoreError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT DISTINCT region, gateway FROM binding WHERE account = ?1 ORDER BY region, gateway LIMIT ?2",
        )?;
        let rows = statement.query_map(params![account.as_str(), limit], |row| {
            Ok((row.get(0)?, VpnGatewayId::new(row.get::<_, String>(1)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// Writes down that a role is to be deleted.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_role_deletion(&self, deletion: &RoleDeletion) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO ram_role_deletion (id, account, role, status, reason, created_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                deletion.id,
                deletion.account.as_str(),
                deletion.role,
                deletion.status.as_str(),
                deletion.reason,
                deletion.created_ms
            ],
        )
    }

    /// Forgets the oldest ended deletions of a role: `keep` stay.
    ///
    /// # Errors
    /// A database error.
    pub fn trim_role_deletions(&self, account: &AccountId, role: &str, keep: u32) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM ram_role_deletion WHERE id IN (SELECT id FROM ram_role_deletion \
             WHERE account = ?1 AND role = ?2 AND status <> 'IN_PROGRESS' \
             ORDER BY created_ms DESC, id LIMIT -1 OFFSET ?3)",
            params![account.as_str(), role, keep],
        )
    }

    /// Writes down what a deletion came to.
    ///
    /// # Errors
    /// A database error.
    pub fn end_role_deletion(
        &self,
        id: &str,
        status: DeletionStatus,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE ram_role_deletion SET status = ?2, reason = ?3 WHERE id = ?1",
            params![id, status.as_str(), reason],
        )
    }

    /// Forgets deletions that were asked for before `before_ms` and have ended, at most `batch` of them. Answers how
    /// many.
    ///
    /// # Errors
    /// A database error.
    pub fn expire_role_deletions(&self, before_ms: i64, batch: u32) -> Result<usize, StoreError> {
        let mut statement = self.connection().prepare_cached(
            "DELETE FROM ram_role_deletion WHERE id IN (SELECT id FROM ram_role_deletion \
             WHERE created_ms < ?1 AND status <> 'IN_PROGRESS' ORDER BY created_ms LIMIT ?2)",
        )?;
        Ok(statement.execute(params![before_ms, batch])?)
    }
}
