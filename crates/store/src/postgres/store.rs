//! The store of a node: a pool for reading, lanes for writing.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use tokio::sync::{oneshot, watch};
use tracing::error;

use super::admit::Admitter;
use super::hosts::Hosts;
use super::lane::{Backlog, Lane, Message, Shared, Work, Written};
use super::pool::{Pool, waiting};
use super::{Failure, SharedStats, lanes, schema};
use crate::audit::fold::Folder;
use crate::rights;
use crate::session::Session;
use crate::sqlite::state;
use crate::sqlite::writer::{Change, Places, QUEUE, Trim, spawn};
use crate::{
    AuditClass, AuditRecord, Finding, NewAuditKey, Node, Options, RightsKey, Scope, Snapshot, StoreError,
    Trouble, Tx, Verdict, WriterStats,
};

/// How long a call waits for its record to be written.
const PATIENCE: Duration = Duration::from_secs(8);

/// The store of a node over PostgreSQL.
pub(crate) struct Store {
    pool: Pool,
    shared: Arc<Shared>,
    lanes: Vec<(SyncSender<Message>, Option<JoinHandle<()>>)>,
    places: Places,
    backlog: Arc<Mutex<Backlog>>,
    written: watch::Receiver<Written>,
}

impl Store {
    /// Connects to the database, whose schema must be this release's, and takes up lanes.
    pub(crate) fn connect(hosts: Hosts, options: &Options) -> Result<Self, StoreError> {
        let hosts = Arc::new(hosts);
        let pool = Pool::new(Arc::clone(&hosts), options.readers);
        pool.read(|link| {
            schema::known(Session::Postgres(link))?;
            match options.purpose {
                Some(purpose) => state::is_for(Session::Postgres(link), purpose),
                None => Ok(()),
            }
        })?;
        let shared = Arc::new(Shared {
            hosts,
            owner: format!("{:032x}", fastrand::u128(..)),
            options: options.clone(),
            rights: Arc::default(),
            sealing: Arc::default(),
            kept: Arc::default(),
            condition: Arc::default(),
            counters: Arc::default(),
        });
        let folder = Folder::new(options.audit_strangers_per_minute);
        let backlog = Arc::new(Mutex::new(Backlog { waiting: VecDeque::new(), last: 0, folder }));
        let (sender, written) = watch::channel(Written::default());
        let lanes = (0..options.lanes.max(1)).map(|number| {
            let (to, receiver) = sync_channel(QUEUE);
            let backlog = (number == 0).then(|| (Arc::clone(&backlog), sender.clone()));
            let lane = Lane::new(Arc::clone(&shared), backlog);
            let thread = spawn("store-lane", move || lane.run(&receiver))?;
            Ok((to, Some(thread)))
        });
        let lanes = lanes.collect::<Result<_, StoreError>>()?;
        Ok(Self { pool, shared, lanes, places: Places::default(), backlog, written })
    }

    pub(crate) fn read<T>(
        &self,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let read = self
            .pool
            .read(|link| question(&Snapshot::vouching(Session::Postgres(link), &self.shared.rights)));
        read.map_err(|error| match (Trouble::of(&error), &error) {
            (Some(trouble), _) => self.shared.condition.note(trouble),
            // A server without time is no bug.
            (None, StoreError::Database(why)) if why.postgres().is_some_and(Failure::is_conflict) => {
                StoreError::Busy
            }
            (None, _) => error,
        })
    }

    pub(crate) fn act_as(&self, node: Node) -> &Node {
        self.shared.rights.node.get_or_init(|| node)
    }

    /// What lets signed requests in.
    pub(crate) fn admitter(&self, limit: usize) -> Result<Admitter, StoreError> {
        Admitter::start(Arc::clone(&self.shared.hosts), Arc::clone(&self.shared.rights), limit)
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.shared.condition.get()
    }

    /// Hands a change to the lane of what it may touch.
    pub(crate) fn submit<T, F>(
        &self,
        scope: Scope,
        change: F,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Change::new(change, reply));
        // Changes of one account follow each other in one lane, where they share a transaction.
        let lane = match &scope {
            Scope::Accounts(accounts) => {
                accounts.first().map_or(0, |account| *account % self.lanes.len() as u64)
            }
            Scope::Everything | Scope::Nothing => 0,
        };
        let (lane, _) = &self.lanes[usize::try_from(lane).unwrap_or(0)];
        lane.send(Message::Work(Work { job, scope, asked: Instant::now() }))
            .map_err(|_| StoreError::Closed)?;
        Ok(answer)
    }

    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    pub(crate) fn write_blocking<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Verdict<T>, StoreError> + Send + 'static,
    {
        let answer = self.submit(Scope::Everything, change)?;
        waiting(|| answer.blocking_recv()).map_err(|_| StoreError::Closed)?
    }

    pub(crate) fn audit_later(&self, record: AuditRecord) -> Result<u64, Box<AuditRecord>> {
        let mut backlog = self.backlog();
        let mut record = record;
        if AuditClass::of(&record, false) == AuditClass::Stranger {
            match backlog.folder.take(record, Instant::now()) {
                Some(single) => record = single,
                None => {
                    self.shared.counters.audit_folded.fetch_add(1, Ordering::Relaxed);
                    return Ok(0);
                }
            }
        }
        if backlog.waiting.len() >= self.shared.options.audit_backlog {
            return Err(Box::new(record));
        }
        backlog.waiting.push_back(record);
        backlog.last += 1;
        let number = backlog.last;
        drop(backlog);
        // A full queue means that the lane is awake anyway.
        let _ = self.lanes[0].0.try_send(Message::Wake);
        Ok(number)
    }

    /// Waits until the record of this number is in the database.
    pub(crate) async fn audit_written(&self, number: u64) -> Result<(), StoreError> {
        let mut written = self.written.clone();
        let before = written.borrow().failures;
        let done = written.wait_for(|written| written.last >= number || written.failures > before);
        match tokio::time::timeout(PATIENCE, done).await {
            Ok(Ok(written)) if written.last >= number => Ok(()),
            Ok(Ok(_)) | Err(_) => {
                let trouble = Trouble::Passing("the audit record cannot be written".to_owned());
                Err(self.shared.condition.note(trouble))
            }
            Ok(Err(_)) => Err(StoreError::Closed),
        }
    }

    pub(crate) fn open_rights(&self, key: &RightsKey) -> Result<(), StoreError> {
        self.read(|snapshot| match key.at_start(snapshot.session())? {
            Some(finding) => Err(StoreError::Unsound(finding)),
            None => Ok(()),
        })?;
        self.shared.rights.give(key);
        Ok(())
    }

    pub(crate) fn seal_rights<E, F>(&self, key: &RightsKey, mut also: F) -> Result<(), E>
    where
        E: From<StoreError> + Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<(), E> + Send + 'static,
    {
        let sealing = key.clone();
        let sealed = self.write_blocking(move |tx| {
            // Nodes that live have the key of the seals that are there.
            if rights::sealed(tx.session())? && !tx.has_it_alone()? {
                return Ok(Verdict::Discard(Err(StoreError::NodesLive.into())));
            }
            if let Err(error) = also(tx) {
                return Ok(Verdict::Discard(Err(error)));
            }
            tx.seal_all_rights(&sealing)?;
            Ok(Verdict::Keep(Ok(())))
        });
        sealed??;
        self.shared.rights.give(key);
        Ok(())
    }

    /// Seals the chains of this node's lanes with every batch from now on.
    pub(crate) fn seal_audit(
        &self,
        key: &[u8],
        new: Option<NewAuditKey>,
    ) -> Result<Vec<Finding>, StoreError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let unsealed = new.is_some();
        if let Some(new) = new {
            let kept = self.write_blocking(move |tx| {
                if tx.audit_key()?.is_some() {
                    return Ok(Verdict::Discard(false));
                }
                tx.put_audit_key(&new)?;
                Ok(Verdict::Keep(true))
            })?;
            // Somebody else has made one in the same moment: whoever comes again takes that.
            if !kept {
                return Err(StoreError::Busy);
            }
        }
        let looked = key.clone();
        // On the lane's own connection, which sees its chain.
        let (findings, kept) = self.write_blocking(move |tx| {
            let findings = tx.recent_audit(&looked, unsealed || tx.audit_chain()?.unsealed())?;
            Ok(Verdict::Discard((findings, tx.audit_key()?)))
        })?;
        if let Some(kept) = kept {
            let _ = self.shared.kept.set(kept);
        }
        let _ = self.shared.sealing.set(findings.is_empty().then_some(key));
        Ok(findings)
    }

    /// Begins the chains anew that are not whole, all of them if the key is new; answers of which lanes.
    pub(crate) fn begin_audit_anew(
        &self,
        key: &[u8],
        new: Option<NewAuditKey>,
        record: AuditRecord,
    ) -> Result<Vec<Option<i64>>, StoreError> {
        let key = key.to_vec();
        let begun = self.write_blocking(move |tx| {
            if !tx.has_it_alone()? {
                return Ok(Verdict::Discard(None));
            }
            new.iter().try_for_each(|new| tx.put_audit_key(new))?;
            Ok(Verdict::Keep(Some(lanes::begin_audit_anew(tx, &key, new.is_some(), &record)?)))
        })?;
        begun.ok_or(StoreError::NodesLive)
    }

    /// Removes what retention does not keep, of the chain of each lane.
    pub(crate) async fn trim_audit(&self, now_ms: i64, most: u32) -> Result<usize, StoreError> {
        let mut removed = 0;
        for (lane, _) in &self.lanes {
            let left = most.saturating_sub(u32::try_from(removed).unwrap_or(u32::MAX));
            let (reply, answer) = oneshot::channel();
            lane.send(Message::Trim(Trim { now_ms, most: left, reply })).map_err(|_| StoreError::Closed)?;
            removed += answer.await.map_err(|_| StoreError::Closed)??;
        }
        Ok(removed)
    }

    pub(crate) fn stats(&self) -> WriterStats {
        WriterStats { forged: self.shared.rights.found(), ..self.shared.counters.stats() }
    }

    pub(crate) fn shared_stats(&self) -> SharedStats {
        self.shared.hosts.stats()
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        for (sender, thread) in self.lanes.drain(..) {
            drop(sender);
            // A change may hold the last handle of the store: then it ends on the lane's own thread, which cannot wait
            // for itself and ends anyway.
            if let Some(thread) = thread
                && thread.thread().id() != std::thread::current().id()
                && waiting(|| thread.join()).is_err()
            {
                error!("a lane of the store ended with a panic");
            }
        }
    }
}
