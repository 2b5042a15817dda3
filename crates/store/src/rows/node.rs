//! Processes on one database: which there are, and what each has to itself for a time.
//!
//! Work that only one may do at a time is *claimed*: for a resource in its intent ([`Tx::claim_intents`]), for
//! everything else in a row of its own ([`Tx::take_lease`]). A claim has a number, its *fence*, that rises whenever
//! somebody else takes the work up, and a lease: until it ends nobody does. Who was held up longer than its lease finds
//! a higher fence and records nothing; and whoever it had given orders to refuses them by the fence.
//!
//! Moments are by the clock that all who share the store have in common: that of the database. The embedded store has
//! one process at a time, whose clock that is; what an earlier process left is nobody's any more, since a lock on the
//! directory says that it has ended.

use super::{Answer, Columns as _, Done};
use crate::session::Session;
use crate::{Snapshot, Tx};

/// For how long a node has what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// As long as it lives: nobody else can have the store.
    Sole,
    /// For so many milliseconds beyond the moment at which it is to go on with it.
    Shared(i64),
}

/// A process that has the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    id: String,
    term: Term,
}

impl Node {
    /// One of this id, which is random and of one process only.
    #[must_use]
    pub fn new(id: [u8; 16], term: Term) -> Self {
        Self { id: hex::encode(id), term }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether others may have the store too.
    #[must_use]
    pub fn shares(&self) -> bool {
        self.term != Term::Sole
    }

    /// Until when it has what it is to go on with at a moment, UNIX milliseconds.
    #[must_use]
    pub fn until(&self, ms: i64) -> i64 {
        match self.term {
            Term::Sole => i64::MAX,
            Term::Shared(term) => ms.saturating_add(term),
        }
    }

    /// The leases of others that end by this moment are over, if it is that moment now.
    pub(crate) fn over(&self, now_ms: i64) -> i64 {
        match self.term {
            Term::Sole => i64::MAX,
            Term::Shared(_) => now_ms,
        }
    }

    /// Others live that have said so since this moment, UNIX milliseconds, if it is `now_ms`.
    #[must_use]
    pub fn live_since(&self, now_ms: i64) -> i64 {
        match self.term {
            Term::Sole => i64::MAX,
            Term::Shared(term) => now_ms.saturating_sub(term),
        }
    }

    /// How often it says that it lives, milliseconds; none: nobody asks.
    #[must_use]
    pub fn beat_ms(&self) -> Option<i64> {
        match self.term {
            Term::Sole => None,
            Term::Shared(term) => Some((term / 3).max(1)),
        }
    }
}

/// A lease that a node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    name: &'static str,
    owner: String,
    until: i64,
    fence: u64,
}

impl Lease {
    /// How often the work was taken up, with this time.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.fence
    }
}

/// A process, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its id.
    pub id: String,
    /// When it began, UNIX milliseconds.
    pub started_ms: i64,
    /// When it last said that it lives, UNIX milliseconds.
    pub seen_ms: i64,
    /// Digests of its settings, as it has written them.
    pub settings: String,
}

columns! { NodeRow { id, started_ms, seen_ms, settings } }

impl Snapshot<'_> {
    /// The processes that have said since a moment that they live, by id.
    ///
    /// # Errors
    /// A database error.
    pub fn nodes_since(&self, seen_ms: i64) -> Answer<Vec<NodeRow>> {
        let sql = sql!("SELECT ", NodeRow::COLUMNS, " FROM node WHERE seen_ms >= ?1 ORDER BY id");
        self.session.all(sql, &binds![seen_ms])
    }

    /// The present moment by the clock of the database, UNIX milliseconds; none of the embedded store, which has no
    /// clock of its own.
    ///
    /// # Errors
    /// A database error.
    pub fn database_ms(&self) -> Answer<Option<i64>> {
        match self.session {
            Session::Postgres(_) => self.session.only("SELECT now_ms()", &[]).map(Some),
            Session::Sqlite { .. } => Ok(None),
        }
    }

    /// The present moment by the clock that all who share the store have in common, UNIX milliseconds: that of the
    /// process, which alone has the embedded store.
    ///
    /// # Errors
    /// A database error.
    pub fn now_ms(&self, of_process: i64) -> Answer<i64> {
        // One who has it alone may have another clock, as tests do.
        let shared = self.node().is_some_and(Node::shares);
        let of_database = if shared { self.database_ms()? } else { None };
        Ok(of_database.unwrap_or(of_process))
    }

    /// Who has some work, and until when; none if nobody ever had.
    ///
    /// # Errors
    /// A database error.
    pub fn lease(&self, name: &'static str) -> Answer<Option<Lease>> {
        let sql = "SELECT owner, until, fence FROM lease WHERE name = ?1";
        let row: Option<(String, i64, u64)> = self.session.one(sql, &binds![name])?;
        Ok(row.map(|(owner, until, fence)| Lease { name, owner, until, fence }))
    }

    /// Whether a lease was taken up by nobody else since.
    ///
    /// # Errors
    /// A database error.
    pub fn lease_holds(&self, lease: &Lease) -> Answer<bool> {
        let fence: Option<u64> = self.session.one(
            "SELECT fence FROM lease WHERE name = ?1 AND owner = ?2",
            &binds![lease.name, lease.owner],
        )?;
        Ok(fence == Some(lease.fence))
    }
}

impl Tx<'_> {
    /// A node begins: it says so. Where nobody else can have the store, whatever earlier processes had is its own from
    /// now on; elsewhere those are forgotten that have said nothing since `forgotten_ms`.
    ///
    /// # Errors
    /// A database error.
    pub fn begin_node(&self, node: &Node, settings: &str, now_ms: i64, forgotten_ms: i64) -> Done {
        let forgotten = if node.shares() { forgotten_ms } else { i64::MAX };
        self.execute("DELETE FROM node WHERE seen_ms < ?1", &binds![forgotten])?;
        upsert!(
            self.session, "node" { id: node.id } set { started_ms: now_ms, seen_ms: now_ms, settings: settings }
        )?;
        if node.shares() {
            return Ok(());
        }
        self.execute("DELETE FROM lease WHERE owner <> ?1", &binds![node.id])?;
        self.execute(
            "UPDATE intent SET owner = ?1, lease_until = ?2, fence = fence + 1 WHERE owner IS NULL OR owner <> ?1",
            &binds![node.id, node.until(now_ms)],
        )
    }

    /// A node says that it lives; answers whether it is still known: it may have been thought dead.
    ///
    /// # Errors
    /// A database error.
    pub fn beat(&self, node: &Node, now_ms: i64) -> Answer<bool> {
        Ok(update!(self.session, "node" { seen_ms: now_ms } where { id: node.id })? > 0)
    }

    /// A node ends in order: nobody has to wait for it.
    ///
    /// # Errors
    /// A database error.
    pub fn end_node(&self, node: &Node) -> Done {
        self.execute("DELETE FROM node WHERE id = ?1", &binds![node.id])?;
        self.execute("UPDATE lease SET until = 0 WHERE owner = ?1", &binds![node.id])?;
        self.execute("UPDATE intent SET owner = NULL, lease_until = 0 WHERE owner = ?1", &binds![node.id])
    }

    /// Takes work up that only one may do at a time, or goes on with it; none if somebody else has it.
    ///
    /// # Errors
    /// A database error.
    pub fn take_lease(&self, name: &'static str, node: &Node, now_ms: i64) -> Answer<Option<Lease>> {
        let until = node.until(now_ms);
        let sql = "INSERT INTO lease (name, owner, until, fence) VALUES (?1, ?2, ?3, 1) \
                   ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until, \
                   fence = lease.fence + CASE WHEN lease.owner = excluded.owner THEN 0 ELSE 1 END \
                   WHERE lease.owner = excluded.owner OR lease.until <= ?4 RETURNING fence";
        let fence: Option<u64> = self.session.one(sql, &binds![name, node.id, until, node.over(now_ms)])?;
        Ok(fence.map(|fence| Lease { name, owner: node.id.clone(), until, fence }))
    }
}

impl Lease {
    /// Whether it ends so late that nothing has to be done about it yet.
    #[must_use]
    pub fn lasts(&self, node: &Node, now_ms: i64) -> bool {
        self.owner == node.id && node.beat_ms().is_none_or(|beat| now_ms.saturating_add(beat) < self.until)
    }
}
