//! Product Cas, version 2020-04-07: certificates that are uploaded with their keys, SM pairs among them, and requests
//! for certificates.
//!
//! Nothing is published of how it refuses; where clients wait for a code (`NotFound`), it is answered, and the others
//! are ours. Private keys are shown as they were uploaded, or in PEM, to whoever may call the operations that show
//! them.

pub mod create_csr;
pub mod delete_csr;
pub mod delete_user_certificate;
pub mod get_certificate_detail;
pub mod get_csr_detail;
pub mod get_user_certificate_detail;
pub mod list_cert;
pub mod list_certificates;
pub mod list_csr;
pub mod list_user_certificate_order;
mod material;
mod shown;
pub mod update_csr;
pub mod upload_csr;
pub mod upload_user_certificate;
pub mod validity;

use tongguan_model::certificate::{SigningRequest, Upload};
use tongguan_model::wire_enum;
use tongguan_pki::KeySpec;
use tongguan_store::{SealedKind, Snapshot};
use zeroize::Zeroizing;

use crate::api::cas::CertificateTagInfo;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::master;
use crate::operation::{Disclosed, Failure};
use crate::random::for_id;

/// Where everything of Cas lies on the vendor's China site; the certificates can be bound in every region.
const REGION: &str = "cn-hangzhou";
/// Kind of the tags on an upload, in the store.
const TAGGED: &str = "CERTIFICATE";
/// Smallest id of an upload or a request.
const FIRST_NUMBER: u64 = 10_000_000;

wire_enum! {
    /// Algorithm of a key, as Cas names it.
    pub enum Algorithm {
        /// RSA.
        Rsa = "RSA",
        /// P-256.
        Ecc = "ECC",
        /// SM2.
        Sm2 = "SM2",
    }
}

impl Algorithm {
    /// That of a kind of key.
    #[must_use]
    pub fn of(spec: KeySpec) -> Self {
        match spec {
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => Self::Rsa,
            KeySpec::EcP256 => Self::Ecc,
            KeySpec::EcSm2 => Self::Sm2,
        }
    }

    /// Its kinds of key.
    fn specs(self) -> impl Iterator<Item = KeySpec> {
        KeySpec::ALL.into_iter().filter(move |spec| Self::of(*spec) == self)
    }
}

/// The upload, or the refusal that there is none.
fn existing(upload: Option<Upload>) -> Result<Upload, Failure> {
    upload.ok_or_else(|| (&c::CAS_NOT_FOUND).into())
}

/// The request, or the refusal that there is none.
fn existing_request(request: Option<SigningRequest>) -> Result<SigningRequest, Failure> {
    request.ok_or_else(|| (&c::CAS_NOT_FOUND).into())
}

/// The refusal of a parameter's value, which is not repeated.
fn invalid(parameter: &'static str, why: impl std::fmt::Display) -> Failure {
    Refusal::new(&c::CAS_ILLEGAL).parameter(parameter).because(format!("{why}.")).into()
}

/// A number for something new: nobody can tell from it how many there are.
fn new_number() -> u64 {
    FIRST_NUMBER + u64::from(u32::from_le_bytes(for_id()))
}

/// `CertIdentifier` of an upload.
fn identifier(upload: &Upload) -> String {
    format!("{}-{REGION}", upload.number)
}

/// The tags on an upload.
fn tags(snapshot: &Snapshot<'_>, upload: &Upload) -> Result<Vec<CertificateTagInfo>, Failure> {
    let tags = snapshot.tags_of(&upload.instance)?.into_iter();
    Ok(tags.map(|tag| CertificateTagInfo { tag_key: tag.key.into(), tag_value: tag.value.into() }).collect())
}

/// The sealed private key of this id, a text in PEM.
fn opened(call: &Call, kind: SealedKind, id: &str, sealed: &[u8]) -> Result<Disclosed, Failure> {
    let broken =
        |error: &dyn std::fmt::Display| Failure::Internal(format!("{}: {error}", master::named(kind, id)));
    let text = call.context.vault.open(&master::purpose(kind, id), sealed).map_err(|error| broken(&error))?;
    let text = std::str::from_utf8(&text).map_err(|error| broken(&error))?;
    Ok(Zeroizing::new(text.to_owned()).into())
}

pub(crate) use material::{domain, has_letters_of_pem};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_key_is_of_one_algorithm() {
        let all: Vec<_> = Algorithm::ALL.iter().flat_map(|algorithm| algorithm.specs()).collect();
        assert_eq!(all, KeySpec::ALL);
    }

    #[test]
    fn numbers_are_such_as_answers_write() {
        for _ in 0..100 {
            let number = new_number();
            assert!(number >= FIRST_NUMBER && i64::try_from(number).is_ok());
        }
    }
}
