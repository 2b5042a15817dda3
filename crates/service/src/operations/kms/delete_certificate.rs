//! DeleteCertificate: deletes a certificate with its key and chain; final.
//!
//! Source: `docs/api/kms/DeleteCertificate.json`. A bound certificate is refused (our choice: no page
//! says so), so that it is not deleted from under a gateway.

use tongguan_model::id::VpnGatewayId;

use crate::api::kms::{DeleteCertificate, DeleteCertificateOutput};
use crate::operation::prelude::*;

use super::existing;

impl Write for DeleteCertificate {
    type Output = DeleteCertificateOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let certificate = existing(tx.certificate(&call.principal.account, &self.certificate_id)?)?;
        let gateways = tx.gateways_with(&certificate.id)?;
        if !gateways.is_empty() {
            let names: Vec<&str> = gateways.iter().map(VpnGatewayId::as_str).collect();
            return Err(Refusal::new(&c::CERTIFICATE_IN_USE).value(&names.join(", ")).into());
        }
        tx.delete_certificate(&certificate)?;
        Ok(Self::Output {})
    }
}
