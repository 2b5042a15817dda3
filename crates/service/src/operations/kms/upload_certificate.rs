//! UploadCertificate: stores the certificate that a CA issued for an earlier request.
//!
//! Source: `docs/api/kms/UploadCertificate.json`. Moves PENDING to ACTIVE. The certificate's public key
//! must be that of the request; the chain, if given, must verify (SM2 with the default user id); and
//! the certificate must be within its validity. What is wrong stands after the documented message.

use tongguan_model::certificate::{CertificateStatus, Issued};
use tongguan_pki::{Certificate, PkiError, PublicKey, matches, verify_chain};

use crate::api::kms::{UploadCertificate, UploadCertificateOutput};
use crate::operation::prelude::*;

use super::{existing, issued};

impl LongWork for UploadCertificate {
    type Prepared = Issued;
    type Output = UploadCertificateOutput;

    /// The form of what is sent comes before the existence of what it is for, and to read the certificate is to look at
    /// its form: nothing can be looked at before.
    fn look(&self, _: &Call) -> Result<(), Failure> {
        Ok(())
    }

    /// The expensive checks are made before the transaction; the public key of a request never changes.
    fn prepare(&self, call: &Call) -> Result<Self::Prepared, Failure> {
        let invalid = |parameter: &str, error: PkiError| {
            Refusal::new(&c::INVALID_PARAMETER).because(format!("{parameter}: {error}"))
        };
        let leaf = Certificate::from_pem(&self.certificate).map_err(|error| invalid("Certificate", error))?;
        let chain = match &self.certificate_chain {
            None => Vec::new(),
            Some(text) => {
                Certificate::chain_from_pem(text).map_err(|error| invalid("CertificateChain", error))?
            }
        };
        let (store, account) = (&call.context.store, &call.principal.account);
        let pending = existing(store.read(|snapshot| snapshot.certificate(account, &self.certificate_id))?)?;
        let wanted = PublicKey::from_pem(&pending.public_key)
            .map_err(|error| Failure::Internal(format!("stored public key: {error}")))?;
        // Why a key cannot be read is told before it is called another one.
        leaf.public_key().map_err(|error| invalid("Certificate", error))?;
        if !matches(&leaf, &wanted) {
            let detail = "Certificate: its public key is not the one of the certificate request.";
            return Err(Refusal::new(&c::INVALID_PARAMETER).because(detail).into());
        }
        verify_chain(&leaf, &chain, call.now_ms.div_euclid(1000)).map_err(|error| {
            let parameter = if chain.is_empty() { "Certificate" } else { "CertificateChain" };
            invalid(parameter, error)
        })?;
        Ok(issued(&leaf, &chain))
    }

    fn change(&self, issued: &Issued, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let certificate = existing(tx.certificate(&call.principal.account, &self.certificate_id)?)?;
        if certificate.status != CertificateStatus::Pending {
            return Err((&c::CERTIFICATE_STATE).into());
        }
        tx.certificate_issued(&certificate.id, issued, call.now_ms)?;
        Ok(Self::Output {})
    }
}
