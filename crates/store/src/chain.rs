//! The chain of audit records: each holds a hash of itself and of the one before it, so that a record that
//! was changed, removed or put in is found.
//!
//! * The *head* is the newest record, the *anchor* the last one that retention removed. Both stand in the
//!   table `audit_chain` and change in the transaction that appends or removes records.
//! * The *seal* is an HMAC over anchor and head under a key that is not in the clear in the database
//!   ([`Store::seal_audit`](crate::Store::seal_audit)), written with every group. Whoever can write the
//!   database but has no master key can make up a chain, and not its seal.
//!
//! What this cannot show: records that were appended after the last seal while nobody served (they look like
//! those that a killed process left in its journal), and that the whole database was replaced by an older copy
//! of itself. Against the second helps a head that is kept elsewhere.

use std::str::FromStr;

use aws_lc_rs::{digest, hmac};
use rusqlite::{Connection, Row, params};

use crate::{AuditRecord, Finding, Snapshot, StoreError, Tx};

/// What [`Finding`]s of the chain are called.
pub const AUDIT_RULE: &str = "no audit record was changed, removed or put in";
/// Begins what is hashed of a record without `issued`, `origin` and `source_identity`, so that the hash is of nothing
/// else: as all records of schema 3 were.
const RECORD: &[u8] = b"tongguan audit record 1\0";
/// Begins what is hashed of a record that has one of these.
const RECORD_2: &[u8] = b"tongguan audit record 2\0";
/// Begins what is sealed.
const SEAL: &[u8] = b"tongguan audit seal 1\0";
/// Of a seal that is missing or another.
const SEAL_WRONG: &str =
    "the seal does not fit the ends of the chain: they were changed without the master key";
/// Bytes of a hash.
const HASH_BYTES: usize = 32;
/// Newest records that are looked at when the service starts.
const RECENT: i64 = 512;
/// Findings that are told; the rest are counted.
const TOLD: usize = 10;
/// The columns of a record, in the order of [`record`].
pub(crate) const RECORD_COLUMNS: &str = "seq, time_ms, request_id, account, principal, access_key, source, product, \
     action, resource, status, code, issued, origin, source_identity";

/// A place in the chain: a record by its number, and its hash. Written `NUMBER:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditLink {
    /// Number of the record.
    pub seq: i64,
    /// Its hash.
    pub hash: [u8; HASH_BYTES],
}

impl std::fmt::Display for AuditLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.seq)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text is not `NUMBER:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give the number of a record, a colon and 64 hex digits, as `tongguan audit --head` prints them")]
pub struct NoLink;

impl FromStr for AuditLink {
    type Err = NoLink;

    fn from_str(text: &str) -> Result<Self, NoLink> {
        let (seq, digits) = text.trim().split_once(':').ok_or(NoLink)?;
        if digits.len() != 2 * HASH_BYTES || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoLink);
        }
        let mut hash = [0; HASH_BYTES];
        for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| NoLink)?;
        }
        Ok(Self { seq: seq.parse().map_err(|_| NoLink)?, hash })
    }
}

/// The ends of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditChain {
    /// The last record before the chain: removed by retention, or older than the chain.
    pub anchor: AuditLink,
    /// The newest record.
    pub head: AuditLink,
    /// The newest record when the chain was sealed last, and the seal.
    seal: Option<(AuditLink, Vec<u8>)>,
}

impl AuditChain {
    /// The newest record that is sealed.
    #[must_use]
    pub fn sealed(&self) -> Option<AuditLink> {
        self.seal.as_ref().map(|(link, _)| *link)
    }

    pub(crate) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT anchor_seq, anchor_hash, head_seq, head_hash, sealed_seq, sealed_hash, seal FROM audit_chain";
        let ends = connection.prepare_cached(sql)?.query_row([], |row| {
            let seal = match row.get::<_, Option<Vec<u8>>>(6)? {
                None => None,
                Some(seal) => Some((AuditLink { seq: row.get(4)?, hash: row.get(5)? }, seal)),
            };
            Ok(Self {
                anchor: AuditLink { seq: row.get(0)?, hash: row.get(1)? },
                head: AuditLink { seq: row.get(2)?, hash: row.get(3)? },
                seal,
            })
        });
        ends.map_err(|error| match error {
            error @ rusqlite::Error::SqliteFailure(..) => error.into(),
            error => StoreError::Damaged(format!("the ends of the audit chain cannot be read: {error}")),
        })
    }

    /// Whether the seal is that of this key over these ends; false if there is none.
    fn seal_fits(&self, key: &hmac::Key) -> bool {
        self.seal
            .as_ref()
            .is_some_and(|(sealed, seal)| hmac::verify(key, &seal_text(&self.anchor, sealed), seal).is_ok())
    }
}

/// What a seal is made of.
fn seal_text(anchor: &AuditLink, head: &AuditLink) -> Vec<u8> {
    let mut text = Vec::with_capacity(SEAL.len() + 2 * (8 + HASH_BYTES));
    text.extend_from_slice(SEAL);
    for link in [anchor, head] {
        text.extend_from_slice(&link.seq.to_be_bytes());
        text.extend_from_slice(&link.hash);
    }
    text
}

/// A record as it is hashed: numbers of fixed width, texts with a byte for whether there is one and their
/// length before them, so that no two records are written alike. What schema 3 did not have follows only if there is
/// any of it: older records keep their hash.
fn encode(record: &AuditRecord, seq: i64, into: &mut Vec<u8>) {
    // One pattern, so that a new field cannot be forgotten.
    let AuditRecord {
        time_ms,
        request_id,
        account,
        principal,
        access_key,
        source,
        product,
        action,
        resource,
        status,
        code,
        issued,
        origin,
        source_identity,
    } = record;
    into.extend_from_slice(&seq.to_be_bytes());
    into.extend_from_slice(&time_ms.to_be_bytes());
    into.extend_from_slice(&status.to_be_bytes());
    let texts = [
        Some(request_id.as_str()),
        account.as_deref(),
        principal.as_deref(),
        access_key.as_deref(),
        Some(source.as_str()),
        product.as_deref(),
        action.as_deref(),
        resource.as_deref(),
        code.as_deref(),
    ];
    let later = [issued.as_deref(), origin.as_deref(), source_identity.as_deref()];
    let later = later.into_iter().filter(|_| has_later(record));
    for text in texts.into_iter().chain(later) {
        into.push(u8::from(text.is_some()));
        if let Some(text) = text {
            into.extend_from_slice(&(text.len() as u64).to_be_bytes());
            into.extend_from_slice(text.as_bytes());
        }
    }
}

/// Whether a record has something that those of schema 3 did not have.
fn has_later(record: &AuditRecord) -> bool {
    record.issued.is_some() || record.origin.is_some() || record.source_identity.is_some()
}

/// The hash of a record that follows one of hash `previous`.
fn hash(previous: &[u8; HASH_BYTES], record: &AuditRecord, seq: i64) -> [u8; HASH_BYTES] {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(if has_later(record) { RECORD_2 } else { RECORD });
    text.extend_from_slice(previous);
    encode(record, seq, &mut text);
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(digest::digest(&digest::SHA256, &text).as_ref());
    hash
}

/// Number and record of a row of [`RECORD_COLUMNS`].
pub(crate) fn record(row: &Row<'_>) -> rusqlite::Result<(i64, AuditRecord)> {
    let product: Option<String> = row.get(7)?;
    let record = AuditRecord {
        time_ms: row.get(1)?,
        request_id: row.get(2)?,
        account: row.get(3)?,
        principal: row.get(4)?,
        access_key: row.get(5)?,
        source: row.get(6)?,
        product: product.map(Into::into),
        action: row.get(8)?,
        resource: row.get(9)?,
        status: row.get(10)?,
        code: row.get(11)?,
        issued: row.get(12)?,
        origin: row.get(13)?,
        source_identity: row.get(14)?,
    };
    Ok((row.get(0)?, record))
}

/// A key of the seal that is not kept yet.
#[derive(Debug, Clone)]
pub struct NewAuditKey {
    /// The key, sealed itself.
    pub sealed: Vec<u8>,
    /// When it was made, UNIX milliseconds.
    pub now_ms: i64,
}

/// Which records retention removes: the oldest, as long as one of these says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// Those beyond the newest so many.
    pub(crate) keep: u64,
    /// Those before this moment, UNIX milliseconds.
    pub(crate) before_ms: i64,
    /// At most so many at one time.
    pub(crate) batch: u32,
}

impl Tx<'_> {
    /// Appends a record to the chain.
    ///
    /// # Errors
    /// A database error.
    pub fn audit(&self, record: &AuditRecord) -> Result<(), StoreError> {
        self.audit_all(std::slice::from_ref(record))
    }

    /// Appends records to the chain: the only place that writes any.
    pub(crate) fn audit_all(&self, records: &[AuditRecord]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let connection = self.connection();
        let AuditLink { mut seq, mut hash } = AuditChain::read(connection)?.head;
        // Differs from the head only if somebody else has put records in: they must not stop the service.
        let last = "SELECT coalesce(max(seq), 0) FROM audit";
        seq = seq.max(connection.prepare_cached(last)?.query_row([], |row| row.get(0))?);
        let mut insert = connection.prepare_cached(
            "INSERT INTO audit (seq, time_ms, request_id, account, principal, access_key, source, product, action, \
             resource, status, code, issued, origin, source_identity, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, \
             ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?;
        for record in records {
            seq = seq.saturating_add(1);
            hash = self::hash(&hash, record, seq);
            insert.execute(params![
                seq,
                record.time_ms,
                record.request_id,
                record.account,
                record.principal,
                record.access_key,
                record.source,
                record.product,
                record.action,
                record.resource,
                record.status,
                record.code,
                record.issued,
                record.origin,
                record.source_identity,
                hash
            ])?;
        }
        let sql = "UPDATE audit_chain SET head_seq = ?1, head_hash = ?2";
        connection.prepare_cached(sql)?.execute(params![seq, hash])?;
        Ok(())
    }

    /// Seals the chain as it is now, unless it is sealed already.
    pub(crate) fn seal_audit(&self, key: &hmac::Key) -> Result<(), StoreError> {
        let chain = AuditChain::read(self.connection())?;
        if chain.sealed() == Some(chain.head) && chain.seal_fits(key) {
            return Ok(());
        }
        let seal = hmac::sign(key, &seal_text(&chain.anchor, &chain.head));
        self.connection()
            .prepare_cached("UPDATE audit_chain SET sealed_seq = ?1, sealed_hash = ?2, seal = ?3")?
            .execute(params![chain.head.seq, chain.head.hash, seal.as_ref()])?;
        Ok(())
    }

    /// Removes the oldest records that retention does not keep, and moves the anchor. A chain that is sealed
    /// is left alone unless `may_move`: without the key the anchor would no longer fit the seal.
    /// Answers how many were removed.
    pub(crate) fn trim_audit(&self, retention: Retention, may_move: bool) -> Result<usize, StoreError> {
        let connection = self.connection();
        let chain = AuditChain::read(connection)?;
        if chain.seal.is_some() && !may_move {
            return Ok(0);
        }
        let keep_after = chain.head.seq.saturating_sub(i64::try_from(retention.keep).unwrap_or(i64::MAX));
        let mut last: Option<(i64, Option<[u8; HASH_BYTES]>)> = None;
        {
            let mut statement =
                connection.prepare_cached("SELECT seq, time_ms, hash FROM audit ORDER BY seq LIMIT ?1")?;
            let mut rows = statement.query([retention.batch])?;
            while let Some(row) = rows.next()? {
                let (seq, time_ms): (i64, i64) = (row.get(0)?, row.get(1)?);
                if seq > keep_after && time_ms >= retention.before_ms {
                    break;
                }
                last = Some((seq, row.get(2)?));
            }
        }
        let Some((seq, hash)) = last else { return Ok(0) };
        let removed = connection.prepare_cached("DELETE FROM audit WHERE seq <= ?1")?.execute([seq])?;
        if let Some(hash) = hash
            && seq > chain.anchor.seq
        {
            let sql = "UPDATE audit_chain SET anchor_seq = ?1, anchor_hash = ?2";
            connection.prepare_cached(sql)?.execute(params![seq, hash])?;
        }
        Ok(removed)
    }

    /// Begins a chain anew after the newest record, unsealed: those that are there are no longer part of any.
    pub(crate) fn begin_audit_anew(&self) -> Result<(), StoreError> {
        self.connection().execute_batch(
            "UPDATE audit SET hash = NULL; \
             UPDATE audit_chain SET anchor_seq = (SELECT max(head_seq, coalesce(max(seq), 0)) FROM audit), \
             anchor_hash = zeroblob(32), sealed_seq = NULL, sealed_hash = NULL, seal = NULL; \
             UPDATE audit_chain SET head_seq = anchor_seq, head_hash = anchor_hash;",
        )?;
        Ok(())
    }

    /// Keeps the key of the seal, sealed itself.
    pub(crate) fn put_audit_key(
        &self,
        NewAuditKey { sealed, now_ms }: &NewAuditKey,
    ) -> Result<(), StoreError> {
        self.connection()
            .prepare_cached(
                "REPLACE INTO service_key (name, sealed_key, created_ms) VALUES ('audit-chain', ?1, ?2)",
            )?
            .execute(params![sealed, now_ms])?;
        Ok(())
    }
}

impl Snapshot<'_> {
    /// The ends of the chain of audit records.
    ///
    /// # Errors
    /// A database error.
    pub fn audit_chain(&self) -> Result<AuditChain, StoreError> {
        AuditChain::read(self.connection())
    }

    /// The key of the seal as it was kept ([`NewAuditKey::sealed`]).
    ///
    /// # Errors
    /// A database error.
    pub fn audit_key(&self) -> Result<Option<Vec<u8>>, StoreError> {
        use rusqlite::OptionalExtension as _;
        let sql = "SELECT sealed_key FROM service_key WHERE name = 'audit-chain'";
        Ok(self.connection().prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?)
    }

    /// The newest records of the chain, and the seal: what a start looks at. `new`: there was no key before.
    pub(crate) fn recent_audit(&self, key: &hmac::Key, new: bool) -> Result<Vec<Finding>, StoreError> {
        let chain = AuditChain::read(self.connection())?;
        let mut walk = Walk::new(&chain, &[]);
        walk.recent(self.connection(), RECENT)?;
        if !(chain.seal_fits(key) || new && chain.seal.is_none()) {
            walk.found(SEAL_WRONG.into());
        }
        Ok(walk.findings())
    }
}

/// What a look at the whole chain came to.
#[derive(Debug)]
pub struct AuditVerdict {
    /// The ends of the chain.
    pub chain: AuditChain,
    /// Records in it.
    pub records: u64,
    /// Records from before there was a chain.
    pub before: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Looks at every record of the chain, one at a time; `key` is that of the seal, `heads` are earlier heads that
/// were kept elsewhere.
pub(crate) fn verify(
    connection: &Connection,
    key: Option<&[u8]>,
    heads: &[AuditLink],
) -> Result<AuditVerdict, StoreError> {
    let chain = AuditChain::read(connection)?;
    let mut walk = Walk::new(&chain, heads);
    let before = connection.query_row(
        "SELECT count(*), coalesce(min(seq) FILTER (WHERE hash IS NOT NULL), 0) FROM audit WHERE seq <= ?1",
        [chain.anchor.seq],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
    )?;
    if before.1 != 0 {
        walk.found(format!("the anchor is wrong: record {} is of the chain and before its begin", before.1));
    }
    walk.records(connection, chain.anchor.seq, Some(chain.anchor.hash))?;
    if key.is_some_and(|key| !chain.seal_fits(&hmac::Key::new(hmac::HMAC_SHA256, key))) {
        walk.found(SEAL_WRONG.into());
    }
    let records = walk.count;
    let findings = walk.findings();
    Ok(AuditVerdict { records, before: before.0.max(0).cast_unsigned(), findings, chain })
}

/// Goes along the chain.
struct Walk<'a> {
    chain: &'a AuditChain,
    /// What must be met on the way, and what it is.
    meet: Vec<(AuditLink, &'static str)>,
    found: Vec<String>,
    more: u64,
    count: u64,
}

impl<'a> Walk<'a> {
    fn new(chain: &'a AuditChain, heads: &[AuditLink]) -> Self {
        let mut meet = vec![(chain.head, "the head")];
        meet.extend(chain.sealed().map(|link| (link, "the sealed record")));
        meet.extend(heads.iter().map(|link| (*link, "the record that was kept elsewhere")));
        Self { chain, meet, found: Vec::new(), more: 0, count: 0 }
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

    /// The newest `many` records.
    fn recent(&mut self, connection: &Connection, many: i64) -> Result<(), StoreError> {
        let AuditLink { seq, hash } = self.chain.anchor;
        let begin = self.chain.head.seq.saturating_sub(many);
        if begin <= seq {
            return self.records(connection, seq, Some(hash));
        }
        use rusqlite::OptionalExtension as _;
        let before = connection
            .prepare("SELECT hash FROM audit WHERE seq = ?1")?
            .query_row([begin], |row| row.get(0))
            .optional();
        // Whatever is wrong with that one is found by a look at all.
        self.meet.retain(|(link, _)| link.seq > begin);
        self.records(connection, begin, before.ok().flatten())
    }

    /// Every record after number `after`, whose hash is `previous` if that is known.
    fn records(
        &mut self,
        connection: &Connection,
        after: i64,
        previous: Option<[u8; HASH_BYTES]>,
    ) -> Result<(), StoreError> {
        let (mut last, mut previous) = (after, previous);
        if let Some(hash) = previous {
            self.meet_at(after, &hash);
        }
        let sql = format!("SELECT {RECORD_COLUMNS}, hash FROM audit WHERE seq > ?1 ORDER BY seq");
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([after])?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            self.count += 1;
            if seq > self.chain.head.seq {
                self.found(format!("record {seq}{} was put in after the newest one", named(row)));
                continue;
            }
            if last.checked_add(1) != Some(seq) {
                self.found(format!("{} removed before record {seq}{}", were(last, seq - 1), named(row)));
                previous = None;
            }
            last = seq;
            let stored = row.get::<_, [u8; HASH_BYTES]>("hash").ok();
            let right = match (record(row), &stored, &previous) {
                (Ok((_, record)), Some(stored), Some(previous)) => hash(previous, &record, seq) == *stored,
                (Ok(_), Some(_), None) => true,
                _ => false,
            };
            if !right {
                let or = if seq - 1 == self.chain.anchor.seq { ", or the anchor," } else { "" };
                self.found(format!("record {seq}{}{or} was changed", named(row)));
            }
            previous = stored;
            if let Some(hash) = stored {
                self.meet_at(seq, &hash);
            }
        }
        if last < self.chain.head.seq {
            self.found(format!("{} removed: the newest", were(last, self.chain.head.seq)));
        }
        for (link, what) in std::mem::take(&mut self.meet) {
            if link.seq > last.max(self.chain.head.seq) {
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

    /// Compares what must be met at `seq`.
    fn meet_at(&mut self, seq: i64, hash: &[u8; HASH_BYTES]) {
        let wrong: Vec<_> = self
            .meet
            .iter()
            .filter(|(link, _)| link.seq == seq && link.hash != *hash)
            .map(|(_, what)| format!("{what}, {seq}, has another hash: the records up to it were replaced"))
            .collect();
        wrong.into_iter().for_each(|what| self.found(what));
    }
}

/// "records 3 to 5 were", of those after `last` up to `to`.
fn were(last: i64, to: i64) -> String {
    let from = last.saturating_add(1);
    if from >= to { format!("record {to} was") } else { format!("records {from} to {to} were") }
}

/// The request of a record, if it can be read.
fn named(row: &Row<'_>) -> String {
    row.get::<_, String>(2).map(|id| format!(" (request {id})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn encoded(record: &AuditRecord, seq: i64) -> Vec<u8> {
        let mut text = Vec::new();
        encode(record, seq, &mut text);
        text
    }

    /// Short texts of few letters, so that many records nearly are the same.
    fn texts() -> impl Strategy<Value = Option<String>> {
        option::of(vec(prop::sample::select(vec!['a', '\0', '\u{1}', 'é']), 0..4).prop_map(String::from_iter))
    }

    fn records() -> impl Strategy<Value = (i64, AuditRecord)> {
        let numbers = (0_i64..3, 0_i64..3, 0_u16..3);
        let texts = (prop::array::uniform9(texts()), prop::array::uniform3(texts()));
        (numbers, texts).prop_map(|((seq, time_ms, status), (texts, later))| {
            let [id, account, principal, access_key, source, product, action, resource, code] = texts;
            let [issued, origin, source_identity] = later;
            let record = AuditRecord {
                time_ms,
                request_id: id.unwrap_or_default(),
                account,
                principal,
                access_key,
                source: source.unwrap_or_default(),
                product: product.map(Into::into),
                action,
                resource,
                status,
                code,
                issued,
                origin,
                source_identity,
            };
            (seq, record)
        })
    }

    /// Reads what [`encode`] writes: if that can be done, no two records are written alike.
    fn decoded(mut text: &[u8]) -> (i64, AuditRecord) {
        fn take<const N: usize>(text: &mut &[u8]) -> [u8; N] {
            let (taken, rest) = text.split_first_chunk::<N>().unwrap();
            *text = rest;
            *taken
        }
        let seq = i64::from_be_bytes(take(&mut text));
        let time_ms = i64::from_be_bytes(take(&mut text));
        let status = u16::from_be_bytes(take(&mut text));
        let mut texts = std::array::from_fn::<Option<String>, 12, _>(|number| {
            if number >= 9 && text.is_empty() {
                return None;
            }
            if take::<1>(&mut text) == [0] {
                return None;
            }
            let length = usize::try_from(u64::from_be_bytes(take(&mut text))).unwrap();
            let (taken, rest) = text.split_at(length);
            text = rest;
            Some(String::from_utf8(taken.to_vec()).unwrap())
        });
        assert!(text.is_empty());
        let record = AuditRecord {
            time_ms,
            request_id: texts[0].take().unwrap(),
            account: texts[1].take(),
            principal: texts[2].take(),
            access_key: texts[3].take(),
            source: texts[4].take().unwrap(),
            product: texts[5].take().map(Into::into),
            action: texts[6].take(),
            resource: texts[7].take(),
            status,
            code: texts[8].take(),
            issued: texts[9].take(),
            origin: texts[10].take(),
            source_identity: texts[11].take(),
        };
        (seq, record)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_hashed_can_be_read_back((seq, record) in records()) {
            prop_assert_eq!(decoded(&encoded(&record, seq)), (seq, record));
        }

        #[test]
        fn two_records_are_not_written_alike(one in records(), other in records()) {
            prop_assert_eq!(encoded(&one.1, one.0) == encoded(&other.1, other.0), one == other);
            let zero = [0; HASH_BYTES];
            prop_assert_eq!(hash(&zero, &one.1, one.0) == hash(&zero, &other.1, other.0), one == other);
        }
    }

    /// A fixed one: a release that hashes otherwise would find every older chain broken.
    #[test]
    fn the_hash_of_a_record_stays_the_same() {
        let record = AuditRecord {
            time_ms: 1_700_000_000_000,
            request_id: "R".into(),
            account: Some("1234567890123456".into()),
            source: "127.0.0.1".into(),
            action: Some("CreateVpc".into()),
            status: 200,
            ..AuditRecord::default()
        };
        let link = AuditLink { seq: 7, hash: hash(&[0; HASH_BYTES], &record, 7) };
        assert_eq!(link.to_string(), "7:1d07ca57d2cc04bb778cfd099d8978cc9cc21e4830c8008c69a9b87d7cdf0259");
        assert_eq!(link.to_string().parse(), Ok(link));
        for wrong in ["", "7", "7:", "x:00", "7:1d07", ":", &"7:é".repeat(30)] {
            assert_eq!(wrong.parse::<AuditLink>(), Err(NoLink), "{wrong}");
        }
    }
}
