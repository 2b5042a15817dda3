//! Verifies the audit record: whether it is as it was written ([`verify`]), and whether the chain vouches for one
//! record ([`Snapshot::vouched`]).
//!
//! Every row of the table and every gap that retention left is verified, whatever its number. A row is valid if it
//! has the hash that follows from its content and the record before it, is in the stream that follows from its
//! content, and is where a record can be: after the anchor, up to the head, in no gap; or from before the chain, up
//! to the end that is sealed.

use aws_lc_rs::hmac;

use super::chain::AuditChain;
use super::link::{AuditLink, Encoded, HASH_BYTES, Hash};
use super::record::{WHOLE, beside};
use super::retention::{Gap, was};
use crate::rows::Table as _;
use crate::session::{Row, Rows, Session};
use crate::{Finding, Snapshot, StoreError};

/// What [`Finding`]s of the chain are called.
pub const AUDIT_RULE: &str = "no audit record was changed, removed or put in";
/// Of a seal that is missing or another.
const SEAL_WRONG: &str =
    "the seal does not fit the ends of the chain: they were changed without the master key";
/// Newest records that are verified when the service starts.
const RECENT: i64 = 512;
/// Findings that are reported; the rest are counted.
const TOLD: usize = 10;

/// The result of verifying the whole chain.
#[derive(Debug)]
pub struct AuditVerdict {
    /// The ends of the chain.
    pub chain: AuditChain,
    /// Records in it.
    pub records: u64,
    /// Records from before there was a chain.
    pub before: u64,
    /// Records that retention removed.
    pub removed: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// What became of a record that was the head once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFate {
    /// It is there.
    There,
    /// Retention has removed it. `compared`: what is left of it says that it was this one.
    Removed {
        /// Whether anything was left to compare it with.
        compared: bool,
    },
    /// Another record has, or had, its number.
    Replaced,
    /// It is from before the begin of the chain.
    BeforeChain,
    /// The chain ends before it.
    Missing,
}

/// Whether the chain vouches for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouched {
    /// It has the hash that it must have after the record before it.
    Chain,
    /// It is from before the chain: what it says was not checked when the chain began.
    Before,
    /// It does not belong where it is, or was changed.
    No,
}

/// Verifies every record, one at a time; `key` is that of the seals, `heads` are earlier heads that were kept
/// elsewhere.
pub(crate) fn verify(
    session: Session<'_>,
    key: Option<&[u8]>,
    heads: &[AuditLink],
) -> Result<AuditVerdict, StoreError> {
    let chain = AuditChain::read(session)?;
    let key = key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key));
    let mut walk = Walk::new(&chain, key.as_ref());
    walk.old(session)?;
    walk.records(session, chain.anchor.seq, Some(chain.anchor.hash))?;
    for head in heads {
        let (seq, fate) = (head.seq, head_fate(session, &chain, key.as_ref(), head)?);
        match fate {
            HeadFate::There | HeadFate::Removed { .. } => {}
            HeadFate::Replaced => walk.found(format!(
                "the record that was kept elsewhere, {seq}, has another hash: the records up to it were replaced"
            )),
            HeadFate::BeforeChain => walk.found(format!(
                "the record that was kept elsewhere, {seq}, is before the begin of the chain, {}",
                chain.anchor.seq
            )),
            HeadFate::Missing => walk.found(format!(
                "the record that was kept elsewhere, {seq}, was removed or replaced: the chain ends at {}",
                chain.head.seq
            )),
        }
    }
    if key.as_ref().is_some_and(|key| !chain.seal_fits(key)) {
        walk.found(SEAL_WRONG.into());
    }
    let (records, before, removed) = (walk.count, walk.before, walk.removed);
    let findings = walk.findings();
    Ok(AuditVerdict { records, before, removed, findings, chain })
}

/// What became of a head that was kept elsewhere. Says nothing about the other records: that is [`verify`]'s.
fn head_fate(
    session: Session<'_>,
    chain: &AuditChain,
    key: Option<&hmac::Key>,
    head: &AuditLink,
) -> Result<HeadFate, StoreError> {
    let fits = |same| if same { HeadFate::There } else { HeadFate::Replaced };
    if head.seq > chain.head.seq {
        return Ok(HeadFate::Missing);
    }
    if head.seq == chain.anchor.seq {
        return Ok(fits(head.hash == chain.anchor.hash));
    }
    if head.seq < chain.anchor.seq {
        return Ok(HeadFate::BeforeChain);
    }
    let Some(gap) = Gap::around(session, head.seq)? else {
        let mut statement = session.prepare("SELECT hash FROM audit WHERE seq = ?1")?;
        let mut rows = statement.query(&binds![head.seq])?;
        let hash = rows.next()?.and_then(|row| row.read::<Hash>().ok());
        return Ok(fits(hash == Some(head.hash)));
    };
    if gap.last == head.seq {
        let same = gap.hash == head.hash;
        return Ok(if same { HeadFate::Removed { compared: true } } else { HeadFate::Replaced });
    }
    Ok(match was(session, head, key)? {
        Some(true) => HeadFate::Removed { compared: true },
        Some(false) => HeadFate::Replaced,
        None => HeadFate::Removed { compared: false },
    })
}

/// Goes along the chain.
struct Walk<'a> {
    chain: &'a AuditChain,
    key: Option<&'a hmac::Key>,
    /// What must be met on the way, and what it is.
    meet: Vec<(AuditLink, &'static str)>,
    /// Last number that was passed.
    last: i64,
    /// Its hash, if it can be read.
    previous: Option<Hash>,
    /// The gap that was passed last.
    gap: Option<(i64, i64)>,
    found: Vec<String>,
    more: u64,
    count: u64,
    before: u64,
    removed: u64,
}

impl<'a> Walk<'a> {
    fn new(chain: &'a AuditChain, key: Option<&'a hmac::Key>) -> Self {
        let mut meet = vec![(chain.head, "the head")];
        meet.extend(chain.sealed().map(|link| (link, "the sealed record")));
        Self {
            chain,
            key,
            meet,
            last: i64::MIN,
            previous: None,
            gap: None,
            found: Vec::new(),
            more: 0,
            count: 0,
            before: 0,
            removed: 0,
        }
    }

    fn found(&mut self, what: String) {
        if self.found.len() < TOLD {
            self.found.push(what);
        } else {
            self.more += 1;
        }
    }

    fn findings(mut self) -> Vec<Finding> {
        if self.more > 0 {
            self.found.push(format!("and {} more", self.more));
        }
        self.found.into_iter().map(|what| Finding { rule: AUDIT_RULE, what }).collect()
    }

    /// The records from before the chain. They may have holes in their numbers.
    fn old(&mut self, session: Session<'_>) -> Result<(), StoreError> {
        let Some(old) = self.chain.old else {
            self.last = i64::MIN;
            return Ok(());
        };
        (self.last, self.previous) = (i64::MIN, Some([0; HASH_BYTES]));
        self.along(session, "seq <= ?1", "first <= ?1", old.seq)?;
        if (self.last, self.previous) != (old.seq, Some(old.hash)) {
            self.found("the records from before the chain do not end as they did when it began".into());
        }
        self.before = std::mem::take(&mut self.count);
        self.removed = 0;
        Ok(())
    }

    /// The newest `many` records.
    fn recent(&mut self, session: Session<'_>, many: i64) -> Result<(), StoreError> {
        let AuditLink { seq, hash } = self.chain.anchor;
        let begin = self.chain.head.seq.saturating_sub(many);
        if begin <= seq {
            return self.records(session, seq, Some(hash));
        }
        // Whatever is wrong with what is before is found by a look at all.
        let begin = Gap::around(session, begin)?.map_or(begin, |gap| gap.last);
        let previous = self.chain.before(session, begin.saturating_add(1))?;
        self.meet.retain(|(link, _)| link.seq > begin);
        self.along_after(session, begin, previous)
    }

    /// Every record of the chain, which begins after number `after` with hash `previous`; and those that are before it
    /// and must not be.
    fn records(
        &mut self,
        session: Session<'_>,
        after: i64,
        previous: Option<Hash>,
    ) -> Result<(), StoreError> {
        let sql = "SELECT seq, request_id FROM audit WHERE seq <= ?1 AND seq >= ?2 ORDER BY seq";
        // Also the least number that there is.
        let least = self.chain.old.map_or(i64::MIN, |old| old.seq.saturating_add(1));
        let mut statement = session.prepare(sql)?;
        let mut rows = statement.query(&binds![after, least])?;
        while let Some(row) = rows.next()? {
            let mut cells = row.cells();
            let seq: i64 = cells.next()?;
            let named = cells.next::<String>().map(|id| format!(" (request {id})")).unwrap_or_default();
            self.found(format!("record {seq}{named} was put in before the begin of the chain, {after}"));
        }
        if let Some(hash) = previous {
            self.meet_at(after, &hash);
        }
        self.along_after(session, after, previous)
    }

    fn along_after(
        &mut self,
        session: Session<'_>,
        after: i64,
        previous: Option<Hash>,
    ) -> Result<(), StoreError> {
        (self.last, self.previous) = (after, previous);
        self.along(session, "seq > ?1", "last > ?1", after)?;
        if self.last < self.chain.head.seq {
            self.found(format!("{} removed: the newest", were(self.last, self.chain.head.seq)));
        }
        for (link, what) in std::mem::take(&mut self.meet) {
            if link.seq > self.last.max(self.chain.head.seq) {
                let last = self.last;
                self.found(format!(
                    "{what}, {}, was removed or replaced: the chain ends at {last}",
                    link.seq
                ));
            } else if link.seq < after {
                self.found(format!("{what}, {}, is before the begin of the chain, {after}", link.seq));
            }
        }
        Ok(())
    }

    /// Rows and gaps in the order of their numbers.
    fn along(&mut self, session: Session<'_>, rows: &str, gaps: &str, bound: i64) -> Result<(), StoreError> {
        let sql = format!("SELECT {WHOLE} FROM audit WHERE {rows} ORDER BY seq");
        let mut statement = session.prepare(&sql)?;
        let mut rows = statement.query(&binds![bound])?;
        let sql = format!("{} WHERE {gaps} ORDER BY last", Gap::SELECT);
        let mut statement = session.prepare(&sql)?;
        let mut gaps = statement.query(&binds![bound])?;
        let mut gap = next_gap(&mut gaps)?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.read()?;
            while let Some(passed) = gap.take_if(|gap| gap.first() <= seq) {
                self.gap(passed);
                gap = next_gap(&mut gaps)?;
            }
            self.row(seq, row);
        }
        while let Some(passed) = gap {
            self.gap(passed);
            gap = next_gap(&mut gaps)?;
        }
        Ok(())
    }

    fn row(&mut self, seq: i64, row: Row<'_>) {
        let old = self.chain.is_old(seq);
        self.count += 1;
        if !old && seq > self.chain.head.seq {
            self.found(format!("record {seq}{} was put in after the newest one", named(row)));
            return;
        }
        if let Some((first, last)) = self.gap.filter(|(first, last)| (*first..=*last).contains(&seq)) {
            let what = named(row);
            self.found(format!(
                "record {seq}{what} was put in between {first} and {last}, which retention had removed"
            ));
            return;
        }
        if !old && self.last.checked_add(1) != Some(seq) {
            self.found(format!(
                "{} removed before record {seq}{}",
                were(self.last, seq.saturating_sub(1)),
                named(row)
            ));
            self.previous = None;
        }
        self.last = seq;
        let (stored, stream) = beside(row);
        let right = match (Encoded::of(row, self.chain), &stored, &self.previous) {
            (Ok(mut encoded), Some(stored), Some(previous)) => {
                encoded.link(previous) == *stored && stream == Some(encoded.stream)
            }
            (Ok(encoded), Some(_), None) => stream == Some(encoded.stream),
            _ => false,
        };
        if !right {
            let or = if seq.saturating_sub(1) == self.chain.anchor.seq { ", or the anchor," } else { "" };
            self.found(format!("record {seq}{}{or} was changed", named(row)));
        }
        self.previous = stored;
        if let Some(hash) = stored {
            self.meet_at(seq, &hash);
        }
    }

    fn gap(&mut self, gap: FoundGap) {
        let FoundGap::Read(gap) = gap else {
            self.found("a gap that retention left was changed".into());
            self.previous = None;
            return;
        };
        let Gap { first, last, before, hash, .. } = &gap;
        let (first, last) = (*first, *last);
        let old = self.chain.is_old(first);
        let begins = if old { self.last < first } else { self.last.checked_add(1) == Some(first) };
        if !begins {
            if self.last < first {
                self.found(format!(
                    "{} removed before what retention removed",
                    were(self.last, first.saturating_sub(1))
                ));
            } else {
                self.found(format!("the gap from {first} to {last} was put in: there are records in it"));
            }
        } else if self.previous.is_some_and(|previous| previous != *before) {
            self.found(format!("record {}, before a gap, was changed", self.last));
        }
        let wrong_end = first > last || self.chain.is_old(last) != old || !old && last > self.chain.head.seq;
        if wrong_end || self.key.is_some_and(|key| !gap.fits(key)) {
            self.found(format!("the gap from {first} to {last} is not one that retention left"));
        }
        self.removed = self.removed.saturating_add_signed(last.saturating_sub(first).saturating_add(1));
        self.gap = Some((first, last));
        (self.last, self.previous) = (last, Some(*hash));
        self.meet_at(last, hash);
    }

    /// Compares what must be met at `seq`.
    fn meet_at(&mut self, seq: i64, hash: &Hash) {
        let wrong: Vec<_> = self
            .meet
            .iter()
            .filter(|(link, _)| link.seq == seq && link.hash != *hash)
            .map(|(_, what)| format!("{what}, {seq}, has another hash: the records up to it were replaced"))
            .collect();
        wrong.into_iter().for_each(|what| self.found(what));
    }
}

/// A row of the table of gaps.
enum FoundGap {
    Read(Gap),
    /// Its values are not those of a gap; it begins here, if it begins anywhere.
    Unreadable(i64),
}

impl FoundGap {
    fn first(&self) -> i64 {
        match self {
            Self::Read(gap) => gap.first,
            Self::Unreadable(first) => *first,
        }
    }
}

fn next_gap(gaps: &mut Rows<'_>) -> Result<Option<FoundGap>, StoreError> {
    let Some(row) = gaps.next()? else { return Ok(None) };
    let mut ends = row.cells();
    let read = row.read().map_or_else(
        |_| FoundGap::Unreadable(ends.next().or_else(|_| ends.next()).unwrap_or(i64::MIN)),
        FoundGap::Read,
    );
    Ok(Some(read))
}

/// "records 3 to 5 were", of those after `last` up to `to`.
fn were(last: i64, to: i64) -> String {
    let from = last.saturating_add(1);
    if from >= to { format!("record {to} was") } else { format!("records {from} to {to} were") }
}

/// The request of a record, if it can be read.
fn named(row: Row<'_>) -> String {
    let mut cells = row.cells();
    cells.skip(2);
    cells.next::<String>().map(|id| format!(" (request {id})")).unwrap_or_default()
}

impl Snapshot<'_> {
    /// The newest records of the chain, and the seal: what is verified at startup. `new`: there was no key before.
    pub(crate) fn recent_audit(&self, key: &hmac::Key, new: bool) -> Result<Vec<Finding>, StoreError> {
        let chain = AuditChain::read(self.session())?;
        let mut walk = Walk::new(&chain, Some(key));
        walk.recent(self.session(), RECENT)?;
        let first: Option<i64> = self.session().only("SELECT min(seq) FROM audit", &[])?;
        if let Some(first) = first.filter(|first| chain.old.is_none() && *first <= chain.anchor.seq) {
            let put_in =
                format!("record {first} was put in before the begin of the chain, {}", chain.anchor.seq);
            if !walk.found.iter().any(|found| found.contains("before the begin of the chain")) {
                walk.found(put_in);
            }
        }
        if !(chain.seal_fits(key) || new && chain.unsealed()) {
            walk.found(SEAL_WRONG.into());
        }
        Ok(walk.findings())
    }

    /// Whether the chain vouches for the record of a number, as far as that can be told from the record and the one
    /// before it: whether somebody has made up the whole chain, only [`Archive::audit`](crate::Archive::audit)
    /// finds.
    ///
    /// # Errors
    /// A database error.
    pub fn vouched(&self, chain: &AuditChain, seq: i64) -> Result<Vouched, StoreError> {
        let session = self.session();
        let old = chain.is_old(seq);
        // The chain may have grown since its ends were read: what is newer than this snapshot cannot be shown.
        let out = !old && seq <= chain.anchor.seq;
        if out || Gap::around(session, seq)?.is_some() {
            return Ok(Vouched::No);
        }
        let Some(before) = chain.before(session, seq)? else { return Ok(Vouched::No) };
        let mut statement = session.prepare(sql!("SELECT ", WHOLE, " FROM audit WHERE seq = ?1"))?;
        let mut rows = statement.query_few(&binds![seq])?;
        let whole = rows.next()?.is_some_and(|row| {
            let (stored, stream) = beside(row);
            Encoded::of(row, chain).is_ok_and(|mut encoded| {
                stream == Some(encoded.stream) && Some(encoded.link(&before)) == stored
            })
        });
        Ok(match (whole, old) {
            (false, _) => Vouched::No,
            (true, true) => Vouched::Before,
            (true, false) if seq > chain.head.seq => Vouched::No,
            (true, false) => Vouched::Chain,
        })
    }

    /// What became of a head that was kept elsewhere; `key` is that of the seals.
    ///
    /// # Errors
    /// A database error.
    pub fn head_fate(&self, key: Option<&[u8]>, head: &AuditLink) -> Result<HeadFate, StoreError> {
        let key = key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key));
        let chain = AuditChain::read(self.session())?;
        head_fate(self.session(), &chain, key.as_ref(), head)
    }
}
