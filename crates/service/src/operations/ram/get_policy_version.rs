//! GetPolicyVersion: shows a version of a policy. Source: `docs/api/ram/GetPolicyVersion.json`.
//!
//! Of a system policy only the version in force is known.

use crate::api::ram::{GetPolicyVersion, GetPolicyVersionOutput};
use crate::operation::prelude::*;

use super::policies;

impl Read for GetPolicyVersion {
    type Output = GetPolicyVersionOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let policy = policies::find(snapshot, &call.principal.account, self.policy_type, &self.policy_name)?;
        Ok(Self::Output { policy_version: policy.version(snapshot, Some(self.version_id))? })
    }
}
