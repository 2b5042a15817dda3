//! Nonces and epochs of requests, asked of the database: those that wait together in one statement.
//!
//! A nonce is a row, whose key is a hash of the access key and the nonce: two nodes that are sent the same request at
//! the same instant meet in it, and one of them is told so. It is taken only if the epochs under which the signer's
//! rights were read are those that the accounts have. When nobody can say whether it was taken, the request is
//! refused as one that cannot be served at present, since another try would find it taken.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use tokio::sync::oneshot;
use tongguan_model::id::AccountId;
use tracing::warn;

use super::hosts::Hosts;
use super::link::{self, Link};
use super::outcome::{self, Outcome};
use crate::rights::Rights;
use crate::session::Session;
use crate::sqlite::writer::spawn;
use crate::{Entry, NonceError, NotAdmitted, StoreError};

/// Requests asked about in one statement.
const MOST: usize = 64;
/// Requests that may wait.
const WAITING: usize = 4_096;
/// For how long the database is asked about a request, its wait for others included.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often nonces are removed that nobody accepts any more, and how long after that moment, by the clock of the
/// database: the clocks of nodes are further apart than they may be then.
const REMOVED: Duration = Duration::from_secs(60);
const LATE_SECONDS: i64 = 60;
/// Nonces removed at once.
const BATCH: u32 = 10_000;

/// A request that asks to be let in.
struct Asked {
    print: [u8; 32],
    until: i64,
    epochs: Vec<(AccountId, u64)>,
    since: Instant,
    reply: oneshot::Sender<Result<(), NotAdmitted>>,
}

/// What came of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Taken,
    Used,
    Stale,
}

/// Lets requests in by asking the database.
#[derive(Debug)]
pub(crate) struct Admitter {
    sender: Option<SyncSender<Asked>>,
    thread: Option<JoinHandle<()>>,
    count: Arc<AtomicUsize>,
}

impl Admitter {
    pub(crate) fn start(hosts: Arc<Hosts>, rights: Arc<Rights>) -> Result<Self, StoreError> {
        let (sender, receiver) = sync_channel(WAITING);
        let count = Arc::new(AtomicUsize::new(0));
        let state = Asking { hosts, rights, link: None, count: Arc::clone(&count) };
        let thread = spawn("store-admission", move || state.run(&receiver))?;
        Ok(Self { sender: Some(sender), thread: Some(thread), count })
    }

    pub(crate) async fn admit(
        &self,
        entry: Entry<'_>,
        rate: impl FnOnce() -> bool,
    ) -> Result<(), NotAdmitted> {
        let print = print_of(entry.key, entry.nonce);
        let epochs = entry.epochs.iter().map(|epoch| (epoch.account.clone(), epoch.read)).collect();
        let (reply, answer) = oneshot::channel();
        let asked = Asked { print, until: entry.expires, epochs, since: Instant::now(), reply };
        let sent = self.sender.as_ref().map(|sender| sender.try_send(asked));
        if !matches!(sent, Some(Ok(()))) {
            return Err(unavailable("more requests wait to be let in than may").into());
        }
        answer.await.map_err(|_| unavailable("nobody lets requests in any more"))??;
        // One over its rate has taken its nonce all the same: whoever sends it again signs it anew.
        if rate() { Ok(()) } else { Err(NonceError::Refused.into()) }
    }

    /// Nonces in the database when it was last looked.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Admitter {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // It ends with the statement that it waits for.
            let _ = super::pool::waiting(|| thread.join());
        }
    }
}

fn unavailable(what: &str) -> NonceError {
    NonceError::Log(std::io::Error::other(what.to_owned()))
}

/// What a nonce of a key is kept as.
fn print_of(key: &str, nonce: &str) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&(key.len() as u64).to_be_bytes());
    context.update(key.as_bytes());
    context.update(nonce.as_bytes());
    let mut print = [0; 32];
    print.copy_from_slice(context.finish().as_ref());
    print
}

struct Asking {
    hosts: Arc<Hosts>,
    rights: Arc<Rights>,
    link: Option<Link>,
    count: Arc<AtomicUsize>,
}

impl Asking {
    fn run(mut self, receiver: &Receiver<Asked>) {
        let mut removed = Instant::now();
        loop {
            match receiver.recv_timeout(REMOVED) {
                Ok(first) => {
                    let mut asked = vec![first];
                    let mut prints: HashSet<_> = asked.iter().map(|one| one.print).collect();
                    while asked.len() < MOST
                        && let Ok(next) = receiver.try_recv()
                    {
                        if prints.insert(next.print) {
                            asked.push(next);
                        } else {
                            // The same request twice at the same instant: one of them is the first.
                            let _ = next.reply.send(Err(NonceError::Used.into()));
                        }
                    }
                    self.answer(asked);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if removed.elapsed() >= REMOVED {
                removed = Instant::now();
                if let Err(error) = self.remove() {
                    warn!(%error, "nonces that nobody accepts any more were not removed");
                }
            }
        }
    }

    fn answer(&mut self, asked: Vec<Asked>) {
        let (late, asked): (Vec<_>, Vec<_>) =
            asked.into_iter().partition(|one| one.since.elapsed() >= PATIENCE);
        for one in late {
            let _ = one.reply.send(Err(unavailable("it has waited for others for too long").into()));
        }
        let Some(until) = asked.iter().map(|one| one.since + PATIENCE).min() else { return };
        let came = loop {
            match self.ask(&asked) {
                Ok(came) => break came,
                Err(error) => {
                    let StoreError::Database(database) = &error else { return refuse(asked, &error) };
                    let outcome = database.postgres().map(super::Failure::outcome);
                    let again = matches!(outcome, Some(Outcome::NotCommitted(next)) if next.ends_session());
                    let pause = outcome::reconnect_pause(fastrand::u32(..));
                    if !again || Instant::now() + pause >= until {
                        return refuse(asked, &error);
                    }
                    std::thread::sleep(pause);
                }
            }
        };
        for (one, came) in asked.into_iter().zip(came) {
            let answer = match came {
                Came::Taken => Ok(()),
                Came::Used => Err(NonceError::Used.into()),
                Came::Stale => Err(NotAdmitted::Stale),
            };
            // Who has gone is not let in.
            let _ = one.reply.send(answer);
        }
    }

    fn link(&mut self) -> Result<&Link, StoreError> {
        let link = match self.link.take().filter(|link| !link.is_gone()) {
            Some(link) => link,
            None => Link::open(&self.hosts)?,
        };
        Ok(self.link.insert(link))
    }

    /// One statement for all: takes the nonces of those whose epochs hold.
    fn ask(&mut self, asked: &[Asked]) -> Result<Vec<Came>, StoreError> {
        let (mut places, mut accounts, mut epochs) = (Vec::new(), Vec::new(), Vec::new());
        for (place, one) in (1_i64..).zip(asked) {
            for (account, epoch) in &one.epochs {
                places.push(place);
                accounts.push(account.as_str());
                epochs.push(epoch.cast_signed());
            }
        }
        let prints: Vec<&[u8]> = asked.iter().map(|one| &one.print[..]).collect();
        let untils: Vec<i64> = asked.iter().map(|one| one.until).collect();
        let rows = self.link()?.admit(&prints, &untils, &places, &accounts, &epochs)?;
        let mut came = vec![Came::Used; asked.len()];
        for link::Came { place, taken, stale, epoch } in rows {
            let Some(slot) = usize::try_from(place - 1).ok().and_then(|place| came.get_mut(place)) else {
                continue;
            };
            match stale {
                // Another epoch than the one that was read under: others have changed rights meanwhile.
                Some(account) => {
                    self.rights.epochs.note(&AccountId::new(account), epoch.cast_unsigned());
                    *slot = Came::Stale;
                }
                None if taken => *slot = Came::Taken,
                None => {}
            }
        }
        Ok(came)
    }

    fn remove(&mut self) -> Result<(), StoreError> {
        let session = Session::Postgres(self.link()?);
        let sql = "DELETE FROM nonce WHERE print IN (SELECT print FROM nonce WHERE until < now_ms() / 1000 - ?1 LIMIT ?2)";
        while session.execute(sql, &binds![LATE_SECONDS, BATCH])? == BATCH as usize {}
        let count: i64 = session.only("SELECT count(*) FROM nonce", &[])?;
        self.count.store(usize::try_from(count).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }
}

fn refuse(asked: Vec<Asked>, error: &StoreError) {
    for one in asked {
        let _ = one.reply.send(Err(unavailable(&error.to_string()).into()));
    }
}
