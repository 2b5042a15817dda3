//! The ceiling of durable changes: the five statements of a binding on SQLite, and nothing around them.
//!
//! Write-ahead log, full sync, as the server's store: once with a commit after each binding, once with a
//! commit after as many as there are callers, as if all 64 had been waiting at the same moment.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use tongguan_testkit::api::ACCOUNT;

use crate::changes::CALLERS;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    CREATE TABLE gateway (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, region TEXT NOT NULL,
        vpn_type TEXT NOT NULL, phase TEXT NOT NULL, intended INTEGER NOT NULL, applied INTEGER NOT NULL
    );
    CREATE TABLE certificate (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, status TEXT NOT NULL,
        sm INTEGER NOT NULL, not_before INTEGER NOT NULL, not_after INTEGER NOT NULL
    );
    CREATE TABLE binding (
        seq INTEGER PRIMARY KEY, gateway TEXT NOT NULL REFERENCES gateway (id), role TEXT NOT NULL,
        certificate TEXT NOT NULL REFERENCES certificate (id), account TEXT NOT NULL, region TEXT NOT NULL,
        state TEXT NOT NULL, associated_ms INTEGER NOT NULL
    );
    CREATE INDEX binding_role ON binding (gateway, role);
    CREATE INDEX binding_certificate ON binding (certificate);
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, request_id TEXT NOT NULL, account TEXT,
        principal TEXT, access_key TEXT, source TEXT NOT NULL, product TEXT, action TEXT, resource TEXT,
        status INTEGER NOT NULL, code TEXT
    );
";

const REQUEST: &str = "197AF2BD-547F-470C-B29A-8400400233EB";

/// How the ceiling runs.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// An empty directory.
    #[arg(long)]
    directory: PathBuf,
    /// Length of each of the two measurements.
    #[arg(long)]
    milliseconds: u64,
}

/// Bindings per second.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// One commit for each.
    pub(crate) single: f64,
    /// One commit for all callers.
    pub(crate) grouped: f64,
}

/// Measures and writes [`Figures`] as JSON on standard output.
///
/// # Errors
/// SQLite or the file system refuses.
pub(crate) fn run(options: &Options) -> Result<()> {
    let length = Duration::from_millis(options.milliseconds);
    let single = measure(&options.directory.join("single.db"), 1, length)?;
    let grouped = measure(&options.directory.join("grouped.db"), CALLERS, length)?;
    let text = serde_json::to_string(&Figures { single, grouped })?;
    writeln!(std::io::stdout(), "{text}").context("cannot say the figures")
}

fn measure(path: &Path, group: usize, length: Duration) -> Result<f64> {
    let connection = Connection::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    connection.execute_batch(SCHEMA).context("cannot make the schema")?;
    let ids = fill(&connection).context("cannot fill the tables")?;
    let begun = Instant::now();
    let mut done = 0_usize;
    while begun.elapsed() < length {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for _ in 0..group {
            bind(&connection, &ids[done % ids.len()])?;
            done += 1;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
    }
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

/// Gateways and certificates, as many as there are callers.
fn fill(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let ids: Vec<_> = (0..CALLERS)
        .map(|n| (format!("vpn-bp1q8bgx4xnkm2ogj{n:04}"), format!("98e85c94-52d0-40c9-b3b2-afda52f4{n:04}")))
        .collect();
    for (gateway, certificate) in &ids {
        connection.execute(
            "INSERT INTO gateway (id, account, region, vpn_type, phase, intended, applied) \
             VALUES (?1, ?2, 'cn-hangzhou', 'NationalStandard', 'active', 1, 1)",
            params![gateway, ACCOUNT],
        )?;
        connection.execute(
            "INSERT INTO certificate (id, account, status, sm, not_before, not_after) \
             VALUES (?1, ?2, 'ACTIVE', 1, 0, 4102444800)",
            params![certificate, ACCOUNT],
        )?;
    }
    Ok(ids)
}

/// The five statements.
fn bind(connection: &Connection, (gateway, certificate): &(String, String)) -> rusqlite::Result<()> {
    let intended: i64 = connection
        .prepare_cached(
            "SELECT account, region, vpn_type, phase, intended, applied FROM gateway WHERE id = ?1",
        )?
        .query_row([gateway], |row| row.get("intended"))?;
    let _active: String = connection
        .prepare_cached("SELECT account, status, sm, not_before, not_after FROM certificate WHERE id = ?1")?
        .query_row([certificate], |row| row.get("status"))?;
    connection
        .prepare_cached(
            "INSERT INTO binding (gateway, role, certificate, account, region, state, associated_ms) \
             VALUES (?1, 'Encryption', ?2, ?3, 'cn-hangzhou', 'associating', ?4)",
        )?
        .execute(params![gateway, certificate, ACCOUNT, 1_767_225_600_000_i64 + intended])?;
    connection
        .prepare_cached("UPDATE gateway SET intended = ?2 WHERE id = ?1")?
        .execute(params![gateway, intended + 1])?;
    connection
        .prepare_cached(
            "INSERT INTO audit (time_ms, request_id, account, principal, access_key, source, product, action, \
             resource, status, code) VALUES (?1, ?2, ?3, 'root', 'benchid', '127.0.0.1', 'Vpc', \
             'AssociateVpnGatewayWithCertificate', ?4, 200, NULL)",
        )?
        .execute(params![1_767_225_600_000_i64 + intended, REQUEST, ACCOUNT, gateway])?;
    Ok(())
}
