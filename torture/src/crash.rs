//! Kills the server under load, again and again, and compares what is there afterwards with what was
//! answered.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tongguan_testkit::program::Program;

use crate::damage::Damage;
use crate::database::{Audit, Database};
use crate::generator::{self, Habits};
use crate::lane::{Lane, Shared};
use crate::points::Points;
use crate::random::Random;
use crate::repeats::{self, Old};
use crate::rest;
use crate::server::{self, Life, Server, Start};
use crate::world;

/// The kill comes at most so long after the load began.
const KILL_MS: usize = 150;
/// A crash point must be reached in this time; then the server is killed.
const POINT: Duration = Duration::from_millis(400);
/// Each so many rounds the server's own check looks at its data, while it runs.
const CHECKED: u32 = 25;
/// How fast changes settle, in turn.
const DELAYS: [&str; 4] = ["0", "4ms", "20ms", "0"];
/// Percent of the lives in which the data plane fails now and then, never for good.
const FAILING: usize = 12;
const FAILS: &str = "dataplane::apply=20%return(no route to the gateway)";
const HABITS: Habits = Habits { deletions: 10, replays: 3 };

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub server: PathBuf,
    /// How many kills.
    pub kills: u32,
    /// What determines everything that is random, but for the threads of the server.
    pub seed: u64,
    /// Callers.
    pub callers: usize,
    /// Gateways.
    pub gateways: usize,
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Kills.
    pub kills: u32,
    /// Of them at crash points.
    pub fired: u32,
    /// Calls compared with the model.
    pub compared: usize,
    /// Requests answered.
    pub requests: u64,
    /// Crash points.
    pub points: Points,
    /// How long it took.
    pub seconds: f64,
}

struct Run<'a> {
    options: &'a Options,
    server: Server,
    shared: Rc<Shared>,
    random: Random,
    audit: Audit,
    old: Old,
    summary: Summary,
}

/// Runs it all on a fresh data directory in `directory`.
///
/// # Errors
/// What was lost, half done or forgotten, with the round.
pub async fn run(options: &Options, directory: PathBuf) -> Result<Summary> {
    let begun = Instant::now();
    let server = Server { binary: options.server.clone(), directory };
    let points = Points::new(server.crash_points()?);
    let mut random = Random::new(options.seed);
    let mut program = server.start(&Life::with_delay("0"))?;
    let shared = world::make(program.address(), options.gateways, Damage::none()).await?;
    let mut lane = Lane::open(&shared, program.address()).await?;
    rest::look(&mut lane, &server.database()).await?;
    let summary = Summary { points, ..Summary::default() };
    let random = random.fork();
    let (audit, old) = (Audit::default(), Old::default());
    let mut run = Run { options, server, shared, random, audit, old, summary };
    for round in 1..=options.kills {
        program = run.round(program, round).await.with_context(|| format!("round {round}"))?;
        if round.is_multiple_of(CHECKED) {
            run.server.check().with_context(|| format!("after round {round}"))?;
        }
        if round.is_multiple_of(10) {
            let (fired, requests) = (run.summary.fired, run.shared.record.borrow().total);
            let compared = run.summary.compared;
            let elapsed = begun.elapsed().as_secs_f64();
            eprintln!(
                "{round} kills, {fired} at crash points; {requests} requests, {compared} calls compared; {elapsed:.1} s"
            );
        }
    }
    program.end()?;
    run.server.check()?;
    let mut summary = run.summary;
    summary.requests = run.shared.record.borrow().total;
    summary.seconds = begun.elapsed().as_secs_f64();
    let never = summary.points.never_reached();
    ensure!(never.is_empty(), "crash points that were never reached: {never:?}");
    Ok(summary)
}

impl Run<'_> {
    /// One kill: load, death, new life, comparison. Answers the server of the new life.
    async fn round(&mut self, program: Program, round: u32) -> Result<Program> {
        let point = if round.is_multiple_of(2) { self.summary.points.next(&mut self.random) } else { None };
        let by_itself = match &point {
            None => self.load(program, None).await?,
            Some((_, crash_at)) => {
                self.end_idle(program)?;
                let life = Life { crash_at: Some(crash_at.clone()), ..self.life() };
                match self.server.try_start(&life)? {
                    Start::Crashed(_) => true,
                    Start::Listening(program) => self.load(program, Some(POINT)).await?,
                }
            }
        };
        self.shared.record.borrow_mut().killed();
        self.summary.kills += 1;
        if let Some((number, _)) = point
            && by_itself
        {
            self.summary.points.fired(number);
            self.summary.fired += 1;
        }
        let life = self.life();
        let program = self.server.start(&life)?;
        self.compare_audit()?;
        self.aftermath(&program).await?;
        Ok(program)
    }

    fn life(&mut self) -> Life {
        let mut life = Life::with_delay(DELAYS[self.random.below(DELAYS.len())]);
        if self.random.chance(FAILING) {
            life.failpoints = Some(FAILS.into());
            life.quotas = vec!["apply_attempts=1000000".into()];
        }
        life
    }

    /// Ends a server with nothing under way, in order or not.
    fn end_idle(&mut self, program: Program) -> Result<()> {
        if self.random.chance(50) {
            return program.end();
        }
        ensure!(!server::kill(program)?, "the server aborted");
        Ok(())
    }

    /// Load until the server is dead. Answers whether it died at its crash point.
    async fn load(&mut self, mut program: Program, point: Option<Duration>) -> Result<bool> {
        let mut lanes = JoinSet::new();
        for _ in 0..self.options.callers {
            let (shared, address, random) = (Rc::clone(&self.shared), program.address(), self.random.fork());
            lanes.spawn_local(caller(shared, address, random));
        }
        match point {
            None => {
                let moment = self.random.below(KILL_MS * 1_000);
                tokio::time::sleep(Duration::from_micros(moment as u64)).await;
            }
            Some(limit) => {
                let begun = Instant::now();
                while program.runs() && begun.elapsed() < limit {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        let by_itself = server::kill(program)?;
        while let Some(lane) = lanes.join_next().await {
            lane.context("a caller panicked")?;
        }
        ensure!(point.is_some() || !by_itself, "the server aborted");
        Ok(by_itself)
    }

    /// The audit record of the life that ended, before anything is asked in the new one.
    fn compare_audit(&mut self) -> Result<()> {
        let (answered, lost) = {
            let mut record = self.shared.record.borrow_mut();
            (std::mem::take(&mut record.answered), std::mem::take(&mut record.lost))
        };
        let database = Database::open(&self.server.database())?;
        database.compare_audit(&mut self.audit, &answered, lost)?;
        database.compare_tokens(&mut self.audit)
    }

    async fn aftermath(&mut self, program: &Program) -> Result<()> {
        let shared = Rc::clone(&self.shared);
        let path = self.server.database();
        let sent = shared.record.borrow().sent.len();
        let mut lane = Lane::open(&shared, program.address()).await?;
        rest::look(&mut lane, &path).await?;
        repeats::tokens(&shared, program.address()).await?;
        repeats::bytes(&mut lane, &mut self.random, sent, usize::MAX).await?;
        self.old.round(&mut lane, &mut self.random).await?;
        rest::look(&mut lane, &path).await?;
        shared.no_faults()?;
        self.summary.compared += rest::judge(&shared)?.possible()?;
        rest::next_round(&mut lane).await
    }
}

/// Calls until the server is gone.
async fn caller(shared: Rc<Shared>, address: std::net::SocketAddr, mut random: Random) {
    let Ok(mut lane) = Lane::open(&shared, address).await else { return };
    while generator::step(&mut lane, &mut random, HABITS).await.is_ok() {}
}
