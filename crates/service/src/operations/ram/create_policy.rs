//! CreatePolicy: makes a custom policy, whose version v1 is in force. Source: `docs/api/ram/CreatePolicy.json`.

use serde_json::json;
use tongguan_store::PolicyRow;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::{Context, iso8601};
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, Shape, UntypedChange, optional,
};

use super::policies::{self, PolicyType, version_id};
use super::{names, tag_json};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "CreatePolicy",
    summary: "Create a custom policy with its first version.",
    permission: Some("ram:CreatePolicy"),
    resource: "acs:ram:*:{accountId}:policy/*",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":policy/*")]],
    conditions: &[],
    parameters: &[
        policies::POLICY_NAME,
        policies::POLICY_DOCUMENT,
        optional("Description", Shape::Text, "1 to 1024 characters."),
        tag_json::TAG,
    ],
    subject: Some("PolicyName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::INCORRECT,
        &c::MALFORMED_POLICY,
        &c::INVALID_TAG_KEY,
        &c::INVALID_TAG_VALUE,
        &c::DUPLICATED_TAG_KEY,
        &c::POLICY_EXISTS,
        &c::POLICY_QUOTA,
    ],
    handler: Handler::UntypedWrite(create),
};

fn create(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = policies::policy_name(args)?;
    let description = names::checked(args, "Description", names::DESCRIPTION)?.unwrap_or_default();
    let document = policies::document(args)?;
    let tags = tag_json::tags(args)?;
    let mut policy = PolicyRow {
        seq: 0,
        account: call.principal.account.clone(),
        name: name.to_owned(),
        description: description.to_owned(),
        default_version: 1,
        next_version: 2,
        created_ms: call.now_ms,
        updated_ms: call.now_ms,
    };
    let most = context.settings.quotas.ram_policies_per_account;
    Ok(Box::new(move |tx| {
        if tx.policy(&policy.account, &policy.name)?.is_some() {
            return Err((&c::POLICY_EXISTS).into());
        }
        if tx.tally("ram_policy", &policy.account, "")? >= most {
            return Err((&c::POLICY_QUOTA).into());
        }
        policy.seq = tx.insert_policy(&policy, &document)?;
        for (key, value) in &tags {
            tx.put_tag(&policy.account, "", "RAM_POLICY", &policy.tagged(), key, value)?;
        }
        let mut answer = Answer::new();
        let shown = json!({
            "PolicyType": PolicyType::Custom.as_str(),
            "PolicyName": policy.name,
            "Description": policy.description,
            "DefaultVersion": version_id(policy.default_version),
            "CreateDate": iso8601(policy.created_ms),
        });
        answer.insert("Policy".into(), shown);
        Ok(answer)
    }))
}
