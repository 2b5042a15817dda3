//! Brings what is applied to what is intended, one change per resource at a time.
//!
//! The engine reads only the store. It may die at any instruction and be started again, or run a step
//! twice: a step reads the whole desired state, lets the data plane apply it, and writes down that it is
//! applied *if that generation is still the intended one*.

use std::sync::Arc;
use std::time::Duration;

use fail::fail_point;
use tokio::sync::Notify;
use tongguan_dataplane::{Attempt, Desired, Progress, document};
use tongguan_model::gateway::{Binding, BindingState, Phase, VpnGateway};
use tongguan_model::id::{VSwitchId, VpcId};
use tongguan_store::{Intent, IntentKind, Snapshot, StoreError, Tx, Verdict};
use tracing::{debug, error, warn};

use crate::context::{Context, random};

/// Changes taken up in one round.
const ROUND: u32 = 256;
/// First wait after a failed try, milliseconds; doubled after each further one.
const BACKOFF_FIRST_MS: i64 = 500;
/// Longest wait after a failed try, milliseconds.
const BACKOFF_MOST_MS: i64 = 60_000;
/// Longest sleep: the store is looked at this often even if nobody wakes the engine.
const SLEEP_MOST: Duration = Duration::from_secs(5);
/// A change that waits to be looked at is not due by itself.
const PARKED: i64 = i64::MAX;

/// Wakes the engine and steps single resources. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    context: Context,
    wake: Arc<Notify>,
}

/// What a step found.
#[derive(Debug, Clone)]
struct Outcome {
    intent: Intent,
    progress: Progress,
    document: Option<String>,
}

impl Engine {
    /// An engine over the context's store and data plane.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { context, wake: Arc::new(Notify::new()) }
    }

    /// Something was written down that is to be applied.
    pub fn notify(&self) {
        self.wake.notify_one();
    }

    /// Works until the task is dropped.
    pub async fn run(self) {
        loop {
            let sleep = match self.round().await {
                Ok(sleep) => sleep,
                Err(error) => {
                    error!(%error, "the engine could not use the store");
                    SLEEP_MOST
                }
            };
            // A notification that came meanwhile is kept by Notify and ends the wait at once.
            let _ = tokio::time::timeout(sleep, self.wake.notified()).await;
        }
    }

    /// Steps one resource now, if a change on it is under way.
    ///
    /// # Errors
    /// The store fails.
    pub async fn step(&self, resource: &str) -> Result<(), StoreError> {
        let intent = self.context.store.read(|snapshot| snapshot.intent(resource))?;
        match intent {
            None => Ok(()),
            Some(intent) => self.work(vec![intent]).await,
        }
    }

    /// Steps all that is due; answers how long nothing else will be.
    async fn round(&self) -> Result<Duration, StoreError> {
        let now = self.context.clock.now_ms();
        let due = self.context.store.read(|snapshot| snapshot.intents_due(now, ROUND))?;
        if !due.is_empty() {
            fail_point!("engine::due");
            self.work(due).await?;
            return Ok(Duration::ZERO);
        }
        let next = self.context.store.read(|snapshot| snapshot.next_intent())?;
        let wait = next.map_or(i64::MAX, |next| next.saturating_sub(now).max(0));
        Ok(Duration::from_millis(wait.cast_unsigned()).min(SLEEP_MOST))
    }

    async fn work(&self, intents: Vec<Intent>) -> Result<(), StoreError> {
        let now_ms = self.context.clock.now_ms();
        let mut outcomes = Vec::with_capacity(intents.len());
        for intent in intents {
            let outcome =
                self.context.store.read(|snapshot| attempt(&self.context, snapshot, &intent, now_ms))?;
            if let Progress::Failed(reason) = &outcome.progress {
                warn!(
                    resource = intent.resource,
                    attempts = intent.attempts,
                    reason,
                    "a change was not applied"
                );
            }
            outcomes.push(outcome);
        }
        fail_point!("engine::applied");
        self.context
            .store
            .write(move |tx| {
                for outcome in &outcomes {
                    record(tx, outcome, now_ms)?;
                }
                fail_point!("engine::recording");
                Ok(Verdict::Keep(()))
            })
            .await?;
        fail_point!("engine::recorded");
        Ok(())
    }
}

/// Asks the data plane for one resource.
fn attempt(
    context: &Context,
    snapshot: &Snapshot<'_>,
    intent: &Intent,
    now_ms: i64,
) -> Result<Outcome, StoreError> {
    let desire = |desired: Desired<'_>| {
        fail_point!("engine::applying");
        let text = document(&desired).map(|document| document.to_string());
        let attempt = Attempt { desired, generation: intent.generation, since_ms: intent.since_ms, now_ms };
        Outcome { intent: intent.clone(), progress: context.dataplane.apply(&attempt), document: text }
    };
    Ok(match intent.kind {
        IntentKind::Vpc | IntentKind::VSwitch => desire(Desired::Network { id: &intent.resource }),
        IntentKind::Gateway => match snapshot.gateway_of_any_account(&intent.resource)? {
            Some(gateway) if gateway.phase != Phase::Deleting => {
                let mut bindings = snapshot.bindings_of(&gateway.id)?;
                bindings.retain(|binding| binding.state != BindingState::Dissociating);
                desire(Desired::Gateway { gateway: &gateway, bindings: &bindings })
            }
            Some(_) | None => desire(Desired::NoGateway { id: &intent.resource }),
        },
    })
}

/// Writes down what a step found, unless the intent has changed since.
fn record(tx: &Tx<'_>, outcome: &Outcome, now_ms: i64) -> Result<(), StoreError> {
    let intent = &outcome.intent;
    let current = tx.intent(&intent.resource)?;
    if current.is_none_or(|current| current.generation != intent.generation) {
        debug!(resource = intent.resource, "a step was overtaken");
        return Ok(());
    }
    match &outcome.progress {
        Progress::Applied => applied(tx, outcome, now_ms),
        Progress::Pending(due) => tx.postpone_intent(intent, due.unwrap_or(PARKED), None),
        Progress::Failed(reason) => {
            tx.postpone_intent(intent, now_ms.saturating_add(backoff(intent.attempts)), Some(reason))
        }
    }
}

fn applied(tx: &Tx<'_>, outcome: &Outcome, now_ms: i64) -> Result<(), StoreError> {
    let intent = &outcome.intent;
    match intent.kind {
        IntentKind::Vpc => tx.vpc_ready(&VpcId::new(&intent.resource))?,
        IntentKind::VSwitch => tx.vswitch_ready(&VSwitchId::new(&intent.resource))?,
        IntentKind::Gateway => match tx.gateway_of_any_account(&intent.resource)? {
            None => {}
            Some(gateway) if gateway.phase == Phase::Deleting => return tx.delete_gateway(&gateway),
            Some(gateway) => gateway_applied(tx, &gateway, intent.generation)?,
        },
    }
    if let Some(document) = &outcome.document {
        tx.put_applied(&intent.resource, intent.generation, document, now_ms)?;
    }
    tx.delete_intent(&intent.resource)
}

fn gateway_applied(tx: &Tx<'_>, gateway: &VpnGateway, generation: u64) -> Result<(), StoreError> {
    for binding in tx.bindings_of(&gateway.id)? {
        settle_binding(tx, gateway, &binding)?;
    }
    if gateway.certificate_alert.is_some() {
        tx.refresh_certificate_alert(&gateway.id)?;
    }
    tx.update_generations(&gateway.id, gateway.intended, generation)
}

fn settle_binding(tx: &Tx<'_>, gateway: &VpnGateway, binding: &Binding) -> Result<(), StoreError> {
    match binding.state {
        BindingState::Associating => tx.set_binding_state(gateway, binding, BindingState::Associated),
        BindingState::Dissociating => tx.delete_binding(gateway, binding),
        BindingState::Associated => Ok(()),
    }
}

/// Waits double with each failed try, up to a limit, with a quarter of jitter so that gateways that fail
/// together are not tried together.
fn backoff(attempts: u32) -> i64 {
    let wait = BACKOFF_FIRST_MS.saturating_mul(1 << attempts.min(16)).min(BACKOFF_MOST_MS);
    let [low, high] = random::<2>();
    let jitter = wait / 4 * i64::from(u16::from_le_bytes([low, high])) / i64::from(u16::MAX);
    wait - wait / 8 + jitter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        for attempts in 0..40 {
            let wait = backoff(attempts);
            assert!((BACKOFF_FIRST_MS / 2..=BACKOFF_MOST_MS + BACKOFF_MOST_MS / 4).contains(&wait));
        }
        assert!(backoff(0) < backoff(3));
    }
}
