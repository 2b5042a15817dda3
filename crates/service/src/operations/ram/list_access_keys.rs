//! ListAccessKeys: lists the access keys of one owner, without their secrets. Source: `docs/api/ram/ListAccessKeys.json`.

use serde_json::json;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::{Context, iso8601};
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product};

use super::names::OWNER;
use super::people::{Owner, one};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "ListAccessKeys",
    summary: "List the access keys of a RAM user.",
    permission: Some("ram:ListAccessKeys"),
    resource: "acs:ram:*:{accountId}:user/{UserName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":user/"), Part::Parameter("UserName")]],
    conditions: &[],
    parameters: &[OWNER],
    subject: Some("UserName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::USER_NOT_FOUND],
    handler: Handler::Read(list),
};

fn list(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let account = &call.principal.account;
    let user = Owner::of(call, args)?.row(snapshot, account)?;
    let keys = snapshot.keys_of(account, user)?;
    let shown = keys.iter().map(|key| {
        json!({
            "AccessKeyId": key.id,
            "Status": if key.active { "Active" } else { "Inactive" },
            "CreateDate": iso8601(key.created_ms),
        })
    });
    let shown: Vec<_> = shown.collect();
    call.answer(one("AccessKeys", json!({ "AccessKey": shown })))
}
