//! ListPolicyVersions: lists the versions of a policy, oldest first. Source: `docs/api/ram/ListPolicyVersions.json`.

use crate::api::ram::{ListPolicyVersions, ListPolicyVersionsOutput};
use crate::operation::prelude::*;

use super::policies;

impl Read for ListPolicyVersions {
    type Output = ListPolicyVersionsOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let policy = policies::find(snapshot, &call.principal.account, self.policy_type, &self.policy_name)?;
        Ok(Self::Output { policy_versions: policy.versions(snapshot)? })
    }
}
