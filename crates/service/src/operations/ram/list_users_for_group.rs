//! ListUsersForGroup: lists the members of a group, page by page. Source: `docs/api/ram/ListUsersForGroup.json`.
//!
//! The order is that in which the users were made.

use serde_json::json;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::{Context, iso8601};
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product};

use super::names::{GROUP_NAME, group_name};
use super::paging::{MARKER, MAX_ITEMS, Page};
use super::people::find_group;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "ListUsersForGroup",
    summary: "List the members of a group, page by page.",
    permission: Some("ram:ListUsersForGroup"),
    resource: "acs:ram:*:{accountId}:group/{GroupName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":group/"), Part::Parameter("GroupName")]],
    conditions: &[],
    parameters: &[GROUP_NAME, MARKER, MAX_ITEMS],
    subject: Some("GroupName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::INCORRECT, &c::GROUP_NOT_FOUND],
    handler: Handler::Read(list),
};

fn list(context: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let name = group_name(args)?;
    let page = Page::wanted(context, call, args)?;
    let group = find_group(snapshot, &call.principal.account, name)?;
    let mut members = snapshot.members(group.seq, page.after, page.fetch())?;
    let mut answer = Answer::new();
    page.cut(&mut members, |member| member.user, &mut answer)?;
    let shown = members.iter().map(|member| {
        json!({
            "UserName": member.name,
            "DisplayName": member.display_name,
            "JoinDate": iso8601(member.joined_ms),
        })
    });
    let shown: Vec<_> = shown.collect();
    answer.insert("Users".into(), json!({ "User": shown }));
    call.answer(answer)
}
