//! An IKE SA: its state, its protected messages, what is sent again and when.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tongguan_pki::Random;
use tongguan_smcrypto::{HmacSm3Key, Sm3};
use zeroize::Zeroizing;

use crate::config::{ConnectionId, NatTraversal, Phase1Suite};
use crate::exchange::{Quick, Sent};
use crate::io::{Now, Output};
use crate::keys::{Cookies, Phase1Keys};
use crate::peer::{Envelope, PeerCertificates};
use crate::suite::{BLOCK_BYTES, Block, Hash, KeyPair, Secret};
use crate::wire::{Draft, Header, chain, kind};

/// Answers to repeated requests, at most, in a second.
const ANSWERS_PER_SECOND: u32 = 3;

/// How long what was replaced still receives.
pub(crate) const OVERLAP: Duration = Duration::from_secs(30);
/// SAs that were made within this time, or a tenth of their lifetime, were made at once: the one that goes is chosen
/// by its nonces or cookies.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(10);

/// Message ids of the peer that one IKE SA remembers at most; then another has to take its place.
const MAX_IDS: usize = 4_096;

/// What a step needs beside its own state.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) random: &'a mut dyn Random,
    pub(crate) out: &'a mut Vec<Output>,
    /// SPIs under which we receive, and whose they are.
    pub(crate) spis: &'a BTreeMap<u32, ConnectionId>,
}

/// Why a message was dropped. Nothing has changed.
pub(crate) type Dropped = String;

/// How far phase 1 is.
pub(crate) enum Phase {
    /// Initiator: message 1 is sent.
    SaSent,
    /// Responder: message 2 is sent.
    SaAnswered,
    /// Initiator: message 3 is sent.
    KeySent(Box<Own>),
    /// Responder: message 4 is sent, keys are there.
    KeyAnswered(Box<Agreed>),
    /// Initiator: message 5 is sent.
    ProofSent(Box<Agreed>),
    /// Both have proved who they are.
    Established,
}

/// What we have put into message 3.
pub(crate) enum Own {
    Psk { pair: KeyPair, nonce: Secret },
    Envelope { envelope: Box<Envelope>, peer: Box<PeerCertificates> },
}

/// What proofs cover. The initiator's comes first.
pub(crate) struct Agreed {
    /// Public values; empty with envelopes.
    pub(crate) publics: [Vec<u8>; 2],
    /// Identifications, known before the proof with envelopes only.
    pub(crate) identities: [Vec<u8>; 2],
}

/// An IKE SA, or what is to become one.
pub(crate) struct IkeSa {
    pub(crate) connection: ConnectionId,
    pub(crate) initiator: bool,
    pub(crate) cookies: Cookies,
    /// Where the peer was when it began; it may have moved since.
    pub(crate) origin: IpAddr,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) version: u8,
    pub(crate) phase: Phase,
    pub(crate) suite: Option<Phase1Suite>,
    /// Bodies of the SA payloads: offered, chosen.
    pub(crate) sa: [Vec<u8>; 2],
    /// Whether the peer can do NAT traversal, and whether packets go in UDP.
    pub(crate) peer_traverses: bool,
    pub(crate) udp: bool,
    pub(crate) keys: Option<Phase1Keys>,
    /// Last block of phase 1.
    pub(crate) vector: Block,
    pub(crate) sent: Option<Sent>,
    answers: Answers,
    pub(crate) quick: BTreeMap<u32, Quick>,
    ids: BTreeSet<u32>,
    own_ids: Option<OwnIds>,
    pub(crate) times: Times,
    pub(crate) probe: Probe,
}

/// When what is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// When phase 1 must be through.
    pub(crate) deadline: Duration,
    pub(crate) established: Duration,
    /// When another should take its place; none if one does.
    pub(crate) rekey: Option<Duration>,
    pub(crate) end: Duration,
}

/// Questions whether the peer is there (RFC 3706).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Probe {
    /// When the peer was last heard.
    pub(crate) heard: Duration,
    pub(crate) sequence: u32,
    pub(crate) unanswered: u32,
    /// When the next one is due, while some are unanswered.
    pub(crate) next: Duration,
    /// The highest number that the peer has asked with.
    pub(crate) asked: Option<u32>,
    /// When the peer was told last of a child SA that is not there.
    pub(crate) told: Duration,
}

/// The answers of this SA, by the digest of what they answer: a repeated request gets the same octets again.
#[derive(Debug, Default)]
struct Answers {
    last: Option<([u8; 32], Vec<u8>)>,
    second: Duration,
    count: u32,
}

impl IkeSa {
    pub(crate) fn new(
        connection: ConnectionId,
        initiator: bool,
        cookies: Cookies,
        [local, remote]: [SocketAddr; 2],
        version: u8,
        times: Times,
    ) -> Self {
        Self {
            connection,
            initiator,
            cookies,
            origin: remote.ip(),
            local,
            remote,
            version,
            phase: if initiator { Phase::SaSent } else { Phase::SaAnswered },
            suite: None,
            sa: Default::default(),
            peer_traverses: false,
            udp: false,
            keys: None,
            vector: [0; BLOCK_BYTES],
            sent: None,
            answers: Answers::default(),
            quick: BTreeMap::new(),
            ids: BTreeSet::new(),
            own_ids: None,
            times,
            probe: Probe::default(),
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established)
    }

    /// Digest of phase 1; SM3 as long as none is chosen.
    pub(crate) fn hash(&self) -> Hash {
        self.suite.map_or(Hash::Sm3, |suite| suite.hash)
    }

    pub(crate) fn header(&self, exchange: u8, message_id: u32, encrypted: bool) -> Header {
        Header {
            initiator: self.cookies.initiator,
            responder: self.cookies.responder,
            next: kind::NONE,
            version: self.version,
            exchange,
            encrypted,
            message_id,
        }
    }

    pub(crate) fn send(&self, octets: Vec<u8>, context: &mut Context<'_>) {
        context.out.push(Output::Send { local: self.local, remote: self.remote, octets });
    }

    /// Answers a datagram, and remembers the answer.
    pub(crate) fn answer(&mut self, datagram: &[u8], octets: Vec<u8>, context: &mut Context<'_>) {
        self.answers.last = Some((Sm3::digest(&[datagram]), octets.clone()));
        self.send(octets, context);
    }

    /// If a datagram was answered before, answers it again, though not too often.
    pub(crate) fn repeat(&mut self, datagram: &[u8], context: &mut Context<'_>) -> bool {
        let Some((digest, octets)) = &self.answers.last else { return false };
        if *digest != Sm3::digest(&[datagram]) {
            return false;
        }
        let octets = octets.clone();
        if self.may_answer(context.now) {
            self.send(octets, context);
        }
        true
    }

    /// Length of the longest message that the peer must have had by now.
    pub(crate) fn longest(&self) -> usize {
        let sent = self.sent.as_ref().map_or(0, |sent| sent.octets.len());
        sent.max(self.answers.last.as_ref().map_or(0, |(_, octets)| octets.len()))
    }

    /// Whether one more answer to a repeated request may be sent.
    pub(crate) fn may_answer(&mut self, now: Now) -> bool {
        if now.steady >= self.answers.second + Duration::from_secs(1) {
            self.answers.second = now.steady;
            self.answers.count = 0;
        }
        self.answers.count += 1;
        self.answers.count <= ANSWERS_PER_SECOND
    }

    /// Sends something until it is answered.
    pub(crate) fn insist(&mut self, octets: Vec<u8>, context: &mut Context<'_>) {
        self.sent = Some(Sent::new(octets.clone(), context.now));
        self.send(octets, context);
    }

    /// Encrypts payloads into a message; answers the vector of the next one as well.
    pub(crate) fn protect(
        &self,
        header: Header,
        payloads: &[Draft],
        vector: Block,
    ) -> Result<(Vec<u8>, Block), Dropped> {
        let (next, body) = chain(payloads);
        let mut body = Zeroizing::new(body);
        let whole = body.len().next_multiple_of(BLOCK_BYTES);
        body.resize(whole, 0);
        let keys = self.keys.as_ref().ok_or("there are no keys yet")?;
        let last = keys.cipher().encrypt(vector, &mut body).map_err(|error| error.to_string())?;
        let head = Header { next, encrypted: true, ..header }.write(body.len());
        Ok(([&head[..], &body].concat(), last))
    }

    /// Decrypts a body; answers the vector of the next message as well.
    pub(crate) fn unprotect(
        &self,
        body: &[u8],
        vector: Block,
    ) -> Result<(Zeroizing<Vec<u8>>, Block), Dropped> {
        let keys = self.keys.as_ref().ok_or("there are no keys yet")?;
        let mut clear = Zeroizing::new(body.to_vec());
        let last = keys.cipher().decrypt(vector, &mut clear).map_err(|error| error.to_string())?;
        Ok((clear, last))
    }

    /// Takes where an authentic message came from, and that the peer is there.
    pub(crate) fn heard_from(&mut self, local: SocketAddr, remote: SocketAddr, now: Now) {
        (self.local, self.remote) = (local, remote);
        self.probe.heard = now.steady;
        self.probe.unanswered = 0;
    }

    /// An id for an exchange that we begin: unpredictable, and never the same.
    pub(crate) fn fresh_id(&mut self, random: &mut dyn Random) -> Result<u32, Dropped> {
        let own = match self.own_ids.take() {
            Some(own) => own,
            None => OwnIds::new(random)?,
        };
        let own = self.own_ids.insert(own);
        loop {
            let id = own.next();
            if id != 0 && !self.quick.contains_key(&id) {
                return Ok(id);
            }
        }
    }

    /// Refuses the id of an exchange that we have begun: both directions have the same keys, so that whoever sends
    /// our own messages back to us would be believed.
    pub(crate) fn refuse_own(&self, id: u32) -> Result<(), Dropped> {
        match &self.own_ids {
            Some(own) if own.has_made(id) => Err("a message of our own that came back".into()),
            _ => Ok(()),
        }
    }

    /// Takes the id of an authentic message that begins an exchange. It may come once: whoever has recorded it must
    /// not have it acted upon again.
    pub(crate) fn take_id(&mut self, id: u32, now: Now) -> Result<(), Dropped> {
        if self.ids.len() >= MAX_IDS {
            self.times.rekey = self.times.rekey.map(|_| now.steady);
            return Err("this SA has had as many exchanges as it may".into());
        }
        if self.ids.insert(id) { Ok(()) } else { Err("a message that was played again".into()) }
    }

    /// Whether NAT traversal is spoken with this peer.
    pub(crate) fn traverses(&self, nat: NatTraversal) -> bool {
        self.peer_traverses && nat != NatTraversal::Off
    }
}

/// Message ids that we give out: a counter, encrypted by a Feistel network, so that an id tells whether it is ours
/// and nothing has to be remembered.
struct OwnIds {
    key: HmacSm3Key,
    count: u32,
}

impl OwnIds {
    const ROUNDS: u8 = 4;

    fn new(random: &mut dyn Random) -> Result<Self, Dropped> {
        let mut seed = Zeroizing::new([0; 32]);
        random.fill(&mut seed[..]).map_err(|error| error.to_string())?;
        Ok(Self { key: HmacSm3Key::new(&seed[..]), count: 0 })
    }

    fn next(&mut self) -> u32 {
        let mut halves = [(self.count >> 16) as u16, self.count as u16];
        for round in 0..Self::ROUNDS {
            halves = [halves[1], halves[0] ^ self.mix(round, halves[1])];
        }
        self.count = self.count.wrapping_add(1);
        u32::from(halves[0]) << 16 | u32::from(halves[1])
    }

    fn has_made(&self, id: u32) -> bool {
        let mut halves = [(id >> 16) as u16, id as u16];
        for round in (0..Self::ROUNDS).rev() {
            halves = [halves[1] ^ self.mix(round, halves[0]), halves[0]];
        }
        (u32::from(halves[0]) << 16 | u32::from(halves[1])) < self.count
    }

    fn mix(&self, round: u8, half: u16) -> u16 {
        let [first, second, ..] = self.key.mac(&[&[round], &half.to_be_bytes()]);
        u16::from_be_bytes([first, second])
    }
}

/// A random number that is not zero.
pub(crate) fn nonzero(random: &mut dyn Random) -> Result<u32, Dropped> {
    loop {
        let mut octets = [0; 4];
        random.fill(&mut octets).map_err(|error| error.to_string())?;
        let number = u32::from_be_bytes(octets);
        if number != 0 {
            return Ok(number);
        }
    }
}

/// A random part of a duration.
pub(crate) fn jitter(most: Duration, random: &mut dyn Random) -> Duration {
    let mut octets = [0; 4];
    // Without randomness there is no jitter, and soon no exchange either.
    let _ = random.fill(&mut octets);
    most.mul_f64(f64::from(u32::from_be_bytes(octets)) / f64::from(u32::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tongguan_pki::SystemRandom;

    use super::*;

    #[test]
    fn own_ids_are_known_again_and_differ() {
        let mut own = OwnIds::new(&mut SystemRandom).unwrap();
        let other = OwnIds { count: 2_000, ..OwnIds::new(&mut SystemRandom).unwrap() };
        let ids: BTreeSet<u32> = (0..2_000).map(|_| own.next()).collect();
        assert_eq!(ids.len(), 2_000);
        assert!(ids.iter().all(|id| own.has_made(*id)));
        assert!(ids.iter().filter(|id| other.has_made(**id)).count() < 3);
        let coming = own.next();
        own.count -= 1;
        assert!(!own.has_made(coming));
    }
}
