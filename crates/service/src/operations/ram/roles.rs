//! What the operations about roles share: names, ARNs and how a role is shown.

use serde_json::json;
use tongguan_model::id::AccountId;
use tongguan_store::{RoleRow, Snapshot, StoreError};

use crate::args::Args;
use crate::catalogue::{self as c, Refusal};
use crate::context::iso8601;
use crate::operation::{Answer, Failure, Parameter, Shape, required};

use super::names;

/// `RoleName`.
pub(super) const ROLE_NAME: Parameter = required(
    "RoleName",
    Shape::Text,
    "Name of the role: 1 to 64 ASCII letters, digits, periods and hyphens.",
);

/// `RoleName`, which is required.
pub(super) fn role_name<'a>(args: &Args<'a>) -> Result<&'a str, Refusal> {
    names::required_name(args, "RoleName", names::ROLE_NAME)
}

/// The longest session that a parameter asks for, seconds.
pub(super) fn session_seconds(args: &Args<'_>, name: &'static str) -> Result<Option<u32>, Refusal> {
    let seconds = args.number(name, 3_600..=43_200)?;
    Ok(seconds.and_then(|seconds| u32::try_from(seconds).ok()))
}

/// The account's role of this name.
pub(super) fn role(snapshot: &Snapshot<'_>, account: &AccountId, name: &str) -> Result<RoleRow, Failure> {
    snapshot.role(account, name)?.ok_or_else(|| (&c::ROLE_NOT_FOUND).into())
}

/// The account's role of this name, which its callers may change.
pub(super) fn own_role(snapshot: &Snapshot<'_>, account: &AccountId, name: &str) -> Result<RoleRow, Failure> {
    let role = role(snapshot, account, name)?;
    if role.service.is_some() { Err((&c::OF_A_SERVICE).into()) } else { Ok(role) }
}

/// A role's ARN: the names of service-linked roles stand in it in lower case.
#[must_use]
pub(crate) fn arn(account: &AccountId, name: &str, service_linked: bool) -> String {
    if service_linked {
        format!("acs:ram::{account}:role/{}", name.to_ascii_lowercase())
    } else {
        format!("acs:ram::{account}:role/{name}")
    }
}

/// Name with which a role would log on; the account has no alias, so its id stands in its place.
pub(super) fn principal_name(role: &RoleRow) -> String {
    let domain = if role.service.is_some() { "onaliyunservice.com" } else { "onaliyun.com" };
    format!("{}@role.{}.{domain}", role.name, role.account)
}

/// What every operation shows of a role.
fn facts(role: &RoleRow) -> Answer {
    let mut shown = Answer::new();
    shown.insert("RoleId".into(), role.id.as_str().into());
    shown.insert("RoleName".into(), role.name.as_str().into());
    shown.insert("Arn".into(), arn(&role.account, &role.name, role.service.is_some()).into());
    shown.insert("Description".into(), role.description.as_str().into());
    shown.insert("CreateDate".into(), iso8601(role.created_ms).into());
    shown
}

/// As CreateRole and UpdateRole show it, the latter with the date of the change.
pub(super) fn shown(role: &RoleRow) -> Answer {
    let mut shown = facts(role);
    shown.insert("MaxSessionDuration".into(), role.max_session_seconds.into());
    shown.insert("AllowConsoleLogin".into(), role.console_login.into());
    shown.insert("AssumeRolePolicyDocument".into(), role.trust.as_str().into());
    shown
}

/// As [`shown`], with the date of the last change.
pub(super) fn shown_with_update(role: &RoleRow) -> Answer {
    let mut shown = shown(role);
    shown.insert("UpdateDate".into(), iso8601(role.updated_ms).into());
    shown
}

/// As GetRole shows it.
pub(super) fn shown_whole(snapshot: &Snapshot<'_>, role: &RoleRow) -> Result<Answer, StoreError> {
    let mut shown = shown_with_update(role);
    shown.insert("IsServiceLinkedRole".into(), role.service.is_some().into());
    shown.insert("RolePrincipalName".into(), principal_name(role).into());
    if role.service.is_some()
        && let Some(task) = snapshot.latest_role_deletion(&role.account, &role.name)?
    {
        let task = json!({"DeletionTaskId": task.id, "CreateDate": iso8601(task.created_ms)});
        shown.insert("LatestDeletionTask".into(), task);
    }
    Ok(shown)
}

/// As ListRoles shows it: without the trust policy, with the tags.
pub(super) fn shown_in_list(snapshot: &Snapshot<'_>, role: &RoleRow) -> Result<Answer, StoreError> {
    let mut shown = shown_with_update(role);
    shown.remove("AssumeRolePolicyDocument");
    shown.insert("Tags".into(), super::tag_json::shown(snapshot, &role.id)?);
    Ok(shown)
}
