//! Product Kms, version 2016-01-20: the certificates that gateways are bound to.

pub mod create_certificate;
pub mod delete_certificate;
pub mod describe_certificate;
pub mod export_certificate;
pub mod get_certificate;
pub mod list_certificates;
pub mod update_certificate_status;
pub mod upload_certificate;

use tongguan_model::certificate::{Certificate, Issued, KeyPurposes};
use tongguan_model::id::AccountId;
use tongguan_store::{Snapshot, StoreError};

use crate::catalogue;
use crate::operation::Failure;

/// The certificate, or the refusal that there is none.
fn existing(certificate: Option<Certificate>) -> Result<Certificate, Failure> {
    certificate.ok_or_else(|| (&catalogue::CERTIFICATE_NOT_FOUND).into())
}

/// How many certificates an account has, in Kms and Cas together: the two share a quota.
pub(crate) fn held(snapshot: &Snapshot<'_>, account: &AccountId) -> Result<u64, StoreError> {
    Ok(snapshot.tally_everywhere("certificate", account)? + snapshot.tally("cas_certificate", account, "")?)
}

/// A certificate's ARN.
fn arn(certificate: &Certificate) -> String {
    format!("acs:kms:{}:{}:certificate/{}", certificate.region, certificate.account, certificate.id)
}

/// What is kept of an issued certificate, beside its texts.
pub(crate) fn issued(leaf: &tongguan_pki::Certificate, chain: &[tongguan_pki::Certificate]) -> Issued {
    Issued {
        certificate: leaf.to_pem(),
        chain: chain.iter().map(tongguan_pki::Certificate::to_pem).collect(),
        sm: leaf.is_sm(),
        issuer: leaf.issuer(),
        subject: leaf.subject(),
        serial: leaf.serial(),
        signature_algorithm: leaf.signature_algorithm(),
        subject_key_identifier: leaf.subject_key_identifier(),
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        purposes: Some(purposes(leaf)),
    }
}

/// What the keyUsage of a certificate lets its key do: everything, if it has none.
pub(crate) fn purposes(leaf: &tongguan_pki::Certificate) -> KeyPurposes {
    leaf.key_usage().map_or(KeyPurposes::ANY, |usage| KeyPurposes {
        sign: usage.digital_signature() || usage.non_repudiation(),
        encrypt: usage.key_encipherment() || usage.data_encipherment() || usage.key_agreement(),
    })
}

/// Reads the purposes of a certificate that was uploaded before they were kept.
pub(crate) fn note_purposes(certificate: &mut Certificate) -> Result<(), Failure> {
    let Some(issued) = &mut certificate.issued else { return Ok(()) };
    if issued.purposes.is_none() {
        let read = tongguan_pki::Certificate::from_pem(&issued.certificate);
        let leaf = read.map_err(|error| Failure::Internal(format!("stored certificate: {error}")))?;
        issued.purposes = Some(purposes(&leaf));
    }
    Ok(())
}
