//! UpdateCsr: gives a request that was uploaded without it its private key.
//!
//! Source: `docs/api/cas/UpdateCsr.json`. The key must be the request's, so that a request whose key is known can only
//! get the same one again.

use tongguan_model::certificate::SigningRequest;
use tongguan_pki::PrivateKey;
use tongguan_rpc::Secret;
use tongguan_store::{SealedKind, Tx};

use crate::api::cas::{UpdateCsr, UpdateCsrOutput};
use crate::call::Call;
use crate::master;
use crate::operation::{Failure, LongWork};

use super::{existing_request, has_letters_of_pem, invalid};

impl LongWork for UpdateCsr {
    /// The request and its private key, sealed.
    type Prepared = (SigningRequest, Vec<u8>);
    type Output = UpdateCsrOutput;

    fn look(&self, call: &Call) -> Result<(), Failure> {
        self.request(call).map(|_| ())
    }

    fn prepare(&self, call: &Call) -> Result<Self::Prepared, Failure> {
        let request = self.request(call)?;
        let sealed = sealed_key(call, &request, &self.key)?;
        Ok((request, sealed))
    }

    fn change(
        &self,
        (request, sealed): &Self::Prepared,
        call: &Call,
        tx: &Tx<'_>,
    ) -> Result<Self::Output, Failure> {
        existing_request(tx.signing_request(&call.principal.account, request.number)?)?;
        tx.set_signing_request_key(request, sealed)?;
        Ok(Self::Output {})
    }
}

impl UpdateCsr {
    fn request(&self, call: &Call) -> Result<SigningRequest, Failure> {
        let account = &call.principal.account;
        existing_request(call.context.store.read(|snapshot| snapshot.signing_request(account, self.csr_id))?)
    }
}

/// The private key of a request, as it was sent, sealed.
///
/// # Errors
/// A refusal if it is none, or that of another request.
pub(super) fn sealed_key(call: &Call, request: &SigningRequest, key: &Secret) -> Result<Vec<u8>, Failure> {
    let text = key.expose();
    if !has_letters_of_pem(text) {
        return Err(invalid("Key", "it has characters that are none of a text"));
    }
    let private = PrivateKey::from_pem(text).map_err(|error| invalid("Key", error))?;
    if private.public_key().to_pem() != request.public_key {
        return Err(invalid("Key", "it is not the private key of the request"));
    }
    let sealed =
        call.context.vault.seal(&master::purpose(SealedKind::SigningRequest, &request.id), text.as_bytes());
    sealed.map_err(|error| Failure::Internal(format!("sealing a key: {error}")))
}
