//! The audit record on its way: one chain in a data directory, one for each lane in a shared database.
//!
//! * **One chain stays what it is**, whichever side it goes to: its numbers, hashes, gaps and seals. In a shared
//!   database it is that of the first lane.
//! * **Of several one is made**, over all their records in the order of time: their numbers and hashes are others, and
//!   so the gaps that retention has left are gone. Whoever moves has verified every chain before; from then on the new
//!   one vouches for what they vouched for, and what was from before one of them is from before it. The same is done
//!   with one that has texts which PostgreSQL does not take: releases before this wrote down whatever a stranger sent.
//! * In either case records of the move itself come last, one for each chain that there was. They name its newest
//!   record as it was printed and kept elsewhere, and nobody can displace them.

use aws_lc_rs::hmac;

use super::tables::{self, Batch, Differing, Table};
use crate::audit::append;
use crate::audit::chain::AuditChain;
use crate::postgres::schema::{LANES, chain_of, use_chain_of};
use crate::session::{Owned, Session};
use crate::{Archive, AuditRecord, Finding, StoreError, Tx};

/// The lane whose chain is the one of a data directory.
const LANE: i64 = 1;

/// A chain that is moved.
#[derive(Debug)]
struct Former {
    /// Of which lane; none of a data directory's.
    lane: Option<i64>,
    chain: AuditChain,
}

/// How the audit record is moved.
#[derive(Debug)]
pub(super) struct Plan {
    formers: Vec<Former>,
    /// Records have texts with zero bytes.
    zeros: bool,
}

impl Plan {
    /// Of these chains.
    pub(super) fn of(source: &Archive) -> Result<Self, StoreError> {
        let session = source.session();
        let mut formers = Vec::new();
        if !source.is_shared() {
            formers.push(Former { lane: None, chain: AuditChain::read(session)? });
            let list = contents()?.list();
            let zero = |column: &str| format!("instr({column}, char(0)) > 0");
            let any = list.split(", ").map(zero).collect::<Vec<_>>().join(" OR ");
            let zeros = session.only(&format!("SELECT EXISTS (SELECT 1 FROM audit WHERE {any})"), &[])?;
            return Ok(Self { formers, zeros });
        }
        for lane in 1..=LANES {
            session.script(&use_chain_of(lane))?;
            let chain = AuditChain::read(session)?;
            // One that nobody has written to is as good as any where there is no other.
            if chain.head.seq > 0 || !chain.unsealed() || lane == LANES && formers.is_empty() {
                formers.push(Former { lane: Some(lane), chain });
            }
        }
        leave(session)?;
        Ok(Self { formers, zeros: false })
    }

    /// The one chain that stays what it is.
    fn single(&self) -> Option<&Former> {
        match self.formers.as_slice() {
            [former] if !self.zeros => Some(former),
            _ => None,
        }
    }

    /// Carries the records over; answers how many.
    pub(super) fn carry(&self, source: Session<'_>, target: Session<'_>) -> Result<u64, StoreError> {
        let Some(former) = self.single() else { return self.merge(source, target) };
        at(source, former.lane)?;
        at(target, former.lane)?;
        target.script("DELETE FROM audit_chain")?;
        let mut count = 0;
        for table in tables::of_chain()? {
            let copied = table.copy(source, target)?;
            match table.name() {
                "audit" => count = copied,
                "audit_trimmed" if matches!(target, Session::Postgres(_)) => {
                    table.count_on_by(target, "id")?
                }
                _ => {}
            }
        }
        leave(source)?;
        leave(target)?;
        Ok(count)
    }

    /// Makes one chain anew.
    fn merge(&self, source: Session<'_>, target: Session<'_>) -> Result<u64, StoreError> {
        let (own, (old, named)) = (contents()?, self.parts(source)?);
        at(target, None)?;
        let numbered = contents()?.with("seq");
        let mut batch = Batch::new(&numbered, target);
        let mut seq = 0;
        self.each(source, &own, |mut row| {
            seq += 1;
            row.push(Owned::Integer(seq));
            batch.push(row)
        })?;
        let count = batch.end()?;
        append::make_chain(target, old, old + named)?;
        leave(target)?;
        Ok(count)
    }

    /// How many records are from before their chains, and how many are not and say only by their operation's name
    /// whether they changed something.
    fn parts(&self, source: Session<'_>) -> Result<(i64, i64), StoreError> {
        let (mut old, mut named) = (0, 0);
        for Former { lane, chain } in &self.formers {
            at(source, *lane)?;
            let end = chain.old.map_or(i64::MIN, |old| old.seq);
            let sql = "SELECT count(*) FILTER (WHERE seq <= ?1), count(*) FILTER (WHERE seq > ?1 AND seq <= ?2) FROM audit";
            let (before, by_name): (i64, i64) = source.only(sql, &binds![end, chain.named_seq])?;
            (old, named) = (old + before, named + by_name);
        }
        leave(source)?;
        Ok((old, named))
    }

    /// Gives the contents of every record of several chains to `look`: those from before their chains first, then in
    /// the order of time, in which no chain's records change places.
    fn each(
        &self,
        source: Session<'_>,
        own: &Table,
        mut look: impl FnMut(Vec<Owned>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let list = own.list();
        let one = |Former { lane, chain }: &Former| {
            let of = lane.map(|lane| format!("{}.", chain_of(lane))).unwrap_or_default();
            let old = chain.old.map_or_else(|| "FALSE".to_owned(), |old| format!("seq <= {}", old.seq));
            format!(
                "SELECT {list}, seq, {} AS lane, CASE WHEN {old} THEN 0 WHEN seq <= {} THEN 1 ELSE 2 END AS part, \
                 max(time_ms) OVER (ORDER BY seq) AS moment FROM {of}audit",
                lane.unwrap_or(LANE),
                chain.named_seq
            )
        };
        let all = self.formers.iter().map(one).collect::<Vec<_>>().join(" UNION ALL ");
        let sql = format!("SELECT {list} FROM ({all}) AS records ORDER BY part, moment, lane, seq");
        own.each(source, &sql, |mut row| {
            for value in &mut row {
                if let Owned::Text(text) = value
                    && self.zeros
                {
                    *text = text.replace('\0', "\u{fffd}");
                }
            }
            look(row)
        })
    }

    /// Appends what a process has left in its journal, and the records of the move; and seals the chain.
    pub(super) fn end(
        &self,
        target: Session<'_>,
        left: &[AuditRecord],
        seal: &hmac::Key,
        record: &dyn Fn(String) -> AuditRecord,
    ) -> Result<(), StoreError> {
        at(target, None)?;
        let tx = Tx::new(target);
        tx.audit_all(left)?;
        for Former { lane, chain } in &self.formers {
            let head = chain.head;
            tx.audit(&record(lane.map_or_else(|| head.to_string(), |lane| format!("lane {lane} {head}"))))?;
        }
        tx.seal_audit(seal)?;
        leave(target)
    }

    /// Compares the records of both sides.
    pub(super) fn compare(
        &self,
        source: Session<'_>,
        target: Session<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        let Some(former) = self.single() else { return self.compare_merged(source, target, findings) };
        at(source, former.lane)?;
        at(target, former.lane)?;
        let head = former.chain.head.seq;
        for table in tables::of_chain()? {
            match table.name() {
                // Its end is another with each record.
                "audit_chain" => {
                    let ends = ["head_seq", "head_hash", "sealed_seq", "sealed_hash", "seal"];
                    table.without(&ends).compare(source, target, findings)?;
                }
                "audit" => {
                    table.compare_where(source, target, &format!("WHERE seq <= {head}"), findings)?;
                }
                _ => table.compare(source, target, findings)?,
            }
        }
        leave(source)?;
        leave(target)
    }

    fn compare_merged(
        &self,
        source: Session<'_>,
        target: Session<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        let own = contents()?;
        at(target, None)?;
        let mut statement = target.prepare(&format!("SELECT {} FROM audit ORDER BY seq", own.list()))?;
        let mut theirs = statement.query(&[])?;
        let (mut seq, mut differing) = (0_u64, Differing::default());
        self.each(source, &own, |row| {
            seq += 1;
            match theirs.next()?.map(|row| own.read(row)).transpose()? {
                Some(other) if other == row => {}
                Some(_) => differing.tell(|| format!("audit record {seq} is another")),
                None => differing.tell(|| format!("audit record {seq} is missing")),
            }
            Ok(())
        })?;
        drop(theirs);
        differing.end(findings);
        leave(target)
    }
}

/// What a record says, without its place in a chain.
fn contents() -> Result<Table, StoreError> {
    let table = tables::of_chain()?.into_iter().next().ok_or(StoreError::Closed)?;
    Ok(table.without(&["seq", "hash", "stream"]))
}

/// Turns to the chain of a lane, in a shared database; to that of a data directory's one where none is named.
fn at(session: Session<'_>, lane: Option<i64>) -> Result<(), StoreError> {
    match session {
        Session::Sqlite { .. } => Ok(()),
        Session::Postgres(_) => session.script(&use_chain_of(lane.unwrap_or(LANE))),
    }
}

/// Turns to no chain.
fn leave(session: Session<'_>) -> Result<(), StoreError> {
    match session {
        Session::Sqlite { .. } => Ok(()),
        Session::Postgres(_) => session.script("SET LOCAL search_path = public"),
    }
}
