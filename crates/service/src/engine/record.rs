//! Records the outcome of a try, inside a transaction: applied, postponed, or given up.
//!
//! What giving up means (`docs/operations.md` explains it to operators):
//!
//! | change | result |
//! |---|---|
//! | creating a gateway | the gateway is deleted again, as by DeleteVpnGateway |
//! | bind, unbind, connect, modify, delete | the gateway is restored to what was applied before, with all that hangs on it |
//! | restoring, or deleting again | the gateway comes to rest; the operator sees that it diverged |
//! | deleting a service-linked role | cannot fail; the task would end as `INTERNAL_ERROR` |
//! | creating a VPC or a vSwitch | retried indefinitely, at the longest interval, because other resources may depend on it |
//!
//! Restoring is a change like any other: a new generation, tried up to the same limit. A change that nobody is there to
//! apply is not given up: it waits for somebody.

use serde_json::Value;
use tongguan_dataplane::Progress;
use tongguan_model::gateway::{Phase, VpnGateway, Withdrawal};
use tongguan_model::id::{VSwitchId, VpcId};
use tongguan_store::{DeletionStatus, Fault, FaultOutcome, IntentKind, StoreError, Tx};
use tracing::{debug, error, warn};

use super::{Outcome, children};
use crate::operations::ram::service_linked;
use crate::random::random;

/// First wait after a failed try, milliseconds; doubled after each further one.
const BACKOFF_FIRST_MS: i64 = 500;
/// Longest wait after a failed try, milliseconds.
const BACKOFF_MOST_MS: i64 = 60_000;
/// Wait after a try that nobody was there to carry out, milliseconds.
const AWAY_MS: i64 = 3_000;
/// A change that waits to be looked at is not due by itself.
pub(super) const PARKED: i64 = i64::MAX;
/// What the intent of bringing a gateway back is called.
const WITHDRAW: &str = "withdraw";
/// Characters of a driver's reason that are kept.
const REASON_CHARS: usize = 500;

/// Writes down what a step found, unless the intent has changed since or somebody else has taken it up.
pub(super) fn outcome(tx: &Tx<'_>, outcome: &Outcome, attempts: u64, now_ms: i64) -> Result<(), StoreError> {
    let intent = &outcome.intent;
    // What is applied is struck off at once: that says, too, whether it was still wanted.
    let current = match outcome.progress {
        Progress::Applied => tx.strike_off(intent)?.then(|| intent.clone()),
        _ => tx.intent(&intent.resource)?,
    };
    let Some(current) = current.filter(|current| current.same_claim(intent)) else {
        debug!(resource = intent.resource, "a step was overtaken");
        return Ok(());
    };
    let failed = u64::from(current.attempts) + 1;
    match &outcome.progress {
        Progress::Applied => applied(tx, outcome, now_ms),
        Progress::Pending(due) => tx.postpone_intent(&outcome.node, intent, due.unwrap_or(PARKED), None),
        Progress::Away(reason) => {
            if current.last_error.as_deref() != Some(&cut(reason)) {
                let change = &intent.change;
                warn!(resource = intent.resource, change, reason, "a change waits for somebody to apply it");
            }
            tx.hold_intent(&outcome.node, intent, now_ms.saturating_add(AWAY_MS), &cut(reason))
        }
        Progress::Refused(reason) => give_up(tx, outcome, failed, reason, now_ms),
        Progress::Failed(reason) if failed >= attempts => give_up(tx, outcome, failed, reason, now_ms),
        Progress::Failed(reason) => {
            warn!(
                resource = intent.resource,
                change = intent.change,
                failed,
                reason,
                "a change was not applied"
            );
            put_off(tx, outcome, current.attempts, reason, now_ms)
        }
    }
}

fn put_off(
    tx: &Tx<'_>,
    outcome: &Outcome,
    attempts: u32,
    reason: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    let due_ms = now_ms.saturating_add(backoff(attempts));
    tx.postpone_intent(&outcome.node, &outcome.intent, due_ms, Some(&cut(reason)))
}

fn applied(tx: &Tx<'_>, outcome: &Outcome, now_ms: i64) -> Result<(), StoreError> {
    let intent = &outcome.intent;
    let withdrawn = intent.change == WITHDRAW;
    match intent.kind {
        IntentKind::Vpc => tx.vpc_ready(&VpcId::new(&intent.resource))?,
        IntentKind::VSwitch => tx.vswitch_ready(&VSwitchId::new(&intent.resource))?,
        IntentKind::Gateway => match &outcome.picture.gateway {
            Some(gateway) => gateway_applied(tx, gateway, outcome, now_ms)?,
            None => {
                let gone = tx.gateway_of_any_account(&intent.resource)?;
                if let Some(gateway) = gone.filter(|gateway| gateway.phase == Phase::Deleting) {
                    tx.delete_gateway(&gateway)?;
                }
            }
        },
        IntentKind::ResourceGroup => tx.settle_resource_group(&intent.resource)?,
        IntentKind::RoleDeletion => service_linked::decide_deletion(tx, &intent.resource)?,
    }
    // Without a document the gateway is gone, and what was known of it with it.
    if let Some(document) = &outcome.picture.document {
        tx.put_applied(&intent.resource, intent.generation, document, now_ms)?;
    }
    if withdrawn {
        tx.set_fault_outcome(&intent.resource, FaultOutcome::Withdrawn)
    } else {
        tx.delete_fault(&intent.resource)
    }
}

fn gateway_applied(
    tx: &Tx<'_>,
    gateway: &VpnGateway,
    outcome: &Outcome,
    now_ms: i64,
) -> Result<(), StoreError> {
    let connected = children::settle(tx, gateway)?;
    if gateway.takes_certificates().is_ok() {
        tx.renew_certificate_alert(&gateway.id)?;
    }
    tx.generation_applied(&gateway.id, outcome.intent.generation)?;
    match outcome.picture.seen.filter(|_| connected) {
        Some(seen) => tx.observe_tunnels_of(&gateway.id, seen, now_ms),
        None => Ok(()),
    }
}

/// A change that cannot be applied: what was applied before is to be in force again.
fn give_up(tx: &Tx<'_>, outcome: &Outcome, failed: u64, reason: &str, now_ms: i64) -> Result<(), StoreError> {
    let intent = &outcome.intent;
    let reason = cut(reason);
    error!(resource = intent.resource, change = intent.change, failed, reason, "a change was given up");
    let mut fault = Fault {
        resource: intent.resource.clone(),
        kind: intent.kind,
        change: intent.change.clone(),
        reason: reason.clone(),
        attempts: u32::try_from(failed).unwrap_or(u32::MAX),
        since_ms: intent.since_ms,
        failed_ms: now_ms,
        outcome: FaultOutcome::Withdrawing,
    };
    let gateway = match intent.kind {
        IntentKind::Vpc | IntentKind::VSwitch | IntentKind::ResourceGroup => {
            fault.outcome = FaultOutcome::Retrying;
            tx.put_fault(&fault)?;
            return put_off(tx, outcome, u32::MAX, &reason, now_ms);
        }
        IntentKind::RoleDeletion => {
            tx.end_role_deletion(&intent.resource, DeletionStatus::InternalError, None)?;
            return tx.delete_intent(&intent.resource);
        }
        IntentKind::Gateway => tx.gateway_of_any_account(&intent.resource)?,
    };
    let Some(gateway) = gateway else { return tx.delete_intent(&intent.resource) };
    if intent.change == WITHDRAW {
        return diverged(tx, &gateway);
    }
    tx.put_fault(&fault)?;
    tx.delete_intent(&intent.resource)?;
    bring_back(tx, gateway, now_ms)
}

/// Makes the last applied state the intended one again, as a new generation.
fn bring_back(tx: &Tx<'_>, mut gateway: VpnGateway, now_ms: i64) -> Result<(), StoreError> {
    match gateway.withdraw(&tx.bindings_on(&gateway)?) {
        Withdrawal::Remove => gateway.phase = Phase::Deleting,
        Withdrawal::Restore { leave, stay } => {
            gateway.phase = Phase::Live;
            children::restore(tx, &gateway, &leave, &stay)?;
            let applied = tx.applied(gateway.id.as_str())?.map(|(_, document)| document).unwrap_or_default();
            let applied: Value = serde_json::from_str(&applied).unwrap_or_default();
            gateway.auto_propagate = applied["auto_propagate"].as_bool().unwrap_or(gateway.auto_propagate);
        }
    }
    gateway.intended += 1;
    tx.update_gateway(&gateway)?;
    tx.insert_intent(gateway.id.as_str(), IntentKind::Gateway, gateway.intended, WITHDRAW, now_ms, now_ms)
}

/// Even the last applied state could not be brought back: the gateway comes to rest all the same. The next
/// change hands the data plane the whole state again.
fn diverged(tx: &Tx<'_>, gateway: &VpnGateway) -> Result<(), StoreError> {
    tx.set_fault_outcome(gateway.id.as_str(), FaultOutcome::Diverged)?;
    if gateway.phase == Phase::Deleting {
        return tx.delete_gateway(gateway);
    }
    tx.update_generations(&gateway.id, gateway.intended, gateway.intended)?;
    tx.delete_intent(gateway.id.as_str())
}

/// Waits double with each failed try, up to a limit, with a quarter of jitter so that gateways that fail
/// together are not tried together.
fn backoff(attempts: u32) -> i64 {
    let wait = BACKOFF_FIRST_MS.saturating_mul(1 << attempts.min(16)).min(BACKOFF_MOST_MS);
    let [low, high] = random::<2>();
    let jitter = wait / 4 * i64::from(u16::from_le_bytes([low, high])) / i64::from(u16::MAX);
    wait - wait / 8 + jitter
}

fn cut(reason: &str) -> String {
    reason.chars().take(REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        for attempts in (0..40).chain([u32::MAX]) {
            let wait = backoff(attempts);
            assert!((BACKOFF_FIRST_MS / 2..=BACKOFF_MOST_MS + BACKOFF_MOST_MS / 4).contains(&wait));
        }
        assert!(backoff(0) < backoff(3));
    }
}
