//! Key pairs and public keys.
//!
//! A secret stays inside the library that made it, and both libraries wipe memory when a key is
//! freed. One gap is left: while signing, `sm2` copies the scalar onto the stack and does not wipe
//! that copy.
//!
//! Signatures are *hedged*: their nonce is derived from key, message and fresh randomness (SM2: RFC 6979, 3.6, with
//! additional data), so that neither weak randomness nor a fault while the same message is signed again tells the key.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use getrandom::SysRng;
use sm2::dsa::SigningKey;
use sm2::dsa::signature::RandomizedSigner;
use sm2::elliptic_curve::Generate;
use sm2::pkcs8::{DecodePrivateKey, EncodePrivateKey, PrivateKeyInfoRef};
use x509_cert::der::asn1::{AnyRef, ContextSpecific, ObjectIdentifier};
use x509_cert::der::{Decode, Encode, Reader, SliceReader, TagNumber};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use zeroize::Zeroizing;

use crate::certificate::hex;
use crate::material::{KeySpec, Material, unsupported};
use crate::signature::{DEFAULT_USER_ID, Scheme};
use crate::{PkiError, asn1, pem};

/// n - 1 of sm2p256v1: the one private key that cannot sign, as 1 + d has no inverse.
const SM2_ORDER_MINUS_ONE: [u8; 32] = [
    0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x72,
    0x03, 0xdf, 0x6b, 0x21, 0xc6, 0x05, 0x2b, 0x53, 0xbb, 0xf4, 0x09, 0x39, 0xd5, 0x41, 0x22,
];

/// A private key with its public half. Wiped on drop; `Debug` shows the spec only.
pub struct PrivateKey(Secret);

enum Secret {
    Rsa(RsaKeyPair, KeySpec),
    P256(EcdsaKeyPair),
    Sm2(sm2::SecretKey),
}

impl PrivateKey {
    /// Makes a new key from the randomness of the operating system.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when that randomness fails.
    pub fn generate(spec: KeySpec) -> Result<Self, PkiError> {
        let failed = PkiError::Crypto("key generation");
        let rsa =
            |size| RsaKeyPair::generate(size).map(|key| Secret::Rsa(key, spec)).map_err(|_| failed.clone());
        Ok(Self(match spec {
            KeySpec::Rsa2048 => rsa(KeySize::Rsa2048)?,
            KeySpec::Rsa3072 => rsa(KeySize::Rsa3072)?,
            KeySpec::Rsa4096 => rsa(KeySize::Rsa4096)?,
            KeySpec::EcP256 => {
                Secret::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| failed)?)
            }
            KeySpec::EcSm2 => {
                let key = sm2::SecretKey::try_generate().map_err(|_| failed)?;
                Secret::Sm2(able_to_sign(key)?)
            }
        }))
    }

    /// Kind of key.
    pub fn spec(&self) -> KeySpec {
        match &self.0 {
            Secret::Rsa(_, spec) => *spec,
            Secret::P256(_) => KeySpec::EcP256,
            Secret::Sm2(_) => KeySpec::EcSm2,
        }
    }

    /// PKCS #8 `PrivateKeyInfo` (RFC 5208), unencrypted, wiped on drop.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when encoding fails.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, PkiError> {
        let failed = PkiError::Crypto("PKCS #8 encoding");
        let der = match &self.0 {
            Secret::Rsa(key, _) => key.as_der().map_err(|_| failed)?.as_ref().to_vec(),
            Secret::P256(key) => key.to_pkcs8v1().map_err(|_| failed)?.as_ref().to_vec(),
            Secret::Sm2(key) => key.to_pkcs8_der().map_err(|_| failed)?.as_bytes().to_vec(),
        };
        Ok(Zeroizing::new(der))
    }

    /// Reads an unencrypted PKCS #8 `PrivateKeyInfo` of one of the three kinds.
    ///
    /// # Errors
    /// [`PkiError::Malformed`], [`PkiError::UnsupportedAlgorithm`], [`PkiError::UnsupportedKey`] or
    /// [`PkiError::InvalidPrivateKey`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, PkiError> {
        let info = PrivateKeyInfoRef::from_der(der)
            .map_err(|_| PkiError::malformed("private key", "not an unencrypted PKCS #8 key"))?;
        let oid = info.algorithm.oid;
        if oid == asn1::RSA {
            return Self::from_rsa(RsaKeyPair::from_pkcs8(der));
        }
        if oid == asn1::SM2 {
            return sm2::SecretKey::from_sec1_der(info.private_key.as_bytes())
                .map_err(|_| PkiError::InvalidPrivateKey("not a usable SM2 key"))
                .and_then(able_to_sign)
                .map(|key| Self(Secret::Sm2(key)));
        }
        if oid != asn1::EC_PUBLIC_KEY {
            return Err(unsupported("public key algorithm", oid));
        }
        match info.algorithm.parameters_oid() {
            Ok(asn1::SM2) => sm2::SecretKey::from_pkcs8_der(der)
                .map_err(|_| PkiError::InvalidPrivateKey("not a usable SM2 key"))
                .and_then(able_to_sign)
                .map(|key| Self(Secret::Sm2(key))),
            Ok(asn1::P256) => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
                .map(|key| Self(Secret::P256(key)))
                .map_err(|_| PkiError::InvalidPrivateKey("not a usable P-256 key")),
            Ok(curve) => Err(unsupported("elliptic curve", curve)),
            Err(_) => Err(PkiError::malformed("private key", "the curve is not named")),
        }
    }

    fn from_rsa(key: Result<RsaKeyPair, KeyRejected>) -> Result<Self, PkiError> {
        let key = key.map_err(|_| PkiError::InvalidPrivateKey("not a usable RSA key"))?;
        let spec = KeySpec::rsa(key.public_modulus_len() * 8)?;
        Ok(Self(Secret::Rsa(key, spec)))
    }

    /// Reads one private key in any of the forms that OpenSSL writes unencrypted: "PRIVATE KEY" (PKCS #8), "RSA PRIVATE
    /// KEY" (RFC 8017, A.1.2), and "EC PRIVATE KEY" or "SM2 PRIVATE KEY" (RFC 5915, its curve named). Parameters of the
    /// curve may stand before it in a block of their own.
    ///
    /// # Errors
    /// [`PkiError::Pem`] and those of [`PrivateKey::from_pkcs8_der`].
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        let (label, der) = pem::private_key(text)?;
        match label.as_str() {
            pem::RSA_PRIVATE_KEY => Self::from_rsa(RsaKeyPair::from_der(&der)),
            pem::EC_PRIVATE_KEY | pem::SM2_PRIVATE_KEY => Self::from_sec1_der(&der),
            _ => Self::from_pkcs8_der(&der),
        }
    }

    /// Reads an `ECPrivateKey` (RFC 5915) that names its curve.
    fn from_sec1_der(der: &[u8]) -> Result<Self, PkiError> {
        match sec1_curve(der).map_err(|e| PkiError::malformed("private key", e))? {
            Some(asn1::SM2) => sm2::SecretKey::from_sec1_der(der)
                .map_err(|_| PkiError::InvalidPrivateKey("not a usable SM2 key"))
                .and_then(able_to_sign)
                .map(|key| Self(Secret::Sm2(key))),
            Some(asn1::P256) => EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
                .map(|key| Self(Secret::P256(key)))
                .map_err(|_| PkiError::InvalidPrivateKey("not a usable P-256 key")),
            Some(curve) => Err(unsupported("elliptic curve", curve)),
            None => Err(PkiError::malformed("private key", "the curve is not named")),
        }
    }

    /// Reads one "PRIVATE KEY" block; see [`PrivateKey::from_pkcs8_der`].
    ///
    /// # Errors
    /// [`PkiError::Pem`] and those of [`PrivateKey::from_pkcs8_der`].
    pub fn from_pkcs8_pem(text: &str) -> Result<Self, PkiError> {
        Self::from_pkcs8_der(&pem::one(text, &[pem::PRIVATE_KEY])?)
    }

    /// "PRIVATE KEY" block, unencrypted, wiped on drop.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when encoding fails.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, PkiError> {
        Ok(Zeroizing::new(pem::encode(pem::PRIVATE_KEY, &self.to_pkcs8_der()?)))
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        let (spec, material) = match &self.0 {
            Secret::Rsa(key, spec) => {
                let bits = key.public_modulus_len() * 8;
                (*spec, Material::Rsa { der: key.public_key().as_ref().to_vec(), bits })
            }
            Secret::P256(key) => (KeySpec::EcP256, Material::P256(key.public_key().as_ref().to_vec())),
            Secret::Sm2(key) => (KeySpec::EcSm2, Material::Sm2(key.public_key())),
        };
        PublicKey { spec, material }
    }

    /// Signs `message` (not a digest): SM2 with SM3 and [`DEFAULT_USER_ID`], or ECDSA with SHA-256,
    /// both as DER `SEQUENCE { r, s }`; or RSA PKCS #1 v1.5 with SHA-256.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when the library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        self.sign_as(DEFAULT_USER_ID, message)
    }

    /// [`PrivateKey::sign`], with this user id where SM2 is concerned.
    pub(crate) fn sign_as(&self, user_id: &str, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        let failed = PkiError::Crypto("signing");
        match &self.0 {
            Secret::Rsa(key, _) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| failed)?;
                Ok(signature)
            }
            Secret::P256(key) => {
                let signature = key.sign(&SystemRandom::new(), message).map_err(|_| failed)?;
                Ok(signature.as_ref().to_vec())
            }
            Secret::Sm2(key) => {
                let signer = SigningKey::new(user_id, key).map_err(|_| failed.clone())?;
                let signature: sm2::dsa::Signature =
                    signer.try_sign_with_rng(&mut SysRng, message).map_err(|_| failed)?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
        }
    }

    /// The key itself, if it is of SM2.
    pub(crate) fn sm2(&self) -> Result<&sm2::SecretKey, PkiError> {
        match &self.0 {
            Secret::Sm2(key) => Ok(key),
            Secret::Rsa(..) | Secret::P256(_) => Err(not_sm2(self.spec())),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.spec())
    }
}

/// A public key of one of the three kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    spec: KeySpec,
    material: Material,
}

impl PublicKey {
    /// Kind of key.
    pub fn spec(&self) -> KeySpec {
        self.spec
    }

    /// DER `SubjectPublicKeyInfo` (RFC 5480, RFC 8017), points uncompressed.
    pub fn to_spki_der(&self) -> Vec<u8> {
        // Encoding fails only beyond the 256 MiB of a DER length; keys have a few hundred bytes.
        self.material.to_spki().and_then(|spki| spki.to_der()).unwrap_or_default()
    }

    /// SHA-256 of the `SubjectPublicKeyInfo`, lower-case hex.
    pub fn fingerprint_sha256(&self) -> String {
        hex(digest(&SHA256, &self.to_spki_der()).as_ref())
    }

    /// "PUBLIC KEY" block (RFC 7468, 13).
    pub fn to_pem(&self) -> String {
        pem::encode(pem::PUBLIC_KEY, &self.to_spki_der())
    }

    /// Reads a DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`PkiError::Malformed`], [`PkiError::UnsupportedAlgorithm`] or [`PkiError::UnsupportedKey`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, PkiError> {
        let spki =
            SubjectPublicKeyInfoOwned::from_der(der).map_err(|e| PkiError::malformed("public key", e))?;
        Self::from_spki(&spki)
    }

    /// Reads one "PUBLIC KEY" block.
    ///
    /// # Errors
    /// [`PkiError::Pem`] and those of [`PublicKey::from_spki_der`].
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        Self::from_spki_der(&pem::one(text, &[pem::PUBLIC_KEY])?)
    }

    /// Verifies a signature as [`PrivateKey::sign`] makes it.
    ///
    /// # Errors
    /// [`PkiError::BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), PkiError> {
        Scheme::of(self.spec).verify(&self.material, message, signature)
    }

    pub(crate) fn from_spki(spki: &SubjectPublicKeyInfoOwned) -> Result<Self, PkiError> {
        let material = Material::from_spki(spki)?;
        let spec = material.spec()?;
        Ok(Self { spec, material })
    }

    pub(crate) fn to_spki(&self) -> Result<SubjectPublicKeyInfoOwned, PkiError> {
        self.material.to_spki().map_err(|e| PkiError::malformed("public key", e))
    }

    pub(crate) fn material(&self) -> &Material {
        &self.material
    }

    /// The key itself, if it is of SM2.
    pub(crate) fn sm2(&self) -> Result<&sm2::PublicKey, PkiError> {
        match &self.material {
            Material::Sm2(key) => Ok(key),
            Material::Rsa { .. } | Material::P256(_) | Material::P384(_) => Err(not_sm2(self.spec)),
        }
    }
}

fn not_sm2(spec: KeySpec) -> PkiError {
    PkiError::UnsupportedKey(format!("{spec} where EC_SM2 is needed"))
}

/// The curve that an `ECPrivateKey` (RFC 5915) names.
fn sec1_curve(der: &[u8]) -> x509_cert::der::Result<Option<ObjectIdentifier>> {
    let mut reader = SliceReader::new(der)?;
    let curve = reader.sequence(|inner| {
        u8::decode(inner)?;
        AnyRef::decode(inner)?;
        let parameters = ContextSpecific::<ObjectIdentifier>::decode_explicit(inner, TagNumber(0))?;
        while !inner.is_finished() {
            AnyRef::decode(inner)?;
        }
        Ok::<_, x509_cert::der::Error>(parameters.map(|parameters| parameters.value))
    })?;
    reader.finish()?;
    Ok(curve)
}

fn able_to_sign(key: sm2::SecretKey) -> Result<sm2::SecretKey, PkiError> {
    if Zeroizing::new(key.to_bytes()).as_slice() == SM2_ORDER_MINUS_ONE {
        return Err(PkiError::InvalidPrivateKey("n - 1 cannot sign with SM2"));
    }
    Ok(key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_pkcs8_and_keep_their_signatures() {
        for spec in KeySpec::USUAL {
            let key = PrivateKey::generate(spec).unwrap();
            let again = PrivateKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
            assert_eq!(again.public_key(), key.public_key());
            let signature = again.sign(b"message").unwrap();
            key.public_key().verify(b"message", &signature).unwrap();
            assert_eq!(key.public_key().verify(b"massage", &signature), Err(PkiError::BadSignature));
            assert_ne!(PrivateKey::generate(spec).unwrap().public_key(), key.public_key());
            let spki = PublicKey::from_pem(&key.public_key().to_pem()).unwrap();
            assert_eq!(spki, key.public_key());
            let pem = PrivateKey::from_pkcs8_pem(&key.to_pkcs8_pem().unwrap()).unwrap();
            assert_eq!(pem.public_key(), key.public_key());
            assert_eq!(format!("{key:?}"), format!("PrivateKey({spec})"));
        }
    }

    #[test]
    fn damaged_private_keys_are_refused() {
        for spec in KeySpec::USUAL {
            let der = PrivateKey::generate(spec).unwrap().to_pkcs8_der().unwrap();
            assert!(PrivateKey::from_pkcs8_der(&der[..der.len() - 1]).is_err());
            assert!(PrivateKey::from_pkcs8_der(&[&der[..], &[0]].concat()).is_err());
        }
        assert!(PrivateKey::from_pkcs8_der(&[]).is_err());
    }

    #[test]
    fn the_sm2_key_that_cannot_sign_is_refused() {
        let key = sm2::SecretKey::from_slice(&SM2_ORDER_MINUS_ONE).unwrap();
        let der = key.to_pkcs8_der().unwrap();
        assert!(matches!(PrivateKey::from_pkcs8_der(der.as_bytes()), Err(PkiError::InvalidPrivateKey(_))));
    }

    /// GB/T 32918.5-2017, annex A.2: key, message "message digest", signature.
    #[test]
    fn sm2_agrees_with_the_standard() {
        let hex = |s: &str| -> Vec<u8> {
            (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
        };
        let d = hex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8");
        let point = hex(concat!(
            "04",
            "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020",
            "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
        ));
        let signature = sm2::dsa::Signature::from_slice(&hex(concat!(
            "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3",
            "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
        )))
        .unwrap();
        let key = PrivateKey(Secret::Sm2(sm2::SecretKey::from_slice(&d).unwrap()));
        let public = key.public_key();
        assert!(public.to_spki_der().ends_with(&point));
        public.verify(b"message digest", signature.to_der().as_bytes()).unwrap();
        assert!(public.verify(b"message digesT", signature.to_der().as_bytes()).is_err());
    }
}
