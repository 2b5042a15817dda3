//! X.509 certificates as the API shows them.
//!
//! A [`Certificate`] keeps the bytes it came from; they are what is stored, hashed and verified.
//! The extensions that the crate knows are decoded once, while reading, critical or not, so a certificate with a
//! broken one is refused there and no accessor has to fail.
//!
//! Read although RFC 5280 forbids CAs to write it, since CAs in use do: a serial number of zero or of 21 octets, and
//! GeneralizedTime for a year before 2050.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use sm3::{Digest, Sm3};
use x509_cert::certificate::Version;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::oid::db::DB;
use x509_cert::der::{Decode, Encode, asn1::ObjectIdentifier};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies, ExtendedKeyUsage, KeyUsage,
    NameConstraints, SubjectAltName, SubjectKeyIdentifier as KeyIdentifier,
};
use x509_cert::name::Name;

use crate::material::Material;
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
    names: Option<SubjectAltName>,
    name_constraints: Option<NameConstraints>,
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
    /// [`PkiError::Malformed`]. Algorithms are not checked yet.
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
        well_formed(&inner)?;
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

    /// Subject as it stands in the certificate, DER.
    pub fn subject_der(&self) -> Vec<u8> {
        // Encoding fails only beyond the 256 MiB of a DER length; it was read from less.
        self.subject_name().to_der().unwrap_or_default()
    }

    /// Issuer, RFC 4514.
    pub fn issuer(&self) -> String {
        name::to_string(self.issuer_name())
    }

    /// A part of the subject, by the short name of its attribute type, such as "CN".
    pub fn subject_part(&self, kind: &str) -> Option<String> {
        name::attribute(self.subject_name(), kind)
    }

    /// A part of the issuer's name, likewise.
    pub fn issuer_part(&self, kind: &str) -> Option<String> {
        name::attribute(self.issuer_name(), kind)
    }

    /// Serial number, lower-case hex, two digits an octet.
    pub fn serial_hex(&self) -> String {
        hex(self.inner.tbs_certificate().serial_number().as_bytes())
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
        self.extensions.names.as_ref().map(csr::dns_names).unwrap_or_default()
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
        hex(&Sm3::digest(&self.der))
    }

    /// SHA-1 of the DER, lower-case hex; an identifier, not a security feature.
    pub fn fingerprint_sha1(&self) -> String {
        hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der).as_ref())
    }

    /// SHA-256 of the DER, lower-case hex.
    pub fn fingerprint_sha256(&self) -> String {
        hex(digest(&SHA256, &self.der).as_ref())
    }

    /// Subject alternative names.
    pub(crate) fn alternative_names(&self) -> &[GeneralName] {
        self.extensions.names.as_ref().map_or(&[], |names| names.0.as_slice())
    }

    pub(crate) fn name_constraints(&self) -> Option<&NameConstraints> {
        self.extensions.name_constraints.as_ref()
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
        let _: Option<ExtendedKeyUsage> = one(certificate, "extKeyUsage extension")?;
        let _: Option<CertificatePolicies> = one(certificate, "certificatePolicies extension")?;
        let _: Option<AuthorityKeyIdentifier> = one(certificate, "authorityKeyIdentifier extension")?;
        Ok(Self {
            basic_constraints: one(certificate, "basicConstraints extension")?,
            key_usage: one(certificate, "keyUsage extension")?,
            key_identifier: one(certificate, "subjectKeyIdentifier extension")?,
            names: one(certificate, "subjectAltName extension")?,
            name_constraints: one(certificate, "nameConstraints extension")?,
        })
    }
}

/// What RFC 5280 asks of every certificate and the decoder does not: a serial number that is not negative (4.1.2.2),
/// extensions in version 3 only, at least one if the list is there, each once (4.1.2.9, 4.2).
fn well_formed(certificate: &x509_cert::Certificate) -> Result<(), PkiError> {
    let malformed = |reason: String| Err(PkiError::malformed("certificate", reason));
    let content = certificate.tbs_certificate();
    if content.serial_number().as_bytes().first().is_some_and(|byte| byte & 0x80 != 0) {
        return malformed("the serial number is negative (RFC 5280, 4.1.2.2)".into());
    }
    let Some(extensions) = content.extensions() else { return Ok(()) };
    if content.version() != Version::V3 {
        return malformed("it has extensions and is not of version 3 (RFC 5280, 4.1.2.9)".into());
    }
    if extensions.is_empty() {
        return malformed("its list of extensions is empty (RFC 5280, 4.1.2.9)".into());
    }
    for (place, extension) in extensions.iter().enumerate() {
        if extensions.iter().take(place).any(|other| other.extn_id == extension.extn_id) {
            return malformed(format!(
                "the extension {} stands there twice",
                extension_name(extension.extn_id)
            ));
        }
    }
    Ok(())
}

/// Name of an extension as RFC 5280 writes it, or its OID.
fn extension_name(oid: ObjectIdentifier) -> String {
    let name = DB.by_oid(&oid).map(|name| name.strip_prefix("id-ce-").unwrap_or(name).to_owned());
    name.unwrap_or_else(|| oid.to_string())
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

/// Lower-case hex, two digits an octet.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A big-endian integer that is not negative in decimal.
fn decimal(bytes: &[u8]) -> String {
    let mut magnitude = bytes.to_vec();
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
    digits.iter().rev().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use x509_cert::der::asn1::OctetString;
    use x509_cert::der::oid::db::rfc5280;
    use x509_cert::der::{Reader, SliceReader, Tag};
    use x509_cert::ext::Extension;

    use super::*;
    use crate::{Ca, PrivateKey, Subject, Usage, create_csr};

    /// What a certificate's signed part is made of, to be changed and signed anew.
    struct Parts {
        version: Vec<u8>,
        serial: Vec<u8>,
        /// Algorithm, issuer, validity, subject, key.
        rest: Vec<u8>,
        extensions: Option<Vec<Extension>>,
    }

    impl Parts {
        /// Those of an ordinary certificate.
        fn new() -> Self {
            let subject = |name: &str| Subject::parse(&format!("CN={name},OU=u,O=o,C=CN")).unwrap();
            let root = Ca::new(KeySpec::EcSm2, &subject("root"), 0, 9_000_000_000).unwrap();
            let key = PrivateKey::generate(KeySpec::EcSm2).unwrap();
            let csr = create_csr(&key, &subject("leaf"), &[]).unwrap();
            let leaf = root.issue(&csr, Usage::Both, 0, 9_000_000_000).unwrap();
            let signed = &leaf.der[leaf.signed.clone()];
            let mut reader =
                SliceReader::new(x509_cert::der::asn1::AnyRef::from_der(signed).unwrap().value()).unwrap();
            let mut next = || reader.tlv_bytes().unwrap().to_vec();
            let (version, serial) = (next(), next());
            let rest = (0..5).flat_map(|_| next()).collect();
            let extensions = leaf.inner.tbs_certificate().extensions().map(|all| all.to_vec());
            Self { version, serial, rest, extensions }
        }

        /// The certificate, or what is said against it.
        fn read(&self) -> Result<Certificate, String> {
            let mut parts = vec![self.version.clone(), self.serial.clone(), self.rest.clone()];
            if let Some(extensions) = &self.extensions {
                let list = extensions.to_der().unwrap();
                // [3] EXPLICIT
                let length = [list.len().to_be_bytes()[6], list.len().to_be_bytes()[7]];
                parts.push([&[0xa3, 0x82, length[0], length[1]], &list[..]].concat());
            }
            let content = asn1::sequence(&parts).unwrap();
            let key = PrivateKey::generate(KeySpec::EcSm2).unwrap();
            let signature = key.sign(&content).unwrap();
            // A length of two octets is canonical from 256 on only.
            let der = asn1::signed(content, &Scheme::of(KeySpec::EcSm2).to_identifier(), &signature).unwrap();
            Certificate::from_der(&der).map_err(|error| error.to_string())
        }

        fn with(mut self, oid: ObjectIdentifier, critical: bool, value: &[u8]) -> Self {
            let extn_value = OctetString::new(value).unwrap();
            // Padding that nobody knows, so that the list has more than 255 octets.
            self.extensions.as_mut().unwrap().push(Extension { extn_id: oid, critical, extn_value });
            self
        }
    }

    const UNKNOWN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.3.4");

    fn padded() -> Parts {
        Parts::new().with(ObjectIdentifier::new_unwrap("1.2.3.9"), false, &[5; 200])
    }

    #[test]
    fn an_ordinary_certificate_with_an_unknown_extension_is_read() {
        let certificate = padded().with(UNKNOWN, false, b"anything").read().unwrap();
        assert!(certificate.key_usage().is_some());
    }

    #[test]
    fn what_rfc_5280_forbids_in_every_certificate_is_refused() {
        let usages = |octets: &[u8]| [&[0x30, 0x0a], octets].concat();
        let usages = usages(&[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01]);
        let twice = padded().with(rfc5280::ID_CE_EXT_KEY_USAGE, false, &usages).with(
            rfc5280::ID_CE_EXT_KEY_USAGE,
            false,
            &usages,
        );
        let unknown_twice = padded().with(UNKNOWN, false, &[1]).with(UNKNOWN, false, &[2]);
        let negative = Parts { serial: asn1::wrap(Tag::Integer, vec![0x80]).unwrap(), ..padded() };
        let absent = Parts { version: Vec::new(), ..padded() };
        let explicit = Parts { version: vec![0xa0, 3, 2, 1, 0], ..padded() };
        let second = Parts { version: vec![0xa0, 3, 2, 1, 1], ..padded() };
        for (parts, why) in [
            (twice, "extKeyUsage stands there twice"),
            (unknown_twice, "1.2.3.4 stands there twice"),
            (padded().with(rfc5280::ID_CE_EXT_KEY_USAGE, true, b"garbage"), "extKeyUsage"),
            (padded().with(rfc5280::ID_CE_EXT_KEY_USAGE, false, b"garbage"), "extKeyUsage"),
            (padded().with(rfc5280::ID_CE_CERTIFICATE_POLICIES, true, b"garbage"), "certificatePolicies"),
            (padded().with(rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER, true, b"garbage"), "KeyIdentifier"),
            (padded().with(rfc5280::ID_CE_NAME_CONSTRAINTS, false, b"garbage"), "nameConstraints"),
            (negative, "negative"),
            (absent, "not of version 3"),
            (explicit, ""),
            (second, "not of version 3"),
        ] {
            let error = parts.read().err().unwrap_or_else(|| panic!("accepted: {why}"));
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[test]
    fn an_empty_list_of_extensions_is_refused() {
        let mut parts = Parts::new();
        parts.extensions = None;
        // [3] { SEQUENCE {} }
        parts.rest.extend([0xa3, 2, 0x30, 0]);
        let error = parts.read().unwrap_err();
        assert!(error.contains("list of extensions is empty"), "{error}");
    }

    #[test]
    fn integers_in_decimal() {
        for (bytes, shown) in [
            (&[0u8][..], "0"),
            (&[], "0"),
            (&[0x7f], "127"),
            (&[0x00, 0x80], "128"),
            (&[0x00, 0xbc, 0x61, 0x4e], "12345678"),
            (&[0x01, 0, 0, 0, 0, 0, 0, 0, 0], "18446744073709551616"),
        ] {
            assert_eq!(decimal(bytes), shown);
        }
    }

    #[test]
    fn a_certificate_has_a_greatest_size() {
        let refused = |length: usize| Certificate::from_der(&vec![0x30; length]).map(|_| ()).unwrap_err();
        assert!(refused(MAX_CERTIFICATE_BYTES + 1).to_string().contains("larger than 65536 bytes"));
        assert!(!refused(MAX_CERTIFICATE_BYTES).to_string().contains("larger"));
    }

    #[test]
    fn shangmi_is_the_key_and_the_signature() {
        let subject = |name: &str| Subject::parse(&format!("CN={name},OU=u,O=o,C=CN")).unwrap();
        for (issuer, key, expected) in [
            (KeySpec::EcSm2, KeySpec::EcSm2, true),
            (KeySpec::EcSm2, KeySpec::EcP256, false),
            (KeySpec::EcP256, KeySpec::EcSm2, false),
            (KeySpec::EcP256, KeySpec::EcP256, false),
        ] {
            let ca = Ca::new(issuer, &subject("root"), 0, 9_000_000_000).unwrap();
            let csr = create_csr(&PrivateKey::generate(key).unwrap(), &subject("leaf"), &[]).unwrap();
            let leaf = ca.issue(&csr, Usage::Both, 0, 9_000_000_000).unwrap();
            assert_eq!(leaf.is_sm(), expected, "{key} signed by {issuer}");
        }
    }
}
