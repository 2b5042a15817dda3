//! DetachPolicyFromGroup: takes a policy away from a group. Source: `docs/api/ram/DetachPolicyFromGroup.json`.

use crate::api::ram::{DetachPolicyFromGroup, DetachPolicyFromGroupOutput};
use crate::operation::prelude::*;

use super::attachments::{GROUPS, detach};

impl Write for DetachPolicyFromGroup {
    type Output = DetachPolicyFromGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        detach(&GROUPS, &self.group_name, self.policy_type, &self.policy_name, call, tx)?;
        Ok(Self::Output {})
    }
}
