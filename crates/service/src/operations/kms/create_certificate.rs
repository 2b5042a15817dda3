//! CreateCertificate: makes a key pair and returns the certificate request for it.
//!
//! Source: `docs/api/kms/CreateCertificate.json`. The private key is made here, sealed under the master
//! key and never leaves. There is no ClientToken: a repeat makes another certificate.

use tongguan_model::certificate::{Certificate, CertificateStatus};
use tongguan_model::id::{CertificateId, RegionId};
use tongguan_pki::{KeySpec, PrivateKey, Subject, check_dns_names, create_csr};
use tongguan_store::{SealedKind, Tx};

use crate::api::kms::{CreateCertificate, CreateCertificateOutput};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::new_uuid;
use crate::master;
use crate::operation::{Failure, LongWork};

/// Names that a certificate request may hold.
const DNS_NAMES: usize = 10;

/// The kind of key.
pub(crate) fn key_spec(args: &Args<'_>, name: &'static str) -> Result<KeySpec, Refusal> {
    let spec = args.required(name).parse().ok().filter(|spec| KeySpec::USUAL.contains(spec));
    spec.ok_or_else(|| args.illegal(name, ""))
}

/// The distinguished name.
pub(crate) fn subject(args: &Args<'_>, name: &'static str) -> Result<Subject, Refusal> {
    let invalid = |error| Refusal::new(&c::INVALID_PARAMETER).because(format!("{name}: {error}."));
    Subject::parse(args.required(name)).map_err(invalid)
}

/// The names, a JSON array.
pub(crate) fn dns_names(args: &Args<'_>, name: &'static str) -> Result<Vec<String>, Refusal> {
    let Some(text) = args.text(name) else { return Ok(Vec::new()) };
    let names: Vec<String> = serde_json::from_str(text).map_err(|_| args.illegal(name, text))?;
    if names.len() > DNS_NAMES || names.iter().any(|name| name.is_empty() || name.contains('\n')) {
        return Err(args.illegal(name, text));
    }
    let invalid = |error| Refusal::new(&c::INVALID_PARAMETER).because(format!("{name}: {error}."));
    check_dns_names(&names).map_err(invalid)?;
    Ok(names)
}

/// Whether one more certificate fits, beside so many.
fn within_quota(call: &Call, held: u64) -> Result<(), Failure> {
    if held >= call.context.settings.quotas.certificates_per_account {
        return Err((&c::CERTIFICATE_QUOTA).into());
    }
    Ok(())
}

impl LongWork for CreateCertificate {
    /// The certificate and its private key, sealed.
    type Prepared = (Certificate, Vec<u8>);
    type Output = CreateCertificateOutput;

    fn look(&self, call: &Call) -> Result<(), Failure> {
        let account = &call.principal.account;
        let held = call.context.store.read(|snapshot| super::held(snapshot, account))?;
        within_quota(call, held)
    }

    fn prepare(&self, call: &Call) -> Result<Self::Prepared, Failure> {
        let bug = |error: &dyn std::fmt::Display| Failure::Internal(format!("making a key: {error}"));
        let key = PrivateKey::generate(self.key_spec).map_err(|error| bug(&error))?;
        let csr =
            create_csr(&key, &self.subject, &self.subject_alternative_names).map_err(|error| bug(&error))?;
        let id = new_uuid();
        let document = key.to_pkcs8_der().map_err(|error| bug(&error))?;
        let sealed = call
            .context
            .vault
            .seal(&master::purpose(SealedKind::Certificate, &id), &document)
            .map_err(|error| bug(&error))?;
        let certificate = Certificate {
            id: CertificateId::new(id),
            account: call.principal.account.clone(),
            region: RegionId::new(call.region_or_default(self.region).id),
            key_spec: self.key_spec.as_str().to_owned(),
            status: CertificateStatus::Pending,
            exportable: self.exportable_private_key,
            subject: self.subject.to_string(),
            dns_names: self.subject_alternative_names.clone(),
            csr,
            public_key: key.public_key().to_pem(),
            uploaded: None,
            issued: None,
            created_ms: call.now_ms,
            updated_ms: call.now_ms,
        };
        Ok((certificate, sealed))
    }

    fn change(
        &self,
        (certificate, sealed): &Self::Prepared,
        call: &Call,
        tx: &Tx<'_>,
    ) -> Result<Self::Output, Failure> {
        within_quota(call, super::held(tx, &certificate.account)?)?;
        tx.insert_certificate(certificate, sealed)?;
        Ok(Self::Output {
            arn: super::arn(certificate).into(),
            certificate_id: certificate.id.to_string().into(),
            csr: certificate.csr.clone().into(),
        })
    }
}
