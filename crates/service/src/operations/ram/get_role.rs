//! GetRole: shows a role. Source: `docs/api/ram/GetRole.json`.

use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product};

use super::roles;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "GetRole",
    summary: "Read one role with its trust policy.",
    permission: Some("ram:GetRole"),
    resource: "acs:ram:*:{accountId}:role/{RoleName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":role/"), Part::Parameter("RoleName")]],
    conditions: &[],
    parameters: &[roles::ROLE_NAME],
    subject: Some("RoleName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::ROLE_NOT_FOUND],
    handler: Handler::Read(get),
};

fn get(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let name = roles::role_name(args)?;
    let role = roles::role(snapshot, &call.principal.account, name)?;
    let mut answer = Answer::new();
    answer.insert("Role".into(), roles::shown_whole(snapshot, &role)?.into());
    call.answer(answer)
}
