//! Changes that are wanted and not applied yet.

use tongguan_model::wire_enum;

use super::{Answer, Columns as _, Done, Relation};
use crate::{Snapshot, Tx};

wire_enum! {
    /// Kinds of resource that the engine brings from intended to applied.
    pub enum IntentKind {
        /// A VPN gateway.
        Gateway = "gateway",
        /// A VPC.
        Vpc = "vpc",
        /// A vSwitch.
        VSwitch = "vswitch",
        /// A resource group: nothing of it is on the data plane.
        ResourceGroup = "resource_group",
        /// A task that deletes a service-linked role: nothing of it is on the data plane.
        RoleDeletion = "role_deletion",
    }
}

/// One change that is wanted and not applied yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Id of the resource.
    pub resource: String,
    /// Its kind.
    pub kind: IntentKind,
    /// Generation that is wanted.
    pub generation: u64,
    /// What the change is, for people: `create`, `associate`, ...
    pub change: String,
    /// When it was accepted, UNIX milliseconds.
    pub since_ms: i64,
    /// When to try (again), UNIX milliseconds.
    pub due_ms: i64,
    /// Failed tries so far.
    pub attempts: u32,
    /// Why the last failed try failed.
    pub last_error: Option<String>,
}

columns! { Intent { resource, kind, generation, change, since_ms, due_ms, attempts, last_error } }

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "an intent is of a resource that exists",
    "SELECT resource FROM intent WHERE (kind = 'gateway' AND resource NOT IN (SELECT id FROM vpn_gateway)) \
         OR (kind = 'vpc' AND resource NOT IN (SELECT id FROM vpc WHERE NOT ready)) \
         OR (kind = 'vswitch' AND resource NOT IN (SELECT id FROM vswitch WHERE NOT ready)) \
         OR (kind = 'resource_group' \
         AND resource NOT IN (SELECT 'resource-group-' || seq FROM resource_group WHERE status <> 'OK')) \
         OR (kind = 'role_deletion' \
         AND resource NOT IN (SELECT id FROM ram_role_deletion WHERE status = 'IN_PROGRESS'))",
)];

impl Snapshot<'_> {
    /// Changes that are due at `now_ms`, oldest first.
    ///
    /// # Errors
    /// A database error.
    pub fn intents_due(&self, now_ms: i64, limit: u32) -> Answer<Vec<Intent>> {
        let sql =
            sql!("SELECT ", Intent::COLUMNS, " FROM intent WHERE due_ms <= ?1 ORDER BY due_ms LIMIT ?2");
        self.session.all(sql, &binds![now_ms, limit])
    }

    /// When the next change is due, UNIX milliseconds.
    ///
    /// # Errors
    /// A database error.
    pub fn next_intent(&self) -> Answer<Option<i64>> {
        self.session.only("SELECT min(due_ms) FROM intent", &[])
    }

    /// The change under way on a resource.
    ///
    /// # Errors
    /// A database error.
    pub fn intent(&self, resource: &str) -> Answer<Option<Intent>> {
        self.session
            .one(sql!("SELECT ", Intent::COLUMNS, " FROM intent WHERE resource = ?1"), &binds![resource])
    }

    /// Every change under way, longest waiting first, at most `limit`.
    ///
    /// # Errors
    /// A database error.
    pub fn intents(&self, limit: u32) -> Answer<Vec<Intent>> {
        let sql = sql!("SELECT ", Intent::COLUMNS, " FROM intent ORDER BY since_ms, resource LIMIT ?1");
        self.session.all(sql, &binds![limit])
    }
}

impl Tx<'_> {
    /// Writes down what is wanted; one change per resource.
    ///
    /// # Errors
    /// A database error, also if a change is under way.
    pub fn insert_intent(
        &self,
        resource: &str,
        kind: IntentKind,
        generation: u64,
        change: &str,
        now_ms: i64,
        due_ms: i64,
    ) -> Done {
        insert!(self.session, "intent" {
            resource: resource,
            kind: kind,
            generation: generation,
            change: change,
            since_ms: now_ms,
            due_ms: due_ms,
            attempts: 0_u32,
        })?;
        Ok(())
    }

    /// Postpones a change: it is still in progress, or its try failed for this reason.
    ///
    /// # Errors
    /// A database error.
    pub fn postpone_intent(&self, intent: &Intent, due_ms: i64, failure: Option<&str>) -> Done {
        self.execute(
            "UPDATE intent SET due_ms = ?3, attempts = attempts + (?4 IS NOT NULL), \
             last_error = coalesce(?4, last_error) WHERE resource = ?1 AND generation = ?2",
            &binds![intent.resource, intent.generation, due_ms, failure],
        )
    }

    /// Postpones a change that nobody is there to apply, for this reason: its tries are not counted.
    ///
    /// # Errors
    /// A database error.
    pub fn hold_intent(&self, intent: &Intent, due_ms: i64, reason: &str) -> Done {
        self.execute(
            "UPDATE intent SET due_ms = ?3, last_error = ?4 WHERE resource = ?1 AND generation = ?2",
            &binds![intent.resource, intent.generation, due_ms, reason],
        )
    }

    /// Makes every change that waits for a time due now: after a start, or when the clock has jumped.
    ///
    /// # Errors
    /// A database error.
    pub fn hurry_intents(&self, now_ms: i64, parked: i64) -> Done {
        self.execute(
            "UPDATE intent SET due_ms = ?1 WHERE due_ms > ?1 AND due_ms <> ?2",
            &binds![now_ms, parked],
        )
    }

    /// Strikes a change off if it is still the one that is wanted; answers whether it was.
    ///
    /// # Errors
    /// A database error.
    pub fn strike_off(&self, intent: &Intent) -> Answer<bool> {
        let sql = "DELETE FROM intent WHERE resource = ?1 AND generation = ?2";
        Ok(self.session.execute(sql, &binds![intent.resource, intent.generation])? > 0)
    }

    /// Strikes a change off, whatever it is.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_intent(&self, resource: &str) -> Done {
        self.execute("DELETE FROM intent WHERE resource = ?1", &binds![resource])
    }
}
