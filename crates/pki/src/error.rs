//! One error type for the whole crate.
//!
//! The texts are written for the caller of the API, who sees them next to `InvalidParameter` and has
//! to repair a certificate somewhere else. They name what was found and what was expected, and never
//! contain key material or the input itself. Callers who branch match on variants; those who want
//! the fault behind a failed chain call [`PkiError::reason`].

use x509_cert::der::DateTime;

/// What is wrong with a key, request, certificate, chain or subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// A PEM text is damaged, too long, or holds something else than expected.
    #[error("invalid PEM: {0}")]
    Pem(String),
    /// The bytes are not the DER encoding of what they should be.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// The thing being read, such as "certificate".
        what: &'static str,
        /// What the reader stumbled over.
        reason: String,
    },
    /// No name of a key spec.
    #[error("unknown key spec {0:?}: expected RSA_2048, RSA_3072, RSA_4096, EC_P256 or EC_SM2")]
    UnknownKeySpec(String),
    /// A public key or signature algorithm (or curve) the crate does not implement.
    #[error("unsupported {what}: OID {oid}")]
    UnsupportedAlgorithm {
        /// "public key algorithm", "elliptic curve" or "signature algorithm".
        what: &'static str,
        /// Dotted object identifier.
        oid: String,
    },
    /// The algorithm is known, but not with this size or form of key.
    #[error("unsupported key: {0}")]
    UnsupportedKey(String),
    /// A private key that is damaged or inconsistent.
    #[error("invalid private key: {0}")]
    InvalidPrivateKey(&'static str),
    /// A distinguished name that CreateCertificate does not accept.
    #[error("invalid subject: {0}")]
    Subject(String),
    /// A subject alternative name that is not a DNS name, or too many of them.
    #[error("invalid DNS name: {0}")]
    DnsName(String),
    /// The signature does not verify.
    #[error("the signature does not verify with the issuer's public key")]
    BadSignature,
    /// An SM2 signature that verifies neither with the user id of GM/T 0009 nor with the empty one.
    #[error(
        "the signature does not verify with the issuer's public key; if the issuer signed with a user id other than \
         1234567812345678 (GM/T 0009), let it sign again with that one (OpenSSL: -sigopt distid:1234567812345678)"
    )]
    BadSm2Signature,
    /// An SM2 signature made with an empty user id (GM/T 0009-2012 demands 1234567812345678).
    #[error(
        "the SM2 signature was made with an empty user id instead of 1234567812345678 (GM/T 0009); \
         with OpenSSL sign again and add -sigopt distid:1234567812345678 \
         (for `openssl x509 -req` and `openssl ca` also -vfyopt distid:1234567812345678)"
    )]
    EmptyUserId,
    /// The signature algorithm cannot belong to the issuer's key.
    #[error("signature algorithm {algorithm} does not fit the issuer's key ({key})")]
    AlgorithmMismatch {
        /// Name or OID of the signature algorithm.
        algorithm: String,
        /// Kind of the issuer's key.
        key: String,
    },
    /// The next certificate of the chain is not the issuer, nor is any other one given.
    #[error("its issuer {issuer:?} is missing: the next certificate is {found:?}")]
    MissingIssuer {
        /// Issuer wanted, RFC 4514.
        issuer: String,
        /// Subject of the certificate in its place, RFC 4514.
        found: String,
    },
    /// The issuer is among the given certificates, but at the wrong place.
    #[error(
        "wrong order: its issuer {issuer:?} must come next (sub-CA first, root last), but {found:?} does"
    )]
    WrongOrder {
        /// Issuer wanted, RFC 4514.
        issuer: String,
        /// Subject of the certificate in its place, RFC 4514.
        found: String,
    },
    /// An issuer without `basicConstraints CA:TRUE`.
    #[error("it issued a certificate but is not a CA (basicConstraints CA:TRUE is missing)")]
    NotCa,
    /// An issuer whose key usage lacks keyCertSign.
    #[error("it issued a certificate but its key usage lacks keyCertSign")]
    NoCertSign,
    /// More CAs below an issuer than its path length constraint allows.
    #[error("its path length constraint allows {allowed} CA certificate(s) below it, found {found}")]
    PathLength {
        /// pathLenConstraint.
        allowed: u8,
        /// CAs between this issuer and the leaf, self-issued ones not counted (RFC 5280, 6.1.4).
        found: usize,
    },
    /// The certificate is not valid yet at the time given.
    #[error("not valid before {}", utc(*.not_before))]
    NotYetValid {
        /// Unix seconds.
        not_before: i64,
    },
    /// The certificate is not valid any more at the time given.
    #[error("expired: not valid after {}", utc(*.not_after))]
    Expired {
        /// Unix seconds.
        not_after: i64,
    },
    /// A critical extension the crate does not process (RFC 5280, 4.2: must reject).
    #[error("critical extension {oid} is not supported")]
    UnhandledCriticalExtension {
        /// Dotted object identifier.
        oid: String,
    },
    /// A name outside of what a CA above it may certify (RFC 5280, 4.2.1.10).
    #[error("its name {name} is outside of what the name constraints of {issuer:?} allow")]
    NameConstraint {
        /// The name, with its form.
        name: String,
        /// Subject of the CA that has the constraints, RFC 4514.
        issuer: String,
    },
    /// More certificates than a chain may have.
    #[error("the chain has {found} certificates, at most {limit} are allowed")]
    ChainTooLong {
        /// Certificates given.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// One certificate of a chain failed.
    #[error("certificate {index} of the chain ({subject}): {reason}")]
    Chain {
        /// 0 is the leaf, n the n-th certificate of the chain as given.
        index: usize,
        /// Subject of that certificate, RFC 4514.
        subject: String,
        /// What is wrong with it.
        #[source]
        reason: Box<PkiError>,
    },
    /// A ciphertext that this key does not open, or that is none.
    #[error("it is not encrypted under this key, or damaged")]
    NotSealedForUs,
    /// A validity that ends before it begins or lies outside 1970 to 9999.
    #[error("invalid validity: {0}")]
    Validity(&'static str),
    /// The cryptographic library failed; not the caller's fault.
    #[error("cryptographic operation failed: {0}")]
    Crypto(&'static str),
}

impl PkiError {
    /// The fault itself, without the position in the chain.
    pub fn reason(&self) -> &PkiError {
        match self {
            Self::Chain { reason, .. } => reason.reason(),
            other => other,
        }
    }

    /// Is this, at any place of a chain, the empty SM2 user id?
    pub fn is_empty_user_id(&self) -> bool {
        matches!(self.reason(), Self::EmptyUserId)
    }

    pub(crate) fn malformed(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { what, reason: reason.to_string() }
    }
}

/// `seconds` as ISO 8601, or the number itself outside 1970 to 9999.
fn utc(seconds: i64) -> String {
    u64::try_from(seconds)
        .ok()
        .and_then(|s| DateTime::from_unix_duration(std::time::Duration::from_secs(s)).ok())
        .map_or_else(|| seconds.to_string(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_user_id_is_found_at_any_place_of_a_chain_and_nothing_else_is() {
        let chain =
            |reason| PkiError::Chain { index: 1, subject: "CN=x".to_owned(), reason: Box::new(reason) };
        for (error, expected) in [
            (PkiError::EmptyUserId, true),
            (chain(PkiError::EmptyUserId), true),
            (PkiError::BadSm2Signature, false),
            (chain(PkiError::BadSignature), false),
        ] {
            assert_eq!(error.is_empty_user_id(), expected, "{error}");
        }
    }
}
