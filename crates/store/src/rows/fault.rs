//! Changes that the data plane did not take.

use rusqlite::{Row, params};
use tongguan_model::wire_enum;

use super::intent::IntentKind;
use super::{Answer, Done, word};
use crate::{Snapshot, Tx};

/// Faults remembered: those of resources that are gone stay until newer ones push them out.
const FAULTS_KEPT: u32 = 1_000;

wire_enum! {
    /// What became of a change that could not be applied.
    pub enum FaultOutcome {
        /// It is tried again, without end: other resources may stand on this one.
        Retrying = "retrying",
        /// What was applied before is being brought back.
        Withdrawing = "withdrawing",
        /// What was applied before is in force again.
        Withdrawn = "withdrawn",
        /// Bringing it back failed too: the data plane may hold parts of the change.
        Diverged = "diverged",
    }
}

/// A change that the data plane did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Id of the resource.
    pub resource: String,
    /// Its kind.
    pub kind: IntentKind,
    /// What the change was, for people.
    pub change: String,
    /// Why it could not be applied, as the data plane said.
    pub reason: String,
    /// Failed tries.
    pub attempts: u32,
    /// When the change was accepted, UNIX milliseconds.
    pub since_ms: i64,
    /// When it was given up, UNIX milliseconds.
    pub failed_ms: i64,
    /// What became of it.
    pub outcome: FaultOutcome,
}

impl Snapshot<'_> {
    /// Changes that could not be applied, newest first, at most `limit`.
    ///
    /// # Errors
    /// A database error.
    pub fn faults(&self, limit: u32) -> Answer<Vec<Fault>> {
        self.all(
            "SELECT resource, kind, change, reason, attempts, since_ms, failed_ms, outcome FROM fault \
             ORDER BY failed_ms DESC, resource LIMIT ?1",
            params![limit],
            fault,
        )
    }

    /// The change of this resource that could not be applied last.
    ///
    /// # Errors
    /// A database error.
    pub fn fault(&self, resource: &str) -> Answer<Option<Fault>> {
        let sql = "SELECT resource, kind, change, reason, attempts, since_ms, failed_ms, outcome FROM fault \
                   WHERE resource = ?1";
        self.one(sql, resource, fault)
    }
}

impl Tx<'_> {
    /// Writes down that a resource's change could not be applied, in place of what stood there.
    ///
    /// # Errors
    /// A database error.
    pub fn put_fault(&self, fault: &Fault) -> Done {
        self.execute(
            "INSERT INTO fault (resource, kind, change, reason, attempts, since_ms, failed_ms, outcome) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (resource) DO UPDATE SET kind = excluded.kind, \
             change = excluded.change, reason = excluded.reason, attempts = excluded.attempts, \
             since_ms = excluded.since_ms, failed_ms = excluded.failed_ms, outcome = excluded.outcome",
            params![
                fault.resource,
                fault.kind.as_str(),
                fault.change,
                fault.reason,
                fault.attempts,
                fault.since_ms,
                fault.failed_ms,
                fault.outcome.as_str()
            ],
        )?;
        self.execute(
            "DELETE FROM fault WHERE resource IN (SELECT resource FROM fault ORDER BY failed_ms DESC LIMIT -1 OFFSET ?1)",
            params![FAULTS_KEPT],
        )
    }

    /// Sets what became of a resource's failed change.
    ///
    /// # Errors
    /// A database error.
    pub fn set_fault_outcome(&self, resource: &str, outcome: FaultOutcome) -> Done {
        self.execute("UPDATE fault SET outcome = ?2 WHERE resource = ?1", params![resource, outcome.as_str()])
    }

    /// Forgets a resource's fault: a later change was applied.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_fault(&self, resource: &str) -> Done {
        self.execute("DELETE FROM fault WHERE resource = ?1", params![resource])
    }
}

fn fault(row: &Row<'_>) -> rusqlite::Result<Fault> {
    Ok(Fault {
        resource: row.get(0)?,
        kind: word(row, 1, IntentKind::parse)?,
        change: row.get(2)?,
        reason: row.get(3)?,
        attempts: row.get(4)?,
        since_ms: row.get(5)?,
        failed_ms: row.get(6)?,
        outcome: word(row, 7, FaultOutcome::parse)?,
    })
}
