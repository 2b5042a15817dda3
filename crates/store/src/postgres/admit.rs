//! Nonces and epochs of requests, asked of the database: those that wait together in one statement.
//!
//! A nonce is a row, whose key is a hash of the access key and the nonce: two nodes that are sent the same request at
//! the same instant meet in it, and one of them is told so. It is taken only if the epochs under which the signer's
//! rights were read are those that the accounts have, and if the request has not expired by the clock of the database,
//! by which nonces are removed: a node whose clock is behind takes nobody's nonce a second time. When nobody can say
//! whether it was taken, the request is refused as one that cannot be served at present, since another try would find
//! it taken.
//!
//! The place in the rate and in the share of nonces is taken before the database is asked, and given back if the
//! request is not let in. Of a request that finds none its nonce is only looked for: a replay is told as one, and
//! whoever has to wait may send the same request again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tongguan_model::id::AccountId;

use super::held::{Held, Keeper, LATE_SECONDS};
use super::hosts::Hosts;
use super::link::{self, Batch, Link};
use super::outcome::{self, Outcome};
use super::stats::Stats;
use crate::rights::Rights;
use crate::session::Session;
use crate::sqlite::nonce::{Print, print};
use crate::sqlite::writer::spawn;
use crate::{Entry, Node, NonceError, NotAdmitted, StoreError};

/// Requests asked about in one statement.
const MOST: usize = 64;
/// Requests that may wait.
const WAITING: usize = 4_096;
/// For how long the database is asked about a request, its wait for others included.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longer than any clock is behind.
const LONG_SECONDS: i64 = i64::MAX / 4;

/// A request that asks to be let in.
struct Asked {
    print: Print,
    until: i64,
    /// Its nonce is to be taken, not only looked for.
    takes: bool,
    epochs: Vec<(AccountId, u64)>,
    since: Instant,
    reply: oneshot::Sender<Result<Came, NonceError>>,
}

/// What came of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Taken,
    /// It was only looked for, and was not used.
    Unused,
    Used,
    /// The request is accepted no more.
    Late,
    Stale,
}

/// Lets requests in by asking the database.
#[derive(Debug)]
pub(crate) struct Admitter {
    sender: Option<SyncSender<Asked>>,
    /// Who keeps the counts of all nodes ends with this.
    keeps: Option<SyncSender<()>>,
    threads: Vec<JoinHandle<()>>,
    held: Arc<Held>,
}

impl Admitter {
    /// At most `limit` nonces are remembered by all nodes together, in shares.
    pub(crate) fn start(hosts: Arc<Hosts>, rights: Arc<Rights>, limit: usize) -> Result<Self, StoreError> {
        let (sender, receiver) = sync_channel(WAITING);
        let (keeps, ended) = sync_channel(0);
        let held = Arc::new(Held::new(limit));
        let keeper = Keeper::new(Arc::clone(&hosts), Arc::clone(&held));
        let state = Asking { hosts, rights, link: None, left_behind: None };
        let threads = vec![
            spawn("store-admission", move || state.run(&receiver))?,
            spawn("store-nonces", move || keeper.run(&ended))?,
        ];
        Ok(Self { sender: Some(sender), keeps: Some(keeps), threads, held })
    }

    pub(crate) async fn admit<P>(
        &self,
        entry: Entry<'_>,
        rate: impl FnOnce() -> Option<P>,
        give_back: impl FnOnce(P),
    ) -> Result<(), NotAdmitted> {
        let place = rate();
        let share = place.is_some() && self.held.take(entry.owner, entry.now.unix, entry.expires);
        match (self.ask(entry, share).await, place) {
            (Ok(Came::Taken), _) => Ok(()),
            // As on the embedded store, it keeps its place in the rate.
            (Ok(Came::Unused), Some(_)) => Err(NonceError::Full.into()),
            (Ok(Came::Unused), None) => Err(NonceError::Refused.into()),
            (came, place) => {
                place.map(give_back);
                if share {
                    self.held.give_back(entry.owner, entry.expires);
                }
                Err(match came {
                    Err(error) => error.into(),
                    Ok(Came::Late) => NonceError::Forgotten.into(),
                    Ok(Came::Stale) => NotAdmitted::Stale,
                    Ok(Came::Used | Came::Taken | Came::Unused) => NonceError::Used.into(),
                })
            }
        }
    }

    async fn ask(&self, entry: Entry<'_>, takes: bool) -> Result<Came, NonceError> {
        let print = print(entry.key, entry.nonce);
        let epochs = entry.epochs.iter().map(|epoch| (epoch.account.clone(), epoch.read)).collect();
        let (reply, answer) = oneshot::channel();
        let asked = Asked { print, until: entry.expires, takes, epochs, since: Instant::now(), reply };
        let sent = self.sender.as_ref().map(|sender| sender.try_send(asked));
        if !matches!(sent, Some(Ok(()))) {
            return Err(unavailable("more requests wait to be let in than may"));
        }
        answer.await.map_err(|_| unavailable("nobody lets requests in any more"))?
    }

    /// Nonces that all nodes hold, as far as this one knows.
    pub(crate) fn count(&self) -> usize {
        self.held.total()
    }
}

impl Drop for Admitter {
    fn drop(&mut self) {
        (self.sender, self.keeps) = (None, None);
        for thread in self.threads.drain(..) {
            // It ends with the statement that it waits for.
            let _ = super::pool::waiting(|| thread.join());
        }
    }
}

fn unavailable(what: &str) -> NonceError {
    NonceError::Log(std::io::Error::other(what.to_owned()))
}

/// In place of a print: up to the expiry that is kept with it, requests may have been taken whose nonces are not there,
/// since they were let in before the store was moved here.
pub(crate) const LEFT_BEHIND: &[u8] = b"";

struct Asking {
    hosts: Arc<Hosts>,
    rights: Arc<Rights>,
    link: Option<Link>,
    /// See [`LEFT_BEHIND`]; none as long as it was not asked for. A store is moved while no node runs.
    left_behind: Option<i64>,
}

impl Asking {
    fn run(mut self, receiver: &Receiver<Asked>) {
        while let Ok(first) = receiver.recv() {
            let mut together = Together::default();
            together.add(first);
            while together.asked.len() < MOST
                && let Ok(next) = receiver.try_recv()
            {
                together.add(next);
            }
            self.answer(together.asked);
        }
    }

    fn answer(&mut self, asked: Vec<Asked>) {
        let (late, asked): (Vec<_>, Vec<_>) =
            asked.into_iter().partition(|one| one.since.elapsed() >= PATIENCE);
        for one in late {
            let _ = one.reply.send(Err(unavailable("it has waited for others for too long")));
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
                    Stats::add(&self.hosts.stats.retries);
                    std::thread::sleep(pause);
                }
            }
        };
        for (one, came) in asked.into_iter().zip(came) {
            // Who has gone is not let in.
            let _ = one.reply.send(Ok(came));
        }
    }

    /// One statement for all: takes the nonces of those whose epochs hold.
    fn ask(&mut self, asked: &[Asked]) -> Result<Vec<Came>, StoreError> {
        let left_behind = self.left_behind()?;
        // Who has the database alone may have another clock, as tests do.
        let shares = self.rights.node.get().is_none_or(Node::shares);
        let mut batch = Batch {
            prints: asked.iter().map(|one| &one.print[..]).collect(),
            untils: asked.iter().map(|one| one.until).collect(),
            takes: asked.iter().map(|one| one.takes).collect(),
            places: Vec::new(),
            accounts: Vec::new(),
            epochs: Vec::new(),
            late: if shares { LATE_SECONDS } else { LONG_SECONDS },
        };
        for (place, one) in (1_i64..).zip(asked) {
            for (account, epoch) in &one.epochs {
                batch.places.push(place);
                batch.accounts.push(account.as_str());
                batch.epochs.push(epoch.cast_signed());
            }
        }
        let rows = link::kept(&mut self.link, &self.hosts)?.admit(&batch)?;
        let mut came = vec![Came::Used; asked.len()];
        for link::Came { place, taken, used, late, stale, epoch } in rows {
            let place = usize::try_from(place - 1).unwrap_or(usize::MAX);
            let Some(slot) = came.get_mut(place) else { continue };
            *slot = match stale {
                // Another epoch than the one that was read under: others have changed rights meanwhile.
                Some(account) => {
                    self.rights.epochs.note(&AccountId::new(account), epoch.cast_unsigned());
                    Came::Stale
                }
                // Nobody asks for a nonce again that was taken so.
                None if taken && asked[place].until <= left_behind => Came::Late,
                None if taken => Came::Taken,
                None if used => Came::Used,
                None if late => Came::Late,
                // Somebody else takes it in this moment.
                None if asked[place].takes => Came::Used,
                None => Came::Unused,
            };
        }
        Ok(came)
    }

    fn left_behind(&mut self) -> Result<i64, StoreError> {
        if let Some(left_behind) = self.left_behind {
            return Ok(left_behind);
        }
        let session = Session::Postgres(link::kept(&mut self.link, &self.hosts)?);
        let sql = "SELECT until FROM nonce WHERE print = ?1";
        let found: Option<i64> = session.one(sql, &binds![*LEFT_BEHIND])?;
        Ok(*self.left_behind.insert(found.unwrap_or(i64::MIN)))
    }
}

/// Requests that are asked about in one statement, each nonce once.
#[derive(Default)]
struct Together {
    asked: Vec<Asked>,
    places: HashMap<Print, usize>,
}

impl Together {
    /// The same request twice at the same instant: the first that may take its nonce does.
    fn add(&mut self, one: Asked) {
        let Some(place) = self.places.get(&one.print).copied() else {
            self.places.insert(one.print, self.asked.len());
            self.asked.push(one);
            return;
        };
        let first = &mut self.asked[place];
        let (second, came) = match (first.takes, one.takes) {
            (true, _) => (one, Came::Used),
            (false, true) => (std::mem::replace(first, one), Came::Unused),
            (false, false) => (one, Came::Unused),
        };
        let _ = second.reply.send(Ok(came));
    }
}

fn refuse(asked: Vec<Asked>, error: &StoreError) {
    for one in asked {
        let _ = one.reply.send(Err(unavailable(&error.to_string())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of requests with one nonce that are asked about together, some of which find no place in the rate.
    #[test]
    fn of_one_request_sent_twice_at_once_the_first_with_a_place_is_asked_for() {
        for (takes, told, left) in [
            ([true, true], [None, Some(Came::Used)], true),
            ([true, false], [None, Some(Came::Used)], true),
            ([false, true], [Some(Came::Unused), None], true),
            ([false, false], [None, Some(Came::Unused)], false),
        ] {
            let mut together = Together::default();
            let answers = takes.map(|takes| {
                let (reply, answer) = oneshot::channel();
                let since = Instant::now();
                together.add(Asked { print: [7; 16], until: 0, takes, epochs: Vec::new(), since, reply });
                answer
            });
            let answered = answers.map(|mut answer| answer.try_recv().ok().and_then(Result::ok));
            assert_eq!(answered, told, "{takes:?}");
            assert_eq!(together.asked.iter().map(|one| one.takes).collect::<Vec<_>>(), [left]);
        }
    }
}
