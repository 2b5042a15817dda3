//! A master key: 64 hexadecimal digits in a file, in the environment or from a command. [`crate::secrets`] says where
//! one comes from.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use tongguan_service::vault::{MASTER_KEY_BYTES, Vault};
use zeroize::Zeroizing;

use crate::permissions;

/// Variable that holds the master key itself.
pub(crate) const VARIABLE: &str = "TONGGUAN_MASTER_KEY";

/// A master key. Wiped when dropped, never printed.
#[derive(Clone)]
pub(crate) struct MasterKey(Arc<Zeroizing<[u8; MASTER_KEY_BYTES]>>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

impl MasterKey {
    /// A new one.
    pub(crate) fn generate() -> Result<Self> {
        let mut key = Zeroizing::new([0; MASTER_KEY_BYTES]);
        getrandom::fill(&mut key[..]).map_err(|error| anyhow!("no randomness: {error}"))?;
        Ok(Self(Arc::new(key)))
    }

    /// Reads 64 hex digits, ignoring white space around them. `source` is for the message.
    pub(crate) fn parse(text: &str, source: &str) -> Result<Self> {
        let mut key = Zeroizing::new([0; MASTER_KEY_BYTES]);
        // The error would quote a character.
        hex::decode_to_slice(text.trim(), &mut key[..])
            .map_err(|_| anyhow!("{source} does not hold 64 hex digits"))?;
        Ok(Self(Arc::new(key)))
    }

    /// Reads a file that only its owner can read.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = permissions::read_secret(path)?;
        Self::parse(&text, &format!("`{}`", path.display()))
    }

    /// The vault under this key.
    pub(crate) fn vault(&self) -> Result<Vault> {
        Ok(Vault::new(&self.0)?)
    }

    /// Whether it is the same key, in constant time.
    pub(crate) fn is(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0[..], &other.0[..]).is_ok()
    }

    /// As it stands in a file.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let mut digits = Zeroizing::new([0; 2 * MASTER_KEY_BYTES]);
        // The buffer is of exactly the length that is needed.
        let _ = hex::encode_to_slice(&self.0[..], &mut digits[..]);
        let mut text = Zeroizing::new(String::with_capacity(digits.len() + 1));
        text.extend(digits.iter().map(|digit| char::from(*digit)));
        text.push('\n');
        text
    }
}
