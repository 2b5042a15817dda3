//! Service-linked roles: which there are, how one is made and how it goes.
//!
//! Source: `docs/api/ram-policy.md`, section 6. A role is made at the first use of its service, or by
//! CreateServiceLinkedRole; it counts among the account's roles and is made beyond their limit. The policy of its
//! service is attached to it from the beginning. It goes by a task, which the engine decides.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tongguan_model::id::AccountId;
use tongguan_model::service_role::{self, Service};
use tongguan_store::{DeletionStatus, Holder, IntentKind, PolicyKey, RoleDeletion, RoleRow, StoreError, Tx};

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::Refusal;
use crate::context::new_principal_id;
use crate::operation::Failure;

use super::roles;

/// For how long the deletion of a role is remembered, milliseconds.
pub const TASK_KEPT_MS: i64 = 24 * 3_600_000;
/// Ended deletions of one role that are remembered at most, so that asking again and again fills no disk.
const TASKS_KEPT: u32 = 100;
/// Gateways that the reason of a failed deletion names at most.
const USERS_SHOWN: u32 = 1_000;

/// Why a role could not be deleted, as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Reason {
    pub(crate) message: String,
    pub(crate) role_usages: RoleUsages,
}

/// See [`Reason`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleUsages {
    pub(crate) role_usage: Vec<RoleUsage>,
}

/// What uses a role in a region.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleUsage {
    pub(crate) region: String,
    pub(crate) resources: Resources,
}

/// See [`RoleUsage`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Resources {
    pub(crate) resource: Vec<String>,
}

/// The service that a parameter names.
pub(crate) fn service(args: &Args<'_>, name: &'static str) -> Result<&'static Service, Refusal> {
    let value = args.required(name);
    service_role::find(value).ok_or_else(|| args.illegal(name, value))
}

/// Makes the account's role for a service, which it must not have yet.
pub(super) fn make_role(
    service: &Service,
    tx: &Tx<'_>,
    account: &AccountId,
    now_ms: i64,
) -> Result<RoleRow, StoreError> {
    let trust = json!({
        "Statement": [
            {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"Service": [service.name]}}
        ],
        "Version": "1"
    });
    let mut role = RoleRow {
        seq: 0,
        id: new_principal_id(3),
        account: account.clone(),
        name: service.role.into(),
        description: service.description.into(),
        trust: trust.to_string(),
        max_session_seconds: 3600,
        service: Some(service.name.into()),
        console_login: false,
        created_ms: now_ms,
        updated_ms: now_ms,
        sessions_from_ms: 0,
    };
    role.seq = tx.insert_role(&role)?;
    tx.attach(account, PolicyKey::System(service.policy), Holder::Role(role.seq), now_ms)?;
    Ok(role)
}

/// Makes the role of a service at its first use, for which the caller needs the permission to make it.
pub(crate) fn ensure_role(service: &Service, call: &Call, tx: &Tx<'_>) -> Result<(), Failure> {
    let account = &call.principal.account;
    if tx.role(account, service.role)?.is_none() {
        call.require("ram:CreateServiceLinkedRole", "*", &[("ram:servicename", service.name)])?;
        make_role(service, tx, account, call.now_ms)?;
    }
    Ok(())
}

/// The running task that deletes a role of a service; one is written down if there is none.
pub(crate) fn deletion_task(
    service: &str,
    role: &RoleRow,
    tx: &Tx<'_>,
    now_ms: i64,
) -> Result<String, StoreError> {
    let latest = tx.latest_role_deletion(&role.account, &role.name)?;
    if let Some(running) = latest.filter(|task| task.status == DeletionStatus::InProgress) {
        return Ok(running.id);
    }
    let random = uuid::Uuid::new_v4().hyphenated();
    let task = RoleDeletion {
        id: format!("task/acs-service-role/{service}/{}/{random}", role.name),
        account: role.account.clone(),
        role: role.name.clone(),
        status: DeletionStatus::InProgress,
        reason: None,
        created_ms: now_ms,
    };
    tx.trim_role_deletions(&role.account, &role.name, TASKS_KEPT - 1)?;
    tx.insert_role_deletion(&task)?;
    tx.insert_intent(&task.id, IntentKind::RoleDeletion, 1, "delete role", now_ms, now_ms)?;
    Ok(task.id)
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
    let usage = |(region, resource)| RoleUsage { region, resources: Resources { resource } };
    let arn = roles::arn(&role.account, &role.name, true);
    let reason = Reason {
        message: format!("Service-Linked Role {arn} cannot be deleted as it is in use by {service}."),
        role_usages: RoleUsages { role_usage: usages.into_iter().map(usage).collect() },
    };
    let reason = serde_json::to_string(&reason).expect("texts and lists of them are JSON");
    tx.end_role_deletion(&task.id, DeletionStatus::Failed, Some(&reason))
}
