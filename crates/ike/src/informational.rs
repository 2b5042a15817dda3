//! Informational exchanges: Delete, INITIAL-CONTACT, and the question whether the peer is there (RFC 3706).
//!
//! None of them is answered by the protocol but that question. What was lost comes right by itself: a peer that goes on
//! using an IKE SA or a child SA that is gone is told again.

use std::time::Duration;

use crate::exchange::Message;
use crate::keys::same;
use crate::proposal::{ESP, ISAKMP};
use crate::sa::{Context, Dropped, IkeSa, nonzero};
use crate::wire::{After, Delete, Draft, Header, Notify, exchange, kind, payloads};

/// A peer that was not heard for so long is asked.
const SILENCE: Duration = Duration::from_secs(10);
/// And again after this time.
const PATIENCE: Duration = Duration::from_secs(3);
/// So often.
const QUESTIONS: u32 = 5;
/// SPIs in one Delete.
const MAX_SPIS: usize = 64;

/// What a peer has said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) initial_contact: bool,
    pub(crate) deletes: Vec<Delete>,
}

/// Takes a message.
pub(crate) fn step(sa: &mut IkeSa, message: Message<'_>, context: &mut Context<'_>) -> Result<Said, Dropped> {
    let id = message.header.message_id;
    sa.refuse_own(id)?;
    let keys = sa.keys.as_ref().ok_or("there are no keys yet")?;
    let (clear, _) = sa.unprotect(message.body, keys.exchange_vector(&sa.vector, id))?;
    let all = payloads(message.header.next, &clear, After::Padding).map_err(|error| error.to_string())?;
    // Some products put the notification before the digest, which covers it all the same.
    let covered: Vec<&[u8]> =
        all.iter().filter(|payload| payload.kind != kind::HASH).map(|payload| payload.whole).collect();
    let mut digests = all.iter().filter(|payload| payload.kind == kind::HASH);
    let (Some(digest), None) = (digests.next(), digests.next()) else { return Err("not one digest".into()) };
    let expected = keys.authenticate(&[&id.to_be_bytes(), &covered.concat()]);
    if covered.is_empty() || !same(&expected, digest.body) {
        return Err("the digest is wrong".into());
    }
    let mut said = Said::default();
    let mut answer = None;
    let mut numbered = false;
    for payload in &all {
        match payload.kind {
            kind::DELETE => said.deletes.push(Delete::read(payload.body).map_err(|error| error.to_string())?),
            kind::NOTIFY => {
                let notify = Notify::read(payload.body).map_err(|error| error.to_string())?;
                match notify.kind {
                    Notify::INITIAL_CONTACT => said.initial_contact = true,
                    Notify::R_U_THERE => {
                        numbered = true;
                        answer = Some(there(sa, &notify)?);
                    }
                    Notify::R_U_THERE_ACK => {
                        numbered = true;
                        expected_answer(sa, &notify)?;
                    }
                    // What else a peer may say is not acted upon.
                    _ => {}
                }
            }
            kind::HASH => {}
            _ => return Err(format!("a payload of kind {} where none may be", payload.kind)),
        }
    }
    // Questions and answers are told from those played again by their numbers, and there are many of them.
    if !numbered || said.initial_contact || !said.deletes.is_empty() {
        sa.take_id(id, context.now)?;
    }
    sa.heard_from(message.local, message.remote, context.now);
    if let Some(answer) = answer {
        sa.probe.asked = Some(answer.0);
        send(sa, (kind::NOTIFY, answer.1.write()), context)?;
    }
    Ok(said)
}

/// Whether a message says that the IKE SA is gone, or only child SAs.
pub(crate) fn is_farewell(sa: &IkeSa, header: Header, body: &[u8]) -> bool {
    let Some(keys) = sa.keys.as_ref().filter(|_| header.exchange == exchange::INFORMATIONAL) else {
        return false;
    };
    let vector = keys.exchange_vector(&sa.vector, header.message_id);
    let Ok((clear, _)) = sa.unprotect(body, vector) else { return false };
    let all = payloads(header.next, &clear, After::Padding).unwrap_or_default();
    all.iter().any(|payload| payload.kind == kind::DELETE)
}

/// The answer to a question, with its number.
fn there(sa: &IkeSa, notify: &Notify) -> Result<(u32, Notify), Dropped> {
    let sequence = <[u8; 4]>::try_from(&notify.data[..]).map_err(|_| "a question without a number")?;
    let sequence = u32::from_be_bytes(sequence);
    if sa.probe.asked.is_some_and(|asked| sequence <= asked) {
        return Err("a question that was asked before".into());
    }
    Ok((sequence, Notify { kind: Notify::R_U_THERE_ACK, ..notify.clone() }))
}

/// Whether this answers one of the questions that are open.
fn expected_answer(sa: &IkeSa, notify: &Notify) -> Result<(), Dropped> {
    let number = <[u8; 4]>::try_from(&notify.data[..]).map_err(|_| "an answer without a number")?;
    if sa.probe.sequence.wrapping_sub(u32::from_be_bytes(number)) >= sa.probe.unanswered {
        return Err("an answer to a question that is not open".into());
    }
    Ok(())
}

/// When the next question is due.
pub(crate) fn probe_due(sa: &IkeSa) -> Duration {
    if sa.probe.unanswered > 0 { sa.probe.next } else { sa.probe.heard + SILENCE }
}

/// Asks, if that is due; false if the peer has not answered often enough.
pub(crate) fn tick(sa: &mut IkeSa, context: &mut Context<'_>) -> bool {
    if context.now.steady < probe_due(sa) {
        return true;
    }
    if sa.probe.unanswered >= QUESTIONS {
        return false;
    }
    if sa.probe.sequence == 0 {
        // RFC 3706, 6.2: the first number is random, and leaves room.
        sa.probe.sequence = nonzero(context.random).unwrap_or(1) >> 1;
    }
    sa.probe.sequence = sa.probe.sequence.wrapping_add(1);
    sa.probe.unanswered += 1;
    sa.probe.next = context.now.steady + PATIENCE;
    let question = Notify {
        protocol: ISAKMP,
        spi: cookies(sa),
        kind: Notify::R_U_THERE,
        data: sa.probe.sequence.to_be_bytes().to_vec(),
    };
    // Without randomness nothing is sent, and the peer will seem to be gone.
    let _ = send(sa, (kind::NOTIFY, question.write()), context);
    true
}

/// Tells the peer that we had no SA before this one.
pub(crate) fn send_initial_contact(sa: &mut IkeSa, context: &mut Context<'_>) {
    let notify =
        Notify { protocol: ISAKMP, spi: cookies(sa), kind: Notify::INITIAL_CONTACT, data: Vec::new() };
    let _ = send(sa, (kind::NOTIFY, notify.write()), context);
}

/// Tells the peer which child SAs are gone, and whether the IKE SA is.
pub(crate) fn send_deletes(sa: &mut IkeSa, spis: &[u32], whole: bool, context: &mut Context<'_>) {
    for spis in spis.chunks(MAX_SPIS) {
        let spis = spis.iter().map(|spi| spi.to_be_bytes().to_vec()).collect();
        let _ = send(sa, (kind::DELETE, Delete { protocol: ESP, spis }.write()), context);
    }
    if whole {
        let delete = Delete { protocol: ISAKMP, spis: vec![cookies(sa)] };
        let _ = send(sa, (kind::DELETE, delete.write()), context);
    }
}

/// Tells the peer that there is no child SA with an SPI, or no IKE SA any more, once a second at most. It believes
/// this, as it is authenticated.
pub(crate) fn send_gone(sa: &mut IkeSa, spi: Option<u32>, whole: bool, context: &mut Context<'_>) {
    if context.now.steady < sa.probe.told + Duration::from_secs(1) {
        return;
    }
    sa.probe.told = context.now.steady;
    send_deletes(sa, spi.as_slice(), whole, context);
}

fn cookies(sa: &IkeSa) -> Vec<u8> {
    [sa.cookies.initiator, sa.cookies.responder].concat()
}

fn send(sa: &mut IkeSa, payload: Draft, context: &mut Context<'_>) -> Result<(), Dropped> {
    let id = sa.fresh_id(context.random)?;
    let keys = sa.keys.as_ref().ok_or("there are no keys yet")?;
    let (_, written) = crate::wire::chain(std::slice::from_ref(&payload));
    let digest = keys.authenticate(&[&id.to_be_bytes(), &written]).to_vec();
    let vector = keys.exchange_vector(&sa.vector, id);
    let all = [(kind::HASH, digest), payload];
    let (message, _) = sa.protect(sa.header(exchange::INFORMATIONAL, id, true), &all, vector)?;
    sa.send(message, context);
    Ok(())
}
