//! ListPoliciesForRole: lists the policies attached to a role. Source: `docs/api/ram/ListPoliciesForRole.json`.

use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product};

use super::{attachments, roles};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "ListPoliciesForRole",
    summary: "List the policies attached to a role.",
    permission: Some("ram:ListPoliciesForRole"),
    resource: "acs:ram:*:{accountId}:role/{RoleName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":role/"), Part::Parameter("RoleName")]],
    conditions: &[],
    parameters: &[roles::ROLE_NAME],
    subject: Some("RoleName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::ROLE_NOT_FOUND],
    handler: Handler::Read(list),
};

fn list(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    attachments::list(&attachments::ROLES, call, args, snapshot)
}
