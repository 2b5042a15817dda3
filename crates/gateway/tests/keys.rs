//! What was negotiated is gone from memory with its connection: searched for in the memory of this process.
//!
//! What is searched for is remembered masked, so that the search does not find itself.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tongguan_esp::sa::{CipherKey, Common, IcvLength, Inbound, IntegrityKey, Outbound, Selector};
use tongguan_esp::{Sad, SealBatch};
use tongguan_ike::config::{
    self, Authentication, Connection, ConnectionId, Credentials, NatTraversal, OwnCertificates, PeerIdentity,
    Phase1Suite, Phase2Suite,
};
use tongguan_ike::keys::HashOrder;
use tongguan_ike::suite::{Cipher, Group, Hash};
use tongguan_ike::wire::Identity;
use tongguan_ike::{ChildSa, Input, Now, OneWay, Output, Router};
use tongguan_pki::{Certificate, PrivateKey, SystemRandom};
use zeroize::{Zeroize as _, Zeroizing};

const MASK: u8 = 0xa5;
/// Within the validity of the certificates of `crates/ike/tests`.
const NOW: Now = Now { steady: Duration::from_secs(1), wall: 1_800_000_000 };

/// A secret by its name, masked.
struct Masked(String, Vec<u8>);

impl Masked {
    fn new(name: &str, secret: &[u8]) -> Self {
        Self(name.into(), secret.iter().map(|octet| octet ^ MASK).collect())
    }

    /// How often it stands in the writable memory of this process.
    fn occurrences(&self) -> usize {
        const PIECE: usize = 1 << 16;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let writable =
            maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")));
        let mut count = 0;
        let mut piece = vec![0; PIECE];
        for line in writable {
            let (from, to) = line.split_once(' ').and_then(|(range, _)| range.split_once('-')).unwrap();
            let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap());
            let mut at = from;
            while at < to {
                // Pieces overlap, so that nothing is missed between two. What cannot be read holds nothing.
                let length = (to - at).min(PIECE as u64) as usize;
                let read = memory.read_at(&mut piece[..length], at).unwrap_or(0);
                let windows = piece[..read].windows(self.1.len());
                count += windows
                    .filter(|window| {
                        window[0] ^ MASK == self.1[0]
                            && window.iter().zip(&self.1).all(|(octet, masked)| octet ^ MASK == *masked)
                    })
                    .count();
                at += (length - self.1.len().min(length - 1)) as u64;
            }
            // What was read is not left for the next search.
            piece.zeroize();
            piece.resize(PIECE, 0);
        }
        count
    }
}

fn address(side: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, side as u8 + 1])
}

fn connection(side: usize, authentication: Authentication, names: [Identity; 2]) -> Connection {
    let network = |side: usize| (IpAddr::from([10, side as u8, 0, 0]), 16);
    let [local_id, remote_id] = names;
    let group = matches!(authentication, Authentication::Psk(_)).then_some(Group::P256);
    Connection {
        id: ConnectionId(1),
        remote: Some(address(1 - side)),
        local: address(side),
        authentication,
        local_id,
        remote_id: PeerIdentity::Exactly(remote_id),
        selectors: vec![config::Selector { local: network(side), remote: network(1 - side) }],
        phase_1: vec![Phase1Suite { cipher: Cipher::Sm4, hash: Hash::Sm3, group }],
        phase_2: Phase2Suite { cipher: Cipher::Sm4, integrity: Hash::Sm3, group: None },
        phase_1_lifetime: Duration::from_secs(86_400),
        phase_2_lifetime: Duration::from_secs(3_600),
        hash_order: HashOrder::Rfc,
        dead_peer_detection: true,
        nat: NatTraversal::Always,
        immediately: side == 0,
    }
}

fn with_key(side: usize, key: &[u8]) -> Connection {
    let authentication = Authentication::Psk(Arc::new(Zeroizing::new(key.to_vec())));
    connection(side, authentication, [side, 1 - side].map(|side| Identity::address(address(side))))
}

/// With the certificates of the tests of negotiations; of the first side, its private keys are to be remembered.
fn with_certificates(side: usize, secrets: &mut Vec<Masked>) -> Connection {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../ike/tests/certificates");
    let read = |name: &str| Zeroizing::new(std::fs::read_to_string(format!("{folder}/{name}")).unwrap());
    let names = ["east", "west"];
    let mut entity = |role: &str| {
        let certificate = Certificate::from_pem(&read(&format!("{}-{role}.pem", names[side]))).unwrap();
        let text = read(&format!("{}-{role}.key", names[side]));
        if side == 0 {
            let line = text.lines().nth(1).unwrap();
            secrets.push(Masked::new(&format!("text of the key for {role}"), line.as_bytes()));
        }
        (certificate, PrivateKey::from_pkcs8_pem(&text).unwrap())
    };
    let ((signature, signature_key), (encryption, encryption_key)) = (entity("sign"), entity("encrypt"));
    let name = |side: usize| {
        let certificate = Certificate::from_pem(&read(&format!("{}-sign.pem", names[side]))).unwrap();
        Identity::new(Identity::DER_NAME, certificate.subject_der())
    };
    let names = [name(side), name(1 - side)];
    let own = Arc::new(OwnCertificates { signature, signature_key, encryption, encryption_key });
    let peer_ca = vec![Certificate::from_pem(&read("ca.pem")).unwrap()];
    let authentication = Authentication::Envelope(Arc::new(Credentials { own, peer_ca }));
    connection(side, authentication, names)
}

/// Installs a child SA as the thread of packets does, and seals something under it.
fn install(child: &ChildSa) -> Sad {
    let net = |(address, prefix)| IpNet::new_assert(address, prefix);
    let selector = Selector { local: net(child.selector.local), remote: net(child.selector.remote) };
    let icv = IcvLength::learnt();
    let common = |way: &OneWay| Common {
        spi: way.spi,
        cipher: CipherKey::sm4(&way.cipher_key).unwrap(),
        integrity: IntegrityKey::sm3(&way.integrity_key),
        icv: icv.clone(),
        selector,
    };
    let mut sad = Sad::default();
    let outbound = Outbound::new(common(&child.outbound), child.inbound.spi, [7; 16]);
    sad.install(Inbound::new(common(&child.inbound)), outbound);
    let mut batch = SealBatch::default();
    let [from, to] = [child.selector.local.0, child.selector.remote.0].map(|address| match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => panic!("{address}"),
    });
    let packet = [&[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0][..], &from, &to].concat();
    batch.slot().unwrap()[..packet.len()].copy_from_slice(&packet);
    let sa = Arc::clone(sad.outbound(&packet).unwrap());
    batch.push(sa, packet.len());
    batch.seal();
    assert!(batch.results().all(|(_, result)| result.is_ok()));
    sad
}

/// A connection from its first message to its end. Answers the secrets that it had, and how often each stood in memory
/// meanwhile.
fn live(connections: [Connection; 2], mut secrets: Vec<Masked>) -> (Vec<Masked>, Vec<usize>) {
    let mut routers = [Router::new(), Router::new()];
    let mut under_way = VecDeque::new();
    let mut sads = Vec::new();
    for (side, connection) in connections.into_iter().enumerate().rev() {
        let out = routers[side].configure(connection, NOW, &mut SystemRandom);
        under_way.extend(out.into_iter().map(|output| (side, output)));
    }
    while let Some((from, output)) = under_way.pop_front() {
        match output {
            Output::Send { local, remote, octets } => {
                let input = Input::Datagram { local: remote, remote: local, octets: &octets };
                let out = routers[1 - from].handle(NOW, input, &mut SystemRandom);
                under_way.extend(out.into_iter().map(|output| (1 - from, output)));
            }
            Output::Install(child) => {
                if from == 0 {
                    for (name, way) in [("inbound", &child.inbound), ("outbound", &child.outbound)] {
                        secrets.push(Masked::new(&format!("{name} cipher key"), &way.cipher_key));
                        secrets.push(Masked::new(&format!("{name} integrity key"), &way.integrity_key));
                    }
                }
                sads.push((install(&child), child));
            }
            _ => {}
        }
    }
    assert_eq!(sads.len(), 2);
    let during = secrets.iter().map(Masked::occurrences).collect();
    for router in &mut routers {
        drop(router.remove(ConnectionId(1), NOW, &mut SystemRandom));
    }
    // IKE SAs that were ended are remembered for a minute, so that the peer can be told again.
    for router in &mut routers {
        let later = Now { steady: NOW.steady + Duration::from_secs(61), ..NOW };
        drop(router.handle(later, Input::Tick, &mut SystemRandom));
    }
    (secrets, during)
}

#[test]
fn nothing_of_a_connection_is_left_in_memory() {
    // In a thread of its own, whose stack is gone afterwards: what is computed with lies there.
    let with_key = || {
        // Made where it is kept, so that no copy of it is anywhere else from the beginning.
        let key: Zeroizing<Vec<u8>> = Zeroizing::new((0..32).map(|place: u8| (place * 7) ^ MASK).collect());
        let secret = Masked::new("pre-shared key", &key);
        live([0, 1].map(|side| with_key(side, &key)), vec![secret])
    };
    let with_certificates = || {
        let mut secrets = Vec::new();
        let connections = [0, 1].map(|side| with_certificates(side, &mut secrets));
        live(connections, secrets)
    };
    for (way, run) in [("key", &with_key as &(dyn Fn() -> _ + Sync)), ("certificates", &with_certificates)] {
        let (secrets, during): (Vec<Masked>, Vec<usize>) =
            std::thread::scope(|scope| scope.spawn(run).join().unwrap());
        let found = during.iter().filter(|count| **count > 0).count();
        assert!(found >= 4, "{way}: the search finds nothing of what is there: {during:?}");
        for secret in &secrets {
            assert_eq!(secret.occurrences(), 0, "{way}: {}", secret.0);
        }
    }
}
