//! RemoveUserFromGroup: takes a user out of a group. Source: `docs/api/ram/RemoveUserFromGroup.json`.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product, UntypedChange};

use super::names::{GROUP_NAME, USER_NAME, group_name, user_name};
use super::people::{find_group, find_user};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "RemoveUserFromGroup",
    summary: "Take a RAM user out of a group.",
    permission: Some("ram:RemoveUserFromGroup"),
    resource: "acs:ram:*:{accountId}:user/{UserName} + acs:ram:*:{accountId}:group/{GroupName}",
    arns: &[
        &[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":user/"), Part::Parameter("UserName")],
        &[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":group/"), Part::Parameter("GroupName")],
    ],
    conditions: &[],
    parameters: &[USER_NAME, GROUP_NAME],
    subject: Some("UserName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::USER_NOT_FOUND,
        &c::GROUP_NOT_FOUND,
        &c::MEMBER_NOT_FOUND,
    ],
    handler: Handler::UntypedWrite(remove),
};

fn remove(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let (user, group) = (user_name(args)?.to_owned(), group_name(args)?.to_owned());
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let user = find_user(tx, &account, &user)?.seq;
        let group = find_group(tx, &account, &group)?.seq;
        if !tx.is_member(user, group)? {
            return Err((&c::MEMBER_NOT_FOUND).into());
        }
        tx.delete_member(user, group)?;
        Ok(Answer::new())
    }))
}
