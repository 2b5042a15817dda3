//! Security tokens of role sessions: self-contained, sealed and authenticated, so that nothing is stored for them.
//!
//! A token holds all that a later call needs: which access key it belongs to, role, session name, end, session
//! policy. It is sealed (AES-256-GCM) under a key of the service's own, which is itself sealed in the store
//! under the master key: tokens outlive restarts and a change of the master key. The secret of the temporary
//! access key is derived from the same key and the access key id (HKDF-SHA256), and so is in no token. Whoever
//! holds a token without that secret can sign nothing.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tongguan_model::id::AccountId;
use tongguan_rpc::Secret;
use tongguan_store::{Store, Verdict};
use zeroize::Zeroizing;

use crate::context::random;
use crate::keyring::{KeyringError, LETTERS, characters};
use crate::vault::{MASTER_KEY_BYTES, SealError, Vault};

/// Temporary access key ids begin with this.
pub const TEMPORARY: &str = "STS.";
/// Name of the key that seals tokens, in the table of the service's own keys.
const KEY_NAME: &str = "security-token";
/// What a token is sealed for.
const PURPOSE: &str = "security-token:1";
/// Bytes of key material that a secret is made of.
const SECRET_BYTES: usize = 44;

/// What a token says. It is sealed whole: its bearer cannot read or change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The temporary access key id that it belongs to.
    #[serde(rename = "k")]
    pub access_key: String,
    /// Account of the role.
    #[serde(rename = "a")]
    pub account: String,
    /// Decimal id of the role: a role of the same name that is made later is another one.
    #[serde(rename = "r")]
    pub role_id: String,
    /// `RoleSessionName`.
    #[serde(rename = "n")]
    pub session: String,
    /// Until when, UNIX seconds.
    #[serde(rename = "e")]
    pub expires: i64,
    /// Session policy: its document.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<String>,
    /// `SourceIdentity`.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none", default)]
    pub source_identity: Option<String>,
}

impl Grant {
    /// The account of the role.
    #[must_use]
    pub fn account(&self) -> AccountId {
        AccountId::new(self.account.as_str())
    }
}

/// Temporary credentials, as AssumeRole answers them.
#[derive(Debug)]
pub struct Credentials {
    /// Access key id.
    pub access_key: String,
    /// Its secret.
    pub secret: Secret,
    /// The security token.
    pub token: Zeroizing<String>,
}

/// Makes and opens security tokens.
pub struct Tokens {
    vault: Vault,
    prk: Prk,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

/// Length of what HKDF is asked for.
struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        SECRET_BYTES
    }
}

impl Tokens {
    /// Opens the store's token key, or makes one.
    ///
    /// # Errors
    /// The store fails, or the key does not open under the master key.
    pub fn open(store: &Store, vault: &Vault, now_ms: i64) -> Result<Self, KeyringError> {
        let purpose = format!("service-key:{KEY_NAME}");
        let sealed = |source| KeyringError::Sealed { id: KEY_NAME.to_owned(), source };
        if let Some(found) = store.read(|snapshot| snapshot.sealed_service_key(KEY_NAME))? {
            let key = vault.open(&purpose, &found).map_err(sealed)?;
            let key = <&[u8; MASTER_KEY_BYTES]>::try_from(key.as_slice()).map_err(|_| sealed(SealError))?;
            return Self::new(key).map_err(sealed);
        }
        let key = Zeroizing::new(random::<MASTER_KEY_BYTES>());
        let value = vault.seal(&purpose, key.as_slice()).map_err(sealed)?;
        store.write_blocking(move |tx| {
            tx.put_sealed_service_key(KEY_NAME, &value, now_ms)?;
            Ok(Verdict::Keep(()))
        })?;
        Self::new(&key).map_err(sealed)
    }

    fn new(key: &[u8; MASTER_KEY_BYTES]) -> Result<Self, SealError> {
        let prk = Salt::new(HKDF_SHA256, b"tongguan temporary access key").extract(key);
        Ok(Self { vault: Vault::new(key)?, prk })
    }

    /// A new temporary access key id.
    #[must_use]
    pub fn new_access_key() -> String {
        format!("{TEMPORARY}NT{}", characters(24, LETTERS))
    }

    /// The credentials of a grant.
    ///
    /// # Errors
    /// [`SealError`] if there is no randomness or the cipher fails.
    pub fn issue(&self, grant: &Grant) -> Result<Credentials, SealError> {
        let text = serde_json::to_vec(grant).map_err(|_| SealError)?;
        let sealed = self.vault.seal(PURPOSE, &text)?;
        Ok(Credentials {
            access_key: grant.access_key.clone(),
            secret: self.secret(&grant.access_key)?,
            token: Zeroizing::new(STANDARD.encode(sealed)),
        })
    }

    /// What a token grants; none if this service did not make it.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<Grant> {
        let sealed = STANDARD.decode(token).ok()?;
        serde_json::from_slice(&self.vault.open(PURPOSE, &sealed).ok()?).ok()
    }

    /// The secret of a temporary access key.
    ///
    /// # Errors
    /// [`SealError`] if the derivation fails.
    pub fn secret(&self, access_key: &str) -> Result<Secret, SealError> {
        let info = [access_key.as_bytes()];
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        let derived = self.prk.expand(&info, Length).map_err(|_| SealError)?;
        derived.fill(bytes.as_mut()).map_err(|_| SealError)?;

        // 256 values onto 62 letters: more than 250 bits are left of 44 of them.
        let text = bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
        Ok(Secret::from(text.collect::<String>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        Grant {
            access_key: Tokens::new_access_key(),
            account: "1234567890123456".into(),
            role_id: "300000000000000001".into(),
            session: "alice".into(),
            expires: 1_800_000_000,
            policy: Some(r#"{"Version":"1","Statement":[]}"#.into()),
            source_identity: None,
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_made_and_not_otherwise() {
        let tokens = Tokens::new(&[7; 32]).unwrap();
        let grant = grant();
        let credentials = tokens.issue(&grant).unwrap();
        assert!(credentials.access_key.starts_with("STS."));
        assert_eq!(tokens.read(&credentials.token), Some(grant.clone()));
        assert_eq!(tokens.secret(&grant.access_key).unwrap(), credentials.secret);
        assert_eq!(credentials.secret.expose().len(), SECRET_BYTES);
        assert_ne!(tokens.secret("STS.other").unwrap(), credentials.secret);
        let other = Tokens::new(&[8; 32]).unwrap();
        assert_eq!(other.read(&credentials.token), None);
        assert_ne!(other.secret(&grant.access_key).unwrap(), credentials.secret);
        for place in 0..credentials.token.len() {
            let mut damaged = credentials.token.as_bytes().to_vec();
            damaged[place] = if damaged[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(tokens.read(std::str::from_utf8(&damaged).unwrap()), None, "{place}");
        }
        assert_eq!(tokens.read(""), None);
        assert!(!format!("{tokens:?} {credentials:?}").contains(credentials.secret.expose()));
    }
}
