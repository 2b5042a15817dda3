//! AttachPolicyToGroup: attaches a policy to a group. Source: `docs/api/ram/AttachPolicyToGroup.json`.

use crate::api::ram::{AttachPolicyToGroup, AttachPolicyToGroupOutput};
use crate::operation::prelude::*;

use super::attachments::{GROUPS, attach};

impl Write for AttachPolicyToGroup {
    type Output = AttachPolicyToGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        attach(&GROUPS, &self.group_name, self.policy_type, &self.policy_name, call, tx)?;
        Ok(Self::Output {})
    }
}
