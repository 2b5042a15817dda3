//! GetPolicyVersion: shows a version of a policy. Source: `docs/api/ram/GetPolicyVersion.json`.
//!
//! Of a system policy only the version in force is known.

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
    action: "GetPolicyVersion",
    summary: "Read one version of a policy.",
    permission: Some("ram:GetPolicyVersion"),
    resource: "acs:ram:*:{accountId}|system:policy/{PolicyName}",
    arns: &[&[
        Part::Text("acs:ram:*:"),
        Part::PolicyOwner,
        Part::Text(":policy/"),
        Part::Parameter("PolicyName"),
    ]],
    conditions: &[],
    parameters: &[policies::POLICY_TYPE, policies::POLICY_NAME, policies::VERSION_ID],
    subject: Some("PolicyName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::RAM_FORMAT,
        &c::INCORRECT,
        &c::POLICY_NOT_FOUND,
        &c::VERSION_NOT_FOUND,
    ],
    handler: Handler::Read(get),
};

fn get(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let kind = policies::policy_type(args)?;
    let name = policies::policy_name(args)?;
    let number = policies::version_number(args)?;
    let policy = policies::find(snapshot, &call.principal.account, kind, name)?;
    let mut answer = Answer::new();
    answer.insert("PolicyVersion".into(), policy.version(snapshot, Some(number))?);
    call.answer(answer)
}
