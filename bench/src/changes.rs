//! Durable changes: callers that bind and unbind certificates or make connections, each waiting for its answer.
//!
//! A gateway that is still being configured refuses the next change; the caller then tries again after a
//! pause. Such tries are not counted as changes, and their number is told.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinSet;
use tongguan_testkit::http::Connection;
use tongguan_testkit::{Call, Caller};

use crate::api::{self, Role, Scheme};
use crate::latency::Latencies;
use crate::load::{Stopwatch, Target, Window, stay_awake};

/// Callers of the measurement, each with gateways of its own.
pub(crate) const CALLERS: usize = 64;
/// Pause of a caller whose gateway was still being configured.
const PAUSE: Duration = Duration::from_millis(1);
/// Refusals in a row after which something must be wrong.
const REFUSALS: u32 = 20_000;

/// What a caller changes, one thing after the other.
pub(crate) trait Work: 'static {
    /// Who signs it.
    fn caller(&self) -> &Rc<Caller>;

    /// The next change.
    fn next(&self) -> Call<'static>;

    /// It was made.
    fn done(&mut self);
}

/// Places of certificates that are bound and unbound in turn.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    caller: Rc<Caller>,
    slots: Vec<Slot>,
    turn: usize,
}

impl Slots {
    /// These, from the first one on.
    pub(crate) fn new(caller: &Rc<Caller>, slots: Vec<Slot>) -> Self {
        Self { caller: Rc::clone(caller), slots, turn: 0 }
    }

    /// The gateway of the first.
    pub(crate) fn gateway(&self) -> &str {
        &self.slots[0].gateway
    }
}

impl Work for Slots {
    fn caller(&self) -> &Rc<Caller> {
        &self.caller
    }

    fn next(&self) -> Call<'static> {
        let slot = &self.slots[self.turn];
        let operation = if slot.bound { api::dissociate } else { api::associate };
        operation(&slot.gateway, slot.role, &slot.certificate)
    }

    fn done(&mut self) {
        let slot = &mut self.slots[self.turn];
        slot.bound = !slot.bound;
        self.turn = (self.turn + 1) % self.slots.len();
    }
}

/// Gateways that get connections in turn.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Who makes them.
    pub(crate) caller: Rc<Caller>,
    /// The gateways.
    pub(crate) gateways: Vec<String>,
    /// Where the connections lead.
    pub(crate) customer: String,
    /// Connections that were made.
    pub(crate) made: usize,
}

impl Work for Places {
    fn caller(&self) -> &Rc<Caller> {
        &self.caller
    }

    fn next(&self) -> Call<'static> {
        let gateways = self.gateways.len();
        api::connect(&self.gateways[self.made % gateways], &self.customer, self.made / gateways)
    }

    fn done(&mut self) {
        self.made += 1;
    }
}

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

/// The window of the median rate.
pub(crate) fn median(mut windows: Vec<Changes>) -> Option<Changes> {
    windows.sort_unstable_by(|one, other| one.window.rate.total_cmp(&other.window.rate));
    windows.get(windows.len() / 2).copied()
}

/// Lets each lane be worked on by a caller for a while.
///
/// # Errors
/// A connection breaks, or an answer is neither 200 nor `VpnGateway.Configuring`.
pub(crate) async fn measure<W: Work>(
    target: Target,
    lanes: &mut Vec<W>,
    length: Duration,
) -> Result<Changes> {
    let mut open = Vec::with_capacity(lanes.len());
    for work in lanes.drain(..) {
        open.push((Connection::open(target.address).await?, work));
    }
    let mut tasks = JoinSet::new();
    let watch = Stopwatch::start(target.pid)?;
    let end = Instant::now() + length;
    for (connection, work) in open {
        let lane = Lane {
            connection,
            host: target.address.to_string(),
            work,
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
        lanes.push(lane.work);
    }
    let changes = latencies.len();
    Ok(Changes { window: watch.stop(latencies)?, refusals: f64::from(refusals) / changes as f64 })
}

struct Lane<W> {
    connection: Connection,
    host: String,
    work: W,
    latencies: Latencies,
    refusals: u32,
}

impl<W: Work> Lane<W> {
    async fn run(mut self, end: Instant) -> Result<Self> {
        while Instant::now() < end {
            self.change().await?;
        }
        Ok(self)
    }

    async fn change(&mut self) -> Result<()> {
        let operation = self.work.next();
        for _ in 0..REFUSALS {
            let request = api::signed(self.work.caller(), Scheme::V1, &self.host, &operation);
            let begun = Instant::now();
            let answer = self.connection.exchange(&request).await?;
            if answer.status == 200 {
                self.latencies.add(begun.elapsed());
                self.work.done();
                return Ok(());
            }
            let text = answer.text();
            if !text.contains("\"VpnGateway.Configuring\"") {
                bail!("a change was refused with {}: {text}", answer.status);
            }
            self.refusals += 1;
            tokio::time::sleep(PAUSE).await;
        }
        bail!("{operation:?} is never accepted")
    }
}
