//! Used nonces, so that no signed request is accepted twice, not even right after a restart.
//!
//! In memory they are in sets by the minute in which they expire, spread over shards, so that a look-up holds a
//! short lock and whole minutes are dropped at once. On disk each such minute has a file, which is deleted with it:
//! the log is as long as what is remembered. Nonces are appended to it before the request has an effect or an
//! answer; requests that are answered together share one write. The log is not synced: what the process wrote
//! survives its death. It does not survive a power failure, so the log also names the boot of the machine; after
//! another boot without an orderly stop [`NonceLog::not_before`] is the start of this process, and requests dated
//! earlier are refused as expired.
//!
//! **The bound has shares** (`nonce/shares.rs`): each account, and each principal within it, may use most of the
//! table while nobody else needs it, and is refused first when others do. A request that is refused for another
//! reason consumes no nonce and is not written.
//!
//! **The wall clock may jump.** How long a nonce is kept is measured by a monotonic clock, so a jump forward does
//! not make it expire early. When nonces are dropped, the latest expiry among them is remembered: a request that
//! expires no later than that may be a replay (the clock was set back to a time that was used before), and is
//! refused.

mod shares;

use std::collections::{HashSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;

use fail::fail_point;

use crate::StoreError;
use crate::put::put;

pub use shares::Owner;
pub(crate) use shares::Shares;

/// Bytes of the SHA-256 digest over key id and nonce that identify a nonce.
pub(crate) type Print = [u8; 16];

/// A present moment, on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// UNIX seconds: may jump.
    pub unix: i64,
    /// Seconds of a clock that never jumps, from any beginning.
    pub steady: i64,
}

const SHARDS: usize = 64;
/// Bytes of a record: print, expiry, and whose it is.
const RECORD: usize = 40;
/// Bytes of a record of older releases, which does not say whose it is.
const OLD_RECORD: usize = 24;
/// Longest that a nonce is kept, seconds: twice the skew that a request's time may have.
const KEPT_MOST: i64 = 2 * 900;
const PREFIX: &str = "owned-";
const OLD_PREFIX: &str = "nonces-";
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
    /// The caller was refused by the check that [`NonceLog::take`] was given, before the nonce was consumed.
    #[error("refused before the nonce was taken")]
    Refused,
    /// The caller has as many nonces remembered as its share is at present; it may try later.
    #[error("the caller's share of nonces is used up")]
    Full,
    /// The log could not be written.
    #[error("nonce log: {0}")]
    Log(#[from] std::io::Error),
}

/// The memory of used nonces of one data directory.
pub struct NonceLog {
    directory: PathBuf,
    shards: Vec<Mutex<Shard>>,
    log: Mutex<Log>,
    not_before: i64,
    /// Latest expiry among the nonces forgotten, UNIX seconds.
    forgotten: AtomicI64,
}

impl std::fmt::Debug for NonceLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NonceLog").field("directory", &self.directory).finish_non_exhaustive()
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

/// What is on disk, and whose it is.
struct Log {
    shares: Shares,
    /// The files of this process by the minute in which they go, earliest first.
    lanes: VecDeque<Lane>,
    /// Files of earlier processes.
    closed: Vec<Closed>,
    /// Number of the next file.
    next: u64,
    /// When the last nonce was taken, steady clock.
    now: i64,
    /// Records were taken and not written yet.
    pending: bool,
}

/// The file of the nonces that may be forgotten after the same minute of the steady clock.
struct Lane {
    number: i64,
    path: PathBuf,
    /// Made with the first write.
    file: Option<File>,
    length: u64,
    /// Records taken and not written yet.
    pending: Vec<u8>,
    /// Latest expiry in it, UNIX seconds.
    expires: i64,
}

/// A file of an earlier process.
struct Closed {
    path: PathBuf,
    /// When nothing in it matters any more, steady clock.
    until: i64,
    /// Latest expiry in it, UNIX seconds.
    expires: i64,
}

impl Closed {
    /// Removes the file if nothing in it matters any more. Returns whether it is still there.
    fn matters(&self, steady: i64) -> bool {
        // One that cannot be removed now is removed at the next turn or start.
        self.until >= steady || std::fs::remove_file(&self.path).is_err()
    }
}

impl NonceLog {
    /// Opens the log in `directory` and reads back what has not expired. At most `limit` nonces are
    /// remembered, in shares.
    ///
    /// # Errors
    /// File errors.
    pub fn open(directory: &Path, now: Moment, limit: usize) -> Result<Self, StoreError> {
        let failed = |what| {
            let path = directory.to_path_buf();
            move |source| StoreError::File { what, path, source }
        };
        super::open::make_folder(directory).map_err(failed("cannot make nonce directory"))?;
        let before = Mark::read(directory);
        let mut loaded = Loaded::new(before.forgotten, limit);
        let mut closed = Vec::new();
        let files = files(directory).map_err(failed("cannot list nonce log"))?;
        // Never a file that is there: its end may be torn.
        let next = files.iter().filter_map(|path| number(path)).max().unwrap_or(0) + 1;
        for path in files {
            closed.push(loaded.load(path, now).map_err(failed("cannot read nonce log"))?);
        }
        let orderly = before.trusted();
        // Before anything is removed: what is forgotten must stay known as forgotten.
        Mark::now("open", loaded.forgotten).write(directory).map_err(failed("cannot mark nonce log"))?;
        closed.retain(|file| file.matters(now.steady));
        let Loaded { shards, shares, forgotten } = loaded;
        let lanes = VecDeque::new();
        let log = Log { shares, lanes, closed, next, now: now.steady, pending: false };
        Ok(Self {
            directory: directory.to_path_buf(),
            shards: shards.into_iter().map(Mutex::new).collect(),
            log: Mutex::new(log),
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
        let forgotten = super::open::make_folder(directory).and_then(|()| {
            Mark { boot: "restored".into(), state: "open".into(), forgotten: i64::MIN }.write(directory)
        });
        forgotten.map_err(|source| StoreError::File {
            what: "cannot write the nonce log in",
            path: directory.to_path_buf(),
            source,
        })
    }

    /// Gives every nonce in the log of a directory to `look`, with its expiry, UNIX seconds. Answers up to which expiry
    /// requests may have been taken whose nonces are not there any more, if it is `now`.
    pub(crate) fn each(
        directory: &Path,
        now: i64,
        mut look: impl FnMut(&Print, i64) -> Result<(), StoreError>,
    ) -> Result<i64, StoreError> {
        let failed = |source| StoreError::File {
            what: "cannot read the nonce log in",
            path: directory.to_path_buf(),
            source,
        };
        let mark = Mark::read(directory);
        let files = if directory.exists() { files(directory).map_err(failed)? } else { Vec::new() };
        for path in files {
            let bytes = std::fs::read(&path).map_err(failed)?;
            for Record { print, expires, .. } in records(&path, &bytes) {
                look(&print, expires)?;
            }
        }
        // Of a log that is not whole any request from before may have been taken.
        let lost = if mark.trusted() { 0 } else { KEPT_MOST / 2 };
        Ok(mark.forgotten.max(now + lost))
    }

    /// Makes the log of a directory of nonces that were taken elsewhere, each with its expiry; requests that expire by
    /// `forgotten`, UNIX seconds, may have been taken too.
    pub(crate) fn begin_with(
        directory: &Path,
        forgotten: i64,
        nonces: impl FnOnce(&mut dyn FnMut(&Print, i64) -> std::io::Result<()>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::File {
            what: "cannot write the nonce log in",
            path: directory.to_path_buf(),
            source,
        };
        super::open::make_folder(directory).map_err(failed)?;
        for path in files(directory).map_err(failed)? {
            std::fs::remove_file(path).map_err(failed)?;
        }
        let mut taken = Ok(());
        // Whose they were is not known, as in the files of older releases.
        put(&directory.join(format!("{OLD_PREFIX}1")), |file| {
            let mut file = std::io::BufWriter::new(file);
            taken = nonces(&mut |print, expires| {
                file.write_all(print)?;
                file.write_all(&expires.to_le_bytes())
            });
            file.flush()
        })
        .map_err(failed)?;
        taken?;
        Mark::now("closed", forgotten).write(directory).map_err(failed)
    }

    /// Requests dated before this time (UNIX seconds) cannot be distinguished from replays and must be refused.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Takes a nonce of a key for a request of `owner` that expires at `expires` (UNIX seconds), if it was not
    /// used and `admit` (called then, once) agrees. It outlives the process after [`NonceLog::write`].
    ///
    /// # Errors
    /// [`NonceError::Used`] if it was taken before, or may have been; otherwise nothing was taken.
    pub fn take(
        &self,
        owner: Owner,
        (key, nonce): (&str, &str),
        now: Moment,
        expires: i64,
        admit: impl FnOnce() -> bool,
    ) -> Result<(), NonceError> {
        let print = print(key, nonce);
        let mut shard =
            self.shards[usize::from(print[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(expired) = shard.drop_old(now.steady) {
            self.forgotten.fetch_max(expired, Ordering::SeqCst);
        }
        if shard.minutes.iter().any(|minute| minute.prints.contains(&print)) {
            return Err(NonceError::Used);
        }
        if expires <= self.forgotten.load(Ordering::SeqCst) {
            return Err(NonceError::Forgotten);
        }
        if !admit() {
            return Err(NonceError::Refused);
        }
        let minute = keep_until(now, expires).div_euclid(60);
        let mut log = self.log();
        log.shares.drop_old(now.steady);
        if !log.shares.take(owner, minute) {
            return Err(NonceError::Full);
        }
        log.take(&self.directory, Record { print, expires, owner }, minute, now.steady);
        drop(log);
        shard.insert(print, minute, expires);
        Ok(())
    }

    /// Nonces remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.log().shares.total()
    }

    /// Whether a nonce could be made to outlive the process now. That somebody's share is used up is no fault of
    /// the log.
    ///
    /// # Errors
    /// The log's files cannot be written, or its directory does not exist any more.
    pub fn check(&self) -> Result<(), NonceError> {
        self.write()?;
        std::fs::metadata(&self.directory)?;
        Ok(())
    }

    /// Notes an orderly stop, so that the next start trusts the log also after another boot.
    ///
    /// # Errors
    /// File errors.
    pub fn close(&self) -> std::io::Result<()> {
        let _ = self.write();
        for lane in &self.log().lanes {
            lane.file.as_ref().map_or(Ok(()), File::sync_all)?;
        }
        Mark::now("closed", self.forgotten.load(Ordering::SeqCst)).write(&self.directory)
    }

    /// Makes every nonce taken so far survive the death of the process: a call must have no effect and no
    /// answer before.
    ///
    /// # Errors
    /// [`NonceError::Log`]; the nonces stay taken, and are written with the next call of this.
    pub fn write(&self) -> Result<(), NonceError> {
        let mut log = self.log();
        if !log.pending {
            return Ok(());
        }
        if let Some(expired) = log.expired() {
            fail_point!("nonce::turning");
            // Before anything is removed: what is forgotten must stay known as forgotten.
            let forgotten = self.forgotten.fetch_max(expired, Ordering::SeqCst).max(expired);
            Mark::now("open", forgotten).write(&self.directory)?;
            log.remove_expired();
        }
        fail_point!("nonce::taking");
        log.write()?;
        fail_point!("nonce::taken");
        Ok(())
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until when (steady clock) a nonce is kept: as long as its request could be accepted, had the wall clock
/// gone evenly, and a while longer.
fn keep_until(now: Moment, expires: i64) -> i64 {
    now.steady + (expires - now.unix).clamp(0, KEPT_MOST) + 1
}

impl Shard {
    fn insert(&mut self, print: Print, number: i64, expires: i64) {
        let place = self.minutes.partition_point(|minute| minute.number < number);
        if self.minutes.get(place).is_none_or(|minute| minute.number != number) {
            let prints = HashSet::default();
            self.minutes.insert(place, Minute { number, prints, expires });
        }
        let minute = &mut self.minutes[place];
        minute.prints.insert(print);
        minute.expires = minute.expires.max(expires);
    }

    /// Forgets what may be forgotten: the latest expiry among it.
    fn drop_old(&mut self, steady: i64) -> Option<i64> {
        let mut dropped = None;
        while self.minutes.front().is_some_and(|minute| over(minute.number, steady)) {
            if let Some(minute) = self.minutes.pop_front() {
                dropped = Some(dropped.map_or(minute.expires, |expires: i64| expires.max(minute.expires)));
            }
        }
        dropped
    }
}

/// Whether a minute of the steady clock is over.
fn over(minute: i64, steady: i64) -> bool {
    (minute + 1) * 60 <= steady
}

/// A nonce as the log has it.
struct Record {
    print: Print,
    expires: i64,
    owner: Owner,
}

impl Record {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.print);
        bytes.extend_from_slice(&self.expires.to_le_bytes());
        bytes.extend_from_slice(&self.owner.account.to_le_bytes());
        bytes.extend_from_slice(&self.owner.principal.to_le_bytes());
    }

    /// Reads a record of this release or, without an owner, of an older one.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (print, rest) = bytes.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let mut words = rest.chunks_exact(8).filter_map(|word| word.try_into().ok().map(u64::from_le_bytes));
        let owner =
            Owner { account: words.next().unwrap_or_default(), principal: words.next().unwrap_or_default() };
        Some(Self { print: *print, expires: i64::from_le_bytes(*expires), owner })
    }
}

impl Log {
    /// Takes a record; it is in its file with the next [`Log::write`].
    fn take(&mut self, directory: &Path, record: Record, number: i64, now: i64) {
        let place = self.lanes.partition_point(|lane| lane.number < number);
        if self.lanes.get(place).is_none_or(|lane| lane.number != number) {
            let path = directory.join(format!("{PREFIX}{}", self.next));
            self.next += 1;
            let (file, length, pending, expires) = (None, 0, Vec::new(), i64::MIN);
            self.lanes.insert(place, Lane { number, path, file, length, pending, expires });
        }
        let lane = &mut self.lanes[place];
        record.append_to(&mut lane.pending);
        lane.expires = lane.expires.max(record.expires);
        (self.now, self.pending) = (now, true);
    }

    /// The latest expiry in files whose minute is over; none if there is no such file.
    fn expired(&self) -> Option<i64> {
        let lanes = self.lanes.iter().filter(|lane| over(lane.number, self.now)).map(|lane| lane.expires);
        let closed = self.closed.iter().filter(|file| file.until < self.now).map(|file| file.expires);
        lanes.chain(closed).max()
    }

    fn remove_expired(&mut self) {
        while self.lanes.front().is_some_and(|lane| over(lane.number, self.now)) {
            if let Some(lane) = self.lanes.pop_front() {
                self.closed.push(Closed { path: lane.path, until: i64::MIN, expires: lane.expires });
            }
        }
        let now = self.now;
        self.closed.retain(|file| file.matters(now) && file.path.exists());
    }

    /// Appends what was taken, to each file whole or not at all.
    fn write(&mut self) -> std::io::Result<()> {
        for lane in self.lanes.iter_mut().filter(|lane| !lane.pending.is_empty()) {
            lane.write()?;
        }
        self.pending = false;
        Ok(())
    }
}

impl Lane {
    fn write(&mut self) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let options =
                    OpenOptions::new().create_new(true).append(true).mode(0o600).open(&self.path)?;
                self.file.insert(options)
            }
        };
        if let Err(error) = file.write_all(&self.pending) {
            // Half a record would make all after it unreadable.
            file.set_len(self.length)?;
            return Err(error);
        }
        self.length += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

/// What a nonce of a key is kept as, in every store.
pub(crate) fn print(key: &str, nonce: &str) -> Print {
    let text = [&key.len().to_le_bytes(), key.as_bytes(), nonce.as_bytes()].concat();
    let mut print = [0; 16];
    print.copy_from_slice(&digest::digest(&digest::SHA256, &text).as_ref()[..16]);
    print
}

fn files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if number(&path).is_some() {
            found.push(path);
        }
    }
    Ok(found)
}

/// The number in the name of a file of the log, of this release or an older one.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(PREFIX).or_else(|| name.strip_prefix(OLD_PREFIX))?.parse().ok()
}

/// The records of a file. A torn last one belongs to a request that was not answered.
fn records<'b>(path: &Path, bytes: &'b [u8]) -> impl Iterator<Item = Record> + use<'b> {
    let old = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(OLD_PREFIX));
    bytes.chunks_exact(if old { OLD_RECORD } else { RECORD }).filter_map(Record::read)
}

/// What is read back at a start.
struct Loaded {
    shards: Vec<Shard>,
    shares: Shares,
    forgotten: i64,
}

impl Loaded {
    fn new(forgotten: i64, limit: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { shards, shares: Shares::new(limit), forgotten }
    }

    /// Reads a file's nonces that have not expired.
    fn load(&mut self, path: PathBuf, now: Moment) -> std::io::Result<Closed> {
        let mut bytes = Vec::new();
        File::open(&path)?.read_to_end(&mut bytes)?;
        let (mut until, mut latest) = (i64::MIN, i64::MIN);
        for Record { print, expires, owner } in records(&path, &bytes) {
            if expires < now.unix {
                self.forgotten = self.forgotten.max(expires);
                continue;
            }
            let kept = keep_until(now, expires);
            let minute = kept.div_euclid(60);
            (until, latest) = (until.max(kept), latest.max(expires));
            self.shards[usize::from(print[0]) % SHARDS].insert(print, minute, expires);
            self.shares.add(owner, minute);
        }
        Ok(Closed { path, until, expires: latest })
    }
}

/// The file beside the log: which boot of the machine wrote it, whether it was closed in order, and
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
        let boot = if self.boot.is_empty() { "unknown" } else { &self.boot };
        let text = format!("{boot} {} {}\n", self.state, self.forgotten);
        put(&directory.join(MARK_FILE), |file| file.write_all(text.as_bytes())).map(drop)
    }
}

fn boot() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().to_owned()
}

#[cfg(test)]
mod tests;
