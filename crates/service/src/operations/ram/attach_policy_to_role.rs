//! AttachPolicyToRole: attaches a policy to a role. Source: `docs/api/ram/AttachPolicyToRole.json`.

use tongguan_store::Tx;

use crate::api::ram::{AttachPolicyToRole, AttachPolicyToRoleOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::attachments::{ROLES, attach};

impl Write for AttachPolicyToRole {
    type Output = AttachPolicyToRoleOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        attach(&ROLES, &self.role_name, self.policy_type, &self.policy_name, call, tx)?;
        Ok(Self::Output {})
    }
}
