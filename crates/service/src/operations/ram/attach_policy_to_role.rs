//! AttachPolicyToRole: attaches a policy to a role. Source: `docs/api/ram/AttachPolicyToRole.json`.

use crate::api::ram::{AttachPolicyToRole, AttachPolicyToRoleOutput};
use crate::operation::prelude::*;

use super::attachments::{ROLES, attach};

impl Write for AttachPolicyToRole {
    type Output = AttachPolicyToRoleOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        attach(&ROLES, &self.role_name, self.policy_type, &self.policy_name, call, tx)?;
        Ok(Self::Output {})
    }
}
