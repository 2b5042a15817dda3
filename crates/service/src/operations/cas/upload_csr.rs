//! UploadCsr: stores a request for a certificate that was made elsewhere, with its private key or without.
//!
//! Source: `docs/api/cas/UploadCsr.json`. The request's own signature must verify (SM2 with the default user id), and
//! the key must be the request's. Texts are kept as they were sent.

use tongguan_model::certificate::SigningRequest;
use tongguan_pki::parse_csr;
use tongguan_store::Tx;

use crate::api::cas::{UploadCsr, UploadCsrOutput};
use crate::call::Call;
use crate::context::new_uuid;
use crate::operation::{Failure, LongWork};

use super::create_csr::{look_at_quota, store};
use super::has_letters_of_pem;
use super::invalid;
use super::update_csr::sealed_key;

impl LongWork for UploadCsr {
    /// The request and its private key, sealed, if it came with it.
    type Prepared = (SigningRequest, Option<Vec<u8>>);
    type Output = UploadCsrOutput;

    fn look(&self, call: &Call) -> Result<(), Failure> {
        look_at_quota(call)
    }

    fn prepare(&self, call: &Call) -> Result<Self::Prepared, Failure> {
        if !has_letters_of_pem(&self.csr) {
            return Err(invalid("Csr", "it has characters that are none of a text"));
        }
        let csr = parse_csr(&self.csr).map_err(|error| invalid("Csr", error))?;
        let part = |kind| csr.subject_part(kind).unwrap_or_default();
        let request = SigningRequest {
            id: new_uuid(),
            // It is found in the transaction.
            number: 0,
            account: call.principal.account.clone(),
            name: self.name.clone().unwrap_or_default(),
            key_spec: csr.public_key().spec().as_str().to_owned(),
            common_name: part("CN"),
            corp_name: part("O"),
            department: part("OU"),
            locality: part("L"),
            province: part("ST"),
            country_code: part("C"),
            dns_names: csr.dns_names().to_vec(),
            csr: self.csr.clone(),
            public_key: csr.public_key().to_pem(),
            has_key: self.key.is_some(),
            created_ms: call.now_ms,
        };
        let sealed = self.key.as_ref().map(|key| sealed_key(call, &request, key)).transpose()?;
        Ok((request, sealed))
    }

    fn change(
        &self,
        (request, sealed): &Self::Prepared,
        call: &Call,
        tx: &Tx<'_>,
    ) -> Result<Self::Output, Failure> {
        Ok(Self::Output { csr_id: store((request, sealed.as_deref()), call, tx)? })
    }
}
