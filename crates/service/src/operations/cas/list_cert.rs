//! ListCert: lists single certificates, each of a pair by itself, newest first.
//!
//! Source: `docs/api/cas/ListCert.json`, which is of private CAs and their repositories: there are none, so that only
//! what was uploaded is listed. `AfterDate` is where validity begins and `BeforeDate` where it ends, as in the page's
//! sample.

use tongguan_store::{Page, Snapshot, UploadedRow};

use crate::api::cas::{ListCert, ListCertCertList as Entry, ListCertOutput};
use crate::args::{Args, Paging};
use crate::call::Call;
use crate::catalogue::Refusal;
use crate::operation::{Failure, Read};

use super::shown::Shown;

/// Identifiers that a call may name.
const IDENTIFIERS: usize = 100;

/// The ids of the certificates that are named; what is no identifier names none.
pub(crate) fn identifiers(args: &Args<'_>, name: &'static str) -> Result<Vec<String>, Refusal> {
    let Some(text) = args.text(name) else { return Ok(Vec::new()) };
    let given: Vec<&str> = text.split(',').map(str::trim).filter(|given| !given.is_empty()).collect();
    if given.len() > IDENTIFIERS {
        return Err(args.illegal(name, text).because(format!("At most {IDENTIFIERS} may be given.")));
    }
    let id = |given: &str| {
        let named = uuid::Uuid::try_parse(given).ok().filter(|id| id.simple().to_string() == given);
        named.map_or_else(|| given.to_owned(), |id| id.hyphenated().to_string())
    };
    Ok(given.into_iter().map(id).collect())
}

impl Read for ListCert {
    type Output = ListCertOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let paging = Paging { number: self.current_page, size: self.show_size };
        let none = self.warehouse_id.is_some()
            || self.cert_type.as_deref() == Some("CA")
            || self.source_type.as_deref() == Some("aliyun")
            || self.status.as_deref() == Some("REVOKE");
        let page = if none {
            Page::empty()
        } else {
            let (account, keyword) = (&call.principal.account, self.key_word.as_deref());
            snapshot.uploaded(account, &self.identifiers, keyword, paging.offset(), paging.size)?
        };
        Ok(Self::Output {
            cert_list: page.items.iter().map(entry).collect::<Result<_, _>>()?,
            current_page: paging.number.cast_signed(),
            show_size: paging.size.cast_signed(),
            total_count: page.total.cast_signed(),
        })
    }
}

fn entry(UploadedRow { id, certificate }: &UploadedRow) -> Result<Entry, Failure> {
    let shown = Shown::read(certificate)?;
    let leaf = &shown.leaf;
    Ok(Entry {
        after_date: shown.not_before_ms(),
        algorithm: shown.algorithm().into(),
        before_date: shown.not_after_ms(),
        cert_type: "CERT".into(),
        common_name: leaf.subject_part("CN").map(Into::into),
        exist_private_key: true,
        identifier: id.replace('-', "").into(),
        issuer: shown.issuer().into(),
        sans: shown.sans().into(),
        serial_no: leaf.serial_hex().into(),
        sign_algorithm: leaf.signature_algorithm().into(),
        source_type: "upload".into(),
        status: "ISSUE".into(),
    })
}
