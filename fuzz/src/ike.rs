//! Datagrams for the IKE daemon, which anybody may send: read, written again, and given to gateways that are in the
//! middle of something, with pre-shared keys and with certificates.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tongguan_ike::config::{
    Authentication, Connection, ConnectionId, Credentials, NatTraversal, OwnCertificates, PeerIdentity,
    Phase1Suite, Phase2Suite, Selector,
};
use tongguan_ike::keys::HashOrder;
use tongguan_ike::suite::{Cipher, Group, Hash};
use tongguan_ike::wire::{self, After, Delete, Header, Identity, Notify, Sa, chain, kind, payloads};
use tongguan_ike::{Input, Now, Output, Router};
use tongguan_pki::{Certificate, PkiError, PrivateKey, Random};
use zeroize::Zeroizing;

use crate::within;

/// Memory that reading may hold beside a multiple of the datagram.
const SLACK: usize = 16 * 1024;
/// Memory that reading may hold per octet of the datagram.
const FACTOR: usize = 64;
/// How much longer than a datagram what is sent because of it may be.
const GAIN: usize = 3;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Random for Dice {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), PkiError> {
        for octet in octets {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *octet = (self.0 >> 33) as u8;
        }
        Ok(())
    }
}

fn address(side: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, side])
}

fn connection(side: u8, authentication: Authentication) -> Connection {
    let network = |side| (IpAddr::from([10, side, 0, 0]), 16);
    let other = 3 - side;
    let (local_id, remote_id, group) = match &authentication {
        Authentication::Psk(_) => {
            let peer = PeerIdentity::Exactly(Identity::address(address(other)));
            (Identity::address(address(side)), peer, Some(Group::P256))
        }
        Authentication::Envelope(credentials) => {
            let subject = credentials.own.signature.subject_der();
            (Identity::new(Identity::DER_NAME, subject), PeerIdentity::AnyOfCa, None)
        }
    };
    Connection {
        id: ConnectionId(1),
        remote: Some(address(other)),
        local: address(side),
        authentication,
        local_id,
        remote_id,
        selectors: vec![Selector { local: network(side), remote: network(other) }],
        phase_1: vec![Phase1Suite { cipher: Cipher::Sm4, hash: Hash::Sm3, group }],
        phase_2: Phase2Suite { cipher: Cipher::Sm4, integrity: Hash::Sm3, group: None },
        phase_1_lifetime: Duration::from_secs(86_400),
        phase_2_lifetime: Duration::from_secs(3_600),
        hash_order: HashOrder::Rfc,
        dead_peer_detection: true,
        nat: NatTraversal::Detect,
        immediately: side == 1,
    }
}

/// Both sides with a pre-shared key.
static KEYED: LazyLock<Sides> = LazyLock::new(|| {
    let key = || Authentication::Psk(Arc::new(Zeroizing::new(b"fuzz".to_vec())));
    Sides::new([connection(1, key()), connection(2, key())])
});

/// Both sides with certificates of one CA.
static CERTIFIED: LazyLock<Sides> = LazyLock::new(|| {
    macro_rules! file {
        ($name:literal) => {
            include_str!(concat!("../../crates/ike/tests/certificates/", $name))
        };
    }
    let certificate = |text: &str| Certificate::from_pem(text).expect("it is a certificate");
    let key = |text: &str| PrivateKey::from_pkcs8_pem(text).expect("it is a key");
    let sides = [
        [
            file!("east-sign.pem"),
            file!("east-sign.key"),
            file!("east-encrypt.pem"),
            file!("east-encrypt.key"),
        ],
        [
            file!("west-sign.pem"),
            file!("west-sign.key"),
            file!("west-encrypt.pem"),
            file!("west-encrypt.key"),
        ],
    ];
    let mut side = 0;
    Sides::new(sides.map(|[signature, signature_key, encryption, encryption_key]| {
        side += 1;
        let own = OwnCertificates {
            signature: certificate(signature),
            signature_key: key(signature_key),
            encryption: certificate(encryption),
            encryption_key: key(encryption_key),
        };
        let credentials = Credentials { own: Arc::new(own), peer_ca: vec![certificate(file!("ca.pem"))] };
        connection(side, Authentication::Envelope(Arc::new(credentials)))
    }))
});

const NOW: Now = Now { steady: Duration::from_secs(1), wall: 1_800_000_000 };

/// Gives a datagram to a side; answers what it sends.
fn give(router: &mut Router, side: u8, octets: &[u8], dice: &mut Dice) -> Vec<Vec<u8>> {
    let (local, remote) = (SocketAddr::new(address(side), 500), SocketAddr::new(address(3 - side), 500));
    let out = router.handle(NOW, Input::Datagram { local, remote, octets }, dice);
    let sent = out.into_iter().filter_map(|output| match output {
        Output::Send { octets, .. } => Some(octets),
        Output::Expect(_) | Output::Install(_) => panic!("a child SA without a negotiation"),
        Output::Cease { .. } | Output::Remove { .. } | Output::Event(_) => None,
    });
    sent.collect()
}

/// Both sides of a negotiation.
struct Sides {
    connections: [Connection; 2],
    /// Its datagrams up to its second half, with fixed numbers: cookies and all are known to the corpus.
    recorded: Vec<Vec<u8>>,
}

impl Sides {
    fn new(connections: [Connection; 2]) -> Self {
        let mut sides = Self { connections, recorded: Vec::new() };
        let ((mut routers, first), mut dice) = (sides.start(), [Dice(1), Dice(2)]);
        sides.recorded.push(first);
        for step in 0..4 {
            let receiver = 1 - step % 2;
            let last = sides.recorded.last().cloned().unwrap_or_default();
            sides.recorded.extend(give(
                &mut routers[receiver],
                receiver as u8 + 1,
                &last,
                &mut dice[receiver],
            ));
        }
        sides
    }

    /// Routers, and the first message.
    fn start(&self) -> ([Router; 2], Vec<u8>) {
        let mut routers = [Router::new(), Router::new()];
        let mut first = Vec::new();
        for (side, connection) in self.connections.iter().enumerate() {
            let out = routers[side].configure(connection.clone(), NOW, &mut Dice(side as u64 + 1));
            for output in out {
                if let Output::Send { octets, .. } = output {
                    first = octets;
                }
            }
        }
        (routers, first)
    }

    /// Routers after some messages.
    fn at(&self, stage: usize) -> [Router; 2] {
        let (mut routers, _) = self.start();
        let mut dice = [Dice(1), Dice(2)];
        for (step, message) in self.recorded.iter().enumerate().take(stage) {
            let receiver = 1 - step % 2;
            give(&mut routers[receiver], receiver as u8 + 1, message, &mut dice[receiver]);
        }
        routers
    }
}

/// Gives a datagram to both sides; nothing may come of it but an answer of some length.
fn hand_in(routers: &mut [Router; 2], datagram: &[u8], most: usize) {
    let mut dice = Dice(7);
    for side in [1u8, 2] {
        let router = &mut routers[usize::from(side) - 1];
        let before = router.counts();
        let sent: usize = give(router, side, datagram, &mut dice).iter().map(Vec::len).sum();
        assert!(sent <= most, "{sent} octets for {}", datagram.len());
        let after = router.counts();
        assert_eq!(before[0], after[0], "an IKE SA without a proof");
        assert!(after[1] <= before[1] + 1);
    }
}

/// The first octet says how far a negotiation is when the rest comes in as a datagram; its header is corrected to
/// fit.
pub fn ike(input: &[u8]) {
    let Some((&choice, datagram)) = input.split_first() else { return };
    read(datagram);
    let stage = usize::from(choice & 3).min(KEYED.recorded.len() - 1);
    let mut routers = KEYED.at(stage);
    let mut datagram = datagram.to_vec();
    if choice & 4 != 0 && datagram.len() >= 28 {
        datagram[..16].copy_from_slice(&KEYED.recorded[stage][..16]);
        let length = (datagram.len() as u32).to_be_bytes();
        datagram[24..28].copy_from_slice(&length);
    }
    hand_in(&mut routers, &datagram, GAIN * datagram.len().max(300));
}

/// The same with certificates and envelopes. The first octet says which message it is, the second which of its payloads
/// has the rest for a body; all else is as it should be. What opens no envelope, and what no key has signed, leads to
/// nothing.
pub fn ike_certificates(input: &[u8]) {
    /// Two certificates, and what belongs to them.
    const MOST: usize = 4_096;
    let Some(([choice, place], body)) = input.split_first_chunk::<2>() else { return };
    let stage = usize::from(choice & 3).min(CERTIFIED.recorded.len() - 1);
    let message = &CERTIFIED.recorded[stage];
    let (header, chained) = Header::read(message).expect("it was made here");
    let all = payloads(header.next, chained, After::Nothing).expect("it was made here");
    let mut drafts: Vec<_> = all.iter().map(|payload| (payload.kind, payload.body.to_vec())).collect();
    let place = usize::from(*place) % drafts.len();
    if choice & 4 == 0 {
        // As many octets of it as there are, so that its beginning and its length are what they were.
        let length = body.len().min(drafts[place].1.len());
        drafts[place].1[..length].copy_from_slice(&body[..length]);
    } else {
        drafts[place].1 = body.to_vec();
    }
    let same = drafts.iter().zip(&all).all(|(draft, payload)| draft.1 == payload.body);
    let vendor = drafts[place].0 == kind::VENDOR_ID || drafts[place].0 == kind::NAT_D;
    let datagram = wire::message(header, &drafts);
    let mut routers = CERTIFIED.at(stage);
    if same || vendor {
        // It is, or may be, the message itself.
        let receiver = 1 - stage % 2;
        give(&mut routers[receiver], receiver as u8 + 1, &datagram, &mut Dice(7));
        return;
    }
    // Envelopes and signatures cover all of messages 3 and 4: they are not even answered.
    hand_in(&mut routers, &datagram, if stage >= 2 { 0 } else { MOST });
}

/// What is read is written again as it was.
fn read(datagram: &[u8]) {
    let limit = SLACK + FACTOR * datagram.len();
    let Ok((header, body)) = within(limit, || Header::read(datagram)) else { return };
    assert_eq!(header.write(body.len())[..19], datagram[..19]);
    for after in [After::Nothing, After::Padding] {
        let Ok(all) = within(limit, || payloads(header.next, body, after)) else { continue };
        let drafts: Vec<_> = all.iter().map(|payload| (payload.kind, payload.body.to_vec())).collect();
        let (first, written) = chain(&drafts);
        assert_eq!((first, &written[..]), (header.next, &body[..written.len()]));
        for payload in all {
            let body = payload.body;
            within(limit, || match payload.kind {
                kind::SA => same(Sa::read(body).map(|sa| sa.write()), body),
                kind::ID => same(Identity::read(body).map(|identity| identity.write()), body),
                kind::DELETE => same(Delete::read(body).map(|delete| delete.write()), body),
                // A notification may name no domain of interpretation.
                kind::NOTIFY => same(
                    Notify::read(body).map(|notify| notify.write()[4..].to_vec()),
                    &body[4.min(body.len())..],
                ),
                _ => {}
            });
        }
    }
}

fn same<E>(written: Result<Vec<u8>, E>, body: &[u8]) {
    if let Ok(written) = written {
        assert_eq!(written, body);
    }
}
