//! Kinds of keys, and public keys as they stand in certificates and requests.
//!
//! SM2 keys come in two markings. RFC 5480 style says id-ecPublicKey with the curve sm2p256v1; GM/T 0015-2023 allows
//! the OID of SM2 itself as well, and OpenSSL 3.0.0 to 3.0.12 writes it into every certificate that it makes. Both are
//! read, and a key is what its point is.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature;
use sm2::elliptic_curve::sec1::ToSec1Point;
use x509_cert::der::asn1::{BitString, ObjectIdentifier, UintRef};
use x509_cert::der::{Any, Decode, Reader, SliceReader, Tag, Tagged};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use crate::{PkiError, asn1};

const UNCOMPRESSED: u8 = 4;

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
    pub(crate) fn rsa(bits: usize) -> Result<Self, PkiError> {
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

    pub(crate) fn to_spki(&self) -> x509_cert::der::Result<SubjectPublicKeyInfoOwned> {
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
            assert_eq!(spec.to_string(), spec.as_str());
        }
        assert!("EC_P384".parse::<KeySpec>().is_err() && "rsa_2048".parse::<KeySpec>().is_err());
    }

    #[test]
    fn curves_are_named_in_one_of_two_ways() {
        let (null, list) = (Any::null(), Any::new(Tag::Sequence, [0x02, 0x01, 0x01]).unwrap());
        let oid = |oid: ObjectIdentifier| Some(Any::from(oid));
        for (algorithm, parameters, expected) in [
            (asn1::SM2, None, Ok(asn1::SM2)),
            (asn1::SM2, Some(null.clone()), Ok(asn1::SM2)),
            (asn1::SM2, oid(asn1::SM2), Ok(asn1::SM2)),
            (asn1::SM2, oid(asn1::EC_PUBLIC_KEY), Err("parameters of something else")),
            (asn1::SM2, Some(list.clone()), Err("parameters of something else")),
            (asn1::EC_PUBLIC_KEY, oid(asn1::SM2), Ok(asn1::SM2)),
            (asn1::EC_PUBLIC_KEY, Some(list), Err("its curve is written out instead of named")),
            (asn1::EC_PUBLIC_KEY, Some(null), Err("the curve is not named")),
            (asn1::EC_PUBLIC_KEY, None, Err("the curve is not named")),
        ] {
            let shown = format!("{algorithm} {parameters:?}");
            match (curve(&AlgorithmIdentifierOwned { oid: algorithm, parameters }), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{shown}"),
                (Err(error), Err(reason)) => assert!(error.to_string().contains(reason), "{shown}: {error}"),
                (found, _) => panic!("{shown}: {found:?}, expected {expected:?}"),
            }
        }
    }
}
