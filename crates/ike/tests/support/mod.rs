//! Two gateways in one memory, and a network between them that loses, doubles, delays and changes what it carries.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tongguan_ike::config::{
    Authentication, Connection, ConnectionId, Credentials, NatTraversal, OwnCertificates, PeerIdentity,
    Phase1Suite, Phase2Suite, Selector,
};
use tongguan_ike::keys::HashOrder;
use tongguan_ike::suite::{Cipher, Group, Hash};
use tongguan_ike::wire::Identity;
use tongguan_ike::{ChildSa, EspEvent, Event, Input, Now, Output, Router};
use tongguan_pki::{Certificate, PkiError, PrivateKey, Random};
use zeroize::Zeroizing;

/// When certificates are looked at: within the validity of those of the tests.
pub(crate) const WALL: i64 = 1_800_000_000;
/// The connection that both sides have.
pub(crate) const ID: ConnectionId = ConnectionId(1);

/// Numbers that look random and are the same in every run (SplitMix64).
#[derive(Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True in `per_mille` of a thousand cases.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.roll() % 1000 < per_mille
    }
}

impl Random for Dice {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), PkiError> {
        for chunk in octets.chunks_mut(8) {
            let number = self.roll().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}

/// What the network does, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) lose: u64,
    pub(crate) double: u64,
    pub(crate) corrupt: u64,
    /// Milliseconds that a datagram takes at most; with it they overtake each other.
    pub(crate) delay: u64,
    /// Longer ones do not arrive, as where fragments are dropped.
    pub(crate) longest: Option<usize>,
}

/// A datagram on its way: to which side, at which of its addresses, from where.
type UnderWay = (usize, SocketAddr, SocketAddr, Vec<u8>);

pub(crate) struct World {
    pub(crate) sides: [Router; 2],
    pub(crate) connections: [Connection; 2],
    pub(crate) installed: [Vec<ChildSa>; 2],
    /// Inbound SPIs of those under which nothing is sent any more.
    ceased: [BTreeSet<u32>; 2],
    pub(crate) events: [Vec<Event>; 2],
    pub(crate) now: Duration,
    pub(crate) wall: i64,
    pub(crate) faults: Faults,
    pub(crate) sent: usize,
    /// Restarts a side when so many datagrams were sent.
    pub(crate) restart: Option<(usize, usize)>,
    /// Every datagram that was sent, for tests that look at them.
    pub(crate) wire: Vec<Vec<u8>>,
    /// Of datagrams that the second side has taken: the kind of their first payload, the processor time of that, and
    /// how many octets were answered.
    pub(crate) taken: Vec<(u8, Duration, usize)>,
    dice: Dice,
    randoms: [Dice; 2],
    /// By when they arrive.
    network: BTreeMap<(Duration, usize), UnderWay>,
}

impl World {
    pub(crate) fn new(seed: u64, connections: [Connection; 2]) -> Self {
        Self {
            sides: [Router::new(), Router::new()],
            connections,
            installed: Default::default(),
            ceased: Default::default(),
            events: Default::default(),
            now: Duration::from_secs(1_000),
            wall: WALL,
            faults: Faults { delay: 20, ..Faults::default() },
            sent: 0,
            restart: None,
            wire: Vec::new(),
            taken: Vec::new(),
            dice: Dice(seed),
            randoms: [Dice(seed ^ 0xaaaa_0001), Dice(seed ^ 0x5555_0002)],
            network: BTreeMap::new(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now { steady: self.now, wall: self.wall }
    }

    pub(crate) fn configure(&mut self, side: usize) {
        let (connection, now) = (self.connections[side].clone(), self.now());
        let out = self.sides[side].configure(connection, now, &mut self.randoms[side]);
        self.carry_out(side, out);
    }

    pub(crate) fn input(&mut self, side: usize, input: Input<'_>) {
        let now = self.now();
        let before = processor_time();
        let out = self.sides[side].handle(now, input, &mut self.randoms[side]);
        let took = processor_time() - before;
        if let (1, Input::Datagram { octets, .. }) = (side, input) {
            let answered = out.iter().map(|output| match output {
                Output::Send { octets, .. } => octets.len(),
                _ => 0,
            });
            self.taken.push((octets.get(16).copied().unwrap_or(0), took, answered.sum()));
        }
        self.carry_out(side, out);
    }

    /// The process of a side dies, and another takes its place.
    pub(crate) fn restart(&mut self, side: usize) {
        self.sides[side] = Router::new();
        self.installed[side].clear();
        self.configure(side);
    }

    fn carry_out(&mut self, side: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send { local, remote, octets } => self.post(1 - side, remote, local, octets),
                Output::Expect(_) => {}
                Output::Install(child) => self.installed[side].push(*child),
                Output::Cease { spi, .. } => drop(self.ceased[side].insert(spi)),
                Output::Remove { spi, .. } => self.installed[side].retain(|child| child.inbound.spi != spi),
                Output::Event(event) => self.events[side].push(event),
            }
        }
    }

    fn post(&mut self, to: usize, local: SocketAddr, remote: SocketAddr, octets: Vec<u8>) {
        self.sent += 1;
        self.wire.push(octets.clone());
        let copies = 1 + usize::from(self.dice.chance(self.faults.double));
        for _ in 0..copies {
            if self.dice.chance(self.faults.lose)
                || self.faults.longest.is_some_and(|most| octets.len() > most)
            {
                continue;
            }
            let mut octets = octets.clone();
            if self.dice.chance(self.faults.corrupt) {
                let bit = self.dice.roll() as usize % (octets.len() * 8);
                octets[bit / 8] ^= 1 << (bit % 8);
            }
            let delay = Duration::from_millis(1 + self.dice.roll() % (self.faults.delay + 1));
            let place = (self.now + delay, self.network.len() + self.sent * 4);
            self.network.insert(place, (to, local, remote, octets));
        }
    }

    /// Lets everything happen up to a moment.
    pub(crate) fn run(&mut self, until: Duration) {
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 100_000, "time stands still {}", self.describe());
            if let Some((count, side)) = self.restart
                && self.sent >= count
            {
                self.restart = None;
                self.restart(side);
            }
            let datagram = self.network.keys().next().map(|(at, _)| *at);
            let timers = [0, 1].map(|side| self.sides[side].next_timer());
            let next = [datagram, timers[0], timers[1]].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            if datagram.is_some_and(|at| at <= next) {
                if let Some((_, (to, local, remote, octets))) = self.network.pop_first() {
                    self.input(to, Input::Datagram { local, remote, octets: &octets });
                }
            } else {
                for side in [0, 1] {
                    if timers[side].is_some_and(|due| due <= self.now) {
                        self.input(side, Input::Tick);
                    }
                }
            }
        }
        self.now = until;
    }

    /// Runs on, with a packet each way every second, which the network may lose: under a child SA that the receiver
    /// does not know it says so, and under one that it knows the sender is there.
    pub(crate) fn run_with_traffic(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let next = self.now + Duration::from_secs(1);
            self.run(next);
            for side in [0, 1] {
                let Some(child) = self.sending(side).last() else { continue };
                let spi = child.outbound.spi;
                if self.dice.chance(self.faults.lose) {
                    continue;
                }
                let event = match self.installed[1 - side].iter().find(|other| other.inbound.spi == spi) {
                    Some(other) => EspEvent::Received(other.connection),
                    None => EspEvent::UnknownSpi {
                        remote: SocketAddr::new(self.connections[side].local, 500),
                        spi,
                    },
                };
                self.input(1 - side, Input::Esp(event));
            }
        }
    }

    /// What a side may send under, the oldest first.
    pub(crate) fn sending(&self, side: usize) -> impl DoubleEndedIterator<Item = &ChildSa> {
        self.installed[side].iter().filter(move |child| !self.ceased[side].contains(&child.inbound.spi))
    }

    /// Whether each side sends under something that the other receives under, with the same keys.
    pub(crate) fn agree(&self) -> bool {
        [0, 1].into_iter().all(|side| {
            let Some(ours) = self.sending(side).last() else { return false };
            self.installed[1 - side].iter().any(|theirs| {
                ours.outbound == theirs.inbound
                    && ours.inbound == theirs.outbound
                    && ours.selector.local == theirs.selector.remote
                    && ours.selector.remote == theirs.selector.local
            })
        })
    }

    /// Whether there is nothing on either side.
    pub(crate) fn is_clean(&self) -> bool {
        [0, 1].into_iter().all(|side| self.installed[side].is_empty() && self.sides[side].counts() == [0, 0])
    }

    pub(crate) fn describe(&self) -> String {
        let of = |side: usize| {
            let events = self.events[side].iter().rev().take(12).rev();
            let spis: Vec<(u32, u32)> =
                self.installed[side].iter().map(|child| (child.inbound.spi, child.outbound.spi)).collect();
            format!("{:?} {spis:x?} {:#?}", self.sides[side].counts(), events.collect::<Vec<_>>())
        };
        format!("at {:?}: {}\n{}", self.now, of(0), of(1))
    }
}

/// What this thread has spent.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec.try_into().unwrap())
}

pub(crate) fn address(side: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, side as u8 + 1])
}

fn network(side: usize) -> (IpAddr, u8) {
    (IpAddr::from([10, side as u8, 0, 0]), 16)
}

/// A connection of a side with a pre-shared key.
pub(crate) fn psk(side: usize, suite: (Cipher, Hash, Group)) -> Connection {
    let (cipher, hash, group) = suite;
    Connection {
        id: ID,
        remote: Some(address(1 - side)),
        local: address(side),
        authentication: Authentication::Psk(Arc::new(Zeroizing::new(b"a secret of both".to_vec()))),
        local_id: Identity::address(address(side)),
        remote_id: PeerIdentity::Exactly(Identity::address(address(1 - side))),
        selectors: vec![Selector { local: network(side), remote: network(1 - side) }],
        phase_1: vec![Phase1Suite { cipher, hash, group: Some(group) }],
        phase_2: Phase2Suite { cipher, integrity: hash, group: None },
        phase_1_lifetime: Duration::from_secs(86_400),
        phase_2_lifetime: Duration::from_secs(86_400),
        hash_order: HashOrder::Rfc,
        dead_peer_detection: true,
        nat: NatTraversal::Detect,
        immediately: true,
    }
}

/// Two such connections, of which the first begins.
pub(crate) fn psk_pair(suite: (Cipher, Hash, Group)) -> [Connection; 2] {
    let [first, second] = [0, 1].map(|side| psk(side, suite));
    [first, Connection { immediately: false, ..second }]
}

/// A certificate and its key, from the files of the tests.
pub(crate) fn entity(name: &str) -> (Certificate, PrivateKey) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates");
    let read = |suffix: &str| std::fs::read_to_string(format!("{folder}/{name}.{suffix}")).unwrap();
    (Certificate::from_pem(&read("pem")).unwrap(), PrivateKey::from_pkcs8_pem(&read("key")).unwrap())
}

/// A connection of a side with digital envelopes.
pub(crate) fn envelope(side: usize) -> Connection {
    let names = ["east", "west"];
    let own = |role: &str| entity(&format!("{}-{role}", names[side]));
    let ((signature, signature_key), (encryption, encryption_key)) = (own("sign"), own("encrypt"));
    let (peer, _) = entity(&format!("{}-sign", names[1 - side]));
    let (ca, _) = entity("ca");
    let local_id = Identity::new(Identity::DER_NAME, signature.subject_der());
    Connection {
        local_id,
        remote_id: PeerIdentity::Exactly(Identity::new(Identity::DER_NAME, peer.subject_der())),
        authentication: Authentication::Envelope(Arc::new(Credentials {
            own: Arc::new(OwnCertificates { signature, signature_key, encryption, encryption_key }),
            peer_ca: vec![ca],
        })),
        phase_1: vec![Phase1Suite { cipher: Cipher::Sm4, hash: Hash::Sm3, group: None }],
        ..psk(side, (Cipher::Sm4, Hash::Sm3, Group::P256))
    }
}

/// Two such connections, of which the first begins.
pub(crate) fn envelope_pair() -> [Connection; 2] {
    let [first, second] = [0, 1].map(envelope);
    [first, Connection { immediately: false, ..second }]
}
