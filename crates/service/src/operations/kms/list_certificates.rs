//! ListCertificates: lists the certificates of a region, newest first.
//!
//! Source: `docs/api/kms/ListCertificates.json`. Filters combine with AND and compare whole names. Certificates of Cas
//! are not among them.

use tongguan_model::certificate::{Certificate, CertificateStatus};
use tongguan_store::{CertificateFilter, Snapshot};

use crate::api::kms::{
    ListCertificates, ListCertificatesCertificateSummaryListCertificateSummary as Summary,
    ListCertificatesOutput,
};
use crate::args::{Args, Paging};
use crate::call::Call;
use crate::catalogue::Refusal;
use crate::context::iso8601_seconds;
use crate::operation::{Failure, Read};

/// The state that is looked for, in the spellings of every edition.
pub(crate) fn status(args: &Args<'_>, name: &'static str) -> Result<Option<CertificateStatus>, Refusal> {
    args.word(name, CertificateStatus::parse_request)
}

impl Read for ListCertificates {
    type Output = ListCertificatesOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let paging = Paging { number: self.page_number, size: self.page_size };
        let region = call.region_or_default(self.region).id;
        let filter = CertificateFilter {
            subject: self.subject.clone(),
            issuer: self.issuer.clone(),
            status: self.status,
        };
        let account = &call.principal.account;
        let page = snapshot.certificates(account, region, &filter, paging.offset(), paging.size)?;
        Ok(Self::Output {
            certificate_summary_list: page.items.into_iter().map(summary).collect(),
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_size: page.total.cast_signed(),
        })
    }
}

fn summary(certificate: Certificate) -> Summary {
    let mut summary = Summary {
        certificate_id: certificate.id.into(),
        status: certificate.status.as_str().into(),
        key_spec: certificate.key_spec.into(),
        subject: certificate.subject.into(),
        ..Summary::default()
    };
    if let Some(issued) = certificate.issued {
        summary.subject = issued.subject.into();
        summary.issuer = Some(issued.issuer.into());
        summary.not_before = Some(iso8601_seconds(issued.not_before).into());
        summary.not_after = Some(iso8601_seconds(issued.not_after).into());
    }
    summary
}
