//! Whether the database is sound as SQLite sees it, and has the objects of this release's schema.

use rusqlite::Connection;

use super::schema;
use crate::audit::chain::AuditChain;
use crate::{AUDIT_RULE, Finding, StoreError, Trouble};

/// Of an object that is there and should not be.
const UNKNOWN: &str = "is unknown or changed";
/// Findings of one kind that are told; the rest are counted.
const TOLD: usize = 10;

/// What is checked at each start: the schema object by object, and every page of a database that is small
/// enough for that to be quick.
pub(super) fn at_start(connection: &Connection, whole: bool) -> Result<Option<Finding>, StoreError> {
    let mut findings = schema_objects(connection)?;
    // An index or a view that an operator has added does no harm.
    findings.retain(|finding| !finding.what.ends_with(UNKNOWN));
    if findings.is_empty()
        && let Err(error) = AuditChain::read(connection)
    {
        let StoreError::Damaged(what) = error else { return Err(error) };
        findings.push(Finding { rule: AUDIT_RULE, what });
    }
    if findings.is_empty() && whole {
        findings = pages(connection, "quick_check")?;
    }
    Ok(findings.into_iter().next())
}

/// An error that says what to do, if it is the database's and not the question's.
pub(super) fn classified(error: StoreError) -> StoreError {
    match Trouble::of(&error) {
        Some(trouble @ Trouble::Damaged(_)) => StoreError::Unusable(trouble),
        _ => error,
    }
}

pub(super) fn pages(connection: &Connection, check: &str) -> Result<Vec<Finding>, StoreError> {
    let mut statement = connection.prepare(&format!("PRAGMA {check}({TOLD})"))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut findings = Vec::new();
    for line in lines {
        let what = line?;
        if what != "ok" {
            findings.push(Finding { rule: "every page, index and constraint is whole", what });
        }
    }
    Ok(findings)
}

pub(super) fn foreign_keys(connection: &Connection) -> Result<Vec<Finding>, StoreError> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let lines = statement.query_map([], |row| {
        Ok(format!(
            "a row of {} names a {} that is not there",
            row.get::<_, String>(0)?,
            row.get::<_, String>(2)?
        ))
    })?;
    lines.take(TOLD).map(|what| Ok(Finding { rule: "what a row refers to exists", what: what? })).collect()
}

/// The objects of the schema, against those of a new database.
pub(super) fn schema_objects(connection: &Connection) -> Result<Vec<Finding>, StoreError> {
    let mut fresh = Connection::open_in_memory()?;
    schema::migrate(&mut fresh)?;
    let (found, expected) = (objects(connection)?, objects(&fresh)?);
    let rule = "the schema is that of this release";
    let missing = expected.iter().filter(|object| !found.contains(object));
    let unknown = found.iter().filter(|object| !expected.contains(object));
    let missing = missing.map(|(name, _)| Finding { rule, what: format!("`{name}` is missing or changed") });
    let unknown = unknown.map(|(name, _)| Finding { rule, what: format!("`{name}` {UNKNOWN}") });
    Ok(missing.chain(unknown).collect())
}

fn objects(connection: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    // SQLite's own tables hold statistics, which anybody may have asked for.
    let mut statement = connection.prepare(
        "SELECT name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn offenders(
    connection: &Connection,
    rule: &'static str,
    question: &str,
) -> Result<Vec<Finding>, StoreError> {
    let mut statement = connection.prepare(question)?;
    let rows =
        statement.query_map([], |row| Ok(format!("{:?}", row.get::<_, rusqlite::types::Value>(0)?)))?;
    rows.take(TOLD).map(|what| Ok(Finding { rule, what: what? })).collect()
}
