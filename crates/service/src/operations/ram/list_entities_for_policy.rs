//! ListEntitiesForPolicy: lists to whom a policy is attached, each kind in the order of attachment.
//!
//! Source: `docs/api/ram/ListEntitiesForPolicy.json`.

use serde_json::{Value, json};
use tongguan_store::{EntityRow, Snapshot};

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::{Context, iso8601};
use crate::operation::{Answer, DryRun, Failure, Handler, Operation, Part, Product};

use super::{policies, roles};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Ram,
    action: "ListEntitiesForPolicy",
    summary: "List the users, groups and roles that a policy is attached to.",
    permission: Some("ram:ListEntitiesForPolicy"),
    resource: "acs:ram:*:{accountId}|system:policy/{PolicyName}",
    arns: &[&[
        Part::Text("acs:ram:*:"),
        Part::PolicyOwner,
        Part::Text(":policy/"),
        Part::Parameter("PolicyName"),
    ]],
    conditions: &[],
    parameters: &[policies::POLICY_TYPE, policies::POLICY_NAME],
    subject: Some("PolicyName"),
    dry_run: DryRun::None,
    errors: &[&c::NO_PERMISSION, &c::RAM_INVALID_CHARS, &c::RAM_LENGTH, &c::INCORRECT, &c::POLICY_NOT_FOUND],
    handler: Handler::Read(list),
};

fn list(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let account = &call.principal.account;
    let kind = policies::policy_type(args)?;
    let policy = policies::find(snapshot, account, kind, policies::policy_name(args)?)?;
    let entities = snapshot.entities(account, policy.key())?;
    let rows = |rows: Vec<EntityRow>, show: &dyn Fn(EntityRow) -> Value| -> Vec<Value> {
        rows.into_iter().map(show).collect()
    };
    let users = rows(entities.users, &|user| {
        json!({
            "UserId": user.id,
            "UserName": user.name,
            "DisplayName": user.text,
            "AttachDate": iso8601(user.attached_ms),
        })
    });
    let groups = rows(
        entities.groups,
        &|group| json!({"GroupName": group.name, "Comments": group.text, "AttachDate": iso8601(group.attached_ms)}),
    );
    let roles = rows(entities.roles, &|role| {
        json!({
            "RoleId": role.id,
            "RoleName": role.name,
            "Arn": roles::arn(account, &role.name, role.service.is_some()),
            "Description": role.text,
            "AttachDate": iso8601(role.attached_ms),
        })
    });
    let mut answer = Answer::new();
    answer.insert("Users".into(), json!({ "User": users }));
    answer.insert("Groups".into(), json!({ "Group": groups }));
    answer.insert("Roles".into(), json!({ "Role": roles }));
    call.answer(answer)
}
