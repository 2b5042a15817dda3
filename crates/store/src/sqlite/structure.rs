//! Whether the database is sound as SQLite sees it, and has the objects of this release's schema.

use crate::session::Session;

use super::schema;
use crate::audit::chain::AuditChain;
use crate::{AUDIT_RULE, Finding, StoreError, Trouble};

/// Of an object that is there and should not be.
const UNKNOWN: &str = "is unknown or changed";
/// Findings of one kind that are reported; the rest are counted.
const TOLD: usize = 10;

/// What is checked at each start: the schema object by object, and every page of a database that is small
/// enough for that to be quick.
pub(super) fn at_start(session: Session<'_>, whole: bool) -> Result<Option<Finding>, StoreError> {
    let mut findings = schema_objects(session)?;
    // An index or a view that an operator has added does no harm.
    findings.retain(|finding| !finding.what.ends_with(UNKNOWN));
    if findings.is_empty()
        && let Err(error) = AuditChain::read(session)
    {
        let StoreError::Damaged(what) = error else { return Err(error) };
        findings.push(Finding { rule: AUDIT_RULE, what });
    }
    if findings.is_empty() && whole {
        findings = pages(session, "quick_check")?;
    }
    Ok(findings.into_iter().next())
}

/// An error that says what to do, if it is the database's and not the query's.
pub(super) fn classified(error: StoreError) -> StoreError {
    match Trouble::of(&error) {
        Some(trouble @ Trouble::Damaged(_)) => StoreError::Unusable(trouble),
        _ => error,
    }
}

pub(super) fn pages(session: Session<'_>, check: &str) -> Result<Vec<Finding>, StoreError> {
    let lines: Vec<String> = session.all(&format!("PRAGMA {check}({TOLD})"), &[])?;
    let rule = "every page, index and constraint is whole";
    Ok(lines.into_iter().filter(|line| line != "ok").map(|what| Finding { rule, what }).collect())
}

pub(super) fn foreign_keys(session: Session<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut statement = session.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query(&[])?;
    let mut findings = Vec::new();
    while let Some(row) = rows.next()? {
        let mut cells = row.cells();
        let table: String = cells.next()?;
        cells.skip(1);
        let parent: String = cells.next()?;
        let what = format!("a row of {table} names a {parent} that is not there");
        findings.push(Finding { rule: "what a row refers to exists", what });
        if findings.len() == TOLD {
            break;
        }
    }
    Ok(findings)
}

/// The objects of the schema, against those of a new database.
pub(super) fn schema_objects(session: Session<'_>) -> Result<Vec<Finding>, StoreError> {
    let fresh = schema::fresh()?;
    let (found, expected) = (objects(session)?, objects(Session::new(&fresh))?);
    let rule = "the schema is that of this release";
    let missing = expected.iter().filter(|object| !found.contains(object));
    let unknown = found.iter().filter(|object| !expected.contains(object));
    let missing = missing.map(|(name, _)| Finding { rule, what: format!("`{name}` is missing or changed") });
    let unknown = unknown.map(|(name, _)| Finding { rule, what: format!("`{name}` {UNKNOWN}") });
    Ok(missing.chain(unknown).collect())
}

fn objects(session: Session<'_>) -> Result<Vec<(String, String)>, StoreError> {
    // SQLite's own tables hold statistics, which anybody may have asked for.
    session.all(
        "SELECT name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'",
        &[],
    )
}

pub(super) fn offenders(
    session: Session<'_>,
    rule: &'static str,
    question: &str,
) -> Result<Vec<Finding>, StoreError> {
    let mut statement = session.prepare(question)?;
    let mut rows = statement.query(&[])?;
    let mut findings = Vec::new();
    while let Some(row) = rows.next()? {
        findings.push(Finding { rule, what: row.cells().value()?.to_string() });
        if findings.len() == TOLD {
            break;
        }
    }
    Ok(findings)
}
