//! The audit journal: records of calls that changed nothing, on their way into the database.
//!
//! Such a record is appended to a file before its call is answered, so that it survives the death of the process,
//! and moved into the `audit` table in batches. Calls that are answered together share one write. Each record has a
//! number; the transaction that moves records notes in the table `store` up to which one, so that none is lost or
//! duplicated. The journal is not synced: a power failure can lose its last records.
//!
//! A segment is a file of JSON lines, named after the number of its first record, and is deleted once all of it was
//! moved. A line has the values of a record without the names, which would be a third of it; lines of older
//! releases, with names, are read too. The lines of each write are followed by a line with a [`Proof`] over them
//! and the number of the first, under a key that only the master key opens: somebody who writes to the directory
//! while the service is down can remove what was left, but cannot insert anything. Lines without such a proof, or
//! with a wrong one, are set aside.
//!
//! Its size is bounded by [`Options::audit_backlog`](crate::Options::audit_backlog) records and a segment; more
//! than [`LEFT_RECORDS`] are not read.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use fail::fail_point;
use serde::Serialize;
use tracing::{error, warn};

use crate::AuditRecord;

/// Directory of the journal inside a data directory.
const DIRECTORY: &str = "audit";
/// Bytes after which a new segment is begun.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Room kept for lines that wait to be written.
const PENDING_BYTES: usize = 64 * 1024;
/// Records that are read of what a process left: many times what one can leave.
pub(crate) const LEFT_RECORDS: usize = 32_768;
/// Bytes that are read of it.
const LEFT_BYTES: u64 = 64 * 1024 * 1024;
/// Segments may begin so much later than what was moved.
const AHEAD: u64 = 1 << 40;
/// Begins the line with the proof of a write.
const PROOF: u8 = b'#';
/// Names the key of the proofs.
const JOURNAL: &[u8] = b"tongguan audit journal 2\0";
/// Begins what the HMACs of older releases are over, and names the key that is made for them.
const JOURNAL_1: &[u8] = b"tongguan audit journal 1\0";
/// Bytes of a proof.
const PROOF_BYTES: usize = 16;
/// Added to the names of files that were set aside.
const ASIDE: &str = "unproven";

/// The journal of a data directory, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    file: File,
    path: PathBuf,
    length: u64,
    /// Lines taken and not written yet.
    pending: Vec<u8>,
    /// Number of the last record written.
    written: u64,
    /// Number of the next record.
    next: u64,
    /// Full segments, each with the number of its last record.
    full: Vec<(PathBuf, u64)>,
    /// What proves the lines, once its key is known.
    proof: Option<Proof>,
}

/// What proves that the service has written lines, made of the key of the seal.
///
/// A proof is the code of AES-256-GCM-SIV (RFC 8452) over the lines, with the number of the first record as nonce and
/// nothing that is encrypted: over lines of usual length it takes a tenth of what an HMAC takes. A number may come
/// twice, with other lines, when a write has failed or its process has died; this mode loses nothing by that.
/// Older releases wrote HMACs, which are read too.
pub(crate) struct Proof {
    key: LessSafeKey,
    older: hmac::Key,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

impl Proof {
    /// Of the key of the seal.
    pub(crate) fn of(seal: &hmac::Key) -> Self {
        let bytes = hmac::sign(seal, JOURNAL);
        let key = UnboundKey::new(&AES_256_GCM_SIV, bytes.as_ref()).expect("an HMAC-SHA256 has 32 bytes");
        let older = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(seal, JOURNAL_1).as_ref());
        Self { key: LessSafeKey::new(key), older }
    }

    fn nonce(first: u64) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&first.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    /// Of lines whose first is the record of this number.
    fn over(&self, first: u64, lines: &[u8]) -> std::io::Result<[u8; PROOF_BYTES]> {
        let tag = self.key.seal_in_place_separate_tag(Self::nonce(first), Aad::from(lines), &mut []);
        tag.ok()
            .and_then(|tag| tag.as_ref().try_into().ok())
            .ok_or_else(|| std::io::Error::other("the lines cannot be proven"))
    }

    /// Whether these bytes prove the lines.
    fn fits(&self, first: u64, lines: &[u8], proof: &[u8]) -> bool {
        if proof.len() == PROOF_BYTES {
            let mut sealed = proof.to_vec();
            return self.key.open_in_place(Self::nonce(first), Aad::from(lines), &mut sealed).is_ok();
        }
        let text = [JOURNAL_1, &first.to_be_bytes(), lines].concat();
        hmac::verify(&self.older, &text, proof).is_ok()
    }
}

/// What one write left: the lines, and the proof after them.
#[derive(Debug, Default)]
struct Written {
    /// Number of its first record.
    first: u64,
    lines: Vec<u8>,
    records: Vec<AuditRecord>,
    proof: Option<Vec<u8>>,
}

impl Written {
    fn proven(&self, by: &Proof) -> bool {
        self.proof.as_ref().is_some_and(|proof| by.fits(self.first, &self.lines, proof))
    }
}

/// What an earlier process left: numbers, records, and the files that hold them.
#[derive(Debug, Default)]
pub(crate) struct Left {
    moved: u64,
    pub(crate) last: u64,
    files: Vec<(PathBuf, Vec<Written>)>,
    /// Files that no process of ours has left.
    foreign: Vec<PathBuf>,
}

impl Left {
    /// Reads what was not moved beyond record `moved`.
    pub(crate) fn read(data_directory: &Path, moved: u64) -> std::io::Result<Self> {
        let mut left = Self { moved, last: moved, ..Self::default() };
        let directory = data_directory.join(DIRECTORY);
        if !directory.exists() {
            return Ok(left);
        }
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if let Some(first) = first_of(&path) {
                segments.push((first, path));
            }
        }
        segments.sort();
        let (mut bytes, mut records) = (LEFT_BYTES, LEFT_RECORDS);
        for (first, path) in segments {
            if first == 0 || first > moved.saturating_add(AHEAD) || bytes == 0 || records == 0 {
                left.foreign.push(path);
                continue;
            }
            let mut file = BufReader::new(File::open(&path)?.take(bytes));
            let (writes, next) = writes(&mut file, first, &mut records, &path)?;
            bytes = file.into_inner().limit();
            left.last = left.last.max(next - 1);
            left.files.push((path, writes));
        }
        Ok(left)
    }

    /// Removes what was moved, and sets aside what no process of ours has left: what stays is waited for.
    pub(crate) fn tidy(&mut self) -> std::io::Result<()> {
        let moved = self.moved;
        let (files, foreign) = (std::mem::take(&mut self.files), std::mem::take(&mut self.foreign));
        foreign.iter().try_for_each(|path| set_aside(path))?;
        for (path, writes) in files {
            if writes.iter().any(|write| !unmoved(write, moved).is_empty()) {
                self.files.push((path, writes));
            } else if writes.is_empty() || writes.iter().any(|write| !write.records.is_empty()) {
                std::fs::remove_file(path)?;
            } else {
                set_aside(&path)?;
            }
        }
        Ok(())
    }

    /// Whether there is nothing to be moved.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Everything that can be read, proven or not.
    pub(crate) fn records(self) -> Vec<AuditRecord> {
        let moved = self.moved;
        self.files
            .into_iter()
            .flat_map(|(_, writes)| writes)
            .flat_map(|write| unmoved(&write, moved))
            .collect()
    }

    /// The records that our own process has written; `trusted`: nobody wrote proofs then. Sets the others' files aside.
    pub(crate) fn proven(&mut self, by: &Proof, trusted: bool) -> Vec<AuditRecord> {
        let (mut proven, mut kept) = (Vec::new(), Vec::new());
        for (path, writes) in std::mem::take(&mut self.files) {
            let ours = |write: &&Written| trusted && write.proof.is_none() || write.proven(by);
            let records = writes.iter().filter(ours).flat_map(|write| unmoved(write, self.moved));
            proven.extend(records);
            if writes.iter().all(|write| ours(&write) || write.records.is_empty()) {
                kept.push((path, Vec::new()));
            } else {
                self.foreign.push(path);
            }
        }
        self.files = kept;
        for record in &mut proven {
            // Changes are not journalled.
            record.changed = false;
        }
        proven
    }

    /// To be called once the records are in the database, durably.
    pub(crate) fn moved(self) -> std::io::Result<()> {
        self.foreign.iter().try_for_each(|path| set_aside(path))?;
        self.files.iter().try_for_each(|(path, _)| std::fs::remove_file(path))
    }
}

fn set_aside(path: &Path) -> std::io::Result<()> {
    error!(path = %path.display(), "audit records that the service has not written were set aside");
    std::fs::rename(path, path.with_extension(ASIDE))
}

fn unmoved(write: &Written, moved: u64) -> Vec<AuditRecord> {
    let numbers = write.first..;
    numbers
        .zip(&write.records)
        .filter(|(number, _)| *number > moved)
        .map(|(_, record)| record.clone())
        .collect()
}

/// The contents of a journal file, write by write, and the number after its last record.
fn writes(
    file: &mut impl std::io::BufRead,
    first: u64,
    room: &mut usize,
    path: &Path,
) -> std::io::Result<(Vec<Written>, u64)> {
    let (mut writes, mut next) = (Vec::new(), first);
    let mut write = Written { first, ..Written::default() };
    let mut line = Vec::new();
    while *room > 0 && {
        line.clear();
        file.read_until(b'\n', &mut line)? > 0
    } {
        if let Some(proof) = line.strip_prefix(&[PROOF]) {
            write.proof = Some(unhex(proof.trim_ascii_end()));
            let begun = Written { first: next, ..Written::default() };
            writes.push(std::mem::replace(&mut write, begun));
            continue;
        }
        write.lines.extend_from_slice(&line);
        match serde_json::from_slice(&line) {
            Ok(record) => {
                write.records.push(record);
                next += 1;
                *room -= 1;
            }
            // The last line may be torn: its call was not answered.
            Err(error) => warn!(path = %path.display(), next, %error, "an audit record cannot be read"),
        }
    }
    if !write.lines.is_empty() {
        writes.push(write);
    }
    Ok((writes, next))
}

fn unhex(digits: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, _) = digits.as_chunks::<2>();
    pairs.iter().map_while(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

impl Journal {
    /// Begins a segment whose first record is the one after `last`.
    pub(crate) fn begin(data_directory: &Path, last: u64) -> std::io::Result<Self> {
        let directory = data_directory.join(DIRECTORY);
        std::fs::create_dir_all(&directory)?;
        let (path, file) = segment(&directory, last + 1)?;
        let pending = Vec::new();
        Ok(Self {
            directory,
            file,
            path,
            length: 0,
            pending,
            written: last,
            next: last + 1,
            full: Vec::new(),
            proof: None,
        })
    }

    /// Proves so, from now on, who has written the lines.
    pub(crate) fn prove_with(&mut self, proof: Proof) {
        self.proof = Some(proof);
    }

    /// Takes a record; answers its number. It is in the file with the next [`Journal::write`].
    pub(crate) fn take(&mut self, line: &[u8]) -> u64 {
        self.pending.extend_from_slice(line);
        self.next += 1;
        self.next - 1
    }

    /// Writes what was taken, whole or not at all; returns the number of the last record written.
    pub(crate) fn write(&mut self) -> std::io::Result<u64> {
        if self.pending.is_empty() {
            return Ok(self.written);
        }
        if self.length >= SEGMENT_BYTES {
            let (path, file) = segment(&self.directory, self.written + 1)?;
            self.full.push((std::mem::replace(&mut self.path, path), self.written));
            self.file = file;
            self.length = 0;
        }
        let lines = self.pending.len();
        if let Some(proof) = &self.proof {
            let code = proof.over(self.written + 1, &self.pending)?;
            self.pending.push(PROOF);
            append_hex(&mut self.pending, &code);
            self.pending.push(b'\n');
        }
        if let Err(error) = self.file.write_all(&self.pending) {
            self.pending.truncate(lines);
            // Half a line would make the next one unreadable.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        fail_point!("audit::journalled");
        self.length += self.pending.len() as u64;
        self.written = self.next - 1;
        self.pending.clear();
        self.pending.shrink_to(PENDING_BYTES);
        Ok(self.written)
    }

    /// Number of the last record taken.
    pub(crate) fn last(&self) -> u64 {
        self.next - 1
    }

    /// Records up to `number` are in the database.
    pub(crate) fn moved(&mut self, number: u64) {
        self.full.retain(|(path, last)| {
            // One that cannot be removed now is tried again with the next group.
            *last > number || std::fs::remove_file(path).is_err()
        });
    }
}

/// The line of a record: its values in the order of its members, those at the end left out that are absent.
pub(crate) fn line(record: &AuditRecord) -> Vec<u8> {
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
    let mut line = Vec::with_capacity(512);
    line.push(b'[');
    append_value(&mut line, time_ms);
    let texts = [
        Some(request_id.as_str()),
        account.as_deref(),
        principal.as_deref(),
        access_key.as_deref(),
        Some(source.as_str()),
        product.as_deref(),
        action.as_deref(),
        resource.as_deref(),
    ];
    texts.into_iter().for_each(|text| append_text(&mut line, text));
    line.push(b',');
    append_value(&mut line, status);
    append_text(&mut line, code.as_deref());
    if (issued, origin, source_identity, changed, repeats) != (&None, &None, &None, &false, &None) {
        [issued, origin, source_identity]
            .into_iter()
            .for_each(|text| append_text(&mut line, text.as_deref()));
        line.push(b',');
        append_value(&mut line, changed);
        line.push(b',');
        append_value(&mut line, repeats);
    }
    line.extend_from_slice(b"]\n");
    line
}

/// Appends a value as JSON.
fn append_value(line: &mut Vec<u8>, value: &impl Serialize) {
    // Writing texts and numbers to memory does not fail.
    let _ = serde_json::to_writer(line, value);
}

/// Appends a comma and a text, or that there is none.
fn append_text(line: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => line.extend_from_slice(b",null"),
        Some(text) if is_plain(text.as_bytes()) => {
            line.extend_from_slice(b",\"");
            line.extend_from_slice(text.as_bytes());
            line.push(b'"');
        }
        Some(text) => {
            line.push(b',');
            append_value(line, &text);
        }
    }
}

/// Whether a text stands in quotation marks as it is, eight bytes at a time. Of some that do it says no.
fn is_plain(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let marked = |bytes: &[u8; 8]| {
        let word = u64::from_le_bytes(*bytes);
        let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word & (ONES << 7);
        let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        below(word, b' ') | is(b'"') | is(b'\\')
    };
    match text.last_chunk() {
        Some(last) => text.as_chunks().0.iter().all(|bytes| marked(bytes) == 0) && marked(last) == 0,
        None => text.iter().all(|byte| *byte >= b' ' && *byte != b'"' && *byte != b'\\'),
    }
}

/// Appends lower-case hex digits.
fn append_hex(text: &mut Vec<u8>, bytes: &[u8]) {
    let begun = text.len();
    text.resize(begun + 2 * bytes.len(), 0);
    // There is room for twice as many digits.
    let _ = hex::encode_to_slice(bytes, &mut text[begun..]);
}

fn segment(directory: &Path, first: u64) -> std::io::Result<(PathBuf, File)> {
    let path = directory.join(format!("{first:020}.jsonl"));
    // A file of this name can only be empty: it would otherwise have counted. A link is removed and not followed.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path)?;
    Ok((path, file))
}

fn first_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".jsonl")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> AuditRecord {
        AuditRecord { request_id: format!("R{number}"), status: 200, ..AuditRecord::default() }
    }

    #[test]
    fn what_was_not_moved_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(directory.path(), 10).unwrap();
        for number in 11..=15 {
            assert_eq!(journal.take(&line(&record(number))), number);
        }
        assert_eq!((journal.last(), journal.write().unwrap()), (15, 15));
        drop(journal);
        let read = |moved| Left::read(directory.path(), moved).unwrap();
        let ids = |records: Vec<AuditRecord>| -> Vec<_> {
            records.into_iter().map(|record| record.request_id).collect()
        };
        assert_eq!((ids(read(13).records()), read(13).last), (vec!["R14".into(), "R15".into()], 15));
        let mut left = read(13);
        left.tidy().unwrap();
        let proof = Proof::of(&hmac::Key::new(hmac::HMAC_SHA256, b"key"));
        assert_eq!(
            (ids(left.proven(&proof, true)), left.is_empty()),
            (vec!["R14".into(), "R15".into()], false)
        );
        left.moved().unwrap();
        assert_eq!((ids(read(15).records()), read(15).last), (vec![], 15));
    }

    /// What one release has written the next one reads, and nothing is lost on the way.
    #[test]
    fn a_line_has_the_whole_record_and_lines_with_names_are_read_too() {
        let text = |text: &str| Some(text.to_owned());
        let short = AuditRecord { account: text("1"), action: text("a \"b\" \n"), ..record(1) };
        let coded = AuditRecord { code: text("Forbidden.RAM"), product: Some("Vpc".into()), ..short.clone() };
        let issued = AuditRecord { issued: text("STS.1"), ..coded.clone() };
        let repeats = Some(crate::Repeats { count: 3, since_ms: 5 });
        let whole = AuditRecord { source_identity: text("me"), changed: true, repeats, ..issued.clone() };
        let long =
            AuditRecord { resource: text("plain, \u{e9}, then \"\u{1}\\ and plain again"), ..short.clone() };
        for record in [short, coded, issued, whole, long] {
            let line = line(&record);
            assert_eq!(serde_json::from_slice::<AuditRecord>(&line).unwrap(), record);
            assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
            let named = serde_json::to_vec(&record).unwrap();
            assert!(named.starts_with(b"{\"time_ms\":") && named.len() > line.len());
            assert_eq!(serde_json::from_slice::<AuditRecord>(&named).unwrap(), record);
        }
    }

    #[test]
    fn a_torn_last_record_harms_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(directory.path(), 0).unwrap();
        journal.take(&line(&record(1)));
        journal.write().unwrap();
        journal.file.write_all(b"{\"time_ms\":1,\"requ").unwrap();
        drop(journal);
        let left = Left::read(directory.path(), 0).unwrap();
        assert_eq!((left.last, left.records().len()), (1, 1));
    }

    #[test]
    fn segments_go_when_they_were_moved() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(directory.path(), 0).unwrap();
        let long = AuditRecord { source: "x".repeat(1 << 20), ..AuditRecord::default() };
        for _ in 0..10 {
            journal.take(&line(&long));
            journal.write().unwrap();
        }
        let files = || std::fs::read_dir(directory.path().join(DIRECTORY)).unwrap().count();
        assert_eq!(files(), 3);
        journal.moved(3);
        assert_eq!(files(), 3);
        journal.moved(10);
        assert_eq!(files(), 1);
    }
}
