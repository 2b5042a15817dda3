//! UpdateCertificateStatus: enables, disables or revokes a certificate.
//!
//! Source: `docs/api/kms/UpdateCertificateStatus.json`. No page says what happens to a gateway that the
//! certificate is bound to. Our choice: the binding stays, and the gateway says so: the JSON document in its
//! `Tag` gets a member `CertificateAlert`, and the log a warning. Tunnels of a gateway that moves packets are
//! down until the certificate is ACTIVE again, or another one is bound. A new bind of it is refused.

use tongguan_model::certificate::CertificateStatus;
use tracing::warn;

use crate::api::kms::{UpdateCertificateStatus, UpdateCertificateStatusOutput};
use crate::args::Args;
use crate::operation::prelude::*;

use super::existing;

/// The state that is wanted: any that can be asked for.
pub(crate) fn status(args: &Args<'_>, name: &'static str) -> Result<CertificateStatus, Refusal> {
    let text = args.required(name);
    let status =
        CertificateStatus::parse_request(text).filter(|wanted| *wanted != CertificateStatus::Pending);
    status.ok_or_else(|| args.illegal(name, text))
}

impl Write for UpdateCertificateStatus {
    type Output = UpdateCertificateStatusOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let certificate = existing(tx.certificate(&call.principal.account, &self.certificate_id)?)?;
        let Ok(status) = certificate.status.change_to(self.status) else {
            return Err((&c::CERTIFICATE_STATE).into());
        };
        tx.set_certificate_status(&certificate.id, status, call.now_ms)?;
        for gateway in tx.gateways_with(&certificate.id)? {
            tx.refresh_certificate_alert(&gateway)?;
            if status != CertificateStatus::Active {
                warn!(request_id = call.request_id, certificate = %certificate.id, %gateway, %status, "a bound certificate is out of service");
            }
        }
        Ok(Self::Output {})
    }
}
