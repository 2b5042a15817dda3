//! UpdateRole: changes a role; what is not given stays. Source: `docs/api/ram/UpdateRole.json`.
//!
//! A service-linked role is not changed. Running sessions keep the time that they were given.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, Shape, UntypedChange, optional,
};

use super::{names, roles, trust};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "UpdateRole",
    summary: "Change trust policy, description or session limit of a role.",
    permission: Some("ram:UpdateRole"),
    resource: "acs:ram:*:{accountId}:role/{RoleName}",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":role/"), Part::Parameter("RoleName")]],
    conditions: &[],
    parameters: &[
        roles::ROLE_NAME,
        optional("NewAssumeRolePolicyDocument", Shape::Json, "Trust policy in place of the old one.")
            .never_empty(&c::MALFORMED_POLICY),
        optional("NewDescription", Shape::Text, "Up to 1024 characters.").emptied(),
        optional("NewMaxSessionDuration", Shape::Integer, "Longest session, 3600 to 43200 seconds."),
        optional("NewAllowConsoleLogin", Shape::Boolean, "Kept and shown; there is no console here."),
    ],
    subject: Some("RoleName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::INCORRECT,
        &c::MALFORMED_POLICY,
        &c::ROLE_NOT_FOUND,
        &c::OF_A_SERVICE,
    ],
    handler: Handler::UntypedWrite(update),
};

fn update(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = roles::role_name(args)?.to_owned();
    let description = names::new_text(args, "NewDescription", names::DESCRIPTION)?;
    let seconds = roles::session_seconds(args, "NewMaxSessionDuration")?;
    let console_login = args.flag("NewAllowConsoleLogin")?;
    let trust = trust::trust(args, "NewAssumeRolePolicyDocument")?;
    let (account, now_ms) = (call.principal.account.clone(), call.now_ms);
    let call = call.clone();
    Ok(Box::new(move |tx| {
        let mut role = roles::own_role(tx, &account, &name)?;
        if let Some(trust) = &trust {
            trust.names_what_exists(tx, &call)?;
            role.trust.clone_from(&trust.document);
        }
        if let Some(description) = &description {
            role.description.clone_from(description);
        }
        role.max_session_seconds = seconds.unwrap_or(role.max_session_seconds);
        role.console_login = console_login.unwrap_or(role.console_login);
        role.updated_ms = now_ms;
        tx.update_role(&role)?;
        let mut answer = Answer::new();
        answer.insert("Role".into(), roles::shown_with_update(&role).into());
        Ok(answer)
    }))
}
