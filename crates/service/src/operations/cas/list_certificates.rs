//! ListCertificates: lists uploads, newest first.
//!
//! Source: `docs/api/cas/ListCertificates.json`. Filters combine with AND. Of an SM pair the certificate for signatures
//! stands for both.

use tongguan_store::{Page, Snapshot, UploadFilter, UploadRow};

use crate::api::cas::{CertificateInfo, ListCertificates, ListCertificatesOutput};
use crate::args::Paging;
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::identifier;
use super::shown::Shown;
use super::validity::{Validity, page_of_uploads};

impl Read for ListCertificates {
    type Output = ListCertificatesOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let now = call.now_ms.div_euclid(1000);
        let paging = Paging { number: self.current_page, size: self.show_size };
        let filter = UploadFilter {
            keyword: self.keyword.clone(),
            resource_group: self.resource_group_id.clone(),
            instance: self.instance_id.clone(),
            ..UploadFilter::default()
        };
        let page = if self.certificate_source.as_deref().is_some_and(|it| it != "UPLOAD") {
            Page::empty()
        } else {
            let validity = self.certificate_status.map(|status| status.validity());
            page_of_uploads(call, snapshot, filter, validity, paging)?
        };
        Ok(Self::Output {
            certificate_list: page.items.iter().map(|row| info(row, now)).collect::<Result<_, _>>()?,
            current_page: paging.number.cast_signed(),
            show_size: paging.size.cast_signed(),
            total_count: page.total.cast_signed(),
        })
    }
}

fn info(UploadRow { upload, certificate }: &UploadRow, now: i64) -> Result<CertificateInfo, Failure> {
    let shown = Shown::read(certificate)?;
    let leaf = &shown.leaf;
    Ok(CertificateInfo {
        algorithm: shown.algorithm().into(),
        cert_identifier: identifier(upload).into(),
        certificate_id: upload.number.to_string().into(),
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
    })
}
