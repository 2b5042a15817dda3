//! UpdateCertificateStatus: enables, disables or revokes a certificate.
//!
//! Source: `docs/api/kms/UpdateCertificateStatus.json`. No page says what happens to a gateway that the
//! certificate is bound to. Our choice: the binding stays, the gateway goes on with what it has, and it
//! says so: the JSON document in its `Tag` gets a member `CertificateAlert`, and the log a warning. A new
//! bind of the certificate is refused.

use tongguan_model::certificate::CertificateStatus;
use tracing::warn;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{Answer, Change, DryRun, Failure, Handler, Operation, Product, Shape, required};

use super::{CERTIFICATE_ID, existing};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Kms,
    action: "UpdateCertificateStatus",
    summary: "Enable, disable or revoke a certificate.",
    permission: Some("kms:UpdateCertificateStatus"),
    resource: "acs:kms:{RegionId}:{accountId}:certificate/{CertificateId}",
    parameters: &[
        CERTIFICATE_ID,
        required(
            "Status",
            Shape::Text,
            "ACTIVE, INACTIVE (also DISABLE, DISABLED) or REVOKED, which is final.",
        ),
    ],
    subject: Some("CertificateId"),
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN_KMS,
        &c::MISSING_PARAMETER,
        &c::INVALID_PARAMETER,
        &c::CERTIFICATE_NOT_FOUND,
        &c::CERTIFICATE_STATE,
    ],
    handler: Handler::Write(update),
};

fn update(_: &Context, call: &Call, args: &Args<'_>) -> Result<Change, Failure> {
    let text = args.required("Status");
    let wanted = CertificateStatus::parse_request(text)
        .filter(|status| *status != CertificateStatus::Pending)
        .ok_or_else(|| args.illegal("Status", text))?;
    let id = args.required("CertificateId").to_owned();
    let (account, now_ms) = (call.principal.account.clone(), call.now_ms);
    let request_id = call.request_id.clone();
    Ok(Box::new(move |tx| {
        let certificate = existing(tx.certificate(&account, &id)?)?;
        let Ok(status) = certificate.status.change_to(wanted) else {
            return Err((&c::CERTIFICATE_STATE).into());
        };
        tx.set_certificate_status(&certificate.id, status, now_ms)?;
        for gateway in tx.gateways_with(&certificate.id)? {
            tx.refresh_certificate_alert(&gateway)?;
            if status != CertificateStatus::Active {
                warn!(request_id, certificate = %certificate.id, %gateway, %status, "a bound certificate is out of service");
            }
        }
        Ok(Answer::new())
    }))
}
