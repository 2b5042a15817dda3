//! Three nodes of the service over a cluster of PostgreSQL that fails over, fault after fault: what is promised of one
//! process holds for all of them.
//!
//! Callers send each call to any node. After each fault everything comes to rest and is compared: the histories of all
//! gateways, over all nodes, with calls of unknown outcome anywhere in them; every token again, on another node; signed
//! bytes again, on another node; the tables. Meanwhile a key is disabled and enabled through one node after the other
//! ([`rights`]), and somebody writes beside the service (`tongguan_cluster::Writer`).

pub mod process;
pub mod rights;
mod strike;
pub mod tables;
pub mod ways;

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tongguan_cluster::{Cluster, Writer, faults};

use crate::damage::Damage;
use crate::generator::{self, Habits};
use crate::lane::{Lane, Shared};
use crate::random::Random;
use crate::repeats::{self, Old};
use crate::rest;
use crate::world::{self, SETTLE};

use process::Service;
use rights::Rights;
pub use strike::{Strike, plan};
use tables::Tables;
use ways::{BOUND, Nodes, Unanswered};

/// Nodes.
pub const NODES: usize = 3;
/// Connections of the writer beside the service.
const LANES: usize = 4;
/// Calls that each node answers before a fault and after it.
const ANSWERS: u64 = 15;
/// A caller's pause between calls, and after one whose outcome is unknown: the machine is the cluster's as well, and
/// each unknown outcome makes the comparison slower.
const REST: Duration = Duration::from_millis(10);
const UNKNOWN_REST: Duration = Duration::from_millis(300);
/// Answered calls of one round after which callers go slower: a cluster may take long to be whole, and all calls are
/// compared at once.
const MANY: usize = 3_000;
/// Pause between two looks at how often each gateway was changed. The more of them there are, the less can have become
/// of calls of unknown outcome, and the quicker is the comparison.
const COUNTED: Duration = Duration::from_millis(300);
/// Calls of unknown outcome on one gateway of which the very bytes are sent again.
const AGAIN: usize = 2;
/// Each so many faults the service's own check looks at the database, while it is served.
const CHECKED: usize = 10;
const HABITS: Habits = Habits { deletions: 10, replays: 3 };

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub server: PathBuf,
    /// What befalls the cluster and the nodes, in this order.
    pub plan: Vec<Strike>,
    /// What determines the rest of what is random, but for processes.
    pub seed: u64,
    /// Callers.
    pub callers: usize,
    /// Gateways.
    pub gateways: usize,
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Calls compared with the model.
    pub compared: usize,
    /// Requests answered with anything but 503.
    pub requests: u64,
    /// Requests answered 503.
    pub unavailable: u64,
    /// Requests that had no answer.
    pub lost: u64,
    /// The longest wait for an answer of a node that did not stand still.
    pub longest: Duration,
    /// Answers about rights and tokens that were right on other nodes.
    pub rights: u64,
    /// Changes of the writer that were acknowledged.
    pub written: usize,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { compared, requests, unavailable, lost, rights, written, .. } = self;
        write!(f, "{requests} requests answered, {unavailable} answered 503, {lost} without an answer, ")?;
        write!(f, "the longest took {:.1} s; {compared} calls compared, ", self.longest.as_secs_f32())?;
        write!(f, "{rights} questions about rights and tokens; {written} changes of the writer")
    }
}

struct Run<'a> {
    options: &'a Options,
    cluster: Option<(Cluster, Writer)>,
    service: Service,
    tables: Tables,
    shared: Rc<Shared>,
    rights: Rc<Rights>,
    random: Random,
    old: Old,
    /// Calls compared with the model.
    compared: usize,
}

/// Carries out the plan on a cluster, with everything of the nodes in a directory. The calling thread is in the hub.
///
/// # Errors
/// What was lost, done twice or answered wrongly, with the fault.
pub async fn run(cluster: Cluster, options: &Options, directory: PathBuf) -> Result<Summary> {
    let mut random = Random::new(options.seed);
    Tables::of(&cluster.url("postgres"))?.make("tongguan").await?;
    let (url, seed) = (cluster.url("tongguan"), random.number());
    let service = Service::start(&options.server, &directory, url.clone(), NODES, seed).await?;
    let tables = Tables::of(&url)?;
    tables.keep_applied().await?;
    let shared = world::make(service.nodes.insisting(), options.gateways, Damage::none()).await?;
    let rights = Rc::new(Rights::make(&shared, &service.nodes).await?);
    let writer = Writer::start(&cluster, LANES)?;
    let cluster = Some((cluster, writer));
    let old = Old::default();
    let mut run = Run { options, cluster, service, tables, shared, rights, random, old, compared: 0 };
    let mut lane = run.lane().await?;
    run.look(&mut lane).await?;
    for (number, strike) in options.plan.iter().enumerate() {
        let begun = Instant::now();
        let round = run.round(*strike).await;
        let said = round.with_context(|| format!("fault {}, {strike}", number + 1))?;
        if (number + 1).is_multiple_of(CHECKED) {
            run.service.check().with_context(|| format!("after fault {}", number + 1))?;
        }
        let (of, took) = (options.plan.len(), begun.elapsed().as_secs_f32());
        eprintln!("{} of {of}: {said} ({took:.1} s)", number + 1);
        if (number + 1).is_multiple_of(CHECKED) {
            eprintln!("so far: {}", run.so_far());
        }
    }
    run.end().await
}

impl Run<'_> {
    /// One fault under load, and the comparison when all is whole again. Answers what it did.
    async fn round(&mut self, strike: Strike) -> Result<String> {
        let stop = Rc::new(Cell::new(false));
        let mut callers = JoinSet::new();
        for _ in 0..self.options.callers {
            let (shared, nodes) = (Rc::clone(&self.shared), self.service.nodes.clone());
            callers.spawn_local(caller(shared, nodes, self.random.fork(), Rc::clone(&stop)));
        }
        let (rights, watched, random) = (Rc::clone(&self.rights), Rc::clone(&stop), self.random.fork());
        let watch = tokio::task::spawn_local(async move { rights.watch(&watched, random).await });
        let (shared, tables, watched) = (Rc::clone(&self.shared), self.tables.clone(), Rc::clone(&stop));
        let counted = tokio::task::spawn_local(count(shared, tables, watched));
        self.answers().await?;
        let sent = self.shared.record.borrow().sent.len();
        let said = self.strike(strike).await?;
        self.answers().await?;
        stop.set(true);
        let joined = async {
            while let Some(caller) = callers.join_next().await {
                caller.context("a caller panicked")??;
            }
            counted.await.context("who counts changes panicked")?;
            watch.await.context("who asks about rights panicked")?
        };
        tokio::time::timeout(2 * BOUND, joined).await.context("callers do not come to an end")??;
        self.service.all_run()?;
        // What is under way in the database may still take effect; what comes after is nobody's.
        self.tables.quiet().await?;
        self.shared.record.borrow_mut().killed();
        self.aftermath(sent).await?;
        Ok(said)
    }

    /// Waits until each node has answered calls.
    async fn answers(&self) -> Result<()> {
        self.shared.no_faults()?;
        let places = self.service.nodes.places();
        let before: Vec<_> = places.iter().map(ways::Place::answered).collect();
        let begun = Instant::now();
        while places.iter().zip(&before).any(|(place, before)| place.answered() < before + ANSWERS) {
            ensure!(begun.elapsed() < SETTLE, "a node answers no calls");
            self.shared.no_faults()?;
            tokio::time::sleep(REST).await;
        }
        Ok(())
    }

    /// A lane that calls again until there is an answer.
    async fn lane(&self) -> Result<Lane> {
        Lane::open(&self.shared, self.service.nodes.insisting()).await
    }

    async fn look(&self, lane: &mut Lane) -> Result<()> {
        let tracks = rest::settle(lane).await?;
        rest::compare(&self.shared, tracks, &self.tables.at_rest().await?)
    }

    async fn aftermath(&mut self, sent: usize) -> Result<()> {
        let shared = Rc::clone(&self.shared);
        let mut lane = self.lane().await?;
        self.look(&mut lane).await?;
        repeats::tokens(&shared, self.service.nodes.insisting()).await?;
        repeats::bytes(&mut lane, &mut self.random, sent, AGAIN).await?;
        self.old.round(&mut lane, &mut self.random).await?;
        self.look(&mut lane).await?;
        shared.no_faults()?;
        self.compared += rest::judge(&shared)?.possible()?;
        rest::next_round(&mut lane).await?;
        // Those of the world and of whoever asks about rights: nothing is left of what was made under one token.
        let vpcs = self.tables.count("vpc").await?;
        ensure!(vpcs == 1, "there are {vpcs} VPCs, of which one was to stay");
        // Which requests had which records is compared in the database.
        shared.record.borrow_mut().answered.clear();
        Ok(())
    }

    /// What was done until now.
    fn so_far(&self) -> Summary {
        let tally = self.service.nodes.tally();
        Summary {
            compared: self.compared,
            requests: self.shared.record.borrow().total,
            unavailable: tally.unavailable.get(),
            lost: tally.lost.get(),
            longest: tally.longest.get(),
            rights: self.rights.asked.get(),
            written: self.cluster.as_ref().map_or(0, |(_, writer)| writer.records().len()),
        }
    }

    /// Ends it in order.
    async fn end(self) -> Result<Summary> {
        let summary = self.so_far();
        self.service.check()?;
        self.service.end().await?;
        if let Some((cluster, mut writer)) = self.cluster {
            let ended = tokio::task::spawn_blocking(move || faults::end(&cluster, &mut writer));
            ended.await.context("a thread panicked")??;
        }
        Ok(summary)
    }
}

/// Calls any node until it is told to stop.
async fn caller(shared: Rc<Shared>, nodes: Nodes, mut random: Random, stop: Rc<Cell<bool>>) -> Result<()> {
    let mut lane = Lane::open(&shared, nodes).await?;
    while !stop.get() {
        match generator::step(&mut lane, &mut random, HABITS).await {
            Ok(()) => {
                let many = shared.record.borrow().sent.len() > MANY;
                tokio::time::sleep(if many { UNKNOWN_REST } else { REST }).await;
            }
            Err(error) if error.is::<Unanswered>() => tokio::time::sleep(UNKNOWN_REST).await,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Looks at how often each gateway was changed, until it is told to stop.
async fn count(shared: Rc<Shared>, tables: Tables, stop: Rc<Cell<bool>>) {
    let mut session = None;
    while !stop.get() {
        tokio::time::sleep(COUNTED).await;
        let (invoke, tracks) = {
            let mut record = shared.record.borrow_mut();
            let tracks = record.tracks.iter().enumerate().filter(|(_, track)| !track.gone);
            let tracks: Vec<_> = tracks.map(|(number, track)| (number, track.id.clone())).collect();
            (record.tick(), tracks)
        };
        let Some(found) = tables.changes(&mut session).await else { continue };
        for (track, id) in tracks {
            shared.record.borrow_mut().looked(track, invoke, found.get(&id).copied());
        }
    }
}
