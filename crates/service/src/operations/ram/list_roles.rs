//! ListRoles: lists the account's roles, service-linked ones too, in the order of their creation.
//!
//! Source: `docs/api/ram/ListRoles.json`. Trust policies are not in the list.

use serde_json::{Value, json};
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product};

use super::{paging, roles, tag_json};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "ListRoles",
    summary: "List the roles of the account.",
    permission: Some("ram:ListRoles"),
    resource: "acs:ram:*:{accountId}:role/*",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":role/*")]],
    conditions: &[],
    parameters: &[paging::MARKER, paging::MAX_ITEMS, tag_json::TAG_FILTER],
    subject: None,
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::INCORRECT,
        &c::INVALID_TAG_KEY,
        &c::INVALID_TAG_VALUE,
        &c::DUPLICATED_TAG_KEY,
    ],
    handler: Handler::Read(list),
};

fn list(context: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let page = paging::Page::wanted(context, call, args)?;
    let tags = tag_json::filter(args)?;
    let mut rows = snapshot.roles(&call.principal.account, &tags, page.after, page.fetch())?;
    let mut answer = Answer::new();
    page.cut(&mut rows, |role| role.seq, &mut answer)?;
    let shown: Vec<Value> = rows
        .iter()
        .map(|role| Ok(roles::shown_in_list(snapshot, role)?.into()))
        .collect::<Result<_, Failure>>()?;
    answer.insert("Roles".into(), json!({ "Role": shown }));
    call.answer(answer)
}
