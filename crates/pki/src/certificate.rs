//! X.509 certificates as the API shows them.
//!
//! A [`Certificate`] keeps the bytes it came from; they are what is stored, hashed and verified.
//! The four extensions that matter are decoded once, while reading, so a certificate with a broken
//! one is refused there and no accessor has to fail.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use sm3::{Digest, Sm3};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, asn1::ObjectIdentifier};
use x509_cert::ext::pkix::{
    BasicConstraints, KeyUsage, SubjectAltName, SubjectKeyIdentifier as KeyIdentifier,
};
use x509_cert::name::Name;

use crate::key::Material;
use crate::signature::{self, Scheme};
use crate::{KeySpec, PkiError, PublicKey, asn1, csr, name, pem};

/// Most certificates in a chain.
pub const MAX_CHAIN: usize = 10;
/// Largest certificate accepted, in bytes of DER.
pub const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

/// A certificate that parses; nothing is said about its signature or validity.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    signed: Range<usize>,
    inner: x509_cert::Certificate,
    extensions: Extensions,
}

#[derive(Clone)]
struct Extensions {
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    key_identifier: Option<KeyIdentifier>,
    dns_names: Vec<String>,
}

impl Certificate {
    /// Reads exactly one "CERTIFICATE" block. Text around it, CRLF, blanks for line breaks and a
    /// missing final newline do not matter.
    ///
    /// # Errors
    /// [`PkiError::Pem`] and those of [`Certificate::from_der`].
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        Self::from_der(&pem::one(text, &[pem::CERTIFICATE])?)
    }

    /// Reads 1 to [`MAX_CHAIN`] "CERTIFICATE" blocks, in the order given.
    ///
    /// # Errors
    /// As [`Certificate::from_pem`].
    pub fn chain_from_pem(text: &str) -> Result<Vec<Self>, PkiError> {
        let blocks = pem::all(text, &[pem::CERTIFICATE], MAX_CHAIN)?;
        blocks.iter().map(|der| Self::from_der(der)).collect()
    }

    /// Reads DER, nothing may follow it.
    ///
    /// # Errors
    /// [`PkiError::Malformed`]. Algorithms are not looked at yet.
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        let malformed = |e| PkiError::malformed("certificate", e);
        if der.len() > MAX_CERTIFICATE_BYTES {
            let reason = format!("larger than {MAX_CERTIFICATE_BYTES} bytes");
            return Err(PkiError::malformed("certificate", reason));
        }
        let inner = x509_cert::Certificate::from_der(der).map_err(malformed)?;
        if inner.signature_algorithm() != inner.tbs_certificate().signature() {
            let reason = "the signature algorithms inside and outside differ (RFC 5280, 4.1.1.2)";
            return Err(PkiError::malformed("certificate", reason));
        }
        let signed = asn1::signed_range(der).map_err(malformed)?;
        let extensions = Extensions::read(&inner)?;
        Ok(Self { der: der.to_vec(), signed, inner, extensions })
    }

    /// The bytes as received.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// "CERTIFICATE" block with lines of 64 and a final newline.
    pub fn to_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.der)
    }

    /// Kind of the certified key.
    ///
    /// # Errors
    /// [`PkiError::UnsupportedAlgorithm`] naming the OID, [`PkiError::UnsupportedKey`] for RSA of
    /// another size, [`PkiError::Malformed`].
    pub fn key_spec(&self) -> Result<KeySpec, PkiError> {
        self.public_key().map(|key| key.spec())
    }

    /// The certified key.
    ///
    /// # Errors
    /// As [`Certificate::key_spec`].
    pub fn public_key(&self) -> Result<PublicKey, PkiError> {
        PublicKey::from_spki(self.inner.tbs_certificate().subject_public_key_info())
    }

    /// Is it ShangMi throughout: an SM2 key under an SM2-SM3 signature?
    pub fn is_sm(&self) -> bool {
        matches!(self.material(), Ok(Material::Sm2(_)))
            && self.inner.signature_algorithm().oid == asn1::SM2_SM3
    }

    /// Subject, RFC 4514: "CN=userName,OU=aliyun,O=aliyun,C=CN".
    pub fn subject(&self) -> String {
        name::to_string(self.subject_name())
    }

    /// Issuer, RFC 4514.
    pub fn issuer(&self) -> String {
        name::to_string(self.issuer_name())
    }

    /// Serial number, decimal.
    pub fn serial(&self) -> String {
        decimal(self.inner.tbs_certificate().serial_number().as_bytes())
    }

    /// Start of validity, unix seconds.
    pub fn not_before(&self) -> i64 {
        asn1::unix(self.inner.tbs_certificate().validity().not_before)
    }

    /// End of validity, unix seconds, itself included.
    pub fn not_after(&self) -> i64 {
        asn1::unix(self.inner.tbs_certificate().validity().not_after)
    }

    /// "SM2-SM3", "ECDSA-SHA256" or "RSA2048-SHA256" (the size is the issuer's); others by their
    /// registered name or OID.
    pub fn signature_algorithm(&self) -> String {
        let bytes = self.inner.signature().raw_bytes().len();
        signature::name(self.inner.signature_algorithm().oid, bytes)
    }

    /// Subject key identifier as "79 36 26 DE ...": the extension, or SHA-1 of the key bits
    /// (RFC 5280, 4.2.1.2, method 1).
    pub fn subject_key_identifier(&self) -> String {
        let octets = self.key_identifier();
        octets.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(" ")
    }

    /// DNS names among the subject alternative names.
    pub fn dns_names(&self) -> Vec<String> {
        self.extensions.dns_names.clone()
    }

    /// Does it say `basicConstraints CA:TRUE`?
    pub fn is_ca(&self) -> bool {
        self.extensions.basic_constraints.as_ref().is_some_and(|c| c.ca)
    }

    /// Key usage (RFC 5280, 4.2.1.3), if given.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.extensions.key_usage
    }

    /// SM3 of the DER, lower-case hex.
    pub fn fingerprint_sm3(&self) -> String {
        Sm3::digest(&self.der).iter().map(|b| format!("{b:02x}")).collect()
    }

    pub(crate) fn path_len(&self) -> Option<u8> {
        self.extensions.basic_constraints.as_ref().and_then(|c| c.path_len_constraint)
    }

    pub(crate) fn key_identifier(&self) -> Vec<u8> {
        let spki = self.inner.tbs_certificate().subject_public_key_info();
        match &self.extensions.key_identifier {
            Some(identifier) => identifier.0.as_bytes().to_vec(),
            None => key_identifier(spki.subject_public_key.raw_bytes()),
        }
    }

    pub(crate) fn subject_name(&self) -> &Name {
        self.inner.tbs_certificate().subject()
    }

    pub(crate) fn issuer_name(&self) -> &Name {
        self.inner.tbs_certificate().issuer()
    }

    pub(crate) fn is_self_issued(&self) -> bool {
        name::same(self.subject_name(), self.issuer_name())
    }

    pub(crate) fn material(&self) -> Result<Material, PkiError> {
        Material::from_spki(self.inner.tbs_certificate().subject_public_key_info())
    }

    /// Scheme, signed bytes and signature.
    pub(crate) fn signature(&self) -> Result<(Scheme, &[u8], &[u8]), PkiError> {
        let scheme = Scheme::from_identifier(self.inner.signature_algorithm())?;
        let message = self.der.get(self.signed.clone()).unwrap_or_default();
        let signature = self.inner.signature().as_bytes().ok_or(PkiError::BadSignature)?;
        Ok((scheme, message, signature))
    }

    /// Object identifiers of critical extensions.
    pub(crate) fn critical_extensions(&self) -> impl Iterator<Item = ObjectIdentifier> + '_ {
        let all = self.inner.tbs_certificate().extensions().map_or(&[][..], |e| e.as_slice());
        all.iter().filter(|e| e.critical).map(|e| e.extn_id)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject())
            .field("issuer", &self.issuer())
            .field("serial", &self.serial())
            .finish_non_exhaustive()
    }
}

impl Extensions {
    fn read(certificate: &x509_cert::Certificate) -> Result<Self, PkiError> {
        let names: Option<SubjectAltName> = one(certificate, "subjectAltName extension")?;
        Ok(Self {
            basic_constraints: one(certificate, "basicConstraints extension")?,
            key_usage: one(certificate, "keyUsage extension")?,
            key_identifier: one(certificate, "subjectKeyIdentifier extension")?,
            dns_names: names.as_ref().map(csr::dns_names).unwrap_or_default(),
        })
    }
}

/// The extension of type `T`, which must not be there twice.
fn one<T>(certificate: &x509_cert::Certificate, what: &'static str) -> Result<Option<T>, PkiError>
where
    T: for<'a> Decode<'a, Error = x509_cert::der::Error> + AssociatedOid,
{
    let found = certificate.tbs_certificate().get_extension::<T>();
    found.map(|e| e.map(|(_, value)| value)).map_err(|e| PkiError::malformed(what, e))
}

/// SHA-1 of the bits of a public key; an identifier, not a security feature.
pub(crate) fn key_identifier(key_bits: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, key_bits).as_ref().to_vec()
}

/// A big-endian two's complement integer (as DER has it) in decimal.
fn decimal(bytes: &[u8]) -> String {
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let mut magnitude = bytes.to_vec();
    if negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            let (sum, overflow) = (!*byte).overflowing_add(u8::from(carry));
            *byte = sum;
            carry = overflow;
        }
    }
    let mut digits = Vec::new();
    while magnitude.iter().any(|b| *b != 0) {
        let mut remainder = 0u16;
        for byte in &mut magnitude {
            let value = remainder * 256 + u16::from(*byte);
            *byte = u8::try_from(value / 10).unwrap_or(u8::MAX);
            remainder = value % 10;
        }
        digits.push(char::from_digit(u32::from(remainder), 10).unwrap_or('0'));
    }
    if digits.is_empty() {
        digits.push('0');
    }
    if negative {
        digits.push('-');
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_in_decimal() {
        for (bytes, shown) in [
            (&[0u8][..], "0"),
            (&[], "0"),
            (&[0x7f], "127"),
            (&[0x00, 0x80], "128"),
            (&[0x80], "-128"),
            (&[0xff, 0x00], "-256"),
            (&[0xff], "-1"),
            (&[0x00, 0xbc, 0x61, 0x4e], "12345678"),
            (&[0x01, 0, 0, 0, 0, 0, 0, 0, 0], "18446744073709551616"),
        ] {
            assert_eq!(decimal(bytes), shown);
        }
    }
}
