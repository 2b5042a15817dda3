//! The lanes of a shared database as somebody sees them who is none of its nodes, and how one process has them all.

use aws_lc_rs::hmac;

use super::lane::LEASE_MS;
use super::schema::{LANES, chain_of, use_chain_of};
use crate::audit::chain::AuditChain;
use crate::audit::walk;
use crate::rows::{Answer, Columns as _};
use crate::session::Session;
use crate::{AuditRecord, NodeRow, Snapshot, StoreError, Tx};

/// A place to write at, which one node has at a time, with a chain of audit records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneState {
    /// Its number.
    pub number: i64,
    /// Whether a node has it.
    pub taken: bool,
    /// Batches that were committed over it.
    pub batches: u64,
}

/// Of every lane, in one statement: its number, and what `select` finds in the tables of its chain.
pub(crate) fn of_each(select: &str) -> String {
    let one = |lane: i64| {
        let found = select.replace("CHAIN", &chain_of(lane));
        format!("SELECT {lane}::BIGINT, {found}")
    };
    (1..=LANES).map(one).collect::<Vec<_>>().join(" UNION ALL ")
}

/// Whether at most so many lanes are taken, and no node has said lately that it lives. Until the end of the transaction
/// nobody takes a lane; and nobody who had one and was not heard of for too long has it any more.
pub(crate) fn take_all(session: Session<'_>, own: usize) -> Result<bool, StoreError> {
    // Who takes a lane passes over those that are locked.
    session.script("SELECT id FROM lane ORDER BY id FOR UPDATE")?;
    session.execute(
        "UPDATE lane SET owner = NULL, until_ms = 0 WHERE owner IS NOT NULL AND until_ms < now_ms()",
        &[],
    )?;
    let (taken, nodes): (i64, i64) = session.only(
        "SELECT (SELECT count(*) FROM lane WHERE owner IS NOT NULL), \
         (SELECT count(*) FROM node WHERE seen_ms >= now_ms() - ?1)",
        &binds![LEASE_MS],
    )?;
    Ok(nodes == 0 && usize::try_from(taken).is_ok_and(|taken| taken <= own))
}

/// Begins the chains of lanes anew that are not whole under this key, or `all` that have records, each with `record` as
/// the first. Answers of which lanes.
pub(super) fn begin_audit_anew(
    tx: &Tx<'_>,
    key: &[u8],
    all: bool,
    record: &AuditRecord,
) -> Result<Vec<Option<i64>>, StoreError> {
    let session = tx.session();
    let seal = hmac::Key::new(hmac::HMAC_SHA256, key);
    let own: String = session.only("SELECT current_setting('search_path')", &[])?;
    let mut begun = Vec::new();
    for lane in 1..=LANES {
        session.script(&use_chain_of(lane))?;
        let chain = AuditChain::read(session)?;
        let any: bool = session.only("SELECT EXISTS (SELECT 1 FROM audit)", &[])?;
        if !any && chain.head.seq == 0 && chain.unsealed() {
            continue;
        }
        if all || !walk::verify(session, Some(key), &[])?.findings.is_empty() {
            tx.begin_audit_anew()?;
            tx.audit(record)?;
            tx.seal_audit(&seal)?;
            begun.push(Some(lane));
        }
    }
    let _: String = session.only("SELECT set_config('search_path', ?1, TRUE)", &binds![own])?;
    Ok(begun)
}

impl Snapshot<'_> {
    /// The lanes of a shared database, by number; none of the embedded store.
    ///
    /// # Errors
    /// A database error.
    pub fn lanes(&self) -> Answer<Vec<LaneState>> {
        let session = self.session();
        if matches!(session, Session::Sqlite { .. }) {
            return Ok(Vec::new());
        }
        let sql = "SELECT id, owner IS NOT NULL AND until_ms >= now_ms(), groups FROM lane ORDER BY id";
        let rows: Vec<(i64, bool, u64)> = session.all(sql, &[])?;
        Ok(rows.into_iter().map(|(number, taken, batches)| LaneState { number, taken, batches }).collect())
    }

    /// The nodes of a shared database that live, by id, each with how many changes it works on; none of the embedded
    /// store.
    ///
    /// # Errors
    /// A database error.
    pub fn living_nodes(&self) -> Answer<Vec<(NodeRow, u64)>> {
        let session = self.session();
        if matches!(session, Session::Sqlite { .. }) {
            return Ok(Vec::new());
        }
        let sql = sql!(
            "SELECT ",
            NodeRow::COLUMNS,
            ", (SELECT count(*) FROM intent WHERE intent.owner = node.id) FROM node WHERE seen_ms >= now_ms() - ?1 \
             ORDER BY id"
        );
        session.all(sql, &binds![LEASE_MS])
    }
}

impl Tx<'_> {
    /// Whether no other process has the store, and none takes it up before the end of the transaction. Whoever had it
    /// and was not heard of for too long has to take it up anew.
    ///
    /// # Errors
    /// A database error.
    pub fn has_it_alone(&self) -> Answer<bool> {
        match self.session() {
            Session::Sqlite { .. } => Ok(true),
            session @ Session::Postgres(_) => take_all(session, 1),
        }
    }
}
