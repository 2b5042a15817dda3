//! From a call of the API to packets: the service, the supervisor and the gateways as their operator runs them, each
//! a process that may be killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tongguan_dataplane::orders::{HostOrder, HostReport, HostRequest, Place};
use tongguan_pki::{KeySpec, Usage};
use tongguan_supervisor::Namespace;
use tongguan_testkit::api::{KMS, REGION, VPC};
use tongguan_testkit::program::{ended, program, text};
use tongguan_testkit::server::{KEY, OTHER_KEY, OTHER_SECRET, SECRET, Server};
use tongguan_testkit::world::{Ask, Network as Where, settled};
use tongguan_testkit::{Call, Caller, Issuer};

use crate::host::{kill_all, processes_of};
use crate::network::{Network, block, wait};
use crate::site::{DOWN, UP};

/// Addresses of gateways.
const POOL: &str = "198.51.100.0/24";
/// Roles of certificates.
const ROLES: [(&str, Usage); 2] = [("Signature", Usage::Signature), ("Encryption", Usage::Encryption)];

/// Who calls a running service.
struct Client<'s> {
    server: &'s Server,
    caller: Caller,
}

impl Ask for Client<'_> {
    async fn ask(&mut self, call: &Call<'_>) -> Result<(u16, Value)> {
        let parameters: Vec<(&str, &str)> =
            call.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let reply = self.server.call_as(self.caller.clone(), call.version, call.action, &parameters).await;
        Ok((reply.status, reply.json()))
    }
}

/// A gateway with its certificates.
struct Gateway {
    side: usize,
    id: String,
    address: String,
    /// By role.
    certificates: [String; 2],
    connection: String,
}

/// A host with a service, a supervisor and the gateways of two accounts.
struct Operated {
    runtime: Runtime,
    folder: TempDir,
    /// Where the supervisor runs: nothing of this machine is changed.
    host: Namespace,
    supervisor: Option<Child>,
    server: Option<Server>,
    issuer: Issuer,
    gateways: Vec<Gateway>,
}

impl Operated {
    /// Starts all of it, with a gateway of each side; none is connected.
    fn start() -> Self {
        Self::start_with(Issuer::now(KeySpec::EcSm2))
    }

    /// The same with both certificates and a connection each, and hosts behind them.
    fn connected() -> (Self, Network) {
        let mut operated = Self::start();
        operated.connect();
        let network = operated.network();
        (operated, network)
    }

    fn start_with(issuer: Issuer) -> Self {
        let mut operated = Self::bare(issuer);
        for side in [0, 1] {
            let gateway = operated.make_gateway(side);
            operated.gateways.push(gateway);
        }
        operated
    }

    /// Starts the service and the supervisor; there are no gateways yet.
    fn bare(issuer: Issuer) -> Self {
        let (runtime, folder) = (Runtime::new().unwrap(), TempDir::new().unwrap());
        let tag = folder.path().file_name().unwrap().to_string_lossy().trim_start_matches('.').to_lowercase();
        let host = Namespace::create(&format!("tgt-{tag}-host")).unwrap();
        let mut operated =
            Self { runtime, folder, host, supervisor: None, server: None, issuer, gateways: Vec::new() };
        operated.start_supervisor();
        operated.server = Some(Server::start(&operated.arguments().each_ref().map(String::as_str)));
        operated
    }

    fn arguments(&self) -> [String; 4] {
        let driver = format!("gateways:{}", self.socket().display());
        ["--dataplane".into(), driver, "--address-pool".into(), POOL.into()]
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("supervisor.sock")
    }

    fn places(&self) -> PathBuf {
        self.folder.path().join("gateways")
    }

    fn start_supervisor(&mut self) {
        let mut command = program(&["supervisor", "--pool", POOL]);
        command.arg("--socket").arg(self.socket()).arg("--folder").arg(self.places());
        command.stdout(Stdio::null()).stderr(Stdio::inherit());
        self.supervisor = Some(self.host.enter(|| command.spawn().unwrap()).unwrap());
        let socket = self.socket();
        wait("the supervisor", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    }

    /// Ends it as no process can notice.
    fn kill_supervisor(&mut self) {
        let mut supervisor = self.supervisor.take().unwrap();
        supervisor.kill().unwrap();
        ended(&mut supervisor);
    }

    /// Ends the service so, and starts it again.
    fn restart_service(&mut self) {
        let server = self.server.take().unwrap();
        server.signal("KILL");
        self.server = Some(server.again_with(&self.arguments().each_ref().map(String::as_str)));
    }

    fn client(&self, side: usize) -> Client<'_> {
        let caller = [Caller::of(KEY, SECRET), Caller::of(OTHER_KEY, OTHER_SECRET)][side].clone();
        Client { server: self.server.as_ref().unwrap(), caller }
    }

    /// A call of the account of a side that must be accepted, as soon as nothing is under way.
    fn call(&self, side: usize, version: &str, action: &str, parameters: &[(&str, &str)]) -> Value {
        let call = Call::new(version, action, parameters).with("RegionId", REGION);
        self.runtime.block_on(settled(&mut self.client(side), &call)).unwrap()
    }

    fn describe_gateway(&self, side: usize, id: &str) -> Value {
        self.call(side, VPC, "DescribeVpnGateway", &[("VpnGatewayId", id)])
    }

    fn wait_active(&self, side: usize, id: &str) {
        wait("the gateway to be active", || self.describe_gateway(side, id)["Status"] == "active");
    }

    /// A gateway of a side with certificates that are not bound.
    fn make_gateway(&self, side: usize) -> Gateway {
        self.make_gateway_of(side, "NationalStandard")
    }

    fn make_gateway_of(&self, side: usize, kind: &str) -> Gateway {
        let mut client = self.client(side);
        let made = self.runtime.block_on(async {
            let place = Where::make(&mut client).await?;
            let made = settled(&mut client, &place.create_gateway_of(kind)).await?;
            let mut certificates = Vec::new();
            for (_, usage) in ROLES {
                certificates.push(self.issuer.certificate(&mut client, usage).await?);
            }
            anyhow::Ok((made["VpnGatewayId"].as_str().unwrap().to_owned(), certificates))
        });
        let (id, certificates) = made.unwrap();
        self.wait_active(side, &id);
        let address = self.describe_gateway(side, &id)["InternetIp"].as_str().unwrap().to_owned();
        let certificates = certificates.try_into().unwrap();
        Gateway { side, id, address, certificates, connection: String::new() }
    }

    fn binding(&self, side: usize, role: usize, action: &str) {
        let Gateway { id, certificates, .. } = &self.gateways[side];
        let parameters = [
            ("VpnGatewayId", id.as_str()),
            ("CertificateId", &certificates[role]),
            ("CertificateType", ROLES[role].0),
        ];
        self.call(side, VPC, action, &parameters);
    }

    fn bind(&self, side: usize, role: usize) {
        self.binding(side, role, "AssociateVpnGatewayWithCertificate");
    }

    fn unbind(&self, side: usize, role: usize) {
        self.binding(side, role, "DissociateVpnGatewayWithCertificate");
    }

    /// Binds both certificates of both gateways, and connects these.
    fn connect(&mut self) {
        let (_, ca) = self.issuer.issue(&request(), Usage::Signature);
        for side in [1, 0] {
            [0, 1].iter().for_each(|role| self.bind(side, *role));
            let subnets = [block(side), block(1 - side)];
            let given = [
                ("RemoteCaCertificate", ca.as_str()),
                (
                    "IkeConfig",
                    r#"{"IkeVersion":"ikev1","IkeMode":"main","IkeEncAlg":"sm4","IkeAuthAlg":"sm3"}"#,
                ),
                ("IpsecConfig", r#"{"IpsecEncAlg":"sm4","IpsecAuthAlg":"sm3"}"#),
            ];
            self.connect_side(side, &subnets, &given);
            // Accepted means wanted; active means installed, whether the peer is there or not.
            self.wait_active(side, &self.gateways[side].id);
        }
    }

    /// Makes the connection of a side to the other, between these blocks.
    fn connect_side(&mut self, side: usize, [local, remote]: &[String; 2], given: &[(&str, &str)]) {
        let peer = self.gateways[1 - side].address.clone();
        let device = self.call(side, VPC, "CreateCustomerGateway", &[("IpAddress", &peer)]);
        let mut parameters = vec![
            ("VpnGatewayId", self.gateways[side].id.as_str()),
            ("CustomerGatewayId", device["CustomerGatewayId"].as_str().unwrap()),
            ("LocalSubnet", local),
            ("RemoteSubnet", remote),
            ("EffectImmediately", "true"),
        ];
        parameters.extend(given);
        let made = self.call(side, VPC, "CreateVpnConnection", &parameters);
        self.gateways[side].connection = made["VpnConnectionId"].as_str().unwrap().to_owned();
    }

    /// How far the connection of a side is, as the API says it.
    fn status(&self, side: usize) -> String {
        let id = self.gateways[side].connection.as_str();
        let described = self.call(side, VPC, "DescribeVpnConnection", &[("VpnConnectionId", id)]);
        described["Status"].as_str().unwrap().to_owned()
    }

    fn wait_for(&self, status: &str) {
        for side in [0, 1] {
            let mut last = String::new();
            let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                wait(status, || {
                    last = self.status(side);
                    last == status
                });
            }));
            assert!(waited.is_ok(), "side {side} is {last}, not {status}");
        }
    }

    /// Hosts behind both gateways.
    fn network(&self) -> Network {
        let gateways =
            [0, 1].map(|side| Namespace::create(&format!("tg-{}", self.gateways[side].id)).unwrap());
        let mut network = Network::of(gateways);
        network.addresses = [0, 1].map(|side| self.gateways[side].address.parse().unwrap());
        network
    }

    /// The process of a gateway.
    fn process(&self, side: usize) -> i32 {
        let mut all = Vec::new();
        // Beside it there may be an `ip` of the supervisor's for a moment.
        wait("one process", || {
            all = processes_of(&self.gateways[side].id);
            all.len() == 1
        });
        all[0]
    }

    /// Waits until packets pass, and sees that the API says so.
    fn assert_up(&self, network: &Network) {
        self.wait_for(UP);
        network.assert_pings();
    }

    /// What `tongguan` says, called by the operator of the service.
    fn operator(&self, arguments: &[&str]) -> String {
        said_of(self.server.as_ref().unwrap(), arguments)
    }

    /// Has a service take the place of another one, by its id, as its operator does.
    fn hand_over(&self, id: &str) {
        let output = program(&["supervisor", "--adopt", id, "--socket"]).arg(self.socket()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }

    /// Ends the service, and starts it again on a backup of it.
    fn restore_service(&mut self) {
        let server = self.server.take().unwrap();
        let (data, backup) = (server.data_dir(), self.folder.path().join("backup.db"));
        said_of(&server, &["backup", backup.to_str().unwrap()]);
        server.signal("KILL");
        let away = self.folder.path().join("data");
        let restored = server.restarted(&self.arguments().each_ref().map(String::as_str), || {
            std::fs::rename(&data, &away).unwrap();
            std::fs::create_dir(&data).unwrap();
            std::fs::copy(away.join("master.key"), data.join("master.key")).unwrap();
            let output = program(&["restore"]).arg(&backup).arg("--data-dir").arg(&data).output().unwrap();
            assert!(output.status.success(), "{}", text(&output));
        });
        self.server = Some(restored);
    }

    /// Removes all that was made, and asserts that nothing is left over on the host.
    fn assert_leaves_nothing(&self) {
        for Gateway { side, id, connection, .. } in &self.gateways {
            if !connection.is_empty() {
                self.call(*side, VPC, "DeleteVpnConnection", &[("VpnConnectionId", connection)]);
            }
            self.wait_active(*side, id);
            self.call(*side, VPC, "DeleteVpnGateway", &[("VpnGatewayId", id)]);
        }
        for Gateway { id, .. } in &self.gateways {
            let namespace = Path::new("/run/netns").join(format!("tg-{id}"));
            wait("the namespace to be gone", || !namespace.exists());
        }
        wait("places to be gone", || {
            let left = std::fs::read_dir(self.places()).unwrap().map(|entry| entry.unwrap().file_name());
            left.eq(["service"])
        });
        let links = Command::new("ip")
            .args(["-n", self.host.name(), "-o", "link", "show", "master", "tongguan0"])
            .output()
            .unwrap();
        assert_eq!(text(&links), "");
    }
}

impl Drop for Operated {
    fn drop(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            let _ = supervisor.kill();
            let _ = supervisor.wait();
        }
        for Gateway { id, .. } in &self.gateways {
            kill_all(id);
            let _ = tongguan_supervisor::ip(&format!("netns delete tg-{id}"));
        }
        let _ = self.host.clone().remove();
        if std::thread::panicking()
            && let Some(server) = &self.server
        {
            let logged = server.logged();
            let told = |line: &&str| line.contains("gateway") || line.contains("ERROR");
            #[allow(clippy::print_stderr)]
            {
                logged.lines().filter(told).rev().take(60).for_each(|line| eprintln!("{line}"));
            }
        }
    }
}

/// What `tongguan` says of a service.
fn said_of(server: &Server, arguments: &[&str]) -> String {
    let output = program(arguments).arg("--data-dir").arg(server.data_dir()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

/// Any request: what it is for is the certificate of the CA that comes with an answer.
fn request() -> String {
    let key = tongguan_pki::PrivateKey::generate(KeySpec::EcSm2).unwrap();
    tongguan_pki::create_csr(&key, &tongguan_pki::Subject::parse("CN=a,OU=b,O=c,C=CN").unwrap(), &[]).unwrap()
}

#[test]
fn calls_raise_a_tunnel_and_without_a_certificate_it_is_down_within_two_seconds() {
    if !crate::possible() {
        return;
    }
    let (mut operated, network) = Operated::connected();
    let watch = network.watch();
    operated.assert_up(&network);
    network.assert_tcp(0, 1_000_000);
    network.assert_tcp(1, 1_000_000);
    let shown = operated.operator(&["tunnel", "status"]);
    for Gateway { connection, address, .. } in &operated.gateways {
        assert!(shown.contains(connection.as_str()) && shown.contains(address.as_str()), "{shown}");
    }
    assert_eq!(shown.matches(UP).count(), 2, "{shown}");
    let processes = [0, 1].map(|side| operated.process(side));
    for (side, role) in [(0, 0), (1, 1), (0, 1), (1, 0)] {
        operated.unbind(side, role);
        let before = Instant::now();
        let mut last = before;
        while network.ping(side) {
            last = Instant::now();
        }
        assert!(last - before < Duration::from_secs(2), "{:?}", last - before);
        // Both sides know: the one that lost its certificate has told the other.
        operated.wait_for(DOWN);
        assert!(!network.ping(0) && !network.ping(1));
        let why = operated.operator(&["tunnel", "why", &operated.gateways[side].connection]);
        let lacks = format!("no certificate is bound as {}", ROLES[role].0);
        assert!(why.contains(&lacks) && why.contains("AssociateVpnGatewayWithCertificate"), "{why}");
        operated.wait_active(side, &operated.gateways[side].id);
        operated.bind(side, role);
        operated.assert_up(&network);
    }
    // Another certificate takes the place of one.
    let other =
        operated.runtime.block_on(operated.issuer.certificate(&mut operated.client(0), Usage::Signature));
    operated.unbind(0, 0);
    operated.gateways[0].certificates[0] = other.unwrap();
    operated.bind(0, 0);
    operated.assert_up(&network);
    // None of this has started a process anew.
    assert_eq!([0, 1].map(|side| operated.process(side)), processes);
    watch.assert_nothing_readable();
    operated.assert_leaves_nothing();
    assert!(!network.ping(0));
}

#[test]
fn a_certificate_that_is_out_of_service_carries_no_tunnel_until_it_is_back() {
    if !crate::possible() {
        return;
    }
    let (operated, network) = Operated::connected();
    operated.assert_up(&network);
    let id = operated.gateways[1].certificates[0].clone();
    let set = |status| {
        let parameters = [("CertificateId", id.as_str()), ("Status", status)];
        operated.call(1, KMS, "UpdateCertificateStatus", &parameters);
    };
    set("INACTIVE");
    operated.wait_for(DOWN);
    assert!(!network.ping(0) && !network.ping(1));
    let why = operated.operator(&["tunnel", "why", &operated.gateways[1].connection]);
    assert!(why.contains(&format!("{id}, bound as Signature, is INACTIVE")), "{why}");
    // It is nothing that the gateway is changed for.
    assert_eq!(operated.describe_gateway(1, &operated.gateways[1].id)["Status"], "active");
    set("ACTIVE");
    operated.assert_up(&network);
}

#[test]
fn a_certificate_that_expires_ends_its_tunnel() {
    if !crate::possible() {
        return;
    }
    let now = crate::site::now();
    const LIFE: i64 = 20;
    let mut operated = Operated::start_with(Issuer::new(KeySpec::EcSm2, now - 3_600, now + 86_400));
    // The first gateway has a short one, of the same CA.
    let mut client = operated.client(0);
    let short = operated.runtime.block_on(operated.issuer.certificate_until(
        &mut client,
        Usage::Signature,
        crate::site::now() + LIFE,
    ));
    operated.gateways[0].certificates[0] = short.unwrap();
    operated.connect();
    let network = operated.network();
    operated.wait_for(UP);
    operated.wait_for(DOWN);
    assert!(!network.ping(0) && !network.ping(1));
    assert!(crate::site::now() >= now + LIFE);
    let why = operated.operator(&["tunnel", "why", &operated.gateways[0].connection]);
    assert!(why.contains("bound as Signature, has expired at"), "{why}");
}

#[test]
fn what_runs_goes_on_whoever_is_killed_and_nothing_is_left_over() {
    if !crate::possible() {
        return;
    }
    let (mut operated, network) = Operated::connected();
    let watch = network.watch();
    operated.assert_up(&network);
    let processes = [0, 1].map(|side| operated.process(side));

    // The service: packets go on, and it finds all as it was.
    operated.restart_service();
    operated.assert_up(&network);
    // The supervisor, and both.
    operated.kill_supervisor();
    network.assert_pings();
    operated.restart_service();
    network.assert_pings();
    operated.start_supervisor();
    operated.assert_up(&network);
    assert_eq!([0, 1].map(|side| operated.process(side)), processes, "nothing was started anew");

    // A gateway: it is started again, told what it is, and negotiates again.
    for side in [0, 1] {
        kill_all(&operated.gateways[side].id);
        wait("another process", || {
            processes_of(&operated.gateways[side].id).first().is_some_and(|one| *one != processes[side])
        });
        operated.assert_up(&network);
    }
    // A gateway that nobody of a supervisor that was killed could see ending.
    operated.kill_supervisor();
    kill_all(&operated.gateways[0].id);
    operated.wait_for(DOWN);
    operated.start_supervisor();
    operated.assert_up(&network);
    // All at once.
    operated.kill_supervisor();
    [0, 1].iter().for_each(|side| kill_all(&operated.gateways[*side].id));
    operated.restart_service();
    operated.start_supervisor();
    operated.assert_up(&network);
    watch.assert_nothing_readable();
    operated.assert_leaves_nothing();
}

/// Kills and changes at any moment, in an order that is always the same: in the end all is as the last call wants it.
#[test]
fn kills_at_any_moment_of_any_change_leave_everything_as_it_is_wanted() {
    if !crate::possible() {
        return;
    }
    // So many, or `TONGGUAN_ROUNDS`.
    let rounds = std::env::var("TONGGUAN_ROUNDS").ok().map_or(24, |rounds| rounds.parse().unwrap());
    let (mut operated, network) = Operated::connected();
    operated.assert_up(&network);
    let mut state: u64 = 20_261_129;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut bound = [[true; 2]; 2];
    let mut killed = [0u32; 4];
    for _ in 0..rounds {
        let (side, role) = (random(2) as usize, random(2) as usize);
        match bound[side][role] {
            true => operated.unbind(side, role),
            false => operated.bind(side, role),
        }
        bound[side][role] = !bound[side][role];
        // Somewhere in the middle of it.
        std::thread::sleep(Duration::from_millis(random(150)));
        let what = random(4) as usize;
        killed[what] += 1;
        match what {
            0 => operated.restart_service(),
            1 => {
                operated.kill_supervisor();
                std::thread::sleep(Duration::from_millis(random(150)));
                operated.start_supervisor();
            }
            2 => kill_all(&operated.gateways[side].id),
            _ => {
                operated.kill_supervisor();
                kill_all(&operated.gateways[1 - side].id);
                operated.restart_service();
                operated.start_supervisor();
            }
        }
    }
    for side in [0, 1] {
        for role in [0, 1] {
            operated.wait_active(side, &operated.gateways[side].id);
            if !bound[side][role] {
                operated.bind(side, role);
            }
        }
        operated.wait_active(side, &operated.gateways[side].id);
    }
    operated.assert_up(&network);
    for side in [0, 1] {
        operated.process(side);
    }
    #[allow(clippy::print_stderr)]
    {
        eprintln!("{rounds} changes; killed: service, supervisor, a gateway, all of them: {killed:?}");
    }
    let shown = operated.operator(&["status"]);
    assert!(shown.contains("given up      nothing"), "{shown}");
    let checked = operated.operator(&["check"]);
    assert!(!checked.contains("finding"), "{checked}");
    operated.assert_leaves_nothing();
}

const WITH_KEY: (&str, &str) =
    ("IpsecConfig", r#"{"IpsecEncAlg":"aes256","IpsecAuthAlg":"sha256","IpsecPfs":"group14"}"#);

/// Settings of phase 1 with this key.
fn keyed(key: &str) -> String {
    serde_json::json!({
        "Psk": key, "IkeVersion": "ikev1", "IkeMode": "main", "IkeEncAlg": "aes256", "IkeAuthAlg": "sha256",
        "IkePfs": "group14"
    })
    .to_string()
}

#[test]
fn a_key_connects_ordinary_gateways_and_is_in_no_log_and_no_other_process() {
    if !crate::possible() {
        return;
    }
    const SHARED: &str = "known.to.both.and.to.nobody.else";
    let mut operated = Operated::bare(Issuer::now(KeySpec::EcSm2));
    for side in [0, 1] {
        let gateway = operated.make_gateway_of(side, "Normal");
        operated.gateways.push(gateway);
    }
    for side in [1, 0] {
        let (subnets, ike) = ([block(side), block(1 - side)], keyed(SHARED));
        operated.connect_side(side, &subnets, &[("IkeConfig", &ike), WITH_KEY]);
        operated.wait_active(side, &operated.gateways[side].id);
    }
    let network = operated.network();
    operated.assert_up(&network);

    // Another key on one side: it is said why, on both sides.
    let change = |side: usize, key: &str| {
        let (id, ike) = (operated.gateways[side].connection.as_str(), keyed(key));
        let parameters = [("VpnConnectionId", id), ("IkeConfig", &ike)];
        operated.call(side, VPC, "ModifyVpnConnectionAttribute", &parameters);
        operated.wait_active(side, &operated.gateways[side].id);
    };
    change(0, "another.key.of.this.side.alone");
    operated.wait_for(DOWN);
    wait("the reason", || {
        operated.operator(&["tunnel", "why", &operated.gateways[1].id]).contains("pre-shared key")
    });
    change(0, SHARED);
    operated.assert_up(&network);

    // The supervisor has never had it, and nothing that is written down has.
    let supervisor = operated.supervisor.as_ref().unwrap().id();
    assert_eq!(crate::site::occurrences_in(supervisor, SHARED.as_bytes()), 0);
    assert!(!operated.server.as_ref().unwrap().logged().contains(SHARED));
    for entry in std::fs::read_dir(operated.places()).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            path.extension().is_some_and(|kind| kind == "sock")
                || !std::fs::read_to_string(&path).unwrap().contains(SHARED)
        );
    }

    // What no gateway here can do is withdrawn, and the reason kept.
    let id = operated.gateways[0].id.clone();
    let before = operated.gateways[0].connection.clone();
    let subnets = ["10.90.0.0/16".to_owned(), "10.91.0.0/16".to_owned()];
    let device = operated.call(0, VPC, "CreateCustomerGateway", &[("IpAddress", "203.0.113.9")]);
    let parameters = [
        ("VpnGatewayId", id.as_str()),
        ("CustomerGatewayId", device["CustomerGatewayId"].as_str().unwrap()),
        ("LocalSubnet", &subnets[0]),
        ("RemoteSubnet", &subnets[1]),
        ("IkeConfig", r#"{"IkeVersion":"ikev2"}"#),
    ];
    operated.call(0, VPC, "CreateVpnConnection", &parameters);
    operated.wait_active(0, &id);
    let shown = operated.operator(&["status"]);
    assert!(shown.contains("IKE version ikev2 is not done by this gateway"), "{shown}");
    let left = operated.call(0, VPC, "DescribeVpnConnections", &[("VpnGatewayId", &id)]);
    let left = left["VpnConnections"]["VpnConnection"].as_array().unwrap().clone();
    assert!(left.len() == 1 && left[0]["VpnConnectionId"] == before.as_str(), "{left:?}");
    operated.assert_up(&network);
    operated.assert_leaves_nothing();
}

#[test]
fn routes_lead_into_a_tunnel_that_is_open_for_everything() {
    if !crate::possible() {
        return;
    }
    let mut operated = Operated::bare(Issuer::now(KeySpec::EcSm2));
    for side in [0, 1] {
        let gateway = operated.make_gateway_of(side, "Normal");
        operated.gateways.push(gateway);
    }
    let everything = ["0.0.0.0/0".to_owned(), "0.0.0.0/0".to_owned()];
    for side in [1, 0] {
        let ike = keyed("a.key.of.both.sides");
        let given = [("IkeConfig", ike.as_str()), WITH_KEY, ("AutoConfigRoute", "false")];
        operated.connect_side(side, &everything, &given);
        operated.wait_active(side, &operated.gateways[side].id);
    }
    let network = operated.network();
    operated.wait_for(UP);
    assert!(!network.ping(0), "nothing leads there yet");
    let route = |side: usize, action: &str| {
        let (gateway, other) = (&operated.gateways[side], block(1 - side));
        let mut parameters = vec![
            ("VpnGatewayId", gateway.id.as_str()),
            ("RouteDest", &other),
            ("NextHop", &gateway.connection),
            ("Weight", "100"),
        ];
        if action == "CreateVpnRouteEntry" {
            parameters.push(("PublishVpc", "false"));
        }
        operated.call(side, VPC, action, &parameters);
        operated.wait_active(side, &gateway.id);
    };
    [0, 1].iter().for_each(|side| route(*side, "CreateVpnRouteEntry"));
    network.assert_pings();
    route(0, "DeleteVpnRouteEntry");
    assert!(!network.ping(0));
    // The tunnel itself is as it was.
    operated.wait_for(UP);
}

#[test]
fn a_change_waits_for_the_supervisor_and_says_so() {
    if !crate::possible() {
        return;
    }
    let mut operated = Operated::start();
    operated.kill_supervisor();
    operated.bind(0, 0);
    let id = operated.gateways[0].id.clone();
    wait("the reason", || operated.operator(&["status"]).contains("the supervisor does not answer"));
    assert_eq!(operated.describe_gateway(0, &id)["Status"], "updating");
    operated.start_supervisor();
    operated.wait_active(0, &id);
    assert!(!operated.operator(&["status"]).contains("the supervisor"));
    // What is deleted meanwhile goes when somebody is there to do it.
    operated.kill_supervisor();
    operated.call(1, VPC, "DeleteVpnGateway", &[("VpnGatewayId", &operated.gateways[1].id)]);
    operated.restart_service();
    assert_eq!(operated.describe_gateway(1, &operated.gateways[1].id)["Status"], "deleting");
    operated.start_supervisor();
    let namespace = Path::new("/run/netns").join(format!("tg-{}", operated.gateways[1].id));
    wait("the namespace to be gone", || !namespace.exists());
}

#[test]
fn a_gateway_that_the_store_does_not_know_is_removed() {
    if !crate::possible() {
        return;
    }
    let operated = Operated::start();
    let place = Place {
        id: format!("vpn-unknown{}", std::process::id()),
        address: [198, 51, 100, 250].into(),
        networks: Vec::new(),
    };
    let namespace = Path::new("/run/netns").join(format!("tg-{}", place.id));
    let service = std::fs::read_to_string(operated.places().join("service")).unwrap();
    let service = service.trim_end().parse().unwrap();
    let request = HostRequest { service, order: HostOrder::Set { place, fence: None } };
    let report: HostReport = crate::site::ask_at(&operated.socket(), &request);
    assert!(matches!(report, HostReport::Ready { .. }), "{report:?}");
    wait("the namespace to be gone", || !namespace.exists());
    operated.assert_leaves_nothing();
}

#[test]
fn another_service_disturbs_nothing_until_the_gateways_are_handed_over() {
    if !crate::possible() {
        return;
    }
    const FOREIGN: &str = "keeps the gateways of another service";
    let (mut operated, network) = Operated::connected();
    operated.assert_up(&network);
    let processes = [0, 1].map(|side| operated.process(side));

    // Another data directory, and by mistake the same supervisor.
    let other = Server::start(&operated.arguments().each_ref().map(String::as_str));
    let mut client = Client { server: &other, caller: Caller::of(KEY, SECRET) };
    let made = operated.runtime.block_on(async {
        let place = Where::make(&mut client).await?;
        settled(&mut client, &place.create_gateway_of("NationalStandard")).await
    });
    let id = made.unwrap()["VpnGatewayId"].as_str().unwrap().to_owned();
    let namespace = |id: &str| Path::new("/run/netns").join(format!("tg-{id}"));
    wait("the reason", || said_of(&other, &["status"]).contains(FOREIGN));
    wait("the log", || other.logged().contains(FOREIGN));
    // A supervisor that is started again has not forgotten whose they are.
    operated.kill_supervisor();
    operated.start_supervisor();
    operated.restart_service();
    wait("the reason", || said_of(&other, &["status"]).contains(FOREIGN));
    operated.assert_up(&network);
    // Whoever restores a backup goes on.
    operated.restore_service();
    operated.assert_up(&network);
    assert_eq!([0, 1].map(|side| operated.process(side)), processes);
    assert!(!namespace(&id).exists());

    // Handed over, as the message says.
    let shown = said_of(&other, &["status"]);
    let named = |text: &str, before: &str| {
        text.split(before).nth(1).and_then(|rest| rest.split(')').next()).unwrap().to_owned()
    };
    let (first, second) = (named(&shown, "another service ("), named(&shown, "not of this one ("));
    operated.hand_over(&second);
    wait("the other gateway", || namespace(&id).exists());
    for gateway in &operated.gateways {
        wait("the namespace to be gone", || !namespace(&gateway.id).exists());
    }
    let connection = operated.gateways[0].connection.clone();
    wait("the reason", || operated.operator(&["tunnel", "why", &connection]).contains(FOREIGN));
    assert!(operated.operator(&["tunnel", "why", &connection]).contains("--adopt"));
    // And back.
    operated.hand_over(&first);
    wait("the namespace to be gone", || !namespace(&id).exists());
    operated.wait_for(UP);
    drop(network);
    operated.assert_leaves_nothing();
}
