//! ListPolicyVersions: lists the versions of a policy, oldest first. Source: `docs/api/ram/ListPolicyVersions.json`.

use serde_json::json;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product};

use super::policies;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "ListPolicyVersions",
    summary: "List the versions of a policy.",
    permission: Some("ram:ListPolicyVersions"),
    resource: "acs:ram:*:{accountId}|system:policy/{PolicyName}",
    arns: &[&[
        Part::Text("acs:ram:*:"),
        Part::PolicyOwner,
        Part::Text(":policy/"),
        Part::Parameter("PolicyName"),
    ]],
    conditions: &[],
    parameters: &[policies::POLICY_TYPE, policies::POLICY_NAME],
    subject: Some("PolicyName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::INCORRECT, &c::POLICY_NOT_FOUND],
    handler: Handler::Read(list),
};

fn list(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let kind = policies::policy_type(args)?;
    let name = policies::policy_name(args)?;
    let policy = policies::find(snapshot, &call.principal.account, kind, name)?;
    let mut answer = Answer::new();
    answer.insert("PolicyVersions".into(), json!({ "PolicyVersion": policy.versions(snapshot)? }));
    call.answer(answer)
}
