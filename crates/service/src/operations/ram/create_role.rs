//! CreateRole: makes a role. Source: `docs/api/ram/CreateRole.json`.
//!
//! Names that begin as those of service-linked roles are kept for them.

use tongguan_model::service_role;
use tongguan_store::RoleRow;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::{Context, new_principal_id};
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, Shape, UntypedChange, optional, required,
};

use super::{names, roles, tag_json, trust};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "CreateRole",
    summary: "Create a role with its trust policy.",
    permission: Some("ram:CreateRole"),
    resource: "acs:ram:*:{accountId}:role/*",
    arns: &[&[Part::Text("acs:ram:*:"), Part::Account, Part::Text(":role/*")]],
    conditions: &[],
    parameters: &[
        roles::ROLE_NAME,
        required(
            "AssumeRolePolicyDocument",
            Shape::Json,
            "Trust policy: who may assume the role. The account's own users and roles that it names must exist.",
        ),
        optional("Description", Shape::Text, "1 to 1024 characters."),
        optional(
            "MaxSessionDuration",
            Shape::Integer,
            "Longest session, 3600 to 43200 seconds. Default 3600.",
        ),
        optional(
            "AllowConsoleLogin",
            Shape::Boolean,
            "Kept and shown; there is no console here. Default true.",
        ),
        tag_json::TAG,
    ],
    subject: Some("RoleName"),
    dry_run: DryRun::None,
    errors: &[
        &c::NO_PERMISSION,
        &c::RAM_INVALID_CHARS,
        &c::RAM_LENGTH,
        &c::INCORRECT,
        &c::MALFORMED_POLICY,
        &c::INVALID_TAG_KEY,
        &c::INVALID_TAG_VALUE,
        &c::DUPLICATED_TAG_KEY,
        &c::ROLE_EXISTS,
        &c::ROLE_QUOTA,
    ],
    handler: Handler::UntypedWrite(create),
};

const DEFAULT_SECONDS: u32 = 3_600;

fn create(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = roles::role_name(args)?;
    if service_role::is_reserved(name) {
        let why = "Names of this kind are kept for service-linked roles.";
        return Err(args.illegal("RoleName", name).because(why).into());
    }
    let description = names::checked(args, "Description", names::DESCRIPTION)?.unwrap_or_default();
    let seconds = roles::session_seconds(args, "MaxSessionDuration")?.unwrap_or(DEFAULT_SECONDS);
    let console_login = args.flag("AllowConsoleLogin")?.unwrap_or(true);
    let tags = tag_json::tags(args)?;
    let Some(trust) = trust::trust(args, "AssumeRolePolicyDocument")? else {
        return Err(args.missing("AssumeRolePolicyDocument").into());
    };
    let role = RoleRow {
        seq: 0,
        id: new_principal_id(3),
        account: call.principal.account.clone(),
        name: name.to_owned(),
        description: description.to_owned(),
        trust: trust.document.clone(),
        max_session_seconds: seconds,
        service: None,
        console_login,
        created_ms: call.now_ms,
        updated_ms: call.now_ms,
        sessions_from_ms: 0,
    };
    let most = context.settings.quotas.ram_roles_per_account;
    let call = call.clone();
    Ok(Box::new(move |tx| {
        trust.names_what_exists(tx, &call)?;
        if tx.role(&role.account, &role.name)?.is_some() {
            return Err((&c::ROLE_EXISTS).into());
        }
        if tx.tally("ram_role", &role.account, "")? >= most {
            return Err((&c::ROLE_QUOTA).into());
        }
        tx.insert_role(&role)?;
        for (key, value) in &tags {
            tx.put_tag(&role.account, "", "RAM_ROLE", &role.id, key, value)?;
        }
        let mut answer = Answer::new();
        answer.insert("Role".into(), roles::shown(&role).into());
        Ok(answer)
    }))
}
