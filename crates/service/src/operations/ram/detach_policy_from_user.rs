//! DetachPolicyFromUser: takes a policy away from a user. Source: `docs/api/ram/DetachPolicyFromUser.json`.

use tongguan_store::Tx;

use crate::api::ram::{DetachPolicyFromUser, DetachPolicyFromUserOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::attachments::{USERS, detach};

impl Write for DetachPolicyFromUser {
    type Output = DetachPolicyFromUserOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        detach(&USERS, &self.user_name, self.policy_type, &self.policy_name, call, tx)?;
        Ok(Self::Output {})
    }
}
