//! The schema, made and brought up under a lock; every node only looks at it.

use std::sync::Arc;

use super::hosts::Hosts;
use super::link::Link;
use super::locks;
use crate::rights::layout;
use crate::session::Session;
use crate::sqlite::schema::NEWEST;
use crate::{DatabaseState, Finding, StoreError};

/// The tables.
const TABLES: &str = include_str!("schema/0009.sql");
/// The tables of one chain of audit records.
const CHAIN: &str = include_str!("schema/chain.sql");
/// Lanes that there are: so many nodes times lanes of each may write at a time.
pub(crate) const LANES: i64 = 32;

/// Begins a look at one consistent state.
pub(crate) const LOOK: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Columns that are missing from the tables, or are not of this release: the embedded store has the same.
pub(crate) fn differences(session: Session<'_>) -> Result<Vec<Finding>, StoreError> {
    let fresh = crate::sqlite::schema::fresh()?;
    let expected: Vec<String> = Session::new(&fresh).all(
        "SELECT t.name || '.' || c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' \
         AND t.name NOT IN ('audit', 'audit_chain', 'audit_gap', 'audit_trimmed') ORDER BY 1",
        &[],
    )?;
    let found: Vec<String> = session.all(
        "SELECT c.table_name || '.' || c.column_name FROM information_schema.columns c \
         JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
         WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' \
         AND c.table_name NOT IN ('lane', 'nonce', 'nonce_held', 'tongguan_schema') ORDER BY 1",
        &[],
    )?;
    let rule = "the schema is that of this release";
    let missing = expected.iter().filter(|column| !found.contains(column));
    let unknown = found.iter().filter(|column| !expected.contains(column));
    let missing = missing.map(|column| Finding { rule, what: format!("`{column}` is missing") });
    let unknown = unknown.map(|column| Finding { rule, what: format!("`{column}` is unknown") });
    Ok(missing.chain(unknown).collect())
}

/// Prefix of the schemas of the lanes.
pub(crate) fn chain_of(lane: i64) -> String {
    format!("lane_{lane}")
}

/// The schema of the database; 0 if it has none.
pub(crate) fn found(session: Session<'_>) -> Result<u32, StoreError> {
    if !session.only::<bool>("SELECT to_regclass('tongguan_schema') IS NOT NULL", &[])? {
        return Ok(0);
    }
    session.only("SELECT version FROM tongguan_schema", &[])
}

/// What the database says of itself.
pub(crate) fn look(hosts: &Arc<Hosts>) -> Result<DatabaseState, StoreError> {
    let link = Link::open(hosts)?;
    let session = Session::Postgres(&link);
    let schema = found(session)?;
    let (lanes, taken) = match schema {
        NEWEST => session.only(
            "SELECT count(*), count(*) FILTER (WHERE owner IS NOT NULL AND until_ms >= now_ms()) FROM lane",
            &[],
        )?,
        _ => (0, 0),
    };
    let (host, timeline) = link.server();
    Ok(DatabaseState { host: host.to_owned(), timeline, schema, newest: NEWEST, lanes, taken })
}

/// Refuses a database whose schema is not this release's.
pub(crate) fn known(session: Session<'_>) -> Result<(), StoreError> {
    let found = found(session)?;
    if found > NEWEST {
        return Err(StoreError::NewerSchema { found, known: NEWEST });
    }
    if found < NEWEST {
        return Err(StoreError::OlderSchema { found, known: NEWEST });
    }
    Ok(())
}

/// Makes the schema in an empty database, or brings it up. Answers whether anything was done.
pub(crate) fn make(hosts: &Arc<Hosts>) -> Result<bool, StoreError> {
    let link = Link::open(hosts)?;
    let session = Session::Postgres(&link);
    session.script("SET statement_timeout = 0; SET lock_timeout = '10s'; BEGIN")?;
    session.script(locks::SCHEMA)?;
    let found = found(session)?;
    if found > NEWEST {
        return Err(StoreError::NewerSchema { found, known: NEWEST });
    }
    if found == NEWEST {
        session.script("ROLLBACK")?;
        return Ok(false);
    }
    begin(&link)?;
    session.script("COMMIT")?;
    Ok(true)
}

/// The schema of a new database.
fn begin(link: &Link) -> Result<(), StoreError> {
    let session = Session::Postgres(link);
    session.script(TABLES)?;
    session.script("INSERT INTO store (id, groups, journal) VALUES (1, 0, 0)")?;
    for lane in 1..=LANES {
        let name = chain_of(lane);
        session.script(&format!(
            "CREATE SCHEMA {name}; SET LOCAL search_path = {name}; {CHAIN} \
             INSERT INTO audit_chain (id, anchor_seq, anchor_hash, head_seq, head_hash, named_seq) \
             VALUES (1, 0, decode(repeat('00', 32), 'hex'), 0, decode(repeat('00', 32), 'hex'), 0); \
             SET LOCAL search_path = public; INSERT INTO lane (id) VALUES ({lane});"
        ))?;
    }
    // Who asks for a record asks for it wherever it is.
    let all: Vec<_> = (1..=LANES).map(|lane| format!("SELECT * FROM {}.audit", chain_of(lane))).collect();
    session.script(&format!("CREATE VIEW audit AS {}", all.join(" UNION ALL ")))?;
    for table in sealed_tables()? {
        session.script(&super::seals::trigger_of(table))?;
    }
    session.script(&format!(
        "CREATE TABLE tongguan_schema (version BIGINT NOT NULL); INSERT INTO tongguan_schema VALUES ({NEWEST});"
    ))
}

/// The tables whose rows are sealed.
pub(super) fn sealed_tables() -> Result<Vec<&'static str>, StoreError> {
    let mut tables: Vec<_> = layout()?.iter().map(|sealed| sealed.part.table).collect();
    tables.sort_unstable();
    tables.dedup();
    Ok(tables)
}
