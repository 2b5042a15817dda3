//! What lists and details show of a certificate.

use tongguan_pki::{Certificate, KeySpec, PkiError};

use crate::context::iso8601_seconds;
use crate::operation::Failure;

use super::Algorithm;

/// A stored certificate, read.
pub(super) struct Shown {
    pub(super) leaf: Certificate,
    pub(super) spec: KeySpec,
}

impl Shown {
    /// Reads the first certificate of a stored text.
    ///
    /// # Errors
    /// It cannot be read, which is damage.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let broken = |error: PkiError| Failure::Internal(format!("stored certificate: {error}"));
        let leaf = Certificate::from_pem(text).map_err(broken)?;
        let spec = leaf.key_spec().map_err(broken)?;
        Ok(Self { leaf, spec })
    }

    pub(super) fn algorithm(&self) -> &'static str {
        Algorithm::of(self.spec).as_str()
    }

    /// Who issued it: the organisation, or else the name.
    pub(super) fn issuer(&self) -> String {
        let parts = ["O", "CN"].into_iter().find_map(|kind| self.leaf.issuer_part(kind));
        parts.unwrap_or_else(|| self.leaf.issuer())
    }

    /// The DNS names, separated by commas.
    pub(super) fn sans(&self) -> String {
        self.leaf.dns_names().join(",")
    }

    /// SHA-1 of the certificate, upper-case hex.
    pub(super) fn fingerprint(&self) -> String {
        self.leaf.fingerprint_sha1().to_uppercase()
    }

    /// SHA-256 of the certificate, upper-case hex.
    pub(super) fn sha2(&self) -> String {
        self.leaf.fingerprint_sha256().to_uppercase()
    }

    pub(super) fn not_before_ms(&self) -> i64 {
        self.leaf.not_before().saturating_mul(1000)
    }

    pub(super) fn not_after_ms(&self) -> i64 {
        self.leaf.not_after().saturating_mul(1000)
    }
}

/// A day, `2027-01-15`, of a moment in UNIX seconds.
pub(super) fn day(seconds: i64) -> String {
    let moment = iso8601_seconds(seconds);
    moment.split('T').next().unwrap_or_default().to_owned()
}
