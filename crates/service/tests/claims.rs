//! Several processes on one store: one works on a change at a time, whoever is held up is replaced when its lease has
//! ended, and what it does then undoes nothing.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{REGION, Rig};
use serde_json::Value;
use tokio::sync::oneshot;
use tongguan_dataplane::{Applying, Attempt, DataPlane, Fence, Fences, Progress, document};
use tongguan_model::limits::Quotas;
use tongguan_service::engine::Engine;
use tongguan_store::{Node, Term, Verdict};

/// For how long a change is claimed, milliseconds.
const TERM_MS: i64 = 10_000;
/// Seconds that a try may take: its claim is renewed for twice as long.
const TRY_SECONDS: u64 = 20;

fn node(number: u8) -> Node {
    Node::new([number; 16], Term::Shared(TERM_MS))
}

fn quotas() -> Quotas {
    Quotas { apply_seconds: TRY_SECONDS, ..Quotas::default() }
}

/// A data plane whose every order is on its way until the test lets it arrive, in any order.
#[derive(Debug, Default)]
struct Slow {
    held: Mutex<Vec<oneshot::Sender<()>>>,
    arrived: Arc<Arrived>,
}

#[derive(Debug, Default)]
struct Arrived {
    fences: Mutex<Fences>,
    /// What is in force, each with how new its order was.
    in_force: Mutex<Vec<(Fence, Option<Value>)>>,
    refused: AtomicUsize,
}

impl Arrived {
    fn take(&self, gateway: &str, fence: Fence, document: Option<Value>) -> Progress {
        if let Err(newest) = self.fences.lock().unwrap().pass(gateway, fence) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Progress::Failed(format!("generation {} has overtaken it", newest.generation));
        }
        self.in_force.lock().unwrap().push((fence, document));
        Progress::Applied
    }

    /// The generation and the document in force.
    fn last(&self) -> (u64, Value) {
        let in_force = self.in_force.lock().unwrap();
        let (fence, document) = in_force.last().unwrap();
        (fence.generation, document.clone().unwrap())
    }
}

impl DataPlane for Slow {
    fn apply(&self, attempt: &Attempt<'_>) -> Applying {
        let Some(claim) = attempt.claim else { panic!("an order that does not say of which claim it is") };
        let gateway = attempt.desired.resource().to_owned();
        if !gateway.starts_with("vpn-") {
            return Progress::Applied.into();
        }
        let fence = Fence { generation: attempt.generation, claim };
        assert_eq!(fence, attempt.fence());
        let (send, receive) = oneshot::channel();
        self.held.lock().unwrap().push(send);
        let (arrived, document) = (Arc::clone(&self.arrived), document(&attempt.desired));
        Applying::Later(Box::pin(async move {
            let _ = receive.await;
            arrived.take(&gateway, fence, document)
        }))
    }

    fn applied(&self, _: &str) -> Option<Value> {
        None
    }
}

impl Slow {
    fn on_the_way(&self) -> usize {
        // One whose try was given up does not arrive.
        let mut held = self.held.lock().unwrap();
        held.retain(|one| !one.is_closed());
        held.len()
    }

    /// Lets an order arrive, and waits until it has.
    async fn let_arrive(&self, which: usize) {
        let before = self.seen();
        let one = self.held.lock().unwrap().remove(which);
        if one.send(()).is_ok() {
            while self.seen() == before {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
    }

    fn seen(&self) -> usize {
        self.arrived.refused.load(Ordering::SeqCst) + self.arrived.in_force.lock().unwrap().len()
    }
}

/// Two processes, of which the first has taken the calls, with a gateway at rest.
struct Pair {
    rig: Rig,
    driver: Arc<Slow>,
    engines: [Engine; 2],
    gateway: String,
}

impl Pair {
    async fn new() -> Self {
        let driver = Arc::new(Slow::default());
        let rig = Rig::sharing(Arc::clone(&driver) as Arc<dyn DataPlane>, quotas(), node(1));
        let vpc =
            rig.call("CreateVpc", &[("RegionId", REGION)]).await.ok()["VpcId"].as_str().unwrap().to_owned();
        let other = Engine::new(rig.service.context().clone()).acting_as(node(2));
        let engines = [rig.service.engine(), other];
        engines[0].step(&vpc).await.unwrap();
        let parameters = [("RegionId", REGION), ("VpcId", vpc.as_str()), ("Bandwidth", "10")];
        let made = rig.call("CreateVpnGateway", &parameters).await.ok();
        let gateway = made["VpnGatewayId"].as_str().unwrap().to_owned();
        let pair = Self { rig, driver, engines, gateway };
        pair.settle().await;
        pair
    }

    async fn step(&self, which: usize) {
        self.engines[which].step(&self.gateway).await.unwrap();
    }

    /// Accepts a change: `AutoPropagate` becomes the other.
    async fn change(&self) {
        let now = self.rig.stored(&self.gateway).unwrap().auto_propagate;
        let parameters = [
            ("RegionId", REGION),
            ("VpnGatewayId", self.gateway.as_str()),
            ("AutoPropagate", if now { "false" } else { "true" }),
        ];
        self.rig.call("ModifyVpnGatewayAttribute", &parameters).await.ok();
    }

    /// What the data plane has is what is recorded as applied, when nothing is under way.
    #[track_caller]
    fn check(&self, what: &str) {
        if !self.rig.at_rest(&self.gateway) {
            return;
        }
        let stored = self.rig.stored(&self.gateway).unwrap();
        let (generation, document) = self.driver.arrived.last();
        assert_eq!(stored.intended, stored.applied, "{what}");
        assert_eq!(generation, stored.applied, "{what}: the data plane has another generation");
        assert_eq!(document["auto_propagate"].as_bool(), Some(stored.auto_propagate), "{what}");
    }

    /// Until nothing is under way.
    async fn settle(&self) {
        for _ in 0..200 {
            while self.driver.on_the_way() > 0 {
                self.driver.let_arrive(0).await;
            }
            // What has arrived is recorded by a task.
            for _ in 0..200 {
                if self.rig.at_rest(&self.gateway) {
                    return;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            self.rig.advance(TERM_MS + 2_000 * i64::try_from(TRY_SECONDS).unwrap());
            self.step(0).await;
            self.step(1).await;
        }
        panic!("something is still under way");
    }

    /// Who has the change that is under way, and how often it was taken up.
    fn under_way(&self) -> Option<(Option<String>, u64)> {
        let intent = self.rig.store().read(|snapshot| snapshot.intent(&self.gateway)).unwrap();
        intent.map(|intent| (intent.owner, intent.fence))
    }

    /// The same of one that nothing has settled yet.
    fn claim(&self) -> (Option<String>, u64) {
        self.under_way().expect("a change is under way")
    }
}

fn held_by(number: u8, fence: u64) -> (Option<String>, u64) {
    (Some(node(number).id().to_owned()), fence)
}

/// Numbers that look random, of a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (usize::try_from(self.0 >> 33).unwrap()) % most
    }
}

/// Two processes with pauses anywhere between a claim, an order, its arrival and its record: never is an older
/// generation in force after a newer one, and what is recorded as applied is what the data plane has.
#[tokio::test(flavor = "multi_thread")]
async fn no_older_generation_comes_after_a_newer_one() {
    let (mut refused, mut taken_over) = (0, 0);
    // As many as it takes for both to have been tried: how far tasks have come between the steps is not drawn.
    for seed in 0..120 {
        if seed >= 12 && refused > 0 && taken_over > 0 {
            break;
        }
        let pair = Pair::new().await;
        let mut draw = Draw(seed);
        for round in 0..60 {
            let what = format!("seed {seed}, round {round}");
            match draw.below(8) {
                0 | 1 if pair.rig.at_rest(&pair.gateway) => pair.change().await,
                0..=4 => pair.step(draw.below(2)).await,
                5 | 6 => {
                    let on_the_way = pair.driver.on_the_way();
                    if on_the_way > 0 {
                        pair.driver.let_arrive(draw.below(on_the_way)).await;
                    }
                }
                _ => pair.rig.advance(i64::try_from(draw.below(60_000)).unwrap()),
            }
            taken_over += usize::from(pair.under_way().is_some_and(|(_, fence)| fence > 1));
            pair.check(&what);
        }
        pair.settle().await;
        pair.check(&format!("seed {seed}, at the end"));
        let in_force = pair.driver.arrived.in_force.lock().unwrap();
        let generations: Vec<Fence> = in_force.iter().map(|(fence, _)| *fence).collect();
        assert!(generations.is_sorted(), "seed {seed}: {generations:?}");
        refused += pair.driver.arrived.refused.load(Ordering::SeqCst);
    }
    // Otherwise nothing was tried.
    assert!(refused > 0 && taken_over > 0, "{refused} orders were refused, {taken_over} changes taken over");
}

/// Whoever accepts a change has it; another takes it up when the lease has ended, and not before.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_is_replaced_when_its_lease_has_ended() {
    let pair = Pair::new().await;
    pair.change().await;
    assert_eq!(pair.claim(), held_by(1, 1));
    pair.rig.advance(TERM_MS - 1);
    pair.step(1).await;
    assert_eq!((pair.claim(), pair.driver.on_the_way()), (held_by(1, 1), 0));
    pair.rig.advance(1);
    pair.step(1).await;
    assert_eq!((pair.claim(), pair.driver.on_the_way()), (held_by(2, 2), 1));
    // The first comes back and has it no more.
    pair.step(0).await;
    assert_eq!((pair.claim(), pair.driver.on_the_way()), (held_by(2, 2), 1));
    pair.settle().await;
    pair.check("at the end");
}

/// A try that outlives its lease is another's: what it comes to is not recorded, and its order is refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_overtaken_is_not_recorded() {
    let pair = Pair::new().await;
    pair.change().await;
    pair.step(0).await;
    assert_eq!(pair.driver.on_the_way(), 1);
    // Its lease was renewed for as long as the try may take.
    pair.rig.advance(2_000 * i64::try_from(TRY_SECONDS).unwrap() - 1);
    pair.step(1).await;
    assert_eq!(pair.claim(), held_by(1, 1));
    pair.rig.advance(1);
    pair.step(1).await;
    assert_eq!((pair.claim(), pair.driver.on_the_way()), (held_by(2, 2), 2));
    // The second arrives first, and its process is held up before it records it; the first arrives then.
    pair.driver.let_arrive(1).await;
    pair.driver.let_arrive(0).await;
    assert_eq!(pair.driver.arrived.refused.load(Ordering::SeqCst), 1);
    pair.settle().await;
    pair.check("at the end");
    assert_eq!(pair.rig.fault(&pair.gateway), None, "a refused order is no failed try");
}

/// Engines that work by themselves, over one store: each change is applied, and none is left.
#[tokio::test(flavor = "multi_thread")]
async fn two_engines_share_the_work() {
    let pair = Pair::new().await;
    let mut running = tokio::task::JoinSet::new();
    for engine in pair.engines.clone() {
        running.spawn(engine.clone().run());
        running.spawn(engine.live());
    }
    for round in 0..6 {
        pair.change().await;
        pair.rig
            .until("the change is applied", |rig| {
                if pair.driver.on_the_way() > 0 {
                    let _ = pair.driver.held.lock().unwrap().remove(0).send(());
                }
                rig.at_rest(&pair.gateway)
            })
            .await;
        pair.check(&format!("round {round}"));
    }
    let live = pair.rig.store().read(|snapshot| snapshot.nodes_since(0)).unwrap();
    assert_eq!(live.len(), 2, "{live:?}");
    assert_eq!(pair.rig.service.disagreements().unwrap(), []);
    // One that leaves in order is waited for by nobody.
    pair.rig.service.leave().await.unwrap();
    let left = pair.rig.store().read(|snapshot| snapshot.nodes_since(0)).unwrap();
    assert!(left.iter().all(|one| one.id != node(1).id()), "{left:?}");
}

/// A process that has other settings is named, with what differs.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_differ_are_named() {
    let pair = Pair::new().await;
    let store = pair.rig.store();
    let ours = store.read(|snapshot| snapshot.nodes_since(0)).unwrap().remove(0);
    let mut settings: serde_json::Map<String, Value> = serde_json::from_str(&ours.settings).unwrap();
    assert_eq!(settings.keys().collect::<Vec<_>>(), ["address_pool", "principals", "quotas", "region"]);
    settings.insert("region".into(), "other".into());
    let (other, settings, now_ms) =
        (node(2), Value::from(settings).to_string(), pair.rig.clock.0.load(Ordering::SeqCst));
    let begin = store.write(move |tx| {
        tx.begin_node(&other, &settings, now_ms, 0)?;
        Ok(Verdict::Keep(()))
    });
    begin.await.unwrap();
    let found = pair.rig.service.disagreements().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].node.as_str(), &found[0].settings[..]), (node(2).id(), &["region".to_owned()][..]));
    // Whoever is dead has no say.
    pair.rig.advance(TERM_MS + 1);
    assert_eq!(pair.rig.service.disagreements().unwrap(), []);
}
