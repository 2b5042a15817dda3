//! The ceiling of a store that nodes share: the statements of a binding and of a read on PostgreSQL, one after the
//! other over as many connections as a node writes and reads by, and nothing around them.
//!
//! A binding is two transactions, as in the service: it is accepted, and what the data plane has come to is written
//! down. All changes that wait for a connection share both. Each caller has a gateway of its own.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::scope;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls, Statement};

use crate::changes::CALLERS;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS lane (id BIGINT PRIMARY KEY, groups BIGINT NOT NULL, until_ms BIGINT NOT NULL);
    CREATE TABLE IF NOT EXISTS account (id TEXT PRIMARY KEY, epoch BIGINT NOT NULL);
    CREATE TABLE IF NOT EXISTS nonce (print BYTEA PRIMARY KEY, until BIGINT NOT NULL);
    CREATE TABLE IF NOT EXISTS gateway (
        id TEXT PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL, vpn_type TEXT NOT NULL, phase TEXT NOT NULL,
        name TEXT NOT NULL, vpc TEXT NOT NULL, vswitch TEXT NOT NULL, alert TEXT, intended BIGINT NOT NULL,
        applied BIGINT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS certificate (
        id TEXT PRIMARY KEY, account TEXT NOT NULL, status TEXT NOT NULL, subject TEXT NOT NULL, pem TEXT NOT NULL,
        chain TEXT NOT NULL, not_before BIGINT NOT NULL, not_after BIGINT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS row_seal (id TEXT PRIMARY KEY, seal BYTEA NOT NULL);
    CREATE TABLE IF NOT EXISTS role (account TEXT PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS binding (
        seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, gateway TEXT NOT NULL, certificate TEXT NOT NULL,
        state TEXT NOT NULL, associated_ms BIGINT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS binding_gateway ON binding (gateway);
    CREATE TABLE IF NOT EXISTS intent (resource TEXT PRIMARY KEY, generation BIGINT NOT NULL, due_ms BIGINT NOT NULL);
    CREATE TABLE IF NOT EXISTS tally (account TEXT PRIMARY KEY, value BIGINT NOT NULL);
    CREATE TABLE IF NOT EXISTS applied (resource TEXT PRIMARY KEY, generation BIGINT NOT NULL, document TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS fault (resource TEXT PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS hanging (id TEXT PRIMARY KEY, gateway TEXT NOT NULL, state TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS hanging_gateway ON hanging (gateway);
    CREATE TABLE IF NOT EXISTS audit (
        lane BIGINT NOT NULL, seq BIGINT GENERATED ALWAYS AS IDENTITY, time_ms BIGINT NOT NULL, request_id TEXT NOT NULL,
        account TEXT, principal TEXT, access_key TEXT, source TEXT NOT NULL, product TEXT, action TEXT, resource TEXT,
        status BIGINT NOT NULL, hash BYTEA, PRIMARY KEY (lane, seq)
    );
    CREATE TABLE IF NOT EXISTS audit_chain (
        lane BIGINT PRIMARY KEY, head_seq BIGINT NOT NULL, head_hash BYTEA NOT NULL, seal BYTEA NOT NULL
    );
";

/// What is there: a gateway and a certificate for each caller, and what a lane writes by.
const ROWS: &str = "
    INSERT INTO gateway SELECT 'vpn-bp1q8bgx4xnkm2og' || n, 'acct-' || n % 16, 'cn-hangzhou', 'NationalStandard', 'live',
        'a gateway', 'vpc-bp1ub1yt9cvakoelj1234', 'vsw-bp1y9ovl1cu9ou4tv5678', NULL, 1, 1 FROM generate_series(1, $1::INT) n
        ON CONFLICT DO NOTHING;
    INSERT INTO certificate SELECT 'vpn-bp1q8bgx4xnkm2og' || n, 'acct-' || n % 16, 'ACTIVE', 'CN=a,OU=b,O=c,C=CN',
        repeat('p', 900), repeat('c', 900), 0, 4102444800 FROM generate_series(1, $1::INT) n ON CONFLICT DO NOTHING;
    INSERT INTO row_seal SELECT id, decode(repeat('00', 60), 'hex') FROM certificate ON CONFLICT DO NOTHING;
    INSERT INTO hanging SELECT 'vco-' || id, id, 'active' FROM gateway ON CONFLICT DO NOTHING;
    INSERT INTO role SELECT DISTINCT account, 'AliyunServiceRoleForVpnCertificate' FROM gateway ON CONFLICT DO NOTHING;
    INSERT INTO account SELECT account, 1 FROM role ON CONFLICT DO NOTHING;
    INSERT INTO lane SELECT n, 0, 0 FROM generate_series(0, 63) n ON CONFLICT DO NOTHING;
    INSERT INTO audit_chain SELECT id, 0, decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex') FROM lane
        ON CONFLICT DO NOTHING;
";

/// Of each change, where it is accepted. `$1` is the gateway, whose certificate has its name, and `$2` the lane.
const ACCEPTED: &[&str] = &[
    "SELECT * FROM gateway WHERE id = $1",
    "SELECT * FROM certificate WHERE id = $1",
    "SELECT seal FROM row_seal WHERE id = $1",
    "SELECT * FROM certificate WHERE id = $1",
    "SELECT * FROM binding WHERE gateway = $1",
    "INSERT INTO binding (gateway, certificate, state, associated_ms) VALUES ($1, $1, 'associating', 1767225600000)",
    "SELECT * FROM role WHERE account = 'acct-1'",
    "INSERT INTO intent VALUES ($1, 2, 1767225600000)",
    "UPDATE gateway SET intended = intended + 1 WHERE id = $1",
    AUDITED,
];

/// Of each read.
const READ: &[&str] = &["SELECT * FROM gateway WHERE id = $1", "SELECT * FROM binding WHERE gateway = $1"];

/// Of each change, where it is read for the data plane and its outcome is written down.
const APPLIED: &[&str] = &[
    "SELECT * FROM gateway WHERE id = $1",
    "SELECT * FROM binding WHERE gateway = $1",
    "SELECT id FROM hanging WHERE gateway = $1 AND state <> 'deleting'",
    "DELETE FROM intent WHERE resource = $1 AND generation = 2",
    "SELECT * FROM binding WHERE gateway = $1",
    "DELETE FROM binding WHERE gateway = $1",
    "INSERT INTO tally VALUES ($1, 1) ON CONFLICT (account) DO UPDATE SET value = tally.value + excluded.value",
    "SELECT id, state FROM hanging WHERE gateway = $1 AND state <> 'active'",
    "SELECT id, state FROM hanging WHERE gateway = $1 AND state = 'updating'",
    "UPDATE gateway SET alert = (SELECT status FROM certificate WHERE id = $1) WHERE id = $1",
    "UPDATE gateway SET applied = intended WHERE id = $1",
    "SELECT id FROM hanging WHERE gateway = $1 AND state = 'deleting'",
    "INSERT INTO applied VALUES ($1, 2, repeat('d', 600)) ON CONFLICT (resource) DO UPDATE SET \
     generation = applied.generation + 1, document = excluded.document",
    "DELETE FROM fault WHERE resource = $1",
];

/// Of each batch, before and after its changes.
const BEGUN: &[&str] = &["SELECT * FROM audit_chain WHERE lane = $2"];
const ENDED: &[&str] = &[
    "UPDATE audit_chain SET head_seq = head_seq + 1, head_hash = decode(repeat('00', 32), 'hex') WHERE lane = $2",
    "UPDATE audit_chain SET seal = decode(repeat('00', 32), 'hex') WHERE lane = $2",
];

const AUDITED: &str = "INSERT INTO audit (lane, time_ms, request_id, account, principal, access_key, source, product, action, resource, \
     status, hash) VALUES ($2, 1767225600000, '197AF2BD-547F-470C-B29A-8400400233EB', 'acct-1', 'root', 'benchid', \
     '127.0.0.1', 'Vpc', 'AssociateVpnGatewayWithCertificate', $1, 200, decode(repeat('00', 32), 'hex'))";

/// Nonces of requests and the epochs of their accounts, of all that wait together.
const ADMITTED: &str = "WITH taken AS (INSERT INTO nonce SELECT print, 1767225600 FROM unnest($1::BYTEA[]) AS a(print) \
    ORDER BY print ON CONFLICT DO NOTHING RETURNING print) \
    SELECT (SELECT count(*) FROM taken), (SELECT max(epoch) FROM account WHERE id = 'acct-1')";

/// How long records of reads wait for company.
const FLUSHED: Duration = Duration::from_millis(100);

/// How the ceiling runs.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A database of its own.
    #[arg(long)]
    url: String,
    /// Connections that write.
    #[arg(long)]
    writers: usize,
    /// Connections that read.
    #[arg(long)]
    readers: usize,
    /// Length of each of the two measurements.
    #[arg(long)]
    milliseconds: u64,
}

/// In a second.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Bindings.
    pub(crate) changes: f64,
    /// Reads, each with its nonce, its epoch and its audit record.
    pub(crate) reads: f64,
}

/// Measures and writes [`Figures`] as JSON on standard output.
///
/// # Errors
/// PostgreSQL refuses.
pub(crate) fn run(options: &Options) -> Result<()> {
    let length = Duration::from_millis(options.milliseconds);
    let session = Session::open(&options.url)?;
    session.script(SCHEMA)?;
    session.script(&ROWS.replace("$1", &CALLERS.to_string()))?;
    let figures = Figures { changes: changes(options, length)?, reads: reads(options, length)? };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&figures)?).context("cannot say the figures")
}

/// A connection, by which one statement is carried out after the other.
struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    fn open(url: &str) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (client, connection) = runtime.block_on(tokio_postgres::connect(url, NoTls))?;
        runtime.spawn(connection);
        Ok(Self { runtime, client })
    }

    fn script(&self, sql: &str) -> Result<()> {
        Ok(self.runtime.block_on(self.client.batch_execute(sql))?)
    }

    fn prepared(&self, statements: &[&str]) -> Result<Vec<Statement>> {
        let types = [Type::TEXT, Type::INT8];
        let prepare = |sql: &&str| Ok(self.runtime.block_on(self.client.prepare_typed(sql, &types))?);
        statements.iter().map(prepare).collect()
    }

    fn carry_out(&self, statements: &[Statement], values: &[&(dyn ToSql + Sync)]) -> Result<()> {
        for statement in statements {
            self.runtime.block_on(self.client.query(statement, values))?;
        }
        Ok(())
    }
}

/// The gateway of a caller.
fn gateway(caller: usize) -> String {
    format!("vpn-bp1q8bgx4xnkm2og{}", caller + 1)
}

fn begin(lane: i64, how: &str) -> String {
    format!(
        "BEGIN; UPDATE lane SET groups = groups + 1, until_ms = 1767225600000 WHERE id = {lane}; \
         SELECT pg_advisory_xact_lock(2, {lane}); {how}"
    )
}

/// Bindings a second.
fn changes(options: &Options, length: Duration) -> Result<f64> {
    let begun = Instant::now();
    let done = scope(|scope| {
        let work = |writer| move || bind(&options.url, writer, options.writers, begun + length);
        let writers: Vec<_> = (0..options.writers).map(|writer| scope.spawn(work(writer))).collect();
        writers.into_iter().map(joined).sum::<Result<usize>>()
    })?;
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("a connection of the ceiling panicked")))
}

fn bind(url: &str, writer: usize, writers: usize, end: Instant) -> Result<usize> {
    let session = Session::open(url)?;
    let lane = i64::try_from(writer)?;
    let gateways: Vec<String> = (writer..CALLERS).step_by(writers).map(gateway).collect();
    let phases = [ACCEPTED, APPLIED].map(|each| session.prepared(each));
    let [accepted, applied] = phases;
    let (phases, begun, ended) = ([accepted?, applied?], session.prepared(BEGUN)?, session.prepared(ENDED)?);
    let mut done = 0;
    while Instant::now() < end {
        for each in &phases {
            session.script(&begin(lane, ""))?;
            session.carry_out(&begun, &[&"", &lane])?;
            for gateway in &gateways {
                session.carry_out(each, &[gateway, &lane])?;
            }
            session.carry_out(&ended, &[&"", &lane])?;
            session.script("COMMIT")?;
        }
        done += gateways.len();
    }
    Ok(done)
}

/// One that waits to be let in, and whom to tell.
type Waiting = ([u8; 32], Sender<()>);

/// Reads a second.
fn reads(options: &Options, length: Duration) -> Result<f64> {
    let begun = Instant::now();
    let done = scope(|scope| {
        let (asks, asked) = channel();
        let (notes, noted) = channel();
        let admission = scope.spawn(|| admit(&options.url, asked));
        let audit = scope.spawn(|| record(&options.url, noted));
        let work = |reader| {
            let (asks, notes) = (asks.clone(), notes.clone());
            move || read(&options.url, reader, &asks, &notes, begun + length)
        };
        let readers: Vec<_> = (0..options.readers).map(|reader| scope.spawn(work(reader))).collect();
        let done = readers.into_iter().map(joined).sum::<Result<usize>>();
        drop((asks, notes));
        joined(admission)?;
        joined(audit)?;
        done
    })?;
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

fn read(
    url: &str,
    reader: usize,
    asks: &Sender<Waiting>,
    notes: &Sender<String>,
    end: Instant,
) -> Result<usize> {
    let session = Session::open(url)?;
    let statements = session.prepared(READ)?;
    let mut done = 0;
    while Instant::now() < end {
        let (reply, answer) = channel();
        asks.send((print(), reply)).context("nobody lets anybody in")?;
        answer.recv().context("nobody was let in")?;
        let gateway = gateway((reader + done) % CALLERS);
        session.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        session.carry_out(&statements, &[&gateway, &0_i64])?;
        session.script("COMMIT")?;
        notes.send(gateway).context("nobody writes records")?;
        done += 1;
    }
    Ok(done)
}

fn print() -> [u8; 32] {
    std::array::from_fn(|_| fastrand::u8(..))
}

/// Takes the nonces of all that wait, in one statement.
fn admit(url: &str, asked: Receiver<Waiting>) -> Result<()> {
    let session = Session::open(url)?;
    let statement = session.runtime.block_on(session.client.prepare(ADMITTED))?;
    while let Ok(first) = asked.recv() {
        let waiting: Vec<Waiting> = std::iter::once(first).chain(asked.try_iter()).collect();
        let prints: Vec<&[u8]> = waiting.iter().map(|(print, _)| &print[..]).collect();
        session.carry_out(std::slice::from_ref(&statement), &[&prints])?;
        for (_, reply) in waiting {
            // Whoever has gone is not let in.
            let _ = reply.send(());
        }
    }
    Ok(())
}

/// Writes the records of what was read, those of a tenth of a second together.
fn record(url: &str, noted: Receiver<String>) -> Result<()> {
    let session = Session::open(url)?;
    let (lane, audited) = (63_i64, session.prepared(&[AUDITED])?);
    let (begun, ended) = (session.prepared(BEGUN)?, session.prepared(ENDED)?);
    loop {
        match noted.recv_timeout(FLUSHED) {
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => continue,
            Ok(first) => {
                std::thread::sleep(FLUSHED);
                session.script(&begin(lane, "SET LOCAL synchronous_commit = off;"))?;
                session.carry_out(&begun, &[&"", &lane])?;
                for gateway in std::iter::once(first).chain(noted.try_iter()) {
                    session.carry_out(&audited, &[&gateway, &lane])?;
                }
                session.carry_out(&ended, &[&"", &lane])?;
                session.script("COMMIT")?;
            }
        }
    }
}
