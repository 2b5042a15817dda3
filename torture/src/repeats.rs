//! After a kill, everything is sent again: calls under their tokens, other calls under the same tokens,
//! and the very bytes that were sent.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tongguan_testkit::Call;

use crate::api;
use crate::generator::other;
use crate::lane::{Lane, Reach, Shared};
use crate::model::Answer;
use crate::random::Random;
use crate::record::TokenCall;

/// Answered requests sent again as they are: the last ones before the kill, and some others.
const LAST: usize = 32;
const OTHERS: usize = 12;
/// Connections.
const LANES: usize = 12;
/// Calls of earlier rounds that are remembered.
const OLD: usize = 400;

/// Calls of earlier rounds that were answered.
#[derive(Debug, Default)]
pub struct Old {
    calls: Vec<(String, TokenCall)>,
}

/// Sends calls again under their tokens, over some connections at once.
///
/// The model says what is right: the first answer for an accepted call, one effect for one that was not
/// answered, a refusal for another call under the token.
///
/// # Errors
/// No answer came.
pub async fn tokens(shared: &Rc<Shared>, reach: impl Into<Reach>) -> Result<()> {
    let reach = reach.into();
    let calls: VecDeque<_> = shared.record.borrow().tokens.iter().cloned().collect();
    let creations: Vec<_> = (0..shared.record.borrow().creations.len()).collect();
    let work = Rc::new(RefCell::new((calls, creations)));
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        let mut lane = Lane::open(shared, reach.clone()).await?;
        let work = Rc::clone(&work);
        lanes.spawn_local(async move {
            while let Some(call) = { work.borrow_mut().0.pop_front() } {
                again(&mut lane, &call).await?;
            }
            while let Some(creation) = { work.borrow_mut().1.pop() } {
                create_again(&mut lane, creation).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.context("a lane panicked")??;
    }
    Ok(())
}

async fn again(lane: &mut Lane, call: &TokenCall) -> Result<()> {
    let answer = lane.perform(call.track, call.operation).await?;
    if !matches!(answer, Answer::Refused(_))
        && let Some(other) = other(call.operation)
    {
        lane.perform(call.track, other).await?;
    }
    Ok(())
}

async fn create_again(lane: &mut Lane, number: usize) -> Result<()> {
    let shared = Rc::clone(&lane.shared);
    let creation = shared.record.borrow().creations[number].clone();
    let reply = lane.send(&shared.world.create_gateway(creation.name, creation.token)).await?;
    let id = reply.text("VpnGatewayId").map(ToOwned::to_owned);
    match (&creation.id, id) {
        (Some(first), Ok(id)) if *first == id => {}
        (None, Ok(id)) => shared.created(number, id),
        (first, id) => shared.fault(format!("CreateVpnGateway gave {first:?}, its repeat {id:?}")),
    }
    let other = shared.world.create_gateway(creation.name + 1_000_000, creation.token);
    expect_mismatch(lane, &other).await
}

/// Another call under a used token.
async fn expect_mismatch(lane: &mut Lane, call: &Call<'_>) -> Result<()> {
    let reply = lane.send(call).await?;
    if reply.code() != "IdempotentParameterMismatch" {
        lane.shared.fault(format!("another call under a used token: {} {}", reply.status, reply.body));
    }
    Ok(())
}

/// Sends signed bytes again: of answered requests, whose nonces must be known, and of requests without
/// an answer, at most so many of each gateway, which must not take effect twice.
///
/// # Errors
/// No answer came.
pub async fn bytes(lane: &mut Lane, random: &mut Random, before_the_kill: usize, most: usize) -> Result<()> {
    let shared = Rc::clone(&lane.shared);
    let sent: Vec<_> = {
        let record = shared.record.borrow();
        let last = record.sent[..before_the_kill].iter().rev().take(LAST).cloned();
        let mut sent: Vec<_> = last.collect();
        sent.extend((0..OTHERS).filter_map(|_| random.pick(&record.sent).cloned()));
        sent
    };
    for bytes in sent {
        lane.replay(&bytes).await?;
    }
    let unanswered = std::mem::take(&mut shared.record.borrow_mut().unanswered);
    let mut again: HashMap<usize, usize> = HashMap::new();
    for (track, event, bytes) in unanswered {
        let count = again.entry(track).or_default();
        *count += 1;
        if *count <= most {
            lane.again(track, event, &bytes).await?;
        }
    }
    Ok(())
}

impl Old {
    /// Remembers this round's answered calls, and sends some of earlier ones again: they are answered as
    /// they were, and change nothing.
    ///
    /// # Errors
    /// No answer came.
    pub async fn round(&mut self, lane: &mut Lane, random: &mut Random) -> Result<()> {
        let shared = Rc::clone(&lane.shared);
        for _ in 0..4 {
            let Some((id, call)) = random.pick(&self.calls).cloned() else { break };
            let reply = lane.send(&api::call_of(&id, &call.operation, &shared.world.certificates)).await?;
            let answer = crate::lane::read(&call.operation, &id, &reply, &shared.world);
            if Some(&answer) != call.answer.as_ref() {
                shared.fault(format!("{} on {id} was {:?}, is {answer}", call.operation, call.answer));
            }
        }
        let record = shared.record.borrow();
        for call in &record.tokens {
            let accepted = call.answer.as_ref().is_some_and(|answer| !matches!(answer, Answer::Refused(_)));
            if accepted {
                let known = (record.tracks[call.track].id.clone(), call.clone());
                if self.calls.len() < OLD {
                    self.calls.push(known);
                } else {
                    let place = random.below(OLD);
                    self.calls[place] = known;
                }
            }
        }
        Ok(())
    }
}
