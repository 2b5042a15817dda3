//! ListPolicyVersions: lists the versions of a policy, oldest first. Source: `docs/api/ram/ListPolicyVersions.json`.

use tongguan_store::Snapshot;

use crate::api::ram::{ListPolicyVersions, ListPolicyVersionsOutput};
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::policies;

impl Read for ListPolicyVersions {
    type Output = ListPolicyVersionsOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let policy = policies::find(snapshot, &call.principal.account, self.policy_type, &self.policy_name)?;
        Ok(Self::Output { policy_versions: policy.versions(snapshot)? })
    }
}
