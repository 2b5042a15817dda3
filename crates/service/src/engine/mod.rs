//! Applies what is intended, one change per resource at a time.
//!
//! The engine reads only the store. It may die at any instruction and be started again, or run a step twice: a step
//! reads the whole desired state, lets the data plane apply it, and records that it is applied *if that generation
//! is still the intended one* (`record.rs`).
//!
//! Where several processes have the store, one of them works on a change at a time: it has claimed the intent, for
//! the time of a lease ([`Node`]). Whoever accepts a change has it from the beginning; what another process has
//! left, or has not gone on with, is taken up when its lease has ended. A claim has a number, which the data plane
//! gets with each order and refuses an older one by, and without which nothing is recorded.
//!
//! A try that takes time runs as a task of its own, with a time limit; its intent is postponed, and its lease
//! renewed, for longer than that, so that one gateway that hangs delays no other. A try that could not be begun in
//! time is abandoned. A failed try is repeated with growing delays up to a limit; then the change is withdrawn.
//!
//! The wall clock may jump: delays are stored as moments, so when it has jumped against the monotonic clock,
//! everything that waits for a moment is tried again at once.

mod children;
mod material;
mod record;
mod watch;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fail::fail_point;
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tongguan_dataplane::{Applying, Attempt, Desired, Progress, document_text};
use tongguan_model::connection::Negotiation;
use tongguan_model::gateway::{Phase, VpnGateway};
use tongguan_model::id::AccountId;
use tongguan_store::{Intent, IntentKind, Node, Owner, Scope, Snapshot, StoreError, Verdict};
use tracing::{error, warn};

use crate::context::Context;

use children::Children;
use watch::Told;

/// Changes taken up in one round.
const ROUND: u32 = 256;
/// Changes that are looked at in one state of the store: nobody else reads by its connection meanwhile.
const TOGETHER: usize = 32;
/// Tries that take time, at once.
const TASKS: usize = 256;
/// Longest sleep: the store is read this often even if nobody wakes the engine.
const SLEEP_MOST: Duration = Duration::from_secs(5);
/// A difference between two clocks that counts as a jump, milliseconds.
const JUMP_MS: i64 = 2_000;

/// Wakes the engine and steps single resources. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    context: Context,
    /// As whom it claims changes.
    node: Arc<Node>,
    wake: Arc<Notify>,
    tasks: Arc<Mutex<Tasks>>,
    /// What gateways that store nothing were told last, by id.
    told: Arc<Mutex<HashMap<String, Told>>>,
    /// When the last round began, in milliseconds after `born`: others see that it lives.
    beat: Arc<AtomicU64>,
    born: Instant,
}

/// Tries under way that take time. They end with the engine.
#[derive(Debug, Default)]
struct Tasks {
    set: JoinSet<()>,
    resources: HashSet<String>,
    /// How often they were abandoned: a try that was begun before is not waited for.
    abandoned: u64,
}

/// What a step found.
#[derive(Debug, Clone)]
struct Outcome {
    /// Who has made the step.
    node: Arc<Node>,
    intent: Intent,
    progress: Progress,
    picture: Picture,
}

/// What holds once a try has succeeded.
#[derive(Debug, Clone, Default)]
struct Picture {
    /// What the data plane has then; none: nothing.
    document: Option<String>,
    /// The gateway that was looked at, unless it is to be gone. As long as its generation is the intended one, nothing
    /// of it has changed that decides what has come into force.
    gateway: Option<VpnGateway>,
    /// What it sees then of the far ends of all its tunnels, if that is known.
    seen: Option<Negotiation>,
    /// What a gateway that stores nothing was told then.
    told: Option<Told>,
    /// Where others may write at the same time: the account whose resource it is, of which alone something is written
    /// down then.
    account: Option<AccountId>,
}

/// What is written down at once: where others may write at the same time, of one account, so that nobody waits for
/// the locks of others.
#[derive(Default)]
struct Part {
    outcomes: Vec<Outcome>,
    /// Claims that are renewed, of tries that take time.
    leases: Vec<Intent>,
}

/// A try: what it is of, and how far it has come.
struct Try {
    intent: Intent,
    picture: Picture,
    applying: Applying,
}

/// Where two clocks stood when they were last compared.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    wall_ms: i64,
    steady_ms: i64,
}

impl Engine {
    /// An engine over the context's store and data plane.
    #[must_use]
    pub fn new(context: Context) -> Self {
        let (wake, born) = (Arc::new(Notify::new()), Instant::now());
        let (tasks, told, beat) = (Arc::default(), Arc::default(), Arc::default());
        let node = Arc::new(context.node().clone());
        Self { context, node, wake, tasks, told, beat, born }
    }

    /// The same, claiming changes as another process would.
    #[must_use]
    pub fn acting_as(self, node: Node) -> Self {
        Self { node: Arc::new(node), ..self }
    }

    /// Time since the last round began: hardly more than five seconds while the engine lives.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.born.elapsed().saturating_sub(Duration::from_millis(self.beat.load(Ordering::Relaxed)))
    }

    /// Something was written down that is to be applied.
    pub fn notify(&self) {
        self.wake.notify_one();
    }

    /// Says that this process lives, to others that share the store, counts them and compares the clocks, until the
    /// task is dropped; ends at once if nobody can share it.
    pub async fn live(self) {
        while let Some(beat) = self.node.beat_ms() {
            if let Err(error) = self.context.compare_clocks() {
                error!(%error, "the clock of the database could not be read");
            }
            if let Err(error) = self.context.beat(&self.node).await {
                error!(%error, "the heartbeat of this process was not written down");
            }
            tokio::time::sleep(Duration::from_millis(beat.cast_unsigned())).await;
        }
    }

    /// Works until the task is dropped.
    pub async fn run(self) {
        let mut clocks = None;
        loop {
            let beat = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.beat.store(beat, Ordering::Relaxed);
            let sleep = match self.turn(&mut clocks).await {
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
        let now_ms = self.context.clock.now_ms();
        let held = match intent {
            Some(intent) if !intent.is_held_by(&self.node, now_ms) => {
                let (node, resource) = (Arc::clone(&self.node), resource.to_owned());
                let claim = self.context.store.write_in(Scope::Nothing, move |tx| {
                    let now_ms = tx.now_ms(now_ms)?;
                    Ok(Verdict::Keep(tx.claim_intent(&node, &resource, now_ms)?))
                });
                claim.await?
            }
            held => held,
        };
        match held {
            None => Ok(()),
            Some(intent) => self.work(vec![intent]).await,
        }
    }

    /// Looks at everything under way as soon as may be, whatever it waits for: to be called when what decides how long
    /// it takes has become another.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) async fn look_again(&self) -> Result<(), StoreError> {
        // No due moment is below zero: what waits to be looked at is looked at too.
        const NONE: i64 = -1;
        self.hurry(self.context.clock.now_ms(), NONE).await?;
        self.notify();
        Ok(())
    }

    /// Ends the tries that take time; what they were of is tried again when it is due.
    pub(crate) fn abandon_tries(&self) {
        let mut tasks = self.tasks();
        tasks.set.abort_all();
        tasks.resources.clear();
        tasks.abandoned += 1;
    }

    /// One turn: reads the clocks, then steps what is due. Returns how long nothing else will be due.
    async fn turn(&self, clocks: &mut Option<Clocks>) -> Result<Duration, StoreError> {
        let clock = &self.context.clock;
        // A clock that a test has stepped has not jumped: what is due then is.
        let wall_ms = clock.now_ms() - clock.ahead_ms();
        let now = Clocks { wall_ms, steady_ms: clock.steady_ms() };
        if clocks.is_none_or(|before| now.jumped_since(before)) {
            if clocks.is_some() {
                warn!("the clock has jumped: every change under way is looked at again");
            }
            self.hurry(clock.now_ms(), record::PARKED).await?;
            *clocks = Some(now);
        }
        self.round().await
    }

    /// Makes everything of this process that waits for a moment due, but what waits for `parked`. After a start,
    /// too: who knows what the clock did.
    async fn hurry(&self, now_ms: i64, parked: i64) -> Result<(), StoreError> {
        let node = Arc::clone(&self.node);
        let hurry = self.context.store.write_in(Scope::Nothing, move |tx| {
            let now_ms = tx.now_ms(now_ms)?;
            tx.hurry_intents(&node, now_ms, parked)?;
            Ok(Verdict::Keep(()))
        });
        hurry.await
    }

    /// What is due and this process has, with what it takes up of what nobody has any more.
    async fn due(&self, now_ms: i64) -> Result<Vec<Intent>, StoreError> {
        let node = &self.node;
        let open = self.context.store.read(|snapshot| {
            let now_ms = snapshot.now_ms(now_ms)?;
            let open = snapshot.intents_open(node, now_ms, ROUND)?;
            Ok(open.into_iter().partition(|intent| intent.is_held_by(node, now_ms)))
        });
        let (mut held, free): (Vec<Intent>, Vec<Intent>) = open?;
        if !free.is_empty() {
            let (node, most) = (Arc::clone(node), u32::try_from(free.len()).unwrap_or(ROUND));
            let claim = self.context.store.write_in(Scope::Nothing, move |tx| {
                let now_ms = tx.now_ms(now_ms)?;
                Ok(Verdict::Keep(tx.claim_intents(&node, now_ms, most)?))
            });
            held.extend(claim.await?);
        }
        Ok(held)
    }

    /// Steps all that is due; answers how long nothing else will be.
    async fn round(&self) -> Result<Duration, StoreError> {
        let now = self.context.clock.now_ms();
        let mut due = self.due(now).await?;
        let found = due.len();
        {
            let tasks = self.tasks();
            if tasks.resources.len() >= TASKS {
                // One that ends wakes the engine.
                return Ok(SLEEP_MOST);
            }
            due.retain(|intent| !tasks.resources.contains(&intent.resource));
            due.truncate(TASKS - tasks.resources.len());
        }
        if !due.is_empty() {
            fail_point!("engine::due");
            self.work(due).await?;
            return Ok(Duration::ZERO);
        }
        if found > 0 {
            return Ok(SLEEP_MOST);
        }
        let next = self.context.store.read(|snapshot| snapshot.next_intent_of(&self.node))?;
        let wait = next.map_or(i64::MAX, |next| next.saturating_sub(now).max(0));
        Ok(Duration::from_millis(wait.cast_unsigned()).min(SLEEP_MOST))
    }

    /// Tries each, writes down what came of it, and lets those that take time run on.
    async fn work(&self, intents: Vec<Intent>) -> Result<(), StoreError> {
        let now_ms = self.context.clock.now_ms();
        let abandoned = self.tasks().abandoned;
        let (mut parts, mut later) = (BTreeMap::<_, Part>::new(), Vec::new());
        let (context, node) = (&self.context, &self.node);
        let mut intents = intents.into_iter().peekable();
        while intents.peek().is_some() {
            // What is asked for together is read in one state; a claim that ends meanwhile gives no order.
            let tries = context.store.read(|snapshot| {
                let held = |intent: &Intent| intent.is_held_by(node, context.clock.now_ms());
                let some = intents.by_ref().take(TOGETHER).filter(held);
                some.map(|intent| {
                    let claim = node.shares().then_some(intent.fence);
                    attempt(context, snapshot, intent, claim, now_ms)
                })
                .collect::<Result<Vec<_>, _>>()
            })?;
            for Try { intent, picture, applying } in tries {
                let part = parts.entry(picture.account.clone()).or_default();
                match applying {
                    Applying::Now(progress) => {
                        let node = Arc::clone(node);
                        part.outcomes.push(Outcome { node, intent, progress, picture });
                    }
                    Applying::Later(future) => {
                        part.leases.push(intent.clone());
                        later.push((intent, picture, future));
                    }
                }
            }
        }
        fail_point!("engine::applied");
        let lease_until = now_ms.saturating_add(self.try_time_ms().saturating_mul(2));
        let parts = parts.into_iter().map(|(account, part)| {
            let (scope, node) = (scope_of(account.as_ref()), Arc::clone(&self.node));
            let limit = self.context.settings.quotas.apply_attempts;
            self.context.store.write_in(scope, move |tx| {
                for outcome in &part.outcomes {
                    record::outcome(tx, outcome, limit, now_ms)?;
                }
                let mut renewed = Vec::with_capacity(part.leases.len());
                for intent in &part.leases {
                    if tx.renew_intent(&node, intent, lease_until)? {
                        renewed.push(intent.resource.clone());
                    }
                }
                fail_point!("engine::recording");
                Ok(Verdict::Keep(renewed))
            })
        });
        // What some have come to is written down, whatever becomes of others.
        let recorded = join_all(parts).await;
        let renewed: HashSet<_> =
            recorded.into_iter().collect::<Result<Vec<_>, _>>()?.concat().into_iter().collect();
        fail_point!("engine::recorded");
        let mut overtaken = false;
        for (intent, picture, future) in later {
            // One whose lease would end before it does is not begun: it is due again then.
            let late = self.context.clock.now_ms().saturating_add(self.try_time_ms()) > lease_until;
            if renewed.contains(&intent.resource) && !(late && self.node.shares()) {
                overtaken |= !self.wait_for(intent, picture, future, abandoned);
            }
        }
        if overtaken { self.look_again().await } else { Ok(()) }
    }

    /// Waits for a try beside everything else, for as long as a try may take. Answers false if tries were abandoned
    /// since this one was begun, when there had been so many times: it is not waited for.
    fn wait_for(
        &self,
        intent: Intent,
        picture: Picture,
        future: std::pin::Pin<Box<dyn Future<Output = Progress> + Send>>,
        abandoned: u64,
    ) -> bool {
        let mut tasks = self.tasks();
        if tasks.abandoned != abandoned {
            return false;
        }
        while tasks.set.try_join_next().is_some() {}
        if !tasks.resources.insert(intent.resource.clone()) {
            // Somebody's look has begun the same try at the same time; one is enough.
            return true;
        }
        let (context, wake, all) =
            (self.context.clone(), Arc::clone(&self.wake), Arc::downgrade(&self.tasks));
        let node = Arc::clone(&self.node);
        let known = Arc::downgrade(&self.told);
        let limit = Duration::from_millis(self.try_time_ms().cast_unsigned());
        tasks.set.spawn(async move {
            // A set of its own, so that the try ends with this task and a panic in it is only a failed try.
            let mut inner = JoinSet::new();
            inner.spawn(future);
            let progress = match tokio::time::timeout(limit, inner.join_next()).await {
                Ok(Some(Ok(progress))) => progress,
                Ok(Some(Err(_)) | None) => Progress::Failed(PANICKED.into()),
                Err(_) => Progress::Failed(format!("no answer within {} s", limit.as_secs_f32())),
            };
            drop(inner);
            let (resource, now_ms) = (intent.resource.clone(), context.clock.now_ms());
            if progress == Progress::Applied
                && let (Some(known), Some(told)) = (known.upgrade(), picture.told.clone())
            {
                known.lock().unwrap_or_else(PoisonError::into_inner).insert(resource.clone(), told);
            }
            let outcome = Outcome { node, intent, progress, picture };
            let attempts = context.settings.quotas.apply_attempts;
            let recorded = context.store.write_in(scope_of(outcome.picture.account.as_ref()), move |tx| {
                Ok(Verdict::Keep(record::outcome(tx, &outcome, attempts, now_ms)?))
            });
            if let Err(error) = recorded.await {
                // The intent is due again when its lease ends.
                error!(%error, resource, "the outcome of a try was not written down");
            }
            if let Some(all) = all.upgrade() {
                all.lock().unwrap_or_else(PoisonError::into_inner).resources.remove(&resource);
            }
            wake.notify_one();
        });
        true
    }

    fn try_time_ms(&self) -> i64 {
        i64::try_from(self.context.settings.quotas.apply_seconds.saturating_mul(1_000)).unwrap_or(i64::MAX)
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clocks {
    fn jumped_since(self, before: Self) -> bool {
        let (wall, steady) = (self.wall_ms - before.wall_ms, self.steady_ms - before.steady_ms);
        (wall - steady).abs() > JUMP_MS
    }
}

/// What a try with a bug comes to.
const PANICKED: &str = "the driver ended with a panic";

/// Asks the data plane for one resource, under a claim if others may give orders too.
fn attempt(
    context: &Context,
    snapshot: &Snapshot<'_>,
    intent: Intent,
    claim: Option<u64>,
    now_ms: i64,
) -> Result<Try, StoreError> {
    let apply = |desired: Desired<'_>| -> Result<_, StoreError> {
        fail_point!("engine::applying");
        let mut picture = Picture { document: document_text(&desired), ..Picture::default() };
        let mut document = None;
        if let Desired::Gateway(state) = &desired {
            picture.seen = context.dataplane.observe(state);
            if context.dataplane.takes_documents() {
                let bound = snapshot.bound_certificates(Some(&state.gateway.id))?;
                picture.told = Some(Told::of(intent.generation, &bound, now_ms));
                match material::document(context, snapshot, *state, now_ms)? {
                    Ok(made) => document = Some(made),
                    Err(refused) => return Ok((picture, refused.into())),
                }
            }
        }
        let (generation, since_ms) = (intent.generation, intent.since_ms);
        let attempt = Attempt { desired, generation, claim, since_ms, now_ms, document };
        // A bug in a driver must not end the engine for all.
        let applying = std::panic::catch_unwind(AssertUnwindSafe(|| context.dataplane.apply(&attempt)))
            .unwrap_or_else(|_| Progress::Failed(PANICKED.into()).into());
        Ok((picture, applying))
    };
    let gateway = match intent.kind {
        IntentKind::Gateway => snapshot.gateway_of_any_account(&intent.resource)?,
        _ => None,
    };
    let account = match (&gateway, claim) {
        (_, None) => None,
        (Some(gateway), Some(_)) => Some(gateway.account.clone()),
        (None, Some(_)) => snapshot.account_of(&intent)?,
    };
    let (picture, applying) = match intent.kind {
        IntentKind::Vpc | IntentKind::VSwitch => apply(Desired::Network { id: &intent.resource })?,
        IntentKind::Gateway => match gateway {
            Some(gateway) if gateway.phase != Phase::Deleting => {
                let (picture, applying) =
                    apply(Desired::Gateway(Children::wanted(snapshot, &gateway)?.on(&gateway)))?;
                (Picture { gateway: Some(gateway), ..picture }, applying)
            }
            Some(_) | None => apply(Desired::NoGateway { id: &intent.resource })?,
        },
        // Nothing of either is on the data plane: they are decided where their outcome is written down.
        IntentKind::ResourceGroup | IntentKind::RoleDeletion => {
            (Picture::default(), Progress::Applied.into())
        }
    };
    Ok(Try { intent, picture: Picture { account, ..picture }, applying })
}

/// What is touched where the outcome of a try is written down: what the account of its resource has.
fn scope_of(account: Option<&AccountId>) -> Scope {
    let print = |account: &AccountId| Owner::root(account.as_str()).account();
    // What nobody has any more is nobody's.
    account.map_or(Scope::Everything, |account| Scope::Accounts(vec![print(account)]))
}
