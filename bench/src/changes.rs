//! Durable changes: callers that bind and unbind certificates, each waiting for its answer.
//!
//! A gateway that is still being configured refuses the next change; the caller then tries again after a
//! pause. Such tries are not counted as changes, and their number is told.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinSet;
use tongguan_testkit::Caller;
use tongguan_testkit::http::Connection;

use crate::api::{self, Role, Scheme};
use crate::latency::Latencies;
use crate::load::{Stopwatch, Target, Window, stay_awake};

/// Callers of the measurement, each with a gateway and a certificate of its own.
pub(crate) const CALLERS: usize = 64;
/// Pause of a caller whose gateway was still being configured.
const PAUSE: Duration = Duration::from_millis(1);
/// Refusals in a row after which something must be wrong.
const REFUSALS: u32 = 20_000;

/// A place for one certificate that is bound and unbound.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// The gateway.
    pub(crate) gateway: String,
    /// The role.
    pub(crate) role: Role,
    /// The certificate.
    pub(crate) certificate: String,
    /// Whether it is bound now.
    pub(crate) bound: bool,
}

/// What was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changes {
    /// Changes only.
    pub(crate) window: Window,
    /// Refusals for each change.
    pub(crate) refusals: f64,
}

/// Lets each lane of slots be changed by a caller for a while, slot after slot.
///
/// # Errors
/// A connection breaks, or an answer is neither 200 nor `VpnGateway.Configuring`.
pub(crate) async fn measure(
    target: Target,
    caller: &Rc<Caller>,
    lanes: &mut Vec<Vec<Slot>>,
    length: Duration,
) -> Result<Changes> {
    let mut open = Vec::with_capacity(lanes.len());
    for slots in lanes.drain(..) {
        open.push((Connection::open(target.address).await?, slots));
    }
    let mut tasks = JoinSet::new();
    let watch = Stopwatch::start(target.pid)?;
    let end = Instant::now() + length;
    for (connection, slots) in open {
        let lane = Lane {
            connection,
            host: target.address.to_string(),
            caller: Rc::clone(caller),
            slots,
            latencies: Latencies::default(),
            refusals: 0,
        };
        tasks.spawn_local(lane.run(end));
    }
    let _awake = stay_awake();
    let mut latencies = Latencies::default();
    let mut refusals = 0;
    while let Some(task) = tasks.join_next().await {
        let lane = task.context("a lane panicked")??;
        latencies.append(lane.latencies);
        refusals += lane.refusals;
        lanes.push(lane.slots);
    }
    let changes = latencies.len();
    Ok(Changes { window: watch.stop(latencies)?, refusals: f64::from(refusals) / changes as f64 })
}

struct Lane {
    connection: Connection,
    host: String,
    caller: Rc<Caller>,
    slots: Vec<Slot>,
    latencies: Latencies,
    refusals: u32,
}

impl Lane {
    async fn run(mut self, end: Instant) -> Result<Self> {
        let mut turn = 0;
        while Instant::now() < end {
            let index = turn % self.slots.len();
            self.change(index).await?;
            turn += 1;
        }
        Ok(self)
    }

    async fn change(&mut self, index: usize) -> Result<()> {
        let slot = &mut self.slots[index];
        let operation = if slot.bound { api::dissociate } else { api::associate };
        let operation = operation(&slot.gateway, slot.role, &slot.certificate);
        for _ in 0..REFUSALS {
            let request = api::signed(&self.caller, Scheme::V1, &self.host, &operation);
            let begun = Instant::now();
            let answer = self.connection.exchange(&request).await?;
            if answer.status == 200 {
                self.latencies.add(begun.elapsed());
                slot.bound = !slot.bound;
                return Ok(());
            }
            let text = answer.text();
            if !text.contains("\"VpnGateway.Configuring\"") {
                bail!("a change was refused with {}: {text}", answer.status);
            }
            self.refusals += 1;
            tokio::time::sleep(PAUSE).await;
        }
        bail!("{} does not settle", slot.gateway)
    }
}
