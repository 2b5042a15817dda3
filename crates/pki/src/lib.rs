//! Certificates of the KMS certificate API: keys, signing requests, certificates and chains, for
//! SM2/SM3 (ShangMi) as well as RSA-2048 and EC P-256.
//!
//! The crate is pure. It does no I/O and knows no clock: time is an argument, in seconds since
//! 1970-01-01T00:00:00Z. Randomness is used for keys, serial numbers and signatures.
//!
//! Two libraries do the arithmetic: `sm2` and `sm3` for ShangMi, `aws-lc-rs` for everything else.
//! `x509-cert` reads and writes ASN.1 and knows nothing about algorithms, so one path serves all
//! three key kinds. What is signed is always the bytes that were received, never a re-encoding.
//!
//! # What is deliberately absent
//!
//! - Trust anchors. [`verify_chain`] verifies whether a chain is consistent, not whether its root is
//!   trusted: the caller of UploadCertificate brings the root along.
//! - Revocation and policies. A *critical* extension the crate does not process
//!   makes a chain fail; see [`PkiError::UnhandledCriticalExtension`].
//! - Reading encrypted private keys and PKCS #12; they are written.
//!
//! # The SM2 user id
//!
//! An SM2 signature covers a hash of the signer's identity. GM/T 0009-2012 fixes it to
//! [`DEFAULT_USER_ID`]. OpenSSL 3 however uses an *empty* identity unless told otherwise, and the
//! result looks like any other bad signature. [`verify_issued_by`] recognises that one mistake and
//! answers [`PkiError::EmptyUserId`], whose text says what to do.
//!
//! ```
//! use tongguan_pki::{Ca, KeySpec, PrivateKey, Subject, Usage, create_csr, verify_chain};
//! # fn main() -> Result<(), tongguan_pki::PkiError> {
//! let now = 1_767_225_600;
//! let root = Ca::new(KeySpec::EcSm2, &Subject::parse("CN=root,OU=kms,O=aliyun,C=CN")?, now, now + 86_400)?;
//! let key = PrivateKey::generate(KeySpec::EcSm2)?;
//! let csr = create_csr(&key, &Subject::parse("CN=gateway,OU=kms,O=aliyun,C=CN")?, &[])?;
//! let leaf = root.issue(&csr, Usage::Signature, now, now + 3_600)?;
//! verify_chain(&leaf, std::slice::from_ref(root.certificate()), now)?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod asn1;
mod ca;
mod certificate;
mod chain;
mod csr;
mod envelope;
mod error;
mod export;
mod key;
mod material;
mod name;
mod pem;
mod signature;
mod subject;

pub use ca::{Ca, Usage};
pub use certificate::{Certificate, MAX_CERTIFICATE_BYTES, MAX_CHAIN};
pub use chain::{matches, self_signature_uses_empty_id, verify_chain, verify_issued_by};
pub use csr::{Csr, MAX_DNS_NAMES, check_dns_names, create_csr, parse_csr};
pub use envelope::{RAW_SIGNATURE_BYTES, Random, SealedForm, Signed, SystemRandom, signature_to_der};
pub use error::PkiError;
pub use key::{PrivateKey, PublicKey};
pub use material::KeySpec;
pub use pem::MAX_PEM_BYTES;
pub use signature::DEFAULT_USER_ID;
pub use subject::{MAX_SUBJECT_BYTES, Subject};
pub use x509_cert::ext::pkix::KeyUsage;
