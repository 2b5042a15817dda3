//! The key schedule of phase 1 and of quick mode (RFC 2409, 5; GM/T 0022).
//!
//! Both ways to authenticate share it. With a pre-shared key, a secret of Diffie and Hellman enters every key; with
//! digital envelopes there is none, and what enters SKEYID is the nonces, which only the holders of the encryption keys
//! can read.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::suite::{BLOCK_BYTES, Block, Cipher, CipherKey, Hash, Secret, SuiteError};
use crate::wire::Cookie;

/// The cookies of an IKE SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Cookies {
    /// The initiator's.
    pub initiator: Cookie,
    /// The responder's.
    pub responder: Cookie,
}

/// The keys of an IKE SA. Wiped on drop; `Debug` shows nothing of them.
pub struct Phase1Keys {
    hash: Hash,
    cookies: Cookies,
    skeyid: Secret,
    skeyid_d: Secret,
    skeyid_a: Secret,
    skeyid_e: Secret,
    cipher: CipherKey,
}

/// What phase 1 derives its keys from.
#[derive(Clone, Copy)]
pub enum Basis<'a> {
    /// The nonces, encrypted for each other.
    Envelope,
    /// A pre-shared key, and the secret that was agreed.
    Psk {
        /// The pre-shared key.
        key: &'a [u8],
        /// The secret of Diffie and Hellman.
        shared: &'a [u8],
    },
}

impl Phase1Keys {
    /// Derives SKEYID and what comes of it.
    ///
    /// # Errors
    /// The cipher does not take the key.
    pub fn derive(
        hash: Hash,
        cipher: Cipher,
        basis: Basis<'_>,
        cookies: Cookies,
        [initiator, responder]: [&[u8]; 2],
    ) -> Result<Self, SuiteError> {
        let (first, second) = (&cookies.initiator[..], &cookies.responder[..]);
        let (skeyid, shared) = match basis {
            Basis::Envelope => (hash.prf(&hash.digest(&[initiator, responder]), &[first, second]), &[][..]),
            Basis::Psk { key, shared } => (hash.prf(key, &[initiator, responder]), shared),
        };
        let skeyid_d = hash.prf(&skeyid, &[shared, first, second, &[0]]);
        let skeyid_a = hash.prf(&skeyid, &[&skeyid_d, shared, first, second, &[1]]);
        let skeyid_e = hash.prf(&skeyid, &[&skeyid_a, shared, first, second, &[2]]);
        let cipher = cipher.key(&stretched(hash, &skeyid_e, cipher.key_bytes()))?;
        Ok(Self { hash, cookies, skeyid, skeyid_d, skeyid_a, skeyid_e, cipher })
    }

    /// The proof of a side: HASH_I or HASH_R (RFC 2409, 5). `own` and `other` are public values, empty with
    /// envelopes; `sa` is the body of the initiator's SA payload, `identity` that of the side's identification.
    pub fn proof(&self, of_initiator: bool, [own, other]: [&[u8]; 2], sa: &[u8], identity: &[u8]) -> Secret {
        let (first, second) = (&self.cookies.initiator[..], &self.cookies.responder[..]);
        let cookies = if of_initiator { [first, second] } else { [second, first] };
        self.hash.prf(&self.skeyid, &[own, other, cookies[0], cookies[1], sa, identity])
    }

    /// A digest that authenticates an exchange under this SA.
    pub fn authenticate(&self, parts: &[&[u8]]) -> Secret {
        self.hash.prf(&self.skeyid_a, parts)
    }

    /// The vector of message 5, from the public values, or with envelopes from the keys of these.
    pub fn first_vector(&self, [initiator, responder]: [&[u8]; 2]) -> Block {
        beginning(&self.hash.digest(&[initiator, responder]))
    }

    /// The vector of an exchange's first message, from the last block of phase 1.
    pub fn exchange_vector(&self, last: &Block, message_id: u32) -> Block {
        beginning(&self.hash.digest(&[last, &message_id.to_be_bytes()]))
    }

    /// The cipher's key.
    pub fn cipher(&self) -> &CipherKey {
        &self.cipher
    }

    /// The cookies.
    pub fn cookies(&self) -> Cookies {
        self.cookies
    }

    /// KEYMAT (RFC 2409, 5.5) of an SPI: `length` octets.
    pub fn keymat(&self, source: &KeymatSource<'_>, length: usize) -> Secret {
        let KeymatSource { shared, protocol, spi, nonces: [initiator, responder] } = *source;
        let mut out = Zeroizing::new(Vec::with_capacity(length + BLOCK_BYTES * 2));
        let mut last = Zeroizing::new(Vec::new());
        while out.len() < length {
            last = self.hash.prf(&self.skeyid_d, &[&last, shared, &[protocol], spi, initiator, responder]);
            out.extend_from_slice(&last);
        }
        out.truncate(length);
        out
    }

    /// SKEYID, _d, _a and _e, to be compared with what others derived.
    pub fn secrets(&self) -> [&[u8]; 4] {
        [&self.skeyid, &self.skeyid_d, &self.skeyid_a, &self.skeyid_e]
    }
}

impl std::fmt::Debug for Phase1Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Phase1Keys")
    }
}

/// What KEYMAT comes from, beside SKEYID_d.
#[derive(Clone, Copy)]
pub struct KeymatSource<'a> {
    /// The secret of quick mode's own Diffie and Hellman; empty without.
    pub shared: &'a [u8],
    /// 3 for ESP.
    pub protocol: u8,
    /// Of the receiving side.
    pub spi: &'a [u8],
    /// Of initiator and responder of the quick mode.
    pub nonces: [&'a [u8]; 2],
}

/// In which order a digest of quick mode covers its parts. Products have a switch for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashOrder {
    /// As RFC 2409 has it.
    #[default]
    Rfc,
    /// As the text of GM/T 0022 is read by some: the nonces' bodies, before the SA in the first message.
    Gm,
}

impl HashOrder {
    /// The order that is not this one.
    pub fn other(self) -> Self {
        match self {
            Self::Rfc => Self::Gm,
            Self::Gm => Self::Rfc,
        }
    }
}

/// What a digest of quick mode covers.
#[derive(Clone, Copy)]
pub struct QuickParts<'a> {
    /// Of the exchange.
    pub message_id: u32,
    /// All payloads after the digest, whole and in their order.
    pub rest: &'a [u8],
    /// The SA payload, whole.
    pub sa: &'a [u8],
    /// What follows the nonce, whole.
    pub after_nonce: &'a [u8],
    /// The body of this message's nonce.
    pub nonce: &'a [u8],
}

impl Phase1Keys {
    /// HASH_1 (RFC 2409, 5.5).
    pub fn hash_1(&self, order: HashOrder, parts: QuickParts<'_>) -> Secret {
        let id = parts.message_id.to_be_bytes();
        match order {
            HashOrder::Rfc => self.authenticate(&[&id, parts.rest]),
            HashOrder::Gm => self.authenticate(&[&id, parts.nonce, parts.sa, parts.after_nonce]),
        }
    }

    /// HASH_2, which covers the initiator's nonce as well.
    pub fn hash_2(&self, order: HashOrder, initiator: &[u8], parts: QuickParts<'_>) -> Secret {
        let id = parts.message_id.to_be_bytes();
        match order {
            HashOrder::Rfc => self.authenticate(&[&id, initiator, parts.rest]),
            HashOrder::Gm => self.authenticate(&[&id, initiator, parts.sa, parts.nonce, parts.after_nonce]),
        }
    }

    /// HASH_3.
    pub fn hash_3(&self, message_id: u32, [initiator, responder]: [&[u8]; 2]) -> Secret {
        self.authenticate(&[&[0], &message_id.to_be_bytes(), initiator, responder])
    }
}

/// Whether two secrets are equal; takes the same time wherever they differ.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    bool::from(a.ct_eq(b))
}

fn beginning(digest: &[u8]) -> Block {
    let mut block = [0; BLOCK_BYTES];
    block.copy_from_slice(&digest[..BLOCK_BYTES]);
    block
}

/// A key for a cipher, longer than what it is made of if need be (RFC 2409, appendix B).
fn stretched(hash: Hash, skeyid_e: &[u8], length: usize) -> Secret {
    if skeyid_e.len() >= length {
        return Zeroizing::new(skeyid_e[..length].to_vec());
    }
    let mut out = Zeroizing::new(Vec::with_capacity(2 * length));
    let mut last = hash.prf(skeyid_e, &[&[0]]);
    while out.len() < length {
        out.extend_from_slice(&last);
        last = hash.prf(skeyid_e, &[&last]);
    }
    out.truncate(length);
    out
}
