//! Looks at gateways that move packets, once a second, and sees to it that each at rest is what it shall be.
//!
//! A gateway stores nothing: one that was started again is told everything anew. So is one of which a certificate has
//! gone out of service, or come back, since nobody changes the gateway for that. And one that the store does not know
//! is removed. What is seen of tunnels is written down where it is something else than before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tongguan_dataplane::{Applying, Attempt, Desired, Later, Look, Progress, Seen};
use tongguan_model::certificate::OutOfService;
use tongguan_model::connection::Negotiation;
use tongguan_model::gateway::{Phase, Status};
use tongguan_model::id::TunnelId;
use tongguan_store::{BoundCertificate, Snapshot, StandingGateway, StoreError, TunnelStanding, Verdict};
use tracing::{error, info, warn};

use super::children::Children;
use super::material;
use super::{Engine, PANICKED};
use crate::accounts;

/// The work of looking, which one process does at a time.
const WATCH: &str = "watch";
/// Claims of who looks at gateways come after all those of who applies changes: a gateway at rest has no change.
const WATCHED: u64 = 1 << 32;
/// How often gateways are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Gateways that are told something at the same time.
const AT_ONCE: usize = 16;
/// After a failed try to tell a gateway something: the first wait, and the longest.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// What a gateway was told, apart from what a generation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    generation: u64,
    /// The certificates that it was given.
    certificates: Vec<String>,
}

impl Told {
    /// What a gateway is to be told, given what is bound to it.
    pub(super) fn of(generation: u64, bound: &[BoundCertificate], now_ms: i64) -> Self {
        let now = now_ms.div_euclid(1000);
        let serves = |one: &&BoundCertificate| {
            OutOfService::of_parts(one.status, one.not_before, one.not_after, now).is_none()
        };
        let name = |one: &BoundCertificate| format!("{} {}", one.role.as_str(), one.certificate.as_str());
        Self { generation, certificates: bound.iter().filter(serves).map(name).collect() }
    }
}

/// Of a gateway that could not be told something: when to try again, and how often it failed.
struct Failing {
    again: Instant,
    times: u32,
}

/// What the store says of all gateways at one moment.
struct Standing {
    gateways: Vec<StandingGateway>,
    bound: BTreeMap<String, Vec<BoundCertificate>>,
    tunnels: Vec<TunnelStanding>,
}

impl Engine {
    /// Watches until the task is dropped; ends at once if the driver sees nothing by itself.
    pub async fn watch(self) {
        let mut failing = HashMap::new();
        let mut away = None;
        while let Some(look) = self.context.dataplane.look() {
            let look = look.await;
            let lease = match self.context.take_lease(&self.node, WATCH).await {
                Ok(Some(lease)) => lease,
                unheld => {
                    if let Err(error) = unheld {
                        error!(%error, "who looks at gateways could not be written down");
                    }
                    // Another process does it.
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
            };
            let claim = self.node.shares().then(|| WATCHED.saturating_add(lease.fence()));
            if look.away != away {
                match &look.away {
                    Some(reason) => {
                        warn!(reason, "the gateways of the host are not known; what runs goes on")
                    }
                    None => info!("the gateways of the host are known again"),
                }
                away.clone_from(&look.away);
            }
            if let Err(error) = self.looked(&look, claim, &mut failing).await {
                error!(%error, "what was seen of gateways could not be compared with the store");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Compares what was seen with what shall be. The look came first: what the store says now is as new, or newer.
    async fn looked(
        &self,
        look: &Look,
        claim: Option<u64>,
        failing: &mut HashMap<String, Failing>,
    ) -> Result<(), StoreError> {
        let now_ms = self.context.clock.now_ms();
        let standing = self.context.store.read(Standing::read)?;
        self.write_down(look, &standing, now_ms).await?;
        if look.away.is_some() {
            return Ok(());
        }
        let known: HashSet<&str> = standing.gateways.iter().map(|one| one.id.as_str()).collect();
        failing.retain(|id, _| known.contains(id.as_str()));
        self.told().retain(|id, _| known.contains(id.as_str()));
        let mut tries: Vec<(String, Option<Told>, Later<Progress>)> = Vec::new();
        for (id, seen) in look.gateways.iter().filter(|(id, _)| !known.contains(id.as_str())) {
            // Where others give orders too, one of them may just have made it: then it is newer than it was seen.
            let generation = match (claim, seen) {
                (Some(_), Seen::Answers { generation: Some(seen), .. }) => *seen,
                _ => u64::MAX,
            };
            info!(gateway = id, "a gateway that the store does not know is removed");
            let desired = Desired::NoGateway { id };
            let attempt = Attempt { desired, generation, claim, since_ms: now_ms, now_ms, document: None };
            tries.push((id.clone(), None, later(self.context.dataplane.apply(&attempt))));
        }
        for one in standing.gateways.iter().filter(|one| one.at_rest()) {
            let id = one.id.as_str();
            let bound = standing.bound.get(id).map(Vec::as_slice).unwrap_or_default();
            let wanted = Told::of(one.applied, bound, now_ms);
            let in_force = match look.gateways.get(id) {
                Some(Seen::Answers { generation, .. }) => *generation == Some(one.applied),
                // It is busy, or has just ended: its process is started again before it is told.
                Some(Seen::Silent(_)) => self.told().contains_key(id),
                None => false,
            };
            let same = in_force && self.told().get(id) == Some(&wanted);
            if same || failing.get(id).is_some_and(|failing| Instant::now() < failing.again) {
                continue;
            }
            if let Some(trying) = self.tell_again(id, one.applied, claim, now_ms)? {
                tries.push((id.to_owned(), Some(wanted), trying));
            }
        }
        self.carry_out(tries, failing).await;
        Ok(())
    }

    /// A try to tell a gateway what it shall be, if it is still at rest.
    fn tell_again(
        &self,
        id: &str,
        generation: u64,
        claim: Option<u64>,
        now_ms: i64,
    ) -> Result<Option<Later<Progress>>, StoreError> {
        self.context.store.read(|snapshot| {
            let gateway = snapshot.gateway_of_any_account(id)?;
            let at_rest = |status| status == Status::Active;
            let Some(gateway) = gateway.filter(|one| at_rest(one.status()) && one.applied == generation)
            else {
                return Ok(None);
            };
            let children = Children::wanted(snapshot, &gateway)?;
            let state = children.on(&gateway);
            let document = match material::document(&self.context, snapshot, state, now_ms)? {
                Ok(document) => Some(document),
                Err(refused) => return Ok(Some(later(refused.into()))),
            };
            let desired = Desired::Gateway(state);
            let attempt = Attempt { desired, generation, claim, since_ms: now_ms, now_ms, document };
            Ok(Some(later(self.context.dataplane.apply(&attempt))))
        })
    }

    async fn carry_out(
        &self,
        tries: Vec<(String, Option<Told>, Later<Progress>)>,
        failing: &mut HashMap<String, Failing>,
    ) {
        let limit = Duration::from_millis(self.try_time_ms().cast_unsigned());
        let mut left = tries.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < AT_ONCE
                && let Some((id, told, trying)) = left.next()
            {
                running.spawn(async move {
                    let progress = tokio::time::timeout(limit, trying).await;
                    let late = |_| Progress::Failed(format!("no answer within {} s", limit.as_secs_f32()));
                    (id, told, progress.unwrap_or_else(late))
                });
            }
            match running.join_next().await {
                None => return,
                Some(Err(_)) => error!("{PANICKED}"),
                Some(Ok((id, told, Progress::Applied))) => {
                    failing.remove(&id);
                    if let Some(told) = told {
                        info!(
                            gateway = id,
                            generation = told.generation,
                            "a gateway was told what it shall be"
                        );
                        self.told().insert(id, told);
                    }
                }
                Some(Ok((id, _, progress))) => {
                    warn!(gateway = id, ?progress, "a gateway could not be told what it shall be");
                    let failing = failing.entry(id).or_insert(Failing { again: Instant::now(), times: 0 });
                    let [first, longest] = AGAIN;
                    failing.again = Instant::now() + longest.min(first * (1 << failing.times.min(6)));
                    failing.times += 1;
                }
            }
        }
    }

    /// Writes down what is seen of tunnels, where it is something else than what was.
    async fn write_down(&self, look: &Look, standing: &Standing, now_ms: i64) -> Result<(), StoreError> {
        let new = standing.tunnels.iter().filter_map(|one| {
            let negotiation = match look.gateways.get(one.gateway.as_str()) {
                Some(Seen::Answers { tunnels, .. }) => {
                    let seen = tunnels.get(one.tunnel.as_str());
                    seen.and_then(|status| Negotiation::parse(&status.negotiation))
                }
                Some(Seen::Silent(_)) => None,
                // Nobody knows whether it is there.
                None if look.away.is_some() => return None,
                None => None,
            };
            let negotiation = negotiation.unwrap_or(Negotiation::IkeNotEstablished);
            (negotiation != one.observed).then(|| (one.tunnel.clone(), negotiation))
        });
        let new: Vec<(TunnelId, Negotiation)> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        let written = self.context.store.write(move |tx| {
            for (tunnel, negotiation) in &new {
                accounts::observed(tx, tunnel, *negotiation, now_ms)?;
            }
            Ok(Verdict::Keep(()))
        });
        written.await
    }

    pub(super) fn told(&self) -> std::sync::MutexGuard<'_, HashMap<String, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn read(snapshot: &Snapshot<'_>) -> Result<Self, StoreError> {
        let mut bound: BTreeMap<String, Vec<BoundCertificate>> = BTreeMap::new();
        for one in snapshot.bound_certificates(None)? {
            bound.entry(one.gateway.as_str().to_owned()).or_default().push(one);
        }
        let gateways = snapshot.standing_gateways()?;
        let gateways = gateways.into_iter().filter(|one| one.phase != Phase::Unpaid).collect();
        Ok(Self { gateways, bound, tunnels: snapshot.tunnels_standing()? })
    }
}

fn later(applying: Applying) -> Later<Progress> {
    match applying {
        Applying::Now(progress) => Box::pin(std::future::ready(progress)),
        Applying::Later(future) => future,
    }
}
