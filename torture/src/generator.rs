//! What callers do: random operations on random gateways, determined by a seed.

use anyhow::Result;

use crate::lane::{Lane, Shared, Slot};
use crate::model::{Action, Answer, Certificate, Code, Operation, Role, Status, UNKNOWN};
use crate::random::Random;
use crate::record::{Record, TokenCall};
use crate::world::PAUSE;

/// Certificates that callers bind.
pub const CERTIFICATES: usize = 4;
/// Tokens of the round that are used again at most.
const RECENT: usize = 8;

/// How callers behave.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// Gateways deleted and made anew, of a thousand operations: each ends a gateway's history.
    pub deletions: usize,
    /// Identical signed bytes sent again, of a hundred operations.
    pub replays: usize,
}

/// One operation by a caller, with all that belongs to it.
///
/// # Errors
/// No answer came.
pub async fn step(lane: &mut Lane, random: &mut Random, habits: Habits) -> Result<()> {
    let shared = std::rc::Rc::clone(&lane.shared);
    let number = random.below(shared.slots.borrow().len());
    let slot = shared.slots.borrow()[number];
    if random.chance(habits.replays) {
        let sent = random.pick(&shared.record.borrow().sent).cloned();
        if let Some(bytes) = sent {
            return lane.replay(&bytes).await;
        }
    }
    if random.below(1_000) < habits.deletions && !slot.replacing {
        return replace(lane, random, number, slot).await;
    }
    let operation = draw(random, &mut shared.record.borrow_mut(), slot);
    let answer = lane.perform(slot.track, operation).await?;
    note(&shared, number, slot.track, &operation, &answer);
    Ok(())
}

/// Deletes the gateway of a slot, waits until it is gone, and makes another one.
async fn replace(lane: &mut Lane, random: &mut Random, number: usize, slot: Slot) -> Result<()> {
    let shared = std::rc::Rc::clone(&lane.shared);
    shared.slots.borrow_mut()[number].replacing = true;
    let operation = with_token(random, &mut shared.record.borrow_mut(), slot.track, Action::Delete);
    let answer = lane.perform(slot.track, operation).await?;
    note(&shared, number, slot.track, &operation, &answer);
    if !matches!(answer, Answer::Done | Answer::Refused(Code::GatewayNotFound)) {
        shared.slots.borrow_mut()[number].replacing = false;
        return Ok(());
    }
    while matches!(
        lane.perform(slot.track, Operation::plain(Action::Describe)).await?,
        Answer::Shown(Status::Deleting, ..)
    ) {
        tokio::time::sleep(PAUSE).await;
    }
    lane.create(number).await
}

/// Remembers what will help to draw the next operations.
fn note(shared: &Shared, slot: usize, track: usize, operation: &Operation, answer: &Answer) {
    if let Some(token) = operation.token {
        let mut record = shared.record.borrow_mut();
        let mut calls = record.tokens.iter_mut().rev();
        let call = calls.find(|call| call.operation.token == Some(token) && call.operation == *operation);
        if let Some(call) = call {
            call.answer = Some(answer.clone());
        }
    }
    let mut slots = shared.slots.borrow_mut();
    let hint = &mut slots[slot];
    if hint.track != track || operation.dry {
        return;
    }
    match (operation.action, answer) {
        (_, Answer::Listed(bound)) => hint.hint = *bound,
        (Action::Bind(role, certificate), Answer::Done) => hint.hint[role.place()] = Some(certificate),
        (Action::Unbind(role, _), Answer::Done) => hint.hint[role.place()] = None,
        _ => {}
    }
}

/// Draws an operation on the gateway of a slot.
fn draw(random: &mut Random, record: &mut Record, slot: Slot) -> Operation {
    let roll = random.below(100);
    let action = match roll {
        0..25 => bind(random, slot),
        25..48 => unbind(random, slot),
        48..58 => modify(random, record),
        58..72 => return Operation::plain(Action::Describe),
        72..85 => return Operation::plain(Action::List),
        85..91 => {
            let action = if random.chance(50) { bind(random, slot) } else { unbind(random, slot) };
            let token = random.chance(30).then(|| record.number());
            return Operation { dry: true, token, ..Operation::plain(action) };
        }
        _ => return again(random, record, slot).unwrap_or(Operation::plain(Action::List)),
    };
    with_token(random, record, slot.track, action)
}

fn bind(random: &mut Random, slot: Slot) -> Action {
    let role = role(random);
    let number = match random.below(100) {
        0..3 => UNKNOWN,
        3..20 => slot.hint[role.place()].unwrap_or(0),
        _ => certificate(random),
    };
    Action::Bind(role, number)
}

fn unbind(random: &mut Random, slot: Slot) -> Action {
    let role = role(random);
    match slot.hint[role.place()] {
        Some(bound) if random.chance(85) => Action::Unbind(role, bound),
        _ => Action::Unbind(role, certificate(random)),
    }
}

fn modify(random: &mut Random, record: &mut Record) -> Action {
    let (name, description) = (record.number(), record.number());
    match random.below(3) {
        0 => Action::Modify(Some(name), None),
        1 => Action::Modify(None, Some(description)),
        _ => Action::Modify(Some(name), Some(description)),
    }
}

fn role(random: &mut Random) -> Role {
    Role::ALL[random.below(2)]
}

fn certificate(random: &mut Random) -> Certificate {
    Certificate::try_from(random.below(CERTIFICATES)).unwrap_or(0)
}

/// Gives nearly every second change a token, and remembers it for repeats.
fn with_token(random: &mut Random, record: &mut Record, track: usize, action: Action) -> Operation {
    let token = random.chance(45).then(|| record.number());
    let operation = Operation { token, ..Operation::plain(action) };
    if token.is_some() {
        record.tokens.push(TokenCall { track, operation, answer: None });
    }
    operation
}

/// The same call again, or another one under its token; the first may still be under way.
fn again(random: &mut Random, record: &Record, slot: Slot) -> Option<Operation> {
    let recent: Vec<_> =
        record.tokens.iter().rev().filter(|call| call.track == slot.track).take(RECENT).collect();
    let call = random.pick(&recent)?;
    if random.chance(70) { Some(call.operation) } else { other(call.operation) }
}

/// Another call under the same token; none if the operation has no other parameters.
#[must_use]
pub fn other(operation: Operation) -> Option<Operation> {
    let action = match operation.action {
        Action::Bind(role, number) => Action::Bind(role, (number.wrapping_add(1)) % 4),
        Action::Unbind(Role::Encryption, number) => Action::Unbind(Role::Signature, number),
        Action::Unbind(Role::Signature, number) => Action::Unbind(Role::Encryption, number),
        Action::Modify(name, Some(description)) => Action::Modify(name, Some(description + 1_000_000)),
        Action::Modify(name, None) => Action::Modify(name, Some(1)),
        Action::Delete | Action::Describe | Action::List | Action::Changes => return None,
    };
    Some(Operation { action, ..operation })
}
