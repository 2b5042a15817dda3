//! A data plane that fails, hangs, answers late or twice, or dies half-way: no gateway stays `updating`,
//! no other one waits, and what cannot be applied is taken back.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use common::{REGION, Rig};
use serde_json::Value;
use tongguan_dataplane::{Applying, Attempt, DataPlane, Progress, document};
use tongguan_model::gateway::Status;
use tongguan_model::limits::Quotas;
use tongguan_service::engine::Engine;
use tongguan_store::FaultOutcome;

/// What the driver does at one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Fail,
    Refuse,
    Hang,
    Panic,
    /// Half of the change is made, then the driver is gone.
    DieHalfWay,
    /// Pending a while, then applied.
    Late,
    /// Nobody is there to do it.
    Away,
    /// Applied, but only after a detour through another task.
    Beside,
}

/// A data plane that does as it is told; what is not told, it applies.
#[derive(Debug, Default)]
struct Faulty {
    script: Mutex<HashMap<String, VecDeque<Act>>>,
    always: Mutex<HashMap<String, Act>>,
    state: Arc<Mutex<HashMap<String, (u64, Value)>>>,
    tries: Mutex<HashMap<String, u32>>,
}

impl Faulty {
    fn next(&self, resource: &str, acts: &[Act]) {
        self.script.lock().unwrap().insert(resource.into(), acts.iter().copied().collect());
    }

    fn always(&self, resource: &str, act: Option<Act>) {
        let mut always = self.always.lock().unwrap();
        match act {
            Some(act) => drop(always.insert(resource.into(), act)),
            None => drop(always.remove(resource)),
        }
    }

    fn tries(&self, resource: &str) -> u32 {
        self.tries.lock().unwrap().get(resource).copied().unwrap_or(0)
    }

    /// What is in force.
    fn has(&self, resource: &str) -> Option<Value> {
        self.state.lock().unwrap().get(resource).map(|(_, document)| document.clone())
    }

    fn certificates(&self, resource: &str) -> usize {
        self.has(resource).map_or(0, |document| document["certificates"].as_object().unwrap().len())
    }
}

type State = Arc<Mutex<HashMap<String, (u64, Value)>>>;

/// Puts a whole state in force, unless a newer one is.
fn put(state: &State, resource: &str, generation: u64, document: Option<Value>) -> Progress {
    let mut state = state.lock().unwrap();
    if state.get(resource).is_some_and(|(newer, _)| *newer > generation) {
        return Progress::Applied;
    }
    match document {
        Some(document) => drop(state.insert(resource.into(), (generation, document))),
        None => drop(state.remove(resource)),
    }
    Progress::Applied
}

impl DataPlane for Faulty {
    fn apply(&self, attempt: &Attempt<'_>) -> Applying {
        let resource = attempt.desired.resource().to_owned();
        *self.tries.lock().unwrap().entry(resource.clone()).or_default() += 1;
        let scripted = self.script.lock().unwrap().get_mut(&resource).and_then(VecDeque::pop_front);
        let act = scripted.or_else(|| self.always.lock().unwrap().get(&resource).copied());
        let (state, generation, document) =
            (Arc::clone(&self.state), attempt.generation, document(&attempt.desired));
        match act {
            None => put(&state, &resource, generation, document).into(),
            Some(Act::Fail) => Progress::Failed("no route to the gateway".into()).into(),
            Some(Act::Refuse) => Progress::Refused("the gateway does not know this algorithm".into()).into(),
            Some(Act::Hang) => Applying::Later(Box::pin(std::future::pending())),
            Some(Act::Panic) => panic!("a bug in the driver"),
            Some(Act::DieHalfWay) => Applying::Later(Box::pin(async move {
                put(&state, &resource, generation, Some(Value::String("half".into())));
                panic!("the driver dies half-way")
            })),
            Some(Act::Late) => Progress::Pending(Some(attempt.now_ms + 3_000)).into(),
            Some(Act::Away) => Progress::Away("nobody is there".into()).into(),
            Some(Act::Beside) => Applying::Later(Box::pin(async move {
                tokio::task::yield_now().await;
                put(&state, &resource, generation, document)
            })),
        }
    }

    fn applied(&self, resource: &str) -> Option<Value> {
        self.has(resource)
    }
}

fn quotas() -> Quotas {
    Quotas { apply_attempts: 4, apply_seconds: 1, ..Quotas::default() }
}

struct Fixture {
    rig: Rig,
    driver: Arc<Faulty>,
    gateway: String,
    other: String,
    certificates: [String; 2],
}

async fn fixture() -> Fixture {
    let driver = Arc::new(Faulty::default());
    let rig = Rig::driven(Arc::clone(&driver) as Arc<dyn DataPlane>, quotas());
    let (gateway, other) = (rig.gateway("NationalStandard").await, rig.gateway("NationalStandard").await);
    let certificates = [rig.certificate("EC_SM2").await, rig.certificate("EC_SM2").await];
    Fixture { rig, driver, gateway, other, certificates }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_try_is_repeated_and_holds_up_no_other_gateway() {
    let Fixture { rig, driver, gateway, other, certificates } = fixture().await;
    let _engine = rig.engine();
    for act in [Act::Fail, Act::Panic, Act::Hang, Act::DieHalfWay] {
        driver.next(&gateway, &[act, act]);
        let before = driver.tries(&gateway);
        rig.bind(&gateway, &certificates[0], "Encryption").await.ok();
        // The other one is served while this one fails.
        rig.bind(&other, &certificates[0], "Encryption").await.ok();
        rig.until("the other gateway is active", |rig| rig.at_rest(&other)).await;
        rig.until("the gateway is active", |rig| rig.at_rest(&gateway)).await;
        assert_eq!(driver.tries(&gateway) - before, 3, "{act:?}");
        assert_eq!((driver.certificates(&gateway), rig.listed(&gateway).await.len()), (1, 1), "{act:?}");
        assert_eq!(rig.fault(&gateway), None, "{act:?}");
        for id in [&gateway, &other] {
            rig.unbind(id, &certificates[0], "Encryption").await.ok();
            rig.until("both are active", |rig| rig.at_rest(id)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_waited_for() {
    let Fixture { rig, driver, gateway, certificates, .. } = fixture().await;
    let _engine = rig.engine();
    // More often than a failure would be tolerated: it is none.
    driver.next(&gateway, &[Act::Late; 10]);
    rig.bind(&gateway, &certificates[0], "Signature").await.ok();
    rig.until("the gateway is active", |rig| rig.at_rest(&gateway)).await;
    assert_eq!(rig.listed(&gateway).await.len(), 1);
    driver.next(&gateway, &[Act::Beside]);
    rig.unbind(&gateway, &certificates[0], "Signature").await.ok();
    rig.until("the gateway is active", |rig| rig.at_rest(&gateway)).await;
    assert_eq!((driver.certificates(&gateway), rig.listed(&gateway).await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_nobody_is_there_to_apply_waits_and_says_so() {
    let Fixture { rig, driver, gateway, certificates, .. } = fixture().await;
    let _engine = rig.engine();
    // More often than a failure would be tolerated, and none of it counts as one.
    driver.always(&gateway, Some(Act::Away));
    let before = driver.tries(&gateway);
    rig.bind(&gateway, &certificates[0], "Signature").await.ok();
    rig.until("many tries", |_| driver.tries(&gateway) - before > 10).await;
    let intent = rig.store().read(|snapshot| snapshot.intent(&gateway)).unwrap().unwrap();
    assert_eq!((intent.attempts, intent.last_error.as_deref()), (0, Some("nobody is there")));
    assert_eq!((rig.status(&gateway).await.as_str(), rig.fault(&gateway)), ("updating", None));
    // What fails then has all its tries.
    driver.always(&gateway, None);
    driver.next(&gateway, &[Act::Fail; 3]);
    rig.until("the gateway is active", |rig| rig.at_rest(&gateway)).await;
    assert_eq!((rig.listed(&gateway).await.len(), rig.fault(&gateway)), (1, None));
}

/// Every change, failing for good in every way: the gateway is at rest as it was, and the reason is kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_applied_is_taken_back() {
    for (act, reason) in [
        (Act::Refuse, "does not know this algorithm"),
        (Act::Fail, "no route"),
        (Act::Panic, "panic"),
        (Act::DieHalfWay, "panic"),
    ] {
        let Fixture { rig, driver, gateway, certificates, .. } = fixture().await;
        let _engine = rig.engine();
        rig.bind(&gateway, &certificates[0], "Encryption").await.ok();
        rig.until("bound", |rig| rig.at_rest(&gateway)).await;
        let (before, in_force) = (rig.listed(&gateway).await, driver.has(&gateway));
        let id = [("RegionId", REGION), ("VpnGatewayId", gateway.as_str())];
        let modify = [id[0], id[1], ("AutoPropagate", "true")];
        for change in ["associate", "dissociate", "modify", "delete"] {
            let fails = [act; 4];
            driver.next(&gateway, if act == Act::Refuse { &fails[..1] } else { &fails });
            match change {
                "associate" => drop(rig.bind(&gateway, &certificates[1], "Signature").await.ok()),
                "dissociate" => drop(rig.unbind(&gateway, &certificates[0], "Encryption").await.ok()),
                "modify" => drop(rig.call("ModifyVpnGatewayAttribute", &modify).await.ok()),
                _ => drop(rig.call("DeleteVpnGateway", &id).await.ok()),
            }
            rig.until("the gateway rests", |rig| rig.at_rest(&gateway)).await;
            let stored = rig.stored(&gateway).unwrap();
            assert_eq!((stored.status(), stored.auto_propagate), (Status::Active, false), "{act:?} {change}");
            assert_eq!(rig.listed(&gateway).await, before, "{act:?} {change}");
            assert_eq!(driver.has(&gateway), in_force, "{act:?} {change}: the driver was brought back");
            let fault = rig.fault(&gateway).unwrap();
            assert_eq!((fault.outcome, fault.change.as_str()), (FaultOutcome::Withdrawn, change));
            assert!(fault.reason.contains(reason), "{}", fault.reason);
            assert!(fault.failed_ms >= fault.since_ms);
        }
        // The next change that succeeds clears the record.
        rig.bind(&gateway, &certificates[1], "Signature").await.ok();
        rig.until("bound", |rig| rig.at_rest(&gateway)).await;
        assert_eq!((rig.fault(&gateway), rig.listed(&gateway).await.len()), (None, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_be_made_goes_again() {
    let Fixture { rig, driver, gateway, .. } = fixture().await;
    let vpc = rig.stored(&gateway).unwrap().vpc;
    let parameters = [("RegionId", REGION), ("VpcId", vpc.as_str()), ("Bandwidth", "10")];
    let made = rig.call("CreateVpnGateway", &parameters).await.ok();
    let id = made["VpnGatewayId"].as_str().unwrap().to_owned();
    driver.next(&id, &[Act::Refuse]);
    assert_eq!(rig.status(&id).await, "provisioning");
    let _engine = rig.engine();
    rig.until("the gateway rests", |rig| rig.at_rest(&id)).await;
    assert_eq!((rig.stored(&id), driver.has(&id)), (None, None));
    assert_eq!(rig.fault(&id).unwrap().outcome, FaultOutcome::Withdrawn);
    let again = [("RegionId", REGION), ("VpnGatewayId", id.as_str())];
    assert_eq!(rig.call("DescribeVpnGateway", &again).await.code(), "InvalidVpnGatewayInstanceId.NotFound");
}

/// Even bringing back fails: the gateway rests all the same, and the operator is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_be_brought_back_rests_too() {
    let Fixture { rig, driver, gateway, certificates, .. } = fixture().await;
    let _engine = rig.engine();
    driver.always(&gateway, Some(Act::Fail));
    rig.bind(&gateway, &certificates[0], "Encryption").await.ok();
    rig.until("the gateway rests", |rig| rig.at_rest(&gateway)).await;
    assert_eq!(rig.status(&gateway).await, "active");
    assert_eq!(rig.listed(&gateway).await, []);
    assert_eq!(rig.fault(&gateway).unwrap().outcome, FaultOutcome::Diverged);
    driver.always(&gateway, None);
    rig.bind(&gateway, &certificates[0], "Encryption").await.ok();
    rig.until("bound", |rig| rig.at_rest(&gateway)).await;
    assert_eq!((rig.fault(&gateway), driver.certificates(&gateway)), (None, 1));
    driver.always(&gateway, Some(Act::Refuse));
    let id = [("RegionId", REGION), ("VpnGatewayId", gateway.as_str())];
    rig.call("DeleteVpnGateway", &id).await.ok();
    rig.until("the gateway rests", |rig| rig.at_rest(&gateway)).await;
    assert_eq!((rig.status(&gateway).await.as_str(), rig.listed(&gateway).await.len()), ("active", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_tried_on_without_end() {
    let driver = Arc::new(Faulty::default());
    let rig = Rig::driven(Arc::clone(&driver) as Arc<dyn DataPlane>, quotas());
    let vpc = rig.call("CreateVpc", &[("RegionId", REGION)]).await.ok()["VpcId"].as_str().unwrap().to_owned();
    driver.next(&vpc, &[Act::Fail; 12]);
    let _engine = rig.engine();
    rig.until("it is retried", |rig| rig.fault(&vpc).is_some_and(|f| f.outcome == FaultOutcome::Retrying))
        .await;
    rig.until("the VPC is there", |rig| rig.at_rest(&vpc)).await;
    assert_eq!((rig.fault(&vpc), driver.tries(&vpc)), (None, 13));
}

/// A try that hangs does not outlive the process: the next one begins it anew, at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_try_cut_off_by_the_end_of_the_process_is_begun_anew() {
    let Fixture { rig, driver, gateway, certificates, .. } = fixture().await;
    driver.always(&gateway, Some(Act::Hang));
    let engine = rig.engine();
    rig.bind(&gateway, &certificates[0], "Encryption").await.ok();
    rig.until("it hangs", |_| driver.tries(&gateway) > 1).await;
    drop(engine);
    let sound = Arc::new(Faulty::default());
    let rig = rig.restart_driven(Arc::clone(&sound) as Arc<dyn DataPlane>, quotas());
    let engine = rig.engine();
    let begun = rig.clock.0.load(std::sync::atomic::Ordering::SeqCst);
    let settled = async {
        while !rig.at_rest(&gateway) {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), settled).await.expect("it is tried at once");
    assert_eq!(rig.clock.0.load(std::sync::atomic::Ordering::SeqCst), begun, "no time had to pass");
    assert_eq!((rig.listed(&gateway).await.len(), sound.certificates(&gateway)), (1, 1));
    drop(engine);
}

/// Three engines on one store: every try is answered up to three times, and counts once.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_given_twice_counts_once() {
    let Fixture { rig, driver, gateway, certificates, .. } = fixture().await;
    let mut engines = tokio::task::JoinSet::new();
    for _ in 0..3 {
        engines.spawn(Engine::new(rig.service.context().clone()).run());
    }
    let _own = rig.engine();
    for round in 0..30_u64 {
        driver.next(&gateway, &[Act::Beside, Act::Fail, Act::Beside][..(round % 4).min(3) as usize]);
        rig.bind(&gateway, &certificates[0], "Encryption").await.ok();
        rig.until("bound", |rig| rig.at_rest(&gateway)).await;
        let stored = rig.stored(&gateway).unwrap();
        assert_eq!((stored.intended, stored.applied), (2 + 2 * round, 2 + 2 * round));
        assert_eq!(
            (rig.listed(&gateway).await.len(), driver.certificates(&gateway)),
            (1, 1),
            "round {round}"
        );
        rig.unbind(&gateway, &certificates[0], "Encryption").await.ok();
        rig.until("unbound", |rig| rig.at_rest(&gateway)).await;
        assert_eq!(
            (rig.listed(&gateway).await.len(), driver.certificates(&gateway)),
            (0, 0),
            "round {round}"
        );
    }
}
