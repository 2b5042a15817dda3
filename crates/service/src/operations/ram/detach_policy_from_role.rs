//! DetachPolicyFromRole: takes a policy away from a role. Source: `docs/api/ram/DetachPolicyFromRole.json`.

use crate::api::ram::{DetachPolicyFromRole, DetachPolicyFromRoleOutput};
use crate::operation::prelude::*;

use super::attachments::{ROLES, detach};

impl Write for DetachPolicyFromRole {
    type Output = DetachPolicyFromRoleOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        detach(&ROLES, &self.role_name, self.policy_type, &self.policy_name, call, tx)?;
        Ok(Self::Output {})
    }
}
