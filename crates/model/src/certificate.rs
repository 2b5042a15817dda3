//! Certificates of the key management service and their states (`states.md`, section 4), and those that are uploaded to
//! Cas with their keys.

use crate::id::{AccountId, CertificateId, RegionId};
use crate::wire_enum;

wire_enum! {
    /// What a bound certificate is used for.
    pub enum Role {
        /// Key exchange.
        Encryption = "Encryption",
        /// Authentication.
        Signature = "Signature",
    }
}

wire_enum! {
    /// State of a certificate.
    pub enum CertificateStatus {
        /// The key and the request exist, the issued certificate was not uploaded yet.
        Pending = "PENDING",
        /// In use.
        Active = "ACTIVE",
        /// Disabled by UpdateCertificateStatus; can be made active again.
        Inactive = "INACTIVE",
        /// Revoked; final.
        Revoked = "REVOKED",
    }
}

impl CertificateStatus {
    /// Parses the status that a caller requests, in the spellings of every edition of the page:
    /// `INACTIVE` is also written `DISABLE` and `DISABLED`.
    #[must_use]
    pub fn parse_request(text: &str) -> Option<Self> {
        match text {
            "DISABLE" | "DISABLED" => Some(Self::Inactive),
            other => Self::parse(other),
        }
    }

    /// Checks a change of state by UpdateCertificateStatus.
    ///
    /// # Errors
    /// [`StatusRefusal`] when there is no such change: into or out of `PENDING`, and out of `REVOKED`.
    pub fn change_to(self, wanted: Self) -> Result<Self, StatusRefusal> {
        match (self, wanted) {
            (Self::Pending, _) | (_, Self::Pending) => Err(StatusRefusal),
            (Self::Revoked, Self::Revoked) => Ok(Self::Revoked),
            (Self::Revoked, Self::Active | Self::Inactive) => Err(StatusRefusal),
            (Self::Active | Self::Inactive, wanted) => Ok(wanted),
        }
    }
}

/// The certificate's state does not allow the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRefusal;

/// A certificate with its request; the private key is kept apart, encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Id: a GUID.
    pub id: CertificateId,
    /// Owner.
    pub account: AccountId,
    /// Region.
    pub region: RegionId,
    /// `RSA_2048`, `EC_P256` or `EC_SM2`.
    pub key_spec: String,
    /// State.
    pub status: CertificateStatus,
    /// Whether the private key may be exported.
    pub exportable: bool,
    /// Subject as the caller gave it.
    pub subject: String,
    /// DNS names that the request names.
    pub dns_names: Vec<String>,
    /// Certificate request, PEM; empty for one that was uploaded with its key.
    pub csr: String,
    /// SubjectPublicKeyInfo, PEM.
    pub public_key: String,
    /// Where it belongs in Cas; none: it is one of Kms.
    pub uploaded: Option<Uploaded>,
    /// What was uploaded.
    pub issued: Option<Issued>,
    /// Creation, UNIX milliseconds.
    pub created_ms: i64,
    /// Last change, UNIX milliseconds.
    pub updated_ms: i64,
}

/// What makes a certificate one of an upload to Cas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The upload's id, `CertId`.
    pub upload: u64,
    /// Which of the two of an SM pair it is; none: it is the only one.
    pub half: Option<Role>,
    /// Name that it is listed and looked for by: its CN, or else its first DNS name; may be empty.
    pub domain: String,
    /// The certificate and what followed it, as they were uploaded.
    pub text: String,
}

/// A certificate, or the two of an SM pair, that were uploaded to Cas with their keys. The certificates are kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// `CertId`, by which the certificates are named; of one account alone.
    pub number: u64,
    /// `InstanceId`, prefix `cas-upload-`; tags hang on it.
    pub instance: String,
    /// Owner.
    pub account: AccountId,
    /// Name, of which an account has one.
    pub name: String,
    /// Resource group.
    pub resource_group: String,
    /// Creation, UNIX milliseconds.
    pub created_ms: i64,
}

/// The number that a text names an upload, or a certificate request, by: decimal, in the one way that answers write it.
#[must_use]
pub fn upload_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// A certificate request of Cas. Its private key, if it is known, is kept apart, encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningRequest {
    /// A GUID that nobody else sees; the private key is sealed for it.
    pub id: String,
    /// `CsrId`.
    pub number: u64,
    /// Owner.
    pub account: AccountId,
    /// Name; may be empty.
    pub name: String,
    /// `RSA_2048`, `RSA_3072`, `RSA_4096`, `EC_P256` or `EC_SM2`.
    pub key_spec: String,
    /// CN of the subject; each part may be empty.
    pub common_name: String,
    /// O.
    pub corp_name: String,
    /// OU.
    pub department: String,
    /// L.
    pub locality: String,
    /// ST.
    pub province: String,
    /// C.
    pub country_code: String,
    /// DNS names asked for.
    pub dns_names: Vec<String>,
    /// The request, PEM, as it was made or uploaded.
    pub csr: String,
    /// SubjectPublicKeyInfo, PEM.
    pub public_key: String,
    /// Whether the private key is known.
    pub has_key: bool,
    /// Creation, UNIX milliseconds.
    pub created_ms: i64,
}

/// What a certificate's keyUsage (RFC 5280, 4.2.1.3) lets its key do for a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPurposes {
    /// Sign: digitalSignature or nonRepudiation.
    pub sign: bool,
    /// Receive keys and data: keyEncipherment, dataEncipherment or keyAgreement.
    pub encrypt: bool,
}

impl KeyPurposes {
    /// Those of a certificate that does not restrict its key.
    pub const ANY: Self = Self { sign: true, encrypt: true };

    /// As a number, to be stored.
    #[must_use]
    pub fn bits(self) -> u8 {
        u8::from(self.sign) | u8::from(self.encrypt) << 1
    }

    /// The purposes of [`KeyPurposes::bits`].
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self { sign: bits & 1 != 0, encrypt: bits & 2 != 0 }
    }

    /// Whether a gateway can use the certificate in this role.
    #[must_use]
    pub fn serve(self, role: Role) -> bool {
        match role {
            Role::Encryption => self.encrypt,
            Role::Signature => self.sign,
        }
    }
}

/// The issued certificate and what was read from it when it was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate: String,
    /// The chain, PEM blocks; may be empty.
    pub chain: String,
    /// SM2 key, signed with SM2-with-SM3.
    pub sm: bool,
    /// Issuer, RFC 4514.
    pub issuer: String,
    /// Subject, RFC 4514.
    pub subject: String,
    /// Serial number, decimal.
    pub serial: String,
    /// Algorithm of the signature, in the words of DescribeCertificate.
    pub signature_algorithm: String,
    /// Subject key identifier, octets in hex.
    pub subject_key_identifier: String,
    /// Start of validity, UNIX seconds.
    pub not_before: i64,
    /// End of validity, UNIX seconds.
    pub not_after: i64,
    /// What the key may do; none: stored by a release that did not note it.
    pub purposes: Option<KeyPurposes>,
}

/// What a gateway needs to know of a certificate before it takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindingFacts {
    /// State.
    pub status: CertificateStatus,
    /// SM2 key, signed with SM2-with-SM3.
    pub sm: bool,
    /// Start of validity, UNIX seconds.
    pub not_before: i64,
    /// End of validity, UNIX seconds.
    pub not_after: i64,
    /// What the key may do.
    pub purposes: KeyPurposes,
}

/// Why a certificate that is bound must not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfService {
    /// It is not `ACTIVE`.
    Status(CertificateStatus),
    /// Its validity begins then, UNIX seconds.
    NotYet(i64),
    /// Its validity has ended then, UNIX seconds.
    Expired(i64),
}

impl OutOfService {
    /// Why it must not be used at `now`, UNIX seconds; none if it may.
    #[must_use]
    pub fn of(facts: BindingFacts, now: i64) -> Option<Self> {
        Self::of_parts(facts.status, facts.not_before, facts.not_after, now)
    }

    /// The same, of state, start and end of validity.
    #[must_use]
    pub fn of_parts(status: CertificateStatus, not_before: i64, not_after: i64, now: i64) -> Option<Self> {
        if status != CertificateStatus::Active {
            Some(Self::Status(status))
        } else if now < not_before {
            Some(Self::NotYet(not_before))
        } else if now >= not_after {
            Some(Self::Expired(not_after))
        } else {
            None
        }
    }
}

impl Certificate {
    /// The facts that decide whether it may be bound.
    #[must_use]
    pub fn facts(&self) -> BindingFacts {
        BindingFacts {
            status: self.status,
            sm: self.issued.as_ref().is_some_and(|issued| issued.sm),
            not_before: self.issued.as_ref().map_or(i64::MAX, |issued| issued.not_before),
            not_after: self.issued.as_ref().map_or(i64::MIN, |issued| issued.not_after),
            purposes: self.issued.as_ref().and_then(|issued| issued.purposes).unwrap_or(KeyPurposes::ANY),
        }
    }
}

impl BindingFacts {
    /// Whether a gateway may take the certificate at `now` (UNIX seconds): ACTIVE, SM, in its validity.
    #[must_use]
    pub fn bindable(&self, now: i64) -> bool {
        self.status == CertificateStatus::Active && self.sm && self.not_before <= now && now <= self.not_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CertificateStatus::{Active, Inactive, Pending, Revoked};

    #[test]
    fn the_table_of_changes() {
        for (from, to, allowed) in [
            (Active, Inactive, true),
            (Inactive, Active, true),
            (Active, Active, true),
            (Active, Revoked, true),
            (Inactive, Revoked, true),
            (Revoked, Revoked, true),
            (Revoked, Active, false),
            (Revoked, Inactive, false),
            (Pending, Active, false),
            (Pending, Revoked, false),
            (Active, Pending, false),
        ] {
            assert_eq!(from.change_to(to).is_ok(), allowed, "{from} to {to}");
        }
    }

    #[test]
    fn every_edition_s_spelling_of_disabled_is_read() {
        for text in ["INACTIVE", "DISABLE", "DISABLED"] {
            assert_eq!(CertificateStatus::parse_request(text), Some(Inactive));
        }
        assert_eq!(CertificateStatus::parse_request("inactive"), None);
    }

    #[test]
    fn purposes_are_stored_as_they_are_and_decide_the_role() {
        for (sign, encrypt) in [(false, false), (false, true), (true, false), (true, true)] {
            let purposes = KeyPurposes { sign, encrypt };
            assert_eq!(KeyPurposes::from_bits(purposes.bits()), purposes);
            assert_eq!((purposes.serve(Role::Signature), purposes.serve(Role::Encryption)), (sign, encrypt));
        }
    }

    #[test]
    fn an_upload_is_named_by_its_number_as_it_is_written() {
        assert_eq!(upload_number("12345"), Some(12_345));
        for other in
            ["", "012345", "+1", " 1", "1x", "18446744073709551616", "9a28de48-8d8b-484d-a766-dec4aaaaaaaa"]
        {
            assert_eq!(upload_number(other), None, "{other}");
        }
    }

    #[test]
    fn validity_and_kind_decide_what_is_bindable() {
        let good = BindingFacts {
            status: Active,
            sm: true,
            not_before: 10,
            not_after: 20,
            purposes: KeyPurposes::ANY,
        };
        assert!(good.bindable(10) && good.bindable(20));
        assert!(!good.bindable(9) && !good.bindable(21));
        assert!(!BindingFacts { sm: false, ..good }.bindable(15));
        assert!(!BindingFacts { status: Revoked, ..good }.bindable(15));
    }
}
