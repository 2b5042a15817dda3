//! The few properties of a TLS certificate that `serve` warns about, and that `call` needs for one that it was
//! given.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustls_pki_types::UnixTime;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

/// The properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Its basicConstraints say CA:TRUE, as those of `openssl req -x509` do.
    pub is_ca: bool,
    /// It has a subjectAltName: today's clients use nothing else for the host.
    pub has_names: bool,
    /// From when to when it is valid.
    valid: (Duration, Duration),
}

impl Facts {
    /// Reads them from DER.
    ///
    /// # Errors
    /// It is no certificate.
    pub(crate) fn of(der: &[u8]) -> Result<Self> {
        let certificate = Certificate::from_der(der).context("this is not a certificate")?;
        let fields = certificate.tbs_certificate();
        let constraints = fields.get_extension::<BasicConstraints>().context("basicConstraints")?;
        let names = fields.get_extension::<SubjectAltName>().context("subjectAltName")?;
        let validity = fields.validity();
        Ok(Self {
            is_ca: constraints.is_some_and(|(_, constraints)| constraints.ca),
            has_names: names.is_some(),
            valid: (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration()),
        })
    }

    /// Whether it is valid at a moment: -1 not yet, 1 no longer.
    pub(crate) fn at(&self, now: UnixTime) -> std::cmp::Ordering {
        let now = Duration::from_secs(now.as_secs());
        match self.valid {
            (from, _) if now < from => std::cmp::Ordering::Less,
            (_, to) if now > to => std::cmp::Ordering::Greater,
            _ => std::cmp::Ordering::Equal,
        }
    }
}
