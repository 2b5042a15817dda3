//! GetRole: shows a role. Source: `docs/api/ram/GetRole.json`.

use tongguan_store::RoleDeletion;

use crate::api::ram::{GetRole, GetRoleOutput, GetRoleRoleLatestDeletionTask as DeletionTask, RoleInfo};
use crate::context::iso8601;
use crate::operation::prelude::*;

use super::roles;

impl Read for GetRole {
    type Output = GetRoleOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let role = roles::role(snapshot, &call.principal.account, &self.role_name)?;
        let task = match role.service {
            Some(_) => snapshot.latest_role_deletion(&role.account, &role.name)?,
            None => None,
        };
        let role = RoleInfo {
            is_service_linked_role: Some(role.service.is_some()),
            role_principal_name: Some(roles::principal_name(&role).into()),
            latest_deletion_task: task.map(shown),
            ..roles::with_trust(&role)
        };
        Ok(Self::Output { role })
    }
}

fn shown(task: RoleDeletion) -> DeletionTask {
    DeletionTask { create_date: iso8601(task.created_ms).into(), deletion_task_id: task.id.into() }
}
