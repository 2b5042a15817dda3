//! Changes that the data plane did not take.

use tongguan_model::wire_enum;

use super::intent::IntentKind;
use super::{Answer, Columns as _, Done};
use crate::{Snapshot, Tx};

/// Faults kept: those of deleted resources stay until newer ones displace them.
const FAULTS_KEPT: u32 = 1_000;

wire_enum! {
    /// What became of a change that could not be applied.
    pub enum FaultOutcome {
        /// It is retried indefinitely, because other resources may depend on this one.
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

columns! { Fault { resource, kind, change, reason, attempts, since_ms, failed_ms, outcome } }

impl Snapshot<'_> {
    /// Changes that could not be applied, newest first, at most `limit`.
    ///
    /// # Errors
    /// A database error.
    pub fn faults(&self, limit: u32) -> Answer<Vec<Fault>> {
        let sql = sql!("SELECT ", Fault::COLUMNS, " FROM fault ORDER BY failed_ms DESC, resource LIMIT ?1");
        self.session.all(sql, &binds![limit])
    }

    /// The change of this resource that could not be applied last.
    ///
    /// # Errors
    /// A database error.
    pub fn fault(&self, resource: &str) -> Answer<Option<Fault>> {
        self.session
            .one(sql!("SELECT ", Fault::COLUMNS, " FROM fault WHERE resource = ?1"), &binds![resource])
    }
}

impl Tx<'_> {
    /// Writes down that a resource's change could not be applied, in place of what stood there.
    ///
    /// # Errors
    /// A database error.
    pub fn put_fault(&self, fault: &Fault) -> Done {
        upsert!(self.session, "fault" { resource: fault.resource } set {
            kind: fault.kind,
            change: fault.change,
            reason: fault.reason,
            attempts: fault.attempts,
            since_ms: fault.since_ms,
            failed_ms: fault.failed_ms,
            outcome: fault.outcome,
        })?;
        self.execute(
            "DELETE FROM fault WHERE resource IN (SELECT resource FROM fault ORDER BY failed_ms DESC LIMIT 9223372036854775807 OFFSET ?1)",
            &binds![FAULTS_KEPT],
        )
    }

    /// Sets what became of a resource's failed change.
    ///
    /// # Errors
    /// A database error.
    pub fn set_fault_outcome(&self, resource: &str, outcome: FaultOutcome) -> Done {
        update!(self.session, "fault" { outcome: outcome } where { resource: resource })?;
        Ok(())
    }

    /// Deletes a resource's fault: a later change was applied.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_fault(&self, resource: &str) -> Done {
        self.execute("DELETE FROM fault WHERE resource = ?1", &binds![resource])
    }
}
