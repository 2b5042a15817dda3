//! The way to nodes that come and go: each call goes to any of them, and one that is not answered, or answered 503, may
//! have happened or not.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tongguan_testkit::http::Connection;

use crate::lane::Shared;
use crate::random::Random;

/// Longest time for an answer, whatever becomes of the database (`docs/cluster.md`), and what this side needs itself.
pub const BOUND: Duration = Duration::from_secs(30);
const OWN: Duration = Duration::from_secs(5);
/// Pause when there is nobody to call.
const NOBODY: Duration = Duration::from_millis(50);

/// Nobody can say what came of a call: there was no answer, or it was 503.
#[derive(Debug)]
pub struct Unanswered(String);

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unanswered {}

/// Where one node is.
#[derive(Debug, Default)]
pub struct Place {
    address: Cell<Option<SocketAddr>>,
    frozen: Cell<bool>,
    thawed: Cell<Option<Instant>>,
    answered: Cell<u64>,
}

impl Place {
    /// From now on it is here, or nowhere.
    pub fn set(&self, address: Option<SocketAddr>) {
        self.address.set(address);
    }

    /// It stands still from now on, or goes on.
    pub fn freeze(&self, frozen: bool) {
        self.frozen.set(frozen);
        if !frozen {
            self.thawed.set(Some(Instant::now()));
        }
    }

    /// Calls that it has answered, with anything but 503.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.get()
    }

    /// Whether it is there, and new calls are sent to it.
    fn serves(&self) -> bool {
        self.address.get().is_some() && !self.frozen.get()
    }

    /// Whether it stood still at some moment since.
    fn stood_still(&self, since: Instant) -> bool {
        self.frozen.get() || self.thawed.get().is_some_and(|thawed| thawed >= since)
    }
}

/// What came of calls.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answered 503.
    pub unavailable: Cell<u64>,
    /// Not answered at all.
    pub lost: Cell<u64>,
    /// The longest that was answered by a node that did not stand still.
    pub longest: Cell<Duration>,
}

/// Nodes, and how they are called. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Nodes {
    places: Rc<[Place]>,
    tally: Rc<Tally>,
    seeds: Rc<Cell<u64>>,
    only: Option<usize>,
    insists: bool,
}

impl Nodes {
    /// So many, of which none is there yet; the seed determines who is called.
    #[must_use]
    pub fn new(count: usize, seed: u64) -> Self {
        let places = (0..count).map(|_| Place::default()).collect();
        Self { places, tally: Rc::default(), seeds: Rc::new(Cell::new(seed)), only: None, insists: false }
    }

    /// The same nodes, for who calls again until there is an answer.
    #[must_use]
    pub fn insisting(&self) -> Self {
        Self { insists: true, ..self.clone() }
    }

    /// One of the nodes alone.
    #[must_use]
    pub fn only(&self, number: usize) -> Self {
        Self { only: Some(number), ..self.clone() }
    }

    /// Where each is.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Those that serve now.
    #[must_use]
    pub fn serving(&self) -> Vec<usize> {
        let all = 0..self.places.len();
        all.filter(|number| self.only.is_none_or(|only| only == *number) && self.places[*number].serves())
            .collect()
    }

    /// What came of all calls.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Connections of a caller.
    #[must_use]
    pub fn open(&self) -> Ways {
        self.seeds.set(self.seeds.get() + 1);
        let open = self.places.iter().map(|_| None).collect();
        Ways { random: Random::new(self.seeds.get()), nodes: self.clone(), open }
    }
}

/// The connections of one caller, at most one to each node.
#[derive(Debug)]
pub struct Ways {
    nodes: Nodes,
    open: Vec<Option<(SocketAddr, Connection)>>,
    random: Random,
}

impl Ways {
    /// Whether a call is made again until there is an answer.
    #[must_use]
    pub fn insists(&self) -> bool {
        self.nodes.insists
    }

    /// Sends signed bytes to any node; answers status and body.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn exchange(&mut self, bytes: &[u8], action: &str, shared: &Shared) -> Result<(u16, Vec<u8>)> {
        let Some(number) = self.random.pick(&self.nodes.serving()).copied() else {
            sleep(NOBODY).await;
            return Err(Unanswered("no node serves".to_owned()).into());
        };
        let nodes = self.nodes.clone();
        let (place, tally) = (&nodes.places[number], &nodes.tally);
        let begun = Instant::now();
        let Some(answer) = patiently(place, begun, self.attempt(number, bytes)).await else {
            self.open[number] = None;
            shared.fault(format!("node {number} has not answered {action} for {:?}", begun.elapsed()));
            return Err(Unanswered("no answer in time".to_owned()).into());
        };
        let (status, body) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.open[number] = None;
                tally.lost.set(tally.lost.get() + 1);
                return Err(Unanswered(format!("{error:#}")).into());
            }
        };
        if !place.stood_still(begun) {
            tally.longest.set(tally.longest.get().max(begun.elapsed()));
        }
        if status >= 500 {
            tally.unavailable.set(tally.unavailable.get() + 1);
            if !is_unavailable(status, &body) {
                let text = String::from_utf8_lossy(&body);
                shared.fault(format!("node {number} answered {action} with {status}: {text}"));
            }
            return Err(Unanswered(format!("{status}")).into());
        }
        place.answered.set(place.answered.get() + 1);
        Ok((status, body))
    }

    async fn attempt(&mut self, number: usize, bytes: &[u8]) -> Result<(u16, Vec<u8>)> {
        let address = self.nodes.places[number].address.get().context("the node is gone")?;
        let connection = match self.open[number].take() {
            Some((at, connection)) if at == address => connection,
            _ => Connection::open(address).await?,
        };
        let (_, connection) = self.open[number].insert((address, connection));
        let answer = connection.exchange(bytes).await?;
        Ok((answer.status, answer.body.to_vec()))
    }
}

/// An answer within the bound, which does not count while the node stands still.
async fn patiently<T>(place: &Place, begun: Instant, answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    let mut since = begun;
    loop {
        match timeout(BOUND + OWN, &mut answer).await {
            Ok(answer) => return Some(answer),
            Err(_) if place.stood_still(since) => since = Instant::now(),
            Err(_) => return None,
        }
    }
}

/// Whether that is the documented answer of a node that has no database.
fn is_unavailable(status: u16, body: &[u8]) -> bool {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    status == 503 && body.is_some_and(|body| body["Code"] == "ServiceUnavailable")
}
