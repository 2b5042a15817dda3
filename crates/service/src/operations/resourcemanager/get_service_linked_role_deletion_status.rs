//! GetServiceLinkedRoleDeletionStatus: shows how far the removal of a service-linked role has come.
//!
//! Source: `docs/api/resourcemanager/GetServiceLinkedRoleDeletionStatus.json`. A task is
//! remembered for a day, and of one role the last hundred.

use crate::api::resourcemanager::{
    GetServiceLinkedRoleDeletionStatus, GetServiceLinkedRoleDeletionStatusOutput,
    GetServiceLinkedRoleDeletionStatusReason as ReasonInfo,
    GetServiceLinkedRoleDeletionStatusReasonRoleUsagesRoleUsage as RoleUsageInfo,
};
use crate::operation::prelude::*;
use crate::operations::ram::service_linked::{Reason, RoleUsage, TASK_KEPT_MS};

impl From<RoleUsage> for RoleUsageInfo {
    fn from(usage: RoleUsage) -> Self {
        let resources = usage.resources.resource.into_iter().map(Into::into).collect();
        Self { region: usage.region.into(), resources }
    }
}

impl From<Reason> for ReasonInfo {
    fn from(reason: Reason) -> Self {
        let usages = reason.role_usages.role_usage.into_iter().map(Into::into).collect();
        Self { message: reason.message.into(), role_usages: usages }
    }
}

impl Read for GetServiceLinkedRoleDeletionStatus {
    type Output = GetServiceLinkedRoleDeletionStatusOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let task = snapshot.role_deletion(&call.principal.account, &self.deletion_task_id)?;
        let task = task.filter(|task| task.created_ms > call.now_ms.saturating_sub(TASK_KEPT_MS));
        let Some(task) = task else {
            let why = "No deletion of a role has this id.";
            return Err(Refusal::new(&c::ROLE_NOT_FOUND).because(why).into());
        };
        let reason = task.reason.as_deref().map(serde_json::from_str::<Reason>).transpose();
        let reason = reason.map_err(|error| Failure::Internal(format!("reason of {}: {error}", task.id)))?;
        Ok(Self::Output { status: task.status.as_str().into(), reason: reason.map(Into::into) })
    }
}
