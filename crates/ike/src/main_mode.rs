//! Main mode: phase 1, of either side, with envelopes or a pre-shared key.
//!
//! A message is looked at completely before anything changes. One that is not believed is dropped as if it had not
//! come: the authentic one may still be on its way.

use std::net::SocketAddr;

use zeroize::Zeroizing;

use crate::config::{Authentication, Connection, Credentials, NatTraversal, PeerIdentity};
use crate::io::NAT_PORT;
use crate::keys::{Basis, Cookies, Phase1Keys, same};
use crate::peer::{self, Envelope, NONCE_BYTES, PeerCertificates};
use crate::proposal;
use crate::sa::{Agreed, Context, Dropped, IkeSa, Own, Phase};
use crate::wire::{self, After, Draft, Header, Identity, Payload, Sa, exchange, kind, payloads};

/// MD5 of "RFC 3947".
const NAT_VENDOR_ID: [u8; 16] =
    [0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45, 0x5c, 0x57, 0x28, 0xf2, 0x0e, 0x95, 0x45, 0x2f];
/// RFC 3706, 5.3.
const DPD_VENDOR_ID: [u8; 16] =
    [0xaf, 0xca, 0xd7, 0x13, 0x68, 0xa1, 0xf1, 0xc9, 0x6b, 0x86, 0x96, 0xfc, 0x77, 0x57, 0x01, 0x00];

/// A datagram of main mode with where it came from.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) header: Header,
    pub(crate) body: &'a [u8],
    pub(crate) datagram: &'a [u8],
}

/// Sends message 1.
pub(crate) fn begin(sa: &mut IkeSa, connection: &Connection, context: &mut Context<'_>) {
    let offer = proposal::offer_phase_1(connection).write();
    sa.sa[0].clone_from(&offer);
    let mut all = vec![(kind::SA, offer)];
    all.extend(vendor_ids(connection));
    let message = wire::message(sa.header(exchange::MAIN, 0, false), &all);
    sa.insist(message, context);
}

/// Takes message 1, which was found to suit a connection.
pub(crate) fn answer_sa(
    sa: &mut IkeSa,
    connection: &Connection,
    incoming: Incoming<'_>,
    context: &mut Context<'_>,
) -> Result<(), Dropped> {
    let all = read(incoming, After::Nothing)?;
    let [offered] = take(&all, [kind::SA], &[kind::VENDOR_ID])?;
    let (suite, chosen) = Sa::read(offered)
        .map_err(text)
        .map(|offered| proposal::choose_phase_1(connection, &offered))?
        .ok_or("no proposal suits")?;
    sa.sa = [offered.to_vec(), chosen.write()];
    sa.suite = Some(suite);
    sa.peer_traverses = sends(&all, &NAT_VENDOR_ID);
    let mut answer = vec![(kind::SA, chosen.write())];
    if let Authentication::Envelope(credentials) = &connection.authentication {
        answer.extend(peer::certificate_payloads(&credentials.own));
    }
    answer.extend(vendor_ids(connection));
    let message = wire::message(sa.header(exchange::MAIN, 0, false), &answer);
    sa.answer(incoming.datagram, message, context);
    Ok(())
}

/// Takes any other message of main mode. True if the SA is established by it.
pub(crate) fn step(
    sa: &mut IkeSa,
    connection: &Connection,
    incoming: Incoming<'_>,
    context: &mut Context<'_>,
) -> Result<bool, Dropped> {
    if incoming.remote.ip() != sa.remote.ip() {
        return Err("the address has changed within phase 1".into());
    }
    match &sa.phase {
        Phase::SaSent => take_chosen_sa(sa, connection, incoming, context).map(|()| false),
        Phase::SaAnswered => answer_key(sa, connection, incoming, context).map(|()| false),
        Phase::KeySent(_) => take_key(sa, connection, incoming, context).map(|()| false),
        Phase::KeyAnswered(_) => answer_proof(sa, connection, incoming, context).map(|()| true),
        Phase::ProofSent(_) => take_proof(sa, connection, incoming, context).map(|()| true),
        Phase::Established => Err("phase 1 is over".into()),
    }
}

/// Initiator: message 2, answered by message 3.
fn take_chosen_sa(
    sa: &mut IkeSa,
    connection: &Connection,
    incoming: Incoming<'_>,
    context: &mut Context<'_>,
) -> Result<(), Dropped> {
    let all = read(incoming, After::Nothing)?;
    if let Some(reason) = refusal(&all) {
        return Err(format!("the peer refuses with notification {reason}"));
    }
    let envelope = matches!(connection.authentication, Authentication::Envelope(_));
    let (chosen_body, certificates) = if envelope {
        let [chosen, first, second] =
            take(&all, [kind::SA, kind::CERTIFICATE, kind::CERTIFICATE], &[kind::VENDOR_ID])?;
        (chosen, Some([first, second]))
    } else {
        let [chosen] = take(&all, [kind::SA], &[kind::VENDOR_ID])?;
        (chosen, None)
    };
    let chosen = Sa::read(chosen_body).map_err(text)?;
    let (suite, again) =
        proposal::choose_phase_1(connection, &chosen).ok_or("a proposal that was not made")?;
    if again != chosen {
        return Err("the peer has chosen more than one transform".into());
    }
    let cookies = Cookies { responder: incoming.header.responder, ..sa.cookies };
    let (own, mut answer) = match (&connection.authentication, certificates) {
        (Authentication::Envelope(credentials), Some(bodies)) => {
            let now = context.now.wall;
            let peer =
                PeerCertificates::read(bodies, credentials, &connection.remote_id, now).map_err(text)?;
            let (envelope, answer) = fill(credentials, &peer, connection, true, context)?;
            (Own::Envelope { envelope: Box::new(envelope), peer: Box::new(peer) }, answer)
        }
        _ => {
            let group = suite.group.ok_or("no group")?;
            let pair = group.generate(context.random).map_err(text)?;
            let mut nonce = Zeroizing::new(vec![0; NONCE_BYTES]);
            context.random.fill(&mut nonce).map_err(text)?;
            let answer = vec![(kind::KEY_EXCHANGE, pair.public().to_vec()), (kind::NONCE, nonce.to_vec())];
            (Own::Psk { pair, nonce }, answer)
        }
    };
    sa.cookies = cookies;
    sa.suite = Some(suite);
    sa.sa[1] = chosen_body.to_vec();
    sa.peer_traverses = sends(&all, &NAT_VENDOR_ID);
    if sa.traverses(connection.nat) {
        answer.extend(nat_payloads(sa, connection.nat, context)?);
    }
    sa.phase = Phase::KeySent(Box::new(own));
    let message = wire::message(sa.header(exchange::MAIN, 0, false), &answer);
    sa.insist(message, context);
    Ok(())
}

/// Responder: message 3, answered by message 4.
fn answer_key(
    sa: &mut IkeSa,
    connection: &Connection,
    incoming: Incoming<'_>,
    context: &mut Context<'_>,
) -> Result<(), Dropped> {
    let all = read(incoming, After::Nothing)?;
    let suite = sa.suite.ok_or("no suite")?;
    let optional = [kind::VENDOR_ID, kind::NAT_D, kind::CERTIFICATE_REQUEST];
    let (keys, vector, agreed, mut answer) = match &connection.authentication {
        Authentication::Envelope(credentials) => {
            let [key, nonce, identity, first, second, signature] = take(
                &all,
                [
                    kind::SYMMETRIC_KEY,
                    kind::NONCE,
                    kind::ID,
                    kind::CERTIFICATE,
                    kind::CERTIFICATE,
                    kind::SIGNATURE,
                ],
                &optional,
            )?;
            let expected = &connection.remote_id;
            let peer = PeerCertificates::read([first, second], credentials, expected, context.now.wall);
            let hidden = [key, nonce, identity, signature];
            let opened =
                peer::open(&credentials.own, peer.as_ref().map_err(Clone::clone), hidden, context.random);
            let theirs = opened.map_err(text)?;
            let (ours, answer) = fill(credentials, &peer.map_err(text)?, connection, false, context)?;
            let (keys, vector, agreed) = from_envelopes(sa, [&theirs, &ours])?;
            (keys, vector, agreed, answer)
        }
        Authentication::Psk(psk) => {
            let [public, nonce] = take(&all, [kind::KEY_EXCHANGE, kind::NONCE], &optional)?;
            if !peer::is_nonce(nonce) {
                return Err("a nonce of a wrong length".into());
            }
            let pair = suite.group.ok_or("no group")?.generate(context.random).map_err(text)?;
            let shared = pair.agree(public).map_err(text)?;
            let mut own = Zeroizing::new(vec![0; NONCE_BYTES]);
            context.random.fill(&mut own).map_err(text)?;
            let publics = [public.to_vec(), pair.public().to_vec()];
            let (keys, vector) = from_psk(sa, [psk, &shared], [nonce, &own], &publics)?;
            let answer = vec![(kind::KEY_EXCHANGE, pair.public().to_vec()), (kind::NONCE, own.to_vec())];
            (keys, vector, Agreed { publics, identities: Default::default() }, answer)
        }
    };
    if sa.traverses(connection.nat) {
        answer.extend(nat_payloads(sa, connection.nat, context)?);
        sa.udp = translated(sa, &all, connection.nat);
    }
    (sa.keys, sa.vector) = (Some(keys), vector);
    sa.phase = Phase::KeyAnswered(Box::new(agreed));
    let message = wire::message(sa.header(exchange::MAIN, 0, false), &answer);
    sa.answer(incoming.datagram, message, context);
    Ok(())
}

/// Initiator: message 4, answered by message 5.
fn take_key(
    sa: &mut IkeSa,
    connection: &Connection,
    incoming: Incoming<'_>,
    context: &mut Context<'_>,
) -> Result<(), Dropped> {
    let all = read(incoming, After::Nothing)?;
    let Phase::KeySent(own) = &sa.phase else { return Err("not waiting for this".into()) };
    let optional = [kind::VENDOR_ID, kind::NAT_D, kind::CERTIFICATE_REQUEST];
    let (keys, vector, agreed) = match (&**own, &connection.authentication) {
        (Own::Envelope { envelope, peer }, Authentication::Envelope(credentials)) => {
            let hidden =
                take(&all, [kind::SYMMETRIC_KEY, kind::NONCE, kind::ID, kind::SIGNATURE], &optional)?;
            let theirs = peer::open(&credentials.own, Ok(peer), hidden, context.random);
            from_envelopes(sa, [envelope, &theirs.map_err(text)?])?
        }
        (Own::Psk { pair, nonce }, Authentication::Psk(psk)) => {
            let [public, theirs] = take(&all, [kind::KEY_EXCHANGE, kind::NONCE], &optional)?;
            if !peer::is_nonce(theirs) || public == pair.public() {
                return Err("a nonce of a wrong length, or our own value".into());
            }
            let shared = pair.agree(public).map_err(text)?;
            let publics = [pair.public().to_vec(), public.to_vec()];
            let (keys, vector) = from_psk(sa, [psk, &shared], [nonce, theirs], &publics)?;
            (keys, vector, Agreed { publics, identities: Default::default() })
        }
        _ => return Err("the configuration has changed".into()),
    };
    sa.keys = Some(keys);
    let identity = connection.local_id.write();
    let proof = prove(sa, &agreed, true, 0, &identity)?;
    let mut answer = vec![(kind::HASH, proof)];
    if matches!(connection.authentication, Authentication::Psk(_)) {
        answer.insert(0, (kind::ID, identity));
    }
    let (message, vector) = sa.protect(sa.header(exchange::MAIN, 0, true), &answer, vector)?;
    if sa.traverses(connection.nat) && translated(sa, &all, connection.nat) {
        sa.udp = true;
        sa.local.set_port(NAT_PORT);
        sa.remote.set_port(NAT_PORT);
    }
    sa.vector = vector;
    sa.phase = Phase::ProofSent(Box::new(agreed));
    sa.insist(message, context);
    Ok(())
}

/// Responder: message 5, answered by message 6.
fn answer_proof(
    sa: &mut IkeSa,
    connection: &Connection,
    incoming: Incoming<'_>,
    context: &mut Context<'_>,
) -> Result<(), Dropped> {
    let Phase::KeyAnswered(agreed) = &sa.phase else { return Err("not waiting for this".into()) };
    let (clear, vector) = sa.unprotect(incoming.body, sa.vector)?;
    verify(sa, connection, agreed, true, incoming.header.next, &clear)?;
    let identity = connection.local_id.write();
    let proof = prove(sa, agreed, false, 0, &identity)?;
    let mut answer = vec![(kind::HASH, proof)];
    if matches!(connection.authentication, Authentication::Psk(_)) {
        answer.insert(0, (kind::ID, identity));
    }
    let (message, vector) = sa.protect(sa.header(exchange::MAIN, 0, true), &answer, vector)?;
    sa.vector = vector;
    sa.phase = Phase::Established;
    sa.heard_from(incoming.local, incoming.remote, context.now);
    sa.answer(incoming.datagram, message, context);
    Ok(())
}

/// Initiator: message 6.
fn take_proof(
    sa: &mut IkeSa,
    connection: &Connection,
    incoming: Incoming<'_>,
    context: &mut Context<'_>,
) -> Result<(), Dropped> {
    let Phase::ProofSent(agreed) = &sa.phase else { return Err("not waiting for this".into()) };
    let (clear, vector) = sa.unprotect(incoming.body, sa.vector)?;
    verify(sa, connection, agreed, false, incoming.header.next, &clear)?;
    sa.vector = vector;
    sa.phase = Phase::Established;
    sa.sent = None;
    sa.heard_from(incoming.local, incoming.remote, context.now);
    Ok(())
}

/// Our envelope as payloads in their order; the initiator's has its certificates.
fn fill(
    credentials: &Credentials,
    peer: &PeerCertificates,
    connection: &Connection,
    with_certificates: bool,
    context: &mut Context<'_>,
) -> Result<(Envelope, Vec<Draft>), Dropped> {
    let filled = peer::seal(&credentials.own, peer, &connection.local_id, context.random).map_err(text)?;
    let mut all = filled.hidden.to_vec();
    if with_certificates {
        all.extend(peer::certificate_payloads(&credentials.own));
    }
    all.push(filled.signature);
    Ok((filled.envelope, all))
}

type Derived = (Phase1Keys, crate::suite::Block);

fn from_envelopes(
    sa: &IkeSa,
    [initiator, responder]: [&Envelope; 2],
) -> Result<(Phase1Keys, crate::suite::Block, Agreed), Dropped> {
    let suite = sa.suite.ok_or("no suite")?;
    let nonces = [&initiator.nonce[..], &responder.nonce];
    let keys =
        Phase1Keys::derive(suite.hash, suite.cipher, Basis::Envelope, sa.cookies, nonces).map_err(text)?;
    let vector = keys.first_vector([initiator.key.octets(), responder.key.octets()]);
    let identities = [initiator.identity.clone(), responder.identity.clone()];
    Ok((keys, vector, Agreed { publics: Default::default(), identities }))
}

fn from_psk(
    sa: &IkeSa,
    [key, shared]: [&[u8]; 2],
    nonces: [&[u8]; 2],
    publics: &[Vec<u8>; 2],
) -> Result<Derived, Dropped> {
    let suite = sa.suite.ok_or("no suite")?;
    let basis = Basis::Psk { key, shared };
    let keys = Phase1Keys::derive(suite.hash, suite.cipher, basis, sa.cookies, nonces).map_err(text)?;
    let vector = keys.first_vector([&publics[0], &publics[1]]);
    Ok((keys, vector))
}

/// The digest that proves a side. `sa_body` chooses which SA payload it covers: what was offered, or what was chosen.
fn prove(
    sa: &IkeSa,
    agreed: &Agreed,
    of_initiator: bool,
    sa_body: usize,
    identity: &[u8],
) -> Result<Vec<u8>, Dropped> {
    let keys = sa.keys.as_ref().ok_or("there are no keys yet")?;
    let [initiator, responder] = &agreed.publics;
    let publics = if of_initiator { [&initiator[..], responder] } else { [&responder[..], initiator] };
    Ok(keys.proof(of_initiator, publics, &sa.sa[sa_body], identity).to_vec())
}

/// Verifies the peer's proof. Of the responder's, products disagree which SA payload it covers.
fn verify(
    sa: &IkeSa,
    connection: &Connection,
    agreed: &Agreed,
    of_initiator: bool,
    first: u8,
    clear: &[u8],
) -> Result<(), Dropped> {
    let all = payloads(first, clear, After::Padding).map_err(text)?;
    let optional = [kind::NOTIFY, kind::VENDOR_ID];
    let (identity, proof) = match &connection.authentication {
        Authentication::Psk(_) => {
            let [identity, proof] = take(&all, [kind::ID, kind::HASH], &optional)?;
            (identity, proof)
        }
        Authentication::Envelope(_) => {
            let [proof] = take(&all, [kind::HASH], &optional)?;
            (&agreed.identities[usize::from(!of_initiator)][..], proof)
        }
    };
    let bodies: &[usize] = if of_initiator { &[0] } else { &[0, 1] };
    let mut right = false;
    for body in bodies {
        right |= same(&prove(sa, agreed, of_initiator, *body, identity)?, proof);
    }
    let read = Identity::read(identity).map_err(text)?;
    if !right {
        return Err("the proof is wrong: another key, or a message was changed on its way".into());
    }
    // That of certificates was looked at with them.
    if let Authentication::Psk(_) = connection.authentication {
        let meant = match &connection.remote_id {
            PeerIdentity::Exactly(expected) => (read.kind, &read.data) == (expected.kind, &expected.data),
            PeerIdentity::Named(_) | PeerIdentity::AnyOfCa => false,
        };
        if !meant {
            return Err("the identification is not the configured one".into());
        }
    }
    Ok(())
}

fn read(incoming: Incoming<'_>, after: After) -> Result<Vec<Payload<'_>>, Dropped> {
    payloads(incoming.header.next, incoming.body, after).map_err(text)
}

/// Bodies of the payloads that must be there, in this order and once each; between them only some others may be.
pub(crate) fn take<'a, const N: usize>(
    all: &[Payload<'a>],
    wanted: [u8; N],
    optional: &[u8],
) -> Result<[&'a [u8]; N], Dropped> {
    let mut found = [&[][..]; N];
    let mut next = 0;
    for payload in all {
        if wanted.get(next) == Some(&payload.kind) {
            found[next] = payload.body;
            next += 1;
        } else if !optional.contains(&payload.kind) {
            return Err(format!("a payload of kind {} where none may be", payload.kind));
        }
    }
    if next == N { Ok(found) } else { Err("a payload is missing".into()) }
}

fn vendor_ids(connection: &Connection) -> Vec<Draft> {
    let mut ids = vec![(kind::VENDOR_ID, DPD_VENDOR_ID.to_vec())];
    if connection.nat != NatTraversal::Off {
        ids.push((kind::VENDOR_ID, NAT_VENDOR_ID.to_vec()));
    }
    ids
}

fn sends(all: &[Payload<'_>], vendor_id: &[u8]) -> bool {
    all.iter().any(|payload| payload.kind == kind::VENDOR_ID && payload.body == vendor_id)
}

/// What a peer says instead of an answer.
fn refusal(all: &[Payload<'_>]) -> Option<u16> {
    let notify = all.first().filter(|payload| payload.kind == kind::NOTIFY)?;
    wire::Notify::read(notify.body).ok().map(|notify| notify.kind)
}

/// RFC 3947, 3.2: a digest of cookies, address and port.
fn nat_digest(sa: &IkeSa, address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    let cookies = [&sa.cookies.initiator[..], &sa.cookies.responder];
    let digest = match address.ip() {
        std::net::IpAddr::V4(ip) => sa.hash().digest(&[cookies[0], cookies[1], &ip.octets(), &port]),
        std::net::IpAddr::V6(ip) => sa.hash().digest(&[cookies[0], cookies[1], &ip.octets(), &port]),
    };
    digest.to_vec()
}

/// The digests that we send: of the peer's end, then of ours; a wrong one of ours if UDP is wanted in any case.
fn nat_payloads(sa: &IkeSa, nat: NatTraversal, context: &mut Context<'_>) -> Result<[Draft; 2], Dropped> {
    let mut own = nat_digest(sa, sa.local);
    if nat == NatTraversal::Always {
        context.random.fill(&mut own).map_err(text)?;
    }
    Ok([(kind::NAT_D, nat_digest(sa, sa.remote)), (kind::NAT_D, own)])
}

/// Whether an address is translated on the way, by what the peer has sent, or is to be taken for it.
fn translated(sa: &IkeSa, all: &[Payload<'_>], nat: NatTraversal) -> bool {
    let mut digests = all.iter().filter(|payload| payload.kind == kind::NAT_D).map(|payload| payload.body);
    let Some(of_our_end) = digests.next() else { return false };
    let ours = nat_digest(sa, sa.local) == of_our_end;
    let expected = nat_digest(sa, sa.remote);
    let theirs = digests.any(|digest| digest == expected);
    nat == NatTraversal::Always || !ours || !theirs
}

fn text(error: impl ToString) -> Dropped {
    error.to_string()
}
