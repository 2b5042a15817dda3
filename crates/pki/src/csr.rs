//! PKCS #10 signing requests (RFC 2986): CreateCertificate makes them, CAs read them.

use std::net::IpAddr;

use x509_cert::attr::Attribute;
use x509_cert::der::asn1::{Ia5String, OctetString, SetOfVec};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Any, Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};

use crate::signature::Scheme;
use crate::{PkiError, PrivateKey, PublicKey, Subject, asn1, name, pem};

/// Maximum number of DNS names in a request; operations may have lower bounds.
pub const MAX_DNS_NAMES: usize = 100;
const MAX_DNS_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// Makes a signing request, PEM, with `dns_names` as the subject alternative names that it requests.
/// The signature is the one of [`PrivateKey::sign`].
///
/// # Errors
/// [`PkiError::DnsName`] for a name that is none or more than [`MAX_DNS_NAMES`];
/// [`PkiError::Crypto`] when signing fails.
pub fn create_csr(key: &PrivateKey, subject: &Subject, dns_names: &[String]) -> Result<String, PkiError> {
    let malformed = |e| PkiError::malformed("signing request", e);
    let mut attributes = SetOfVec::new();
    if let Some(extension) = alternative_names(dns_names, &[])? {
        let request = Attribute::try_from(ExtensionReq(vec![extension])).map_err(malformed)?;
        attributes.insert(request).map_err(malformed)?;
    }
    let info = CertReqInfo {
        version: Version::V1,
        subject: subject.to_x509_name(),
        public_key: key.public_key().to_spki()?,
        attributes,
    };
    let info = info.to_der().map_err(malformed)?;
    let signature = key.sign(&info)?;
    let algorithm = Scheme::of(key.spec()).to_identifier();
    let der = asn1::signed(info, &algorithm, &signature).map_err(malformed)?;
    Ok(pem::encode(pem::REQUEST, &der))
}

/// A signing request whose signature has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    name: Name,
    public_key: PublicKey,
    dns_names: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Csr {
    /// Subject as an RFC 4514 string.
    pub fn subject(&self) -> String {
        name::to_string(&self.name)
    }

    /// A part of the subject, by the short name of its attribute type, such as "CN".
    pub fn subject_part(&self, kind: &str) -> Option<String> {
        name::attribute(&self.name, kind)
    }

    /// The key to be certified.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// DNS names that are requested.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// IP addresses that are requested.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }
}

/// Reads one "CERTIFICATE REQUEST" block and verifies its self-signature.
///
/// # Errors
/// [`PkiError::Pem`], [`PkiError::Malformed`], [`PkiError::UnsupportedAlgorithm`],
/// [`PkiError::UnsupportedKey`], [`PkiError::EmptyUserId`] or [`PkiError::BadSignature`].
pub fn parse_csr(text: &str) -> Result<Csr, PkiError> {
    let malformed = |e| PkiError::malformed("signing request", e);
    let der = pem::one(text, &[pem::REQUEST, pem::OLD_REQUEST])?;
    let request = CertReq::from_der(&der).map_err(malformed)?;
    let public_key = PublicKey::from_spki(&request.info.public_key)?;
    let range = asn1::signed_range(&der).map_err(malformed)?;
    let message = der.get(range).unwrap_or_default();
    let signature = request.signature.as_bytes().ok_or(PkiError::BadSignature)?;
    Scheme::from_identifier(&request.algorithm)?.diagnose(public_key.material(), message, signature)?;
    let (dns_names, addresses) = requested_names(&request.info)?;
    Ok(Csr { name: request.info.subject, public_key, dns_names, addresses })
}

/// The subjectAltName extension for `dns_names` and `addresses`; none for none.
pub(crate) fn alternative_names(
    dns_names: &[String],
    addresses: &[IpAddr],
) -> Result<Option<Extension>, PkiError> {
    if dns_names.is_empty() && addresses.is_empty() {
        return Ok(None);
    }
    if dns_names.len() > MAX_DNS_NAMES {
        return Err(PkiError::DnsName(format!(
            "{} names given, at most {MAX_DNS_NAMES} are allowed",
            dns_names.len()
        )));
    }
    let malformed = |e| PkiError::malformed("subject alternative name", e);
    let mut names = Vec::with_capacity(dns_names.len());
    for dns_name in dns_names {
        check_dns_name(dns_name)?;
        names.push(GeneralName::DnsName(Ia5String::new(dns_name.as_str()).map_err(malformed)?));
    }
    for address in addresses {
        let octets = match address {
            IpAddr::V4(address) => OctetString::new(address.octets()),
            IpAddr::V6(address) => OctetString::new(address.octets()),
        };
        names.push(GeneralName::IpAddress(octets.map_err(malformed)?));
    }
    extension(&SubjectAltName(names), false).map(Some)
}

/// `value` as an extension.
pub(crate) fn extension<T: Encode + AssociatedOid>(value: &T, critical: bool) -> Result<Extension, PkiError> {
    let malformed = |e| PkiError::malformed("extension", e);
    let value = OctetString::new(value.to_der().map_err(malformed)?).map_err(malformed)?;
    Ok(Extension { extn_id: T::OID, critical, extn_value: value })
}

/// The DNS names among subject alternative names.
pub(crate) fn dns_names(names: &SubjectAltName) -> Vec<String> {
    let dns = |name: &GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        _ => None,
    };
    names.0.iter().filter_map(dns).collect()
}

/// The IP addresses among subject alternative names; octets that are none are left out.
fn addresses(names: &SubjectAltName) -> Vec<IpAddr> {
    let address = |name: &GeneralName| {
        let GeneralName::IpAddress(octets) = name else { return None };
        let octets = octets.as_bytes();
        let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
        four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
    };
    names.0.iter().filter_map(address).collect()
}

fn requested_names(info: &CertReqInfo) -> Result<(Vec<String>, Vec<IpAddr>), PkiError> {
    let malformed = |e| PkiError::malformed("extension request", e);
    let wanted = |a: &&Attribute| a.oid == ExtensionReq::OID;
    let (mut names, mut numbers) = (Vec::new(), Vec::new());
    for value in info.attributes.iter().filter(wanted).flat_map(|a| a.values.iter()) {
        for extension in extensions(value).map_err(malformed)? {
            if extension.extn_id == SubjectAltName::OID {
                let bytes = extension.extn_value.as_bytes();
                let requested = SubjectAltName::from_der(bytes).map_err(malformed)?;
                names.extend(dns_names(&requested));
                numbers.extend(addresses(&requested));
            }
        }
    }
    Ok((names, numbers))
}

fn extensions(value: &Any) -> x509_cert::der::Result<Vec<Extension>> {
    Vec::<Extension>::from_der(&value.to_der()?)
}

/// Checks DNS names as [`create_csr`] does, before there is a key.
///
/// # Errors
/// [`PkiError::DnsName`] for more than [`MAX_DNS_NAMES`], or one that is not a host name.
pub fn check_dns_names(dns_names: &[String]) -> Result<(), PkiError> {
    alternative_names(dns_names, &[]).map(|_| ())
}

/// Host names of RFC 1123 with underscores, a leading "*." allowed; internationalised names must come
/// in their ASCII form (RFC 5280, 7.2).
fn check_dns_name(dns_name: &str) -> Result<(), PkiError> {
    let shown: String = dns_name.chars().take(64).collect();
    let wrong = |why: &str| Err(PkiError::DnsName(format!("{shown:?} {why}")));
    if !dns_name.is_ascii() {
        return wrong("is not ASCII; write internationalised names in their xn-- form");
    }
    if dns_name.is_empty() || dns_name.len() > MAX_DNS_NAME_BYTES {
        return wrong("must have 1 to 253 characters");
    }
    let host = dns_name.strip_prefix("*.").unwrap_or(dns_name);
    let fine = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.split('.').all(fine) { Ok(()) } else { wrong("is not a host name") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::KeySpec;

    fn subject() -> Subject {
        Subject::parse("CN=通关,OU=kms,O=aliyun,C=CN").unwrap()
    }

    #[test]
    fn requests_read_back() {
        for spec in KeySpec::USUAL {
            let key = PrivateKey::generate(spec).unwrap();
            for names in [vec![], vec!["a.example.com".to_owned(), "*.example.org".to_owned()]] {
                let csr = parse_csr(&create_csr(&key, &subject(), &names).unwrap()).unwrap();
                assert_eq!(csr.subject(), subject().to_string());
                assert_eq!(csr.public_key(), &key.public_key());
                assert_eq!(csr.dns_names(), names);
            }
        }
    }

    #[test]
    fn a_changed_request_is_refused() {
        let key = PrivateKey::generate(KeySpec::EcSm2).unwrap();
        let text = create_csr(&key, &subject(), &[]).unwrap();
        let mut der = pem::one(&text, &[pem::REQUEST]).unwrap().to_vec();
        let at = der.windows(6).position(|w| w == b"aliyun").unwrap();
        der[at] = b'A';
        let error = parse_csr(&pem::encode(pem::REQUEST, &der)).unwrap_err();
        assert_eq!(error, PkiError::BadSm2Signature);
        der.push(0);
        let error = parse_csr(&pem::encode(pem::REQUEST, &der)).unwrap_err();
        assert!(matches!(error, PkiError::Malformed { .. }));
    }

    #[test]
    fn only_dns_names_are_accepted() {
        let key = PrivateKey::generate(KeySpec::EcP256).unwrap();
        let long = format!("{}.com", "a".repeat(64));
        for bad in ["", ".", "a..b", "-a.com", "a b.com", "通关.cn", "*", "a.*.com", long.as_str()] {
            let result = create_csr(&key, &subject(), &[bad.to_owned()]);
            assert!(matches!(result, Err(PkiError::DnsName(_))), "{bad}");
        }
        let many = vec!["a.com".to_owned(); MAX_DNS_NAMES + 1];
        assert!(matches!(create_csr(&key, &subject(), &many), Err(PkiError::DnsName(_))));
    }

    #[test]
    fn names_are_checked_before_there_is_a_key() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), MAX_DNS_NAME_BYTES);
        for good in ["a", "a-b_c.example.com", "_acme.example.com", "*.example.com", "1.2", longest.as_str()]
        {
            assert_eq!(check_dns_names(&[good.to_owned()]), Ok(()), "{good}");
        }
        let longer = format!("{longest}a");
        for (bad, reason) in [
            ("", "must have 1 to 253 characters"),
            (longer.as_str(), "must have 1 to 253 characters"),
            ("a-.com", "is not a host name"),
            ("a/b.com", "is not a host name"),
        ] {
            let refused = check_dns_names(&[bad.to_owned()]).unwrap_err().to_string();
            assert!(refused.contains(reason), "{bad}: {refused}");
        }
        let names = |count| vec!["a.com".to_owned(); count];
        assert_eq!(check_dns_names(&names(MAX_DNS_NAMES)), Ok(()));
        let refused = check_dns_names(&names(MAX_DNS_NAMES + 1)).unwrap_err().to_string();
        assert!(refused.contains("101 names given, at most 100 are allowed"), "{refused}");
    }
}
