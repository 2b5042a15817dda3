//! ListGroupsForUser: lists the groups that a user is in, all at once. Source: `docs/api/ram/ListGroupsForUser.json`.

use serde_json::json;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::{Context, iso8601};
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product};

use super::names::{USER_NAME, user_name};
use super::people::{find_user, one};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "ListGroupsForUser",
    summary: "List the groups that a RAM user is in.",
    permission: Some("ram:ListGroupsForUser"),
    resource: "acs:ram:*:{accountId}:user/{UserName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":user/"), Part::Parameter("UserName")]],
    conditions: &[],
    parameters: &[USER_NAME],
    subject: Some("UserName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::USER_NOT_FOUND],
    handler: Handler::Read(list),
};

fn list(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let user = find_user(snapshot, &call.principal.account, user_name(args)?)?;
    let groups = snapshot.groups_of_user(user.seq)?;
    let shown = groups.iter().map(|(group, joined_ms)| {
        json!({
            "GroupId": group.id,
            "GroupName": group.name,
            "Comments": group.comments,
            "JoinDate": iso8601(*joined_ms),
        })
    });
    let shown: Vec<_> = shown.collect();
    call.answer(one("Groups", json!({ "Group": shown })))
}
