//! CreatePolicy: makes a custom policy, whose version v1 is in force. Source: `docs/api/ram/CreatePolicy.json`.

use tongguan_store::PolicyRow;

use crate::api::ram::{CreatePolicy, CreatePolicyOutput, PolicyInfo};
use crate::operation::prelude::*;

use super::taggable::Taggable;

impl Write for CreatePolicy {
    type Output = CreatePolicyOutput;

    fn warnings(&self) -> Vec<String> {
        self.policy_document.warnings()
    }

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        if tx.policy(account, &self.policy_name)?.is_some() {
            return Err((&c::POLICY_EXISTS).into());
        }
        if tx.tally("ram_policy", account, "")? >= call.context.settings.quotas.ram_policies_per_account {
            return Err((&c::POLICY_QUOTA).into());
        }
        let mut policy = PolicyRow {
            seq: 0,
            account: account.clone(),
            name: self.policy_name.clone(),
            description: self.description.clone(),
            default_version: 1,
            next_version: 2,
            created_ms: call.now_ms,
            updated_ms: call.now_ms,
        };
        policy.seq = tx.insert_policy(&policy, self.policy_document.text())?;
        Taggable::Policy.put(tx, account, &policy.tagged(), &self.tag)?;
        Ok(Self::Output { policy: PolicyInfo { update_date: None, ..PolicyInfo::from(&policy) } })
    }
}
