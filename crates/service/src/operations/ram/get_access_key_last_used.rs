//! GetAccessKeyLastUsed: tells when an access key last signed a call that was taken. Source: `docs/api/ram/GetAccessKeyLastUsed.json`.
//!
//! What is answered for a key that was never used is not published: here LastUsedDate is absent then.

use serde_json::json;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::{Context, iso8601};
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, Shape, required};

use super::names::OWNER;
use super::people::{Owner, one};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "GetAccessKeyLastUsed",
    summary: "Tell when an access key was last used.",
    permission: Some("ram:GetAccessKeyLastUsed"),
    resource: "acs:ram:*:{accountId}:user/{UserName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":user/"), Part::Parameter("UserName")]],
    conditions: &[],
    parameters: &[
        OWNER,
        required(
            "UserAccessKeyId",
            Shape::Text,
            "Id of the access key; not AccessKeyId, which is the signer's.",
        ),
    ],
    subject: Some("UserAccessKeyId"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::USER_NOT_FOUND,
        &c::KEY_NOT_FOUND,
    ],
    handler: Handler::Read(get),
};

fn get(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let account = &call.principal.account;
    let user = Owner::of(call, args)?.row(snapshot, account)?;
    let key = snapshot.key_of(account, user, args.required("UserAccessKeyId"))?.ok_or(&c::KEY_NOT_FOUND)?;
    let shown = match key.used {
        Some((used_ms, _)) => json!({ "LastUsedDate": iso8601(used_ms) }),
        None => json!({}),
    };
    call.answer(one("AccessKeyLastUsed", shown))
}
