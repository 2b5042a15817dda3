//! DeleteRole: deletes a role to which no policy is attached. Source: `docs/api/ram/DeleteRole.json`.
//!
//! A service-linked role is deleted by DeleteServiceLinkedRole.

use tongguan_store::Holder;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::Context;
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product, UntypedChange};

use super::roles;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "DeleteRole",
    summary: "Delete a role.",
    permission: Some("ram:DeleteRole"),
    resource: "acs:ram:*:{accountId}:role/{RoleName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":role/"), Part::Parameter("RoleName")]],
    conditions: &[],
    parameters: &[roles::ROLE_NAME],
    subject: Some("RoleName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::ROLE_NAME_CHARS,
        &c::RAM_LENGTH,
        &c::ROLE_NOT_FOUND,
        &c::OF_A_SERVICE,
        &c::ROLE_HAS_POLICY,
    ],
    handler: Handler::UntypedWrite(delete),
};

fn delete(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = roles::role_name(args).map_err(as_documented)?.to_owned();
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let role = roles::own_role(tx, &account, &name)?;
        if !tx.attachments(Holder::Role(role.seq))?.is_empty() {
            return Err((&c::ROLE_HAS_POLICY).into());
        }
        tx.delete_role(&role)?;
        Ok(Answer::new())
    }))
}

/// The page of this operation spells the parameter otherwise.
fn as_documented(refusal: Refusal) -> Refusal {
    if *refusal.code == c::RAM_INVALID_CHARS { Refusal::new(&c::ROLE_NAME_CHARS) } else { refusal }
}
