//! Nonces that were used, so that no signed request is accepted twice, not even right after a restart.
//!
//! In memory they stand in sets by the minute in which they expire, spread over shards, so that a
//! look-up holds a short lock and whole minutes are dropped at once. On disk they are appended to a log
//! before the request is answered. The log is not synced: what the process wrote survives its death. It
//! does not survive a loss of power, so the log also names the boot of the machine; after another boot
//! without an orderly stop [`NonceLog::not_before`] is the start of this process, and requests dated
//! earlier are refused as expired.

use std::collections::{HashSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;

use fail::fail_point;

use crate::StoreError;

/// Nonces are told apart by this much of a SHA-256 digest over key id and nonce.
type Print = [u8; 16];

const SHARDS: usize = 64;
const RECORD: usize = 24;
/// A new segment of the log is begun after this many seconds.
const SEGMENT_SECONDS: i64 = 300;
const SEGMENT_PREFIX: &str = "nonces-";
const MARK_FILE: &str = "nonces.boot";

/// Why a nonce was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NonceError {
    /// It was used before.
    #[error("nonce used")]
    Used,
    /// More nonces are remembered than the limit allows; try later.
    #[error("{0} nonces are remembered, which is the limit")]
    Full(usize),
    /// The log could not be written.
    #[error("nonce log: {0}")]
    Log(#[from] std::io::Error),
}

/// The memory of used nonces of one data directory.
pub struct NonceLog {
    directory: PathBuf,
    shards: Vec<Mutex<Shard>>,
    segment: Mutex<Segment>,
    count: AtomicUsize,
    limit: usize,
    not_before: i64,
}

impl std::fmt::Debug for NonceLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NonceLog").field("count", &self.count).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shard {
    /// (minute of expiry, nonces), earliest first.
    minutes: VecDeque<(i64, HashSet<Print>)>,
}

struct Segment {
    file: File,
    begun: i64,
    /// Closed segments with the moment after which nothing in them matters.
    closed: Vec<(PathBuf, i64)>,
    path: PathBuf,
    last_expiry: i64,
}

impl NonceLog {
    /// Opens the log in `directory` at `now` (UNIX seconds) and reads back what has not expired.
    /// At most `limit` nonces are remembered.
    ///
    /// # Errors
    /// File errors.
    pub fn open(directory: &Path, now: i64, limit: usize) -> Result<Self, StoreError> {
        let failed = |what| {
            let path = directory.to_path_buf();
            move |source| StoreError::File { what, path, source }
        };
        std::fs::create_dir_all(directory).map_err(failed("cannot make nonce directory"))?;
        let mut shards: Vec<Shard> = (0..SHARDS).map(|_| Shard::default()).collect();
        let mut closed = Vec::new();
        let mut count = 0;
        for path in segments(directory).map_err(failed("cannot list nonce log"))? {
            let last = load(&path, now, &mut shards, &mut count).map_err(failed("cannot read nonce log"))?;
            if last < now {
                std::fs::remove_file(&path).map_err(failed("cannot remove old nonce log"))?;
            } else {
                closed.push((path, last));
            }
        }
        let orderly = mark(directory, "open").map_err(failed("cannot mark nonce log"))?;
        let segment = Segment::begin(directory, now, closed).map_err(failed("cannot begin nonce log"))?;
        Ok(Self {
            directory: directory.to_path_buf(),
            shards: shards.into_iter().map(Mutex::new).collect(),
            segment: Mutex::new(segment),
            count: AtomicUsize::new(count),
            limit,
            not_before: if orderly { i64::MIN } else { now },
        })
    }

    /// Requests dated before this moment (UNIX seconds) cannot be told from replays and must be refused.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Takes a nonce of a key until `expires` (UNIX seconds).
    ///
    /// # Errors
    /// [`NonceError::Used`] if it was taken before; otherwise nothing was taken.
    pub fn take(&self, key: &str, nonce: &str, now: i64, expires: i64) -> Result<(), NonceError> {
        let print = print(key, nonce);
        let mut shard =
            self.shards[usize::from(print[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = shard.drop_expired(now);
        if dropped > 0 {
            self.count.fetch_sub(dropped, Ordering::Relaxed);
        }
        if shard.minutes.iter().any(|(_, prints)| prints.contains(&print)) {
            return Err(NonceError::Used);
        }
        let remembered = self.count.load(Ordering::Relaxed);
        if remembered >= self.limit {
            return Err(NonceError::Full(remembered));
        }
        fail_point!("nonce::taking");
        self.append(&print, now, expires)?;
        fail_point!("nonce::taken");
        shard.insert(print, expires);
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Notes an orderly stop, so that the next start trusts the log also after another boot.
    ///
    /// # Errors
    /// File errors.
    pub fn close(&self) -> std::io::Result<()> {
        self.segment.lock().unwrap_or_else(PoisonError::into_inner).file.sync_all()?;
        mark(&self.directory, "closed").map(|_| ())
    }

    fn append(&self, print: &Print, now: i64, expires: i64) -> std::io::Result<()> {
        let mut record = [0; RECORD];
        record[..16].copy_from_slice(print);
        record[16..].copy_from_slice(&expires.to_le_bytes());
        let mut segment = self.segment.lock().unwrap_or_else(PoisonError::into_inner);
        if now - segment.begun >= SEGMENT_SECONDS || now < segment.begun {
            segment.turn(&self.directory, now)?;
        }
        segment.last_expiry = segment.last_expiry.max(expires);
        segment.file.write_all(&record)
    }
}

impl Shard {
    fn insert(&mut self, print: Print, expires: i64) {
        let minute = expires.div_euclid(60);
        let place = self.minutes.partition_point(|(known, _)| *known < minute);
        if self.minutes.get(place).is_none_or(|(known, _)| *known != minute) {
            self.minutes.insert(place, (minute, HashSet::new()));
        }
        self.minutes[place].1.insert(print);
    }

    fn drop_expired(&mut self, now: i64) -> usize {
        let mut dropped = 0;
        while self.minutes.front().is_some_and(|(minute, _)| (minute + 1) * 60 <= now) {
            dropped += self.minutes.pop_front().map_or(0, |(_, prints)| prints.len());
        }
        dropped
    }
}

impl Segment {
    fn begin(directory: &Path, now: i64, closed: Vec<(PathBuf, i64)>) -> std::io::Result<Self> {
        let path = directory.join(format!("{SEGMENT_PREFIX}{now}"));
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(Self { file, begun: now, closed, path, last_expiry: i64::MIN })
    }

    fn turn(&mut self, directory: &Path, now: i64) -> std::io::Result<()> {
        let mut closed = std::mem::take(&mut self.closed);
        closed.push((self.path.clone(), self.last_expiry));
        closed.retain(|(path, last)| {
            // A segment that cannot be removed now is removed at the next turn or start.
            *last >= now || std::fs::remove_file(path).is_err()
        });
        *self = Self::begin(directory, now, closed)?;
        Ok(())
    }
}

fn print(key: &str, nonce: &str) -> Print {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&key.len().to_le_bytes());
    context.update(key.as_bytes());
    context.update(nonce.as_bytes());
    let mut print = [0; 16];
    print.copy_from_slice(&context.finish().as_ref()[..16]);
    print
}

fn segments(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(SEGMENT_PREFIX) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Reads a segment's nonces that have not expired; answers the latest expiry in it.
fn load(path: &Path, now: i64, shards: &mut [Shard], count: &mut usize) -> std::io::Result<i64> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let mut last = i64::MIN;
    // A torn last record belongs to a request that was not answered.
    for record in bytes.chunks_exact(RECORD) {
        let (print, expires) = record.split_at(16);
        let expires = expires.try_into().map_or(i64::MIN, i64::from_le_bytes);
        last = last.max(expires);
        if expires >= now
            && let Ok(print) = <Print>::try_from(print)
        {
            shards[usize::from(print[0]) % SHARDS].insert(print, expires);
            *count += 1;
        }
    }
    Ok(last)
}

/// Writes the mark file and answers whether the log before it can be trusted: there was none, it was
/// closed in order, or the machine is still in the same boot.
fn mark(directory: &Path, state: &str) -> std::io::Result<bool> {
    let path = directory.join(MARK_FILE);
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot = boot.trim();
    std::fs::write(&path, format!("{boot} {state}\n"))?;
    Ok(before.is_empty()
        || before.trim_end().ends_with(" closed")
        || (!boot.is_empty() && before.starts_with(boot)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_taken_once_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let log = NonceLog::open(directory.path(), 1_000, 10).unwrap();
        assert!(log.take("k", "n", 1_000, 1_900).is_ok());
        assert!(matches!(log.take("k", "n", 1_001, 1_900), Err(NonceError::Used)));
        assert!(log.take("other", "n", 1_001, 1_900).is_ok());
        drop(log);
        let log = NonceLog::open(directory.path(), 1_002, 10).unwrap();
        assert!(matches!(log.take("k", "n", 1_002, 1_901), Err(NonceError::Used)));
        assert_eq!(log.not_before(), i64::MIN);
    }

    #[test]
    fn expired_nonces_are_forgotten_and_the_limit_holds() {
        let directory = tempfile::tempdir().unwrap();
        let log = NonceLog::open(directory.path(), 0, 64).unwrap();
        for number in 0..64 {
            log.take("k", &number.to_string(), 0, 60).unwrap();
        }
        assert!(matches!(log.take("k", "one more", 0, 60), Err(NonceError::Full(64))));
        let taken = (0..10_000).filter(|n| log.take("k", &format!("later {n}"), 200, 1_000).is_ok()).count();
        assert!((1..=64).contains(&taken));
    }

    #[test]
    fn another_boot_without_an_orderly_stop_is_not_trusted() {
        let directory = tempfile::tempdir().unwrap();
        drop(NonceLog::open(directory.path(), 0, 10).unwrap());
        std::fs::write(directory.path().join(MARK_FILE), "another-boot open\n").unwrap();
        assert_eq!(NonceLog::open(directory.path(), 77, 10).unwrap().not_before(), 77);
        std::fs::write(directory.path().join(MARK_FILE), "another-boot closed\n").unwrap();
        let log = NonceLog::open(directory.path(), 78, 10).unwrap();
        assert_eq!(log.not_before(), i64::MIN);
        log.close().unwrap();
    }
}
