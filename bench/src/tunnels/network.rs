//! Gateways as a supervisor starts them, and hosts that send through them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::IpNet;
use serde_json::json;
use tempfile::TempDir;
use tongguan_dataplane::orders::{
    ConnectionDocument, Credential, Document, Frames, Order, Report, SecretText, frame,
};
use tongguan_supervisor::{Namespace, Process, TUNNEL, ip};

use super::median;
use crate::machine;
use crate::report::Row;

/// All is there, as the API says it.
const UP: &str = "ipsec_sa_established";
/// How long a tunnel may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the receiving host listens.
const PORT: u16 = 7_777;

/// What is missing to start gateways; none if nothing is.
pub(super) fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root");
    }
    let mut probe = Command::new("unshare");
    probe.args(["--net", "--mount", "ip", "tuntap", "add", "dev", "probe", "mode", "tun"]);
    let made = probe.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success());
    (!made).then_some("root may not make a TUN device in a network of its own")
}

/// What a gateway proves itself with: each with its key, and the CA of its peers.
pub(super) struct Material {
    pub(super) signature: (String, String),
    pub(super) encryption: (String, String),
    pub(super) ca: String,
}

/// The networks of a connection, as ESP has them.
pub(super) fn selector(selector: &tongguan_ike::config::Selector) -> tongguan_esp::sa::Selector {
    let net = |(address, prefix)| IpNet::new_assert(address, prefix);
    tongguan_esp::sa::Selector { local: net(selector.local), remote: net(selector.remote) }
}

fn outside(side: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, side as u8 + 1)
}

fn inside(side: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, side as u8, 2)
}

/// A namespace, which goes with the measurement.
struct Room(Namespace);

impl Room {
    fn new(kind: &str) -> Result<Self> {
        Ok(Self(Namespace::create(&format!("tgb-{:x}-{kind}", std::process::id()))?))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What is left goes with the machine.
        let _ = self.0.clone().remove();
    }
}

/// Where a gateway runs.
pub(super) struct Place {
    room: Room,
    folder: TempDir,
}

impl Place {
    /// A namespace with the address of the first side.
    pub(super) fn new(kind: &str) -> Result<Self> {
        let place = Self { room: Room::new(kind)?, folder: TempDir::new()? };
        place.room.0.ip(&format!("addr add {}/32 dev lo", outside(0)))?;
        Ok(place)
    }

    /// Starts the gateway.
    pub(super) fn start(&self, program: &Path) -> Result<Site> {
        Site::start(program, &self.room.0, 0, self.folder.path())
    }
}

/// A gateway's process.
pub(super) struct Site {
    process: Option<Process>,
    control: PathBuf,
    generation: AtomicU64,
}

impl Site {
    fn start(program: &Path, namespace: &Namespace, side: usize, folder: &Path) -> Result<Self> {
        /// Whom gateways run as.
        const NOBODY: u32 = 65_534;
        let control = folder.join(format!("control-{side}"));
        let ends = namespace.open_ends(outside(side).into(), &control, Some(NOBODY), 1_500)?;
        let process = Process::start(program, namespace, &ends, Stdio::null())?;
        Ok(Self { process: Some(process), control, generation: AtomicU64::new(0) })
    }

    /// Number of the process.
    pub(super) fn id(&self) -> u32 {
        self.process.as_ref().map(Process::id).unwrap_or_default()
    }

    fn order(&self, order: &Order) -> Result<Report> {
        let mut socket = UnixStream::connect(&self.control).context("the gateway")?;
        socket.write_all(&frame(order)?)?;
        let mut frames = Frames::default();
        let mut octets = vec![0; 1 << 16];
        loop {
            if let Some(report) = frames.take()? {
                return Ok(report);
            }
            let length = socket.read(&mut octets)?;
            ensure!(length > 0, "the gateway has ended");
            frames.push(&octets[..length]);
        }
    }

    /// Has it be something.
    pub(super) fn apply(&self, document: &Document) -> Result<()> {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        let report =
            self.order(&Order::Apply { generation, claim: None, document: Box::new(document.clone()) })?;
        ensure!(report == Report::Applied { generation }, "{report:?}");
        Ok(())
    }

    fn is_up(&self) -> Result<bool> {
        let Report::Status { tunnels, .. } = self.order(&Order::Status)? else { bail!("no status") };
        Ok(tunnels.values().all(|tunnel| tunnel.negotiation == UP))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
        }
    }
}

fn settings(
    local: &str,
    remote: &str,
    words: [&str; 3],
    ca: Option<&str>,
    tunnel: &str,
) -> serde_json::Value {
    let [cipher, hash, group] = words;
    json!({
        "local_subnet": local, "remote_subnet": remote,
        "effect_immediately": ca.is_none(), "auto_config_route": true, "tunnels_bgp": false, "health_check": null,
        "tunnels": [{
            "id": tunnel, "customer_gateway": "cgw-1", "index": null, "role": null,
            "enable_dpd": true, "enable_nat_traversal": true, "remote_ca": ca,
            "ike": {"version": "ikev1", "mode": "main", "enc_alg": cipher, "auth_alg": hash, "pfs": group,
                "lifetime": 86400, "local_id": null, "remote_id": null},
            "ipsec": {"enc_alg": cipher, "auth_alg": hash, "pfs": "disabled", "lifetime": 86400},
            "bgp": null
        }]
    })
}

/// The document of a gateway with many connections that wait to be asked.
pub(super) fn document(side: usize, count: u32, material: Material) -> Document {
    let connections = (0..count).map(|number| {
        let (tunnel, peer) = (format!("tun-{number}"), Ipv4Addr::from(0xc612_0000 + number));
        let remote = format!("{}/32", Ipv4Addr::from(0xac10_0000 + number));
        let settings =
            settings("10.0.0.0/8", &remote, ["sm4", "sm3", "group19"], Some(&material.ca), &tunnel);
        let connection = ConnectionDocument {
            settings: serde_json::from_value(settings).unwrap_or_else(|error| panic!("{error}")),
            peers: BTreeMap::from([(tunnel, peer.into())]),
            keys: BTreeMap::new(),
        };
        (format!("vco-{number}"), connection)
    });
    let credential =
        |(certificate, key): (String, String)| Credential { certificate, key: SecretText::new(key) };
    Document {
        id: "vpn-idle".into(),
        address: outside(side).into(),
        certificates: BTreeMap::from([
            ("Signature".into(), credential(material.signature)),
            ("Encryption".into(), credential(material.encryption)),
        ]),
        connections: connections.collect(),
    }
}

/// The document of a gateway with one connection to the other side; the first side begins.
fn with_key(side: usize, words: [&str; 3]) -> Result<Document> {
    let block = |side| format!("10.78.{side}.0/24");
    let settings = settings(&block(side), &block(1 - side), words, None, "tun-1");
    let mut connection = ConnectionDocument {
        settings: serde_json::from_value(settings)?,
        peers: BTreeMap::from([("tun-1".into(), outside(1 - side).into())]),
        keys: BTreeMap::from([("tun-1".into(), SecretText::new("a secret of both sides".into()))]),
    };
    connection.settings.effect_immediately = side == 0;
    Ok(Document {
        id: format!("vpn-{side}"),
        address: outside(side).into(),
        certificates: BTreeMap::new(),
        connections: BTreeMap::from([("vco-1".into(), connection)]),
    })
}

/// Two hosts, each behind a gateway.
struct Line {
    hosts: [Room; 2],
    gateways: [Room; 2],
    folder: TempDir,
}

impl Line {
    fn new() -> Result<Self> {
        let line = Self {
            hosts: [Room::new("h0")?, Room::new("h1")?],
            gateways: [Room::new("g0")?, Room::new("g1")?],
            folder: TempDir::new()?,
        };
        join([&line.gateways[0], &line.gateways[1]], ["wan", "wan"])?;
        for side in [0, 1] {
            let [host, gateway] = [&line.hosts[side], &line.gateways[side]];
            join([host, gateway], ["eth", "lan"])?;
            gateway.0.ip(&format!("addr add {}/24 dev wan", outside(side)))?;
            gateway.0.ip(&format!("addr add 10.78.{side}.1/24 dev lan"))?;
            host.0.ip(&format!("addr add {}/24 dev eth", inside(side)))?;
            host.0.ip(&format!("route add default via 10.78.{side}.1"))?;
            gateway.0.enter(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))??;
        }
        Ok(line)
    }

    /// Sends from the first host to the second for a while; answers octets in a second.
    fn transfer(&self, length: Duration) -> Result<f64> {
        let address = SocketAddr::from((inside(1), PORT));
        let listener = self.hosts[1].0.enter(|| TcpListener::bind(address))??;
        let ends = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let receiver = scope.spawn(|| -> Result<f64> {
                let (mut socket, _) = listener.accept()?;
                let mut octets = vec![0; 1 << 18];
                let (mut first, mut count) = (None, 0);
                loop {
                    let received = socket.read(&mut octets)?;
                    if received == 0 {
                        break;
                    }
                    first.get_or_insert_with(Instant::now);
                    count += received;
                }
                let took = first.context("nothing came")?.elapsed();
                Ok(count as f64 / took.as_secs_f64())
            });
            let sender = scope.spawn(|| -> Result<()> {
                let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(10));
                let mut socket = self.hosts[0].0.enter(connect)??;
                let octets = vec![7; 1 << 18];
                while !ends.load(Ordering::Relaxed) {
                    socket.write_all(&octets)?;
                }
                Ok(())
            });
            std::thread::sleep(length);
            ends.store(true, Ordering::Relaxed);
            sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            receiver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn join([left, right]: [&Room; 2], [left_name, right_name]: [&str; 2]) -> Result<()> {
    let [left, right] = [&left.0, &right.0];
    ip(&format!(
        "link add {left_name} netns {} type veth peer name {right_name} netns {}",
        left.name(),
        right.name()
    ))?;
    left.ip(&format!("link set {left_name} up"))?;
    right.ip(&format!("link set {right_name} up"))?;
    Ok(())
}

/// What went through a tunnel, in turns with what is forwarded as it is.
pub(super) fn transfers(program: &Path, rounds: usize, length: Duration) -> Result<Vec<Row>> {
    /// Mbit/s.
    const MBIT: f64 = 8.0 / 1e6;
    let suites =
        [("SM4 and SM3", ["sm4", "sm3", "group19"]), ("AES-128 and SHA-256", ["aes", "sha256", "group19"])];
    let plain = Line::new()?;
    for side in [0, 1] {
        let route = format!("route add 10.78.{}.0/24 via {}", 1 - side, outside(1 - side));
        plain.gateways[side].0.ip(&route)?;
    }
    let mut forwarded = vec![plain.transfer(length)?];
    drop(plain);
    let mut rows = Vec::new();
    for (what, words) in suites {
        let line = Line::new()?;
        let mut sites = Vec::new();
        for side in [0, 1] {
            let gateway = &line.gateways[side].0;
            sites.push(Site::start(program, gateway, side, line.folder.path())?);
            gateway.ip(&format!("route add 10.78.{}.0/24 dev {TUNNEL}", 1 - side))?;
        }
        for side in [1, 0] {
            sites[side].apply(&with_key(side, words)?)?;
        }
        let end = Instant::now() + PATIENCE;
        while !(sites[0].is_up()? && sites[1].is_up()?) {
            ensure!(Instant::now() < end, "no tunnel with {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut rates = Vec::new();
        let mut a_core: [Vec<f64>; 2] = Default::default();
        for _ in 0..rounds {
            let before = [machine::cpu_time(sites[0].id())?, machine::cpu_time(sites[1].id())?];
            let begin = Instant::now();
            let rate = line.transfer(length)?;
            let octets = rate * begin.elapsed().as_secs_f64();
            rates.push(rate);
            for side in [0, 1] {
                let spent = machine::cpu_time(sites[side].id())?.saturating_sub(before[side]);
                a_core[side].push(octets / spent.as_secs_f64());
            }
        }
        drop((sites, line));
        let plain = Line::new()?;
        for side in [0, 1] {
            let route = format!("route add 10.78.{}.0/24 via {}", 1 - side, outside(1 - side));
            plain.gateways[side].0.ip(&route)?;
        }
        forwarded.push(plain.transfer(length)?);
        rows.push((what, median(rates), a_core.map(median)));
    }
    let limit = median(forwarded) * MBIT;
    let mut table = vec![Row::new("forwarded as it is", limit, "Mbit/s")];
    for (what, rate, [sealed, opened]) in rows {
        table.push(Row::new(format!("through a tunnel, {what}"), rate * MBIT, "Mbit/s").against(limit));
        table.push(Row::new("  of the sealing gateway", sealed * MBIT, "Mbit/s a core"));
        table.push(Row::new("  of the opening gateway", opened * MBIT, "Mbit/s a core"));
    }
    Ok(table)
}
