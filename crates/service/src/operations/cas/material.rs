//! Certificates and private keys as they are uploaded: read, compared, verified.

use tongguan_model::certificate::Role;
use tongguan_model::certificate::{Certificate, CertificateStatus, Issued, Uploaded};
use tongguan_model::id::{CertificateId, RegionId};
use tongguan_model::text::fits_prose;
use tongguan_pki::{Certificate as Leaf, KeySpec, PrivateKey, matches, verify_chain};
use tongguan_store::SealedKind;

use crate::call::Call;
use crate::context::new_uuid;
use crate::master;
use crate::operation::Failure;
use crate::operations::kms::{issued, purposes};

use super::{REGION, invalid};

/// A certificate with its key, as a call brings them.
pub(super) struct Material<'a> {
    /// Which of a pair it is; none: the only one.
    pub(super) half: Option<Role>,
    /// The certificate: name of the parameter, and text.
    pub(super) certificate: (&'static str, &'a str),
    /// The key, likewise.
    pub(super) key: (&'static str, &'a str),
}

/// What is stored of it: certificate, what was read from it, and the sealed key.
pub(super) type Ready = (Certificate, Issued, Vec<u8>);

/// Whether answers in every format can carry a text: PEM and what may stand around it.
pub(crate) fn has_letters_of_pem(text: &str) -> bool {
    text.chars().all(|letter| fits_prose(letter) || letter == '\r')
}

/// The name that a certificate is listed and looked for by.
pub(crate) fn domain(leaf: &Leaf) -> String {
    leaf.subject_part("CN").or_else(|| leaf.dns_names().into_iter().next()).unwrap_or_default()
}

impl Material<'_> {
    /// Reads and verifies everything, and seals the key.
    ///
    /// # Errors
    /// A refusal that names the parameter.
    pub(super) fn ready(&self, call: &Call) -> Result<Ready, Failure> {
        let ((certificate, text), (key, key_text)) = (self.certificate, self.key);
        if !has_letters_of_pem(text) {
            return Err(invalid(certificate, "it has characters that are none of a text"));
        }
        if !has_letters_of_pem(key_text) {
            return Err(invalid(key, "it has characters that are none of a text"));
        }
        let mut chain = Leaf::chain_from_pem(text).map_err(|error| invalid(certificate, error))?;
        let leaf = chain.remove(0);
        let spec = leaf.key_spec().map_err(|error| invalid(certificate, error))?;
        self.fits(certificate, &leaf, spec)?;
        let private = PrivateKey::from_pem(key_text).map_err(|error| invalid(key, error))?;
        if !matches(&leaf, &private.public_key()) {
            return Err(invalid(key, format!("it is not the private key of {certificate}")));
        }
        let now = call.now_ms.div_euclid(1000);
        verify_chain(&leaf, &chain, now).map_err(|error| invalid(certificate, error))?;
        let id = new_uuid();
        let sealed =
            call.context.vault.seal(&master::purpose(SealedKind::Certificate, &id), key_text.as_bytes());
        let sealed = sealed.map_err(|error| Failure::Internal(format!("sealing a key: {error}")))?;
        let issued = issued(&leaf, &chain);
        let stored = Certificate {
            id: CertificateId::new(id),
            account: call.principal.account.clone(),
            region: RegionId::new(REGION),
            key_spec: spec.as_str().to_owned(),
            status: CertificateStatus::Active,
            exportable: true,
            subject: issued.subject.clone(),
            dns_names: leaf.dns_names(),
            csr: String::new(),
            public_key: private.public_key().to_pem(),
            // The number is found in the transaction.
            uploaded: Some(Uploaded {
                upload: 0,
                half: self.half,
                domain: domain(&leaf),
                text: text.to_owned(),
            }),
            issued: None,
            created_ms: call.now_ms,
            updated_ms: call.now_ms,
        };
        Ok((stored, issued, sealed))
    }

    /// Refuses SM certificates that do not come in a pair, others in a pair, and a half that cannot do what it is for.
    fn fits(&self, parameter: &'static str, leaf: &Leaf, spec: KeySpec) -> Result<(), Failure> {
        let Some(role) = self.half else {
            if spec == KeySpec::EcSm2 {
                let why = "an SM certificate is uploaded as one of a pair, with EncryptCert and SignCert";
                return Err(invalid(parameter, why));
            }
            return Ok(());
        };
        if !leaf.is_sm() {
            return Err(invalid(parameter, "it is no SM certificate: an SM2 key, signed with SM2 and SM3"));
        }
        if !purposes(leaf).serve(role) {
            let needed = match role {
                Role::Encryption => "keyEncipherment, dataEncipherment or keyAgreement",
                Role::Signature => "digitalSignature or nonRepudiation",
            };
            return Err(invalid(parameter, format!("its keyUsage does not allow it: {needed} is needed")));
        }
        Ok(())
    }
}
