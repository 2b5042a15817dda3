//! GetPolicy: shows a policy and its version in force. Source: `docs/api/ram/GetPolicy.json`.

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
    action: "GetPolicy",
    summary: "Read one policy and the document in force.",
    permission: Some("ram:GetPolicy"),
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
    handler: Handler::Read(get),
};

fn get(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let account = &call.principal.account;
    let kind = policies::policy_type(args)?;
    let policy = policies::find(snapshot, account, kind, policies::policy_name(args)?)?;
    let version = policy.version(snapshot, None)?;
    let mut shown = policy.shown(snapshot, account)?;
    shown.insert("PolicyDocument".into(), version["PolicyDocument"].clone());
    let mut answer = Answer::new();
    answer.insert("Policy".into(), shown.into());
    answer.insert("DefaultPolicyVersion".into(), version);
    call.answer(answer)
}
