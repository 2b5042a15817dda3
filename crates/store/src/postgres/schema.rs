//! The schema, made and brought up under a lock; every node only looks at it.
//!
//! **Nodes of two releases** may serve side by side while they are replaced one by one: the database says of which
//! schema it is and which is the oldest whose releases may serve on it ([`OLDEST`]). A release serves on its own
//! schema, and on a newer one that says so; never on an older one. What a schema may change and still say so: add
//! tables, indexes, and columns that may be null or have a default.

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
/// The oldest schema whose releases may serve on this one.
const OLDEST: u32 = NEWEST;
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
    let newer = self::found(session)?.version > NEWEST;
    let missing = expected.iter().filter(|column| !found.contains(column));
    let unknown = found.iter().filter(|column| !expected.contains(column));
    // What a newer release has added is not for this one to judge.
    let unknown = unknown.filter(|_| !newer);
    let missing = missing.map(|column| Finding { rule, what: format!("`{column}` is missing") });
    let unknown = unknown.map(|column| Finding { rule, what: format!("`{column}` is unknown") });
    Ok(missing.chain(unknown).collect())
}

/// Prefix of the schemas of the lanes.
pub(crate) fn chain_of(lane: i64) -> String {
    format!("lane_{lane}")
}

/// Until the end of the transaction audit records, and their chain, are those of a lane.
pub(crate) fn use_chain_of(lane: i64) -> String {
    format!("SET LOCAL search_path = {}, public", chain_of(lane))
}

/// Which schema a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schema {
    /// Its number; 0 if there is none.
    version: u32,
    /// The oldest whose releases may serve on it.
    oldest: u32,
}

impl Schema {
    /// Whether this release may serve on it.
    fn serves(self) -> bool {
        self.version >= NEWEST && self.oldest <= NEWEST
    }

    /// Refuses a schema on which this release may not serve.
    fn check(self) -> Result<(), StoreError> {
        match self.version {
            found if found < NEWEST => Err(StoreError::OlderSchema { found, known: NEWEST }),
            found if !self.serves() => Err(StoreError::NewerSchema { found, known: NEWEST }),
            _ => Ok(()),
        }
    }
}

/// The schema of the database.
pub(crate) fn found(session: Session<'_>) -> Result<Schema, StoreError> {
    if !session.only::<bool>("SELECT to_regclass('tongguan_schema') IS NOT NULL", &[])? {
        return Ok(Schema { version: 0, oldest: 0 });
    }
    let (version, oldest) = session.only("SELECT version, oldest FROM tongguan_schema", &[])?;
    Ok(Schema { version, oldest })
}

/// What the database says of itself.
pub(crate) fn look(hosts: &Arc<Hosts>) -> Result<DatabaseState, StoreError> {
    let link = Link::open(hosts)?;
    let session = Session::Postgres(&link);
    let schema = found(session)?;
    let count =
        "SELECT count(*), count(*) FILTER (WHERE owner IS NOT NULL AND until_ms >= now_ms()) FROM lane";
    let (lanes, taken) = if schema.serves() { session.only(count, &[])? } else { (0, 0) };
    let (host, timeline) = link.server();
    Ok(DatabaseState {
        host: host.to_owned(),
        timeline,
        schema: schema.version,
        oldest: schema.oldest,
        newest: NEWEST,
        serves: schema.serves(),
        lanes,
        taken,
    })
}

/// Refuses a database on whose schema this release may not serve.
pub(crate) fn known(session: Session<'_>) -> Result<(), StoreError> {
    found(session)?.check()
}

/// Refuses a database whose schema is another one than this release's, even if it may serve on it: for who handles all
/// that is there.
pub(crate) fn own(session: Session<'_>) -> Result<(), StoreError> {
    let found = found(session)?;
    found.check()?;
    if found.version > NEWEST {
        return Err(StoreError::NewerSchema { found: found.version, known: NEWEST });
    }
    Ok(())
}

/// Makes the schema in an empty database, or brings it up. Answers whether anything was done.
pub(crate) fn make(hosts: &Arc<Hosts>) -> Result<bool, StoreError> {
    let link = Link::open(hosts)?;
    let session = Session::Postgres(&link);
    session.script("SET statement_timeout = 0; SET lock_timeout = '10s'; BEGIN")?;
    let made = ensure(&link)?;
    session.script("COMMIT")?;
    Ok(made)
}

/// [`make`] within a transaction, until whose end nobody else does it.
pub(crate) fn ensure(link: &Link) -> Result<bool, StoreError> {
    let session = Session::Postgres(link);
    session.script(locks::SCHEMA)?;
    let found = found(session)?;
    if found.version > 0 {
        return found.check().map(|()| false);
    }
    begin(link)?;
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
        "CREATE TABLE tongguan_schema (version BIGINT NOT NULL, oldest BIGINT NOT NULL); \
         INSERT INTO tongguan_schema VALUES ({NEWEST}, {OLDEST});"
    ))
}

/// The tables whose rows are sealed.
pub(super) fn sealed_tables() -> Result<Vec<&'static str>, StoreError> {
    let mut tables: Vec<_> = layout()?.iter().map(|sealed| sealed.part.table).collect();
    tables.sort_unstable();
    tables.dedup();
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[test]
    fn the_decision_about_lanes_says_how_long_changes_wait_for_company() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/decisions/017-lanes.md");
        let said = format!("waits {} ms for others", super::super::lane::COMPANY.as_millis());
        assert!(std::fs::read_to_string(path).unwrap().contains(&said), "{said}");
    }

    /// One lane is left for commands of operators; a node has a connection to let requests in, and one to count nonces.
    #[test]
    fn the_documents_say_how_many_nodes_find_lanes_and_how_many_connections_each_has() {
        let Options { lanes, readers, .. } = Options::default();
        let nodes = (usize::try_from(LANES).unwrap() - 1) / lanes;
        let connections = readers + lanes + 2;
        for (page, said) in [
            (
                "cluster.md",
                [
                    format!("{nodes} at most, since there are {LANES} lanes, each node writes over {lanes}"),
                    format!("nodes × {connections} × 3"),
                ],
            ),
            (
                "cluster.zh-CN.md",
                [
                    format!("最多 {nodes} 个，因为写入通道（lane）共 {LANES} 个，每个节点使用 {lanes} 个"),
                    format!("节点数 × {connections} × 3"),
                ],
            ),
        ] {
            let path = format!("{}/../../docs/{page}", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            for said in said {
                assert!(text.contains(&said), "{page}: {said}");
            }
        }
    }
}
