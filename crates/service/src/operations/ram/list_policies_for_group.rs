//! ListPoliciesForGroup: lists the policies attached to a group. Source: `docs/api/ram/ListPoliciesForGroup.json`.

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
    action: "ListPoliciesForGroup",
    summary: "List the policies attached to a group.",
    permission: Some("ram:ListPoliciesForGroup"),
    resource: "acs:ram:*:{accountId}:group/{GroupName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":group/"), Part::Parameter("GroupName")]],
    conditions: &[],
    parameters: &[names::GROUP_NAME],
    subject: Some("GroupName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::GROUP_NOT_FOUND],
    handler: Handler::Read(list),
};

fn list(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    attachments::list(&attachments::GROUPS, call, args, snapshot)
}
