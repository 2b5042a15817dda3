//! One link of the chain: how a record is hashed together with the one before it.

use std::str::FromStr;

use aws_lc_rs::digest;

use super::chain::AuditChain;
use super::record::COLUMNS;
use super::retention::stream_of;
use crate::session::{Row, Value};
use crate::{AuditRecord, DatabaseError, Repeats};

/// Begins what is hashed of a record that has nothing that those of schema 3 did not have: they were hashed like this.
const RECORD: &[u8] = b"tongguan audit record 1\0";
/// Begins what is hashed of all others.
const RECORD_2: &[u8] = b"tongguan audit record 2\0";
/// Begins what is hashed of a record from before the chain.
const OLD: &[u8] = b"tongguan audit record before the chain 1\0";
/// Bytes of a hash.
pub(crate) const HASH_BYTES: usize = 32;
/// A hash.
pub(crate) type Hash = [u8; HASH_BYTES];

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

/// The newest record of a chain, and which chain that is. Written `NUMBER:HASH`, and of a lane `lane LANE NUMBER:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// The lane of a shared database that the chain is of; none of the embedded store.
    pub lane: Option<i64>,
    /// The record.
    pub link: AuditLink,
}

impl std::fmt::Display for AuditHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(lane) = self.lane {
            write!(f, "lane {lane} ")?;
        }
        self.link.fmt(f)
    }
}

impl From<AuditLink> for AuditHead {
    fn from(link: AuditLink) -> Self {
        Self { lane: None, link }
    }
}

impl FromStr for AuditHead {
    type Err = NoLink;

    fn from_str(text: &str) -> Result<Self, NoLink> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix("lane ") else { return Ok(text.parse::<AuditLink>()?.into()) };
        let (lane, link) = rest.trim_start().split_once(' ').ok_or(NoLink)?;
        Ok(Self { lane: Some(lane.parse().map_err(|_| NoLink)?), link: link.parse()? })
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
fn encode_old(row: Row<'_>, into: &mut Vec<u8>) -> Result<(), DatabaseError> {
    let mut cells = row.cells();
    for _ in 0..COLUMNS {
        let (kind, bytes): (u8, &[u8]) = match cells.value()? {
            Value::Null => (0, &[]),
            Value::Integer(number) => (1, &number.to_be_bytes()),
            Value::Real(number) => (2, &number.to_bits().to_be_bytes()),
            Value::Text(text) => (3, text),
            Value::Blob(blob) => (4, blob),
        };
        into.push(kind);
        into.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        into.extend_from_slice(bytes);
    }
    Ok(())
}

/// A record as it is hashed, and the stream that it must be in.
pub(crate) struct Encoded {
    /// What is hashed, with room for the hash of the record before it.
    text: Vec<u8>,
    /// Where that room is.
    before: usize,
    pub(crate) stream: i64,
}

/// The beginning of what is hashed, with room for the hash of the record before.
fn begun(begin: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(begin);
    text.extend_from_slice(&[0; HASH_BYTES]);
    text
}

impl Encoded {
    /// A row of [`NUMBERED`](super::record::NUMBERED).
    pub(crate) fn of(row: Row<'_>, chain: &AuditChain) -> Result<Self, DatabaseError> {
        let seq = row.read()?;
        if chain.is_old(seq) {
            return Self::of_old(row);
        }
        let (_, record): (i64, AuditRecord) = row.read()?;
        Ok(Self::of_new(&record, seq, seq <= chain.named_seq))
    }

    /// A row of [`NUMBERED`](super::record::NUMBERED) that is from before the chain.
    pub(super) fn of_old(row: Row<'_>) -> Result<Self, DatabaseError> {
        let mut text = begun(OLD);
        encode_old(row, &mut text)?;
        // One that cannot be read is nobody's.
        let record = row.read::<(i64, AuditRecord)>().map(|(_, record)| record).unwrap_or_default();
        Ok(Self { text, before: OLD.len(), stream: stream_of(&record, true) })
    }

    pub(super) fn of_new(record: &AuditRecord, seq: i64, named: bool) -> Self {
        let begin = if has_later(record) { RECORD_2 } else { RECORD };
        let mut text = begun(begin);
        encode(record, seq, &mut text);
        Self { text, before: begin.len(), stream: stream_of(record, named) }
    }

    /// The hash of the record if it follows one of hash `previous`.
    pub(crate) fn link(&mut self, previous: &Hash) -> Hash {
        // In one piece, which takes less than a context that gets three.
        self.text[self.before..self.before + HASH_BYTES].copy_from_slice(previous);
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(digest::digest(&digest::SHA256, &self.text).as_ref());
        hash
    }
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
