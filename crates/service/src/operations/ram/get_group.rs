//! GetGroup: shows one group. Source: `docs/api/ram/GetGroup.json`.

use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product};

use super::names::{GROUP_NAME, group_name};
use super::people::{find_group, one, whole_group};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "GetGroup",
    summary: "Read one group.",
    permission: Some("ram:GetGroup"),
    resource: "acs:ram:*:{accountId}:group/{GroupName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":group/"), Part::Parameter("GroupName")]],
    conditions: &[],
    parameters: &[GROUP_NAME],
    subject: Some("GroupName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::GROUP_NOT_FOUND],
    handler: Handler::Read(get),
};

fn get(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let group = find_group(snapshot, &call.principal.account, group_name(args)?)?;
    call.answer(one("Group", whole_group(&group)))
}
