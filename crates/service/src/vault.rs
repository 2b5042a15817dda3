//! Secrets at rest: AES-256-GCM under the master key, which is not in the database.
//!
//! A sealed value is bound to its *purpose*, which is authenticated along with it, so that a value copied to
//! another row does not open there.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Bytes of a master key.
pub const MASTER_KEY_BYTES: usize = 32;
/// First byte of a sealed value: the purpose alone is bound to it. Of databases whose rows are not sealed yet.
const SCHEME_1: u8 = 1;
/// First byte of a sealed value: [`BOUND`] and the purpose are bound to it.
const SCHEME_2: u8 = 2;
/// What makes a value of the second scheme another than one of the first.
const BOUND: &str = "tongguan 2 ";

/// A sealed value did not open: another master key, another purpose, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret does not open: the master key is not the one it was sealed under, or the database is damaged"
)]
pub struct SealError;

/// Seals and opens secrets.
#[derive(Clone)]
pub struct Vault {
    key: Arc<LessSafeKey>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// A vault under this master key.
    ///
    /// # Errors
    /// [`SealError`] if the key cannot be used.
    pub fn new(master_key: &[u8; MASTER_KEY_BYTES]) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, master_key).map_err(|_| SealError)?;
        Ok(Self { key: Arc::new(LessSafeKey::new(key)) })
    }

    /// Seals `secret` for `purpose`.
    ///
    /// # Errors
    /// [`SealError`] if there is no randomness or the cipher fails.
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError)?;
        let mut text = Zeroizing::new(secret.to_vec());
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound(purpose)),
                &mut text,
            )
            .map_err(|_| SealError)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + text.len() + tag.as_ref().len());
        sealed.push(SCHEME_2);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed for `purpose`.
    ///
    /// # Errors
    /// [`SealError`] if it does not open.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (scheme, rest) = sealed.split_first().ok_or(SealError)?;
        let bound = match *scheme {
            SCHEME_1 => purpose.to_owned(),
            SCHEME_2 => bound(purpose),
            _ => return Err(SealError),
        };
        if rest.len() < NONCE_LEN {
            return Err(SealError);
        }
        let (nonce, text) = rest.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = self.key.open_in_place(nonce, Aad::from(bound), &mut text).map_err(|_| SealError)?.len();
        text.truncate(length);
        Ok(text)
    }

    /// Whether a value claims to be sealed in the scheme of this release: no value of a database from before rows were
    /// sealed does, and none can be made to without the master key.
    #[must_use]
    pub fn newest(sealed: &[u8]) -> bool {
        sealed.first() == Some(&SCHEME_2)
    }
}

fn bound(purpose: &str) -> String {
    [BOUND, purpose].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_only_under_its_key_and_purpose() {
        let vault = Vault::new(&[7; 32]).unwrap();
        let sealed = vault.seal("access-key:a", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(vault.open("access-key:a", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(vault.open("access-key:b", &sealed), Err(SealError));
        assert_eq!(Vault::new(&[8; 32]).unwrap().open("access-key:a", &sealed), Err(SealError));
        for place in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[place] ^= 1;
            assert_eq!(vault.open("access-key:a", &damaged), Err(SealError));
        }
        assert_eq!(vault.open("access-key:a", &[]), Err(SealError));
    }

    /// A database that claims to be an old one cannot be made of the values of a new one.
    #[test]
    fn a_value_of_this_scheme_is_none_of_the_first() {
        let vault = Vault::new(&[7; 32]).unwrap();
        let mut sealed = vault.seal("access-key:a", b"secret").unwrap();
        assert!(Vault::newest(&sealed));
        sealed[0] = SCHEME_1;
        assert!(!Vault::newest(&sealed));
        assert_eq!(vault.open("access-key:a", &sealed), Err(SealError));
        // One that an older release sealed.
        let old = hex("010505050505050505050505059194e45ab4e9c096e701a2e01d0be3e025bbe4a65f47");
        assert_eq!(vault.open("access-key:a", &old).unwrap().as_slice(), b"secret");
        assert_eq!(vault.open("tongguan 2 access-key:a", &old), Err(SealError));
    }

    fn hex(digits: &str) -> Vec<u8> {
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }
}
