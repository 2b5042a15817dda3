//! What a signed request shows to be let in, and why it is not.

use crate::{Epoch, Moment, NonceError, Owner};

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
