//! GetUserCertificateDetail: shows an upload; unless it is filtered, with certificates and private keys as they were
//! uploaded.
//!
//! Source: `docs/api/cas/GetUserCertificateDetail.json`. Of an SM pair the certificate for signatures stands for both
//! in the members that describe one.

use tongguan_model::certificate::Certificate;
use tongguan_model::certificate::Role;
use tongguan_store::{SealedKind, Snapshot};

use crate::api::cas::{
    GetUserCertificateDetail, GetUserCertificateDetailCertChain as Link, GetUserCertificateDetailOutput,
};
use crate::call::Call;
use crate::operation::{Disclosed, Failure, Read};

use super::shown::{Shown, day};
use super::validity::{Validity, remaining_days};
use super::{existing, identifier, tags};

impl Read for GetUserCertificateDetail {
    type Output = GetUserCertificateDetailOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let (account, now) = (&call.principal.account, call.now_ms.div_euclid(1000));
        let upload = existing(snapshot.upload(account, self.cert_id)?)?;
        let certificates = snapshot.certificates_of_upload(account, upload.number)?;
        let main = standing(&certificates)?;
        let issued =
            main.issued.as_ref().ok_or_else(|| Failure::Internal("an upload without certificate".into()))?;
        let shown = Shown::read(&issued.certificate)?;
        let leaf = &shown.leaf;
        let mut output = Self::Output {
            algorithm: shown.algorithm().into(),
            buy_in_aliyun: false,
            cert_chain: chain(&issued.certificate, &issued.chain, now)?,
            cert_identifier: identifier(&upload).into(),
            cert_sha2: shown.sha2().into(),
            city: leaf.subject_part("L").map(Into::into),
            common: leaf.subject_part("CN").map(Into::into),
            country: leaf.subject_part("C").map(Into::into),
            end_date: day(leaf.not_after()).into(),
            expired: Validity::of(leaf.not_after(), now) == Validity::Over,
            fingerprint: shown.fingerprint().into(),
            id: upload.number.cast_signed(),
            instance_id: upload.instance.clone().into(),
            issuer: shown.issuer().into(),
            name: upload.name.clone().into(),
            not_after: shown.not_after_ms(),
            not_before: shown.not_before_ms(),
            org_name: leaf.subject_part("O").map(Into::into),
            province: leaf.subject_part("ST").map(Into::into),
            resource_group_id: upload.resource_group.clone().into(),
            sans: shown.sans().into(),
            serial_no: leaf.serial_hex().into(),
            sha2: shown.sha2().into(),
            start_date: day(leaf.not_before()).into(),
            tags: tags(snapshot, &upload)?,
            ..Self::Output::default()
        };
        if !self.cert_filter {
            for certificate in &certificates {
                disclose(call, snapshot, certificate, &mut output)?;
            }
        }
        Ok(output)
    }
}

/// Adds a certificate and its key, as they were uploaded.
fn disclose(
    call: &Call,
    snapshot: &Snapshot<'_>,
    certificate: &Certificate,
    output: &mut GetUserCertificateDetailOutput,
) -> Result<(), Failure> {
    let id = certificate.id.as_str();
    let key = snapshot.certificate_key(&certificate.account, id)?;
    let key = key.ok_or_else(|| Failure::Internal(format!("no key of certificate {id}")))?;
    let key: Option<Disclosed> = Some(super::opened(call, SealedKind::Certificate, id, &key.sealed)?);
    let uploaded = certificate.uploaded.as_ref();
    let text = uploaded.map(|uploaded| uploaded.text.clone().into());
    match uploaded.and_then(|uploaded| uploaded.half) {
        None => (output.cert, output.key) = (text, key),
        Some(Role::Encryption) => (output.encrypt_cert, output.encrypt_private_key) = (text, key),
        Some(Role::Signature) => (output.sign_cert, output.sign_private_key) = (text, key),
    }
    Ok(())
}

/// The certificate that stands for an upload: the only one, or that for signatures.
pub(super) fn standing(certificates: &[Certificate]) -> Result<&Certificate, Failure> {
    let half = |certificate: &&Certificate| certificate.uploaded.as_ref().and_then(|uploaded| uploaded.half);
    let found = certificates.iter().find(|certificate| half(certificate) != Some(Role::Encryption));
    found.ok_or_else(|| Failure::Internal("an upload without certificate".into()))
}

/// The certificate and its issuers, as far as they were uploaded.
fn chain(certificate: &str, issuers: &str, now: i64) -> Result<Vec<Link>, Failure> {
    let text = [certificate, issuers].concat();
    let chain = tongguan_pki::Certificate::chain_from_pem(&text);
    let chain = chain.map_err(|error| Failure::Internal(format!("stored certificate: {error}")))?;
    let link = |one: tongguan_pki::Certificate| Link {
        common_name: one.subject_part("CN").unwrap_or_default().into(),
        issuer_common_name: one.issuer_part("CN").unwrap_or_default().into(),
        not_after: one.not_after().saturating_mul(1000),
        not_before: one.not_before().saturating_mul(1000),
        remain_day: remaining_days(one.not_after(), now),
    };
    Ok(chain.into_iter().map(link).collect())
}
