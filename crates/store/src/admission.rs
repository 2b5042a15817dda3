//! What lets a signed request in: the rights of its signer still hold, and its nonce was not used. Both are asked in
//! one question, since on a database behind a network each question is a round trip.
//!
//! On the embedded store nothing is asked of the database: epochs that are noted are those that are stored
//! ([`crate::epoch`]), and nonces are in memory and in a log of their own ([`NonceLog`]). So the answer is there at
//! once; it is a future for stores that have to ask.

use crate::{Epoch, Moment, NonceError, NonceLog, Owner};

/// A signed request that asks to be let in.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Whose share of nonces it uses.
    pub owner: Owner,
    /// The access key that signed it.
    pub key: &'a str,
    /// Its nonce.
    pub nonce: &'a str,
    /// The present moment.
    pub now: Moment,
    /// When it can be accepted no more, UNIX seconds.
    pub expires: i64,
    /// Under which its signer's rights were read.
    pub epochs: &'a [Epoch],
}

/// Why a signed request is not let in.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// Rights were changed since they were read: they are to be read again. The nonce was not taken.
    #[error("rights were changed since they were read")]
    Stale,
    /// The nonce was not taken, or had been before.
    #[error(transparent)]
    Nonce(#[from] NonceError),
}

/// Lets signed requests in, each once.
#[derive(Debug)]
pub struct Admission {
    nonces: NonceLog,
}

impl Admission {
    /// By this memory of nonces, of the embedded store.
    #[must_use]
    pub fn new(nonces: NonceLog) -> Self {
        Self { nonces }
    }

    /// Lets a request in, if the epochs of its signer hold, its nonce was not used and `rate` (called then, at most
    /// once) agrees. Its nonce outlives the process after [`Admission::keep`].
    ///
    /// # Errors
    /// [`NotAdmitted`]; nothing was taken then.
    // A store that asks over a network answers later.
    #[expect(clippy::unused_async, reason = "nothing is waited for on the embedded store")]
    pub async fn admit(&self, entry: Entry<'_>, rate: impl FnOnce() -> bool) -> Result<(), NotAdmitted> {
        if !entry.epochs.iter().all(Epoch::holds) {
            return Err(NotAdmitted::Stale);
        }
        Ok(self.nonces.take(entry.owner, (entry.key, entry.nonce), entry.now, entry.expires, rate)?)
    }

    /// Makes every nonce taken so far outlive the process: a call must have no effect and no answer before.
    ///
    /// # Errors
    /// [`NonceError::Log`]; the nonces stay taken, and are kept with the next call of this.
    pub fn keep(&self) -> Result<(), NonceError> {
        self.nonces.write()
    }

    /// Requests dated before this time (UNIX seconds) cannot be distinguished from replays and must be refused.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.nonces.not_before()
    }

    /// Nonces remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nonces.count()
    }

    /// Whether a request could be let in now, and its nonce kept.
    ///
    /// # Errors
    /// As [`NonceLog::check`].
    pub fn check(&self) -> Result<(), NonceError> {
        self.nonces.check()
    }

    /// Notes an orderly stop.
    ///
    /// # Errors
    /// File errors.
    pub fn close(&self) -> std::io::Result<()> {
        self.nonces.close()
    }
}
