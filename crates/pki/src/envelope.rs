//! SM2 as a key exchange needs it: a key that only the holder of a certificate can open, and signatures over parts of
//! messages.
//!
//! Ciphertexts have two forms. [`SealedForm::Der`] is that of GM/T 0009-2012; [`SealedForm::C1C2C3`] is the
//! concatenation that older programs write. Opening takes both, and the concatenation in either order. Whether a
//! ciphertext is malformed or its digest is wrong, opening takes the same steps and says the same.
//!
//! Randomness is an argument here, so that a whole key exchange can be repeated.

use sm2::dsa::signature::hazmat::{PrehashVerifier, RandomizedPrehashSigner};
use sm2::dsa::signature::{MultipartVerifier, RandomizedMultipartSigner};
use sm2::dsa::{Signature, SigningKey, VerifyingKey};
use sm2::elliptic_curve::rand_core::{TryCryptoRng, TryRng};
use sm2::pkcs8::der::Decode;
use sm2::pke::{Cipher, DecryptingKey, EncryptingKey, Mode};
use sm3::{Digest, Sm3};
use zeroize::Zeroizing;

use crate::{DEFAULT_USER_ID, PkiError, PrivateKey, PublicKey};

/// Octets of a signature as r and s, one after the other.
pub const RAW_SIGNATURE_BYTES: usize = 64;
/// Octets of C1 and C3, and the tag before them.
const RAW_OVERHEAD: usize = 1 + 64 + 32;

/// A source of random octets that nobody can guess.
pub trait Random {
    /// Fills `octets`.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when there are none to be had.
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), PkiError>;
}

/// The operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), PkiError> {
        getrandom::fill(octets).map_err(|_| PkiError::Crypto("randomness"))
    }
}

/// How a ciphertext is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedForm {
    /// `SEQUENCE { x, y, hash, cipher }` (GM/T 0009-2012, 7.2).
    Der,
    /// 04, x, y, cipher, hash.
    C1C2C3,
}

/// What a signature covers beside the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// ZA: the digest of the signer's identity and key, with [`DEFAULT_USER_ID`] (GB/T 32918.2).
    WithIdentity,
    /// Nothing: what is signed is the message's SM3.
    MessageAlone,
}

impl PublicKey {
    /// Encrypts a message of at least one octet under an SM2 key.
    ///
    /// # Errors
    /// [`PkiError::UnsupportedKey`] for another kind of key, [`PkiError::Crypto`] if that fails.
    pub fn seal(
        &self,
        message: &[u8],
        form: SealedForm,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, PkiError> {
        let mode = Mode::C1C2C3;
        let key = EncryptingKey::new_with_mode(*self.sm2()?, mode);
        let mut random = Adapter(random);
        let sealed = match form {
            SealedForm::Der => key.encrypt_der(&mut random, message),
            SealedForm::C1C2C3 => key.encrypt(&mut random, message),
        };
        sealed.map_err(|_| PkiError::Crypto("SM2 encryption"))
    }

    /// Verifies an SM2 signature over some parts, one after the other; it may be DER or r and s.
    ///
    /// # Errors
    /// [`PkiError::UnsupportedKey`] for another kind of key, else [`PkiError::BadSignature`].
    pub fn verify_parts(&self, parts: &[&[u8]], signature: &[u8], signed: Signed) -> Result<(), PkiError> {
        let bad = |_| PkiError::BadSignature;
        let key = VerifyingKey::new(DEFAULT_USER_ID, *self.sm2()?).map_err(bad)?;
        let signature = if signature.len() == RAW_SIGNATURE_BYTES {
            Signature::from_slice(signature)
        } else {
            Signature::from_der(signature)
        };
        let signature = signature.map_err(bad)?;
        match signed {
            Signed::WithIdentity => key.multipart_verify(parts, &signature).map_err(bad),
            Signed::MessageAlone => key.verify_prehash(&digest(parts), &signature).map_err(bad),
        }
    }
}

impl PrivateKey {
    /// Decrypts what [`PublicKey::seal`] wrote, in either form.
    ///
    /// # Errors
    /// [`PkiError::UnsupportedKey`] for another kind of key, else [`PkiError::NotSealedForUs`] whatever is wrong.
    pub fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, PkiError> {
        let key = DecryptingKey::new(self.sm2()?.clone());
        let read = |mode| Cipher::<sm2::Sm2, Sm3>::from_slice(sealed, mode).ok();
        let readings = match sealed.first() {
            Some(0x30) => [Cipher::from_der(sealed).ok(), None],
            Some(4) if sealed.len() > RAW_OVERHEAD => [read(Mode::C1C2C3), read(Mode::C1C3C2)],
            _ => [None, None],
        };
        // As much work for what cannot be read as for what can, in both orders.
        let decoy =
            Cipher::from_slice(&DECOY, Mode::C1C3C2).map_err(|_| PkiError::Crypto("SM2 decryption"))?;
        let [first, second] = readings.map(|reading| {
            let usable = reading.as_ref().filter(|cipher| !cipher.c2().is_empty());
            let opened = key.decrypt_cipher(usable.unwrap_or(&decoy)).map(Zeroizing::new);
            opened.ok().filter(|_| usable.is_some())
        });
        first.or(second).ok_or(PkiError::NotSealedForUs)
    }

    /// Signs some parts, one after the other, with an SM2 key: r and s.
    ///
    /// # Errors
    /// [`PkiError::UnsupportedKey`] for another kind of key, [`PkiError::Crypto`] if that fails.
    pub fn sign_parts(
        &self,
        parts: &[&[u8]],
        signed: Signed,
        random: &mut dyn Random,
    ) -> Result<[u8; RAW_SIGNATURE_BYTES], PkiError> {
        let failed = |_| PkiError::Crypto("signing");
        let key = SigningKey::new(DEFAULT_USER_ID, self.sm2()?).map_err(failed)?;
        let mut random = Adapter(random);
        let signature: Signature = match signed {
            Signed::WithIdentity => key.try_multipart_sign_with_rng(&mut random, parts),
            Signed::MessageAlone => key.sign_prehash_with_rng(&mut random, &digest(parts)),
        }
        .map_err(failed)?;
        Ok(signature.to_bytes().into())
    }
}

/// The DER form of r and s.
///
/// # Errors
/// [`PkiError::BadSignature`] if they are no signature.
pub fn signature_to_der(raw: &[u8; RAW_SIGNATURE_BYTES]) -> Result<Vec<u8>, PkiError> {
    let signature = Signature::from_slice(raw).map_err(|_| PkiError::BadSignature)?;
    Ok(signature.to_der().as_bytes().to_vec())
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sm3::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().into()
}

/// The generator of sm2p256v1, a digest and sixteen octets: opened in place of what cannot be read.
const DECOY: [u8; RAW_OVERHEAD + 16] = {
    let mut decoy = [0; RAW_OVERHEAD + 16];
    let x: u128 = 0x32c4_ae2c_1f19_8119_5f99_0446_6a39_c994;
    let x_low: u128 = 0x8fe3_0bbf_f266_0be1_715a_4589_334c_74c7;
    let y: u128 = 0xbc37_36a2_f4f6_779c_59bd_cee3_6b69_2153;
    let y_low: u128 = 0xd0a9_877c_c62a_4740_02df_32e5_2139_f0a0;
    let quarters = [x.to_be_bytes(), x_low.to_be_bytes(), y.to_be_bytes(), y_low.to_be_bytes()];
    decoy[0] = 4;
    let mut octet = 0;
    while octet < 64 {
        decoy[1 + octet] = quarters[octet / 16][octet % 16];
        octet += 1;
    }
    decoy
};

/// [`Random`] as the SM2 library wants it.
struct Adapter<'a>(&'a mut dyn Random);

impl TryRng for Adapter<'_> {
    type Error = PkiError;

    fn try_next_u32(&mut self) -> Result<u32, PkiError> {
        let mut octets = [0; 4];
        self.0.fill(&mut octets)?;
        Ok(u32::from_le_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, PkiError> {
        let mut octets = [0; 8];
        self.0.fill(&mut octets)?;
        Ok(u64::from_le_bytes(octets))
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), PkiError> {
        self.0.fill(octets)
    }
}

impl TryCryptoRng for Adapter<'_> {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::KeySpec;

    #[test]
    fn what_is_sealed_is_opened_in_both_forms() {
        let key = PrivateKey::generate(KeySpec::EcSm2).unwrap();
        for form in [SealedForm::Der, SealedForm::C1C2C3] {
            let sealed = key.public_key().seal(b"sixteen octets..", form, &mut SystemRandom).unwrap();
            assert_eq!(*key.open(&sealed).unwrap(), b"sixteen octets..");
            let other = PrivateKey::generate(KeySpec::EcSm2).unwrap();
            assert_eq!(other.open(&sealed).err(), Some(PkiError::NotSealedForUs));
            for octet in 0..sealed.len() {
                let mut wrong = sealed.clone();
                wrong[octet] ^= 1;
                assert_eq!(key.open(&wrong).err(), Some(PkiError::NotSealedForUs), "{form:?}, {octet}");
                assert!(key.open(&sealed[..octet]).is_err());
            }
        }
        let raw = key.public_key().seal(b"x", SealedForm::C1C2C3, &mut SystemRandom).unwrap();
        let newer = [&raw[..65], &raw[66..], &raw[65..66]].concat();
        assert_eq!(*key.open(&newer).unwrap(), b"x");
        assert!(key.open(&DECOY).is_err() && key.open(&[]).is_err());
    }

    #[test]
    fn signatures_with_and_without_identity_are_not_mixed_up() {
        let key = PrivateKey::generate(KeySpec::EcSm2).unwrap();
        for (signed, other) in
            [(Signed::WithIdentity, Signed::MessageAlone), (Signed::MessageAlone, Signed::WithIdentity)]
        {
            let raw = key.sign_parts(&[b"mes", b"sage"], signed, &mut SystemRandom).unwrap();
            let der = signature_to_der(&raw).unwrap();
            for signature in [&raw[..], &der] {
                key.public_key().verify_parts(&[b"message"], signature, signed).unwrap();
                assert!(key.public_key().verify_parts(&[b"message"], signature, other).is_err());
                assert!(key.public_key().verify_parts(&[b"massage"], signature, signed).is_err());
            }
            assert_eq!(key.public_key().verify(b"message", &der).is_ok(), signed == Signed::WithIdentity);
        }
        let rsa = PrivateKey::generate(KeySpec::EcP256).unwrap();
        assert!(matches!(rsa.open(&DECOY), Err(PkiError::UnsupportedKey(_))));
    }
}
