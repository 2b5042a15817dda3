//! DeleteCsr: deletes a request with its private key; final. Source: `docs/api/cas/DeleteCsr.json`.

use tongguan_store::Tx;

use crate::api::cas::{DeleteCsr, DeleteCsrOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::existing_request;

impl Write for DeleteCsr {
    type Output = DeleteCsrOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let request = existing_request(tx.signing_request(&call.principal.account, self.csr_id)?)?;
        tx.delete_signing_request(&request)?;
        Ok(Self::Output {})
    }
}
