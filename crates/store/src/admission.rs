//! What lets a signed request in: the rights of its signer still hold, and its nonce was not used. Both are asked in
//! one question, since on a database behind a network each question is a round trip.
//!
//! On the embedded store nothing is asked of the database: epochs that are noted are those that are stored
//! ([`crate::epoch`]), and nonces are in memory and in a log of their own ([`NonceLog`]). So the answer is there at
//! once; it is a future for stores that have to ask.

use crate::postgres::admit::Admitter;
use crate::{Entry, Epoch, NonceError, NonceLog, NotAdmitted};

/// Lets signed requests in, each once.
#[derive(Debug)]
pub struct Admission(By);

#[derive(Debug)]
enum By {
    Log(Box<NonceLog>),
    Database(Admitter),
}

impl Admission {
    /// By this memory of nonces, of the embedded store.
    #[must_use]
    pub fn new(nonces: NonceLog) -> Self {
        Self(By::Log(Box::new(nonces)))
    }

    pub(crate) fn asking(admitter: Admitter) -> Self {
        Self(By::Database(admitter))
    }

    /// Lets a request in, if the epochs of its signer hold, its nonce was not used and `rate` (called at most once)
    /// gives it a place. Whoever has to ask takes the place first, and calls `give_back` if the request is not let in.
    /// Its nonce outlives the process after [`Admission::keep`].
    ///
    /// # Errors
    /// [`NotAdmitted`]; nothing was taken then.
    pub async fn admit<P>(
        &self,
        entry: Entry<'_>,
        rate: impl FnOnce() -> Option<P>,
        give_back: impl FnOnce(P),
    ) -> Result<(), NotAdmitted> {
        if !entry.epochs.iter().all(Epoch::holds) {
            return Err(NotAdmitted::Stale);
        }
        match &self.0 {
            By::Log(nonces) => {
                let admit = || rate().is_some();
                Ok(nonces.take(entry.owner, (entry.key, entry.nonce), entry.now, entry.expires, admit)?)
            }
            By::Database(admitter) => admitter.admit(entry, rate, give_back).await,
        }
    }

    /// Makes every nonce taken so far outlive the process: a call must have no effect and no answer before.
    ///
    /// # Errors
    /// [`NonceError::Log`]; the nonces stay taken, and are kept with the next call of this.
    pub fn keep(&self) -> Result<(), NonceError> {
        match &self.0 {
            By::Log(nonces) => nonces.write(),
            By::Database(_) => Ok(()),
        }
    }

    /// Requests dated before this time (UNIX seconds) cannot be distinguished from replays and must be refused.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        match &self.0 {
            By::Log(nonces) => nonces.not_before(),
            By::Database(_) => i64::MIN,
        }
    }

    /// Nonces remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.0 {
            By::Log(nonces) => nonces.count(),
            By::Database(admitter) => admitter.count(),
        }
    }

    /// Whether a request could be let in now, and its nonce kept.
    ///
    /// # Errors
    /// As [`NonceLog::check`].
    pub fn check(&self) -> Result<(), NonceError> {
        match &self.0 {
            By::Log(nonces) => nonces.check(),
            // Whether the database answers is asked of the store.
            By::Database(_) => Ok(()),
        }
    }

    /// Notes an orderly stop.
    ///
    /// # Errors
    /// File errors.
    pub fn close(&self) -> std::io::Result<()> {
        match &self.0 {
            By::Log(nonces) => nonces.close(),
            By::Database(_) => Ok(()),
        }
    }
}
