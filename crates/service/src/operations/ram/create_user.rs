//! CreateUser: adds a user, who has no key and no permission yet. Source: `docs/api/ram/CreateUser.json`.

use tongguan_store::UserRow;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::{Context, new_principal_id};
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, Shape, UntypedChange, optional};

use super::names::{self, USER_NAME};
use super::people::{new_user, one};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "CreateUser",
    summary: "Add a RAM user to the account.",
    permission: Some("ram:CreateUser"),
    resource: "acs:ram:*:{accountId}:user/*",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":user/*")]],
    conditions: &[],
    parameters: &[
        USER_NAME,
        optional("DisplayName", Shape::Text, "Name for people: 1 to 128 characters."),
        optional("MobilePhone", Shape::Text, "Country code, hyphen, number: 86-18688888888."),
        optional("Email", Shape::Text, "A mail address."),
        optional("Comments", Shape::Text, "1 to 128 characters."),
    ],
    subject: Some("UserName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::RAM_FORMAT,
        &c::USER_EXISTS,
        &c::USER_QUOTA,
    ],
    handler: Handler::UntypedWrite(create),
};

fn create(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let user = UserRow {
        seq: 0,
        id: new_principal_id(2),
        account: call.principal.account.clone(),
        name: names::user_name(args)?.to_owned(),
        display_name: names::checked(args, "DisplayName", names::DISPLAY_NAME)?
            .unwrap_or_default()
            .to_owned(),
        mobile_phone: names::telephone(args, "MobilePhone")?.unwrap_or_default().to_owned(),
        email: names::mail(args, "Email")?.unwrap_or_default().to_owned(),
        comments: names::checked(args, "Comments", names::COMMENTS)?.unwrap_or_default().to_owned(),
        created_ms: call.now_ms,
        updated_ms: call.now_ms,
    };
    // Trust policies may name users of the configuration.
    if call.authority.configures_user(&user.account, &user.name) {
        return Err((&c::USER_EXISTS).into());
    }
    let most = context.settings.quotas.ram_users_per_account;
    Ok(Box::new(move |tx| {
        if tx.user(&user.account, &user.name)?.is_some() {
            return Err((&c::USER_EXISTS).into());
        }
        if tx.tally("ram_user", &user.account, "")? >= most {
            return Err((&c::USER_QUOTA).into());
        }
        tx.insert_user(&user)?;
        Ok(one("User", new_user(&user)))
    }))
}
