//! ListUsers: lists the users, page by page, in the order of creation. Source: `docs/api/ram/ListUsers.json`.

use serde_json::json;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product};

use super::paging::{MARKER, MAX_ITEMS, Page};
use super::people::whole_user;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "ListUsers",
    summary: "List the RAM users, page by page.",
    permission: Some("ram:ListUsers"),
    resource: "acs:ram:*:{accountId}:user/*",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":user/*")]],
    conditions: &[],
    parameters: &[MARKER, MAX_ITEMS],
    subject: None,
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::INCORRECT],
    handler: Handler::Read(list),
};

fn list(context: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let page = Page::wanted(context, call, args)?;
    let mut users = snapshot.users(&call.principal.account, page.after, page.fetch())?;
    let mut answer = Answer::new();
    page.cut(&mut users, |user| user.seq, &mut answer)?;
    let shown: Vec<_> = users.iter().map(whole_user).collect();
    answer.insert("Users".into(), json!({ "User": shown }));
    call.answer(answer)
}
