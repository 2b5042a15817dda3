//! DeletePolicyVersion: deletes a version that is not in force. Source: `docs/api/ram/DeletePolicyVersion.json`.

use crate::api::ram::{DeletePolicyVersion, DeletePolicyVersionOutput};
use crate::operation::prelude::*;

use super::policies;

impl Write for DeletePolicyVersion {
    type Output = DeletePolicyVersionOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let policy = policies::custom(tx, &call.principal.account, &self.policy_name)?;
        if tx.policy_version(policy.seq, self.version_id)?.is_none() {
            return Err((&c::VERSION_NOT_FOUND).into());
        }
        if self.version_id == policy.default_version {
            return Err((&c::VERSION_DEFAULT).into());
        }
        tx.delete_policy_version(&policy, self.version_id, call.now_ms)?;
        Ok(Self::Output {})
    }
}
