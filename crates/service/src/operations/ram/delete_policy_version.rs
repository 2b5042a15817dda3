//! DeletePolicyVersion: deletes a version that is not in force. Source: `docs/api/ram/DeletePolicyVersion.json`.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product, UntypedChange};

use super::policies;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "DeletePolicyVersion",
    summary: "Delete a version of a custom policy.",
    permission: Some("ram:DeletePolicyVersion"),
    resource: "acs:ram:*:{accountId}:policy/{PolicyName}",
    arns: &[&[
        Part::Text("acs:ram:*:"),
        Part::Account,
        Part::Text(":policy/"),
        Part::Parameter("PolicyName"),
    ]],
    conditions: &[],
    parameters: &[policies::POLICY_NAME, policies::VERSION_ID],
    subject: Some("PolicyName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::RAM_FORMAT,
        &c::POLICY_NOT_FOUND,
        &c::VERSION_NOT_FOUND,
        &c::VERSION_DEFAULT,
    ],
    handler: Handler::UntypedWrite(delete),
};

fn delete(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = policies::policy_name(args)?.to_owned();
    let number = policies::version_number(args)?;
    let (account, now_ms) = (call.principal.account.clone(), call.now_ms);
    Ok(Box::new(move |tx| {
        let policy = policies::custom(tx, &account, &name)?;
        if tx.policy_version(policy.seq, number)?.is_none() {
            return Err((&c::VERSION_NOT_FOUND).into());
        }
        if number == policy.default_version {
            return Err((&c::VERSION_DEFAULT).into());
        }
        tx.delete_policy_version(&policy, number, now_ms)?;
        Ok(Answer::new())
    }))
}
