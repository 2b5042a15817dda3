//! DescribeCertificate: returns a certificate's metadata. Source: `docs/api/kms/DescribeCertificate.json`.
//!
//! The disabled state is answered as `INACTIVE`; names are an array and tags an object, as the SDKs
//! decode them.

use serde::Serialize;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::{Context, iso8601, iso8601_seconds};
use crate::operation::{DryRun, Failure, Handler, Operation, Product};

use super::{CERTIFICATE_ID, arn, existing};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Kms,
    action: "DescribeCertificate",
    summary: "Return the metadata of one certificate.",
    permission: Some("kms:DescribeCertificate"),
    resource: "acs:kms:{RegionId}:{accountId}:certificate/{CertificateId}",
    parameters: &[CERTIFICATE_ID],
    subject: Some("CertificateId"),
    dry_run: DryRun::None,
    errors: &[&c::FORBIDDEN_KMS, &c::MISSING_PARAMETER, &c::CERTIFICATE_NOT_FOUND],
    handler: Handler::Read(describe),
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    request_id: &'a str,
    certificate_id: &'a str,
    arn: String,
    status: &'static str,
    key_spec: &'a str,
    subject: &'a str,
    subject_alternative_names: &'a [String],
    subject_public_key: &'a str,
    exportable_private_key: bool,
    created_at: String,
    updated_at: String,
    tags: Tags,
    #[serde(flatten)]
    issued: Option<ShownIssued<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownIssued<'a> {
    issuer: &'a str,
    serial: &'a str,
    signature_algorithm: &'a str,
    subject_key_identifier: &'a str,
    not_before: String,
    not_after: String,
}

/// No operation of this release puts tags on a certificate.
#[derive(Serialize)]
struct Tags {}

fn describe(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let found = snapshot.certificate(&call.principal.account, args.required("CertificateId"))?;
    let certificate = existing(found)?;
    let issued = certificate.issued.as_ref();
    call.reply(&Shown {
        request_id: &call.request_id,
        certificate_id: certificate.id.as_str(),
        arn: arn(&certificate),
        status: certificate.status.as_str(),
        key_spec: &certificate.key_spec,
        subject: issued.map_or(certificate.subject.as_str(), |issued| &issued.subject),
        subject_alternative_names: &certificate.dns_names,
        subject_public_key: &certificate.public_key,
        exportable_private_key: certificate.exportable,
        created_at: iso8601(certificate.created_ms),
        updated_at: iso8601(certificate.updated_ms),
        tags: Tags {},
        issued: issued.map(|issued| ShownIssued {
            issuer: &issued.issuer,
            serial: &issued.serial,
            signature_algorithm: &issued.signature_algorithm,
            subject_key_identifier: &issued.subject_key_identifier,
            not_before: iso8601_seconds(issued.not_before),
            not_after: iso8601_seconds(issued.not_after),
        }),
    })
}
