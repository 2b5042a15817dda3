//! AttachPolicyToUser: attaches a policy to a user. Source: `docs/api/ram/AttachPolicyToUser.json`.

use crate::api::ram::{AttachPolicyToUser, AttachPolicyToUserOutput};
use crate::operation::prelude::*;

use super::attachments::{USERS, attach};

impl Write for AttachPolicyToUser {
    type Output = AttachPolicyToUserOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        attach(&USERS, &self.user_name, self.policy_type, &self.policy_name, call, tx)?;
        Ok(Self::Output {})
    }
}
