//! Signature schemes: which algorithm identifier means which computation.

use aws_lc_rs::signature::{self as lc, UnparsedPublicKey, VerificationAlgorithm};
use sm2::dsa::VerifyingKey;
use sm2::dsa::signature::Verifier;
use x509_cert::der::Any;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::oid::db::DB;
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::material::{KeySpec, Material, unsupported};
use crate::{PkiError, asn1};

/// User id of every SM2 signature in certificates and requests (GM/T 0009-2012, 10).
pub const DEFAULT_USER_ID: &str = "1234567812345678";

/// A signature algorithm of certificates and requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Sm2Sm3,
    EcdsaSha256,
    EcdsaSha384,
    RsaSha256,
    RsaSha384,
    RsaSha512,
}

impl Scheme {
    /// The scheme keys of `spec` sign with.
    pub(crate) fn of(spec: KeySpec) -> Self {
        match spec {
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => Self::RsaSha256,
            KeySpec::EcP256 => Self::EcdsaSha256,
            KeySpec::EcSm2 => Self::Sm2Sm3,
        }
    }

    /// Parameters are ignored: absent and NULL are both seen in the field for every scheme.
    pub(crate) fn from_identifier(identifier: &AlgorithmIdentifierOwned) -> Result<Self, PkiError> {
        match identifier.oid {
            asn1::SM2_SM3 => Ok(Self::Sm2Sm3),
            asn1::ECDSA_SHA256 => Ok(Self::EcdsaSha256),
            asn1::ECDSA_SHA384 => Ok(Self::EcdsaSha384),
            asn1::RSA_SHA256 => Ok(Self::RsaSha256),
            asn1::RSA_SHA384 => Ok(Self::RsaSha384),
            asn1::RSA_SHA512 => Ok(Self::RsaSha512),
            other => Err(unsupported("signature algorithm", other)),
        }
    }

    /// RSA carries NULL (RFC 4055, 5), the others nothing (RFC 5758, 3.2; GM/T 0015).
    pub(crate) fn to_identifier(self) -> AlgorithmIdentifierOwned {
        let (oid, parameters) = match self {
            Self::Sm2Sm3 => (asn1::SM2_SM3, None),
            Self::EcdsaSha256 => (asn1::ECDSA_SHA256, None),
            Self::EcdsaSha384 => (asn1::ECDSA_SHA384, None),
            Self::RsaSha256 => (asn1::RSA_SHA256, Some(Any::null())),
            Self::RsaSha384 => (asn1::RSA_SHA384, Some(Any::null())),
            Self::RsaSha512 => (asn1::RSA_SHA512, Some(Any::null())),
        };
        AlgorithmIdentifierOwned { oid, parameters }
    }

    /// Verifies with the default user id where SM2 is concerned.
    pub(crate) fn verify(self, key: &Material, message: &[u8], signature: &[u8]) -> Result<(), PkiError> {
        let (algorithm, bytes): (&'static dyn VerificationAlgorithm, &[u8]) = match (self, key) {
            (Self::Sm2Sm3, Material::Sm2(key)) => {
                return verify_sm2(key, DEFAULT_USER_ID, message, signature);
            }
            (Self::EcdsaSha256, Material::P256(p)) => (&lc::ECDSA_P256_SHA256_ASN1, p),
            (Self::EcdsaSha384, Material::P256(p)) => (&lc::ECDSA_P256_SHA384_ASN1, p),
            (Self::EcdsaSha256, Material::P384(p)) => (&lc::ECDSA_P384_SHA256_ASN1, p),
            (Self::EcdsaSha384, Material::P384(p)) => (&lc::ECDSA_P384_SHA384_ASN1, p),
            (Self::RsaSha256, Material::Rsa { der, .. }) => (&lc::RSA_PKCS1_2048_8192_SHA256, der),
            (Self::RsaSha384, Material::Rsa { der, .. }) => (&lc::RSA_PKCS1_2048_8192_SHA384, der),
            (Self::RsaSha512, Material::Rsa { der, .. }) => (&lc::RSA_PKCS1_2048_8192_SHA512, der),
            (_, _) => {
                return Err(PkiError::AlgorithmMismatch {
                    algorithm: name(self.to_identifier().oid, signature.len()),
                    key: key.describe(),
                });
            }
        };
        UnparsedPublicKey::new(algorithm, bytes)
            .verify(message, signature)
            .map_err(|_| PkiError::BadSignature)
    }

    /// Like [`Scheme::verify`], but distinguishes the empty SM2 user id from other bad signatures, and what else an SM2
    /// signature may suffer from.
    pub(crate) fn diagnose(self, key: &Material, message: &[u8], signature: &[u8]) -> Result<(), PkiError> {
        match (self.verify(key, message, signature), key) {
            (Err(PkiError::BadSignature), Material::Sm2(key))
                if verify_sm2(key, "", message, signature).is_ok() =>
            {
                Err(PkiError::EmptyUserId)
            }
            (Err(PkiError::BadSignature), Material::Sm2(_)) => Err(PkiError::BadSm2Signature),
            (outcome, _) => outcome,
        }
    }
}

fn verify_sm2(key: &sm2::PublicKey, user_id: &str, message: &[u8], signature: &[u8]) -> Result<(), PkiError> {
    let bad = |_| PkiError::BadSignature;
    let signature = sm2::dsa::Signature::from_der(signature).map_err(bad)?;
    let key = VerifyingKey::new(user_id, *key).map_err(bad)?;
    key.verify(message, &signature).map_err(bad)
}

/// Name of a signature algorithm as DescribeCertificate shows it; an RSA signature is as long as the
/// modulus of its issuer. Other algorithms get their registered name, or else their OID.
pub(crate) fn name(oid: ObjectIdentifier, signature_bytes: usize) -> String {
    let bits = signature_bytes * 8;
    match oid {
        asn1::SM2_SM3 => "SM2-SM3".into(),
        asn1::ECDSA_SHA256 => "ECDSA-SHA256".into(),
        asn1::ECDSA_SHA384 => "ECDSA-SHA384".into(),
        asn1::RSA_SHA256 => format!("RSA{bits}-SHA256"),
        asn1::RSA_SHA384 => format!("RSA{bits}-SHA384"),
        asn1::RSA_SHA512 => format!("RSA{bits}-SHA512"),
        other => DB.by_oid(&other).map_or_else(|| other.to_string(), str::to_owned),
    }
}
