//! GetCertificate: returns certificate, chain and request. Source: `docs/api/kms/GetCertificate.json`.
//!
//! While PENDING there is only the request. Private keys are never returned here.

use serde::Serialize;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Product};

use super::{CERTIFICATE_ID, existing};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Kms,
    action: "GetCertificate",
    summary: "Return certificate, chain and CSR as PEM.",
    permission: Some("kms:GetCertificate"),
    resource: "acs:kms:{RegionId}:{accountId}:certificate/{CertificateId}",
    parameters: &[CERTIFICATE_ID],
    subject: Some("CertificateId"),
    dry_run: DryRun::None,
    errors: &[&c::FORBIDDEN_KMS, &c::MISSING_PARAMETER, &c::CERTIFICATE_NOT_FOUND],
    handler: Handler::Read(get),
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    request_id: &'a str,
    certificate_id: &'a str,
    csr: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_chain: Option<&'a str>,
}

fn get(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let found = snapshot.certificate(&call.principal.account, args.required("CertificateId"))?;
    let certificate = existing(found)?;
    let issued = certificate.issued.as_ref();
    call.reply(&Shown {
        request_id: &call.request_id,
        certificate_id: certificate.id.as_str(),
        csr: &certificate.csr,
        certificate: issued.map(|issued| issued.certificate.as_str()),
        certificate_chain: issued.map(|issued| issued.chain.as_str()).filter(|chain| !chain.is_empty()),
    })
}
