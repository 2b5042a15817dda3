//! UpdatePolicyDescription: changes the description of a custom policy.
//!
//! Source: `docs/api/ram/UpdatePolicyDescription.json`. No page says that it may be empty; Terraform sends it so when the
//! description is taken away.

use serde_json::json;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::{Context, iso8601};
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, Shape, UntypedChange, required};

use super::names;
use super::people::one;
use super::policies::{self, PolicyType, version_id};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "UpdatePolicyDescription",
    summary: "Change the description of a custom policy.",
    permission: Some("ram:UpdatePolicyDescription"),
    resource: "acs:ram:*:{accountId}:policy/{PolicyName}",
    arns: &[&[
        Part::Text("acs:ram:*:"),
        Part::Account,
        Part::Text(":policy/"),
        Part::Parameter("PolicyName"),
    ]],
    conditions: &[],
    parameters: &[
        policies::POLICY_NAME,
        required("NewDescription", Shape::Text, "Up to 1024 characters.").emptied(),
    ],
    subject: Some("PolicyName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::POLICY_DESCRIPTION_LENGTH,
        &c::POLICY_NOT_FOUND,
    ],
    handler: Handler::UntypedWrite(update),
};

fn update(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = policies::policy_name(args)?.to_owned();
    let description = args.set("NewDescription").unwrap_or_default();
    if description.chars().nth(names::DESCRIPTION.most).is_some() {
        return Err((&c::POLICY_DESCRIPTION_LENGTH).into());
    }
    if !description.chars().all(names::DESCRIPTION.allows) {
        return Err(names::bad_characters("NewDescription").into());
    }
    let description = description.to_owned();
    let (account, now_ms) = (call.principal.account.clone(), call.now_ms);
    Ok(Box::new(move |tx| {
        let policy = policies::custom(tx, &account, &name)?;
        tx.describe_policy(&policy, &description, now_ms)?;
        let shown = json!({
            "PolicyType": PolicyType::Custom.as_str(),
            "PolicyName": policy.name,
            "Description": description,
            "DefaultVersion": version_id(policy.default_version),
            "CreateDate": iso8601(policy.created_ms),
            "UpdateDate": iso8601(now_ms),
        });
        Ok(one("Policy", shown))
    }))
}
