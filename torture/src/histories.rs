//! Many callers on few gateways at once: is there, for each gateway, an order of all calls that explains
//! every answer?
//!
//! The same with a layer between that breaks what the server kept right ([`crate::damage`]): the checker
//! must see each kind of damage.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::task::JoinSet;

use crate::damage::{Damage, Kind};
use crate::generator::{self, Habits};
use crate::lane::{Lane, Shared};
use crate::random::Random;
use crate::rest::{self, Judgement};
use crate::server::{Life, Server};
use crate::world;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub server: PathBuf,
    /// Callers.
    pub callers: usize,
    /// Connections of each caller, used at once.
    pub connections: usize,
    /// Gateways.
    pub gateways: usize,
    /// Calls of all together.
    pub operations: usize,
    /// How long a change takes: the longer, the more calls meet a gateway that is `updating`.
    pub apply_delay: String,
    /// What determines what is called.
    pub seed: u64,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Calls compared with the model.
    pub compared: usize,
    /// Seconds that comparing took.
    pub checking: f64,
}

/// Calls after which everybody rests, so that what was called is compared and forgotten: what the model
/// must remember of tokens makes long histories slow to compare.
const BATCH: usize = 8_000;

/// How often the callers go on before damage must have been seen. One dry run that was not dry shows only if
/// the gateway took the change and somebody looked before the next one: chance alone must not decide.
const ROUNDS: usize = 6;

/// Runs it once on a fresh data directory.
///
/// # Errors
/// A history that no order explains.
pub async fn run(options: &Options, directory: PathBuf) -> Result<Summary> {
    let server = Server { binary: options.server.clone(), directory };
    let program = server.start(&Life::with_delay(&options.apply_delay))?;
    let shared = world::make(program.address(), options.gateways, Damage::none()).await?;
    let mut random = Random::new(options.seed);
    let mut summary = Summary { compared: 0, checking: 0.0 };
    let mut left = options.operations;
    while left > 0 {
        let batch = left.min(BATCH);
        left -= batch;
        load(options, program.address(), &shared, &mut random, batch).await?;
        let mut lane = Lane::open(&shared, program.address()).await?;
        rest::look(&mut lane, &server.database()).await?;
        shared.no_faults()?;
        let begun = Instant::now();
        summary.compared += rest::judge(&shared)?.possible()?;
        summary.checking += begun.elapsed().as_secs_f64();
        shared.record.borrow_mut().next_round();
    }
    program.end()?;
    Ok(summary)
}

/// Runs it with damage, and answers the window in which the checker saw it; without damage, that it saw none.
///
/// # Errors
/// The checker did not see it, or saw what is not there.
pub async fn broken(options: &Options, kind: Kind, directory: PathBuf) -> Result<String> {
    let server = Server { binary: options.server.clone(), directory };
    let program = server.start(&Life::with_delay(&options.apply_delay))?;
    let shared = world::make(program.address(), options.gateways, Damage::new(kind, options.seed)).await?;
    let mut random = Random::new(options.seed);
    let mut compared = 0;
    for _ in 0..ROUNDS {
        load(options, program.address(), &shared, &mut random, options.operations).await?;
        match rest::judge(&shared)? {
            Judgement::Impossible(why) => {
                ensure!(kind != Kind::Nothing, "no damage was done, and seen: {why}");
                return Ok(format!("seen, as it must be: {why}"));
            }
            Judgement::Possible(calls) => compared += calls,
        }
        shared.record.borrow_mut().next_round();
    }
    if kind == Kind::Nothing {
        return Ok(format!("nothing seen in {compared} calls"));
    }
    let done = shared.damage.borrow().done;
    ensure!(done > 0, "no damage was done");
    bail!("{kind:?}: done {done} times, not seen in {compared} calls")
}

/// So many calls, from all callers at once.
async fn load(
    options: &Options,
    address: SocketAddr,
    shared: &Rc<Shared>,
    random: &mut Random,
    operations: usize,
) -> Result<()> {
    let left = Rc::new(Cell::new(operations));
    let mut lanes = JoinSet::new();
    for _ in 0..options.callers * options.connections {
        let mut lane = Lane::open(shared, address).await?;
        let (left, mut random) = (Rc::clone(&left), random.fork());
        lanes.spawn_local(async move {
            while let Some(rest) = left.get().checked_sub(1) {
                left.set(rest);
                generator::step(&mut lane, &mut random, Habits { deletions: 1, replays: 1 }).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.context("a caller panicked")?.context("a call was not answered")?;
    }
    Ok(())
}
