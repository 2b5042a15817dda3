//! Quick mode: a pair of ESP SAs under an IKE SA (RFC 2409, 5.5), of either side.

use std::time::Duration;

use tongguan_smcrypto::Sm3;
use zeroize::Zeroizing;

use crate::config::{Connection, Selector};
use crate::exchange::{Answered, Asked, Message, New, Quick, Sent};
use crate::io::{ChildSa, OneWay, Output};
use crate::keys::{HashOrder, KeymatSource, QuickParts, same};
use crate::peer::{NONCE_BYTES, is_nonce};
use crate::proposal::{ESP, MIN_SPI, choose_phase_2, offer_phase_2};
use crate::sa::{Context, Dropped, IkeSa, nonzero};
use crate::suite::{Hash, KeyPair, Secret};
use crate::wire::{After, Draft, Identity, Payload, Sa, exchange, kind, payloads};

/// How long an exchange that is over is remembered, for messages that come again.
const MEMORY: Duration = Duration::from_secs(60);
/// Exchanges under way in one IKE SA at most, those remembered included.
pub(crate) const MAX_EXCHANGES: usize = 64;

/// Sends message 1 for a pair of networks.
pub(crate) fn begin(
    sa: &mut IkeSa,
    connection: &Connection,
    selector: Selector,
    context: &mut Context<'_>,
) -> Result<(), Dropped> {
    if sa.quick.len() >= MAX_EXCHANGES {
        return Err("too many exchanges".into());
    }
    let id = sa.fresh_id(context.random)?;
    let spi = fresh_spi(context)?;
    let nonce = fresh_nonce(context)?;
    let pair =
        connection.phase_2.group.map(|group| group.generate(context.random)).transpose().map_err(text)?;
    let sa_payload = (kind::SA, offer_phase_2(connection, spi, sa.udp).write());
    let rest = rest_of(sa_payload, &nonce, pair.as_ref(), [&selector.local, &selector.remote]);
    let keys = sa.keys.as_ref().ok_or("there are no keys yet")?;
    let vector = keys.exchange_vector(&sa.vector, id);
    let all = with_digest(&rest, |parts| {
        keys.hash_1(connection.hash_order, QuickParts { message_id: id, ..parts })
    });
    let (message, vector) = sa.protect(sa.header(exchange::QUICK, id, true), &all, vector)?;
    let sent = Sent::new(message.clone(), context.now);
    sa.send(message, context);
    sa.quick.insert(id, Quick::Asked(Box::new(Asked { selector, spi, nonce, pair, vector, sent })));
    Ok(())
}

/// Takes a message of quick mode. A child SA that comes out of it is to be installed.
pub(crate) fn step(
    sa: &mut IkeSa,
    connection: &Connection,
    message: Message<'_>,
    context: &mut Context<'_>,
) -> Result<Option<New>, Dropped> {
    let id = message.header.message_id;
    let digest = Sm3::digest(&[message.datagram]);
    let again = match sa.quick.get(&id) {
        Some(Quick::Done { digest: known, answer, .. }) if *known == digest => Some(answer.clone()),
        Some(Quick::Answered(answered)) if answered.digest == digest => Some(answered.sent.octets.clone()),
        _ => None,
    };
    if let Some(octets) = again {
        if sa.may_answer(context.now) {
            sa.send(octets, context);
        }
        return Ok(None);
    }
    match sa.quick.get(&id) {
        None => answer(sa, connection, message, digest, context).map(|()| None),
        Some(Quick::Asked(_)) => conclude(sa, connection, message, digest, context).map(Some),
        Some(Quick::Answered(_)) => finish(sa, message, context).map(Some),
        Some(Quick::Done { .. } | Quick::Finished { .. }) => Err("this exchange is over".into()),
    }
}

/// Responder: message 1, answered by message 2.
fn answer(
    sa: &mut IkeSa,
    connection: &Connection,
    message: Message<'_>,
    digest: [u8; 32],
    context: &mut Context<'_>,
) -> Result<(), Dropped> {
    if sa.quick.len() >= MAX_EXCHANGES {
        return Err("too many exchanges".into());
    }
    let id = message.header.message_id;
    sa.refuse_own(id)?;
    let keys = sa.keys.as_ref().ok_or("there are no keys yet")?;
    let (clear, vector) = sa.unprotect(message.body, keys.exchange_vector(&sa.vector, id))?;
    let read = Read::new(message.header.next, &clear, id, connection.phase_2.group.is_some())?;
    let order = read.order(connection.hash_order, |order| keys.hash_1(order, read.parts))?;
    let selector = read.selector()?;
    let selector = Selector { local: selector.remote, remote: selector.local };
    if !connection.selectors.contains(&selector) {
        return Err(format!("the peer asks for networks that are not configured: {selector:?}"));
    }
    let offered = Sa::read(read.sa).map_err(text)?;
    let (peer_spi, mut chosen) = choose_phase_2(connection, &offered, sa.udp).ok_or("no proposal suits")?;
    let spi = fresh_spi(context)?;
    chosen.spi = spi.to_be_bytes().to_vec();
    let nonce = fresh_nonce(context)?;
    let pair =
        connection.phase_2.group.map(|group| group.generate(context.random)).transpose().map_err(text)?;
    let shared = read.shared(pair.as_ref())?;
    let sa_payload = (kind::SA, Sa { proposals: vec![chosen] }.write());
    let rest = rest_of(sa_payload, &nonce, pair.as_ref(), [&selector.remote, &selector.local]);
    let initiator = Zeroizing::new(read.parts.nonce.to_vec());
    let all =
        with_digest(&rest, |parts| keys.hash_2(order, &initiator, QuickParts { message_id: id, ..parts }));
    let nonces = [&initiator[..], &nonce];
    let child = child(sa, connection, selector, [spi, peer_spi], &shared, nonces, message);
    let child = child.ok_or("there are no keys yet")?;
    let proof = keys.hash_3(id, nonces);
    let new = New { child, initiated: false, nonce: nonces.into_iter().min().unwrap_or_default().to_vec() };
    let (octets, vector) = sa.protect(sa.header(exchange::QUICK, id, true), &all, vector)?;
    sa.take_id(id, context.now)?;
    sa.heard_from(message.local, message.remote, context.now);
    let sent = Sent::new(octets.clone(), context.now);
    context.out.push(Output::Expect(Box::new(new.child.clone())));
    sa.send(octets, context);
    sa.quick.insert(id, Quick::Answered(Box::new(Answered { new, proof, vector, digest, sent })));
    Ok(())
}

/// Initiator: message 2, answered by message 3.
fn conclude(
    sa: &mut IkeSa,
    connection: &Connection,
    message: Message<'_>,
    digest: [u8; 32],
    context: &mut Context<'_>,
) -> Result<New, Dropped> {
    let id = message.header.message_id;
    let Some(Quick::Asked(asked)) = sa.quick.get(&id) else { return Err("not waiting for this".into()) };
    let keys = sa.keys.as_ref().ok_or("there are no keys yet")?;
    let (clear, vector) = sa.unprotect(message.body, asked.vector)?;
    let read = Read::new(message.header.next, &clear, id, asked.pair.is_some())?;
    read.order(connection.hash_order, |order| keys.hash_2(order, &asked.nonce, read.parts))?;
    if read.selector()? != asked.selector {
        return Err("the peer answers for other networks".into());
    }
    let chosen = Sa::read(read.sa).map_err(text)?;
    if chosen.proposals.len() != 1 || chosen.proposals[0].transforms.len() != 1 {
        return Err("the peer has chosen more than one transform".into());
    }
    let (peer_spi, _) = choose_phase_2(connection, &chosen, sa.udp).ok_or("a proposal that was not made")?;
    let shared = read.shared(asked.pair.as_ref())?;
    let nonces = [&asked.nonce[..], read.parts.nonce];
    let spis = [asked.spi, peer_spi];
    let child = child(sa, connection, asked.selector, spis, &shared, nonces, message);
    let child = child.ok_or("there are no keys yet")?;
    let new = New { child, initiated: true, nonce: nonces.into_iter().min().unwrap_or_default().to_vec() };
    let proof = keys.hash_3(id, nonces).to_vec();
    let (answer, _) = sa.protect(sa.header(exchange::QUICK, id, true), &[(kind::HASH, proof)], vector)?;
    sa.heard_from(message.local, message.remote, context.now);
    sa.send(answer.clone(), context);
    sa.quick.insert(id, Quick::Done { until: context.now.steady + MEMORY, digest, answer });
    Ok(new)
}

/// Responder: message 3.
fn finish(sa: &mut IkeSa, message: Message<'_>, context: &mut Context<'_>) -> Result<New, Dropped> {
    let id = message.header.message_id;
    let Some(Quick::Answered(answered)) = sa.quick.get(&id) else {
        return Err("not waiting for this".into());
    };
    let (clear, _) = sa.unprotect(message.body, answered.vector)?;
    let all = payloads(message.header.next, &clear, After::Padding).map_err(text)?;
    match all.first() {
        Some(Payload { kind: kind::HASH, body, .. }) if same(body, &answered.proof) => {}
        _ => return Err("the third digest is wrong".into()),
    }
    let new = answered.new.clone();
    sa.heard_from(message.local, message.remote, context.now);
    sa.quick.insert(id, Quick::Finished { until: context.now.steady + MEMORY });
    Ok(new)
}

/// Responder: a packet has come under an SPI that waits for message 3, so that was lost. Message 2 is sent again, which
/// brings it back. False if nothing waits for it.
pub(crate) fn ask_for_third(sa: &mut IkeSa, spi: u32, context: &mut Context<'_>) -> bool {
    let waiting = sa.quick.values().find_map(|quick| match quick {
        Quick::Answered(answered) if answered.new.child.inbound.spi == spi => Some(&answered.sent.octets),
        _ => None,
    });
    let Some(octets) = waiting.cloned() else { return false };
    if sa.may_answer(context.now) {
        sa.send(octets, context);
    }
    true
}

/// What message 1 or 2 holds.
struct Read<'a> {
    digest: &'a [u8],
    sa: &'a [u8],
    public: &'a [u8],
    networks: [&'a [u8]; 2],
    parts: QuickParts<'a>,
}

impl<'a> Read<'a> {
    fn new(first: u8, clear: &'a [u8], message_id: u32, with_public: bool) -> Result<Self, Dropped> {
        let all = payloads(first, clear, After::Padding).map_err(text)?;
        let optional = [kind::NOTIFY, kind::NAT_OA];
        let mut wanted = vec![kind::HASH, kind::SA, kind::NONCE];
        if with_public {
            wanted.push(kind::KEY_EXCHANGE);
        }
        wanted.extend([kind::ID, kind::ID]);
        let mut next = wanted.iter().peekable();
        for payload in &all {
            if next.peek() == Some(&&payload.kind) {
                next.next();
            } else if !optional.contains(&payload.kind) {
                return Err(format!("a payload of kind {} where none may be", payload.kind));
            }
        }
        if next.peek().is_some() || all.first().is_none_or(|payload| payload.kind != kind::HASH) {
            return Err("a payload is missing".into());
        }
        let end = |count: usize| all[..count].iter().map(|payload| payload.whole.len()).sum::<usize>();
        let total = end(all.len());
        let place = |kind| all.iter().position(|payload| payload.kind == kind).unwrap_or_default();
        let (sa, nonce) = (&all[place(kind::SA)], place(kind::NONCE));
        let public = if with_public { all[place(kind::KEY_EXCHANGE)].body } else { &[] };
        let mut networks = all.iter().filter(|payload| payload.kind == kind::ID).map(|payload| payload.body);
        let parts = QuickParts {
            message_id,
            rest: &clear[end(1)..total],
            sa: sa.whole,
            after_nonce: &clear[end(nonce + 1)..total],
            nonce: all[nonce].body,
        };
        if !is_nonce(parts.nonce) {
            return Err("a nonce of a wrong length".into());
        }
        let networks = [networks.next().unwrap_or_default(), networks.next().unwrap_or_default()];
        Ok(Self { digest: all[0].body, sa: sa.body, public, networks, parts })
    }

    /// The order in which the digest was made.
    fn order(&self, usual: HashOrder, digest: impl Fn(HashOrder) -> Secret) -> Result<HashOrder, Dropped> {
        let found = [usual, usual.other()].into_iter().find(|order| same(&digest(*order), self.digest));
        found.ok_or_else(|| "the digest is wrong".into())
    }

    /// The networks as the initiator sees them.
    fn selector(&self) -> Result<Selector, Dropped> {
        let network = |body| {
            let identity = Identity::read(body).map_err(text)?;
            if (identity.protocol, identity.port) != (0, 0) {
                return Err("the peer asks for a protocol or a port".to_owned());
            }
            identity.as_network().ok_or_else(|| "the peer asks for something else than a network".to_owned())
        };
        Ok(Selector { local: network(self.networks[0])?, remote: network(self.networks[1])? })
    }

    fn shared(&self, pair: Option<&KeyPair>) -> Result<Secret, Dropped> {
        pair.map_or(Ok(Zeroizing::new(Vec::new())), |pair| pair.agree(self.public).map_err(text))
    }
}

/// The payloads after the digest.
fn rest_of(
    sa: Draft,
    nonce: &[u8],
    pair: Option<&KeyPair>,
    networks: [&(std::net::IpAddr, u8); 2],
) -> Vec<Draft> {
    let mut rest = vec![sa, (kind::NONCE, nonce.to_vec())];
    rest.extend(pair.map(|pair| (kind::KEY_EXCHANGE, pair.public().to_vec())));
    rest.extend(networks.map(|(address, prefix)| (kind::ID, Identity::network(*address, *prefix).write())));
    rest
}

/// Puts a digest of them before some payloads.
fn with_digest(rest: &[Draft], digest: impl Fn(QuickParts<'_>) -> Secret) -> Vec<Draft> {
    let (_, written) = crate::wire::chain(rest);
    let sa = crate::wire::GENERIC_BYTES + rest[0].1.len();
    let nonce = crate::wire::GENERIC_BYTES + rest[1].1.len();
    let parts = QuickParts {
        message_id: 0,
        rest: &written,
        sa: &written[..sa],
        after_nonce: &written[sa + nonce..],
        nonce: &rest[1].1,
    };
    let mut all = vec![(kind::HASH, digest(parts).to_vec())];
    all.extend_from_slice(rest);
    all
}

fn child(
    sa: &IkeSa,
    connection: &Connection,
    selector: Selector,
    [own, peer]: [u32; 2],
    shared: &[u8],
    nonces: [&[u8]; 2],
    message: Message<'_>,
) -> Option<ChildSa> {
    let keys = sa.keys.as_ref()?;
    let suite = connection.phase_2;
    let cipher_bytes = suite.cipher.key_bytes();
    let integrity_bytes = match suite.integrity {
        Hash::Sm3 | Hash::Sha256 => 32,
        Hash::Sha1 => 20,
    };
    let one_way = |spi: u32| {
        let source = KeymatSource { shared, protocol: ESP, spi: &spi.to_be_bytes(), nonces };
        let keymat = keys.keymat(&source, cipher_bytes + integrity_bytes);
        let (cipher_key, integrity_key) = keymat.split_at(cipher_bytes);
        let secret = |octets: &[u8]| Zeroizing::new(octets.to_vec());
        OneWay { spi, cipher_key: secret(cipher_key), integrity_key: secret(integrity_key) }
    };
    Some(ChildSa {
        connection: connection.id,
        selector,
        cipher: suite.cipher,
        integrity: suite.integrity,
        inbound: one_way(own),
        outbound: one_way(peer),
        local: message.local,
        remote: message.remote,
        udp: sa.udp,
    })
}

fn fresh_spi(context: &mut Context<'_>) -> Result<u32, Dropped> {
    loop {
        let spi = nonzero(context.random)?;
        if spi >= MIN_SPI && !context.spis.contains_key(&spi) {
            return Ok(spi);
        }
    }
}

fn fresh_nonce(context: &mut Context<'_>) -> Result<Secret, Dropped> {
    let mut nonce = Zeroizing::new(vec![0; NONCE_BYTES]);
    context.random.fill(&mut nonce).map_err(text)?;
    Ok(nonce)
}

fn text(error: impl ToString) -> Dropped {
    error.to_string()
}
