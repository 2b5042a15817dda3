//! The hot paths: what a call costs from its parts to its answer, in process, with signature, nonce, permission and
//! audit record, which the writer moves into the database before the path ends.
//!
//! A path is run a fixed number of times between two [`boundary`]s. Requests are signed before the first of them.
//! Nothing goes by the time of day: the clock stands, and the writer moves audit records when a whole batch waits.

use std::hint::black_box;
use std::time::Duration;

use serde_json::{Value, json};
use tongguan_model::limits::Quotas;
use tongguan_rpc::{Credential, Secret};
use tongguan_service::access::Peer;
use tongguan_store::{Options, Verdict};
use tongguan_testkit::request::Owned;
use tongguan_testkit::rig::{Rig, triple};
use tongguan_testkit::{Call, Caller, Manner, api};

/// Part of the name of [`boundary`]'s symbol.
pub(crate) const BOUNDARY: &str = "boundary_between_paths";

/// Audit records that the writer takes in one batch without waiting for more.
const BATCH: usize = 1_024;
/// Gateways in the store, all on one page.
const GATEWAYS: u64 = 50;
/// Requests to bind and unbind, one pair a call.
const PAIRS: usize = 64;

/// The paths in their order, and how many calls of each are counted.
pub(crate) const NAMES: &[(&str, usize)] = &[
    ("describe_v1", BATCH),
    ("describe_v3", BATCH),
    ("describe_v3_by_user", BATCH),
    ("list_v1", BATCH),
    ("page_of_50_v1", BATCH),
    ("bind_and_unbind", PAIRS),
    ("verify_v3", BATCH),
];

/// Everything here is of one machine; where it came from does not matter.
const PEER: Peer = Peer { address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), secure: false };

/// Valgrind dumps what was counted whenever this is called.
#[inline(never)]
fn boundary_between_paths() {
    black_box(());
}

/// Runs every path once unseen, so that caches are warm, and once between two boundaries.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { audit_flush_ms: 3_600_000, ..Options::default() };
        let quotas = Quotas { vpn_gateways_per_account: GATEWAYS, ..Quotas::default() };
        let world = World::new(Rig::within(directory, options, "0", quotas)).await;
        for call in world.reads() {
            let (warm, counted) = (world.requests(&call), world.requests(&call));
            world.answer(&warm).await;
            boundary_between_paths();
            world.answer(&counted).await;
            boundary_between_paths();
        }
        world.bind_and_unbind(&world.changes()).await;
        let changes = world.changes();
        boundary_between_paths();
        world.bind_and_unbind(&changes).await;
        boundary_between_paths();
        let request = &world.requests(&world.reads()[1])[0];
        verify(request);
        boundary_between_paths();
        verify(request);
        boundary_between_paths();
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
        Self { rig, root, user, gateway, certificate }
    }

    /// The reads, in the order of [`NAMES`].
    fn reads(&self) -> [Read<'_>; 5] {
        let one = || Call::vpc("DescribeVpnGateway", &[("VpnGatewayId", &self.gateway)]);
        let list = Call::vpc("ListVpnCertificateAssociations", &[("VpnGatewayId.1", &self.gateway)]);
        let page = Call::vpc("DescribeVpnGateways", &[("PageSize", "50")]);
        let (root, user) = (&self.root, &self.user);
        [
            Read { caller: root, call: one(), manner: Manner::V1 },
            Read { caller: root, call: one(), manner: Manner::V3 },
            Read { caller: user, call: one(), manner: Manner::V3 },
            Read { caller: root, call: list, manner: Manner::V1 },
            Read { caller: root, call: page, manner: Manner::V1 },
        ]
    }

    fn requests(&self, read: &Read<'_>) -> Vec<Owned> {
        let sign = |_| Owned::from(&read.caller.sign(&read.call, &read.manner, &self.rig.stamp()));
        (0..BATCH).map(sign).collect()
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

    /// Answers reads, and waits until their records are in the database.
    async fn answer(&self, requests: &[Owned]) {
        let before = self.rig.store().stats().audit_records;
        for request in requests {
            self.call(request).await;
        }
        while self.rig.store().stats().audit_records < before + BATCH as u64 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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

    async fn call(&self, request: &Owned) {
        let response = self.rig.service.answer(request.http(), PEER).await;
        assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
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
