//! Algorithms: digests with their keyed forms, ciphers in CBC, groups of Diffie and Hellman.

use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{digest, hmac};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U320, U2048};
use tongguan_pki::{PkiError, Random};
use tongguan_smcrypto::{CbcJob, HmacSm3Key, Sm3, Sm4Key, cbc_decrypt, cbc_encrypt};
use zeroize::{Zeroize, Zeroizing};

/// Length of a cipher's block.
pub const BLOCK_BYTES: usize = 16;

/// A block of a cipher: all ciphers here have the same.
pub type Block = [u8; BLOCK_BYTES];

/// Octets that are wiped on drop.
pub type Secret = Zeroizing<Vec<u8>>;

/// A computation that cannot be done: a key of the wrong length, a value of the peer that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SuiteError(pub &'static str);

/// A digest, which by HMAC is a pseudo-random function as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SM3.
    Sm3,
    /// SHA-256.
    Sha256,
    /// SHA-1: for peers that have nothing better.
    Sha1,
}

impl Hash {
    /// Its number among the attributes of phase 1.
    pub fn number(self) -> u16 {
        match self {
            Self::Sha1 => 2,
            Self::Sha256 => 4,
            Self::Sm3 => 20,
        }
    }

    /// The digest of some parts, one after the other.
    pub fn digest(self, parts: &[&[u8]]) -> Secret {
        let other = |algorithm| {
            let mut context = digest::Context::new(algorithm);
            parts.iter().for_each(|part| context.update(part));
            context.finish().as_ref().to_vec()
        };
        Zeroizing::new(match self {
            Self::Sm3 => Sm3::digest(parts).to_vec(),
            Self::Sha256 => other(&digest::SHA256),
            Self::Sha1 => other(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        })
    }

    /// HMAC of some parts, one after the other.
    pub fn prf(self, key: &[u8], parts: &[&[u8]]) -> Secret {
        let other = |algorithm| {
            let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
            parts.iter().for_each(|part| context.update(part));
            context.sign().as_ref().to_vec()
        };
        Zeroizing::new(match self {
            Self::Sm3 => HmacSm3Key::new(key).mac(parts).to_vec(),
            Self::Sha256 => other(hmac::HMAC_SHA256),
            Self::Sha1 => other(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        })
    }
}

/// A cipher, in CBC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// SM4.
    Sm4,
    /// AES with 128 bits.
    Aes128,
    /// AES with 256 bits.
    Aes256,
}

impl Cipher {
    /// Octets of a key.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Sm4 | Self::Aes128 => 16,
            Self::Aes256 => 32,
        }
    }

    /// Takes up a key.
    ///
    /// # Errors
    /// Its length is wrong.
    pub fn key(self, key: &[u8]) -> Result<CipherKey, SuiteError> {
        let wrong = SuiteError("a cipher's key has a wrong length");
        let aes = |algorithm: &'static _| {
            let new = || UnboundCipherKey::new(algorithm, key);
            let encrypt = EncryptingKey::cbc(new().map_err(|_| wrong)?).map_err(|_| wrong)?;
            let decrypt = DecryptingKey::cbc(new().map_err(|_| wrong)?).map_err(|_| wrong)?;
            Ok(CipherKey::Aes(Box::new(AesKey { encrypt, decrypt })))
        };
        match self {
            Self::Sm4 => Ok(CipherKey::Sm4(Sm4Key::new(key.try_into().map_err(|_| wrong)?))),
            Self::Aes128 => aes(&AES_128),
            Self::Aes256 => aes(&AES_256),
        }
    }
}

/// A cipher's key. Wiped on drop.
#[derive(Debug)]
pub enum CipherKey {
    /// Of SM4.
    Sm4(Sm4Key),
    /// Of AES.
    Aes(Box<AesKey>),
}

/// A key of AES, both ways.
#[derive(Debug)]
pub struct AesKey {
    encrypt: EncryptingKey,
    decrypt: DecryptingKey,
}

impl CipherKey {
    /// Encrypts whole blocks in place; answers the last one, which is the next vector.
    ///
    /// # Errors
    /// There is no block, or a broken one.
    pub fn encrypt(&self, iv: Block, data: &mut [u8]) -> Result<Block, SuiteError> {
        whole_blocks(data)?;
        match self {
            Self::Sm4(key) => cbc_encrypt(&mut [CbcJob::new(key, iv, data).map_err(|_| BROKEN)?]),
            Self::Aes(key) => {
                let context = EncryptionContext::Iv128(FixedLength::from(iv));
                key.encrypt.less_safe_encrypt(data, context).map_err(|_| BROKEN)?;
            }
        }
        last_block(data)
    }

    /// Decrypts whole blocks in place; answers the last encrypted one, which is the next vector.
    ///
    /// # Errors
    /// There is no block, or a broken one.
    pub fn decrypt(&self, iv: Block, data: &mut [u8]) -> Result<Block, SuiteError> {
        whole_blocks(data)?;
        let last = last_block(data)?;
        match self {
            Self::Sm4(key) => cbc_decrypt(&mut [CbcJob::new(key, iv, data).map_err(|_| BROKEN)?]),
            Self::Aes(key) => {
                let context = DecryptionContext::Iv128(FixedLength::from(iv));
                key.decrypt.decrypt(data, context).map_err(|_| BROKEN)?;
            }
        }
        Ok(last)
    }
}

const BROKEN: SuiteError = SuiteError("what is encrypted is not made of whole blocks");

fn whole_blocks(data: &[u8]) -> Result<(), SuiteError> {
    if data.is_empty() || !data.len().is_multiple_of(BLOCK_BYTES) { Err(BROKEN) } else { Ok(()) }
}

fn last_block(data: &[u8]) -> Result<Block, SuiteError> {
    data.last_chunk().copied().ok_or(BROKEN)
}

/// A group in which keys are agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// 2048 bits modulo a prime (RFC 3526).
    Modp2048,
    /// NIST P-256 (RFC 5903).
    P256,
}

/// Octets of a private exponent: more than twice the strength of the group.
const EXPONENT_BYTES: usize = 40;
/// Tries to find a private key below the order of P-256; one in four thousand millions fails.
const P256_TRIES: usize = 8;

impl Group {
    /// Its number among the attributes.
    pub fn number(self) -> u16 {
        match self {
            Self::Modp2048 => 14,
            Self::P256 => 19,
        }
    }

    /// Octets of a public value.
    pub fn public_bytes(self) -> usize {
        match self {
            Self::Modp2048 => 256,
            Self::P256 => 64,
        }
    }

    /// Makes a key pair.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate(self, random: &mut dyn Random) -> Result<KeyPair, PkiError> {
        match self {
            Self::Modp2048 => {
                let mut octets = Zeroizing::new([0; EXPONENT_BYTES]);
                random.fill(&mut octets[..])?;
                let exponent = U320::from_be_slice(&octets[..]);
                let public = power(&U2048::from_u8(2), &exponent);
                Ok(KeyPair {
                    public: public.to_be_bytes().as_ref().to_vec(),
                    private: Private::Modp2048(exponent),
                })
            }
            Self::P256 => {
                let mut octets = Zeroizing::new([0; 32]);
                for _ in 0..P256_TRIES {
                    random.fill(&mut octets[..])?;
                    if let Ok(private) = PrivateKey::from_private_key(&ECDH_P256, &octets[..]) {
                        let public = private.compute_public_key().map_err(|_| PkiError::Crypto("P-256"))?;
                        // Without the octet that says "uncompressed".
                        let public = public.as_ref()[1..].to_vec();
                        return Ok(KeyPair { public, private: Private::P256(private) });
                    }
                }
                Err(PkiError::Crypto("P-256"))
            }
        }
    }
}

/// A key pair of a group.
pub struct KeyPair {
    public: Vec<u8>,
    private: Private,
}

enum Private {
    Modp2048(U320),
    P256(PrivateKey),
}

impl KeyPair {
    /// The public value.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The secret that is shared with the holder of a public value.
    ///
    /// # Errors
    /// The peer's value is none of the group, or one that would make the secret known.
    pub fn agree(&self, peer: &[u8]) -> Result<Secret, SuiteError> {
        let bad = SuiteError("the peer's public value is not one of the group");
        match &self.private {
            Private::Modp2048(exponent) => {
                if peer.len() != Group::Modp2048.public_bytes() {
                    return Err(bad);
                }
                let peer = U2048::from_be_slice(peer);
                let most = PRIME_2048.as_ref().wrapping_sub(&U2048::from_u8(2));
                if peer < U2048::from_u8(2) || peer > most {
                    return Err(bad);
                }
                Ok(Zeroizing::new(power(&peer, exponent).to_be_bytes().as_ref().to_vec()))
            }
            Private::P256(private) => {
                if peer.len() != Group::P256.public_bytes() {
                    return Err(bad);
                }
                let point = UnparsedPublicKey::new(&ECDH_P256, [&[4], peer].concat());
                agreement::agree(private, point, bad, |secret| Ok(Zeroizing::new(secret.to_vec())))
            }
        }
    }
}

impl Drop for KeyPair {
    fn drop(&mut self) {
        if let Private::Modp2048(exponent) = &mut self.private {
            exponent.zeroize();
        }
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPair")
    }
}

/// The prime of group 14 (RFC 3526, 3).
const PRIME_2048: Odd<U2048> = Odd::<U2048>::from_be_hex(concat!(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD",
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED",
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F",
    "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B",
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510",
    "15728E5A8AACAA68FFFFFFFFFFFFFFFF"
));

fn power(base: &U2048, exponent: &U320) -> U2048 {
    let parameters = FixedMontyParams::new_vartime(PRIME_2048);
    FixedMontyForm::new(base, &parameters).pow(exponent).retrieve()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tongguan_pki::SystemRandom;

    use super::*;

    #[test]
    fn both_sides_agree_in_every_group() {
        for group in [Group::Modp2048, Group::P256] {
            let [a, b] = [(), ()].map(|()| group.generate(&mut SystemRandom).unwrap());
            assert_eq!(a.public().len(), group.public_bytes());
            assert_eq!(a.agree(b.public()).unwrap(), b.agree(a.public()).unwrap());
            assert_ne!(a.public(), b.public());
        }
    }

    #[test]
    fn values_that_make_the_secret_known_are_refused() {
        let pair = Group::Modp2048.generate(&mut SystemRandom).unwrap();
        let prime: U2048 = *PRIME_2048.as_ref();
        let one = U2048::from_u8(1);
        for value in [U2048::ZERO, one, prime.wrapping_sub(&one), prime, prime.wrapping_add(&one), U2048::MAX]
        {
            assert!(pair.agree(value.to_be_bytes().as_ref()).is_err());
        }
        let pair_of_curve = Group::P256.generate(&mut SystemRandom).unwrap();
        for value in [&[0; 64][..], &[1; 64], &[], &pair_of_curve.public()[1..], pair.public()] {
            assert!(pair_of_curve.agree(value).is_err());
        }
    }

    /// RFC 5903, 8.1: private value and public value.
    #[test]
    fn p256_is_that_of_the_rfc() {
        struct Fixed;
        impl Random for Fixed {
            fn fill(&mut self, octets: &mut [u8]) -> Result<(), PkiError> {
                let private = hex::decode("C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433");
                octets.copy_from_slice(&private.unwrap());
                Ok(())
            }
        }
        let pair = Group::P256.generate(&mut Fixed).unwrap();
        assert_eq!(
            hex::encode_upper(pair.public()),
            "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C37725811805271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3"
        );
    }

    #[test]
    fn every_cipher_returns_what_it_encrypted_and_the_next_vector() {
        for cipher in [Cipher::Sm4, Cipher::Aes128, Cipher::Aes256] {
            let key = cipher.key(&vec![7; cipher.key_bytes()]).unwrap();
            assert!(cipher.key(&vec![7; cipher.key_bytes() - 1]).is_err());
            let mut data = [5; 48];
            let next = key.encrypt([1; 16], &mut data).unwrap();
            assert_eq!(next[..], data[32..]);
            assert_eq!(key.decrypt([1; 16], &mut data).unwrap(), next);
            assert_eq!(data, [5; 48]);
            assert!(key.encrypt([1; 16], &mut data[1..]).is_err() && key.decrypt([1; 16], &mut []).is_err());
        }
    }
}
