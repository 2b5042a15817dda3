//! Retention of audit records: by class, account and age, so that nobody can displace another's records.
//!
//! * Every record belongs to a *stream*: its class ([`AuditClass`]) and its account. Each stream has a budget of
//!   its own and loses its own oldest records. Refusals of callers who proved nothing are one small stream for all;
//!   acts of the operator and of the service itself are one that no caller can write to.
//! * What is purged leaves a *gap* in the chain: from which number to which, with the hashes at both ends, under a
//!   seal of its own. Adjacent gaps are merged, so there is at most one between two records that are kept.
//! * A record is purged only if it is the one that was appended: its hash is verified first, so that retention
//!   cannot be used to remove tampered records.
//! * Number and beginning of the hash of purged records are kept for a while ([`TRIMMED_BATCHES`]): enough to tell
//!   whether a head that was stored elsewhere was purged or replaced.

use std::collections::HashMap;

use aws_lc_rs::{digest, hmac};

use super::chain::AuditChain;
use super::link::{AuditLink, Encoded, HASH_BYTES, Hash};
use super::record::{WHOLE, beside};
use crate::rows::Table as _;
use crate::session::{Session, Value};
use crate::{AuditRecord, DatabaseError, Options, StoreError, Tx};

/// Source of what the operator and the service itself did: no address is written like this.
pub const LOCAL: &str = "local";
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Days under which it is worth a word that a read or a refusal was removed.
pub const YOUNG_DAYS: u64 = 7;
/// Begins what the seal of a gap is over.
const GAP: &[u8] = b"tongguan audit gap 1\0";
/// Begins what the seal over what is left of removed records is over.
const TRIMMED: &[u8] = b"tongguan audit trimmed 1\0";
/// Batches of removed records of which numbers and hashes are kept, by class.
const TRIMMED_BATCHES: [u32; AuditClass::ALL.len()] = [1_024, 1_024, 64, 1_024];
/// Bytes of a removed record's hash that are kept.
const PRINT_BYTES: usize = 8;

/// Which kind of call a record is of: what it is kept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditClass {
    /// Something was changed.
    Change,
    /// A read, or a refusal of a caller who has proved who he is.
    Call,
    /// A refusal of one who has not.
    Stranger,
    /// A temporary access key was made, and nothing was changed: apart from changes, which whoever may assume a role
    /// would displace, and from calls, which would displace it.
    Key,
}

impl AuditClass {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Change, Self::Call, Self::Stranger, Self::Key];

    /// Name, as metrics and messages have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Call => "call",
            Self::Stranger => "stranger",
            Self::Key => "key",
        }
    }

    /// Place in [`AuditClass::ALL`].
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Change => 0,
            Self::Call => 1,
            Self::Stranger => 2,
            Self::Key => 3,
        }
    }

    /// Class of a record. `named`: nothing but its operation's name says whether it changed something.
    #[must_use]
    pub(crate) fn of(record: &AuditRecord, named: bool) -> Self {
        if record.source == LOCAL {
            Self::Change
        } else if record.principal.is_none() {
            Self::Stranger
        } else if record.changed || named && record.code.is_none() && !reads(record.action.as_deref()) {
            Self::Change
        } else if record.issued.is_some() {
            Self::Key
        } else {
            Self::Call
        }
    }
}

/// Whether an operation only reads, by its name.
fn reads(action: Option<&str>) -> bool {
    const READS: [&str; 4] = ["Describe", "List", "Get", "AssumeRole"];
    let begins =
        |name: &str, with: &str| name.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    action.is_none_or(|name| READS.iter().any(|read| begins(name, read)))
}

/// The stream of a record: four times its owner, and its class.
pub(crate) fn stream_of(record: &AuditRecord, named: bool) -> i64 {
    let class = AuditClass::of(record, named);
    let owner = match &record.account {
        Some(account) if class != AuditClass::Stranger && record.source != LOCAL => owner(account),
        _ => 0,
    };
    owner * 4 + i64::from(u8::try_from(class.place()).unwrap_or(0))
}

/// A number for an account; 0 is nobody's.
fn owner(account: &str) -> i64 {
    const DIGITS: usize = 16;
    if account.len() == DIGITS
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = account.parse::<i64>()
    {
        return number + 1;
    }
    let print = digest::digest(&digest::SHA256, account.as_bytes());
    let seven = print.as_ref().iter().take(7).fold(0, |number, byte| number << 8 | i64::from(*byte));
    10_i64.pow(17) + seven
}

/// Class of a stream; none if no release writes such a one.
pub(crate) fn class_of(stream: i64) -> Option<AuditClass> {
    AuditClass::ALL.get(usize::try_from(stream.rem_euclid(4)).ok()?).copied()
}

/// How many records of a stream are kept, and how long.
#[derive(Debug, Clone, Copy)]
struct Budget {
    /// So many.
    records: u64,
    /// For so many days at most; none: as long as there is room.
    days: Option<u64>,
    /// It is worth a word if a younger one goes.
    young_days: u64,
}

impl Budget {
    fn of(class: AuditClass, options: &Options) -> Self {
        let days = (options.audit_days > 0).then_some(options.audit_days);
        match class {
            AuditClass::Change | AuditClass::Key => Self {
                records: options.audit_changes,
                days: days.map(|days| days.max(options.audit_change_days)),
                young_days: options.audit_change_days,
            },
            AuditClass::Call => Self { records: options.audit_records, days, young_days: YOUNG_DAYS },
            AuditClass::Stranger => Self { records: options.audit_strangers, days, young_days: YOUNG_DAYS },
        }
    }
}

/// The time so many days before another.
fn days_before(now_ms: i64, days: u64) -> i64 {
    now_ms.saturating_sub(i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY_MS))
}

/// How many records each stream has: counted once, and then only what was added.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Counted up to this record.
    upto: i64,
    streams: HashMap<i64, u64>,
}

impl Tally {
    /// Counts all that is there.
    pub(crate) fn read(session: Session<'_>) -> Result<Self, StoreError> {
        let upto = AuditChain::read(session)?.head.seq;
        let sql = "SELECT stream, count(*) FROM audit WHERE seq <= ?1 GROUP BY stream";
        let rows: Vec<(i64, i64)> = session.all(sql, &binds![upto])?;
        let counts = rows.into_iter().map(|(stream, count)| (stream, count.max(0).cast_unsigned()));
        Ok(Self { upto, streams: counts.collect() })
    }

    /// Counts what was added since.
    pub(crate) fn catch_up(&mut self, session: Session<'_>, head: i64) -> Result<(), StoreError> {
        // Along the rows, and counted here: the index would be read from end to end, and a grouping sorts them.
        let mut statement = session.prepare("SELECT stream FROM audit NOT INDEXED WHERE seq > ?1")?;
        let mut rows = statement.query(&binds![self.upto])?;
        let mut add = |stream, count: u64| *self.streams.entry(stream).or_default() += count;
        // Mostly the same stream for many records.
        let (mut last, mut count) = (None, 0);
        while let Some(row) = rows.next()? {
            let stream: i64 = row.read()?;
            if last != Some(stream) {
                last.iter().for_each(|last| add(*last, count));
                (last, count) = (Some(stream), 0);
            }
            count += 1;
        }
        last.iter().for_each(|last| add(*last, count));
        self.upto = self.upto.max(head);
        Ok(())
    }

    /// Notes that records of a stream were purged.
    pub(crate) fn removed(&mut self, stream: i64, count: usize) {
        if let Some(there) = self.streams.get_mut(&stream) {
            *there = there.saturating_sub(count as u64);
        }
        self.streams.retain(|_, count| *count > 0);
    }

    /// What may have to go, and from which streams.
    pub(crate) fn plans(&self, options: &Options, now_ms: i64) -> Vec<Plan> {
        let mut plans: Vec<_> = self
            .streams
            .iter()
            .filter_map(|(stream, count)| {
                let budget = Budget::of(class_of(*stream)?, options);
                let excess = count.saturating_sub(budget.records);
                let before_ms = budget.days.map_or(i64::MIN, |days| days_before(now_ms, days));
                let young_ms = days_before(now_ms, budget.young_days);
                let wanted = excess > 0 || budget.days.is_some();
                wanted.then_some(Plan { stream: *stream, excess, before_ms, young_ms })
            })
            .collect();
        plans.sort_by_key(|plan| plan.stream);
        plans
    }

    /// By class, how much of its budget the fullest stream has used, in hundredths.
    pub(crate) fn fullest(&self, options: &Options) -> [u64; AuditClass::ALL.len()] {
        let mut fullest = [0; AuditClass::ALL.len()];
        for (stream, count) in &self.streams {
            let Some(class) = class_of(*stream) else { continue };
            let used = count.saturating_mul(100) / Budget::of(class, options).records.max(1);
            let most = &mut fullest[class.place()];
            *most = used.min(100).max(*most);
        }
        fullest
    }
}

/// What retention takes from one stream: its oldest records, as long as one of these says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) stream: i64,
    /// There are so many more than its budget.
    pub(crate) excess: u64,
    /// Those before this moment, UNIX milliseconds.
    before_ms: i64,
    /// Later ones are young.
    young_ms: i64,
}

/// What was removed from a stream.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    pub(crate) count: usize,
    /// So many of them were young.
    pub(crate) young: usize,
    /// Whose they were.
    pub(crate) account: Option<String>,
}

/// Why retention removes nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrimError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record or a gap is not what was written.
    #[error("{0}")]
    Forged(String),
}

impl From<DatabaseError> for TrimError {
    fn from(error: DatabaseError) -> Self {
        Self::Store(error.into())
    }
}

/// Records that retention removed, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// Hash of the record before.
    pub(crate) before: Hash,
    /// Hash of the last one removed.
    pub(crate) hash: Hash,
    pub(crate) seal: Vec<u8>,
}

table! {
    Gap as gap in "audit_gap" {
        both { first, last, before, hash, seal }
    }
}

impl Gap {
    fn text(&self) -> Vec<u8> {
        let mut text = GAP.to_vec();
        text.extend_from_slice(&self.first.to_be_bytes());
        text.extend_from_slice(&self.last.to_be_bytes());
        text.extend_from_slice(&self.before);
        text.extend_from_slice(&self.hash);
        text
    }

    /// Whether its seal is that of this key.
    pub(crate) fn fits(&self, key: &hmac::Key) -> bool {
        hmac::verify(key, &self.text(), &self.seal).is_ok()
    }

    /// The gap that has a number, if any.
    pub(crate) fn around(session: Session<'_>, seq: i64) -> Result<Option<Self>, StoreError> {
        let sql = sql!(Gap::SELECT, " WHERE last >= ?1 ORDER BY last LIMIT 1");
        let gap: Option<Self> = session.one(sql, &binds![seq])?;
        Ok(gap.filter(|gap| gap.first <= seq))
    }

    fn keep(mut self, session: Session<'_>, key: &hmac::Key) -> Result<(), StoreError> {
        self.seal = hmac::sign(key, &self.text()).as_ref().to_vec();
        insert(session, &self)
    }

    /// Takes itself out of the table, to become part of a larger one.
    fn taken(self, session: Session<'_>, key: &hmac::Key) -> Result<Self, TrimError> {
        if !self.fits(key) {
            let (first, last) = (self.first, self.last);
            return Err(TrimError::Forged(format!(
                "the seal of the gap from {first} to {last} does not fit"
            )));
        }
        session.execute("DELETE FROM audit_gap WHERE last = ?1", &binds![self.last])?;
        Ok(self)
    }
}

/// A record that is about to go.
struct Going {
    seq: i64,
    encoded: Encoded,
    hash: Hash,
}

impl Tx<'_> {
    /// Removes the oldest records of a stream, at most `batch` of them, and leaves gaps. An error must undo the
    /// transaction.
    pub(crate) fn trim_stream(&self, plan: &Plan, batch: u32, key: &hmac::Key) -> Result<Removed, TrimError> {
        let chain = AuditChain::read(self.session())?;
        let (mut going, removed) = self.going(plan, batch, &chain)?;
        for run in going.chunk_by_mut(|one, next| {
            // A gap is on one side of the chain's begin.
            one.seq.saturating_add(1) == next.seq && chain.is_old(one.seq) == chain.is_old(next.seq)
        }) {
            self.leave_gap(run, &chain, plan.stream, key)?;
        }
        self.keep_prints(plan.stream, &going, key)?;
        Ok(removed)
    }

    /// The records that have to go.
    fn going(&self, plan: &Plan, batch: u32, chain: &AuditChain) -> Result<(Vec<Going>, Removed), TrimError> {
        let mut removed = Removed::default();
        let mut going = Vec::new();
        let sql = sql!("SELECT ", WHOLE, " FROM audit WHERE stream = ?1 ORDER BY seq LIMIT ?2");
        let mut statement = self.session().prepare(sql)?;
        let mut rows = statement.query(&binds![plan.stream, batch])?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.read()?;
            let changed = || TrimError::Forged(format!("record {seq} was changed"));
            let mut cells = row.cells();
            cells.skip(1);
            let time_ms: i64 = cells.next().map_err(|_| changed())?;
            if going.len() as u64 >= plan.excess && time_ms >= plan.before_ms {
                break;
            }
            removed.count += 1;
            removed.young += usize::from(time_ms > plan.young_ms);
            if removed.account.is_none() {
                cells.skip(1);
                removed.account = cells.next().map_err(|_| changed())?;
            }
            let encoded = Encoded::of(row, chain).map_err(|_| changed())?;
            going.push(Going { seq, encoded, hash: beside(row).0.ok_or_else(changed)? });
        }
        Ok((going, removed))
    }

    /// Removes records whose numbers follow each other.
    fn leave_gap(
        &self,
        run: &mut [Going],
        chain: &AuditChain,
        stream: i64,
        key: &hmac::Key,
    ) -> Result<(), TrimError> {
        let session = self.session();
        let (Some(first), Some(last)) = (run.first().map(|one| one.seq), run.last().map(|one| one.seq))
        else {
            return Ok(());
        };
        let before = chain
            .before(session, first)?
            .ok_or_else(|| TrimError::Forged(format!("the record before record {} is missing", first)))?;
        let mut previous = before;
        for going in run {
            if going.encoded.stream != stream || going.encoded.link(&previous) != going.hash {
                return Err(TrimError::Forged(format!("record {} was changed", going.seq)));
            }
            previous = going.hash;
        }
        self.execute("DELETE FROM audit WHERE seq BETWEEN ?1 AND ?2", &binds![first, last])?;
        let mut gap = Gap { first, last, before, hash: previous, seal: Vec::new() };
        let same_side = |seq| chain.is_old(seq) == chain.is_old(first);
        if let Some(left) = Gap::around(session, first.saturating_sub(1))?.filter(|left| same_side(left.last))
        {
            let left = left.taken(session, key)?;
            (gap.first, gap.before) = (left.first, left.before);
        }
        if let Some(right) =
            Gap::around(session, last.saturating_add(1))?.filter(|right| same_side(right.first))
        {
            let right = right.taken(session, key)?;
            if right.before != gap.hash {
                return Err(TrimError::Forged(format!("record {} was changed", last)));
            }
            (gap.last, gap.hash) = (right.last, right.hash);
        }
        Ok(gap.keep(session, key)?)
    }

    /// Keeps numbers and the begins of hashes of what was removed, for a while.
    fn keep_prints(&self, stream: i64, going: &[Going], key: &hmac::Key) -> Result<(), StoreError> {
        let Some(class) = class_of(stream).filter(|_| !going.is_empty()) else { return Ok(()) };
        let mut links = Vec::with_capacity(going.len() * (8 + PRINT_BYTES));
        for Going { seq, hash, .. } in going {
            links.extend_from_slice(&seq.to_be_bytes());
            links.extend_from_slice(&hash[..PRINT_BYTES]);
        }
        let seal = hmac::sign(key, &[TRIMMED, &links].concat());
        let place = i64::try_from(class.place()).unwrap_or(0);
        insert!(self.session(), "audit_trimmed" { class: place, links: links, seal: seal.as_ref() })?;
        let sql = "DELETE FROM audit_trimmed WHERE class = ?1 AND id <= (SELECT id FROM audit_trimmed WHERE class = ?1 \
                   ORDER BY id DESC LIMIT 1 OFFSET ?2)";
        self.execute(sql, &binds![place, TRIMMED_BATCHES[class.place()]])
    }
}

/// What is left of a removed record: whether its hash was this one; none if nothing is left. With a key only what
/// is under its seal counts.
pub(crate) fn was(
    session: Session<'_>,
    link: &AuditLink,
    key: Option<&hmac::Key>,
) -> Result<Option<bool>, StoreError> {
    let mut statement = session.prepare("SELECT links, seal FROM audit_trimmed ORDER BY id DESC")?;
    let mut rows = statement.query(&[])?;
    while let Some(row) = rows.next()? {
        let mut cells = row.cells();
        let (Value::Blob(links), Value::Blob(seal)) = (cells.value()?, cells.value()?) else {
            return Err(
                DatabaseError::unreadable("what is left of removed records cannot be read".into()).into()
            );
        };
        let (entries, _) = links.as_chunks::<{ 8 + PRINT_BYTES }>();
        let Some(entry) = entries.iter().find(|entry| entry[..8] == link.seq.to_be_bytes()) else { continue };
        if key.is_none_or(|key| hmac::verify(key, &[TRIMMED, links].concat(), seal).is_ok()) {
            return Ok(Some(entry[8..] == link.hash[..PRINT_BYTES]));
        }
    }
    Ok(None)
}

const _: () = assert!(PRINT_BYTES <= HASH_BYTES, "a print is part of a hash");
