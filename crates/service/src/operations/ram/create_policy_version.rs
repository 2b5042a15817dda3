//! CreatePolicyVersion: adds a version to a custom policy. Source: `docs/api/ram/CreatePolicyVersion.json`.
//!
//! Numbers count up and are not used again.

use tongguan_model::wire_enum;
use tongguan_store::{PolicyRow, PolicyVersionRow};

use crate::api::ram::{CreatePolicyVersion, CreatePolicyVersionOutput};
use crate::operation::prelude::*;

use super::policies;

wire_enum! {
    /// What happens when the policy has as many versions as it may.
    pub enum Rotate {
        /// The call is refused.
        Never = "None",
        /// The oldest that is not in force goes.
        Oldest = "DeleteOldestNonDefaultVersionWhenLimitExceeded",
    }
}

impl Write for CreatePolicyVersion {
    type Output = CreatePolicyVersionOutput;

    fn warnings(&self) -> Vec<String> {
        self.policy_document.warnings()
    }

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let policy = policies::custom(tx, &call.principal.account, &self.policy_name)?;
        self.make_room(tx, &policy, call)?;
        let document = self.policy_document.text();
        tx.insert_policy_version(&policy, document, self.set_as_default, call.now_ms)?;
        let version = policy.next_version;
        let row = PolicyVersionRow { version, document: document.to_owned(), created_ms: call.now_ms };
        let in_force = if self.set_as_default { version } else { policy.default_version };
        Ok(Self::Output { policy_version: policies::shown_version(row, in_force) })
    }
}

impl CreatePolicyVersion {
    /// Refuses one version more than there may be, unless an old one may go and that is enough.
    fn make_room(&self, tx: &Tx<'_>, policy: &PolicyRow, call: &Call) -> Result<(), Failure> {
        let versions = tx.policy_versions(policy.seq)?;
        let (number, most) = (versions.len() as u64, call.context.settings.quotas.ram_versions_per_policy);
        if number < most {
            return Ok(());
        }
        let oldest = versions.iter().find(|row| row.version != policy.default_version);
        match (self.rotate_strategy, oldest) {
            (Some(Rotate::Oldest), Some(oldest)) if number == most => {
                Ok(tx.delete_policy_version(policy, oldest.version, call.now_ms)?)
            }
            (Some(Rotate::Oldest | Rotate::Never) | None, _) => Err((&c::VERSION_QUOTA).into()),
        }
    }
}
