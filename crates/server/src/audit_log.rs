//! The audit log: every audit record, appended to a file as a line of JSON, for whoever collects and keeps such lines.
//!
//! The database is what counts; the file follows it. A thread of its own reads the record in its order, a bounded
//! number of records at a time, and appends: no request waits for it, and a disk that is full or hangs holds up
//! nothing but this thread. What is not written yet waits in the database.
//!
//! * **Where it goes on.** The last whole line of the file has the number of its record. A line that was cut short is
//!   removed, since its record is written again whole. Beside the file, `FILE.position` says how far it went, in which
//!   file (device and inode), and the hash of that record: a file that was rotated while nothing ran is found by that,
//!   and a database that was exchanged for another or an older one shows by the hash. Without file and position,
//!   writing begins with the oldest record that the database keeps.
//! * **Nothing is written twice.** The position is the greatest number that any of the three has.
//! * **What is missing is said.** Numbers follow each other. Records that were gone before they could be written are a
//!   line of their own, and so is a database that does not go on where the file ends.
//!
//! Lines are the process's own after each write; every five seconds, and before a file is left, they are brought to
//! the disk, and the position after them.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tongguan_service::context::{Clock as _, SystemClock, iso8601};
use tongguan_store::{Snapshot, Store, StoreError};
use tracing::{info, warn};

use crate::causes::causes;
use crate::cli::audit::{Shown, as_json, vouch};
use crate::exit;

/// How often it looks for new records.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two batches while there are more: others use the database and the disk too.
const BREATH: Duration = Duration::from_millis(2);
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);
/// How often lines are brought to the disk.
const NOTE: Duration = Duration::from_secs(5);
/// How often a failure that goes on is told again.
const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// Records read and written at one time.
const AT_ONCE: usize = 1_000;
/// No line is as long as this.
const LONGEST: u64 = 16 << 20;
/// The file's mode, of one that is made: its group is who collects it.
const MODE: u32 = 0o640;

/// The audit log of a service that runs. Dropped, it writes what there is and ends.
#[derive(Debug)]
pub(crate) struct AuditLog {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
    condition: Arc<Condition>,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    OpenAnew,
    Stop,
}

impl AuditLog {
    /// Opens the file, or makes it, and begins to follow the record.
    ///
    /// # Errors
    /// The file cannot be made or is none of ours; a full disk is no error, it may pass. The database cannot be read.
    pub(crate) fn start(path: &Path, store: Store) -> Result<Self> {
        let mut follower = Follower::new(path, &store)?;
        let condition = Arc::new(Condition::default());
        match follower.open() {
            Err(error) if full(&error) => condition.failed(&error),
            other => other.context(exit::Configuration)?,
        }
        let (orders, received) = channel();
        let shown = Arc::clone(&condition);
        let thread = std::thread::Builder::new()
            .name("audit-log".into())
            .spawn(move || follow(&mut follower, &store, &received, &shown))
            .context("cannot start a thread for the audit log")?;
        Ok(Self { orders, thread: Some(thread), condition })
    }

    /// Goes on in the file that is at its path now: whoever rotates it has renamed the other.
    pub(crate) fn open_anew(&self) {
        // It ends only with this.
        let _ = self.orders.send(Order::OpenAnew);
    }

    /// How it is.
    pub(crate) fn condition(&self) -> Arc<Condition> {
        Arc::clone(&self.condition)
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            warn!("the audit log ended with a panic");
        }
    }
}

/// How the audit log is, for health checks and metrics.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    written: AtomicU64,
    behind: AtomicU64,
    failures: AtomicU64,
    trouble: Mutex<Trouble>,
}

/// Why nothing can be written.
#[derive(Debug, Default)]
struct Trouble {
    what: Option<String>,
    told: Option<Instant>,
}

impl Condition {
    /// Records written since the start.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Records that wait to be written, as far as it was looked.
    pub(crate) fn behind(&self) -> u64 {
        self.behind.load(Ordering::Relaxed)
    }

    /// How often writing has failed since the start.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Why nothing can be written at present.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).what.clone()
    }

    fn failed(&self, error: &anyhow::Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let what = causes(error);
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let told = trouble.told.is_some_and(|told| told.elapsed() < TOLD_AGAIN);
        if !told || trouble.what.as_ref() != Some(&what) {
            warn!(error = what, "the audit log cannot be written; records wait in the database");
            trouble.told = Some(Instant::now());
        }
        trouble.what = Some(what);
    }

    fn fine(&self) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.what.take().is_some() {
            info!("the audit log can be written again");
            trouble.told = None;
        }
    }
}

/// Says whether a start could use this file, and changes nothing.
///
/// # Errors
/// It could not.
pub(crate) fn look(path: &Path) -> Result<()> {
    let said = || format!("audit_log `{}`", path.display());
    match File::open(path) {
        Ok(mut file) => {
            ensure!(file.metadata()?.is_file(), "{} is no file", said());
            End::of(&mut file).with_context(said).map(drop)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = folder(path);
            ensure!(folder.is_dir(), "{}: `{}` is no directory", said(), folder.display());
            Ok(())
        }
        Err(error) => Err(error).with_context(said),
    }
}

fn full(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
    };
    error
        .chain()
        .filter_map(kind)
        .any(|kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What the thread does.
fn follow(follower: &mut Follower, store: &Store, orders: &Receiver<Order>, condition: &Condition) {
    let mut wait = Duration::ZERO;
    let mut stops = false;
    while !stops {
        let outcome = match orders.recv_timeout(wait) {
            Ok(Order::OpenAnew) => follower.open_anew(),
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => {
                stops = true;
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) => Ok(()),
        };
        wait = turn(follower, store, condition, outcome);
    }
    while wait == BREATH {
        wait = turn(follower, store, condition, Ok(()));
    }
    if let Err(error) = follower.note() {
        condition.failed(&error);
    }
}

/// Writes a batch; answers how long to wait for the next.
fn turn(follower: &mut Follower, store: &Store, condition: &Condition, before: Result<()>) -> Duration {
    let turned = before.and_then(|()| {
        catch_unwind(AssertUnwindSafe(|| follower.turn(store, condition)))
            .unwrap_or_else(|_| Err(anyhow!("a panic, which the log has")))
    });
    match turned {
        Ok(more) => {
            condition.fine();
            if more { BREATH } else { PAUSE }
        }
        Err(error) => {
            condition.failed(&error);
            RETRY
        }
    }
}

/// How far the record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// Number of the last record; 0 before the first.
    seq: i64,
    /// Its hash, if it is known.
    #[serde(with = "hex_hash")]
    hash: Option<[u8; 32]>,
}

impl Position {
    /// Before the first record.
    const BEGIN: Self = Self { seq: 0, hash: None };
}

/// A hash in hex digits.
mod hex_hash {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &Option<[u8; 32]>, to: S) -> Result<S::Ok, S::Error> {
        hash.map(hex::encode).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<[u8; 32]>, D::Error> {
        let Some(digits) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).map_err(serde::de::Error::custom)?;
        Ok(Some(hash))
    }
}

/// Which file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Inode {
    device: u64,
    inode: u64,
}

impl Inode {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// What stands in `FILE.position`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Noted {
    #[serde(flatten)]
    position: Position,
    #[serde(flatten)]
    file: Inode,
}

impl Noted {
    fn path(log: &Path) -> PathBuf {
        let mut name = log.as_os_str().to_owned();
        name.push(".position");
        name.into()
    }

    /// One that cannot be read is none: the file itself tells how far it goes.
    fn read(log: &Path) -> Option<Self> {
        let path = Self::path(log);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(%error, path = %path.display(), "the position of the audit log cannot be read");
                return None;
            }
        };
        let noted = serde_json::from_slice(&text);
        noted
            .inspect_err(|error| warn!(%error, path = %path.display(), "this is no position of an audit log"))
            .ok()
    }

    /// Whole or not at all, and durably.
    fn write(&self, log: &Path) -> Result<()> {
        let path = Self::path(log);
        let put = tongguan_store::put(&path, |file| {
            serde_json::to_writer(&mut *file, self)?;
            file.write_all(b"\n")
        });
        put.map(drop).with_context(|| format!("cannot write `{}`", path.display()))
    }
}

/// The end of a file with lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct End {
    /// The number in its last whole line; none if it has no line.
    seq: Option<i64>,
    /// Bytes up to the end of that line.
    length: u64,
    /// Bytes of it.
    size: u64,
}

impl End {
    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read, or something else stands there than lines of ours.
    fn of(file: &mut File) -> Result<Self> {
        let size = file.metadata()?.len();
        let mut window = 64 << 10;
        loop {
            let from = size.saturating_sub(window);
            let mut tail = Vec::new();
            file.seek(SeekFrom::Start(from))?;
            Read::take(&mut *file, size - from).read_to_end(&mut tail)?;
            let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let (lines, torn) = tail.split_at(whole);
            let length = from + lines.len() as u64;
            let begin = lines.strip_suffix(b"\n").map(|lines| lines.iter().rposition(|byte| *byte == b'\n'));
            match begin {
                // The last whole line begins before what was read.
                Some(None) | None if from > 0 => {}
                None => {
                    ensure!(begins_a_line(torn), "this is not an audit log; nothing was changed");
                    return Ok(Self { seq: None, length, size });
                }
                Some(begin) => {
                    let line = &lines[begin.map_or(0, |end| end + 1)..];
                    let line: Option<Value> = serde_json::from_slice(line).ok();
                    let seq = line.and_then(|line| line["seq"].as_i64());
                    let seq = seq.context("the last line is none of an audit log; nothing was changed")?;
                    return Ok(Self { seq: Some(seq), length, size });
                }
            }
            ensure!(window < LONGEST, "its lines are too long for an audit log; nothing was changed");
            window *= 4;
        }
    }
}

/// Whether a line of ours may have begun like this. A file system may leave zeros where it had no time to write.
fn begins_a_line(torn: &[u8]) -> bool {
    torn.iter().all(|byte| *byte == 0) || torn.starts_with(b"{\"") || torn == b"{"
}

/// The file that is written.
#[derive(Debug)]
struct Target {
    file: File,
    inode: Inode,
    /// The number in its last line when it was opened.
    last: Option<i64>,
}

impl Target {
    /// Opens the file or makes it, for this process alone, and removes a line that was cut short.
    fn open(path: &Path) -> Result<Self> {
        let failed = || format!("cannot open the audit log `{}` (--audit-log)", path.display());
        // Opening a pipe would wait for its reader.
        if let Ok(metadata) = std::fs::metadata(path) {
            ensure!(metadata.is_file(), "the audit log `{}` (--audit-log) is no file", path.display());
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(MODE);
        let mut file = match options.clone().create_new(true).open(path) {
            Ok(file) => {
                // Whatever the process withholds from files of its own.
                file.set_permissions(std::fs::Permissions::from_mode(MODE)).with_context(failed)?;
                file
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                options.open(path).with_context(failed)?
            }
            Err(error) => return Err(error).with_context(failed),
        };
        if let Err(error) = file.try_lock() {
            bail!("the audit log `{}` is not ours alone: {error}", path.display());
        }
        let end = End::of(&mut file).with_context(failed)?;
        if end.length < end.size {
            file.set_len(end.length).with_context(failed)?;
        }
        Ok(Self { inode: Inode::of(&file.metadata().with_context(failed)?), file, last: end.seq })
    }

    /// Appends all of a text or nothing.
    fn append(&mut self, text: &str) -> std::io::Result<()> {
        let before = self.file.metadata()?.len();
        self.file.write_all(text.as_bytes()).or_else(|error| self.file.set_len(before).and(Err(error)))
    }
}

/// Follows the record.
#[derive(Debug)]
struct Follower {
    path: PathBuf,
    target: Option<Target>,
    /// How far it has written; none: it begins with the oldest record.
    position: Option<Position>,
    /// What the last run noted, until a file is open.
    noted: Option<Noted>,
    /// The file that it has written last.
    written: Option<Inode>,
    /// When the position was brought to the disk, unless nothing was written since.
    since_note: Option<Instant>,
    /// Which file it writes is not noted yet.
    unnoted: bool,
    /// The database does not go on where the file ends.
    elsewhere: bool,
}

impl Follower {
    fn new(path: &Path, store: &Store) -> Result<Self> {
        let noted = Noted::read(path);
        let elsewhere = match noted {
            Some(Noted { position: Position { seq, hash }, .. }) => {
                !store.read(|snapshot| snapshot.audit_goes_on(seq, hash.as_ref()))?
            }
            None => false,
        };
        let position = noted.map(|noted| noted.position);
        let written = noted.map(|noted| noted.file);
        let path = path.to_owned();
        Ok(Self { path, target: None, position, noted, written, since_note: None, unnoted: true, elsewhere })
    }

    /// Opens the file at its path, if none is open, and finds out how far it goes.
    fn open(&mut self) -> Result<()> {
        if self.target.is_some() {
            return Ok(());
        }
        let target = Target::open(&self.path)?;
        // What this process has not written says nothing of where it is, unless it has only begun.
        let first = self.noted.take();
        let new = self.written != Some(target.inode);
        let known = self.position.is_some() && first.is_none() && new;
        let mut last = target.last.filter(|_| !known);
        if let Some(noted) = first.filter(|noted| noted.file != target.inode) {
            last = last.max(rotated(&self.path, noted.file));
        }
        if let Some(seq) = last.filter(|seq| self.position.is_none_or(|position| *seq > position.seq)) {
            self.position = Some(Position { seq, hash: None });
        }
        self.unnoted |= new;
        self.written = Some(target.inode);
        self.target = Some(target);
        Ok(())
    }

    /// Leaves the file, and opens what is at its path now.
    fn open_anew(&mut self) -> Result<()> {
        let noted = self.note();
        self.target = None;
        self.open()?;
        noted
    }

    /// Brings what was written to the disk, and then how far it goes.
    fn note(&mut self) -> Result<()> {
        let Some(target) = self.target.as_ref().filter(|_| self.unnoted || self.since_note.is_some()) else {
            return Ok(());
        };
        let failed = || format!("cannot write the audit log `{}`", self.path.display());
        target.file.sync_data().with_context(failed)?;
        let position = self.position.unwrap_or(Position::BEGIN);
        Noted { position, file: target.inode }.write(&self.path)?;
        (self.since_note, self.unnoted) = (None, false);
        Ok(())
    }

    /// Writes what came, a bounded number of records; answers whether there is more.
    fn turn(&mut self, store: &Store, condition: &Condition) -> Result<bool> {
        if let Some(target) = &self.target
            && target.file.metadata()?.nlink() == 0
        {
            warn!(path = %self.path.display(), "the audit log was removed; a new file is made");
            self.target = None;
        }
        self.open()?;
        // Before its first line, so that it is found when it is renamed. Lines are written even if that fails.
        let noted = if self.unnoted { self.note() } else { Ok(()) };
        let (position, elsewhere) = (self.position, self.elsewhere);
        let batch = store.read(|snapshot| Batch::after(snapshot, position, elsewhere))?;
        condition.behind.store(batch.behind, Ordering::Relaxed);
        let target = self.target.as_mut().context("a file is open")?;
        if !batch.text.is_empty() {
            if let Err(error) = target.append(&batch.text) {
                // What stands at its end is looked at when it is opened again.
                self.target = None;
                return Err(error)
                    .with_context(|| format!("cannot write the audit log `{}`", self.path.display()));
            }
            self.elsewhere = false;
            condition.written.fetch_add(batch.records, Ordering::Relaxed);
            condition.behind.fetch_sub(batch.records.min(batch.behind), Ordering::Relaxed);
        }
        if self.position != Some(batch.end) {
            self.position = Some(batch.end);
            self.since_note = self.since_note.or(Some(Instant::now()));
        }
        if batch.elsewhere || self.since_note.is_some_and(|since| since.elapsed() >= NOTE) {
            self.note()?;
        }
        noted?;
        Ok(batch.more)
    }
}

/// The number in the last whole line of a file that was renamed: beside the log, named like it with something added.
fn rotated(log: &Path, inode: Inode) -> Option<i64> {
    let name = log.file_name()?.to_string_lossy().into_owned();
    let entries = std::fs::read_dir(folder(log)).ok()?.filter_map(Result::ok);
    let found =
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&name)).find(|entry| {
            entry.metadata().is_ok_and(|metadata| metadata.is_file() && Inode::of(&metadata) == inode)
        })?;
    End::of(&mut File::open(found.path()).ok()?).ok()?.seq
}

/// Lines to be written.
#[derive(Debug)]
struct Batch {
    text: String,
    /// So many of them are records.
    records: u64,
    /// So many records there were to write, as far as numbers tell.
    behind: u64,
    /// How far they go.
    end: Position,
    /// They say that the database does not go on where the file ends.
    elsewhere: bool,
    /// There are more records.
    more: bool,
}

impl Batch {
    fn after(
        snapshot: &Snapshot<'_>,
        position: Option<Position>,
        elsewhere: bool,
    ) -> Result<Self, StoreError> {
        let head = snapshot.audit_chain()?.head.seq;
        let Position { seq: before, hash } = position.unwrap_or(Position::BEGIN);
        let behind = u64::try_from(head.saturating_sub(before)).unwrap_or(0);
        if elsewhere || !snapshot.audit_goes_on(before, hash.as_ref())? {
            return Ok(Self {
                text: line(&json!({
                    "seq": 0,
                    "elsewhere": {"written": before, "newest": head},
                    "time": now(),
                    "note": "the database does not go on with the last record written here: it was restored or \
                             exchanged; all records that it keeps follow",
                })),
                records: 0,
                behind: u64::try_from(head).unwrap_or(0),
                end: Position::BEGIN,
                elsewhere: true,
                more: true,
            });
        }
        let mut found = Vec::new();
        snapshot.audit_after(before, |seq, record| {
            found.push(Shown { lane: None, seq: Some(seq), record, vouched: None });
            if found.len() < AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        vouch(snapshot, &mut found)?;
        let (mut text, mut last) = (String::new(), before);
        for shown in &found {
            let seq = shown.seq.unwrap_or(last);
            // Nobody expects those that were gone before the first one is written.
            if last > 0 && seq > last.saturating_add(1) {
                text.push_str(&line(&json!({
                    "seq": seq - 1,
                    "gap": {"first": last + 1, "last": seq - 1},
                    "time": now(),
                    "note": "the database no longer has these records: retention has purged them before they were \
                             written, or `tongguan check` tells who removed them",
                })));
            }
            text.push_str(&as_json(shown));
            text.push('\n');
            last = seq;
        }
        let there = snapshot.audit_link(last)?.map(|link| link.hash);
        let hash = if found.is_empty() { there.or(hash) } else { there };
        let (records, more) = (found.len() as u64, found.len() == AT_ONCE);
        Ok(Self { text, records, behind, end: Position { seq: last, hash }, elsewhere: false, more })
    }
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn now() -> String {
    iso8601(SystemClock.now_ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &[u8]) -> Result<End> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        End::of(&mut file)
    }

    #[test]
    fn the_last_whole_line_says_how_far_it_goes() {
        let long = format!("{{\"resource\":\"{}\",\"seq\":8}}\n", "x".repeat(300_000));
        let cases: [(&[u8], Option<i64>, usize); 9] = [
            (b"", None, 0),
            (b"{\"seq\":7}\n", Some(7), 10),
            (b"{\"seq\":7}\n{\"seq\":8}\n", Some(8), 20),
            (b"{\"seq\":7}\n{\"account\":\"12", Some(7), 10),
            (b"{\"seq\":7}\n\0\0\0", Some(7), 10),
            (b"{\"account\":\"12", None, 0),
            (b"\0\0", None, 0),
            (b"{\"seq\":0,\"elsewhere\":{}}\n", Some(0), 25),
            (long.as_bytes(), Some(8), long.len()),
        ];
        for (text, seq, length) in cases {
            let (length, size) = (length as u64, text.len() as u64);
            assert_eq!(end(text).unwrap(), End { seq, length, size }, "{:?}", String::from_utf8_lossy(text));
        }
        // Two long lines, the last of them cut short.
        let torn = format!("{long}{}", &long[..long.len() - 1]);
        assert_eq!(end(torn.as_bytes()).unwrap().length, long.len() as u64);
        let others: [&[u8]; 5] =
            [b"hello", b"hello\n", b"{\"seq\":7}\nhello\n", b"{\"seq\":\"7\"}\n", b"[7]\n"];
        for other in others {
            assert!(end(other).is_err(), "{:?}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn a_position_comes_back_as_it_was_noted() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("audit.jsonl");
        assert!(Noted::read(&log).is_none());
        for hash in [None, Some([0xa5; 32])] {
            let position = Position { seq: 4711, hash };
            let file = Inode { device: u64::MAX, inode: 5 };
            Noted { position, file }.write(&log).unwrap();
            let read = Noted::read(&log).unwrap();
            assert_eq!((read.position, read.file), (position, file));
        }
        std::fs::write(Noted::path(&log), "{\"seq\":4711,\"hash\":\"a5\"}").unwrap();
        assert!(Noted::read(&log).is_none(), "half a hash");
    }
}
