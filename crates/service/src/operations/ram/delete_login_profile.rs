//! DeleteLoginProfile: answers that the user has no login profile. Source: `docs/api/ram/DeleteLoginProfile.json`.
//!
//! There is no console here, hence no login profiles: clients that remove a user with all that it might have call it, and take its
//! answer for done.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, UntypedChange};

use super::names::{USER_NAME, user_name};
use super::people::find_user;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "DeleteLoginProfile",
    summary: "Remove the login profile of a RAM user; none has one.",
    permission: Some("ram:DeleteLoginProfile"),
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
        &c::LOGIN_PROFILE_NOT_FOUND,
    ],
    handler: Handler::UntypedWrite(remove),
};

fn remove(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = user_name(args)?.to_owned();
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        find_user(tx, &account, &name)?;
        Err((&c::LOGIN_PROFILE_NOT_FOUND).into())
    }))
}
