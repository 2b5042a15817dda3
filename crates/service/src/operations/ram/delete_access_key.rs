//! DeleteAccessKey: removes an access key, active or not. Source: `docs/api/ram/DeleteAccessKey.json`.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, Shape, UntypedChange, required,
};

use super::names::OWNER;
use super::people::Owner;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "DeleteAccessKey",
    summary: "Remove an access key.",
    permission: Some("ram:DeleteAccessKey"),
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
    handler: Handler::UntypedWrite(delete),
};

fn delete(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let owner = Owner::of(call, args)?;
    let id = args.required("UserAccessKeyId").to_owned();
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let user = owner.row(tx, &account)?;
        let key = tx.key_of(&account, user, &id)?.ok_or(&c::KEY_NOT_FOUND)?;
        tx.delete_key(&key.id)?;
        Ok(Answer::new())
    }))
}
