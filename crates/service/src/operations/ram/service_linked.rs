//! Service-linked roles: which there are, how one is made and how it goes.
//!
//! Source: `docs/api/ram-policy.md`, section 6. A role is made at the first use of its service, or by
//! CreateServiceLinkedRole; it counts among the account's roles and is made beyond their limit. The policy of its
//! service is attached to it from the beginning. It goes by a task, which the engine decides.

use serde_json::{Value, json};
use tongguan_model::id::AccountId;
use tongguan_store::{
    DeletionStatus, Holder, IntentKind, PolicyKey, RoleDeletion, RoleRow, Snapshot, StoreError, Tx,
};

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue::{self as c, Refusal};
use crate::context::{Context, new_principal_id};
use crate::operation::{Answer, Failure, UntypedChange};

use super::{names, roles};

/// For how long the deletion of a role is remembered, milliseconds.
pub const TASK_KEPT_MS: i64 = 24 * 3_600_000;
/// Ended deletions of one role that are remembered at most, so that asking again and again fills no disk.
const TASKS_KEPT: u32 = 100;
/// Gateways that the reason of a failed deletion names at most.
const USERS_SHOWN: u32 = 1_000;

/// Beginning of the names that only service-linked roles have.
const NAMES: &str = "AliyunServiceRoleFor";

/// A service that has a role of its own in an account.
#[derive(Debug)]
pub struct Service {
    /// The service, as trust policies name it.
    pub name: &'static str,
    /// Name of its role.
    pub role: &'static str,
    /// System policy of the role.
    pub policy: &'static str,
    /// Description of the role.
    pub description: &'static str,
}

/// The service that uses the certificates of gateways.
pub static CERTIFICATES: Service = Service {
    name: "certificate.vpn.aliyuncs.com",
    role: "AliyunServiceRoleForVPNCertificate",
    policy: "AliyunServiceRolePolicyForVPNCertificate",
    description: "VPN Gateway uses this role to access your certificates.",
};

/// Every service with a role of its own.
static ALL: &[&Service] = &[&CERTIFICATES];

/// The service of this name.
pub(super) fn find(name: &str) -> Option<&'static Service> {
    ALL.iter().find(|service| service.name == name).copied()
}

/// The service whose role has this name.
pub(crate) fn of_role(name: &str) -> Option<&'static Service> {
    ALL.iter().find(|service| service.role.eq_ignore_ascii_case(name)).copied()
}

/// Whether a name is kept for service-linked roles.
pub(super) fn is_reserved(name: &str) -> bool {
    name.get(..NAMES.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(NAMES))
}

impl Service {
    /// Makes the account's role for the service, which it must not have yet.
    ///
    /// # Errors
    /// The store fails.
    pub fn make_role(&self, tx: &Tx<'_>, account: &AccountId, now_ms: i64) -> Result<RoleRow, StoreError> {
        let trust = json!({
            "Statement": [
                {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"Service": [self.name]}}
            ],
            "Version": "1"
        });
        let mut role = RoleRow {
            seq: 0,
            id: new_principal_id(3),
            account: account.clone(),
            name: self.role.into(),
            description: self.description.into(),
            trust: trust.to_string(),
            max_session_seconds: 3600,
            service: Some(self.name.into()),
            console_login: false,
            created_ms: now_ms,
            updated_ms: now_ms,
            sessions_from_ms: 0,
        };
        role.seq = tx.insert_role(&role)?;
        tx.attach(account, PolicyKey::System(self.policy), Holder::Role(role.seq), now_ms)?;
        Ok(role)
    }

    /// Makes sure that the account has the role.
    ///
    /// # Errors
    /// The store fails.
    pub fn ensure_role(&self, tx: &Tx<'_>, account: &AccountId, now_ms: i64) -> Result<(), StoreError> {
        if tx.role(account, self.role)?.is_none() {
            self.make_role(tx, account, now_ms)?;
        }
        Ok(())
    }
}

/// CreateServiceLinkedRole.
pub(crate) fn create(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = args.required("ServiceName");
    let service = find(name).ok_or_else(|| args.illegal("ServiceName", name))?;
    if let Some(suffix) = args.text("CustomSuffix") {
        let why = "The service has one role in an account.";
        return Err(args.illegal("CustomSuffix", suffix).because(why).into());
    }
    names::checked(args, "Description", names::DESCRIPTION)?;
    let (account, now_ms) = (call.principal.account.clone(), call.now_ms);
    Ok(Box::new(move |tx| {
        if tx.role(&account, service.role)?.is_some() {
            return Err((&c::ROLE_EXISTS).into());
        }
        let role = service.make_role(tx, &account, now_ms)?;
        let mut answer = Answer::new();
        answer.insert("Role".into(), roles::shown_service_linked(&role).into());
        Ok(answer)
    }))
}

/// DeleteServiceLinkedRole.
pub(crate) fn delete(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let name = args.required("RoleName").to_owned();
    let (account, now_ms) = (call.principal.account.clone(), call.now_ms);
    let random = uuid::Uuid::new_v4().hyphenated();
    Ok(Box::new(move |tx| {
        let role = roles::role(tx, &account, &name)?;
        let Some(service) = &role.service else {
            let why = "The role of this name is not linked to a service.";
            return Err(Refusal::new(&c::ROLE_NOT_FOUND).because(why).into());
        };
        let running = tx.latest_role_deletion(&account, &role.name)?;
        let running = running.filter(|task| task.status == DeletionStatus::InProgress);
        let task = match running {
            Some(task) => task.id,
            None => {
                let task = RoleDeletion {
                    id: format!("task/acs-service-role/{service}/{}/{random}", role.name),
                    account: account.clone(),
                    role: role.name.clone(),
                    status: DeletionStatus::InProgress,
                    reason: None,
                    created_ms: now_ms,
                };
                tx.trim_role_deletions(&account, &role.name, TASKS_KEPT - 1)?;
                tx.insert_role_deletion(&task)?;
                tx.insert_intent(&task.id, IntentKind::RoleDeletion, 1, "delete role", now_ms, now_ms)?;
                task.id
            }
        };
        let mut answer = Answer::new();
        answer.insert("DeletionTaskId".into(), task.into());
        Ok(answer)
    }))
}

/// GetServiceLinkedRoleDeletionStatus.
pub(crate) fn deletion_status(
    _: &Context,
    call: &Call,
    args: &Args<'_>,
    snapshot: &Snapshot<'_>,
) -> Result<Reply, Failure> {
    let task = snapshot.role_deletion(&call.principal.account, args.required("DeletionTaskId"))?;
    let task = task.filter(|task| task.created_ms > call.now_ms.saturating_sub(TASK_KEPT_MS));
    let Some(task) = task else {
        let why = "No deletion of a role has this id.";
        return Err(Refusal::new(&c::ROLE_NOT_FOUND).because(why).into());
    };
    let mut answer = Answer::new();
    answer.insert("Status".into(), task.status.as_str().into());
    if let Some(reason) = &task.reason {
        let reason: Value = serde_json::from_str(reason)
            .map_err(|error| Failure::Internal(format!("reason of {}: {error}", task.id)))?;
        answer.insert("Reason".into(), reason);
    }
    call.answer(answer)
}

/// Decides the deletion of a role, in one transaction with what it depends on: the role goes if nothing uses it. A
/// binding that is made meanwhile comes either before, and the role stays, or after, and makes the role again.
///
/// # Errors
/// The store fails.
pub(crate) fn decide_deletion(tx: &Tx<'_>, task: &str) -> Result<(), StoreError> {
    let Some(task) = tx.role_deletion_of_any_account(task)? else { return Ok(()) };
    if task.status != DeletionStatus::InProgress {
        return Ok(());
    }
    let role = tx.role(&task.account, &task.role)?;
    let Some((role, service)) = role.and_then(|role| role.service.clone().map(|service| (role, service)))
    else {
        return tx.end_role_deletion(&task.id, DeletionStatus::Succeeded, None);
    };
    let users = tx.gateways_with_bindings(&task.account, USERS_SHOWN)?;
    if users.is_empty() {
        tx.detach_all(Holder::Role(role.seq))?;
        tx.delete_role(&role)?;
        return tx.end_role_deletion(&task.id, DeletionStatus::Succeeded, None);
    }
    let mut usages: Vec<(String, Vec<String>)> = Vec::new();
    for (region, gateway) in users {
        match usages.last_mut() {
            Some((known, gateways)) if *known == region => gateways.push(gateway.to_string()),
            Some(_) | None => usages.push((region, vec![gateway.to_string()])),
        }
    }
    let usages: Vec<Value> = usages
        .into_iter()
        .map(|(region, gateways)| json!({"Region": region, "Resources": {"Resource": gateways}}))
        .collect();
    let arn = roles::arn(&role.account, &role.name, true);
    let reason = json!({
        "Message": format!("Service-Linked Role {arn} cannot be deleted as it is in use by {service}."),
        "RoleUsages": {"RoleUsage": usages},
    });
    tx.end_role_deletion(&task.id, DeletionStatus::Failed, Some(&reason.to_string()))
}
