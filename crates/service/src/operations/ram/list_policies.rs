//! ListPolicies: lists the system policies, and then the custom ones in the order of their creation.
//!
//! Source: `docs/api/ram/ListPolicies.json`. System policies carry no tags.

use serde_json::{Value, json};
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product, Shape, optional};

use super::policies::{Found, PolicyType};
use super::{paging, system, tag_json};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "ListPolicies",
    summary: "List policies, system and custom.",
    permission: Some("ram:ListPolicies"),
    resource: "acs:ram:*:{accountId}:policy/*",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":policy/*")]],
    conditions: &[],
    parameters: &[
        optional("PolicyType", Shape::Text, "System or Custom, exactly as written here. Absent: both."),
        paging::MARKER,
        paging::MAX_ITEMS,
        tag_json::TAG_FILTER,
    ],
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
    let account = &call.principal.account;
    let kind = args.word("PolicyType", PolicyType::parse)?;
    let page = paging::Page::wanted(context, call, args)?;
    let tags = tag_json::filter(args)?;
    let mut rows: Vec<(i64, Found)> = Vec::new();
    if kind != Some(PolicyType::Custom) && tags.is_empty() {
        rows.extend(systems().filter(|(place, _)| *place > page.after));
    }
    if kind != Some(PolicyType::System) && (rows.len() as u64) < page.fetch() {
        let left = page.fetch() - rows.len() as u64;
        let custom = snapshot.policies(account, &tags, page.after, left)?.into_iter();
        rows.extend(custom.map(|policy| (policy.seq, Found::Custom(policy))));
    }
    let mut answer = Answer::new();
    page.cut(&mut rows, |(place, _)| *place, &mut answer)?;
    let mut shown: Vec<Value> = Vec::with_capacity(rows.len());
    for (_, policy) in &rows {
        let mut row = policy.shown(snapshot, account)?;
        row.insert(
            "Tags".into(),
            match policy {
                Found::System(_) => json!({ "Tag": [] }),
                Found::Custom(policy) => tag_json::shown(snapshot, &policy.tagged())?,
            },
        );
        shown.push(row.into());
    }
    answer.insert("Policies".into(), json!({ "Policy": shown }));
    call.answer(answer)
}

/// The system policies, each with its place in the list: before those of all custom policies, which are positive.
fn systems() -> impl Iterator<Item = (i64, Found)> {
    let number = i64::try_from(system::ALL.len()).unwrap_or(i64::MAX);
    (-number..).zip(system::ALL.iter().map(Found::System))
}
