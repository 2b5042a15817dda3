//! UploadCertificate: stores the certificate that a CA issued for an earlier request.
//!
//! Source: `docs/api/kms/UploadCertificate.json`. Moves PENDING to ACTIVE. The certificate's public key
//! must be that of the request; the chain, if given, must verify (SM2 with the default user id); and
//! the certificate must be within its validity. What is wrong stands after the documented message.

use tongguan_model::certificate::CertificateStatus;
use tongguan_pki::{Certificate, PkiError, PublicKey, matches, verify_chain};

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::Context;
use crate::operation::{
    Answer, Change, DryRun, Failure, Handler, Long, Operation, Product, Shape, optional, required,
};

use super::{CERTIFICATE_ID, existing, issued};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Kms,
    action: "UploadCertificate",
    summary: "Store the certificate a CA issued for an earlier CSR.",
    permission: Some("kms:UploadCertificate"),
    resource: "acs:kms:{RegionId}:{accountId}:certificate/{CertificateId}",
    parameters: &[
        CERTIFICATE_ID,
        required("Certificate", Shape::Text, "The issued certificate, PEM."),
        optional("CertificateChain", Shape::Text, "Issuing chain, PEM blocks: sub-CA first, root last."),
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
    handler: Handler::LongWrite(Long { look, prepare: upload, cost: 20 }),
};

/// The form of what is sent comes before the existence of what it is for, and to read the certificate is to look at its
/// form: nothing can be looked at before.
fn look(_: &Context, _: &Call, _: &Args<'_>) -> Result<(), Failure> {
    Ok(())
}

fn upload(context: &Context, call: &Call, args: &Args<'_>) -> Result<Change, Failure> {
    let id = args.required("CertificateId").to_owned();
    let account = call.principal.account.clone();
    let invalid = |parameter: &str, error: PkiError| {
        Refusal::new(&c::INVALID_PARAMETER).because(format!("{parameter}: {error}"))
    };
    let leaf = Certificate::from_pem(args.required("Certificate")).map_err(|e| invalid("Certificate", e))?;
    let chain_text = args.text("CertificateChain").unwrap_or_default();
    let chain = if chain_text.is_empty() {
        Vec::new()
    } else {
        Certificate::chain_from_pem(chain_text).map_err(|e| invalid("CertificateChain", e))?
    };
    // The expensive checks are made before the transaction; the public key of a request never changes.
    let pending = existing(context.store.read(|snapshot| snapshot.certificate(&account, &id))?)?;
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
    let issued = issued(&leaf, &chain);
    let now_ms = call.now_ms;
    Ok(Box::new(move |tx| {
        let certificate = existing(tx.certificate(&account, &id)?)?;
        if certificate.status != CertificateStatus::Pending {
            return Err((&c::CERTIFICATE_STATE).into());
        }
        tx.certificate_issued(&certificate.id, &issued, now_ms)?;
        Ok(Answer::new())
    }))
}
