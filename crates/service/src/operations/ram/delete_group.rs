//! DeleteGroup: removes a group without members and policies. Source: `docs/api/ram/DeleteGroup.json`.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product, UntypedChange};

use super::names::{GROUP_NAME, group_name};
use super::people::find_group;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "DeleteGroup",
    summary: "Remove a group without members and policies.",
    permission: Some("ram:DeleteGroup"),
    resource: "acs:ram:*:{accountId}:group/{GroupName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":group/"), Part::Parameter("GroupName")]],
    conditions: &[],
    parameters: &[GROUP_NAME],
    subject: Some("GroupName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::GROUP_NOT_FOUND,
        &c::GROUP_HAS_USER,
        &c::GROUP_HAS_POLICY,
    ],
    handler: Handler::UntypedWrite(delete),
};

fn delete(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = group_name(args)?.to_owned();
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let group = find_group(tx, &account, &name)?;
        if tx.group_has_members(group.seq)? {
            return Err((&c::GROUP_HAS_USER).into());
        }
        if tx.group_has_policies(group.seq)? {
            return Err((&c::GROUP_HAS_POLICY).into());
        }
        tx.delete_group(&group)?;
        Ok(Answer::new())
    }))
}
