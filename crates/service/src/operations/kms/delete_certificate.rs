//! DeleteCertificate: deletes a certificate with its key and chain; final.
//!
//! Source: `docs/api/kms/DeleteCertificate.json`. A bound certificate is refused (our choice: no page
//! says so), so that it is not deleted from under a gateway.

use tongguan_model::id::VpnGatewayId;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::Context;
use crate::operation::{Answer, Change, DryRun, Failure, Handler, Operation, Product};

use super::{CERTIFICATE_ID, existing};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Kms,
    action: "DeleteCertificate",
    summary: "Delete a certificate with its key and chain.",
    permission: Some("kms:DeleteCertificate"),
    resource: "acs:kms:{RegionId}:{accountId}:certificate/{CertificateId}",
    parameters: &[CERTIFICATE_ID],
    subject: Some("CertificateId"),
    dry_run: DryRun::None,
    errors: &[&c::FORBIDDEN_KMS, &c::MISSING_PARAMETER, &c::CERTIFICATE_NOT_FOUND, &c::CERTIFICATE_IN_USE],
    handler: Handler::Write(delete),
};

fn delete(_: &Context, call: &Call, args: &Args<'_>) -> Result<Change, Failure> {
    let id = args.required("CertificateId").to_owned();
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let certificate = existing(tx.certificate(&account, &id)?)?;
        let gateways = tx.gateways_with(&certificate.id)?;
        if !gateways.is_empty() {
            let names: Vec<&str> = gateways.iter().map(VpnGatewayId::as_str).collect();
            return Err(Refusal::new(&c::CERTIFICATE_IN_USE).value(&names.join(", ")).into());
        }
        tx.delete_certificate(&certificate)?;
        Ok(Answer::new())
    }))
}
