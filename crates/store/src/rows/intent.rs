//! Changes that are wanted and not applied yet.

use rusqlite::{Row, params};
use tongguan_model::wire_enum;

use super::{Answer, Done, Relation, word};
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

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[(
    "an intent is of a resource that exists",
    "SELECT resource FROM intent WHERE (kind = 'gateway' AND resource NOT IN (SELECT id FROM vpn_gateway)) \
         OR (kind = 'vpc' AND resource NOT IN (SELECT id FROM vpc WHERE NOT ready)) \
         OR (kind = 'vswitch' AND resource NOT IN (SELECT id FROM vswitch WHERE NOT ready)) \
         OR (kind = 'role_deletion' \
         AND resource NOT IN (SELECT id FROM ram_role_deletion WHERE status = 'IN_PROGRESS'))",
)];

impl Snapshot<'_> {
    /// Changes that are due at `now_ms`, oldest first.
    ///
    /// # Errors
    /// A database error.
    pub fn intents_due(&self, now_ms: i64, limit: u32) -> Answer<Vec<Intent>> {
        self.all(
            concat_columns!("SELECT ", INTENT, " FROM intent WHERE due_ms <= ?1 ORDER BY due_ms LIMIT ?2"),
            params![now_ms, limit],
            intent,
        )
    }

    /// When the next change is due, UNIX milliseconds.
    ///
    /// # Errors
    /// A database error.
    pub fn next_intent(&self) -> Answer<Option<i64>> {
        Ok(self
            .connection
            .prepare_cached("SELECT min(due_ms) FROM intent")?
            .query_row([], |row| row.get(0))?)
    }

    /// The change under way on a resource.
    ///
    /// # Errors
    /// A database error.
    pub fn intent(&self, resource: &str) -> Answer<Option<Intent>> {
        self.one(concat_columns!("SELECT ", INTENT, " FROM intent WHERE resource = ?1"), resource, intent)
    }

    /// Every change under way, longest waiting first, at most `limit`.
    ///
    /// # Errors
    /// A database error.
    pub fn intents(&self, limit: u32) -> Answer<Vec<Intent>> {
        self.all(
            concat_columns!("SELECT ", INTENT, " FROM intent ORDER BY since_ms, resource LIMIT ?1"),
            params![limit],
            intent,
        )
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
        self.execute(
            "INSERT INTO intent (resource, kind, generation, change, since_ms, due_ms, attempts) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
            params![resource, kind.as_str(), generation.cast_signed(), change, now_ms, due_ms],
        )
    }

    /// Puts a change off: it goes on, or its try failed for this reason.
    ///
    /// # Errors
    /// A database error.
    pub fn postpone_intent(&self, intent: &Intent, due_ms: i64, failure: Option<&str>) -> Done {
        self.execute(
            "UPDATE intent SET due_ms = ?3, attempts = attempts + (?4 IS NOT NULL), \
             last_error = coalesce(?4, last_error) WHERE resource = ?1 AND generation = ?2",
            params![intent.resource, intent.generation.cast_signed(), due_ms, failure],
        )
    }

    /// Makes every change that waits for a moment due now: after a start, or when the clock has jumped.
    ///
    /// # Errors
    /// A database error.
    pub fn hurry_intents(&self, now_ms: i64, parked: i64) -> Done {
        self.execute(
            "UPDATE intent SET due_ms = ?1 WHERE due_ms > ?1 AND due_ms <> ?2",
            params![now_ms, parked],
        )
    }

    /// Strikes a change off.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_intent(&self, resource: &str) -> Done {
        self.execute("DELETE FROM intent WHERE resource = ?1", params![resource])
    }
}

fn intent(row: &Row<'_>) -> rusqlite::Result<Intent> {
    Ok(Intent {
        resource: row.get(0)?,
        kind: word(row, 1, IntentKind::parse)?,
        generation: row.get::<_, i64>(2)?.cast_unsigned(),
        change: row.get(3)?,
        since_ms: row.get(4)?,
        due_ms: row.get(5)?,
        attempts: row.get(6)?,
        last_error: row.get(7)?,
    })
}
