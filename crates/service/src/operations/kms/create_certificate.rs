//! CreateCertificate: makes a key pair and returns the certificate request for it.
//!
//! Source: `docs/api/kms/CreateCertificate.json`. The private key is made here, sealed under the master
//! key and never leaves. There is no ClientToken: a repeat makes another certificate.

use tongguan_model::certificate::{Certificate, CertificateStatus};
use tongguan_model::id::{CertificateId, RegionId};
use tongguan_model::region::Region;
use tongguan_pki::{KeySpec, PrivateKey, Subject, check_dns_names, create_csr};

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::Context;
use crate::operation::{
    Answer, Change, DryRun, Failure, Handler, Long, Operation, Product, Shape, optional, required,
};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Kms,
    action: "CreateCertificate",
    summary: "Make a key pair and return the CSR for it.",
    permission: Some("kms:CreateCertificate"),
    resource: "acs:kms:{RegionId}:{accountId}:certificate/*",
    parameters: &[
        required("KeySpec", Shape::Text, "RSA_2048, EC_P256 or EC_SM2."),
        required("Subject", Shape::Text, "Distinguished name, RFC 2253: CN, C, O and OU; ST and L may be."),
        optional("SubjectAlternativeNames", Shape::Json, "JSON array of DNS names, at most 10."),
        optional(
            "ExportablePrivateKey",
            Shape::Boolean,
            "Whether the private key may be exported. Default true.",
        ),
    ],
    subject: None,
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN_KMS,
        &c::MISSING_PARAMETER,
        &c::INVALID_PARAMETER,
        &c::REGION_NOT_FOUND,
        &c::CERTIFICATE_QUOTA,
    ],
    // An RSA key takes a tenth of a second, thousands of reads; those of the other kinds are quick.
    handler: Handler::LongWrite(Long { look, prepare: create, cost: 100 }),
};

const DNS_NAMES: usize = 10;

/// What is asked for.
struct Wanted {
    spec: KeySpec,
    subject: Subject,
    dns_names: Vec<String>,
    exportable: bool,
    region: &'static Region,
}

impl Wanted {
    fn read(context: &Context, args: &Args<'_>) -> Result<Self, Failure> {
        let invalid = |detail: String| Refusal::new(&c::INVALID_PARAMETER).because(detail);
        let spec = args.required("KeySpec").parse().map_err(|_| args.illegal("KeySpec", ""))?;
        let subject = Subject::parse(args.required("Subject"))
            .map_err(|error| invalid(format!("Subject: {error}.")))?;
        let dns_names = dns_names(args)?;
        check_dns_names(&dns_names).map_err(|error| invalid(format!("SubjectAlternativeNames: {error}.")))?;
        let exportable = args.flag("ExportablePrivateKey")?.unwrap_or(true);
        let region = args.region()?.unwrap_or(context.settings.default_region);
        Ok(Self { spec, subject, dns_names, exportable, region })
    }
}

/// The form of the parameters, then the quota.
fn look(context: &Context, call: &Call, args: &Args<'_>) -> Result<(), Failure> {
    Wanted::read(context, args)?;
    let account = &call.principal.account;
    let held = context.store.read(|snapshot| snapshot.tally_everywhere("certificate", account))?;
    if held >= context.settings.quotas.certificates_per_account {
        return Err((&c::CERTIFICATE_QUOTA).into());
    }
    Ok(())
}

fn create(context: &Context, call: &Call, args: &Args<'_>) -> Result<Change, Failure> {
    let Wanted { spec, subject, dns_names, exportable, region } = Wanted::read(context, args)?;
    let bug = |error: &dyn std::fmt::Display| Failure::Internal(format!("making a key: {error}"));
    let key = PrivateKey::generate(spec).map_err(|error| bug(&error))?;
    let csr = create_csr(&key, &subject, &dns_names).map_err(|error| bug(&error))?;
    let id = uuid::Uuid::new_v4().hyphenated().to_string();
    let document = key.to_pkcs8_der().map_err(|error| bug(&error))?;
    let sealed = context.vault.seal(&super::key_purpose(&id), &document).map_err(|error| bug(&error))?;
    let certificate = Certificate {
        id: CertificateId::new(id),
        account: call.principal.account.clone(),
        region: RegionId::new(region.id),
        key_spec: spec.as_str().to_owned(),
        status: CertificateStatus::Pending,
        exportable,
        subject: subject.to_string(),
        dns_names,
        csr,
        public_key: key.public_key().to_pem(),
        issued: None,
        created_ms: call.now_ms,
        updated_ms: call.now_ms,
    };
    let most = context.settings.quotas.certificates_per_account;
    Ok(Box::new(move |tx| {
        if tx.tally_everywhere("certificate", &certificate.account)? >= most {
            return Err((&c::CERTIFICATE_QUOTA).into());
        }
        tx.insert_certificate(&certificate, &sealed)?;
        let mut answer = Answer::new();
        answer.insert("CertificateId".into(), certificate.id.as_str().into());
        answer.insert("Arn".into(), super::arn(&certificate).into());
        answer.insert("Csr".into(), certificate.csr.as_str().into());
        Ok(answer)
    }))
}

fn dns_names(args: &Args<'_>) -> Result<Vec<String>, Refusal> {
    let Some(text) = args.text("SubjectAlternativeNames") else { return Ok(Vec::new()) };
    let names: Vec<String> =
        serde_json::from_str(text).map_err(|_| args.illegal("SubjectAlternativeNames", text))?;
    if names.len() > DNS_NAMES || names.iter().any(|name| name.is_empty() || name.contains('\n')) {
        return Err(args.illegal("SubjectAlternativeNames", text));
    }
    Ok(names)
}
