//! The few DER pieces `x509-cert` does not offer: object identifiers, raw slices, and sequences
//! assembled from parts (its certificate types have no public constructor without its own signer).

use std::ops::Range;
use std::time::Duration;

use x509_cert::der::asn1::{AnyRef, BitString, ObjectIdentifier};
use x509_cert::der::{self, Any, DateTime, Decode, Encode, Reader, SliceReader, Tag};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use crate::PkiError;

/// id-ecPublicKey, RFC 5480.
pub(crate) const EC_PUBLIC_KEY: ObjectIdentifier = oid("1.2.840.10045.2.1");
/// secp256r1, RFC 5480.
pub(crate) const P256: ObjectIdentifier = oid("1.2.840.10045.3.1.7");
/// secp384r1, RFC 5480. Issuers only.
pub(crate) const P384: ObjectIdentifier = oid("1.3.132.0.34");
/// sm2p256v1, GM/T 0006.
pub(crate) const SM2: ObjectIdentifier = oid("1.2.156.10197.1.301");
/// rsaEncryption, RFC 8017.
pub(crate) const RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
/// SM2-with-SM3, GM/T 0006.
pub(crate) const SM2_SM3: ObjectIdentifier = oid("1.2.156.10197.1.501");
/// ecdsa-with-SHA256, RFC 5758.
pub(crate) const ECDSA_SHA256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
/// ecdsa-with-SHA384, RFC 5758.
pub(crate) const ECDSA_SHA384: ObjectIdentifier = oid("1.2.840.10045.4.3.3");
/// sha256WithRSAEncryption, RFC 8017.
pub(crate) const RSA_SHA256: ObjectIdentifier = oid("1.2.840.113549.1.1.11");
/// sha384WithRSAEncryption, RFC 8017.
pub(crate) const RSA_SHA384: ObjectIdentifier = oid("1.2.840.113549.1.1.12");
/// sha512WithRSAEncryption, RFC 8017.
pub(crate) const RSA_SHA512: ObjectIdentifier = oid("1.2.840.113549.1.1.13");

const fn oid(dotted: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(dotted)
}

/// SEQUENCE of `parts`, each of them already DER.
pub(crate) fn sequence(parts: &[Vec<u8>]) -> der::Result<Vec<u8>> {
    wrap(Tag::Sequence, parts.concat())
}

/// `content` under `tag`.
pub(crate) fn wrap(tag: Tag, content: Vec<u8>) -> der::Result<Vec<u8>> {
    Any::new(tag, content)?.to_der()
}

/// Where, inside a signed structure (SEQUENCE { signed, algorithm, signature }), the signed bytes are.
pub(crate) fn signed_range(der: &[u8]) -> der::Result<Range<usize>> {
    let content = AnyRef::from_der(der)?.value();
    let start = der.len() - content.len();
    let signed = SliceReader::new(content)?.tlv_bytes()?;
    Ok(start..start + signed.len())
}

/// Signed structure from its three parts.
pub(crate) fn signed(
    content: Vec<u8>,
    algorithm: &AlgorithmIdentifierOwned,
    signature: &[u8],
) -> der::Result<Vec<u8>> {
    sequence(&[content, algorithm.to_der()?, BitString::from_bytes(signature)?.to_der()?])
}

/// X.509 time from unix seconds: UTCTime through 2049, GeneralizedTime after (RFC 5280, 4.1.2.5).
pub(crate) fn time(seconds: i64) -> Result<Time, PkiError> {
    let outside = PkiError::Validity("time must lie between 1970 and 9999");
    let seconds = u64::try_from(seconds).map_err(|_| outside.clone())?;
    let time = DateTime::from_unix_duration(Duration::from_secs(seconds)).map_err(|_| outside)?;
    Ok(Time::from(time))
}

/// Unix seconds of an X.509 time.
pub(crate) fn unix(time: Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}
