//! GetUser: shows one user. Source: `docs/api/ram/GetUser.json`.

use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product};

use super::names::{USER_NAME, user_name};
use super::people::{find_user, one, whole_user};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "GetUser",
    summary: "Read one RAM user.",
    permission: Some("ram:GetUser"),
    resource: "acs:ram:*:{accountId}:user/{UserName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":user/"), Part::Parameter("UserName")]],
    conditions: &[],
    parameters: &[USER_NAME],
    subject: Some("UserName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::USER_NOT_FOUND],
    handler: Handler::Read(get),
};

fn get(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let user = find_user(snapshot, &call.principal.account, user_name(args)?)?;
    call.answer(one("User", whole_user(&user)))
}
