//! Nonces that were used, so that no signed request is accepted twice, not even right after a restart.
//!
//! In memory they stand in sets by the minute in which they may be forgotten, spread over shards, so that
//! a look-up holds a short lock and whole minutes are dropped at once. On disk they are appended to a log
//! before the request has an effect or an answer; requests that are answered together share one write. The log is not synced: what the process wrote survives its death. It
//! does not survive a loss of power, so the log also names the boot of the machine; after another boot
//! without an orderly stop [`NonceLog::not_before`] is the start of this process, and requests dated
//! earlier are refused as expired.
//!
//! **The wall clock may jump.** How long a nonce is kept is measured by a clock that does not, so a jump
//! forward makes nothing be forgotten early. And when one is forgotten, the latest expiry among the
//! forgotten is remembered: a request that expires no later than that may be a replay (the clock was set
//! back to a time that was used before), and is refused.

use std::collections::{HashSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;

use fail::fail_point;

use crate::StoreError;

/// Nonces are told apart by this much of a SHA-256 digest over key id and nonce.
type Print = [u8; 16];

/// A present moment, on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// UNIX seconds: may jump.
    pub unix: i64,
    /// Seconds of a clock that never jumps, from any beginning.
    pub steady: i64,
}

const SHARDS: usize = 64;
const RECORD: usize = 24;
/// Longest that a nonce is kept, seconds: twice the skew that a request's time may have.
const KEPT_MOST: i64 = 2 * 900;
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
    /// The request may be one whose nonce was forgotten; it counts as expired.
    #[error("the request expires before a nonce that was forgotten")]
    Forgotten,
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
    /// Latest expiry among the nonces forgotten, UNIX seconds.
    forgotten: AtomicI64,
}

impl std::fmt::Debug for NonceLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NonceLog").field("count", &self.count).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shard {
    minutes: VecDeque<Minute>,
}

/// Nonces that may be forgotten after the same minute of the steady clock; earliest first in a shard.
struct Minute {
    number: i64,
    prints: HashSet<Print, PrintHashing>,
    /// Latest expiry among them, UNIX seconds.
    expires: i64,
}

/// A print is a digest already: its first bytes serve as its hash.
type PrintHashing = BuildHasherDefault<PrintHasher>;

#[derive(Default)]
struct PrintHasher(u64);

impl Hasher for PrintHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }
}

struct Segment {
    file: File,
    length: u64,
    /// Records taken and not written yet.
    pending: Vec<u8>,
    /// When the last of them was taken, steady clock.
    now: i64,
    /// When it was begun, steady clock.
    begun: i64,
    closed: Vec<Closed>,
    path: PathBuf,
    /// As in [`Closed`], for this one.
    until: i64,
    /// As in [`Closed`], for this one.
    expires: i64,
}

/// A full segment, or one of an earlier process.
struct Closed {
    path: PathBuf,
    /// When nothing in it matters any more, steady clock.
    until: i64,
    /// Latest expiry in it, UNIX seconds.
    expires: i64,
}

impl Closed {
    /// Removes the file if nothing in it matters any more. Answers whether it is still there.
    fn matters(&self, steady: i64) -> bool {
        // One that cannot be removed now is removed at the next turn or start.
        self.until >= steady || std::fs::remove_file(&self.path).is_err()
    }
}

impl NonceLog {
    /// Opens the log in `directory` and reads back what has not expired. At most `limit` nonces are
    /// remembered.
    ///
    /// # Errors
    /// File errors.
    pub fn open(directory: &Path, now: Moment, limit: usize) -> Result<Self, StoreError> {
        let failed = |what| {
            let path = directory.to_path_buf();
            move |source| StoreError::File { what, path, source }
        };
        crate::make_folder(directory).map_err(failed("cannot make nonce directory"))?;
        let before = Mark::read(directory);
        let mut loaded = Loaded::new(before.forgotten);
        let mut closed = Vec::new();
        for path in segments(directory).map_err(failed("cannot list nonce log"))? {
            closed.push(loaded.load(path, now).map_err(failed("cannot read nonce log"))?);
        }
        let orderly = before.trusted();
        // Before anything is removed: what is forgotten must stay known as forgotten.
        Mark::now("open", loaded.forgotten).write(directory).map_err(failed("cannot mark nonce log"))?;
        closed.retain(|segment| segment.matters(now.steady));
        let segment =
            Segment::begin(directory, now.steady, closed).map_err(failed("cannot begin nonce log"))?;
        let Loaded { shards, count, forgotten } = loaded;
        Ok(Self {
            directory: directory.to_path_buf(),
            shards: shards.into_iter().map(Mutex::new).collect(),
            segment: Mutex::new(segment),
            count: AtomicUsize::new(count),
            limit,
            not_before: if orderly { i64::MIN } else { now.unix },
            forgotten: AtomicI64::new(forgotten),
        })
    }

    /// Makes the log of a directory untrusted, so that the next start refuses what was signed before it:
    /// for a database that was restored.
    ///
    /// # Errors
    /// File errors.
    pub fn forget(directory: &Path) -> Result<(), StoreError> {
        let forgotten = crate::make_folder(directory).and_then(|()| {
            Mark { boot: "restored".into(), state: "open".into(), forgotten: i64::MIN }.write(directory)
        });
        forgotten.map_err(|source| StoreError::File {
            what: "cannot write the nonce log in",
            path: directory.to_path_buf(),
            source,
        })
    }

    /// Requests dated before this moment (UNIX seconds) cannot be told from replays and must be refused.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Takes a nonce of a key for a request that expires at `expires` (UNIX seconds). It outlives the
    /// process after [`NonceLog::write`].
    ///
    /// # Errors
    /// [`NonceError::Used`] if it was taken before, or may have been; otherwise nothing was taken.
    pub fn take(&self, key: &str, nonce: &str, now: Moment, expires: i64) -> Result<(), NonceError> {
        let print = print(key, nonce);
        let mut shard =
            self.shards[usize::from(print[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((dropped, expired)) = shard.drop_old(now.steady) {
            self.count.fetch_sub(dropped, Ordering::Relaxed);
            self.forgotten.fetch_max(expired, Ordering::SeqCst);
        }
        if shard.minutes.iter().any(|minute| minute.prints.contains(&print)) {
            return Err(NonceError::Used);
        }
        if expires <= self.forgotten.load(Ordering::SeqCst) {
            return Err(NonceError::Forgotten);
        }
        let remembered = self.count.load(Ordering::Relaxed);
        if remembered >= self.limit {
            return Err(NonceError::Full(remembered));
        }
        let until = keep_until(now, expires);
        self.segment.lock().unwrap_or_else(PoisonError::into_inner).take(&print, now.steady, until, expires);
        shard.insert(print, until, expires);
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Nonces remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether one more nonce could be taken now.
    ///
    /// # Errors
    /// [`NonceError::Full`], or the log's file cannot be used.
    pub fn check(&self) -> Result<(), NonceError> {
        if self.count() >= self.limit {
            return Err(NonceError::Full(self.limit));
        }
        self.segment.lock().unwrap_or_else(PoisonError::into_inner).file.metadata()?;
        Ok(())
    }

    /// Notes an orderly stop, so that the next start trusts the log also after another boot.
    ///
    /// # Errors
    /// File errors.
    pub fn close(&self) -> std::io::Result<()> {
        let _ = self.write();
        self.segment.lock().unwrap_or_else(PoisonError::into_inner).file.sync_all()?;
        Mark::now("closed", self.forgotten.load(Ordering::SeqCst)).write(&self.directory)
    }

    /// Makes every nonce taken so far survive the death of the process: a call must have no effect and no
    /// answer before.
    ///
    /// # Errors
    /// [`NonceError::Log`]; the nonces stay taken, and are written with the next call of this.
    pub fn write(&self) -> Result<(), NonceError> {
        let mut segment = self.segment.lock().unwrap_or_else(PoisonError::into_inner);
        if segment.pending.is_empty() {
            return Ok(());
        }
        if segment.now - segment.begun >= SEGMENT_SECONDS {
            fail_point!("nonce::turning");
            let steady = segment.now;
            // Before anything is removed: what is forgotten must stay known as forgotten.
            for closed in segment.closed.iter().filter(|closed| closed.until < steady) {
                self.forgotten.fetch_max(closed.expires, Ordering::SeqCst);
            }
            Mark::now("open", self.forgotten.load(Ordering::SeqCst)).write(&self.directory)?;
            segment.turn(&self.directory)?;
        }
        fail_point!("nonce::taking");
        segment.write()?;
        fail_point!("nonce::taken");
        Ok(())
    }
}

/// Until when (steady clock) a nonce is kept: as long as its request could be accepted, had the wall clock
/// gone evenly, and a while longer.
fn keep_until(now: Moment, expires: i64) -> i64 {
    now.steady + (expires - now.unix).clamp(0, KEPT_MOST) + 1
}

impl Shard {
    fn insert(&mut self, print: Print, until: i64, expires: i64) {
        let number = until.div_euclid(60);
        let place = self.minutes.partition_point(|minute| minute.number < number);
        if self.minutes.get(place).is_none_or(|minute| minute.number != number) {
            let prints = HashSet::default();
            self.minutes.insert(place, Minute { number, prints, expires });
        }
        let minute = &mut self.minutes[place];
        minute.prints.insert(print);
        minute.expires = minute.expires.max(expires);
    }

    /// Forgets what may be forgotten: how many, and the latest expiry among them.
    fn drop_old(&mut self, steady: i64) -> Option<(usize, i64)> {
        let mut dropped = None;
        while self.minutes.front().is_some_and(|minute| (minute.number + 1) * 60 <= steady) {
            if let Some(minute) = self.minutes.pop_front() {
                let (count, expires) = dropped.unwrap_or((0, i64::MIN));
                dropped = Some((count + minute.prints.len(), minute.expires.max(expires)));
            }
        }
        dropped
    }
}

impl Segment {
    fn begin(directory: &Path, steady: i64, closed: Vec<Closed>) -> std::io::Result<Self> {
        // Never a segment that is there: its end may be torn.
        let highest = segments(directory)?.iter().filter_map(|path| number(path)).max().unwrap_or(0);
        let path = directory.join(format!("{SEGMENT_PREFIX}{}", highest + 1));
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path)?;
        let pending = Vec::new();
        Ok(Self {
            file,
            length: 0,
            pending,
            now: steady,
            begun: steady,
            closed,
            path,
            until: i64::MIN,
            expires: i64::MIN,
        })
    }

    /// Takes a record; it is in the file with the next [`Segment::write`].
    fn take(&mut self, print: &Print, now: i64, until: i64, expires: i64) {
        self.pending.extend_from_slice(print);
        self.pending.extend_from_slice(&expires.to_le_bytes());
        self.now = now;
        self.until = self.until.max(until);
        self.expires = self.expires.max(expires);
    }

    /// Appends what was taken, whole or not at all.
    fn write(&mut self) -> std::io::Result<()> {
        if let Err(error) = self.file.write_all(&self.pending) {
            // Half a record would make all after it unreadable.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    fn turn(&mut self, directory: &Path) -> std::io::Result<()> {
        let next = Self::begin(directory, self.now, Vec::new())?;
        let full = std::mem::replace(self, next);
        // What was taken and not written goes into the new one, whose bounds may be those of both.
        (self.pending, self.now, self.until, self.expires) =
            (full.pending, full.now, full.until, full.expires);
        self.closed = full.closed;
        self.closed.retain(|segment| segment.matters(self.now));
        self.closed.push(Closed { path: full.path, until: full.until, expires: full.expires });
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

fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(SEGMENT_PREFIX)?.parse().ok()
}

/// What is read back at a start.
struct Loaded {
    shards: Vec<Shard>,
    count: usize,
    forgotten: i64,
}

impl Loaded {
    fn new(forgotten: i64) -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect(), count: 0, forgotten }
    }

    /// Reads a segment's nonces that have not expired.
    fn load(&mut self, path: PathBuf, now: Moment) -> std::io::Result<Closed> {
        let mut bytes = Vec::new();
        File::open(&path)?.read_to_end(&mut bytes)?;
        let mut segment = Closed { path, until: i64::MIN, expires: i64::MIN };
        // A torn last record belongs to a request that was not answered.
        for record in bytes.chunks_exact(RECORD) {
            let (print, expires) = record.split_at(16);
            let expires = expires.try_into().map_or(i64::MIN, i64::from_le_bytes);
            if expires < now.unix {
                self.forgotten = self.forgotten.max(expires);
            } else if let Ok(print) = <Print>::try_from(print) {
                let until = keep_until(now, expires);
                segment.until = segment.until.max(until);
                segment.expires = segment.expires.max(expires);
                self.shards[usize::from(print[0]) % SHARDS].insert(print, until, expires);
                self.count += 1;
            }
        }
        Ok(segment)
    }
}

/// What stands beside the log: which boot of the machine wrote it, whether it was closed in order, and
/// the latest expiry among forgotten nonces.
struct Mark {
    boot: String,
    state: String,
    forgotten: i64,
}

impl Mark {
    fn read(directory: &Path) -> Self {
        let text = std::fs::read_to_string(directory.join(MARK_FILE)).unwrap_or_default();
        let mut words = text.split_whitespace().map(ToOwned::to_owned);
        let (boot, state) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let forgotten = words.next().and_then(|word| word.parse().ok()).unwrap_or(i64::MIN);
        Self { boot, state, forgotten }
    }

    fn now(state: &str, forgotten: i64) -> Self {
        Self { boot: boot(), state: state.into(), forgotten }
    }

    /// Whether the log before it is whole: there was none, it was closed in order, or the machine is
    /// still in the same boot.
    fn trusted(&self) -> bool {
        self.boot.is_empty() || self.state == "closed" || self.boot == boot()
    }

    /// Writes it, whole or not at all.
    fn write(&self, directory: &Path) -> std::io::Result<()> {
        let (path, part) = (directory.join(MARK_FILE), directory.join("nonces.part"));
        let boot = if self.boot.is_empty() { "unknown" } else { &self.boot };
        // A link in its place is removed and not followed.
        match std::fs::remove_file(&part) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&part)?;
        writeln!(file, "{boot} {} {}", self.state, self.forgotten)?;
        std::fs::rename(part, path)
    }
}

fn boot() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wall clock goes evenly.
    fn at(unix: i64) -> Moment {
        Moment { unix, steady: unix }
    }

    #[test]
    fn a_nonce_is_taken_once_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let log = NonceLog::open(directory.path(), at(1_000), 10).unwrap();
        assert!(log.take("k", "n", at(1_000), 1_900).is_ok());
        assert!(matches!(log.take("k", "n", at(1_001), 1_900), Err(NonceError::Used)));
        assert!(log.take("other", "n", at(1_001), 1_900).is_ok());
        log.write().unwrap();
        drop(log);
        for restart in 0..3 {
            // The steady clock of a new process begins anywhere.
            let now = Moment { unix: 1_002, steady: restart };
            let log = NonceLog::open(directory.path(), now, 10).unwrap();
            assert!(matches!(log.take("k", "n", now, 1_901), Err(NonceError::Used)), "restart {restart}");
            assert_eq!((log.not_before(), log.count()), (i64::MIN, 2));
        }
    }

    #[test]
    fn expired_nonces_are_forgotten_and_the_limit_holds() {
        let directory = tempfile::tempdir().unwrap();
        let log = NonceLog::open(directory.path(), at(0), 64).unwrap();
        for number in 0..64 {
            log.take("k", &number.to_string(), at(0), 60).unwrap();
        }
        assert!(matches!(log.take("k", "one more", at(0), 60), Err(NonceError::Full(64))));
        let taken =
            (0..10_000).filter(|n| log.take("k", &format!("later {n}"), at(200), 1_000).is_ok()).count();
        assert!((1..=64).contains(&taken));
    }

    #[test]
    fn another_boot_without_an_orderly_stop_is_not_trusted() {
        let directory = tempfile::tempdir().unwrap();
        drop(NonceLog::open(directory.path(), at(0), 10).unwrap());
        std::fs::write(directory.path().join(MARK_FILE), "another-boot open\n").unwrap();
        assert_eq!(NonceLog::open(directory.path(), at(77), 10).unwrap().not_before(), 77);
        std::fs::write(directory.path().join(MARK_FILE), "another-boot closed\n").unwrap();
        let log = NonceLog::open(directory.path(), at(78), 10).unwrap();
        assert_eq!(log.not_before(), i64::MIN);
        log.close().unwrap();
    }

    #[test]
    fn no_jump_of_the_clock_lets_a_replay_through() {
        let directory = tempfile::tempdir().unwrap();
        let (t, expires) = (100_000, 100_900);
        let log = NonceLog::open(directory.path(), Moment { unix: t, steady: 0 }, 1_000).unwrap();
        log.take("k", "n", Moment { unix: t, steady: 0 }, expires).unwrap();
        // Hours forward, with requests of that time, and back again.
        let later = t + 7_200;
        log.take("k", "later", Moment { unix: later, steady: 1 }, later + 900).unwrap();
        let back = log.take("k", "n", Moment { unix: t, steady: 2 }, expires);
        assert!(matches!(back, Err(NonceError::Used)));
        // Long after, when it was forgotten: set back to the time of the request.
        let steady = 3 * KEPT_MOST;
        for number in 0..1_000 {
            // Every shard gets its turn to forget.
            let _ = log.take("k", &format!("x{number}"), Moment { unix: later, steady }, later + 900);
        }
        let back = log.take("k", "n", Moment { unix: t, steady }, expires);
        assert!(matches!(back, Err(NonceError::Forgotten)), "{back:?}");
        // The same over a restart.
        log.write().unwrap();
        drop(log);
        let log = NonceLog::open(directory.path(), Moment { unix: later + 9_000, steady: 0 }, 1_000).unwrap();
        drop(log);
        let log = NonceLog::open(directory.path(), Moment { unix: t, steady: 0 }, 1_000).unwrap();
        let back = log.take("k", "n", Moment { unix: t, steady: 0 }, expires);
        assert!(matches!(back, Err(NonceError::Forgotten)), "{back:?}");
    }

    #[test]
    fn a_torn_record_harms_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let log = NonceLog::open(directory.path(), at(0), 10).unwrap();
        log.take("k", "first", at(0), 900).unwrap();
        log.write().unwrap();
        log.segment.lock().unwrap().file.write_all(b"torn").unwrap();
        drop(log);
        let log = NonceLog::open(directory.path(), at(0), 10).unwrap();
        log.take("k", "second", at(0), 900).unwrap();
        log.write().unwrap();
        drop(log);
        let log = NonceLog::open(directory.path(), at(0), 10).unwrap();
        for nonce in ["first", "second"] {
            assert!(matches!(log.take("k", nonce, at(1), 900), Err(NonceError::Used)), "{nonce}");
        }
    }
}
