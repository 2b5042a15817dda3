//! The chain of audit records: each contains a hash of itself and of the one before it, so that a record that was
//! changed, removed or inserted is detected.
//!
//! * The *anchor* is where the chain begins, the *head* its newest record. Both are in the table `audit_chain`; the
//!   head is updated in the transaction that appends. What retention purges leaves gaps
//!   ([`retention`](crate::retention)), under seals of their own.
//! * Records from *before the chain* (of schemas 1 and 2, or from before it was started anew) precede the anchor.
//!   They got hashes when the chain began, in a chain of another kind with an end of its own: nothing vouches for
//!   their content before that, and tampering since then is detected.
//! * The *seal* is an HMAC over these ends under a key that is not in the clear in the database
//!   ([`Store::seal_audit`](crate::Store::seal_audit)), written with every batch. Somebody who can write the
//!   database but has no master key can make up a chain, but not its seal.
//!
//! What this cannot show: records that were appended after the last seal while the service was down (they look like
//! those that a killed process left in its journal), and that the whole database was replaced by an older copy of
//! itself. A head hash stored on another machine detects the second.

use std::str::FromStr;

use aws_lc_rs::{digest, hmac};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::retention::stream_of;
use crate::{AuditRecord, Repeats, Snapshot, StoreError, Tx};

/// Begins what is hashed of a record that has nothing that those of schema 3 did not have: they were hashed like this.
const RECORD: &[u8] = b"tongguan audit record 1\0";
/// Begins what is hashed of all others.
const RECORD_2: &[u8] = b"tongguan audit record 2\0";
/// Begins what is hashed of a record from before the chain.
const OLD: &[u8] = b"tongguan audit record before the chain 1\0";
/// Begins what is sealed.
const SEAL: &[u8] = b"tongguan audit seal 2\0";
/// Begins what schema 3 sealed: anchor and head.
const SEAL_1: &[u8] = b"tongguan audit seal 1\0";
/// Bytes of a hash.
pub(crate) const HASH_BYTES: usize = 32;
/// A hash.
pub(crate) type Hash = [u8; HASH_BYTES];
/// Numbers beyond are not given: whoever puts in a record there does not stop the service.
const MOST: i64 = i64::MAX / 2;
/// The columns of a record, in the order of [`record`].
pub(crate) const RECORD_COLUMNS: &str = "seq, time_ms, request_id, account, principal, access_key, source, product, \
     action, resource, status, code, issued, origin, source_identity, changed, repeats, since_ms";
/// How many they are.
const COLUMNS: usize = 18;

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
    /// Where the chain begins: the last number before it.
    pub anchor: AuditLink,
    /// The newest record.
    pub head: AuditLink,
    /// The last of the records from before the chain; none if there never was one.
    pub old: Option<AuditLink>,
    /// Up to this record nothing but the name of its operation says whether it changed something.
    pub(crate) named_seq: i64,
    /// The newest record when the chain was sealed last, and the seal.
    seal: Option<(AuditLink, Vec<u8>)>,
}

impl AuditChain {
    /// The newest record that is sealed.
    #[must_use]
    pub fn sealed(&self) -> Option<AuditLink> {
        self.seal.as_ref().map(|(link, _)| *link)
    }

    /// Whether a record of this number is from before the chain.
    #[must_use]
    pub fn is_old(&self, seq: i64) -> bool {
        self.old.is_some_and(|old| seq <= old.seq)
    }

    pub(crate) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT anchor_seq, anchor_hash, head_seq, head_hash, sealed_seq, sealed_hash, seal, old_seq, \
                   old_hash, named_seq FROM audit_chain";
        let ends = connection.prepare_cached(sql)?.query_row([], |row| {
            let seal = match row.get::<_, Option<Vec<u8>>>(6)? {
                None => None,
                Some(seal) => Some((AuditLink { seq: row.get(4)?, hash: row.get(5)? }, seal)),
            };
            let old = match row.get::<_, Option<i64>>(7)? {
                None => None,
                Some(seq) => Some(AuditLink { seq, hash: row.get(8)? }),
            };
            Ok(Self {
                anchor: AuditLink { seq: row.get(0)?, hash: row.get(1)? },
                head: AuditLink { seq: row.get(2)?, hash: row.get(3)? },
                old,
                named_seq: row.get(9)?,
                seal,
            })
        });
        ends.map_err(|error| match error {
            error @ rusqlite::Error::SqliteFailure(..) => error.into(),
            error => StoreError::Damaged(format!("the ends of the audit chain cannot be read: {error}")),
        })
    }

    /// Whether the seal is that of this key over these ends; false if there is none.
    pub(crate) fn seal_fits(&self, key: &hmac::Key) -> bool {
        self.seal.as_ref().is_some_and(|(sealed, seal)| {
            hmac::verify(key, &self.seal_text(sealed), seal).is_ok()
                || self.of_schema_3(sealed).is_some_and(|text| hmac::verify(key, &text, seal).is_ok())
        })
    }

    /// Whether there is no seal at all.
    pub(crate) fn unsealed(&self) -> bool {
        self.seal.is_none()
    }

    /// What a seal over this head is made of.
    fn seal_text(&self, head: &AuditLink) -> Vec<u8> {
        let mut text = Vec::with_capacity(SEAL.len() + 3 * (8 + HASH_BYTES) + 9);
        text.extend_from_slice(SEAL);
        for link in [&self.anchor, head].into_iter().chain(&self.old) {
            text.extend_from_slice(&link.seq.to_be_bytes());
            text.extend_from_slice(&link.hash);
        }
        text.extend_from_slice(&self.named_seq.to_be_bytes());
        text
    }

    /// What schema 3 made a seal of. Good until the chain is sealed anew: nothing later is sealed like this.
    fn of_schema_3(&self, head: &AuditLink) -> Option<Vec<u8>> {
        let mut text = SEAL_1.to_vec();
        for link in [&self.anchor, head] {
            text.extend_from_slice(&link.seq.to_be_bytes());
            text.extend_from_slice(&link.hash);
        }
        (head.seq <= self.named_seq).then_some(text)
    }

    /// The hash that a record follows; none if what comes before it is missing.
    pub(crate) fn before(&self, connection: &Connection, seq: i64) -> Result<Option<Hash>, StoreError> {
        let old = self.is_old(seq);
        if !old && seq == self.anchor.seq.saturating_add(1) {
            return Ok(Some(self.anchor.hash));
        }
        let row = "SELECT seq, hash FROM audit WHERE seq < ?1 ORDER BY seq DESC LIMIT 1";
        let gap = "SELECT last, hash FROM audit_gap WHERE last < ?1 ORDER BY last DESC LIMIT 1";
        let nearest = |sql| {
            connection
                .prepare_cached(sql)?
                .query_row([seq], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Hash>(1).ok())))
                .optional()
        };
        let (row, gap): (Option<_>, Option<_>) = (nearest(row)?, nearest(gap)?);
        // What a gap covers is not its record.
        let before = match (row, gap) {
            (Some(row), Some(gap)) if gap.0 >= row.0 => Some(gap),
            (row, gap) => row.or(gap),
        };
        Ok(match before {
            // Numbers of old records may have holes, and nothing is before the first.
            None if old => Some([0; HASH_BYTES]),
            Some((last, hash)) if old || last == seq.saturating_sub(1) => hash,
            _ => None,
        })
    }
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
        changed,
        repeats,
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
    texts.into_iter().for_each(|text| encode_text(text, into));
    if has_later(record) {
        let later = [issued.as_deref(), origin.as_deref(), source_identity.as_deref()];
        later.into_iter().for_each(|text| encode_text(text, into));
        into.push(u8::from(*changed));
        if let Some(Repeats { count, since_ms }) = repeats {
            into.extend_from_slice(&count.to_be_bytes());
            into.extend_from_slice(&since_ms.to_be_bytes());
        }
    }
}

fn encode_text(text: Option<&str>, into: &mut Vec<u8>) {
    into.push(u8::from(text.is_some()));
    if let Some(text) = text {
        into.extend_from_slice(&(text.len() as u64).to_be_bytes());
        into.extend_from_slice(text.as_bytes());
    }
}

/// Whether a record has something that those of schema 3 did not have.
fn has_later(record: &AuditRecord) -> bool {
    let AuditRecord { issued, origin, source_identity, changed, repeats, .. } = record;
    issued.is_some() || origin.is_some() || source_identity.is_some() || *changed || repeats.is_some()
}

/// The values of a record from before the chain, whatever they are: each with its kind and length before it.
fn encode_old(row: &Row<'_>, into: &mut Vec<u8>) -> rusqlite::Result<()> {
    for column in 0..COLUMNS {
        let (kind, bytes): (u8, &[u8]) = match row.get_ref(column)? {
            ValueRef::Null => (0, &[]),
            ValueRef::Integer(number) => (1, &number.to_be_bytes()),
            ValueRef::Real(number) => (2, &number.to_bits().to_be_bytes()),
            ValueRef::Text(text) => (3, text),
            ValueRef::Blob(blob) => (4, blob),
        };
        into.push(kind);
        into.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        into.extend_from_slice(bytes);
    }
    Ok(())
}

/// A record as it is hashed, and the stream that it must be in.
pub(crate) struct Encoded {
    begin: &'static [u8],
    body: Vec<u8>,
    pub(crate) stream: i64,
}

impl Encoded {
    /// A row of [`RECORD_COLUMNS`].
    pub(crate) fn of(row: &Row<'_>, chain: &AuditChain) -> rusqlite::Result<Self> {
        let seq = row.get(0)?;
        if chain.is_old(seq) {
            return Self::of_old(row);
        }
        let (_, record) = record(row)?;
        Ok(Self::of_new(&record, seq, seq <= chain.named_seq))
    }

    /// A row of [`RECORD_COLUMNS`] that is from before the chain.
    fn of_old(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut body = Vec::with_capacity(512);
        encode_old(row, &mut body)?;
        // One that cannot be read is nobody's.
        let unread = AuditRecord::default();
        let record = record(row).map_or(unread, |(_, record)| record);
        Ok(Self { begin: OLD, body, stream: stream_of(&record, true) })
    }

    fn of_new(record: &AuditRecord, seq: i64, named: bool) -> Self {
        let mut body = Vec::with_capacity(512);
        encode(record, seq, &mut body);
        let begin = if has_later(record) { RECORD_2 } else { RECORD };
        Self { begin, body, stream: stream_of(record, named) }
    }

    /// The hash of the record if it follows one of hash `previous`.
    pub(crate) fn link(&self, previous: &Hash) -> Hash {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.begin);
        context.update(previous);
        context.update(&self.body);
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

/// Number and record of a row of [`RECORD_COLUMNS`].
pub(crate) fn record(row: &Row<'_>) -> rusqlite::Result<(i64, AuditRecord)> {
    let product: Option<String> = row.get(7)?;
    let repeats = match (row.get::<_, Option<i64>>(16)?, row.get(17)?) {
        (Some(count), Some(since_ms)) => Some(Repeats { count: count.cast_unsigned(), since_ms }),
        (None, None) => None,
        _ => return Err(rusqlite::Error::InvalidQuery),
    };
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
        changed: row.get(15)?,
        repeats,
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
        let sql = "SELECT head_seq, head_hash, (SELECT max(seq) FROM audit WHERE seq < ?1) FROM audit_chain";
        let (mut seq, mut hash, last) = connection.prepare_cached(sql)?.query_row([MOST], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Hash>(1)?, row.get::<_, Option<i64>>(2)?))
        })?;
        // Differs from the head only if somebody else has put records in: they must not stop the service.
        seq = last.map_or(seq, |last| seq.max(last));
        let mut insert = connection.prepare_cached(
            "INSERT INTO audit (seq, time_ms, request_id, account, principal, access_key, source, product, action, \
             resource, status, code, issued, origin, source_identity, changed, repeats, since_ms, hash, stream) VALUES \
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
        )?;
        for record in records {
            seq = seq.saturating_add(1);
            let encoded = Encoded::of_new(record, seq, false);
            hash = encoded.link(&hash);
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
                record.changed,
                record.repeats.map(|repeats| repeats.count.cast_signed()),
                record.repeats.map(|repeats| repeats.since_ms),
                hash,
                encoded.stream
            ])?;
        }
        let sql = "UPDATE audit_chain SET head_seq = ?1, head_hash = ?2";
        connection.prepare_cached(sql)?.execute(params![seq, hash])?;
        Ok(())
    }

    /// Seals the chain as it is now, unless it is sealed already.
    pub(crate) fn seal_audit(&self, key: &hmac::Key) -> Result<(), StoreError> {
        let chain = AuditChain::read(self.connection())?;
        let text = chain.seal_text(&chain.head);
        if let Some((sealed, seal)) = &chain.seal
            && *sealed == chain.head
            && hmac::verify(key, &text, seal).is_ok()
        {
            return Ok(());
        }
        let seal = hmac::sign(key, &text);
        self.connection()
            .prepare_cached("UPDATE audit_chain SET sealed_seq = ?1, sealed_hash = ?2, seal = ?3")?
            .execute(params![chain.head.seq, chain.head.hash, seal.as_ref()])?;
        Ok(())
    }

    /// Begins a chain anew after the newest record, unsealed: those that are there become records from before it.
    pub(crate) fn begin_audit_anew(&self) -> Result<(), StoreError> {
        let connection = self.connection();
        connection.execute_batch("DELETE FROM audit_gap; DELETE FROM audit_trimmed;")?;
        let head: i64 = connection.query_row("SELECT head_seq FROM audit_chain", [], |row| row.get(0))?;
        let last: Option<i64> =
            connection.query_row("SELECT max(seq) FROM audit WHERE seq < ?1", [MOST], |row| row.get(0))?;
        let mut end = last.map_or(head, |last| last.max(head));
        // Those that somebody has put in where no number is given are brought to where they can be followed.
        let mut far = connection.prepare("SELECT seq FROM audit WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
        while let Some(seq) = far.query_row([MOST], |row| row.get::<_, i64>(0)).optional()? {
            end += 1;
            connection.execute("UPDATE audit SET seq = ?1 WHERE seq = ?2", [end, seq])?;
        }
        make_old(connection, end)?;
        connection.execute(
            "UPDATE audit_chain SET anchor_seq = ?1, anchor_hash = zeroblob(32), head_seq = ?1, \
             head_hash = zeroblob(32), named_seq = ?1, sealed_seq = NULL, sealed_hash = NULL, seal = NULL",
            [end],
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
        let sql = "SELECT sealed_key FROM service_key WHERE name = 'audit-chain'";
        Ok(self.connection().prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?)
    }
}

/// Brings the chain of schema 3 up: records that are not part of it become records from before it, if it is plain
/// that there were such; and every record gets its stream.
pub(crate) fn bring_up(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch("UPDATE audit_chain SET named_seq = head_seq")?;
    let (anchor, hash) =
        connection.query_row("SELECT anchor_seq, anchor_hash FROM audit_chain", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
    // An anchor with a hash is a record that retention has removed, and all older ones before it; one at 0 is that of
    // a database that never had any. Nobody knows of others, and `check` goes on saying so.
    if anchor > 0 && hash.iter().all(|byte| *byte == 0) {
        make_old(connection, anchor)?;
    }
    let sql = format!("SELECT {RECORD_COLUMNS} FROM audit WHERE hash IS NOT NULL AND stream = 0");
    let mut put = connection.prepare("UPDATE audit SET stream = ?2 WHERE seq = ?1")?;
    let mut streams = Vec::new();
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Ok((seq, record)) = record(row) {
            streams.push((seq, stream_of(&record, true)));
        }
    }
    streams.into_iter().try_for_each(|(seq, stream)| put.execute([seq, stream]).map(|_| ()))?;
    Ok(())
}

/// Makes all records up to a number records from before the chain: each gets a hash of that kind, and its stream.
fn make_old(connection: &Connection, upto: i64) -> Result<(), StoreError> {
    const BATCH: i64 = 1_024;
    let sql =
        format!("SELECT {RECORD_COLUMNS} FROM audit WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT {BATCH}");
    let mut put = connection.prepare("UPDATE audit SET hash = ?2, stream = ?3 WHERE seq = ?1")?;
    let mut end: Option<AuditLink> = None;
    loop {
        let mut batch = Vec::new();
        let mut statement = connection.prepare_cached(&sql)?;
        // Nothing is at the least number: `-9223372036854775808` itself is left to be found.
        let mut rows = statement.query([end.map_or(i64::MIN, |end| end.seq), upto])?;
        while let Some(row) = rows.next()? {
            let encoded = Encoded::of_old(row)?;
            let seq = row.get(0)?;
            let hash = encoded.link(&end.map_or([0; HASH_BYTES], |end| end.hash));
            end = Some(AuditLink { seq, hash });
            batch.push((seq, hash, encoded.stream));
        }
        if batch.is_empty() {
            break;
        }
        for (seq, hash, stream) in batch {
            put.execute(params![seq, hash, stream])?;
        }
    }
    let sql = "UPDATE audit_chain SET old_seq = ?1, old_hash = ?2";
    connection.execute(sql, params![end.map(|end| end.seq), end.map(|end| end.hash)])?;
    Ok(())
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
        let repeats = option::of((0_u64..3, 0_i64..3));
        let numbers = (0_i64..3, 0_i64..3, 0_u16..3, any::<bool>(), repeats);
        let texts = (prop::array::uniform9(texts()), prop::array::uniform3(texts()));
        (numbers, texts).prop_map(|((seq, time_ms, status, changed, repeats), (texts, later))| {
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
                changed,
                repeats: repeats.map(|(count, since_ms)| Repeats { count, since_ms }),
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
        let take_text = |text: &mut &[u8]| {
            if take::<1>(text) == [0] {
                return None;
            }
            let length = usize::try_from(u64::from_be_bytes(take(text))).unwrap();
            let (taken, rest) = text.split_at(length);
            *text = rest;
            Some(String::from_utf8(taken.to_vec()).unwrap())
        };
        let mut texts = std::array::from_fn::<Option<String>, 9, _>(|_| take_text(&mut text));
        let [mut issued, mut origin, mut source_identity] = [None, None, None];
        let (mut changed, mut repeats) = (false, None);
        if !text.is_empty() {
            [issued, origin, source_identity] = std::array::from_fn(|_| take_text(&mut text));
            changed = take::<1>(&mut text) == [1];
        }
        if !text.is_empty() {
            let count = u64::from_be_bytes(take(&mut text));
            repeats = Some(Repeats { count, since_ms: i64::from_be_bytes(take(&mut text)) });
        }
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
            issued,
            origin,
            source_identity,
            changed,
            repeats,
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
            let hash = |(seq, record): &(i64, AuditRecord)| {
                Encoded::of_new(record, *seq, false).link(&[0; HASH_BYTES])
            };
            prop_assert_eq!(hash(&one) == hash(&other), one == other);
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
        let hash = |record: &AuditRecord| Encoded::of_new(record, 7, false).link(&[0; HASH_BYTES]);
        let link = AuditLink { seq: 7, hash: hash(&record) };
        assert_eq!(link.to_string(), "7:1d07ca57d2cc04bb778cfd099d8978cc9cc21e4830c8008c69a9b87d7cdf0259");
        assert_eq!(link.to_string().parse(), Ok(link));
        for wrong in ["", "7", "7:", "x:00", "7:1d07", ":", &"7:é".repeat(30)] {
            assert_eq!(wrong.parse::<AuditLink>(), Err(NoLink), "{wrong}");
        }
        let later = AuditRecord {
            issued: Some("STS.1".into()),
            changed: true,
            repeats: Some(Repeats { count: 3, since_ms: 5 }),
            ..record
        };
        let link = AuditLink { seq: 7, hash: hash(&later) };
        assert_eq!(link.to_string(), "7:d2d81a4327c1f14e08ef7076e7ac7ac95b891b2a55bd88497fa237dcd9d51c68");
    }
}
