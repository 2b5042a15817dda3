//! A lane: one thread that writes over one connection, and has one chain of audit records.
//!
//! The changes that wait together are one transaction, as in the embedded store; different lanes, of this node and of
//! others, write side by side. What keeps them apart:
//!
//! * **The lane's row** belongs to one owner at a time, until a moment by the clock of the database. Each batch
//!   begins by counting itself in that row, if the row is still its owner's: so a node that was thought dead and was
//!   only slow commits nothing any more. And when the connection breaks while a batch is committed, the row says
//!   whether it was: it is asked for with a lock, for which a commit that is still under way is waited for.
//! * **Locks by account**, held until the commit: whatever a change looks at before it writes, such as a quota or a
//!   block of addresses, stays so. They are taken in one order by everybody, before anything is looked at. A change
//!   that may touch anything excludes all others.

use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tongguan_model::id::AccountId;
use tracing::{error, info, warn};

use super::hosts::Hosts;
use super::link::Link;
use super::outcome::{self, Next, Outcome};
use super::stats::{Held, Looked, Stats};
use super::{Failure, locks, schema, seals};
use crate::audit::chain::{Ends, Found, Sealing};
use crate::audit::fold::Folder;
use crate::audit::retention::TrimError;
use crate::rights::Rights;
use crate::session::Session;
use crate::sqlite::group::TRIM_AFTER;
use crate::sqlite::health::Condition;
use crate::sqlite::trim::{Retention, TRIMMED};
use crate::sqlite::writer::{AUDIT_PER_GROUP, Counters, Job, Trim};
use crate::{AuditRecord, Finding, Options, Scope, Snapshot, StoreError, Trouble, Tx};

/// For how long a lane is its owner's after each batch, and a node counts as living after it has last said so; and how
/// long after the last one a lane says so again.
pub(super) const LEASE_MS: i64 = 10_000;
const RENEWED: Duration = Duration::from_secs(3);
/// For how long a change is tried: whoever asked for it is told after that.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long changes and records wait for others, if those before them had company: a batch costs more than what is in
/// it.
pub(super) const COMPANY: Duration = Duration::from_millis(2);
/// Changes in one batch at most: others wait for the locks of their accounts.
const GROUP: usize = 64;
/// Batches in which each change has a savepoint, after one had to be undone.
const SAVEPOINT_GROUPS: u32 = 64;

/// A session that ends drops the table that only it has, in a transaction of its own, and nothing interrupts that: if
/// it waited for a standby, a primary without one could not be shut down, nor become a standby. So what the session of
/// a lane commits by itself waits for none, and each of its transactions says that it does.
const WAITS_FOR_NONE: &str = "SELECT set_config('tongguan.synchronous_commit', current_setting('synchronous_commit'), \
                              false); SET synchronous_commit = local";
const WAITS: &str =
    " SELECT set_config('synchronous_commit', current_setting('tongguan.synchronous_commit'), true);";

/// A change and what it may touch.
pub(super) struct Work {
    pub(super) job: Box<dyn Job>,
    pub(super) scope: Scope,
    /// When it was asked for.
    pub(super) asked: Instant,
}

impl Work {
    /// Whether nobody has to try it any more: it has waited for others as long as it may be tried itself.
    fn is_late(&self) -> bool {
        self.asked.elapsed() >= PATIENCE
    }
}

/// What a lane is told.
pub(super) enum Message {
    Work(Work),
    Trim(Trim),
    Wake,
}

/// Audit records that wait to be written.
pub(super) struct Backlog {
    pub(super) waiting: VecDeque<AuditRecord>,
    /// Number of the last.
    pub(super) last: u64,
    pub(super) folder: Folder,
}

/// How far audit records were written, and how often that failed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    pub(super) last: u64,
    pub(super) failures: u64,
}

/// What all lanes of a node share.
pub(super) struct Shared {
    pub(super) hosts: Arc<Hosts>,
    /// The node.
    pub(super) owner: String,
    pub(super) options: Options,
    pub(super) rights: Arc<Rights>,
    pub(super) sealing: Arc<Sealing>,
    /// The key of the audit record as it is sealed under the master key that this process has.
    pub(super) kept: Arc<OnceLock<Vec<u8>>>,
    pub(super) condition: Arc<Condition>,
    pub(super) counters: Arc<Counters>,
}

pub(super) struct Lane {
    shared: Arc<Shared>,
    /// Records that this lane writes; none if it writes only those of its changes.
    backlog: Option<(Arc<Mutex<Backlog>>, watch::Sender<Written>)>,
    state: Option<Claimed>,
    /// The lane that was this node's last, which it takes up again if nobody else has.
    own: Option<i64>,
    savepoints: u32,
    /// Several changes or records were written together last.
    company: bool,
    retention: Retention,
    since_trim: u64,
    /// Who waits for retention.
    trims: Vec<Trim>,
    /// The lane and the end of its chain before the batch whose outcome nobody could say last.
    unknown: Option<(i64, i64)>,
    doubts: Vec<Doubt>,
}

/// A lane that is this node's, over a connection.
struct Claimed {
    link: Link,
    number: i64,
    groups: u64,
    /// Anchor and head of the chain as this process left them, once it seals.
    ends: Option<Ends>,
    /// Number of the newest record before the batch that was begun last.
    before: i64,
    /// Whether the chain was looked at since the lane was taken up: it lay open before.
    looked: bool,
    /// Somebody else has changed it: nothing is sealed any more.
    forged: bool,
    last: Instant,
    _held: Held,
}

/// The outcome of a batch's changes.
enum Worked {
    /// Whether any is kept, and where the chain begins and ends if it was sealed.
    Kept(bool, Option<Ends>),
    /// One must be undone that cannot be: the batch is to be run again.
    Again,
}

/// Records of which nobody could say whether they were written: before they are written again it is looked whether they
/// are there.
struct Doubt {
    /// The lane in whose chain they would be, after this number.
    chain: i64,
    after: i64,
    requests: HashSet<String>,
}

/// Audit records of one batch, and the number of the last.
#[derive(Default, Clone)]
struct Audits {
    records: Vec<AuditRecord>,
    last: u64,
}

impl Lane {
    pub(super) fn new(
        shared: Arc<Shared>,
        backlog: Option<(Arc<Mutex<Backlog>>, watch::Sender<Written>)>,
    ) -> Self {
        Self {
            shared,
            backlog,
            state: None,
            own: None,
            savepoints: 0,
            company: false,
            retention: Retention::default(),
            since_trim: 0,
            trims: Vec::new(),
            unknown: None,
            doubts: Vec::new(),
        }
    }

    pub(super) fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let first = receiver.recv_timeout(RENEWED);
            if matches!(first, Err(RecvTimeoutError::Disconnected)) {
                break;
            }
            if self.company && first.is_ok() {
                std::thread::sleep(COMPANY);
            }
            let jobs = self.gather(receiver, first.ok());
            let audits = self.take_audits(false);
            self.company = jobs.len() + audits.records.len() > 1;
            if !jobs.is_empty() || !audits.records.is_empty() {
                self.since_trim += (jobs.len() + audits.records.len()) as u64;
                self.commit(jobs, audits);
                if self.since_trim > TRIM_AFTER {
                    self.since_trim = 0;
                    if let Err(error) = self.trim(None, 4 * TRIMMED) {
                        warn!(%error, "old audit records were not removed");
                    }
                }
            } else if self.state.as_ref().is_some_and(|state| state.last.elapsed() >= RENEWED)
                && let Err(error) = self.transact(&mut [], &Audits::default())
            {
                warn!(%error, "a lane was not kept");
            }
            for Trim { now_ms, most, reply } in std::mem::take(&mut self.trims) {
                // Nobody may be waiting any more.
                let _ = reply.send(self.trim(Some(now_ms), most));
            }
        }
        let audits = self.take_audits(true);
        if !audits.records.is_empty() {
            self.commit(Vec::new(), audits);
        }
        if let Some(Claimed { link, number, .. }) = &self.state {
            let give_up = "UPDATE lane SET owner = NULL, until_ms = 0 WHERE id = ?1 AND owner = ?2";
            let values = &binds![*number, self.shared.owner];
            if let Err(error) = Session::Postgres(link).execute(give_up, values) {
                warn!(%error, "a lane was not given up; it becomes free when its time is over");
            }
        }
    }

    fn gather(&mut self, receiver: &Receiver<Message>, first: Option<Message>) -> Vec<Work> {
        let mut jobs = Vec::new();
        let mut next = first;
        loop {
            match next {
                Some(Message::Work(work)) => jobs.push(work),
                Some(Message::Trim(trim)) => self.trims.push(trim),
                Some(Message::Wake) | None => {}
            }
            if jobs.len() >= self.shared.options.group.min(GROUP) {
                return jobs;
            }
            match receiver.try_recv() {
                Ok(message) => next = Some(message),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return jobs,
            }
        }
    }

    fn take_audits(&self, last: bool) -> Audits {
        let Some((backlog, _)) = &self.backlog else { return Audits::default() };
        let mut backlog = backlog.lock().unwrap_or_else(PoisonError::into_inner);
        if last || backlog.folder.due(Instant::now()) {
            let folded = backlog.folder.end();
            backlog.last += folded.len() as u64;
            backlog.waiting.extend(folded);
        }
        let taken = backlog.waiting.len().min(AUDIT_PER_GROUP);
        let last = backlog.last - (backlog.waiting.len() - taken) as u64;
        Audits { records: backlog.waiting.drain(..taken).collect(), last }
    }

    /// Commits a batch; if a change is at fault, tries each member alone, so that it affects no other.
    fn commit(&mut self, jobs: Vec<Work>, audits: Audits) {
        let (late, mut jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(Work::is_late);
        if !late.is_empty() {
            warn!(changes = late.len(), "changes have waited for too long, and were not tried");
            late.into_iter().for_each(|work| work.job.finish(Err(StoreError::Busy)));
        }
        if jobs.is_empty() && audits.records.is_empty() {
            return;
        }
        let error = match self.transact(&mut jobs, &audits) {
            Ok(()) => {
                self.shared.counters.changes.fetch_add(jobs.len() as u64, Ordering::Relaxed);
                jobs.into_iter().for_each(|work| work.job.finish(Ok(())));
                self.written(&audits);
                return;
            }
            Err(error) => error,
        };
        if let Some(trouble) = Trouble::of(&error) {
            // Not the fault of any change: trying them one by one would only take longer.
            for work in jobs {
                work.job.finish(Err(self.shared.condition.note(trouble.clone())));
            }
            self.put_back(audits);
            return;
        }
        if jobs.len() <= 1 && audits.records.is_empty() {
            let busy = matches!(&error, StoreError::Database(error) if error.postgres().is_some_and(Failure::is_conflict));
            if busy {
                warn!(%error, "a change was in the way of others for too long");
            } else {
                error!(%error, "a change was not stored");
            }
            if let Some(work) = jobs.pop() {
                work.job.finish(Err(if busy { StoreError::Busy } else { error }));
            }
            return;
        }
        for work in jobs {
            self.commit(vec![work], Audits::default());
        }
        if audits.records.is_empty() {
            return;
        }
        match self.transact(&mut [], &audits) {
            Ok(()) => self.written(&audits),
            Err(error) => {
                error!(%error, records = audits.records.len(), "audit records were not stored");
                self.put_back(audits);
            }
        }
    }

    fn written(&mut self, audits: &Audits) {
        for doubt in &mut self.doubts {
            audits.records.iter().for_each(|record| drop(doubt.requests.take(&record.request_id)));
        }
        self.doubts.retain(|doubt| !doubt.requests.is_empty());
        let Some((_, written)) = &self.backlog else { return };
        if !audits.records.is_empty() {
            self.shared.counters.audit_records.fetch_add(audits.records.len() as u64, Ordering::Relaxed);
            written.send_modify(|written| written.last = written.last.max(audits.last));
        }
    }

    fn put_back(&mut self, audits: Audits) {
        let Some((backlog, written)) = &self.backlog else { return };
        if audits.records.is_empty() {
            return;
        }
        if let Some((chain, after)) = self.unknown.take() {
            let requests = audits.records.iter().map(|record| record.request_id.clone()).collect();
            self.doubts.push(Doubt { chain, after, requests });
        }
        let mut backlog = backlog.lock().unwrap_or_else(PoisonError::into_inner);
        audits.records.into_iter().rev().for_each(|record| backlog.waiting.push_front(record));
        drop(backlog);
        written.send_modify(|written| written.failures += 1);
    }

    /// Runs a batch until it is known to be committed or refused, as long as there is patience: of the change that was
    /// asked for first, once it has been tried.
    fn transact(&mut self, jobs: &mut [Work], audits: &Audits) -> Result<(), StoreError> {
        let asked = jobs.iter().map(|work| work.asked).min();
        let until = asked.unwrap_or_else(Instant::now) + PATIENCE;
        let mut tries = 0;
        loop {
            let undo = self.savepoints > 0;
            self.savepoints = self.savepoints.saturating_sub(1);
            let error = match self.attempt(jobs, audits, undo) {
                Ok(Worked::Kept(..)) => {
                    self.shared.condition.sound();
                    return Ok(());
                }
                Ok(Worked::Again) => {
                    self.savepoints = SAVEPOINT_GROUPS;
                    self.shared.counters.again.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Err(error) => error,
            };
            tries += 1;
            let Some(pause) = self.pause(&error, tries, jobs.len()) else { return Err(error) };
            if Instant::now() + pause >= until {
                return Err(error);
            }
            Stats::add(&self.shared.hosts.stats.retries);
            std::thread::sleep(pause);
        }
    }

    /// How long to wait before a batch that failed so is run again; none if it is not to be.
    fn pause(&mut self, error: &StoreError, tries: u32, jobs: usize) -> Option<Duration> {
        let random = fastrand::u32(..);
        let StoreError::Database(error) = error else { return None };
        let failure = error.postgres()?;
        match failure.outcome() {
            Outcome::NotCommitted(Next::Reconnect | Next::ReportAndReconnect | Next::BackOff) => {
                self.state = None;
                Some(outcome::reconnect_pause(random))
            }
            // Members of a batch are tried alone before they are told that they are in each other's way.
            Outcome::NotCommitted(Next::Retry) => {
                (jobs <= 1 && tries <= outcome::RETRIES).then(|| outcome::retry_pause(tries, random))
            }
            // A second use of a key by another node at the same moment: the next look finds it.
            Outcome::NotCommitted(Next::Tell) if failure.state() == Some("23505") => {
                (jobs <= 1 && tries <= outcome::RETRIES).then(|| outcome::retry_pause(tries, random))
            }
            Outcome::NotCommitted(Next::RetryOnce) => {
                (jobs <= 1 && tries <= 1).then(|| outcome::retry_pause(tries, random))
            }
            Outcome::NotCommitted(Next::Tell) | Outcome::Done | Outcome::Unknown => None,
        }
    }

    /// One transaction.
    fn attempt(&mut self, jobs: &mut [Work], audits: &Audits, undo: bool) -> Result<Worked, StoreError> {
        self.unknown = None;
        if self.state.as_ref().is_none_or(|state| state.link.is_gone()) {
            self.claim()?;
        }
        let Some(state) = &mut self.state else { return Err(StoreError::Closed) };
        let begun = Instant::now();
        let mut raised = Vec::new();
        let result = state.begin(&self.shared, jobs, audits).and_then(|found| {
            let left = state.without_known(audits, &self.doubts)?;
            let audits = left.as_ref().unwrap_or(audits);
            let worked = state.work(&self.shared, jobs, audits, found, undo, &mut raised)?;
            if let Worked::Kept(true, _) = worked {
                seals::seal(Session::Postgres(&state.link), &self.shared.rights)?;
            }
            Ok(worked)
        });
        let (worked, ends) = match result {
            Ok(Worked::Kept(kept, ends)) => (kept, ends),
            Ok(Worked::Again) => {
                state.link.script("ROLLBACK")?;
                return Ok(Worked::Again);
            }
            Err(error) => {
                if !state.link.is_gone() {
                    // What fails is given up with its connection.
                    let _ = state.link.script("ROLLBACK");
                }
                return Err(error);
            }
        };
        fail::fail_point!("store::changed");
        match state.link.commit() {
            Ok(()) => {
                state.groups += 1;
                state.ends = ends.or(state.ends);
                state.last = begun;
            }
            // Whoever takes the lane up anew takes its count from its row.
            Err(error) => self.resolve(error)?,
        }
        fail::fail_point!("store::committed");
        self.shared.rights.epochs.raised(&raised);
        self.shared.counters.groups.fetch_add(1, Ordering::Relaxed);
        if worked {
            self.shared.counters.timed(begun.elapsed());
        }
        Ok(Worked::Kept(worked, ends))
    }

    /// Finds out whether a batch whose commit was not answered was committed: Ok if it was.
    fn resolve(&mut self, error: StoreError) -> Result<(), StoreError> {
        let StoreError::Database(why) = &error else { return Err(error) };
        if why.postgres().is_none_or(|failure| failure.outcome() != Outcome::Unknown) {
            return Err(error);
        }
        let Some(state) = self.state.take() else { return Err(error) };
        let (number, groups) = (state.number, state.groups);
        self.unknown = Some((number, state.before));
        drop(state);
        let stats = Arc::clone(&self.shared.hosts.stats);
        let until = Instant::now() + 2 * PATIENCE;
        loop {
            match self.look_up(number, groups) {
                Ok(Some(committed)) => {
                    info!(committed, "a commit that was not answered was looked up");
                    stats.looked_up(if committed { Looked::Committed } else { Looked::NotCommitted });
                    self.unknown = None;
                    // If the lane cannot be taken up now the next batch does: what was found is found.
                    if let Err(error) = self.claim_again(number) {
                        warn!(%error, lane = number, "a lane was not taken up again at once");
                    }
                    // Its row says that it was never begun: it is begun anew.
                    return if committed { Ok(()) } else { Err(Failure::Gone.into()) };
                }
                Ok(None) => {
                    stats.looked_up(Looked::Untold);
                    return Err(Failure::Unknown(error.to_string()).into());
                }
                Err(looked) if Instant::now() >= until => {
                    stats.looked_up(Looked::Untold);
                    warn!(error = %looked, "a commit that was not answered could not be looked up");
                    return Err(Failure::Unknown(error.to_string()).into());
                }
                Err(_) => std::thread::sleep(outcome::reconnect_pause(fastrand::u32(..))),
            }
        }
    }

    /// Whether the lane has counted more than so many batches; none if it is no longer this node's.
    fn look_up(&self, number: i64, groups: u64) -> Result<Option<bool>, StoreError> {
        let link = Link::open(&self.shared.hosts)?;
        let session = Session::Postgres(&link);
        session.script("BEGIN; SET LOCAL lock_timeout = '2s'")?;
        // The row's lock waits for a commit that is under way, which a look without one would not see; and what is
        // found counts once a commit behind it in the log has come through.
        let sql = "UPDATE lane SET until_ms = until_ms WHERE id = ?1 RETURNING groups, owner";
        let (found, owner): (u64, Option<String>) = session.only(sql, &binds![number])?;
        link.commit()?;
        Ok((owner.as_deref() == Some(&self.shared.owner)).then_some(found > groups))
    }

    /// Removes what retention does not keep of the lane's chain, at most so many records. What is wrong with the
    /// chain is kept, to be looked at.
    fn trim(&mut self, now_ms: Option<i64>, most: u32) -> Result<usize, StoreError> {
        let mut removed = 0;
        while (removed as u64) < u64::from(most) {
            let left = most.saturating_sub(u32::try_from(removed).unwrap_or(u32::MAX)).min(TRIMMED);
            let sealing = Arc::clone(&self.shared.sealing);
            let (Some(Some(key)), Some(state)) = (sealing.get(), &mut self.state) else { break };
            if state.forged {
                break;
            }
            if let Err(error) = state.begin(&self.shared, &[], &Audits::default()) {
                // A transaction that did not begin is left with its connection.
                self.state = None;
                return Err(error);
            }
            let session = Session::Postgres(&state.link);
            let done = match self.retention.trim(session, &self.shared.options, state.ends, now_ms, left, key)
            {
                Ok(done) if !done.is_empty() => done,
                other => {
                    state.link.script("ROLLBACK")?;
                    match other {
                        Ok(_) => break,
                        Err(TrimError::Store(error)) => return Err(error),
                        Err(TrimError::Forged(what)) => {
                            error!(
                                what,
                                "the audit record was tampered with; nothing is removed from it, and it is sealed no \
                                 more: run `tongguan check`"
                            );
                            state.forged = true;
                            break;
                        }
                    }
                }
            };
            match state.link.commit() {
                Ok(()) => state.groups += 1,
                Err(error) => self.resolve(error)?,
            }
            removed += self.retention.trimmed(done, &self.shared.options, &self.shared.counters);
        }
        Ok(removed)
    }

    /// Takes up a free lane.
    fn claim(&mut self) -> Result<(), StoreError> {
        self.state = None;
        if let Some(number) = self.own {
            match self.claim_again(number) {
                Err(StoreError::Database(error)) if matches!(error.postgres(), Some(Failure::TakenOver)) => {
                    warn!(
                        lane = number,
                        "a lane of this node was taken over by another; it takes up a free one"
                    );
                    self.own = None;
                }
                claimed => return claimed,
            }
        }
        let link = Link::open(&self.shared.hosts)?;
        let session = Session::Postgres(&link);
        schema::known(session)?;
        // Whoever changes the master key takes all lanes from those that have the old one.
        if let Some(kept) = self.shared.kept.get()
            && Snapshot::new(session).audit_key()?.as_ref() != Some(kept)
        {
            return Err(StoreError::KeyChanged);
        }
        let sql = "UPDATE lane SET owner = ?1, until_ms = now_ms() + ?2 WHERE id = (SELECT id FROM lane \
                   WHERE owner IS NULL OR until_ms < now_ms() ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, groups";
        let lane: Option<(i64, u64)> = session.one(sql, &binds![self.shared.owner, LEASE_MS])?;
        let Some((number, groups)) = lane else { return Err(StoreError::NoLane) };
        self.own = Some(number);
        self.state = Some(Claimed::new(link, number, groups)?);
        self.retention.forget();
        Ok(())
    }

    /// Takes up the lane that is this node's, over a new connection.
    fn claim_again(&mut self, number: i64) -> Result<(), StoreError> {
        let link = Link::open(&self.shared.hosts)?;
        let sql = "UPDATE lane SET until_ms = now_ms() + ?2 WHERE id = ?3 AND owner = ?1 RETURNING groups";
        let values = &binds![self.shared.owner, LEASE_MS, number];
        let Some(groups) = Session::Postgres(&link).one(sql, values)? else {
            return Err(Failure::TakenOver.into());
        };
        self.state = Some(Claimed::new(link, number, groups)?);
        Ok(())
    }
}

impl Claimed {
    fn new(link: Link, number: i64, groups: u64) -> Result<Self, StoreError> {
        let chain = schema::chain_of(number);
        link.script(&format!("SET search_path = {chain}, public; {WAITS_FOR_NONE}; {}", seals::NOTES))?;
        let (last, _held) = (Instant::now(), Held::new(&link.hosts().stats));
        Ok(Self { link, number, groups, ends: None, before: 0, looked: false, forged: false, last, _held })
    }

    /// Begins a transaction: counts it in the lane's row, and takes the locks of its changes. Answers what it finds of
    /// the chain, if this process seals it.
    fn begin(
        &mut self,
        shared: &Shared,
        jobs: &[Work],
        audits: &Audits,
    ) -> Result<Option<Found>, StoreError> {
        let Self { number, groups, .. } = self;
        let owner = &shared.owner;
        let mut begin = format!(
            "BEGIN; UPDATE lane SET groups = groups + 1, until_ms = now_ms() + {LEASE_MS} WHERE id = {number} \
             AND owner = '{owner}' AND groups = {groups};"
        );
        if jobs.is_empty() && !audits.records.is_empty() {
            // Records of reads and refusals outlive this process, and need not wait for a disk.
            begin.push_str(" SET LOCAL synchronous_commit = off;");
        } else {
            begin.push_str(WAITS);
        }
        begin.push_str(&locks::of(jobs));
        let counts = self.link.counts(&begin)?;
        if counts.get(1) != Some(&1) {
            return Err(Failure::TakenOver.into());
        }
        self.link.forget_written();
        self.before = match &self.ends {
            Some((_, head)) => head.seq,
            None => Session::Postgres(&self.link).only("SELECT head_seq FROM audit_chain", &[])?,
        };
        self.look(shared)?;
        Found::look(Session::Postgres(&self.link), self.ends, &mut self.forged)
    }

    /// The records without those that were written by a batch whose outcome nobody could say; none if there is no such
    /// doubt.
    fn without_known(&self, audits: &Audits, doubts: &[Doubt]) -> Result<Option<Audits>, StoreError> {
        if doubts.is_empty() || audits.records.is_empty() {
            return Ok(None);
        }
        let session = Session::Postgres(&self.link);
        let mut left = audits.clone();
        for Doubt { chain, after, requests } in doubts {
            // A commit that is still under way holds its lane, and is waited for.
            session.one::<i64>("SELECT id FROM lane WHERE id = ?1 FOR UPDATE", &binds![*chain])?;
            let sql = format!("SELECT request_id FROM {}.audit WHERE seq > ?1", schema::chain_of(*chain));
            let there: Vec<String> = session.all(&sql, &binds![*after])?;
            let known: HashSet<_> = there.into_iter().filter(|request| requests.contains(request)).collect();
            left.records.retain(|record| !known.contains(&record.request_id));
        }
        Ok(Some(left))
    }

    /// Looks at the newest records and the seal before anything is sealed after them: what is wrong with them is to be
    /// found by `tongguan check`, and not to be sealed over.
    fn look(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let Some(Some(key)) = shared.sealing.get().filter(|_| !self.looked) else { return Ok(()) };
        let chain = Snapshot::vouching(Session::Postgres(&self.link), &shared.rights);
        for Finding { what, .. } in chain.recent_audit(key, chain.audit_chain()?.unsealed())? {
            error!(
                lane = self.number,
                what, "the audit record was tampered with; it is sealed no more: run `tongguan check`"
            );
            self.forged = true;
        }
        self.looked = true;
        Ok(())
    }

    /// Runs the changes and writes the records.
    fn work(
        &self,
        shared: &Shared,
        jobs: &mut [Work],
        audits: &Audits,
        found: Option<Found>,
        undo: bool,
        raised: &mut Vec<(AccountId, u64)>,
    ) -> Result<Worked, StoreError> {
        let session = Session::Postgres(&self.link);
        let tx = Tx::vouching(session, &shared.rights);
        tx.found.replace(found);
        let mut kept = false;
        for work in jobs {
            let head = tx.head.get();
            if undo {
                session.script("SAVEPOINT change")?;
            }
            // A bug in one change must not end the lane for all.
            let run = std::panic::catch_unwind(AssertUnwindSafe(|| work.job.run(&tx)));
            let keep = run.map_err(|_| StoreError::Panicked)??;
            kept |= keep;
            let own = tx.raised().take();
            if keep {
                raised.extend(own);
            }
            // Whether anything was written is known with the answers to all of it: only a change that is not kept is
            // asked.
            let wrote = if keep || undo { self.link.forget_written() } else { self.link.wrote()? } > 0;
            match (keep, undo) {
                (true, true) => session.script("RELEASE change")?,
                (false, true) => {
                    session.script("ROLLBACK TO change; RELEASE change")?;
                    tx.head.set(head);
                }
                (false, false) if wrote => return Ok(Worked::Again),
                (_, false) => {}
            }
        }
        tx.audit_all(&audits.records)?;
        let key = shared.sealing.get().and_then(Option::as_ref);
        let sealed = !self.forged && (kept || !audits.records.is_empty());
        Ok(Worked::Kept(kept, tx.end_batch(key.filter(|_| sealed))?))
    }
}
