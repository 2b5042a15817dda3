//! The hot paths: what a call costs from its parts to its answer, in process, with signature, nonce, permission and
//! audit record, which the writer moves into the database before the path ends.
//!
//! A path is run a fixed number of times between two [`boundary`]s. Requests are signed before the first of them.
//! Nothing goes by the time of day: the clock stands, and the writer moves audit records when a whole batch waits.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::block_in_place;
use tongguan_model::limits::Quotas;
use tongguan_rpc::{Credential, Secret};
use tongguan_service::access::Peer;
use tongguan_service::audit;
use tongguan_service::context::Clock as _;
use tongguan_store::{Options, Verdict};
use tongguan_testkit::request::Owned;
use tongguan_testkit::rig::{Rig, triple};
use tongguan_testkit::{Call, Caller, Manner, api};

/// Part of the name of [`boundary`]'s symbol.
pub(crate) const BOUNDARY: &str = "boundary_between_paths";

/// Audit records that the writer takes in one batch without waiting for more.
const BATCH: usize = 1_024;
/// Pages that are counted; without the batch of records, of which a page has no more than a read.
const PAGES: usize = 64;
/// Requests to bind and unbind, one pair a call.
const PAIRS: usize = 16;
/// Connections that are made.
const CREATIONS: usize = 16;
/// Gateways with connections, and connections on each when the page of them is counted, which holds all.
const LINKED: (u64, usize) = (5, 10);
/// Bytes of a page in the write-ahead log, its header included.
const PAGE_IN_LOG: u64 = 4_096 + 24;
/// Calls of a path before it is counted.
const WARM: usize = 16;
/// Gateways in the store, all on one page.
const GATEWAYS: u64 = 50;

/// The paths in their order, and how many calls of each are counted.
pub(crate) const NAMES: &[(&str, usize)] = &[
    ("describe_v1", BATCH),
    ("describe_v3", BATCH),
    ("describe_v3_by_user", BATCH),
    ("list_v1", BATCH),
    ("page_of_50_v1", PAGES),
    ("bind_and_unbind", PAIRS),
    ("verify_v3", BATCH),
    ("page_of_50_connections_v1", PAGES),
    ("create_connection", CREATIONS),
];

/// Everything here is of one machine; where it came from does not matter.
const PEER: Peer = Peer { address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), secure: false };

/// Valgrind dumps what was counted whenever this is called.
#[inline(never)]
fn boundary_between_paths() {
    black_box(());
}

/// Runs every path a while unseen, so that caches are warm, and then between two boundaries.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { audit_flush_ms: 3_600_000, ..Options::default() };
        let world = World::new(Rig::within(directory, options, "0", quotas())).await;
        let reads = world.reads();
        for (read, (_, calls)) in reads.iter().zip(NAMES) {
            world.count(read, *calls).await;
        }
        let verified = world.requests(&reads[1], 1).remove(0);
        let world = world.started_again();
        world.bind_and_unbind(&world.changes()).await;
        let changes = world.changes();
        boundary_between_paths();
        world.bind_and_unbind(&changes).await;
        boundary_between_paths();
        world.was_not_checkpointed();
        verify(&verified);
        boundary_between_paths();
        verify(&verified);
        boundary_between_paths();
        let linked = world.linked().await;
        linked.world.count(&linked.world.page("DescribeVpnConnections"), PAGES).await;
        let linked = Linked { world: linked.world.started_again(), ..linked };
        linked.create(&linked.requests(0)).await;
        let counted = linked.requests(1);
        boundary_between_paths();
        linked.create(&counted).await;
        boundary_between_paths();
        linked.world.was_not_checkpointed();
    });
}

/// Who calls what, and how it is signed.
struct Read<'a> {
    caller: &'a Caller,
    call: Call<'a>,
    manner: Manner<'a>,
}

/// Fifty gateways of a VPC, one of them with a binding, and a user who may read.
struct World {
    rig: Rig,
    root: Caller,
    user: Caller,
    gateway: String,
    certificate: String,
    /// Audit records that wait for the writer.
    waiting: Cell<usize>,
    /// Audit records that it has moved into the database.
    moved: Cell<u64>,
}

impl World {
    async fn new(rig: Rig) -> Self {
        let root = Caller::named("root");
        let user = rig.user("reader", &statements()).await;
        let gateway = rig.gateway("NationalStandard").await;
        let vpc = rig.stored(&gateway).unwrap().vpc;
        for _ in 1..GATEWAYS {
            rig.gateway_in(vpc.as_str(), "NationalStandard").await;
        }
        let bound = rig.certificate("EC_SM2").await;
        rig.bind(&gateway, &bound, "Encryption").await.ok();
        let certificate = rig.certificate("EC_SM2").await;
        rig.settle().await;
        // No record waits now.
        let rig = rig.restart("0");
        let context = rig.service.context();
        let findings =
            block_in_place(|| audit::seal(&context.store, &context.vault, rig.clock.now_ms())).unwrap();
        assert!(findings.is_empty(), "{findings:?}");
        Self { rig, root, user, gateway, certificate, waiting: Cell::new(0), moved: Cell::new(0) }
    }

    /// The reads, in the order of [`NAMES`].
    fn reads(&self) -> [Read<'_>; 5] {
        let one = || Call::vpc("DescribeVpnGateway", &[("VpnGatewayId", &self.gateway)]);
        let list = Call::vpc("ListVpnCertificateAssociations", &[("VpnGatewayId.1", &self.gateway)]);
        let (root, user) = (&self.root, &self.user);
        [
            Read { caller: root, call: one(), manner: Manner::V1 },
            Read { caller: root, call: one(), manner: Manner::V3 },
            Read { caller: user, call: one(), manner: Manner::V3 },
            Read { caller: root, call: list, manner: Manner::V1 },
            self.page("DescribeVpnGateways"),
        ]
    }

    /// A page of fifty.
    fn page(&self, action: &'static str) -> Read<'_> {
        let call = Call::vpc(action, &[("PageSize", "50")]);
        Read { caller: &self.root, call, manner: Manner::V1 }
    }

    /// Answers a read so often between two boundaries, when caches are warm and no audit record waits.
    async fn count(&self, read: &Read<'_>, calls: usize) {
        let cheap = &self.reads()[0];
        self.answer(&self.requests(read, WARM)).await;
        self.fill_batch(cheap).await;
        let counted = self.requests(read, calls);
        boundary_between_paths();
        self.answer(&counted).await;
        if calls == BATCH {
            self.batch_moved().await;
        }
        boundary_between_paths();
        if calls < BATCH {
            self.fill_batch(cheap).await;
        }
    }

    fn requests(&self, read: &Read<'_>, number: usize) -> Vec<Owned> {
        let sign = |_| Owned::from(&read.caller.sign(&read.call, &read.manner, &self.rig.stamp()));
        (0..number).map(sign).collect()
    }

    /// Requests that bind and unbind in turns.
    fn changes(&self) -> Vec<Owned> {
        let parameters = triple(&self.gateway, &self.certificate, "Signature");
        let sign = |action: &str| {
            let call = Call::new(api::VPC, action, &parameters);
            Owned::from(&self.root.sign(&call, &Manner::V1, &self.rig.stamp()))
        };
        let pair = ["AssociateVpnGatewayWithCertificate", "DissociateVpnGatewayWithCertificate"];
        (0..PAIRS).flat_map(|_| pair.map(sign)).collect()
    }

    /// Answers reads.
    async fn answer(&self, requests: &[Owned]) {
        for request in requests {
            self.call(request).await;
            self.waiting.set((self.waiting.get() + 1) % BATCH);
        }
    }

    /// Answers as many reads as there must be for the writer to take the records of all.
    async fn fill_batch(&self, read: &Read<'_>) {
        if self.waiting.get() > 0 {
            self.answer(&self.requests(read, BATCH - self.waiting.get())).await;
        }
        self.batch_moved().await;
    }

    /// Waits until the writer has moved all records into the database.
    async fn batch_moved(&self) {
        while self.rig.store().stats().audit_records < self.moved.get() + BATCH as u64 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.moved.set(self.moved.get() + BATCH as u64);
        // The writer is through with all that follows a batch when it turns to this.
        self.rig.store().write(|_| Ok(Verdict::Discard(()))).await.unwrap();
    }

    /// Answers changes, each of which the engine applies.
    async fn bind_and_unbind(&self, requests: &[Owned]) {
        for request in requests {
            self.call(request).await;
            self.rig.service.engine().step(&self.gateway).await.unwrap();
        }
    }

    /// Starts the service again, so that the write-ahead log is empty and none of its checkpoints falls among changes
    /// that are counted: whether one does depends on how much was written before, and it costs up to half of them.
    fn started_again(self) -> Self {
        Self {
            rig: self.rig.restart_with_quotas("0", quotas()),
            waiting: Cell::new(0),
            moved: Cell::new(0),
            ..self
        }
    }

    /// The same with further gateways, and connections on them.
    async fn linked(self) -> Linked {
        let world = self.started_again();
        let vpc = world.rig.stored(&world.gateway).unwrap().vpc;
        let mut gateways = Vec::new();
        for _ in 0..LINKED.0 {
            gateways.push(world.rig.gateway_in(vpc.as_str(), "Normal").await);
        }
        let customer =
            world.rig.call("CreateCustomerGateway", &[("RegionId", api::REGION), ("IpAddress", "1.1.1.1")]);
        let customer = customer.await.ok()["CustomerGatewayId"].as_str().unwrap().to_owned();
        world.rig.settle().await;
        let linked = Linked { world, gateways, customer };
        for number in 0..LINKED.1 {
            for gateway in &linked.gateways {
                linked.made(gateway, &linked.request(gateway, number)).await;
            }
        }
        linked
    }

    /// The store checkpoints beside the writer from 2,000 pages on.
    fn was_not_checkpointed(&self) {
        let log = std::fs::metadata(self.rig.directory().join("tongguan.db-wal")).unwrap().len();
        let pages = log / PAGE_IN_LOG;
        assert!((1..2_000).contains(&pages), "{pages} pages: count fewer changes");
    }

    async fn call(&self, request: &Owned) {
        let response = self.rig.service.answer(request.http(), PEER).await;
        assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    }
}

/// Room for all gateways and connections.
fn quotas() -> Quotas {
    let gateways = GATEWAYS + LINKED.0;
    Quotas { vpn_gateways_per_account: gateways, vpn_connections_per_gateway: 100, ..Quotas::default() }
}

/// A world with gateways that have connections.
struct Linked {
    world: World,
    gateways: Vec<String>,
    customer: String,
}

impl Linked {
    /// Makes a connection on a gateway, which no other there is like.
    fn request(&self, gateway: &str, number: usize) -> Owned {
        let remote = format!("10.200.{number}.0/24");
        let parameters = [
            ("VpnGatewayId", gateway),
            ("CustomerGatewayId", &self.customer),
            ("LocalSubnet", "10.0.0.0/16"),
            ("RemoteSubnet", &remote),
            ("IkeConfig", r#"{"Psk":"a.key.of.the.measurement"}"#),
        ];
        let call = Call::vpc("CreateVpnConnection", &parameters);
        Owned::from(&self.world.root.sign(&call, &Manner::V1, &self.world.rig.stamp()))
    }

    /// Has it made and applied.
    async fn made(&self, gateway: &str, request: &Owned) {
        self.world.call(request).await;
        self.world.rig.service.engine().step(gateway).await.unwrap();
    }

    /// Requests for as many connections as are counted, for the first or for another time.
    fn requests(&self, time: usize) -> Vec<(&str, Owned)> {
        let places = self.gateways.iter().cycle().enumerate().take(CREATIONS);
        let request = |(number, gateway): (usize, &'_ String)| {
            let number = LINKED.1 + time * CREATIONS + number;
            self.request(gateway, number)
        };
        places.clone().map(|(_, gateway)| gateway.as_str()).zip(places.map(request)).collect()
    }

    async fn create(&self, requests: &[(&str, Owned)]) {
        for (gateway, request) in requests {
            self.made(gateway, request).await;
        }
    }
}

/// What a user may do, as people write it: much of it is about something else.
fn statements() -> Value {
    let other = (0..19).map(|number| {
        let (verb, thing) =
            (["Create", "Delete", "Modify"][number % 3], ["Vpc", "VSwitch", "HaVip"][number % 3]);
        let resource = format!("acs:vpc:*:*:{}/x-{number}*", thing.to_lowercase());
        json!({"Effect": "Allow", "Action": format!("vpc:{verb}{thing}*"), "Resource": resource})
    });
    let own = json!({"Effect": "Allow", "Action": ["vpc:Describe*", "vpc:List*"], "Resource": "*"});
    other.chain([own]).collect()
}

/// Reads a request and verifies its signature, nothing else.
fn verify(request: &Owned) {
    let key = Credential::Secret(Secret::from("root secret"));
    for _ in 0..BATCH {
        let incoming = black_box(request).parse().unwrap();
        black_box(&incoming).verify(&key).unwrap();
    }
}
