//! UpdateUser: renames a user or changes its texts; what is not given stays. Source: `docs/api/ram/UpdateUser.json`.
//!
//! A renamed user keeps its id, keys, groups and policies.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, Shape, UntypedChange, optional};

use super::names::{self, USER_NAME};
use super::people::{find_user, one, whole_user};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "UpdateUser",
    summary: "Rename a RAM user or change its data.",
    permission: Some("ram:UpdateUser"),
    resource: "acs:ram:*:{accountId}:user/{UserName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":user/"), Part::Parameter("UserName")]],
    conditions: &[],
    parameters: &[
        USER_NAME,
        optional("NewUserName", Shape::Text, "Its name from now on; same rule.").never_empty(&c::RAM_LENGTH),
        optional("NewDisplayName", Shape::Text, "Name for people: up to 128 characters.").emptied(),
        optional("NewMobilePhone", Shape::Text, "Country code, hyphen, number: 86-18688888888.").emptied(),
        optional("NewEmail", Shape::Text, "A mail address.").emptied(),
        optional("NewComments", Shape::Text, "Up to 128 characters.").emptied(),
    ],
    subject: Some("UserName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::RAM_FORMAT,
        &c::USER_NOT_FOUND,
        &c::USER_EXISTS,
    ],
    handler: Handler::UntypedWrite(update),
};

fn update(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let owned = |value: Option<&str>| value.map(ToOwned::to_owned);
    let name = names::user_name(args)?.to_owned();
    let new_name = owned(names::checked(args, "NewUserName", names::PLAIN_NAME)?);
    let display_name = names::new_text(args, "NewDisplayName", names::DISPLAY_NAME)?;
    let mobile_phone = owned(names::new_telephone(args, "NewMobilePhone")?);
    let email = owned(names::new_mail(args, "NewEmail")?);
    let comments = names::new_text(args, "NewComments", names::COMMENTS)?;
    let (account, now_ms) = (call.principal.account.clone(), call.now_ms);
    if let Some(new_name) = new_name.as_deref().filter(|new_name| !new_name.eq_ignore_ascii_case(&name)) {
        // Rights hang on names: who may change one user does not make another of it.
        call.require("ram:UpdateUser", &format!("acs:ram:*:{account}:user/{new_name}"), &[])?;
        if call.authority.configures_user(&account, new_name) {
            return Err((&c::USER_EXISTS).into());
        }
    }
    Ok(Box::new(move |tx| {
        let mut user = find_user(tx, &account, &name)?;
        if let Some(new_name) = &new_name {
            // The same name in other letters is the user's own.
            if tx.user(&account, new_name)?.is_some_and(|other| other.seq != user.seq) {
                return Err((&c::USER_EXISTS).into());
            }
        }
        for (field, given) in [
            (&mut user.name, &new_name),
            (&mut user.display_name, &display_name),
            (&mut user.mobile_phone, &mobile_phone),
            (&mut user.email, &email),
            (&mut user.comments, &comments),
        ] {
            if let Some(given) = given {
                field.clone_from(given);
            }
        }
        user.updated_ms = now_ms;
        tx.update_user(&user)?;
        Ok(one("User", whole_user(&user)))
    }))
}
