//! SetDefaultPolicyVersion: puts a version of a custom policy in force, for all that it is attached to.
//!
//! Source: `docs/api/ram/SetDefaultPolicyVersion.json`.

use crate::api::ram::{SetDefaultPolicyVersion, SetDefaultPolicyVersionOutput};
use crate::operation::prelude::*;

use super::policies;

impl Write for SetDefaultPolicyVersion {
    type Output = SetDefaultPolicyVersionOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let policy = policies::custom(tx, &call.principal.account, &self.policy_name)?;
        if tx.policy_version(policy.seq, self.version_id)?.is_none() {
            return Err((&c::VERSION_NOT_FOUND).into());
        }
        tx.set_default_version(&policy, self.version_id, call.now_ms)?;
        Ok(Self::Output {})
    }
}
