//! One direction of a child SA.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::cipher::{AES_128, AES_256, DecryptingKey, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::hmac;
use ipnet::IpNet;
use tongguan_smcrypto::{HmacSm3Key, Sm4Key};
use zeroize::Zeroize;

use crate::replay::Window;

/// Packets after which an SA should be replaced, and must not be used any more.
pub const PACKETS_SOFT: u32 = 1 << 31;
/// See [`PACKETS_SOFT`].
pub const PACKETS_HARD: u32 = u32::MAX - (1 << 16);
/// Blocks of a cipher with 128 bits after which an SA should be replaced: long before two are likely to be equal.
pub const BLOCKS_SOFT: u64 = 1 << 31;

/// The cipher of an SA with its key.
#[derive(Debug)]
pub enum CipherKey {
    /// SM4-CBC.
    Sm4(Sm4Key),
    /// AES-CBC.
    Aes(Box<AesKey>),
}

/// A key of AES, both ways.
#[derive(Debug)]
pub struct AesKey {
    pub(crate) encrypt: EncryptingKey,
    pub(crate) decrypt: DecryptingKey,
}

/// A key whose length no cipher has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cipher's key has a wrong length")]
pub struct BadKey;

impl CipherKey {
    /// SM4.
    ///
    /// # Errors
    /// The key has not 16 octets.
    pub fn sm4(key: &[u8]) -> Result<Self, BadKey> {
        Ok(Self::Sm4(Sm4Key::new(key.try_into().map_err(|_| BadKey)?)))
    }

    /// AES.
    ///
    /// # Errors
    /// The key has neither 16 nor 32 octets.
    pub fn aes(key: &[u8]) -> Result<Self, BadKey> {
        let algorithm = match key.len() {
            16 => &AES_128,
            32 => &AES_256,
            _ => return Err(BadKey),
        };
        let new = || UnboundCipherKey::new(algorithm, key).map_err(|_| BadKey);
        let encrypt = EncryptingKey::cbc(new()?).map_err(|_| BadKey)?;
        let decrypt = DecryptingKey::cbc(new()?).map_err(|_| BadKey)?;
        Ok(Self::Aes(Box::new(AesKey { encrypt, decrypt })))
    }
}

/// The integrity algorithm of an SA with its key.
#[derive(Debug)]
pub enum IntegrityKey {
    /// HMAC-SM3.
    Sm3(HmacSm3Key),
    /// HMAC-SHA-1-96 or HMAC-SHA-256-128.
    Sha(Box<hmac::Key>),
}

impl IntegrityKey {
    /// HMAC-SM3.
    pub fn sm3(key: &[u8]) -> Self {
        Self::Sm3(HmacSm3Key::new(key))
    }

    /// HMAC-SHA-1, cut to 96 bits (RFC 2404).
    pub fn sha1(key: &[u8]) -> Self {
        Self::Sha(Box::new(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key)))
    }

    /// HMAC-SHA-256, cut to 128 bits (RFC 4868).
    pub fn sha256(key: &[u8]) -> Self {
        Self::Sha(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }
}

/// How much of a code is sent. Products cut HMAC-SM3 to 96 or 128 bits, or send all of it.
///
/// Both directions of a child SA share one, so that what was learnt of the peer's packets is used for ours.
#[derive(Debug, Clone)]
pub struct IcvLength(Arc<AtomicU8>);

/// What a code may be cut to.
pub(crate) const ICV_LENGTHS: [usize; 3] = [12, 16, 32];

impl IcvLength {
    /// A fixed number of octets: 12, 16 or 32; none for any other.
    pub fn fixed(octets: usize) -> Option<Self> {
        let known = ICV_LENGTHS.contains(&octets);
        known.then(|| Self(Arc::new(AtomicU8::new(octets as u8))))
    }

    /// Twelve, until the first packet that verifies says otherwise.
    pub fn learnt() -> Self {
        Self(Arc::default())
    }

    /// Octets of the code in our packets.
    pub fn octets(&self) -> usize {
        self.known().unwrap_or(ICV_LENGTHS[0])
    }

    /// Octets of the code in the peer's packets, if they are set or learnt.
    pub fn known(&self) -> Option<usize> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            octets => Some(octets.into()),
        }
    }

    pub(crate) fn learn(&self, octets: usize) {
        self.0.store(octets as u8, Ordering::Relaxed);
    }
}

/// The networks that an SA carries packets between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Selector {
    /// On our side.
    pub local: IpNet,
    /// On the peer's side.
    pub remote: IpNet,
}

/// How far the life of an SA has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// It goes on.
    Good,
    /// It should be replaced.
    Soft,
    /// It carries nothing more.
    Hard,
}

/// What both directions have in common.
#[derive(Debug)]
pub struct Common {
    /// The SPI.
    pub spi: u32,
    /// The cipher.
    pub cipher: CipherKey,
    /// The integrity algorithm.
    pub integrity: IntegrityKey,
    /// How much of a code is sent.
    pub icv: IcvLength,
    /// What it carries.
    pub selector: Selector,
}

/// An SA under which we send.
#[derive(Debug)]
pub struct Outbound {
    pub(crate) common: Common,
    inbound: u32,
    pub(crate) vectors: Sm4Key,
    sent: AtomicU32,
    blocks: AtomicU64,
}

impl Outbound {
    /// Takes up an SA. `inbound` is the SPI under which the same child SA receives; `seed` is random, and from it come
    /// the vectors, which nobody can predict.
    pub fn new(common: Common, inbound: u32, mut seed: [u8; 16]) -> Self {
        let vectors = Sm4Key::new(&seed);
        seed.zeroize();
        Self { common, inbound, vectors, sent: AtomicU32::new(0), blocks: AtomicU64::new(0) }
    }

    /// The SPI.
    pub fn spi(&self) -> u32 {
        self.common.spi
    }

    /// What it carries.
    pub fn selector(&self) -> Selector {
        self.common.selector
    }

    /// The SPI under which the same child SA receives. It is ours, and so names the child SA; the other is chosen by
    /// the peer, and two peers may choose the same.
    pub fn inbound(&self) -> u32 {
        self.inbound
    }

    /// How far its life has gone.
    pub fn life(&self) -> Life {
        let (sent, blocks) = (self.sent.load(Ordering::Relaxed), self.blocks.load(Ordering::Relaxed));
        match sent {
            PACKETS_HARD.. => Life::Hard,
            PACKETS_SOFT.. => Life::Soft,
            _ if blocks >= BLOCKS_SOFT => Life::Soft,
            _ => Life::Good,
        }
    }

    /// The next sequence number, for a packet of some blocks; none at the end of its life. It never wraps.
    pub(crate) fn next_sequence(&self, blocks: usize) -> Option<u32> {
        let advance = |sent| if sent < PACKETS_HARD { Some(sent + 1) } else { None };
        let before = self.sent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance).ok()?;
        self.blocks.fetch_add(blocks as u64, Ordering::Relaxed);
        Some(before + 1)
    }
}

/// An SA under which we receive.
#[derive(Debug)]
pub struct Inbound {
    pub(crate) common: Common,
    window: Mutex<Window>,
}

impl Inbound {
    /// Takes up an SA.
    pub fn new(common: Common) -> Self {
        Self { common, window: Mutex::default() }
    }

    /// The SPI.
    pub fn spi(&self) -> u32 {
        self.common.spi
    }

    /// What it carries.
    pub fn selector(&self) -> Selector {
        self.common.selector
    }

    pub(crate) fn admits(&self, sequence: u32) -> bool {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).admits(sequence)
    }

    pub(crate) fn accept(&self, sequence: u32) -> bool {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).accept(sequence)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_end_before_they_wrap() {
        let network = "10.0.0.0/8".parse().unwrap();
        let common = Common {
            spi: 256,
            cipher: CipherKey::sm4(&[1; 16]).unwrap(),
            integrity: IntegrityKey::sm3(&[2; 32]),
            icv: IcvLength::learnt(),
            selector: Selector { local: network, remote: network },
        };
        let sa = Outbound::new(common, 256, [3; 16]);
        assert_eq!((sa.next_sequence(1), sa.life()), (Some(1), Life::Good));
        sa.sent.store(PACKETS_SOFT - 1, Ordering::Relaxed);
        assert_eq!((sa.next_sequence(1), sa.life()), (Some(PACKETS_SOFT), Life::Soft));
        sa.sent.store(PACKETS_HARD - 1, Ordering::Relaxed);
        assert_eq!((sa.next_sequence(1), sa.life()), (Some(PACKETS_HARD), Life::Hard));
        assert_eq!((sa.next_sequence(1), sa.next_sequence(1)), (None, None));
        sa.sent.store(1, Ordering::Relaxed);
        sa.blocks.store(BLOCKS_SOFT, Ordering::Relaxed);
        assert_eq!(sa.life(), Life::Soft);
    }

    #[test]
    fn keys_of_other_lengths_are_refused() {
        for length in 0..40 {
            let key = vec![0; length];
            assert_eq!(CipherKey::sm4(&key).is_ok(), length == 16);
            assert_eq!(CipherKey::aes(&key).is_ok(), length == 16 || length == 32);
            assert_eq!(IcvLength::fixed(length).is_some(), [12, 16, 32].contains(&length));
        }
    }
}
