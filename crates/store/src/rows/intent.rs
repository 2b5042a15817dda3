//! Changes that are wanted and not applied yet, and which process works on each ([`Node`]).
//!
//! Whoever accepts a change has it: then nothing more is to be written before it is applied. Another process takes
//! it up when the lease has ended.

use tongguan_model::id::AccountId;
use tongguan_model::wire_enum;

use super::{Answer, Columns as _, Done, Relation};
use crate::{Node, Snapshot, Tx};

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
    /// Id of the process that works on it; none: nobody does.
    pub owner: Option<String>,
    /// Until when nobody else takes it up, UNIX milliseconds.
    pub lease_until: i64,
    /// How often somebody has taken it up.
    pub fence: u64,
}

columns! {
    Intent {
        resource, kind, generation, change, since_ms, due_ms, attempts, last_error, owner, lease_until, fence,
    }
}

/// An intent that the node ?1 may take up: nobody has it, or nobody has it any more at ?3, or the lease of another has
/// ended by ?4.
const FREE: &str =
    "(owner IS NULL OR (owner = ?1 AND lease_until <= ?3) OR (owner <> ?1 AND lease_until <= ?4))";

impl Intent {
    /// Whether a node has it, and may go on.
    #[must_use]
    pub fn is_held_by(&self, node: &Node, now_ms: i64) -> bool {
        self.owner.as_deref() == Some(node.id()) && now_ms < self.lease_until
    }

    /// Whether it is this very claim of this very change.
    #[must_use]
    pub fn same_claim(&self, other: &Self) -> bool {
        self.generation == other.generation && self.owner == other.owner && self.fence == other.fence
    }
}

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

    /// Changes that are due at `now_ms` and are a node's, or nobody's any more, oldest first.
    ///
    /// # Errors
    /// A database error.
    pub fn intents_open(&self, node: &Node, now_ms: i64, limit: u32) -> Answer<Vec<Intent>> {
        let sql = sql!(
            "SELECT ",
            Intent::COLUMNS,
            " FROM intent WHERE due_ms <= ?1 AND (owner IS NULL OR owner = ?2 OR lease_until <= ?3) \
             ORDER BY due_ms LIMIT ?4"
        );
        self.session.all(sql, &binds![now_ms, node.id(), node.over(now_ms), limit])
    }

    /// When a node has to look again: a change of its own is due, or a lease of another's ends; UNIX milliseconds.
    ///
    /// # Errors
    /// A database error.
    pub fn next_intent_of(&self, node: &Node) -> Answer<Option<i64>> {
        if !node.shares() {
            return self.next_intent();
        }
        let sql =
            "SELECT min(CASE WHEN owner IS NULL OR owner = ?1 THEN due_ms ELSE lease_until END) FROM intent";
        self.session.only(sql, &binds![node.id()])
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

    /// The account whose resource a change is of; none if the resource is gone.
    ///
    /// # Errors
    /// A database error.
    pub fn account_of(&self, intent: &Intent) -> Answer<Option<AccountId>> {
        let sql = match intent.kind {
            IntentKind::Gateway => "SELECT account FROM vpn_gateway WHERE id = ?1",
            IntentKind::Vpc => "SELECT account FROM vpc WHERE id = ?1",
            IntentKind::VSwitch => "SELECT account FROM vswitch WHERE id = ?1",
            IntentKind::RoleDeletion => "SELECT account FROM ram_role_deletion WHERE id = ?1",
            IntentKind::ResourceGroup => {
                return Ok(self.resource_group_of_key(&intent.resource)?.map(|group| group.account));
            }
        };
        self.session.one(sql, &binds![intent.resource])
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
    /// Writes down what is wanted; one change per resource. This process has it.
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
            owner: self.node().map(Node::id),
            lease_until: self.node().map_or(0, |node| node.until(due_ms)),
            fence: 1_u32,
        })?;
        Ok(())
    }

    /// Takes up changes that are due and nobody has, or nobody has any more, at most so many; from now on they are the
    /// node's.
    ///
    /// # Errors
    /// A database error.
    pub fn claim_intents(&self, node: &Node, now_ms: i64, limit: u32) -> Answer<Vec<Intent>> {
        let sql = sql!(
            "UPDATE intent SET owner = ?1, lease_until = ?2, fence = fence + 1 WHERE resource IN \
             (SELECT resource FROM intent WHERE due_ms <= ?3 AND ",
            FREE,
            // What somebody is about to take up, or to change, is left to him.
            " ORDER BY due_ms LIMIT ?5 /* FOR UPDATE SKIP LOCKED */) RETURNING ",
            Intent::COLUMNS
        );
        let (until, over) = (node.until(now_ms), node.over(now_ms));
        let mut claimed: Vec<Intent> =
            self.session.all(sql, &binds![node.id(), until, now_ms, over, limit])?;
        claimed.sort_by_key(|intent| intent.due_ms);
        Ok(claimed)
    }

    /// Takes up the change under way on a resource, if nobody has it, or nobody has it any more.
    ///
    /// # Errors
    /// A database error.
    pub fn claim_intent(&self, node: &Node, resource: &str, now_ms: i64) -> Answer<Option<Intent>> {
        let sql = sql!(
            "UPDATE intent SET owner = ?1, lease_until = ?2, fence = fence + 1 WHERE resource = ?5 AND ",
            FREE,
            " RETURNING ",
            Intent::COLUMNS
        );
        let (until, over) = (node.until(now_ms), node.over(now_ms));
        self.session.one(sql, &binds![node.id(), until, now_ms, over, resource])
    }

    /// Renews the claim of a change for a try that takes until then at most; it is due again at that moment. Answers
    /// whether it is still the node's.
    ///
    /// # Errors
    /// A database error.
    pub fn renew_intent(&self, node: &Node, intent: &Intent, until_ms: i64) -> Answer<bool> {
        let lease = if node.shares() { until_ms } else { i64::MAX };
        let sql = "UPDATE intent SET due_ms = ?4, lease_until = ?5 WHERE resource = ?1 AND generation = ?2 AND fence = ?3";
        let values = binds![intent.resource, intent.generation, intent.fence, until_ms, lease];
        Ok(self.session.execute(sql, &values)? > 0)
    }

    /// Postpones a change: it is still in progress, or its try failed for this reason. It stays the node's.
    ///
    /// # Errors
    /// A database error.
    pub fn postpone_intent(&self, node: &Node, intent: &Intent, due_ms: i64, failure: Option<&str>) -> Done {
        let failed = u32::from(failure.is_some());
        self.execute(
            "UPDATE intent SET due_ms = ?4, lease_until = ?5, attempts = attempts + ?6, \
             last_error = coalesce(?7, last_error) WHERE resource = ?1 AND generation = ?2 AND fence = ?3",
            &binds![
                intent.resource,
                intent.generation,
                intent.fence,
                due_ms,
                node.until(due_ms),
                failed,
                failure
            ],
        )
    }

    /// Postpones a change that nobody is there to apply, for this reason: its tries are not counted. It stays the
    /// node's.
    ///
    /// # Errors
    /// A database error.
    pub fn hold_intent(&self, node: &Node, intent: &Intent, due_ms: i64, reason: &str) -> Done {
        self.execute(
            "UPDATE intent SET due_ms = ?4, lease_until = ?5, last_error = ?6 \
             WHERE resource = ?1 AND generation = ?2 AND fence = ?3",
            &binds![intent.resource, intent.generation, intent.fence, due_ms, node.until(due_ms), reason],
        )
    }

    /// Makes every change of a node's that waits for a time due now: after a start, or when its clock has jumped.
    ///
    /// # Errors
    /// A database error.
    pub fn hurry_intents(&self, node: &Node, now_ms: i64, parked: i64) -> Done {
        self.execute(
            "UPDATE intent SET due_ms = ?1, lease_until = ?4 WHERE due_ms > ?1 AND due_ms <> ?2 AND owner = ?3",
            &binds![now_ms, parked, node.id(), node.until(now_ms)],
        )
    }

    /// Strikes a change off if it is still the one that is wanted, and nobody else has taken it up; answers whether it
    /// was.
    ///
    /// # Errors
    /// A database error.
    pub fn strike_off(&self, intent: &Intent) -> Answer<bool> {
        let sql = "DELETE FROM intent WHERE resource = ?1 AND generation = ?2 AND fence = ?3";
        Ok(self.session.execute(sql, &binds![intent.resource, intent.generation, intent.fence])? > 0)
    }

    /// Strikes a change off, whatever it is.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_intent(&self, resource: &str) -> Done {
        self.execute("DELETE FROM intent WHERE resource = ?1", &binds![resource])
    }
}
