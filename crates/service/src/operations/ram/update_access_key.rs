//! UpdateAccessKey: allows or forbids the use of an access key. Source: `docs/api/ram/UpdateAccessKey.json`.

use tongguan_store::SessionsOf;

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
    action: "UpdateAccessKey",
    summary: "Allow or forbid the use of an access key.",
    permission: Some("ram:UpdateAccessKey"),
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
        required("Status", Shape::Text, "Active or Inactive."),
    ],
    subject: Some("UserAccessKeyId"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::INCORRECT,
        &c::USER_NOT_FOUND,
        &c::KEY_NOT_FOUND,
    ],
    handler: Handler::UntypedWrite(update),
};

fn update(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let owner = Owner::of(call, args)?;
    let id = args.required("UserAccessKeyId").to_owned();
    let active = match args.required("Status") {
        "Active" => true,
        "Inactive" => false,
        other => return Err(args.illegal("Status", other).into()),
    };
    let (account, now_ms) = (call.principal.account.clone(), call.now_ms);
    Ok(Box::new(move |tx| {
        let user = owner.row(tx, &account)?;
        let key = tx.key_of(&account, user, &id)?.ok_or(&c::KEY_NOT_FOUND)?;
        tx.set_key_active(&key.id, active)?;
        if !active {
            // For good: those that it made before do not come back with it.
            tx.end_sessions(SessionsOf::AccessKey(&key.id), now_ms)?;
        }
        Ok(Answer::new())
    }))
}
