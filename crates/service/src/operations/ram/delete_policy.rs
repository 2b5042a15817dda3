//! DeletePolicy: deletes a custom policy that is attached to nobody. Source: `docs/api/ram/DeletePolicy.json`.

use tongguan_store::PolicyKey;

use crate::api::ram::{DeletePolicy, DeletePolicyOutput};
use crate::operation::prelude::*;

use super::policies;

impl Write for DeletePolicy {
    type Output = DeletePolicyOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let policy = policies::custom(tx, account, &self.policy_name)?;
        let entities = tx.entities(account, PolicyKey::Custom(policy.seq))?;
        if !entities.users.is_empty() {
            return Err((&c::POLICY_HAS_USER).into());
        }
        if !entities.groups.is_empty() {
            return Err((&c::POLICY_HAS_GROUP).into());
        }
        if !entities.roles.is_empty() {
            return Err((&c::POLICY_HAS_ROLE).into());
        }
        if !self.cascading_delete && tx.policy_versions(policy.seq)?.len() > 1 {
            return Err((&c::POLICY_HAS_VERSION).into());
        }
        tx.delete_policy(&policy)?;
        Ok(Self::Output {})
    }
}
