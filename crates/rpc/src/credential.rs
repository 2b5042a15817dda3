//! The server's side of a caller's key: a shared secret, or the public half of an RSA key.

use std::fmt;
use std::sync::OnceLock;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

/// What a request is verified with.
#[derive(Debug, Clone)]
pub enum Credential {
    /// An AccessKey secret. Verifies every HMAC method and never an RSA signature.
    Secret(Secret),
    /// A registered RSA key. Verifies `ACS3-RSA-SHA256` only.
    RsaPublicKey(RsaPublicKey),
}

/// An AccessKey secret: wiped on drop, never printed, compared in constant time.
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<String>,
    keys: Keys,
}

/// The keys that most requests are signed with, made of a secret when they are first needed: hashing the secret is a
/// fifth of a signature's cost. They are wiped on drop, as the secret is.
#[derive(Clone, Default)]
struct Keys {
    v1: OnceLock<Box<hmac::Key>>,
    v3: OnceLock<Box<hmac::Key>>,
}

impl Secret {
    /// The secret itself. Keep the borrow short and copy it nowhere.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The key of V1 with HMAC-SHA1.
    pub(crate) fn v1(&self) -> &hmac::Key {
        let algorithm = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
        self.keys.v1.get_or_init(|| Box::new(hmac::Key::new(algorithm, &v1_key(self.expose()))))
    }

    /// The key of V3 with HMAC-SHA256.
    pub(crate) fn v3(&self) -> &hmac::Key {
        let key = || Box::new(hmac::Key::new(hmac::HMAC_SHA256, self.expose().as_bytes()));
        self.keys.v3.get_or_init(key)
    }
}

/// The bytes of the key of V1: the secret followed by `&`.
pub(crate) fn v1_key(secret: &str) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(secret.len() + 1));
    key.extend_from_slice(secret.as_bytes());
    key.push(b'&');
    key
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self { text: Zeroizing::new(secret), keys: Keys::default() }
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self::from(secret.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl ConstantTimeEq for Secret {
    fn ct_eq(&self, other: &Self) -> subtle::Choice {
        self.text.as_bytes().ct_eq(other.text.as_bytes())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for Secret {}

/// The public half of an RSA key of 2048 to 8192 bits.
#[derive(Clone)]
pub struct RsaPublicKey(ParsedPublicKey);

/// Why a key was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not one `PUBLIC KEY` (or, on the client, `PRIVATE KEY`) block of PEM.
    #[error("the key is not PEM of the expected kind")]
    Pem,
    /// PEM or Base64, but not an RSA key of 2048 to 8192 bits inside.
    #[error("the key is not an RSA key of 2048 to 8192 bits")]
    Rsa,
}

impl RsaPublicKey {
    /// Reads a SubjectPublicKeyInfo in PEM (`-----BEGIN PUBLIC KEY-----`).
    ///
    /// # Errors
    /// [`KeyError::Pem`] for other text, [`KeyError::Rsa`] for another kind or size of key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = decode_pem(pem, "PUBLIC KEY").ok_or(KeyError::Pem)?;
        ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der.as_slice()).map(Self).map_err(|_| KeyError::Rsa)
    }

    /// Whether `signature` (PKCS #1 v1.5 over SHA-256) is one over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for RsaPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaPublicKey")
    }
}

/// The content of the one PEM block labelled `label` in `pem`.
pub(crate) fn decode_pem(pem: &str, label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = pem
        .trim()
        .strip_prefix("-----BEGIN ")?
        .strip_prefix(label)?
        .strip_prefix("-----")?
        .strip_suffix("-----")?
        .strip_suffix(label)?
        .strip_suffix("-----END ")?;
    decode_base64_lines(body)
}

/// Decodes Base64 that may be broken into lines.
pub(crate) fn decode_base64_lines(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut joined = Zeroizing::new(String::with_capacity(text.len()));
    joined.extend(text.chars().filter(|c| !c.is_ascii_whitespace()));
    STANDARD.decode(joined.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = include_str!("../tests/golden/rsa-test-key.pub.pem");

    #[test]
    fn secrets_print_nothing_and_compare() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_eq!(format!("{:?}", Credential::Secret(secret.clone())), "Secret(Secret(***))");
        assert_eq!(secret, Secret::from("hunter2".to_owned()));
        assert_ne!(secret, Secret::from("hunter3"));
        assert_ne!(secret, Secret::from("hunter"));
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn public_keys_are_read_or_refused() {
        assert!(RsaPublicKey::from_pem(PEM).is_ok());
        assert!(RsaPublicKey::from_pem(&PEM.replace('\n', "\r\n")).is_ok());
        for text in
            ["", "-----BEGIN PUBLIC KEY-----", &PEM.replace("PUBLIC", "PRIVATE"), &PEM.replace('M', "*")]
        {
            assert_eq!(RsaPublicKey::from_pem(text).err(), Some(KeyError::Pem), "{text}");
        }
        let empty = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----";
        assert_eq!(RsaPublicKey::from_pem(empty).err(), Some(KeyError::Rsa));
    }
}
