//! Looks into the server's database, beside the server and without changing it.
//!
//! The API shows what callers may see; half a binding, a forgotten intent or a missing audit record
//! would hide behind it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::record::AuditRecord;

/// A reading connection.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
}

/// A gateway as the database has it.
#[derive(Debug, Clone)]
pub struct Row {
    /// Generation that is wanted: the number of accepted changes.
    pub intended: u32,
    /// Generation that is applied.
    pub applied: u32,
    /// Name.
    pub name: String,
    /// Certificate by role.
    pub bindings: BTreeMap<String, String>,
}

/// The audit records seen so far, over all lives.
#[derive(Debug, Default)]
pub struct Audit {
    seen: HashSet<String>,
    last: i64,
    tokens_since: i64,
}

/// What tables of either store hold of gateways.
#[derive(Debug, Default)]
pub struct Contents {
    /// Resource, change and tries of each change that is under way.
    pub intents: Vec<[String; 3]>,
    /// Id, phase, generations intended and applied, and name of each gateway.
    pub gateways: Vec<(String, String, u32, u32, String)>,
    /// Gateway, role, certificate and state of each binding.
    pub bindings: Vec<[String; 4]>,
    /// Resource, generation and document of what is in force.
    pub applied: Vec<(String, u32, String)>,
}

impl Contents {
    pub(crate) const INTENTS: &str = "SELECT resource, change, cast(attempts AS TEXT) FROM intent";
    pub(crate) const GATEWAYS: &str = "SELECT id, phase, intended, applied, name FROM vpn_gateway";
    pub(crate) const BINDINGS: &str = "SELECT gateway, role, certificate, state FROM binding";
    pub(crate) const APPLIED: &str = "SELECT resource, generation, document FROM applied";

    /// The gateways, each checked to be at rest in every table.
    ///
    /// # Errors
    /// One is not.
    pub fn at_rest(self) -> Result<HashMap<String, Row>> {
        let Self { intents, gateways: rows, bindings, applied } = self;
        ensure!(intents.is_empty(), "at rest, but changes are under way, each with its tries: {intents:?}");
        let mut gateways: HashMap<String, Row> = HashMap::new();
        for (id, phase, intended, applied, name) in rows {
            ensure!(phase == "live", "at rest, but {id} is {phase}");
            ensure!(intended == applied, "at rest, but {id} has generation {applied} of {intended}");
            gateways.insert(id, Row { intended, applied, name, bindings: BTreeMap::new() });
        }
        for [id, role, certificate, state] in bindings {
            ensure!(state == "associated", "half a binding: {id} {role} {certificate} is {state}");
            let gateway =
                gateways.get_mut(&id).with_context(|| format!("a binding of {id}, which is gone"))?;
            gateway.bindings.insert(role, certificate);
        }
        compare_applied(applied, &gateways)?;
        Ok(gateways)
    }
}

/// What the data plane has is what is bound.
fn compare_applied(rows: Vec<(String, u32, String)>, gateways: &HashMap<String, Row>) -> Result<()> {
    let mut applied = 0;
    for (id, generation, document) in rows.into_iter().filter(|(id, ..)| id.starts_with("vpn-")) {
        let gateway = gateways.get(&id).with_context(|| format!("{id} is applied, but gone"))?;
        let document: Value = serde_json::from_str(&document).context("an applied document")?;
        let bindings: BTreeMap<String, String> =
            serde_json::from_value(document["certificates"].clone()).context("applied certificates")?;
        ensure!(
            generation == gateway.applied
                && document["name"] == gateway.name.as_str()
                && bindings == gateway.bindings,
            "{id}: applied is generation {generation}, {document}; the gateway is {gateway:?}"
        );
        applied += 1;
    }
    ensure!(applied == gateways.len(), "{applied} of {} gateways are applied", gateways.len());
    Ok(())
}

impl Database {
    /// Opens the database of a running server.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).context("cannot open the database")?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        Ok(Self { connection })
    }

    /// The gateways, each checked to be at rest in every table.
    ///
    /// # Errors
    /// One is not, or the database cannot be read.
    pub fn at_rest(&self) -> Result<HashMap<String, Row>> {
        self.connection.execute_batch("BEGIN")?;
        let found = self.look();
        self.connection.execute_batch("COMMIT")?;
        found
    }

    fn look(&self) -> Result<HashMap<String, Row>> {
        let intents =
            self.rows(Contents::INTENTS, |row| Ok([text(row, 0)?, text(row, 1)?, text(row, 2)?]))?;
        let gateways = self.rows(Contents::GATEWAYS, |row| {
            Ok((text(row, 0)?, text(row, 1)?, row.get(2)?, row.get(3)?, text(row, 4)?))
        })?;
        let bindings = self.rows(Contents::BINDINGS, |row| {
            Ok([text(row, 0)?, text(row, 1)?, text(row, 2)?, text(row, 3)?])
        })?;
        let applied = self.rows(Contents::APPLIED, |row| Ok((text(row, 0)?, row.get(1)?, text(row, 2)?)))?;
        Contents { intents, gateways, bindings, applied }.at_rest()
    }

    /// Compares the audit records since the last look with what was answered. `lost` requests had no
    /// answer and may or may not have a record.
    ///
    /// # Errors
    /// A record is missing, there twice, wrong, or of nothing that was asked.
    pub fn compare_audit(
        &self,
        audit: &mut Audit,
        answered: &HashMap<String, AuditRecord>,
        lost: usize,
    ) -> Result<()> {
        let sql = format!(
            "SELECT seq, request_id, status, code, action FROM audit WHERE seq > {} ORDER BY seq",
            audit.last
        );
        let rows = self.rows(&sql, |row| {
            let action = row.get::<_, Option<String>>(4)?.unwrap_or_default();
            let record = AuditRecord { action, status: row.get(2)?, code: row.get(3)? };
            Ok((row.get::<_, i64>(0)?, text(row, 1)?, record))
        })?;
        let mut matched = HashSet::new();
        let mut strangers = Vec::new();
        for (seq, id, record) in rows {
            audit.last = audit.last.max(seq);
            ensure!(audit.seen.insert(id.clone()), "request {id} is in the audit record twice");
            match answered.get(&id) {
                Some(expected) => {
                    ensure!(*expected == record, "request {id} was {expected:?}, its record says {record:?}");
                    matched.insert(id);
                }
                None => strangers.push((id, record)),
            }
        }
        if strangers.len() > lost {
            bail!("{} audit records of {lost} unanswered requests: {strangers:?}", strangers.len());
        }
        let missing: Vec<_> = answered.iter().filter(|(id, _)| !matched.contains(*id)).collect();
        let some: Vec<_> = missing.iter().take(5).collect();
        ensure!(missing.is_empty(), "{} answered requests have no audit record: {some:?}", missing.len());
        Ok(())
    }

    /// Each token that is kept belongs to a request in the audit record.
    ///
    /// # Errors
    /// One does not: a change in effect without its record.
    pub fn compare_tokens(&self, audit: &mut Audit) -> Result<()> {
        let sql = format!(
            "SELECT request_id, token, action, created_ms FROM client_token WHERE created_ms >= {}",
            audit.tokens_since
        );
        let rows =
            self.rows(&sql, |row| Ok((text(row, 0)?, text(row, 1)?, text(row, 2)?, row.get::<_, i64>(3)?)))?;
        audit.tokens_since = rows.iter().map(|row| row.3).fold(audit.tokens_since, i64::max);
        let missing: Vec<_> = rows.iter().filter(|(id, ..)| !audit.seen.contains(id)).collect();
        ensure!(missing.is_empty(), "accepted calls without an audit record: {missing:?}");
        Ok(())
    }

    /// How many rows answer a question.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn count(&self, sql: &str) -> Result<i64> {
        Ok(self.connection.query_row(sql, [], |row| row.get(0))?)
    }

    fn rows<T>(
        &self,
        sql: &str,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([], read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn text(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<String> {
    row.get(column)
}
