//! ListUserCertificateOrder: lists uploads (`OrderType` `UPLOAD` or `CERT`), newest first; there are no orders.
//!
//! Source: `docs/api/cas/ListUserCertificateOrder.json`. Without `Status` only certificates are listed that are valid,
//! be they about to expire. Of an SM pair the certificate for signatures stands for both.

use tongguan_store::{Page, Snapshot, UploadFilter, UploadRow};

use crate::api::cas::{
    ListUserCertificateOrder, ListUserCertificateOrderCertificateOrderList as Entry,
    ListUserCertificateOrderOutput,
};
use crate::args::Paging;
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::shown::{Shown, day};
use super::validity::{Validity, page_of_uploads};

impl Read for ListUserCertificateOrder {
    type Output = ListUserCertificateOrderOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let now = call.now_ms.div_euclid(1000);
        let paging = Paging { number: self.current_page, size: self.show_size };
        let filter = UploadFilter {
            keyword: self.keyword.clone(),
            resource_group: self.resource_group_id.clone(),
            ends_from: Some(now),
            ..UploadFilter::default()
        };
        let page = if matches!(self.order_type.as_str(), "CPACK" | "BUY") {
            Page::empty()
        } else {
            let validity = self.status.map(|status| status.validity());
            page_of_uploads(call, snapshot, filter, validity, paging)?
        };
        Ok(Self::Output {
            certificate_order_list: page.items.iter().map(|row| entry(row, now)).collect::<Result<_, _>>()?,
            current_page: paging.number.cast_signed(),
            show_size: paging.size.cast_signed(),
            total_count: page.total.cast_signed(),
        })
    }
}

fn entry(UploadRow { upload, certificate }: &UploadRow, now: i64) -> Result<Entry, Failure> {
    let shown = Shown::read(certificate)?;
    let leaf = &shown.leaf;
    let validity = Validity::of(leaf.not_after(), now);
    Ok(Entry {
        algorithm: shown.algorithm().into(),
        certificate_id: upload.number.cast_signed(),
        city: leaf.subject_part("L").map(Into::into),
        common_name: leaf.subject_part("CN").map(Into::into),
        country: leaf.subject_part("C").map(Into::into),
        end_date: day(leaf.not_after()).into(),
        expired: validity == Validity::Over,
        fingerprint: shown.fingerprint().into(),
        instance_id: upload.instance.clone().into(),
        issuer: shown.issuer().into(),
        name: upload.name.clone().into(),
        org_name: leaf.subject_part("O").map(Into::into),
        province: leaf.subject_part("ST").map(Into::into),
        resource_group_id: upload.resource_group.clone().into(),
        sans: shown.sans().into(),
        serial_no: leaf.serial_hex().into(),
        sha2: shown.sha2().into(),
        start_date: day(leaf.not_before()).into(),
        status: validity.order_status().as_str().into(),
        upload: true,
    })
}
