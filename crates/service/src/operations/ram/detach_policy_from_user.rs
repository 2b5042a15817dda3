//! DetachPolicyFromUser: takes a policy away from a user. Source: `docs/api/ram/DetachPolicyFromUser.json`.

use crate::api::ram::{DetachPolicyFromUser, DetachPolicyFromUserOutput};
use crate::operation::prelude::*;

use super::attachments::{USERS, detach};

impl Write for DetachPolicyFromUser {
    type Output = DetachPolicyFromUserOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        detach(&USERS, &self.user_name, self.policy_type, &self.policy_name, call, tx)?;
        Ok(Self::Output {})
    }
}
