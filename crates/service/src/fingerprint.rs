//! Fingerprints of requests: what tells a repeat of a call from another call under the same ClientToken.
//!
//! A request may have private keys and pre-shared keys among its parameters, and some of the latter can be guessed.
//! So a fingerprint is an HMAC-SHA256 under a key of the service's own: with the database alone, in which that key
//! is sealed, no guess can be tried. Account, operation and token are part of it, so that equal requests do not look
//! equal either.

use aws_lc_rs::hkdf::Prk;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use tongguan_store::{Store, TokenName};

use crate::keyring::KeyringError;
use crate::own_key::FINGERPRINTS;
use crate::vault::Vault;

/// Bytes of a fingerprint.
const BYTES: usize = 32;

/// What a call was sent as.
pub(crate) type Fingerprint = [u8; BYTES];

/// What fingerprints are made with.
#[derive(Debug)]
pub(crate) struct FingerprintKey(Key);

impl FingerprintKey {
    /// The key; makes it if there is none. Tokens that are remembered then are from a release whose fingerprints were
    /// digests without a key: each is replaced by one of these, so that the token still tells its repeats.
    ///
    /// # Errors
    /// The store fails, or the key does not open under the master key.
    pub(crate) fn prepare(store: &Store, vault: &Vault, now_ms: i64) -> Result<Self, KeyringError> {
        let prk = FINGERPRINTS.prepare(store, vault, now_ms, |tx, prk| {
            let key = Self::derived(prk);
            tx.replace_fingerprints(|name, digest| key.of(name, digest).to_vec())
        })?;
        Ok(Self::derived(&prk))
    }

    fn derived(prk: &Prk) -> Self {
        let key = prk.expand(&[b"fingerprint of a request"], HMAC_SHA256);
        Self(key.expect("HKDF gives as much as HMAC takes").into())
    }

    /// The fingerprint of a call whose parameters have this digest.
    pub(crate) fn of(&self, name: TokenName<'_>, digest: &[u8]) -> Fingerprint {
        let mut context = Context::with_key(&self.0);
        for part in [name.account.as_str().as_bytes(), name.action.as_bytes(), name.token.as_bytes(), digest]
        {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut fingerprint = [0; BYTES];
        fingerprint.copy_from_slice(context.sign().as_ref());
        fingerprint
    }
}

#[cfg(test)]
mod tests {
    use tongguan_model::id::AccountId;

    use super::*;

    #[test]
    fn no_two_calls_or_keys_have_a_fingerprint_in_common() {
        let key = |byte| FingerprintKey::derived(&FINGERPRINTS.extracted(&[byte; 32]));
        let accounts = ["1234567890123456", "9999567890123456"].map(AccountId::new);
        let mut seen = std::collections::BTreeSet::new();
        for key in [key(1), key(2)] {
            for account in &accounts {
                for (action, token) in [("CreateVpc", "a"), ("CreateVpca", ""), ("CreateVpc", "b")] {
                    for digest in [[3; 32], [4; 32]] {
                        let name = TokenName { account, action, token };
                        assert!(seen.insert(key.of(name, &digest)), "{action} {token}");
                        assert_eq!(key.of(name, &digest), key.of(name, &digest));
                    }
                }
            }
        }
    }
}
