//! A small CA for demonstrations and tests. It keeps no records: no revocation, no file of serial numbers.

use std::net::IpAddr;

use aws_lc_rs::rand;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::OctetString;
use x509_cert::der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use x509_cert::der::{Encode, TagNumber};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Validity;

use crate::certificate::key_identifier;
use crate::csr::{alternative_names, extension};
use crate::signature::Scheme;
use crate::{
    Certificate, DEFAULT_USER_ID, KeySpec, PkiError, PrivateKey, PublicKey, Subject, asn1, parse_csr,
};

const SERIAL_BYTES: usize = 16;

/// What the certified key may do. An SM gateway binds one certificate for signatures and another for
/// encryption (GM/T 0015: two certificates per entity).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// digitalSignature, nonRepudiation.
    Signature,
    /// keyEncipherment, dataEncipherment, keyAgreement.
    Encryption,
    /// All bits of [`Usage::Signature`] and [`Usage::Encryption`].
    Both,
    /// As [`Usage::Both`], with extended key usage for TLS servers and clients.
    Tls,
}

impl Usage {
    fn key_usage(self) -> KeyUsage {
        let signature = KeyUsages::DigitalSignature | KeyUsages::NonRepudiation;
        let encryption = KeyUsages::KeyEncipherment | KeyUsages::DataEncipherment | KeyUsages::KeyAgreement;
        KeyUsage(match self {
            Self::Signature => signature,
            Self::Encryption => encryption,
            Self::Both | Self::Tls => signature | encryption,
        })
    }

    fn extended(self) -> Option<ExtendedKeyUsage> {
        match self {
            Self::Tls => Some(ExtendedKeyUsage(vec![ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH])),
            Self::Signature | Self::Encryption | Self::Both => None,
        }
    }
}

/// A key and the CA certificate for it.
#[derive(Debug)]
pub struct Ca {
    key: PrivateKey,
    certificate: Certificate,
}

impl Ca {
    /// Makes a root: new key, self-signed certificate, validity in unix seconds.
    ///
    /// # Errors
    /// [`PkiError::Validity`] or [`PkiError::Crypto`].
    pub fn new(spec: KeySpec, subject: &Subject, not_before: i64, not_after: i64) -> Result<Self, PkiError> {
        let key = PrivateKey::generate(spec)?;
        let public_key = key.public_key();
        let certificate = Draft {
            issuer: subject.name(),
            subject: subject.name(),
            public_key: &public_key,
            validity: validity(not_before, not_after)?,
            extensions: ca_extensions(&public_key, None)?,
        }
        .sign(&key)?;
        Ok(Self { key, certificate })
    }

    /// Makes a CA below this one, with at most `path_len` further CAs below it (`None`: any number).
    /// Some ShangMi stacks insist on 0 for the last CA.
    ///
    /// # Errors
    /// [`PkiError::Validity`] or [`PkiError::Crypto`].
    pub fn issue_ca(
        &self,
        spec: KeySpec,
        subject: &Subject,
        path_len: Option<u8>,
        not_before: i64,
        not_after: i64,
    ) -> Result<Self, PkiError> {
        let key = PrivateKey::generate(spec)?;
        let public_key = key.public_key();
        let mut extensions = ca_extensions(&public_key, path_len)?;
        extensions.push(self.authority()?);
        let certificate = Draft {
            issuer: self.certificate.subject_name(),
            subject: subject.name(),
            public_key: &public_key,
            validity: validity(not_before, not_after)?,
            extensions,
        }
        .sign(&self.key)?;
        Ok(Self { key, certificate })
    }

    /// Takes up a CA kept elsewhere.
    ///
    /// # Errors
    /// [`PkiError::InvalidPrivateKey`] if the key does not belong to the certificate,
    /// [`PkiError::NotCa`] if that is none of a CA.
    pub fn from_parts(key: PrivateKey, certificate: Certificate) -> Result<Self, PkiError> {
        if !crate::matches(&certificate, &key.public_key()) {
            return Err(PkiError::InvalidPrivateKey("it does not belong to the CA certificate"));
        }
        if !certificate.is_ca() {
            return Err(PkiError::NotCa);
        }
        Ok(Self { key, certificate })
    }

    /// The CA's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The CA's key, for keeping it elsewhere.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Certifies the key of a signing request, whose signature is verified first. Subject, DNS names and IP
    /// addresses are taken over as they are. Validity in unix seconds.
    ///
    /// # Errors
    /// Those of [`parse_csr`], [`PkiError::DnsName`], [`PkiError::Validity`] or [`PkiError::Crypto`].
    pub fn issue(
        &self,
        csr_pem: &str,
        usage: Usage,
        not_before: i64,
        not_after: i64,
    ) -> Result<Certificate, PkiError> {
        let csr = parse_csr(csr_pem)?;
        let names = (csr.dns_names(), csr.addresses());
        let extensions = self.leaf_extensions(csr.public_key(), names, usage)?;
        self.draft(csr.name(), csr.public_key(), validity(not_before, not_after)?, extensions).sign(&self.key)
    }

    /// [`Ca::issue`] with an SM2 signature under this user id in place of the usual one, which those who verify it
    /// have to refuse: for their tests.
    ///
    /// # Errors
    /// Those of [`Ca::issue`]; [`PkiError::UnsupportedKey`] if the CA does not sign with SM2.
    pub fn issue_under_user_id(
        &self,
        user_id: &str,
        csr_pem: &str,
        usage: Usage,
        not_before: i64,
        not_after: i64,
    ) -> Result<Certificate, PkiError> {
        self.key.sm2()?;
        let csr = parse_csr(csr_pem)?;
        let names = (csr.dns_names(), csr.addresses());
        let extensions = self.leaf_extensions(csr.public_key(), names, usage)?;
        self.draft(csr.name(), csr.public_key(), validity(not_before, not_after)?, extensions)
            .sign_as(&self.key, user_id)
    }

    /// Certifies a key of somebody who is known, for TLS under these names and addresses. Validity in unix seconds.
    ///
    /// # Errors
    /// [`PkiError::DnsName`], [`PkiError::Validity`] or [`PkiError::Crypto`].
    pub fn certify_listener(
        &self,
        subject: &Subject,
        key: &PublicKey,
        names: (&[String], &[IpAddr]),
        not_before: i64,
        not_after: i64,
    ) -> Result<Certificate, PkiError> {
        let extensions = self.leaf_extensions(key, names, Usage::Tls)?;
        self.draft(subject.name(), key, validity(not_before, not_after)?, extensions).sign(&self.key)
    }

    fn draft<'a>(
        &'a self,
        subject: &'a Name,
        public_key: &'a PublicKey,
        validity: Validity,
        extensions: Vec<Extension>,
    ) -> Draft<'a> {
        Draft { issuer: self.certificate.subject_name(), subject, public_key, validity, extensions }
    }

    /// No basicConstraints: some ShangMi stacks refuse an empty one.
    fn leaf_extensions(
        &self,
        key: &PublicKey,
        (dns_names, addresses): (&[String], &[IpAddr]),
        usage: Usage,
    ) -> Result<Vec<Extension>, PkiError> {
        let mut extensions =
            vec![extension(&usage.key_usage(), true)?, subject_identifier(key)?, self.authority()?];
        if let Some(extended) = usage.extended() {
            extensions.push(extension(&extended, false)?);
        }
        extensions.extend(alternative_names(dns_names, addresses)?);
        Ok(extensions)
    }

    fn authority(&self) -> Result<Extension, PkiError> {
        let identifier = OctetString::new(self.certificate.key_identifier())
            .map_err(|e| PkiError::malformed("extension", e))?;
        let authority =
            AuthorityKeyIdentifier { key_identifier: Some(identifier), ..AuthorityKeyIdentifier::default() };
        extension(&authority, false)
    }
}

fn ca_extensions(key: &PublicKey, path_len: Option<u8>) -> Result<Vec<Extension>, PkiError> {
    let constraints = BasicConstraints { ca: true, path_len_constraint: path_len };
    let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
    Ok(vec![extension(&constraints, true)?, extension(&usage, true)?, subject_identifier(key)?])
}

fn subject_identifier(key: &PublicKey) -> Result<Extension, PkiError> {
    let bits = key.to_spki()?.subject_public_key;
    let identifier = OctetString::new(key_identifier(bits.raw_bytes()))
        .map_err(|e| PkiError::malformed("extension", e))?;
    extension(&SubjectKeyIdentifier(identifier), false)
}

fn validity(not_before: i64, not_after: i64) -> Result<Validity, PkiError> {
    if not_after < not_before {
        return Err(PkiError::Validity("it ends before it begins"));
    }
    Ok(Validity::new(asn1::time(not_before)?, asn1::time(not_after)?))
}

/// Positive, random, with a first octet that is never zero (RFC 5280, 4.1.2.2).
fn serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0; SERIAL_BYTES];
    rand::fill(&mut bytes).map_err(|_| PkiError::Crypto("random serial number"))?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    SerialNumber::new(&bytes).map_err(|e| PkiError::malformed("serial number", e))
}

/// A certificate before it is signed.
struct Draft<'a> {
    issuer: &'a Name,
    subject: &'a Name,
    public_key: &'a PublicKey,
    validity: Validity,
    extensions: Vec<Extension>,
}

impl Draft<'_> {
    fn sign(&self, issuer: &PrivateKey) -> Result<Certificate, PkiError> {
        self.sign_as(issuer, DEFAULT_USER_ID)
    }

    fn sign_as(&self, issuer: &PrivateKey, user_id: &str) -> Result<Certificate, PkiError> {
        let malformed = |e| PkiError::malformed("certificate", e);
        let algorithm = Scheme::of(issuer.spec()).to_identifier();
        let spki = self.public_key.to_spki()?.to_der().map_err(malformed)?;
        let serial = serial()?;
        // TBSCertificate, RFC 5280, 4.1: version [0] EXPLICIT, ..., extensions [3] EXPLICIT.
        let body = || -> x509_cert::der::Result<Vec<u8>> {
            asn1::sequence(&[
                asn1::wrap(TagNumber(0).context_specific(true), Version::V3.to_der()?)?,
                serial.to_der()?,
                algorithm.to_der()?,
                self.issuer.to_der()?,
                self.validity.to_der()?,
                self.subject.to_der()?,
                spki,
                asn1::wrap(TagNumber(3).context_specific(true), self.extensions.to_der()?)?,
            ])
        };
        let body = body().map_err(malformed)?;
        let signature = issuer.sign_as(user_id, &body)?;
        let der = asn1::signed(body, &algorithm, &signature).map_err(malformed)?;
        Certificate::from_der(&der)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_usage_says_what_its_key_may_do() {
        use KeyUsages::{DataEncipherment, DigitalSignature, KeyAgreement, KeyEncipherment, NonRepudiation};
        let signature = [DigitalSignature, NonRepudiation];
        let encryption = [KeyEncipherment, DataEncipherment, KeyAgreement];
        let both = [&signature[..], &encryption].concat();
        for (usage, expected) in [
            (Usage::Signature, &signature[..]),
            (Usage::Encryption, &encryption),
            (Usage::Both, &both),
            (Usage::Tls, &both),
        ] {
            assert_eq!(usage.key_usage().0.into_iter().collect::<Vec<_>>(), expected, "{usage:?}");
            let purposes = usage.extended().map(|extended| extended.0);
            let tls = (usage == Usage::Tls).then(|| vec![ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH]);
            assert_eq!(purposes, tls, "{usage:?}");
        }
    }

    use x509_cert::ext::pkix::name::GeneralName;

    #[test]
    fn names_and_addresses_of_a_listener_are_certified() {
        let subject = Subject::parse("CN=listener,OU=t,O=t,C=CN").unwrap();
        let ca = Ca::new(KeySpec::EcP256, &subject, 0, 100).unwrap();
        let key = PrivateKey::generate(KeySpec::EcP256).unwrap();
        let names = (&["localhost".to_owned()][..], &[IpAddr::from([127, 0, 0, 1])][..]);
        let leaf = ca.certify_listener(&subject, &key.public_key(), names, 0, 100).unwrap();
        crate::verify_chain(&leaf, std::slice::from_ref(ca.certificate()), 50).unwrap();
        let certified = leaf.alternative_names();
        let address = OctetString::new([127, 0, 0, 1]).unwrap();
        assert!(certified.contains(&GeneralName::IpAddress(address)), "{certified:?}");
        assert_eq!(certified.len(), 2);
    }

    #[test]
    fn a_signature_under_another_user_id_is_recognised_as_such() {
        let subject = Subject::parse("CN=gateway,OU=t,O=t,C=CN").unwrap();
        let key = PrivateKey::generate(KeySpec::EcSm2).unwrap();
        let csr = crate::create_csr(&key, &subject, &[]).unwrap();
        let sm2 = Ca::new(KeySpec::EcSm2, &subject, 0, 100).unwrap();
        let leaf = sm2.issue_under_user_id("", &csr, Usage::Signature, 0, 100).unwrap();
        assert_eq!(crate::verify_issued_by(&leaf, sm2.certificate()), Err(PkiError::EmptyUserId));
        let right = sm2.issue_under_user_id(DEFAULT_USER_ID, &csr, Usage::Signature, 0, 100).unwrap();
        assert_eq!(crate::verify_issued_by(&right, sm2.certificate()), Ok(()));
        let p256 = Ca::new(KeySpec::EcP256, &subject, 0, 100).unwrap();
        let refused = p256.issue_under_user_id("", &csr, Usage::Signature, 0, 100);
        assert!(matches!(refused, Err(PkiError::UnsupportedKey(_))));
    }

    #[test]
    fn a_validity_may_be_one_instant_and_not_less() {
        assert!(validity(5, 5).is_ok());
        assert_eq!(validity(6, 5).unwrap_err(), PkiError::Validity("it ends before it begins"));
    }

    #[test]
    fn serial_numbers_are_positive_of_sixteen_octets_and_differ() {
        let serials: Vec<Vec<u8>> = (0..64).map(|_| serial().unwrap().as_bytes().to_vec()).collect();
        for (at, serial) in serials.iter().enumerate() {
            assert_eq!(serial.len(), SERIAL_BYTES);
            assert!((0x40..0x80).contains(&serial[0]), "{serial:02x?}");
            assert!(!serials[..at].contains(serial), "{serial:02x?}");
        }
        assert!(serials.iter().any(|serial| serial[0] != serials[0][0]), "the first octet is random too");
    }
}
