//! Deletions of service-linked roles, as tasks.

use tongguan_model::id::{AccountId, VpnGatewayId};
use tongguan_model::wire_enum;

use crate::rows::{Relation, Table as _};
use crate::{Snapshot, StoreError, Tx};

wire_enum! {
    /// How far the deletion of a service-linked role has come.
    pub enum DeletionStatus {
        /// Not decided yet.
        InProgress = "IN_PROGRESS",
        /// The role is deleted.
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
    /// When it was requested, UNIX milliseconds.
    pub created_ms: i64,
}

table! {
    RoleDeletion as deletion in "ram_role_deletion" {
        both { id, account, role, status, reason, created_ms }
    }
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "the deletion of a role that is not decided has an intent",
    "SELECT id FROM ram_role_deletion WHERE status = 'IN_PROGRESS' AND id NOT IN (SELECT resource FROM intent)",
)];

impl Snapshot<'_> {
    /// The deletion of this id, whoever requested it: for the engine.
    ///
    /// # Errors
    /// A database error.
    pub fn role_deletion_of_any_account(&self, id: &str) -> Result<Option<RoleDeletion>, StoreError> {
        self.session.one(sql!(RoleDeletion::SELECT, " WHERE id = ?1"), &binds![id])
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
        let sql = sql!(
            RoleDeletion::SELECT,
            " WHERE account = ?1 AND role = ?2 ORDER BY created_ms DESC, status = 'IN_PROGRESS' DESC, id LIMIT 1"
        );
        self.session.one(sql, &binds![account, role])
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
        let sql = "SELECT DISTINCT region, gateway FROM binding WHERE account = ?1 ORDER BY region, gateway LIMIT ?2";
        self.session.all(sql, &binds![account, limit])
    }
}

impl Tx<'_> {
    /// Writes down that a role is to be deleted.
    ///
    /// # Errors
    /// A database error.
    pub fn insert_role_deletion(&self, deletion: &RoleDeletion) -> Result<(), StoreError> {
        insert(self.session, deletion)
    }

    /// Purges the oldest ended deletions of a role; `keep` of them stay.
    ///
    /// # Errors
    /// A database error.
    pub fn trim_role_deletions(&self, account: &AccountId, role: &str, keep: u32) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM ram_role_deletion WHERE id IN (SELECT id FROM ram_role_deletion \
             WHERE account = ?1 AND role = ?2 AND status <> 'IN_PROGRESS' \
             ORDER BY created_ms DESC, id LIMIT 9223372036854775807 OFFSET ?3)",
            &binds![account, role, keep],
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
        update!(self.session, "ram_role_deletion" { status: status, reason: reason } where { id: id })?;
        Ok(())
    }

    /// Purges deletions that were requested before `before_ms` and have ended, at most `batch` of them. Returns how
    /// many.
    ///
    /// # Errors
    /// A database error.
    pub fn expire_role_deletions(&self, before_ms: i64, batch: u32) -> Result<usize, StoreError> {
        let sql = "DELETE FROM ram_role_deletion WHERE id IN (SELECT id FROM ram_role_deletion \
                   WHERE created_ms < ?1 AND status <> 'IN_PROGRESS' ORDER BY created_ms LIMIT ?2)";
        self.session.execute(sql, &binds![before_ms, batch])
    }
}
