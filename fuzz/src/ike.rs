//! Datagrams for the IKE daemon, which anybody may send: read, written again, and given to gateways that are in the
//! middle of something.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tongguan_ike::config::{
    Authentication, Connection, ConnectionId, NatTraversal, PeerIdentity, Phase1Suite, Phase2Suite, Selector,
};
use tongguan_ike::keys::HashOrder;
use tongguan_ike::suite::{Cipher, Group, Hash};
use tongguan_ike::wire::{After, Delete, Header, Identity, Notify, Sa, chain, kind, payloads};
use tongguan_ike::{Input, Now, Output, Router};
use tongguan_pki::{PkiError, Random};
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

fn connection(side: u8) -> Connection {
    let network = |side| (IpAddr::from([10, side, 0, 0]), 16);
    let other = 3 - side;
    Connection {
        id: ConnectionId(1),
        remote: Some(address(other)),
        local: address(side),
        authentication: Authentication::Psk(Arc::new(Zeroizing::new(b"fuzz".to_vec()))),
        local_id: Identity::address(address(side)),
        remote_id: PeerIdentity::Exactly(Identity::address(address(other))),
        selectors: vec![Selector { local: network(side), remote: network(other) }],
        phase_1: vec![Phase1Suite { cipher: Cipher::Sm4, hash: Hash::Sm3, group: Some(Group::P256) }],
        phase_2: Phase2Suite { cipher: Cipher::Sm4, integrity: Hash::Sm3, group: None },
        phase_1_lifetime: Duration::from_secs(86_400),
        phase_2_lifetime: Duration::from_secs(3_600),
        hash_order: HashOrder::Rfc,
        dead_peer_detection: true,
        nat: NatTraversal::Detect,
        immediately: side == 1,
    }
}

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

/// The datagrams of a negotiation up to its second half, with fixed numbers: cookies and all are known to the corpus.
static RECORDED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let (mut routers, mut dice) = (start(), [Dice(1), Dice(2)]);
    let mut sent = vec![routers.1];
    for step in 0..4 {
        let receiver = 1 - step % 2;
        let side = receiver as u8 + 1;
        let last = sent.last().cloned().unwrap_or_default();
        sent.extend(give(&mut routers.0[receiver], side, &last, &mut dice[receiver]));
    }
    sent
});

/// Both sides, and the first message.
fn start() -> ([Router; 2], Vec<u8>) {
    let mut routers = [Router::new(), Router::new()];
    let mut first = Vec::new();
    for side in [1, 2] {
        let out = routers[usize::from(side) - 1].configure(connection(side), NOW, &mut Dice(u64::from(side)));
        for output in out {
            if let Output::Send { octets, .. } = output {
                first = octets;
            }
        }
    }
    (routers, first)
}

/// The first octet says how far a negotiation is when the rest comes in as a datagram; its header is corrected to
/// fit.
pub fn ike(input: &[u8]) {
    let Some((&choice, datagram)) = input.split_first() else { return };
    read(datagram);
    let (mut routers, _) = start();
    let mut dice = Dice(7);
    let recorded = &*RECORDED;
    let stage = usize::from(choice & 3).min(recorded.len() - 1);
    for (step, message) in recorded.iter().enumerate().take(stage) {
        let receiver = 1 - step % 2;
        give(&mut routers[receiver], receiver as u8 + 1, message, &mut dice);
    }
    let mut datagram = datagram.to_vec();
    if choice & 4 != 0 && datagram.len() >= 28 {
        datagram[..16].copy_from_slice(&recorded[stage][..16]);
        let length = (datagram.len() as u32).to_be_bytes();
        datagram[24..28].copy_from_slice(&length);
    }
    for side in [1u8, 2] {
        let router = &mut routers[usize::from(side) - 1];
        let before = router.counts();
        let sent: usize = give(router, side, &datagram, &mut dice).iter().map(Vec::len).sum();
        assert!(sent <= GAIN * datagram.len().max(300), "{sent} octets for {}", datagram.len());
        let after = router.counts();
        assert_eq!(before[0], after[0], "an IKE SA without a proof");
        assert!(after[1] <= before[1] + 1);
    }
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
