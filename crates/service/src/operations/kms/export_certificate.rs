//! ExportCertificate: hands a certificate out with its chain and its private key, under a passphrase.
//!
//! Source: `docs/api/kms/ExportCertificate.json`, of which only the shape is published: the formats are ours. A
//! certificate that is not uploaded yet is refused, and one whose key was made not to be exported. A revoked or
//! disabled one is exported: what was encrypted for it is to be read all the same. It changes nothing; it is carried
//! out like a change because it takes long, and so that it is in the audit record before it is answered, durably.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tongguan_model::certificate::{Certificate, Issued};
use tongguan_pki::{Certificate as Leaf, PrivateKey};
use tongguan_rpc::Secret;
use tongguan_store::{SealedKind, Tx};
use zeroize::Zeroizing;

use crate::api::kms::{ExportCertificate, ExportCertificateOutput};
use crate::args::{Args, required_secret};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::master;
use crate::operation::{Failure, LongWork};

use super::existing;

/// Characters of a passphrase.
const LONGEST: usize = 256;

/// The passphrase.
pub(crate) fn passphrase(args: &Args<'_>, name: &'static str) -> Result<Secret, Refusal> {
    let given = required_secret(args, name)?;
    let fits = given.expose().chars().count() <= LONGEST;
    if fits { Ok(given) } else { Err(args.illegal(name, "")) }
}

impl LongWork for ExportCertificate {
    type Prepared = ExportCertificateOutput;
    type Output = ExportCertificateOutput;

    fn look(&self, call: &Call) -> Result<(), Failure> {
        self.certificate(call).map(|_| ())
    }

    fn prepare(&self, call: &Call) -> Result<Self::Prepared, Failure> {
        let broken =
            |error: &dyn std::fmt::Display| Failure::Internal(format!("stored certificate: {error}"));
        let (certificate, issued) = self.certificate(call)?;
        let id = certificate.id.as_str();
        let sealed =
            call.context.store.read(|snapshot| snapshot.certificate_key(&certificate.account, id))?;
        let Some(sealed) = sealed else { return Err((&c::CERTIFICATE_NOT_FOUND).into()) };
        let document = call
            .context
            .vault
            .open(&master::purpose(SealedKind::Certificate, id), &sealed.sealed)
            .map_err(|error| broken(&error))?;
        let key = PrivateKey::from_pkcs8_der(&document).map_err(|error| broken(&error))?;
        let passphrase = self.passphrase.expose();
        let mut output = Self::Output { certificate_id: id.to_owned().into(), ..Self::Output::default() };
        if self.export_format == "PKCS12" {
            let leaf = Leaf::from_pem(&issued.certificate).map_err(|error| broken(&error))?;
            let chain =
                if issued.chain.is_empty() { Ok(Vec::new()) } else { Leaf::chain_from_pem(&issued.chain) };
            let chain = chain.map_err(|error| broken(&error))?;
            let file = key.to_pkcs12(&leaf, &chain, passphrase).map_err(|error| broken(&error))?;
            output.pkcs12_blob = Some(Zeroizing::new(STANDARD.encode(file)).into());
        } else {
            let text = key.to_encrypted_pem(passphrase).map_err(|error| broken(&error))?;
            output.certificate = Some(issued.certificate.into());
            output.certificate_chain = Some(issued.chain).filter(|chain| !chain.is_empty()).map(Into::into);
            output.private_key = Some(Zeroizing::new(text).into());
        }
        Ok(output)
    }

    fn change(&self, exported: &Self::Prepared, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        existing(tx.certificate(&call.principal.account, &self.certificate_id)?)?;
        Ok(exported.clone())
    }
}

impl ExportCertificate {
    /// The certificate, if it can be exported.
    fn certificate(&self, call: &Call) -> Result<(Certificate, Issued), Failure> {
        let (store, account) = (&call.context.store, &call.principal.account);
        let mut certificate =
            existing(store.read(|snapshot| snapshot.certificate(account, &self.certificate_id))?)?;
        let Some(issued) = certificate.issued.take() else { return Err((&c::CERTIFICATE_STATE).into()) };
        if !certificate.exportable {
            return Err((&c::CERTIFICATE_NOT_EXPORTABLE).into());
        }
        Ok((certificate, issued))
    }
}
