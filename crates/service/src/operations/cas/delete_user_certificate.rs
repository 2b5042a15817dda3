//! DeleteUserCertificate: deletes an upload with its certificates and keys; final.
//!
//! Source: `docs/api/cas/DeleteUserCertificate.json`. While one of its certificates is bound it is refused (our
//! choice: no page says so), so that it is not deleted from under a gateway.

use tongguan_model::id::{CertificateId, VpnGatewayId};
use tongguan_store::Tx;

use crate::api::cas::{DeleteUserCertificate, DeleteUserCertificateOutput};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Write};

use super::existing;

impl Write for DeleteUserCertificate {
    type Output = DeleteUserCertificateOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let upload = existing(tx.upload(&call.principal.account, self.cert_id)?)?;
        let gateways = tx.gateways_with(&CertificateId::new(upload.number.to_string()))?;
        if !gateways.is_empty() {
            let names: Vec<&str> = gateways.iter().map(VpnGatewayId::as_str).collect();
            return Err(Refusal::new(&c::CERTIFICATE_IN_USE).value(&names.join(", ")).into());
        }
        tx.delete_upload(&upload)?;
        Ok(Self::Output {})
    }
}
