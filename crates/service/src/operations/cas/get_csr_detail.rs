//! GetCsrDetail: shows a request and, if it is known, its private key. Source: `docs/api/cas/GetCsrDetail.json`.

use tongguan_store::{SealedKind, Snapshot};

use crate::api::cas::{GetCsrDetail, GetCsrDetailOutput};
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::{existing_request, opened};

impl Read for GetCsrDetail {
    type Output = GetCsrDetailOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let request = existing_request(snapshot.signing_request(&call.principal.account, self.csr_id)?)?;
        let sealed = snapshot.signing_request_key(&request)?;
        let private_key = sealed
            .map(|sealed| opened(call, SealedKind::SigningRequest, &request.id, &sealed))
            .transpose()?;
        Ok(Self::Output { csr: request.csr.into(), private_key })
    }
}
