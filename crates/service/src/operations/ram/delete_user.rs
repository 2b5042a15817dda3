//! DeleteUser: removes a user that has nothing left on it. Source: `docs/api/ram/DeleteUser.json`.
//!
//! There are no console logons and no MFA devices here, so of the documented conflicts those two never arise.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product, UntypedChange};

use super::names::{USER_NAME, user_name};
use super::people::find_user;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "DeleteUser",
    summary: "Remove a RAM user that has nothing left on it.",
    permission: Some("ram:DeleteUser"),
    resource: "acs:ram:*:{accountId}:user/{UserName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":user/"), Part::Parameter("UserName")]],
    conditions: &[],
    parameters: &[USER_NAME],
    subject: Some("UserName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::USER_NOT_FOUND,
        &c::USER_IN_GROUP,
        &c::USER_HAS_KEY,
        &c::USER_HAS_POLICY,
    ],
    handler: Handler::UntypedWrite(delete),
};

fn delete(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = user_name(args)?.to_owned();
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let user = find_user(tx, &account, &name)?;
        if tx.group_count_of_user(user.seq)? > 0 {
            return Err((&c::USER_IN_GROUP).into());
        }
        if tx.key_count(&account, Some(user.seq))? > 0 {
            return Err((&c::USER_HAS_KEY).into());
        }
        if tx.user_has_policies(user.seq)? {
            return Err((&c::USER_HAS_POLICY).into());
        }
        tx.delete_user(&user)?;
        Ok(Answer::new())
    }))
}
