//! DeleteServiceLinkedRole: writes down that a service-linked role is to be removed; the engine decides.
//!
//! Source: `docs/api/resourcemanager/DeleteServiceLinkedRole.json`. While a removal is not decided, a further call
//! answers the same task.

use crate::api::resourcemanager::{DeleteServiceLinkedRole, DeleteServiceLinkedRoleOutput};
use crate::operation::prelude::*;
use crate::operations::ram::service_linked;

impl Write for DeleteServiceLinkedRole {
    type Output = DeleteServiceLinkedRoleOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let Some(role) = tx.role(&call.principal.account, &self.role_name)? else {
            return Err((&c::ROLE_NOT_FOUND).into());
        };
        let Some(service) = &role.service else {
            let why = "The role of this name is not linked to a service.";
            return Err(Refusal::new(&c::ROLE_NOT_FOUND).because(why).into());
        };
        let task = service_linked::deletion_task(service, &role, tx, call.now_ms)?;
        Ok(Self::Output { deletion_task_id: task.into() })
    }
}
