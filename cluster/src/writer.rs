//! Somebody who writes as a node of the service does: finds the primary, has deadlines, and looks up what is unknown.
//!
//! One change is one transaction: a row that holds its key, and a row that is its effect, in a table that would take it
//! twice. Several lanes write at once, each over a session of its own.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::{Builder, Runtime};
use tongguan_store::postgres::hosts::{Access, CONNECT_TIME, Failure, Hosts, Primary};
use tongguan_store::postgres::outcome::{Next, Outcome, Stage, reconnect_pause};

use crate::check::{Answer, Record, Table};
use crate::cluster::Cluster;

/// Time for one statement.
const STATEMENT: Duration = Duration::from_secs(2);
/// Time for one change, with all looks for what came of it.
const CHANGE: Duration = Duration::from_secs(10);
/// How long tables may take to be made and read.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two changes of a lane.
const REST: Duration = Duration::from_millis(10);

const TABLES: &str = "CREATE TABLE IF NOT EXISTS written (key bigint PRIMARY KEY); \
                      CREATE TABLE IF NOT EXISTS effect (key bigint NOT NULL)";

const ROWS: &str = "SELECT rows.key, coalesce(n, 0) FROM (SELECT key FROM written WHERE key >= $1) AS rows FULL JOIN \
                    (SELECT key, count(*) AS n FROM effect WHERE key >= $1 GROUP BY key) AS effects USING (key)";

/// Somebody who writes until he is stopped.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    hosts: Hosts,
    stop: AtomicBool,
    asked: AtomicI64,
    records: Mutex<Vec<Record>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Writer {
    /// Makes the tables in the database `postgres` of a cluster, and begins to write.
    ///
    /// # Errors
    /// The tables cannot be made.
    pub fn start(cluster: &Cluster, lanes: usize) -> Result<Self> {
        let hosts = Hosts::parse(&cluster.url("postgres"), Access::default())?;
        let shared = Shared {
            hosts,
            stop: AtomicBool::new(false),
            asked: AtomicI64::new(0),
            records: Mutex::default(),
        };
        let shared = Arc::new(shared);
        cluster.inside(|| {
            runtime()?.block_on(async {
                let session = shared.hosts.connect(PATIENCE).await?;
                let made = session.client().batch_execute(TABLES);
                anyhow::Ok(session.run(Stage::Committing, PATIENCE, made).await?)
            })
        })?;
        let inner = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || {
            crate::network::enter().unwrap();
            runtime().unwrap().block_on(write(&inner, lanes));
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// All answers so far.
    pub fn records(&self) -> Vec<Record> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Record>> {
        self.shared.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of the next change.
    pub fn next(&self) -> i64 {
        self.shared.asked.load(Ordering::Acquire)
    }

    /// Whether a change with this key was asked for.
    pub fn asked(&self, key: i64) -> bool {
        (0..self.next()).contains(&key)
    }

    /// Waits until so many changes are acknowledged that were asked for after this moment.
    ///
    /// # Errors
    /// They are not, within two minutes.
    pub fn wait_acknowledged(&self, after: Instant, count: usize) -> Result<()> {
        let begun = Instant::now();
        let new = |record: &&Record| record.answer == Answer::Acknowledged && record.begun > after;
        while self.locked().iter().rev().take(10_000).filter(new).count() < count {
            ensure!(begun.elapsed() < PATIENCE * 4, "nothing is written any more");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Stops, and waits for the answers that are to come.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// What is in the tables from this key on, as somebody finds it who comes new and remembers no primary.
    ///
    /// # Errors
    /// It cannot be read, or the two tables do not agree.
    pub fn table(&self, cluster: &Cluster, from: i64) -> Result<Table> {
        let hosts = Hosts::parse(&cluster.url("postgres"), Access::default())?;
        cluster.inside(|| {
            runtime()?.block_on(async {
                let session = hosts.connect(PATIENCE).await?;
                session.client().batch_execute("SET statement_timeout = 0").await?;
                let answer =
                    session.run(Stage::Open, PATIENCE, session.client().query(ROWS, &[&from])).await?;
                let mut table = Table::new();
                for row in answer {
                    let (key, times): (Option<i64>, i64) = (row.get(0), row.get(1));
                    let key = key.context("an effect without its key")?;
                    ensure!(times > 0, "{key} has no effect");
                    table.insert(key, times.unsigned_abs());
                }
                Ok(table)
            })
        })
    }
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

async fn write(shared: &Arc<Shared>, lanes: usize) {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..lanes {
        let shared = Arc::clone(shared);
        running.spawn(async move {
            let mut lane = Lane { shared, session: None, random: fastrand::Rng::with_seed(1) };
            while !lane.shared.stop.load(Ordering::Acquire) {
                lane.change().await;
                tokio::time::sleep(REST).await;
            }
        });
    }
    running.join_all().await;
}

struct Lane {
    shared: Arc<Shared>,
    session: Option<Primary>,
    random: fastrand::Rng,
}

impl Lane {
    /// One change, to its answer.
    async fn change(&mut self) {
        let key = self.shared.asked.fetch_add(1, Ordering::AcqRel);
        let begun = Instant::now();
        let answer = self.carry_out(key, begun + CHANGE).await;
        let record = Record { key, begun, ended: Instant::now(), answer };
        self.shared.records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    async fn carry_out(&mut self, key: i64, deadline: Instant) -> Answer {
        let mut unknown = false;
        while Instant::now() < deadline {
            let Some(session) = self.session().await else { continue };
            let tried = if unknown { look_up(session, key).await } else { insert(session, key).await };
            match tried.map_err(|failure| failure.outcome) {
                Ok(()) => return Answer::Acknowledged,
                Err(Outcome::Done) => unreachable!("a failure is not done"),
                Err(Outcome::Unknown) => {
                    unknown = true;
                    self.session = None;
                }
                Err(Outcome::NotCommitted(next)) => {
                    if next.ends_session() {
                        self.session = None;
                    } else {
                        self.roll_back().await;
                    }
                    if !unknown && next != Next::RetryOnce {
                        return Answer::Refused;
                    }
                }
            }
        }
        if unknown { Answer::Unknown } else { Answer::Refused }
    }

    /// A session on the newest primary; none if there is none now.
    async fn session(&mut self) -> Option<&Primary> {
        if self.session.as_ref().is_some_and(|session| self.shared.hosts.outdated(session)) {
            self.session = None;
        }
        if self.session.is_none() {
            match self.shared.hosts.connect(CONNECT_TIME).await {
                Ok(session) => self.session = Some(session),
                Err(_) => tokio::time::sleep(reconnect_pause(self.random.u32(..))).await,
            }
        }
        self.session.as_ref()
    }

    async fn roll_back(&mut self) {
        let Some(session) = &self.session else { return };
        let ended = session.run(Stage::Open, STATEMENT, session.client().batch_execute("ROLLBACK")).await;
        if ended.is_err() {
            self.session = None;
        }
    }
}

/// The change.
async fn insert(session: &Primary, key: i64) -> Result<(), Failure> {
    let rows = format!("BEGIN; INSERT INTO written VALUES ({key}); INSERT INTO effect VALUES ({key})");
    session.run(Stage::Open, STATEMENT, session.client().batch_execute(&rows)).await?;
    session.run(Stage::Committing, STATEMENT, session.client().batch_execute("COMMIT")).await
}

/// Finds the change, or carries it out. The transaction writes in any case (a message in the log that nobody reads), so
/// that its commit waits for the standby: what was found is then there as well.
async fn look_up(session: &Primary, key: i64) -> Result<(), Failure> {
    let look = format!(
        "BEGIN; SELECT pg_logical_emit_message(true, '', ''); WITH own AS (INSERT INTO written VALUES ({key}) ON \
         CONFLICT DO NOTHING RETURNING key) INSERT INTO effect SELECT key FROM own"
    );
    session.run(Stage::Open, STATEMENT, session.client().batch_execute(&look)).await?;
    session.run(Stage::Committing, STATEMENT, session.client().batch_execute("COMMIT")).await
}
