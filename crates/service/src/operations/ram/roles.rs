//! What the operations about roles share: names, ARNs and how a role is shown.

use tongguan_model::id::AccountId;
use tongguan_store::{RoleRow, Snapshot};

use crate::api::ram::RoleInfo;
use crate::args::Args;
use crate::catalogue::{self as c, Refusal};
use crate::context::iso8601;
use crate::operation::Failure;

/// The longest session of a role, seconds.
pub(crate) fn session_seconds(args: &Args<'_>, name: &'static str) -> Result<Option<u32>, Refusal> {
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

/// What lists show of a role, which is not its trust policy.
impl From<&RoleRow> for RoleInfo {
    fn from(role: &RoleRow) -> Self {
        Self {
            role_id: role.id.clone().into(),
            role_name: role.name.clone().into(),
            arn: arn(&role.account, &role.name, role.service.is_some()).into(),
            description: role.description.clone().into(),
            create_date: iso8601(role.created_ms).into(),
            update_date: Some(iso8601(role.updated_ms).into()),
            max_session_duration: role.max_session_seconds.into(),
            allow_console_login: role.console_login,
            ..Self::default()
        }
    }
}

/// A role with its trust policy.
pub(super) fn with_trust(role: &RoleRow) -> RoleInfo {
    RoleInfo { assume_role_policy_document: Some(role.trust.clone().into()), ..RoleInfo::from(role) }
}
