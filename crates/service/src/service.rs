//! The service: everything behind the listener.

use std::sync::Arc;
use std::time::Duration;

use tongguan_rpc::{HttpRequest, Limits};
use tongguan_store::{Admission, StoreError, Verdict};
use tracing::warn;

use crate::accounts::{self, AccountError, Done as Ordered, Order};
use crate::agreement::{Agreement, Disagreement};
use crate::audit::of_operator;
use crate::authority::Authority;
use crate::context::{Clock as _, Context, Keys, Shared, iso8601};
use crate::engine::Engine;
use crate::fingerprint::FingerprintKey;
use crate::keyring::{Keyring, KeyringError};
use crate::own_key::MarkerKey;
use crate::pipeline::admit::Gate;
use crate::test_api::{LAST_MS, StepError, TestApi};
use crate::throttle::{Failures, Throttle};
use crate::token::Tokens;
use crate::work::Work;

/// The service: everything behind the listener.
#[derive(Debug)]
pub struct Service {
    pub(crate) context: Context,
    pub(crate) gate: Gate,
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) work: Work,
    /// What it has in common with other processes on the store.
    agreement: Agreement,
    /// Of a service for tests.
    pub(crate) test: Option<Box<TestApi>>,
}

impl Service {
    /// Puts the service together. `keyring` holds the keys that are not in the store.
    ///
    /// # Errors
    /// The store fails, or what is sealed in it does not open under the vault's master key.
    pub fn new(context: Context, keyring: Keyring, admission: Admission) -> Result<Self, KeyringError> {
        let engine = Engine::new(context.clone());
        let Shared { store, vault, clock, .. } = &*context;
        let now_ms = clock.now_ms();
        let markers = MarkerKey::prepare(store, vault, now_ms)?;
        let fingerprints = FingerprintKey::prepare(store, vault, now_ms)?;
        let tokens = Tokens::open(store, vault, now_ms)?;
        let agreement = Agreement::of(&context.settings, &keyring, &markers.0);
        context.keep_keys(Keys { markers, fingerprints });
        context.begin(agreement.text(), now_ms)?;
        let authority = Arc::new(Authority::new(keyring, tokens));
        let (throttle, failures) = (Throttle::default(), Failures::new(false));
        let gate = Gate { authority, admission, throttle, failures };
        Ok(Self {
            context,
            gate,
            engine,
            limits: Limits::default(),
            work: Work::default(),
            agreement,
            test: None,
        })
    }

    /// Who may sign, and what they may do.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.gate.authority
    }

    /// Holds every account to a rate, which processes that share the store divide, and sources of requests that nobody
    /// signed to theirs, each process by itself.
    #[must_use]
    pub fn throttled(self, throttle: Throttle) -> Self {
        let failures = Failures::new(throttle.limits());
        let throttle = throttle.among(self.context.living());
        Self { gate: Gate { throttle, failures, ..self.gate }, ..self }
    }

    /// Does long work in this pool.
    #[must_use]
    pub fn working(self, work: Work) -> Self {
        Self { work, ..self }
    }

    /// A service for tests, with what a test does to it.
    #[must_use]
    pub fn with_test_api(self, test: TestApi) -> Self {
        Self { test: Some(Box::new(test)), ..self }
    }

    /// What a test does to the service; none: it is none for tests.
    #[must_use]
    pub fn test_api(&self) -> Option<&TestApi> {
        self.test.as_deref()
    }

    /// Empties a service for tests, but for the accounts of its configuration. What is under way is over. The audit
    /// record stays, and the clock stays where it is.
    ///
    /// # Errors
    /// The store fails, or was not made for tests.
    pub async fn reset(&self) -> Result<(), StoreError> {
        let Some(test) = self.test_api() else { return Err(StoreError::NotForTests) };
        let (kept, now_ms) = (test.kept().clone(), self.context.clock.now_ms());
        let record = of_operator("ResetStore", None, "store", now_ms);
        self.engine.abandon_tries();
        let emptied = self.context.store.write(move |tx| {
            tx.reset(&kept, now_ms)?;
            tx.audit(&record)?;
            Ok(Verdict::Keep(()))
        });
        emptied.await?;
        test.clear();
        Ok(())
    }

    /// Steps the clock of a service for tests forward. Answers the moment that it shows then, UNIX milliseconds.
    ///
    /// # Errors
    /// [`StepError`]; the clock is where it was then.
    pub async fn step_clock(&self, by: Duration) -> Result<i64, StepError> {
        let Some(test) = self.test_api() else { return Err(StoreError::NotForTests.into()) };
        let (_one, clock) = test.clock().await;
        let by_ms = i64::try_from(by.as_millis()).map_err(|_| StepError::TooFar)?;
        let then_ms = clock.now_ms().checked_add(by_ms).filter(|then| *then < LAST_MS);
        let then_ms = then_ms.ok_or(StepError::TooFar)?;
        let ahead_ms = clock.ahead_ms() + by_ms;
        let record = of_operator("StepClock", None, &iso8601(then_ms), then_ms);
        // Before it is so: after a restart it is at least as late.
        let kept = self.context.store.write(move |tx| {
            tx.set_test_ahead_ms(ahead_ms)?;
            tx.audit(&record)?;
            Ok(Verdict::Keep(()))
        });
        kept.await?;
        clock.step_to(ahead_ms);
        self.engine.notify();
        Ok(clock.now_ms())
    }

    /// Has the engine look again at all that is under way: what decides how long a change takes has become another.
    ///
    /// # Errors
    /// The store fails.
    pub async fn look_again(&self) -> Result<(), StoreError> {
        self.engine.abandon_tries();
        self.engine.look_again().await
    }

    /// What holds accounts to their rate.
    #[must_use]
    pub fn throttle(&self) -> &Throttle {
        &self.gate.throttle
    }

    /// What counts requests that nobody signed.
    #[must_use]
    pub fn failures(&self) -> &Failures {
        &self.gate.failures
    }

    /// The pool for long work.
    #[must_use]
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Forgets the rates of accounts, principals and sources that have rested: to be called now and then.
    pub fn forget_rested(&self) {
        let steady_ms = self.context.clock.steady_ms();
        self.gate.throttle.forget_rested(steady_ms);
        self.gate.failures.forget_rested(steady_ms);
    }

    /// Carries out an operator's order, which is in force for the next call.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub fn order(&self, order: &Order) -> Result<Ordered, AccountError> {
        let context = &self.context;
        let done = accounts::carry_out(&context.store, &context.vault, order, context.clock.now_ms())?;
        if let Ordered::TokenKey(rotated) = &done {
            self.authority().tokens().take_up(rotated);
        }
        Ok(done)
    }

    /// Makes a new token key once a day, and removes those under which no session can live any more.
    ///
    /// # Errors
    /// The store fails, or a key does not open.
    pub async fn keep_token_keys(&self) -> Result<(), KeyringError> {
        let Shared { store, vault, clock, .. } = &*self.context;
        self.authority().tokens().keep(store, vault, clock.now_ms()).await
    }

    /// What lets signed requests in, each once.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.gate.admission
    }

    /// The engine, to be run beside the listener.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// The context, for those who look behind the API.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The processes that share the store and have other settings that all must have in common, and which.
    ///
    /// # Errors
    /// The store fails.
    pub fn disagreements(&self) -> Result<Vec<Disagreement>, StoreError> {
        Ok(self.agreement.differing(&self.context.others()?))
    }

    /// Leaves what this process has claimed to others that share the store, so that they need not wait for its
    /// leases to end.
    ///
    /// # Errors
    /// The store fails; then they wait.
    pub async fn leave(&self) -> Result<(), StoreError> {
        let node = self.context.node().clone();
        if !node.shares() {
            return Ok(());
        }
        let left = self.context.store.write(move |tx| {
            tx.end_node(&node)?;
            Ok(Verdict::Keep(()))
        });
        left.await
    }

    /// Notes an orderly stop.
    pub fn close(&self) {
        if let Err(error) = self.gate.admission.close() {
            warn!(%error, "the nonce log was not closed in order");
        }
    }

    /// Whether a request, of which the body has not come yet, names a key that exists and is active. Nothing is proved
    /// by that: it says who is served first when there is not room for all, and gives no right.
    #[must_use]
    pub fn names_active_key(&self, head: HttpRequest<'_>) -> bool {
        let Ok(incoming) = tongguan_rpc::parse(HttpRequest { body: &[], ..head }, &self.limits) else {
            return false;
        };
        let now_ms = self.context.clock.now_ms();
        let token = incoming.security_token();
        incoming
            .access_key_id()
            .is_some_and(|id| self.gate.authority.names_active_key(&self.context, id, token, now_ms))
    }
}
