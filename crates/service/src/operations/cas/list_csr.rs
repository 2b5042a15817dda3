//! ListCsr: lists requests, newest first. Source: `docs/api/cas/ListCsr.json`.
//!
//! What a request does not say is empty. `KeySha2` is the SHA-256 of the SubjectPublicKeyInfo (our choice: no page
//! says of what).

use tongguan_model::certificate::SigningRequest;
use tongguan_pki::{KeySpec, PkiError, PublicKey};
use tongguan_store::Snapshot;

use crate::api::cas::{ListCsr, ListCsrCsrList as Entry, ListCsrOutput};
use crate::args::Paging;
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::Algorithm;

impl Read for ListCsr {
    type Output = ListCsrOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let paging = Paging { number: self.current_page, size: self.show_size };
        let specs = self.algorithm.into_iter().flat_map(Algorithm::specs);
        let specs: Vec<String> = specs.map(|spec| spec.as_str().to_owned()).collect();
        let (account, keyword) = (&call.principal.account, self.key_word.as_deref());
        let page = snapshot.signing_requests(account, &specs, keyword, paging.offset(), paging.size)?;
        Ok(Self::Output {
            csr_list: page.items.into_iter().map(entry).collect::<Result<_, _>>()?,
            current_page: paging.number.cast_signed(),
            show_size: paging.size.cast_signed(),
            total_count: page.total.cast_signed(),
        })
    }
}

fn entry(request: SigningRequest) -> Result<Entry, Failure> {
    let broken = |error: PkiError| Failure::Internal(format!("stored request: {error}"));
    let spec: KeySpec = request.key_spec.parse().map_err(broken)?;
    let key = PublicKey::from_pem(&request.public_key).map_err(broken)?;
    Ok(Entry {
        algorithm: Algorithm::of(spec).as_str().into(),
        common_name: request.common_name.into(),
        corp_name: request.corp_name.into(),
        country_code: request.country_code.into(),
        csr_id: request.number.cast_signed(),
        department: request.department.into(),
        has_private_key: request.has_key,
        key_sha2: key.fingerprint_sha256().into(),
        key_size: spec.bits().into(),
        locality: request.locality.into(),
        name: request.name.into(),
        province: request.province.into(),
        sans: request.dns_names.join(",").into(),
    })
}
