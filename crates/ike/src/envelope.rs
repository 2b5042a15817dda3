//! The digital envelope of messages 3 and 4 (GM/T 0022): a fresh key for the peer's encryption certificate, and nonce
//! and identification encrypted under it.
//!
//! The nonce is encrypted with a vector of zero, the identification goes on from there. Each is padded with zeroes, and
//! an octet that says how many of them there are; there is always padding.

use zeroize::Zeroizing;

use crate::suite::{BLOCK_BYTES, Block, Cipher, CipherKey, Secret, SuiteError};

/// Octets of the key in an envelope.
pub const KEY_BYTES: usize = 16;

/// The key of an envelope. Wiped on drop.
pub struct EnvelopeKey {
    octets: Secret,
    cipher: CipherKey,
}

impl EnvelopeKey {
    /// Takes up a key.
    ///
    /// # Errors
    /// It has not [`KEY_BYTES`] octets.
    pub fn new(octets: Secret) -> Result<Self, SuiteError> {
        let cipher = Cipher::Sm4.key(&octets)?;
        Ok(Self { octets, cipher })
    }

    /// The key itself.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Encrypts nonce and identification: the bodies of their payloads.
    ///
    /// # Errors
    /// None, in fact: what is padded is whole.
    pub fn seal(&self, nonce: &[u8], identity: &[u8]) -> Result<(Vec<u8>, Vec<u8>), SuiteError> {
        let (mut nonce, mut identity) = (padded(nonce), padded(identity));
        let vector = self.cipher.encrypt([0; BLOCK_BYTES], &mut nonce)?;
        self.cipher.encrypt(vector, &mut identity)?;
        Ok((nonce.to_vec(), identity.to_vec()))
    }

    /// Decrypts the bodies of both payloads.
    ///
    /// # Errors
    /// One of them is not made of whole blocks, or is not padded.
    pub fn open(&self, nonce: &[u8], identity: &[u8]) -> Result<(Secret, Secret), SuiteError> {
        let (nonce, vector) = self.unpadded([0; BLOCK_BYTES], nonce)?;
        let (identity, _) = self.unpadded(vector, identity)?;
        Ok((nonce, identity))
    }

    fn unpadded(&self, vector: Block, body: &[u8]) -> Result<(Secret, Block), SuiteError> {
        let mut clear = Zeroizing::new(body.to_vec());
        let next = self.cipher.decrypt(vector, &mut clear)?;
        let zeroes = usize::from(*clear.last().unwrap_or(&u8::MAX));
        if zeroes >= BLOCK_BYTES {
            return Err(SuiteError("what is in the envelope is not padded"));
        }
        let length = clear.len() - zeroes - 1;
        clear.truncate(length);
        Ok((clear, next))
    }
}

impl std::fmt::Debug for EnvelopeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EnvelopeKey")
    }
}

fn padded(clear: &[u8]) -> Zeroizing<Vec<u8>> {
    let zeroes = BLOCK_BYTES - 1 - clear.len() % BLOCK_BYTES;
    let mut out = Zeroizing::new(Vec::with_capacity(clear.len() + BLOCK_BYTES));
    out.extend_from_slice(clear);
    out.resize(clear.len() + zeroes, 0);
    out.push(zeroes as u8);
    out
}
