//! CreateCsr: makes a key pair and a request for a certificate.
//!
//! Source: `docs/api/cas/CreateCsr.json`. The private key is made here and sealed; GetCsrDetail shows it. There is no
//! ClientToken: a repeat makes another request.

use tongguan_model::certificate::SigningRequest;
use tongguan_pki::{KeySpec, PrivateKey, Subject, check_dns_names, create_csr};
use tongguan_store::{SealedKind, Tx};

use crate::api::cas::{CreateCsr, CreateCsrOutput};
use crate::args::{Args, digits};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::new_uuid;
use crate::master;
use crate::operation::{Failure, LongWork};

use super::{Algorithm, invalid, new_number};

/// The kind of key, of the size that is given.
pub(crate) fn key_spec(
    args: &Args<'_>,
    name: &'static str,
    algorithm: &Algorithm,
) -> Result<KeySpec, Refusal> {
    let text = args.required(name);
    let bits = digits(text).ok_or_else(|| args.illegal(name, text))?;
    let spec = algorithm.specs().find(|spec| u64::from(spec.bits()) == bits);
    spec.ok_or_else(|| args.illegal(name, text).because(format!("It is no size of {algorithm} keys.")))
}

/// The further names.
pub(crate) fn sans(args: &Args<'_>, name: &'static str) -> Result<Vec<String>, Refusal> {
    let Some(text) = args.text(name) else { return Ok(Vec::new()) };
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    check_dns_names(&names).map_err(|error| args.illegal(name, text).because(format!("{error}.")))?;
    Ok(names)
}

/// Refuses one more request than the account may have.
pub(super) fn within_quota(call: &Call, held: u64) -> Result<(), Failure> {
    if held >= call.context.settings.quotas.csrs_per_account {
        return Err((&c::CAS_CSR_QUOTA).into());
    }
    Ok(())
}

/// The same, asked of the store.
pub(super) fn look_at_quota(call: &Call) -> Result<(), Failure> {
    let account = &call.principal.account;
    within_quota(call, call.context.store.read(|snapshot| snapshot.tally("cas_csr", account, ""))?)
}

/// Stores a request under a number of its own, which is answered.
pub(super) fn store(
    (request, sealed): (&SigningRequest, Option<&[u8]>),
    call: &Call,
    tx: &Tx<'_>,
) -> Result<i64, Failure> {
    within_quota(call, tx.tally("cas_csr", &request.account, "")?)?;
    let mut request = SigningRequest { number: new_number(), ..request.clone() };
    while tx.signing_request_taken(request.number)? {
        request.number = new_number();
    }
    tx.insert_signing_request(&request, sealed)?;
    Ok(request.number.cast_signed())
}

impl LongWork for CreateCsr {
    /// The request and its private key, sealed.
    type Prepared = (SigningRequest, Vec<u8>);
    type Output = CreateCsrOutput;

    fn look(&self, call: &Call) -> Result<(), Failure> {
        self.subject()?;
        look_at_quota(call)
    }

    fn prepare(&self, call: &Call) -> Result<Self::Prepared, Failure> {
        let bug = |error: &dyn std::fmt::Display| Failure::Internal(format!("making a key: {error}"));
        let key = PrivateKey::generate(self.key_size).map_err(|error| bug(&error))?;
        let csr = create_csr(&key, &self.subject()?, &self.sans).map_err(|error| bug(&error))?;
        let id = new_uuid();
        let text = key.to_pkcs8_pem().map_err(|error| bug(&error))?;
        let sealed =
            call.context.vault.seal(&master::purpose(SealedKind::SigningRequest, &id), text.as_bytes());
        let request = SigningRequest {
            id,
            // It is found in the transaction.
            number: 0,
            account: call.principal.account.clone(),
            name: self.name.clone().unwrap_or_default(),
            key_spec: self.key_size.as_str().to_owned(),
            common_name: self.common_name.clone(),
            corp_name: self.corp_name.clone().unwrap_or_default(),
            department: self.department.clone().unwrap_or_default(),
            locality: self.locality.clone(),
            province: self.province.clone(),
            country_code: self.country_code.clone(),
            dns_names: self.sans.clone(),
            csr,
            public_key: key.public_key().to_pem(),
            has_key: true,
            created_ms: call.now_ms,
        };
        Ok((request, sealed.map_err(|error| bug(&error))?))
    }

    fn change(
        &self,
        (request, sealed): &Self::Prepared,
        call: &Call,
        tx: &Tx<'_>,
    ) -> Result<Self::Output, Failure> {
        let csr_id = store((request, Some(sealed)), call, tx)?;
        Ok(Self::Output { csr: request.csr.clone().into(), csr_id })
    }
}

impl CreateCsr {
    /// The subject; what is wrong with a part of it is said of its parameter.
    fn subject(&self) -> Result<Subject, Failure> {
        let parts = [
            ("CommonName", "CN", Some(self.common_name.as_str())),
            ("Department", "OU", self.department.as_deref()),
            ("CorpName", "O", self.corp_name.as_deref()),
            ("Locality", "L", Some(self.locality.as_str())),
            ("Province", "ST", Some(self.province.as_str())),
            ("CountryCode", "C", Some(self.country_code.as_str())),
        ];
        let mut given = Vec::with_capacity(parts.len());
        for (parameter, kind, value) in parts {
            let Some(value) = value else { continue };
            Subject::of(&[(kind, value)]).map_err(|error| invalid(parameter, error))?;
            given.push((kind, value));
        }
        Subject::of(&given).map_err(|error| invalid("CommonName", error))
    }
}
