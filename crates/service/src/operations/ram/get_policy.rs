//! GetPolicy: shows a policy and its version in force. Source: `docs/api/ram/GetPolicy.json`.

use crate::api::ram::{GetPolicy, GetPolicyOutput, PolicyInfo};
use crate::operation::prelude::*;

use super::policies;

impl Read for GetPolicy {
    type Output = GetPolicyOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let policy = policies::find(snapshot, account, self.policy_type, &self.policy_name)?;
        let version = policy.version(snapshot, None)?;
        let policy_document = Some(version.policy_document.clone());
        Ok(Self::Output {
            policy: PolicyInfo { policy_document, ..policy.shown(snapshot, account)? },
            default_policy_version: version,
        })
    }
}
