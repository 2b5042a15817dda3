//! The audit journal: records of calls that changed nothing, on their way into the database.
//!
//! Such a record is appended to a file before its call is answered, so that it survives the death of the
//! process, and moved into the `audit` table in groups. Calls that are answered together share one write. Each has a number; the table `store` knows up to
//! which one they were moved, in the transaction that moved them, so that none is lost and none is there
//! twice. The journal is not synced: a loss of power can take its last records.
//!
//! A segment is a file of JSON lines, named after the number of its first record, and is removed once
//! all of it was moved.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use fail::fail_point;
use tracing::warn;

use crate::AuditRecord;

/// Directory of the journal inside a data directory.
const DIRECTORY: &str = "audit";
/// Bytes after which a new segment is begun.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Room kept for lines that wait to be written.
const PENDING_BYTES: usize = 64 * 1024;

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
}

/// What an earlier process left: numbers, records, and the files that hold them.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) records: Vec<AuditRecord>,
    pub(crate) last: u64,
    files: Vec<PathBuf>,
}

impl Left {
    /// Reads what was not moved beyond record `moved`.
    pub(crate) fn read(data_directory: &Path, moved: u64) -> std::io::Result<Self> {
        let mut left = Self { last: moved, ..Self::default() };
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
        for (first, path) in segments {
            for (number, line) in (first..).zip(BufReader::new(File::open(&path)?).split(b'\n')) {
                match serde_json::from_slice(&line?) {
                    Ok(record) if number > moved => left.records.push(record),
                    Ok(_) => {}
                    // The last line may be torn: its call was not answered.
                    Err(error) => {
                        warn!(path = %path.display(), number, %error, "an audit record cannot be read");
                    }
                }
                left.last = left.last.max(number);
            }
            left.files.push(path);
        }
        Ok(left)
    }

    /// To be called once the records are in the database, durably.
    pub(crate) fn moved(self) -> std::io::Result<()> {
        self.files.iter().try_for_each(std::fs::remove_file)
    }
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
        })
    }

    /// Takes a record; answers its number. It is in the file with the next [`Journal::write`].
    pub(crate) fn take(&mut self, line: &[u8]) -> u64 {
        self.pending.extend_from_slice(line);
        self.next += 1;
        self.next - 1
    }

    /// Writes what was taken, whole or not at all; answers the number of the last record written.
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
        if let Err(error) = self.file.write_all(&self.pending) {
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

/// The line of a record.
pub(crate) fn line(record: &AuditRecord) -> Vec<u8> {
    let mut line = Vec::with_capacity(320);
    // Writing texts and numbers to memory does not fail.
    let _ = serde_json::to_writer(&mut line, record);
    line.push(b'\n');
    line
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
        let left = Left::read(directory.path(), 13).unwrap();
        let ids: Vec<&str> = left.records.iter().map(|record| record.request_id.as_str()).collect();
        assert_eq!((ids, left.last), (vec!["R14", "R15"], 15));
        left.moved().unwrap();
        let left = Left::read(directory.path(), 15).unwrap();
        assert!(left.records.is_empty());
        assert_eq!(left.last, 15);
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
        assert_eq!((left.records.len(), left.last), (1, 2));
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
