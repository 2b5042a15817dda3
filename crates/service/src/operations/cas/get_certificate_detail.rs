//! GetCertificateDetail: describes an upload, without certificates and keys in PEM.
//!
//! Source: `docs/api/cas/GetCertificateDetail.json`. Of an SM pair the certificate for signatures stands for both.

use tongguan_store::Snapshot;

use crate::api::cas::{
    GetCertificateDetail, GetCertificateDetailCertificateChainList as Link, GetCertificateDetailOutput,
};
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::get_user_certificate_detail::standing;
use super::shown::Shown;
use super::validity::{Validity, remaining_days};
use super::{existing, identifier, tags};

impl Read for GetCertificateDetail {
    type Output = GetCertificateDetailOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let (account, now) = (&call.principal.account, call.now_ms.div_euclid(1000));
        let upload = existing(snapshot.upload(account, self.certificate_id)?)?;
        let certificates = snapshot.certificates_of_upload(account, upload.number)?;
        let main = standing(&certificates)?;
        let issued =
            main.issued.as_ref().ok_or_else(|| Failure::Internal("an upload without certificate".into()))?;
        let shown = Shown::read(&issued.certificate)?;
        let text = [issued.certificate.as_str(), &issued.chain].concat();
        let chain = tongguan_pki::Certificate::chain_from_pem(&text);
        let chain = chain.map_err(|error| Failure::Internal(format!("stored certificate: {error}")))?;
        let link = |one: tongguan_pki::Certificate| Link {
            issuer: one.issuer().into(),
            not_after: one.not_after().saturating_mul(1000),
            not_before: one.not_before().saturating_mul(1000),
            remain_day: remaining_days(one.not_after(), now),
            subject: one.subject().into(),
        };
        let leaf = &shown.leaf;
        Ok(Self::Output {
            algorithm: shown.algorithm().into(),
            cert_identifier: identifier(&upload).into(),
            certificate_chain_list: chain.into_iter().map(link).collect(),
            certificate_id: upload.number.cast_signed(),
            certificate_name: upload.name.clone().into(),
            certificate_source: "UPLOAD".into(),
            certificate_status: Validity::of(leaf.not_after(), now).status().as_str().into(),
            common_name: leaf.subject_part("CN").map(Into::into),
            domain: super::domain(leaf).into(),
            exist_private_key: true,
            finger_print: shown.fingerprint().into(),
            instance_id: upload.instance.clone().into(),
            issuer: shown.issuer().into(),
            key_size: shown.spec.bits().into(),
            not_after: shown.not_after_ms(),
            not_before: shown.not_before_ms(),
            serial: leaf.serial_hex().into(),
            subject_alternative_names: leaf.dns_names().into_iter().map(Into::into).collect(),
            tags: tags(snapshot, &upload)?,
        })
    }
}
