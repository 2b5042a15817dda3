//! GetCertificate: returns certificate, chain and request. Source: `docs/api/kms/GetCertificate.json`.
//!
//! While PENDING there is only the request. Private keys are never returned here.

use crate::api::kms::{GetCertificate, GetCertificateOutput};
use crate::operation::prelude::*;

use super::existing;

impl Read for GetCertificate {
    type Output = GetCertificateOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let certificate = existing(snapshot.certificate(&call.principal.account, &self.certificate_id)?)?;
        let (text, chain) = certificate.issued.map(|issued| (issued.certificate, issued.chain)).unzip();
        Ok(Self::Output {
            certificate_id: certificate.id.to_string().into(),
            csr: certificate.csr.into(),
            certificate: text.map(Into::into),
            certificate_chain: chain.filter(|chain| !chain.is_empty()).map(Into::into),
        })
    }
}
