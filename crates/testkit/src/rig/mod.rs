//! A service in hand: a store in a temporary directory, a clock that the test sets, signed requests.

mod calls;
mod fixtures;
mod keyring;

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::{JoinSet, block_in_place};
use tongguan_dataplane::{ApplyDelay, DataPlane, Detached, Peers};
use tongguan_model::gateway::VpnGateway;
use tongguan_model::id::AccountId;
use tongguan_model::limits::Quotas;
use tongguan_service::accounts::{AccountError, Done, Order};
use tongguan_service::context::{Clock, Context, Settings, Shared};
use tongguan_service::throttle::{Rate, Throttle};
use tongguan_service::vault::Vault;
use tongguan_service::work::Work;
use tongguan_service::{Service, rights};
use tongguan_store::postgres::hosts::{Access, Hosts};
use tongguan_store::{
    Admission, Archive, AuditRecord, Fault, Moment, Node, NonceLog, Options, Store, StoreError, Term, Verdict,
};

use crate::Stamp;
use crate::api::ACCOUNT;

pub use calls::{RawCall, Reply, missing, ram, ram_as, refused, rest};
pub use fixtures::{issue, issue_for, triple};

/// When every rig begins, UNIX milliseconds.
pub const START_MS: i64 = 1_800_000_000_000;
/// The account of [`crate::Caller::stranger`].
pub const OTHER_ACCOUNT: &str = "9999567890123456";
/// Longest wait for something that this process does.
const SOON: Duration = Duration::from_secs(20);

/// A clock that stands until the test moves it: the wall clock, and how far it has jumped.
#[derive(Debug)]
pub struct ManualClock(pub AtomicI64, pub AtomicI64);

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn steady_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst).wrapping_sub(self.1.load(Ordering::SeqCst))
    }
}

/// The service over a store of its own.
pub struct Rig {
    /// The service.
    pub service: Arc<Service>,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    /// Its data plane, unless the test brought one.
    pub dataplane: Arc<Detached>,
    nonce: AtomicU64,
    place: Place,
}

/// What a service that has ended leaves: data on which nothing runs.
#[derive(Debug)]
pub struct Closed {
    place: Place,
    now_ms: i64,
    nonce: u64,
}

impl Closed {
    /// Where the data is.
    pub fn directory(&self) -> &Path {
        self.place.directory.path()
    }
}

/// Where a service keeps its data, and how.
#[derive(Debug)]
struct Place {
    directory: TempDir,
    options: Options,
    /// As whom the service claims changes; none: as one that has the store to itself.
    node: Option<Node>,
}

impl fmt::Debug for Rig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rig").field("directory", &self.place.directory).finish_non_exhaustive()
    }
}

impl Rig {
    /// With changes that come into force after this delay, as `--apply-delay` has it.
    pub fn new(delay: &str) -> Self {
        Self::with_quotas(delay, Quotas::default())
    }

    /// The same, with these quotas.
    pub fn with_quotas(delay: &str, quotas: Quotas) -> Self {
        Self::over(Place::new(), remembering(delay), None, START_MS, quotas)
    }

    /// Over a driver of the test's own.
    pub fn driven(driver: Arc<dyn DataPlane>, quotas: Quotas) -> Self {
        Self::over(Place::new(), unused(), Some(driver), START_MS, quotas)
    }

    /// The same, as one of several processes on the store.
    pub fn sharing(driver: Arc<dyn DataPlane>, quotas: Quotas, node: Node) -> Self {
        let place = Place { node: Some(node), ..Place::new() };
        Self::over(place, unused(), Some(driver), START_MS, quotas)
    }

    /// The same, with far ends that answer as soon as their tunnel is in force.
    pub fn answered(delay: &str) -> Self {
        let dataplane = Detached::remembering(delay.parse().unwrap()).with_peers(Peers::Answer);
        Self::over(Place::new(), Arc::new(dataplane), None, START_MS, Quotas::default())
    }

    /// In this directory, the store with these options, under these quotas.
    pub fn within(directory: TempDir, options: Options, delay: &str, quotas: Quotas) -> Self {
        Self::over(Place { directory, options, node: None }, remembering(delay), None, START_MS, quotas)
    }

    fn over(
        place: Place,
        dataplane: Arc<Detached>,
        driver: Option<Arc<dyn DataPlane>>,
        now_ms: i64,
        quotas: Quotas,
    ) -> Self {
        let store = open(place.directory.path(), &place.options);
        // A rig has the store alone, and the moments are those of its clock, unless it is told otherwise.
        let alone = || Node::new(*uuid::Uuid::new_v4().as_bytes(), Term::Sole);
        store.act_as(place.node.clone().unwrap_or_else(alone));
        let vault = Vault::new(&[9; 32]).unwrap();
        block_in_place(|| rights::open(&store, &vault, now_ms)).unwrap();
        for account in [ACCOUNT, OTHER_ACCOUNT] {
            let account = AccountId::new(account);
            let make = |store: &Store| {
                store.write_blocking(move |tx| {
                    tx.ensure_account(&account, 0)?;
                    Ok(Verdict::Keep(()))
                })
            };
            block_in_place(|| make(&store)).unwrap();
        }
        let clock = Arc::new(ManualClock(AtomicI64::new(now_ms), AtomicI64::new(0)));
        let moment = Moment { unix: now_ms / 1000, steady: clock.steady_ms() / 1000 };
        let most = usize::try_from(quotas.nonces.min(100_000)).unwrap();
        let admission = store.admission(most).unwrap().unwrap_or_else(|| {
            Admission::new(NonceLog::open(&place.directory.path().join("nonces"), moment, most).unwrap())
        });
        let context = Context::new(Shared {
            store,
            dataplane: driver.unwrap_or_else(|| Arc::clone(&dataplane) as Arc<dyn DataPlane>),
            vault,
            settings: Settings { quotas, ..Settings::default() },
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        });
        let service = block_in_place(|| Service::new(context, keyring::keyring(), admission)).unwrap();
        Self { service: Arc::new(service), clock, dataplane, nonce: AtomicU64::new(0), place }
    }

    /// The same service, its accounts held to a rate.
    #[must_use]
    pub fn throttled(self, throttle: Throttle) -> Self {
        let service = Arc::into_inner(self.service).unwrap().throttled(throttle);
        Self { service: Arc::new(service), ..self }
    }

    /// The same service, its long work done by this pool.
    #[must_use]
    pub fn working(self, work: Work) -> Self {
        let service = Arc::into_inner(self.service).unwrap().working(work);
        Self { service: Arc::new(service), ..self }
    }

    /// The same service with this rate for each account.
    #[must_use]
    pub fn rated(self, per_second: u32, burst: u32) -> Self {
        let rate = Rate { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() };
        self.throttled(Throttle::new(Some(rate)))
    }

    /// Ends the service and starts it again on the same data directory.
    #[must_use]
    pub fn restart(self, delay: &str) -> Self {
        self.restart_with_quotas(delay, Quotas::default())
    }

    /// The same, with these quotas.
    #[must_use]
    pub fn restart_with_quotas(self, delay: &str, quotas: Quotas) -> Self {
        self.restart_with(remembering(delay), None, quotas)
    }

    /// The same, over a driver of the test's own.
    #[must_use]
    pub fn restart_driven(self, driver: Arc<dyn DataPlane>, quotas: Quotas) -> Self {
        self.restart_with(unused(), Some(driver), quotas)
    }

    fn restart_with(
        self,
        detached: Arc<Detached>,
        driver: Option<Arc<dyn DataPlane>>,
        quotas: Quotas,
    ) -> Self {
        let Self { service, clock, dataplane, nonce, place } = self;
        drop((service, dataplane));
        Self { nonce, ..Self::over(place, detached, driver, clock.now_ms(), quotas) }
    }

    /// Ends the service.
    pub fn closed(self) -> Closed {
        let Self { service, clock, dataplane, nonce, place } = self;
        drop((service, dataplane));
        // Nobody else holds the store any more when it can be opened once more.
        drop(open(place.directory.path(), &place.options));
        Closed { place, now_ms: clock.now_ms(), nonce: nonce.into_inner() }
    }

    /// A service on a copy of the data of one that has ended.
    pub fn on_copy(of: &Closed) -> Self {
        let place = Place::new();
        copy(of.place.directory.path(), place.directory.path());
        let rig = Self::over(place, remembering("0"), None, of.now_ms, Quotas::default());
        rig.nonce.store(of.nonce, Ordering::SeqCst);
        rig
    }

    /// Has the service carry out an operator's order.
    ///
    /// # Errors
    /// It is refused.
    pub fn order(&self, order: &Order) -> Result<Done, AccountError> {
        block_in_place(|| self.service.order(order))
    }

    /// The audit record of the call with this request id, once it is there.
    pub async fn record(&self, request_id: &str) -> AuditRecord {
        self.recorded(|record| record.request_id == request_id).await
    }

    /// The newest audit record that fits, once there is one.
    pub async fn recorded(&self, fits: impl Fn(&AuditRecord) -> bool) -> AuditRecord {
        let begun = Instant::now();
        loop {
            let mut found = None;
            let look = |_, record: AuditRecord| {
                if fits(&record) {
                    found = Some(record);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            };
            self.store().read(|snapshot| snapshot.audit_newest(look)).unwrap();
            if let Some(record) = found {
                return record;
            }
            assert!(begun.elapsed() < SOON, "there is no such record");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Runs the engine beside the test until the answer is dropped.
    pub fn engine(&self) -> JoinSet<()> {
        let mut running = JoinSet::new();
        running.spawn(self.service.engine().run());
        running
    }

    /// Lets time pass, a second at a time, until `there` holds.
    #[track_caller]
    pub fn until<'a>(
        &'a self,
        what: &'a str,
        mut there: impl FnMut(&Self) -> bool + 'a,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let begun = Instant::now();
            while !there(self) {
                assert!(begun.elapsed() < SOON, "never: {what} ({caller})");
                self.advance(1_000);
                self.service.engine().notify();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    /// Lets the engine work until nothing is under way, moving the clock on as needed.
    pub async fn settle(&self) {
        for _ in 0..100 {
            let next = self.store().read(|snapshot| snapshot.next_intent()).unwrap();
            let Some(next) = next else { return };
            let now = self.clock.now_ms();
            if next != i64::MAX {
                self.advance((next - now).max(0));
            }
            let due = self.store().read(|snapshot| snapshot.intents_due(i64::MAX, 1000)).unwrap();
            for intent in due {
                self.service.engine().step(&intent.resource).await.unwrap();
            }
        }
        panic!("something is still under way");
    }

    /// The gateway as it is stored.
    pub fn stored(&self, gateway: &str) -> Option<VpnGateway> {
        self.store().read(|snapshot| snapshot.gateway_of_any_account(gateway)).unwrap()
    }

    /// Whether nothing is under way on a resource.
    pub fn at_rest(&self, resource: &str) -> bool {
        self.store().read(|snapshot| snapshot.intent(resource)).unwrap().is_none()
    }

    /// Why the last change of a resource was given up.
    pub fn fault(&self, resource: &str) -> Option<Fault> {
        self.store().read(|snapshot| snapshot.fault(resource)).unwrap()
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        self.place.directory.path()
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.service.context().store
    }

    /// Time passes.
    pub fn advance(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// The wall clock jumps; time does not pass.
    pub fn jump(&self, ms: i64) {
        self.clock.1.fetch_add(ms, Ordering::SeqCst);
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// A nonce that this rig has not had.
    pub fn next_nonce(&self) -> String {
        format!("nonce-{}", self.nonce.fetch_add(1, Ordering::SeqCst))
    }

    /// The present moment with a nonce of its own.
    pub fn stamp(&self) -> Stamp {
        Stamp::at(self.clock.now_ms(), self.next_nonce())
    }
}

impl Place {
    fn new() -> Self {
        let options = Options { audit_flush_ms: 1, ..Options::default() };
        Self { directory: tempfile::tempdir().unwrap(), options, node: None }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn remembering(delay: &str) -> Arc<Detached> {
    let delay: ApplyDelay = delay.parse().unwrap();
    Arc::new(Detached::remembering(delay))
}

fn unused() -> Arc<Detached> {
    Arc::new(Detached::new("0".parse().unwrap()))
}

/// The server that tests are to have their stores on; none: each has an embedded one.
fn server() -> Option<String> {
    std::env::var("TONGGUAN_TEST_STORE").ok().filter(|server| !server.is_empty())
}

/// Whether tests have their stores on a database that several nodes can share, and not in files.
pub fn is_shared() -> bool {
    server().is_some()
}

/// What `check` looks at, of the store of a directory.
///
/// # Panics
/// There is none.
pub fn archive(directory: &Path) -> Archive {
    match server() {
        None => Archive::open(directory).unwrap(),
        Some(server) => {
            let name = std::fs::read_to_string(directory.join("database")).unwrap();
            block_in_place(|| Archive::connect(hosts(&server, &name))).unwrap()
        }
    }
}

/// A database of a server.
fn hosts(server: &str, name: &str) -> Hosts {
    let (before, after) = server.split_once("/postgres?").expect("TONGGUAN_TEST_STORE ends with /postgres?…");
    Hosts::parse(&format!("{before}/{name}?{after}"), Access::default()).unwrap()
}

/// Opens a store: an embedded one, or on a database of the server that the environment names (`TONGGUAN_TEST_STORE`,
/// the URL of its database `postgres`). One that is being closed elsewhere lets go of its lock a moment later.
fn open(directory: &Path, options: &Options) -> Store {
    if let Some(server) = server() {
        return connect(&server, directory, options);
    }
    for _ in 0..200 {
        match Store::open(directory, options) {
            Ok(store) => return store,
            Err(StoreError::InUse { .. }) => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the store stays locked");
}

/// Connects to the database of a directory, which is made for it.
fn connect(server: &str, directory: &Path, options: &Options) -> Store {
    let known = directory.join("database");
    let hosts = |name: &str| hosts(server, name);
    let name = std::fs::read_to_string(&known).unwrap_or_else(|_| {
        let name = format!("rig_{}", uuid::Uuid::new_v4().simple());
        let make = format!("CREATE DATABASE {name}");
        assert!(Command::new("psql").args(["-qXc", &make, server]).status().unwrap().success());
        block_in_place(|| Store::make(hosts(&name))).unwrap();
        std::fs::write(&known, &name).unwrap();
        name
    });
    block_in_place(|| Store::connect(hosts(&name), options)).unwrap()
}
