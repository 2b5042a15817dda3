//! A gateway of ours in a network, and the orders that it gets.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tongguan_dataplane::orders::{
    ConnectionDocument, Credential, Document, Frames, Order, Report, SecretText, TunnelStatus, frame,
};
use tongguan_pki::{Ca, Certificate, KeySpec, PrivateKey, Subject, Usage, create_csr};
use tongguan_supervisor::{Namespace, Process, TUNNEL};
use tongguan_testkit::program::binary;

use crate::network::{Network, block, outside, wait_longer};

/// The user as whom gateways run in tests.
pub(crate) const NOBODY: u32 = 65_534;
/// The tunnel of every document here.
pub(crate) const TUN: &str = "tun-1";
/// All is there, as the API says it.
pub(crate) const UP: &str = "ipsec_sa_established";
/// Nothing is there.
pub(crate) const DOWN: &str = "ike_sa_not_established";

/// A gateway's process.
pub(crate) struct Site {
    process: Option<Process>,
    folder: TempDir,
    generation: u64,
    /// What the way to its peers takes whole.
    path: u16,
}

impl Site {
    /// Starts the gateway of a side, with the route to the other side.
    pub(crate) fn start(network: &Network, side: usize) -> Self {
        Self::start_narrow(network, side, 1_500)
    }

    /// The same, where the way to the other side takes packets of this length whole.
    pub(crate) fn start_narrow(network: &Network, side: usize, path: u16) -> Self {
        let mut site = Self { process: None, folder: TempDir::new().unwrap(), generation: 0, path };
        site.start_again(network, side);
        site
    }

    /// Starts it again after [`Site::kill`].
    pub(crate) fn start_again(&mut self, network: &Network, side: usize) {
        self.start_in(&network.gateways[side], network.addresses[side], &[1 - side]);
    }

    /// Starts a gateway with the routes to some sides.
    pub(crate) fn start_at(namespace: &Namespace, address: Ipv4Addr, sides: &[usize]) -> Self {
        let mut site = Self { process: None, folder: TempDir::new().unwrap(), generation: 0, path: 1_500 };
        site.start_in(namespace, address, sides);
        site
    }

    fn start_in(&mut self, namespace: &Namespace, address: Ipv4Addr, sides: &[usize]) {
        let ends = namespace.open_ends(address.into(), &self.control(), Some(NOBODY), self.path).unwrap();
        let process = Process::start(&binary(), namespace, &ends, Stdio::inherit()).unwrap();
        for side in sides {
            namespace.ip(&format!("route add {} dev {TUNNEL}", block(*side))).unwrap();
        }
        self.process = Some(process);
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// Ends the process as no process can notice.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill().unwrap();
    }

    /// How often some octets stand in the memory of the process.
    pub(crate) fn occurrences(&self, octets: &[u8]) -> usize {
        occurrences_in(self.id(), octets)
    }

    /// Number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Gives an order, and answers what the gateway says to it.
    pub(crate) fn order(&self, order: &Order) -> Report {
        order_at(&self.control(), order)
    }

    /// Has it be something new.
    pub(crate) fn apply(&mut self, document: &Document) {
        self.generation += 1;
        let order =
            Order::Apply { generation: self.generation, claim: None, document: Box::new(document.clone()) };
        assert_eq!(self.order(&order), Report::Applied { generation: self.generation });
    }

    /// How its tunnel is.
    pub(crate) fn status(&self) -> TunnelStatus {
        self.statuses().remove(TUN).unwrap()
    }

    /// How each of its tunnels is.
    pub(crate) fn statuses(&self) -> BTreeMap<String, TunnelStatus> {
        let Report::Status { tunnels, .. } = self.order(&Order::Status) else { panic!("no status") };
        tunnels
    }

    /// Waits until its tunnel is so.
    pub(crate) fn wait_for(&self, negotiation: &str) {
        self.wait_longer_for(negotiation, 1);
    }

    /// The same, for a multiple of the usual time.
    pub(crate) fn wait_longer_for(&self, negotiation: &str, times: u32) {
        let mut last = None;
        let so = || {
            let status = self.status();
            let so = status.negotiation == negotiation;
            last = Some(status);
            so
        };
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_longer(negotiation, times, so);
        }));
        assert!(waited.is_ok(), "waited in vain for {negotiation}: {last:?}");
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

/// How often some octets stand in the memory of a process.
pub(crate) fn occurrences_in(process: u32, octets: &[u8]) -> usize {
    use std::os::unix::fs::FileExt as _;
    let folder = format!("/proc/{process}");
    let maps = std::fs::read_to_string(format!("{folder}/maps")).unwrap();
    let memory = std::fs::File::open(format!("{folder}/mem")).unwrap();
    let writable =
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")));
    let mut count = 0;
    const PIECE: usize = 1 << 16;
    let nothing = vec![0; PIECE];
    for line in writable {
        let (from, to) = line.split_once(' ').and_then(|(range, _)| range.split_once('-')).unwrap();
        let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap());
        let mut at = from;
        while at < to {
            // Pieces overlap, so that nothing is missed between two.
            let mut piece = vec![0; (to - at).min(PIECE as u64) as usize];
            // What cannot be read is reserved and holds nothing.
            let length = memory.read_at(&mut piece, at).unwrap_or(0);
            if piece[..length] != nothing[..length] {
                let of_length = piece[..length].windows(octets.len());
                count += of_length.filter(|part| part[0] == octets[0] && *part == octets).count();
            }
            at += (piece.len() - octets.len().min(piece.len() - 1)) as u64;
        }
    }
    count
}

/// Gives an order to the gateway that takes its orders at a socket.
pub(crate) fn order_at(control: &Path, order: &Order) -> Report {
    ask_at(control, order)
}

/// Gives an order to whoever takes orders at a socket.
pub(crate) fn ask_at<T: DeserializeOwned>(control: &Path, order: &impl Serialize) -> T {
    let mut socket = UnixStream::connect(control).unwrap();
    socket.write_all(&frame(order).unwrap()).unwrap();
    let mut frames = Frames::default();
    let mut octets = [0; 4_096];
    loop {
        if let Some(report) = frames.take().unwrap() {
            return report;
        }
        let length = socket.read(&mut octets).unwrap();
        assert!(length > 0, "the gateway has ended");
        frames.push(&octets[..length]);
    }
}

/// Algorithms of a connection: phase 1 with its group, phase 2 with its group, in words of the API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) ike: [&'static str; 3],
    pub(crate) ipsec: [&'static str; 3],
    pub(crate) in_udp: bool,
}

/// A connection with a pre-shared key, on the gateway of a side; the first side begins.
pub(crate) fn with_key(side: usize, words: Words) -> Document {
    let mut document = document(side, words, None);
    let connection = document.connections.get_mut("vco-1").unwrap();
    connection.keys.insert(TUN.into(), SecretText::new("a secret of both sides".into()));
    document
}

/// A connection with certificates, on the gateway of a side; the first side begins.
pub(crate) fn with_certificates(
    side: usize,
    ca: &Ca,
    certificates: &BTreeMap<String, Credential>,
) -> Document {
    let words = Words { ike: ["sm4", "sm3", "group2"], ipsec: ["sm4", "sm3", "group2"], in_udp: true };
    let mut document = document(side, words, Some(ca.certificate()));
    document.certificates.clone_from(certificates);
    document
}

fn document(side: usize, words: Words, ca: Option<&Certificate>) -> Document {
    let Words { ike, ipsec, in_udp } = words;
    let settings: Value = json!({
        "local_subnet": block(side), "remote_subnet": block(1 - side),
        "effect_immediately": side == 0, "auto_config_route": true, "tunnels_bgp": false, "health_check": null,
        "tunnels": [{
            "id": TUN, "customer_gateway": "cgw-1", "index": null, "role": null,
            "enable_dpd": true, "enable_nat_traversal": in_udp, "remote_ca": ca.map(Certificate::to_pem),
            "ike": {"version": "ikev1", "mode": "main", "enc_alg": ike[0], "auth_alg": ike[1], "pfs": ike[2],
                "lifetime": 86400, "local_id": null, "remote_id": null},
            "ipsec": {"enc_alg": ipsec[0], "auth_alg": ipsec[1], "pfs": ipsec[2], "lifetime": 86400},
            "bgp": null
        }]
    });
    let connection = ConnectionDocument {
        settings: serde_json::from_value(settings).unwrap(),
        peers: BTreeMap::from([(TUN.into(), outside(1 - side).into())]),
        keys: BTreeMap::new(),
    };
    Document {
        id: format!("vpn-{side}"),
        address: outside(side).into(),
        certificates: BTreeMap::new(),
        connections: BTreeMap::from([("vco-1".into(), connection)]),
    }
}

/// A connection with one tunnel, the same but for the tunnel's name and its peer.
pub(crate) fn renamed(connection: &ConnectionDocument, tunnel: &str, peer: Ipv4Addr) -> ConnectionDocument {
    let mut settings = serde_json::to_value(&connection.settings).unwrap();
    settings["tunnels"][0]["id"] = tunnel.into();
    ConnectionDocument {
        settings: serde_json::from_value(settings).unwrap(),
        peers: BTreeMap::from([(tunnel.to_owned(), peer.into())]),
        keys: connection.keys.values().map(|key| (tunnel.to_owned(), key.clone())).collect(),
    }
}

/// Seconds since 1970, by which gateways judge certificates.
#[expect(clippy::disallowed_methods, reason = "gateways are processes with a clock of their own")]
pub(crate) fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

/// A CA of SM2, valid around now.
pub(crate) fn authority(now: i64) -> Ca {
    let subject = Subject::parse("CN=root,OU=tunnels,O=tests,C=CN").unwrap();
    Ca::new(KeySpec::EcSm2, &subject, now - 3_600, now + 86_400).unwrap()
}

/// Both certificates of a gateway.
pub(crate) fn issued(ca: &Ca, name: &str, now: i64) -> BTreeMap<String, Credential> {
    let subject = Subject::parse(&format!("CN={name},OU=tunnels,O=tests,C=CN")).unwrap();
    let issue = |usage: Usage| {
        let key = PrivateKey::generate(KeySpec::EcSm2).unwrap();
        let request = create_csr(&key, &subject, &[]).unwrap();
        let certificate = ca.issue(&request, usage, now - 3_600, now + 86_400).unwrap();
        let key = SecretText::new(key.to_pkcs8_pem().unwrap().to_string());
        Credential { certificate: certificate.to_pem(), key }
    };
    BTreeMap::from([
        ("Signature".into(), issue(Usage::Signature)),
        ("Encryption".into(), issue(Usage::Encryption)),
    ])
}
