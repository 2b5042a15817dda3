//! Long work: what takes too long to be done where calls are answered, such as generating an RSA key.
//!
//! A few threads do it, one fewer than there are cores. Each account has a queue, and the queues are served in
//! turn, so that a caller who has requested a hundred keys waits for those only. A queue is bounded, and so are all
//! together: an account may queue as much as there is room left for others, and a principal within it as much as is
//! left for the others of the account; the last eighth is reserved for the root key. Work whose caller has gone is
//! not started.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tongguan_store::Owner;
use tracing::error;

use crate::catalogue::{self, Refusal};
use crate::operation::Failure;

/// Pieces of work of one account that may wait.
pub const ACCOUNT: usize = 256;
/// Pieces of work that may wait in all.
pub const ALL: usize = 8_192;

type Job = Box<dyn FnOnce() + Send>;

/// Threads and queues for long work.
#[derive(Debug)]
pub struct Work {
    shared: Arc<Shared>,
    width: usize,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    come: Condvar,
}

#[derive(Default)]
struct State {
    /// By account, the next one to be served first; none is empty.
    queues: VecDeque<(u64, VecDeque<(Owner, Job)>)>,
    waiting: usize,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("waiting", &self.waiting)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes work in, if its account and its principal have room for it.
    fn put(&mut self, owner: Owner, job: Job) -> Result<(), Failure> {
        let place = self.queues.iter().position(|(account, _)| *account == owner.account());
        let queue = place.map(|place| &self.queues[place].1);
        let held = queue.map_or(0, VecDeque::len);
        if self.waiting >= ALL {
            return Err(Failure::Unavailable("all places for long work are taken".into()));
        }
        let places = ACCOUNT.min((ALL - self.waiting) / 2).max(1);
        let of_account = places.saturating_sub(held);
        let of_users = of_account.saturating_sub(places / 8);
        let own = queue.map_or(0, |queue| queue.iter().filter(|(of, _)| *of == owner).count());
        if of_account == 0 || (owner.in_account().is_some() && own >= of_users) {
            return Err(Refusal::new(&catalogue::THROTTLING_USER).into());
        }
        match place {
            Some(place) => self.queues[place].1.push_back((owner, job)),
            None => self.queues.push_back((owner.account(), VecDeque::from([(owner, job)]))),
        }
        self.waiting += 1;
        Ok(())
    }

    /// The next task of the account whose turn it is; the turn passes on.
    fn next(&mut self) -> Option<Job> {
        let (account, mut queue) = self.queues.pop_front()?;
        let job = queue.pop_front();
        if !queue.is_empty() {
            self.queues.push_back((account, queue));
        }
        self.waiting -= usize::from(job.is_some());
        job.map(|(_, job)| job)
    }
}

impl Default for Work {
    /// As wide as the machine allows.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::new(cores.saturating_sub(1).max(1))
    }
}

impl Work {
    /// A pool of so many threads, which are started when there is work.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self { shared: Arc::default(), width, refused: AtomicU64::new(0) }
    }

    /// Does a piece of work when its account's turn comes, and waits for it.
    ///
    /// # Errors
    /// What the work gives, or that there is no place for it.
    pub async fn run<T: Send + 'static>(
        &self,
        owner: Owner,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move || {
            if !reply.is_closed() {
                // The caller may have gone meanwhile.
                let _ = reply.send(work());
            }
        });
        if let Err(refused) = self.submit(owner, job) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(refused);
        }
        answer.await.map_err(|_| Failure::Internal("long work ended with a panic".into()))?
    }

    fn submit(&self, owner: Owner, job: Job) -> Result<(), Failure> {
        let mut state = self.shared.state();
        if state.idle <= state.waiting && state.threads < self.width {
            let shared = Arc::clone(&self.shared);
            let builder = std::thread::Builder::new().name("long-work".into());
            match builder.spawn(move || shared.work()) {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    return Err(Failure::Unavailable(format!("no thread for long work: {error}")));
                }
                // Those that there are do it.
                Err(_) => {}
            }
        }
        state.put(owner, job)?;
        drop(state);
        self.shared.come.notify_one();
        Ok(())
    }

    /// Pieces of work that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.state().waiting
    }

    /// Pieces of work that found no place so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn work(&self) {
        let mut state = self.state();
        while !state.closed {
            if let Some(job) = state.next() {
                drop(state);
                if std::panic::catch_unwind(AssertUnwindSafe(job)).is_err() {
                    error!("long work ended with a panic");
                }
                state = self.state();
            } else {
                state.idle += 1;
                state = self.come.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.queues.clear();
        drop(state);
        self.shared.come.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Puts work in whose order is told; nothing runs.
    fn put(state: &mut State, owner: Owner, told: &mpsc::Sender<Owner>) -> Result<(), Failure> {
        let told = told.clone();
        state.put(owner, Box::new(move || told.send(owner).unwrap()))
    }

    #[test]
    fn accounts_are_served_in_turn() {
        let (told, heard) = mpsc::channel();
        let mut state = State::default();
        let (a, b, c) = (Owner::root("a"), Owner::root("b"), Owner::root("c"));
        for owner in [a, a, a, a, b, c, c] {
            put(&mut state, owner, &told).unwrap();
        }
        while let Some(job) = state.next() {
            job();
        }
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [a, b, c, a, c, a, a]);
        assert_eq!((state.waiting, state.queues.len()), (0, 0));
    }

    #[test]
    fn places_have_shares() {
        let (told, _heard) = mpsc::channel();
        let mut state = State::default();
        let refused = |result: Result<(), Failure>| match result {
            Err(Failure::Refused(refusal)) => refusal.code == &catalogue::THROTTLING_USER,
            _ => false,
        };
        let weak = Owner::principal("a", "user", "weak");
        let filled = (0..).take_while(|_| put(&mut state, weak, &told).is_ok()).count();
        assert_eq!(filled, (ACCOUNT - ACCOUNT / 8) / 2);
        assert!(refused(put(&mut state, weak, &told)));
        // However many of its users fill it, the root key finds its part.
        let mut users = filled;
        for number in 0..50 {
            let user = Owner::principal("a", "user", &number.to_string());
            users += (0..).take_while(|_| put(&mut state, user, &told).is_ok()).count();
        }
        assert_eq!(users, ACCOUNT - ACCOUNT / 8);
        for _ in users..ACCOUNT {
            put(&mut state, Owner::root("a"), &told).unwrap();
        }
        assert!(refused(put(&mut state, Owner::root("a"), &told)));
        // Many fillers leave a place to one who has none.
        for number in 0..25 {
            let owner = Owner::root(&number.to_string());
            while put(&mut state, owner, &told).is_ok() {}
            assert!(state.waiting < ALL, "{number}");
        }
        put(&mut state, Owner::root("late"), &told).unwrap();
    }

    #[tokio::test]
    async fn work_is_done_and_a_panic_harms_no_other() {
        let work = Work::new(1);
        let owner = Owner::root("a");
        assert_eq!(work.run(owner, || Ok(7)).await.unwrap(), 7);
        let bug = work.run::<()>(owner, || panic!("a bug of a test")).await;
        assert!(matches!(bug, Err(Failure::Internal(_))));
        assert_eq!(work.run(owner, || Ok(8)).await.unwrap(), 8);
        assert_eq!((work.waiting(), work.shared.state().threads), (0, 1));
    }
}
