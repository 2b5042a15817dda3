//! Key pairs and public keys.
//!
//! A secret stays inside the library that made it, and both libraries wipe memory when a key is
//! freed. One gap is left: while signing, `sm2` copies the scalar onto the stack and does not wipe
//! that copy.
//!
//! Signatures are *hedged*: their nonce is derived from key, message and fresh randomness (SM2: RFC 6979, 3.6, with
//! additional data), so that neither weak randomness nor a fault while the same message is signed again tells the key.
//!
//! SM2 keys come in two markings. RFC 5480 style says id-ecPublicKey with the curve sm2p256v1; GM/T 0015-2023 allows
//! the OID of SM2 itself as well, and OpenSSL 3.0.0 to 3.0.12 writes it into every certificate that it makes. Both are
//! read, and a key is what its point is.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use getrandom::SysRng;
use sm2::dsa::SigningKey;
use sm2::dsa::signature::RandomizedSigner;
use sm2::elliptic_curve::Generate;
use sm2::elliptic_curve::sec1::ToSec1Point;
use sm2::pkcs8::{DecodePrivateKey, EncodePrivateKey, PrivateKeyInfoRef};
use x509_cert::der::asn1::{AnyRef, BitString, ContextSpecific, ObjectIdentifier, UintRef};
use x509_cert::der::{Any, Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use crate::certificate::hex;
use crate::signature::Scheme;
use crate::{PkiError, asn1, pem};

/// User id of every SM2 signature in certificates and requests (GM/T 0009-2012, 10).
pub const DEFAULT_USER_ID: &str = "1234567812345678";

const UNCOMPRESSED: u8 = 4;
/// n - 1 of sm2p256v1: the one private key that cannot sign, as 1 + d has no inverse.
const SM2_ORDER_MINUS_ONE: [u8; 32] = [
    0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x72,
    0x03, 0xdf, 0x6b, 0x21, 0xc6, 0x05, 0x2b, 0x53, 0xbb, 0xf4, 0x09, 0x39, 0xd5, 0x41, 0x22,
];

/// Kind of key, as the KeySpec parameter of CreateCertificate names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeySpec {
    /// RSA with a modulus of 2048 bits, signatures PKCS #1 v1.5 with SHA-256.
    Rsa2048,
    /// The same with 3072 bits.
    Rsa3072,
    /// The same with 4096 bits.
    Rsa4096,
    /// NIST P-256, signatures ECDSA with SHA-256.
    EcP256,
    /// sm2p256v1, signatures SM2 with SM3.
    EcSm2,
}

impl KeySpec {
    /// All specs.
    pub const ALL: [Self; 5] = [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::EcP256, Self::EcSm2];
    /// One of each algorithm, and those that CreateCertificate makes.
    pub const USUAL: [Self; 3] = [Self::Rsa2048, Self::EcP256, Self::EcSm2];

    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa2048 => "RSA_2048",
            Self::Rsa3072 => "RSA_3072",
            Self::Rsa4096 => "RSA_4096",
            Self::EcP256 => "EC_P256",
            Self::EcSm2 => "EC_SM2",
        }
    }

    /// Bits of the modulus, or of the field of the curve.
    pub fn bits(self) -> u32 {
        match self {
            Self::Rsa2048 => 2048,
            Self::Rsa3072 => 3072,
            Self::Rsa4096 => 4096,
            Self::EcP256 | Self::EcSm2 => 256,
        }
    }

    /// RSA with a modulus of this length.
    fn rsa(bits: usize) -> Result<Self, PkiError> {
        match bits {
            2048 => Ok(Self::Rsa2048),
            3072 => Ok(Self::Rsa3072),
            4096 => Ok(Self::Rsa4096),
            _ => Err(PkiError::UnsupportedKey(format!(
                "RSA with {bits} bits, only 2048, 3072 and 4096 are supported"
            ))),
        }
    }
}

impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeySpec {
    type Err = PkiError;

    fn from_str(name: &str) -> Result<Self, PkiError> {
        let known = Self::ALL.into_iter().find(|spec| spec.as_str() == name);
        known.ok_or_else(|| PkiError::UnknownKeySpec(name.chars().take(32).collect()))
    }
}

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
                let signer = SigningKey::new(DEFAULT_USER_ID, key).map_err(|_| failed.clone())?;
                let signature: sm2::dsa::Signature =
                    signer.try_sign_with_rng(&mut SysRng, message).map_err(|_| failed)?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
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
}

/// A public key as issuers may have it: more kinds than the API hands out keys of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Material {
    /// DER `RSAPublicKey` and the length of its modulus.
    Rsa { der: Vec<u8>, bits: usize },
    /// Uncompressed point.
    P256(Vec<u8>),
    /// Uncompressed point.
    P384(Vec<u8>),
    /// Point known to be on the curve.
    Sm2(sm2::PublicKey),
}

impl Material {
    pub(crate) fn from_spki(spki: &SubjectPublicKeyInfoOwned) -> Result<Self, PkiError> {
        let bits = spki
            .subject_public_key
            .as_bytes()
            .ok_or_else(|| PkiError::malformed("public key", "not a whole number of octets"))?;
        let oid = spki.algorithm.oid;
        if oid == asn1::RSA {
            return Ok(Self::Rsa { der: bits.to_vec(), bits: modulus_bits(bits)? });
        }
        if oid != asn1::EC_PUBLIC_KEY && oid != asn1::SM2 {
            return Err(unsupported("public key algorithm", oid));
        }
        match curve(&spki.algorithm)? {
            asn1::SM2 => sm2::PublicKey::from_sec1_bytes(bits)
                .map(Self::Sm2)
                .map_err(|_| PkiError::malformed("public key", "not a point of sm2p256v1")),
            asn1::P256 => point(bits, &signature::ECDSA_P256_SHA256_ASN1).map(|p| Self::P256(p.to_vec())),
            asn1::P384 => point(bits, &signature::ECDSA_P384_SHA384_ASN1).map(|p| Self::P384(p.to_vec())),
            other => Err(unsupported("elliptic curve", other)),
        }
    }

    /// The spec, if the API has one for this kind of key.
    pub(crate) fn spec(&self) -> Result<KeySpec, PkiError> {
        match self {
            Self::Rsa { bits, .. } => KeySpec::rsa(*bits),
            Self::P256(_) => Ok(KeySpec::EcP256),
            Self::P384(_) => Err(unsupported("elliptic curve", asn1::P384)),
            Self::Sm2(_) => Ok(KeySpec::EcSm2),
        }
    }

    /// Kind of key, for error messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Rsa { bits, .. } => format!("RSA, {bits} bits"),
            Self::P256(_) => "EC P-256".into(),
            Self::P384(_) => "EC P-384".into(),
            Self::Sm2(_) => "SM2".into(),
        }
    }

    fn to_spki(&self) -> x509_cert::der::Result<SubjectPublicKeyInfoOwned> {
        let (oid, parameters, bits) = match self {
            Self::Rsa { der, .. } => (asn1::RSA, Any::null(), der.clone()),
            Self::P256(point) => (asn1::EC_PUBLIC_KEY, Any::from(asn1::P256), point.clone()),
            Self::P384(point) => (asn1::EC_PUBLIC_KEY, Any::from(asn1::P384), point.clone()),
            Self::Sm2(key) => {
                (asn1::EC_PUBLIC_KEY, Any::from(asn1::SM2), key.to_sec1_point(false).as_bytes().to_vec())
            }
        };
        Ok(SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned { oid, parameters: Some(parameters) },
            subject_public_key: BitString::new(0, bits)?,
        })
    }
}

/// The curve that the algorithm of an EC or SM2 key names. The OID of SM2 names it by itself; parameters beside it
/// may be missing, NULL, or the same OID once more.
fn curve(algorithm: &AlgorithmIdentifierOwned) -> Result<ObjectIdentifier, PkiError> {
    let parameters = algorithm.parameters.as_ref();
    let named = parameters.and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
    let absent = parameters.is_none_or(Any::is_null);
    match (algorithm.oid, named) {
        (asn1::SM2, None) if absent => Ok(asn1::SM2),
        (asn1::SM2, Some(asn1::SM2)) => Ok(asn1::SM2),
        (asn1::SM2, _) => {
            Err(PkiError::malformed("public key", "marked as SM2, with parameters of something else"))
        }
        (_, Some(curve)) => Ok(curve),
        (_, None) if parameters.is_some_and(|parameters| parameters.tag() == Tag::Sequence) => {
            let reason =
                "its curve is written out instead of named (with OpenSSL: -pkeyopt ec_param_enc:named_curve)";
            Err(PkiError::malformed("public key", reason))
        }
        (_, None) => Err(PkiError::malformed("public key", "the curve is not named")),
    }
}

pub(crate) fn unsupported(what: &'static str, oid: ObjectIdentifier) -> PkiError {
    PkiError::UnsupportedAlgorithm { what, oid: oid.to_string() }
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

/// An uncompressed point that the library confirms to be on the curve.
fn point<'a>(
    bits: &'a [u8],
    curve: &'static signature::EcdsaVerificationAlgorithm,
) -> Result<&'a [u8], PkiError> {
    if bits.first() != Some(&UNCOMPRESSED) {
        return Err(PkiError::UnsupportedKey("the point is not in uncompressed form".into()));
    }
    signature::ParsedPublicKey::new(curve, bits)
        .map_err(|_| PkiError::malformed("public key", "not a point of the curve"))?;
    Ok(bits)
}

/// Bits of the modulus in a DER `RSAPublicKey` (RFC 8017, A.1.1).
fn modulus_bits(der: &[u8]) -> Result<usize, PkiError> {
    let read = || -> x509_cert::der::Result<usize> {
        let mut reader = SliceReader::new(der)?;
        let bits = reader.sequence(|inner| {
            let modulus = UintRef::decode(inner)?;
            UintRef::decode(inner)?;
            let zeros = modulus.as_bytes().first().map_or(0, |b| b.leading_zeros() as usize);
            Ok::<_, x509_cert::der::Error>((modulus.as_bytes().len() * 8).saturating_sub(zeros))
        })?;
        reader.finish()?;
        Ok(bits)
    };
    read().map_err(|e| PkiError::malformed("RSA public key", e))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn specs_have_the_names_of_the_api() {
        for spec in KeySpec::ALL {
            assert_eq!(spec.as_str().parse::<KeySpec>().unwrap(), spec);
        }
        assert!("EC_P384".parse::<KeySpec>().is_err() && "rsa_2048".parse::<KeySpec>().is_err());
    }

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
