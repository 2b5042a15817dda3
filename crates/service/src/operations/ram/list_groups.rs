//! ListGroups: lists the groups, page by page, in the order of creation. Source: `docs/api/ram/ListGroups.json`.

use serde_json::json;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product};

use super::paging::{MARKER, MAX_ITEMS, Page};
use super::people::whole_group;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "ListGroups",
    summary: "List the groups, page by page.",
    permission: Some("ram:ListGroups"),
    resource: "acs:ram:*:{accountId}:group/*",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":group/*")]],
    conditions: &[],
    parameters: &[MARKER, MAX_ITEMS],
    subject: None,
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::INCORRECT],
    handler: Handler::Read(list),
};

fn list(context: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let page = Page::wanted(context, call, args)?;
    let mut groups = snapshot.groups(&call.principal.account, page.after, page.fetch())?;
    let mut answer = Answer::new();
    page.cut(&mut groups, |group| group.seq, &mut answer)?;
    let shown: Vec<_> = groups.iter().map(whole_group).collect();
    answer.insert("Groups".into(), json!({ "Group": shown }));
    call.answer(answer)
}
