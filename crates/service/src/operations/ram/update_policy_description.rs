//! UpdatePolicyDescription: changes the description of a custom policy.
//!
//! Source: `docs/api/ram/UpdatePolicyDescription.json`. No page says that it may be empty; Terraform sends it
//! so when the description is taken away.

use crate::api::ram::{PolicyInfo, UpdatePolicyDescription, UpdatePolicyDescriptionOutput};
use crate::args::Args;
use crate::context::iso8601;
use crate::operation::prelude::*;

use super::{names, policies};

/// The new description; may be empty. The page of this operation has a code of its own for one that is too long.
pub(crate) fn description(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    let description = args.set(name).unwrap_or_default();
    if description.chars().nth(names::DESCRIPTION.most).is_some() {
        return Err(Refusal::new(&c::POLICY_DESCRIPTION_LENGTH));
    }
    if !description.chars().all(names::DESCRIPTION.allows) {
        return Err(names::bad_characters(name));
    }
    Ok(description.to_owned())
}

impl Write for UpdatePolicyDescription {
    type Output = UpdatePolicyDescriptionOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let policy = policies::custom(tx, &call.principal.account, &self.policy_name)?;
        tx.describe_policy(&policy, &self.new_description, call.now_ms)?;
        let policy = PolicyInfo {
            description: self.new_description.clone().into(),
            update_date: Some(iso8601(call.now_ms).into()),
            ..PolicyInfo::from(&policy)
        };
        Ok(Self::Output { policy })
    }
}
