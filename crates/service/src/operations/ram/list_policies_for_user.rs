//! ListPoliciesForUser: lists the policies attached to a user. Source: `docs/api/ram/ListPoliciesForUser.json`.
//!
//! Only what is attached to the user itself, not what it has by its groups.

use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product};

use super::{attachments, names};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "ListPoliciesForUser",
    summary: "List the policies attached to a user.",
    permission: Some("ram:ListPoliciesForUser"),
    resource: "acs:ram:*:{accountId}:user/{UserName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":user/"), Part::Parameter("UserName")]],
    conditions: &[],
    parameters: &[names::USER_NAME],
    subject: Some("UserName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::USER_NOT_FOUND],
    handler: Handler::Read(list),
};

fn list(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    attachments::list(&attachments::USERS, call, args, snapshot)
}
