//! UploadUserCertificate: stores a certificate with its private key, or the two of an SM pair.
//!
//! Source: `docs/api/cas/UploadUserCertificate.json`. With `Cert` and `Key` the SM parameters are ignored. A text
//! holds the certificate, and after it those of its issuers may stand. Each key must be the certificate's, the chain
//! must verify, the certificate must be valid now; the two of a pair must be SM certificates with different keys, each
//! with a keyUsage that allows what it is for. Texts are kept as they were sent, keys sealed.

use tongguan_model::certificate::{Role, Upload};
use tongguan_model::id::{ALPHABET, AccountId};
use tongguan_store::{Snapshot, StoreError, Tx};

use crate::api::cas::{UploadUserCertificate, UploadUserCertificateOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::operation::{Failure, LongWork};
use crate::operations::kms::held;
use crate::operations::resourcemanager::groups::group_or_default;
use crate::random::for_id;

use super::material::{Material, Ready};
use super::{TAGGED, invalid, new_number};

/// Random letters of an `InstanceId`.
const INSTANCE_LETTERS: usize = 6;

impl LongWork for UploadUserCertificate {
    type Prepared = Vec<Ready>;
    type Output = UploadUserCertificateOutput;

    fn look(&self, call: &Call) -> Result<(), Failure> {
        if !self.tags.is_empty() && !self.tag.is_empty() {
            return Err(invalid("Tag", "it says the same as Tags: send one of them"));
        }
        self.material(call)?;
        let account = &call.principal.account;
        let (held, taken) = call.context.store.read(|snapshot| self.room(snapshot, account))?;
        self.admitted(call, held, taken)
    }

    fn prepare(&self, call: &Call) -> Result<Self::Prepared, Failure> {
        let material = self.material(call)?;
        let ready = material.iter().map(|one| one.ready(call)).collect::<Result<Vec<_>, _>>()?;
        if let [(encryption, ..), (signature, ..)] = &ready[..]
            && encryption.public_key == signature.public_key
        {
            return Err(invalid("SignCert", "it has the same key as EncryptCert: a pair has two"));
        }
        Ok(ready)
    }

    fn change(&self, ready: &Self::Prepared, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let (held, taken) = self.room(tx, account)?;
        self.admitted(call, held, taken)?;
        let (mut number, mut instance) = (new_number(), new_instance());
        while tx.upload_taken(number, &instance)? {
            (number, instance) = (new_number(), new_instance());
        }
        let group = group_or_default(call, tx, self.resource_group_id.as_deref())?;
        let upload = Upload {
            number,
            instance,
            account: account.clone(),
            name: self.name.clone(),
            resource_group: group,
            created_ms: call.now_ms,
        };
        let mut certificates = ready.clone();
        for (certificate, ..) in &mut certificates {
            if let Some(uploaded) = &mut certificate.uploaded {
                uploaded.upload = number;
            }
        }
        tx.insert_upload(&upload, &certificates)?;
        for tag in self.tags.iter().chain(&self.tag) {
            tx.put_tag(account, "", TAGGED, &upload.instance, &tag.key, &tag.value)?;
        }
        Ok(Self::Output { cert_id: number.cast_signed(), resource_id: upload.instance.into() })
    }
}

impl UploadUserCertificate {
    /// The certificates that the call brings, each with its key: one, or two of a pair.
    fn material(&self, call: &Call) -> Result<Vec<Material<'_>>, Failure> {
        let missing = |name| Failure::from(call.operation.missing(name));
        let key = self.key.as_ref();
        if self.cert.is_some() || key.is_some() {
            let certificate = self.cert.as_deref().ok_or_else(|| missing("Cert"))?;
            let key = key.ok_or_else(|| missing("Key"))?.expose();
            return Ok(vec![Material { half: None, certificate: ("Cert", certificate), key: ("Key", key) }]);
        }
        let pair = (&self.encrypt_cert, &self.encrypt_private_key, &self.sign_cert, &self.sign_private_key);
        if matches!(pair, (None, None, None, None)) {
            return Err(missing("Cert"));
        }
        let encryption = Material {
            half: Some(Role::Encryption),
            certificate: ("EncryptCert", pair.0.as_deref().ok_or_else(|| missing("EncryptCert"))?),
            key: ("EncryptPrivateKey", pair.1.as_ref().ok_or_else(|| missing("EncryptPrivateKey"))?.expose()),
        };
        let signature = Material {
            half: Some(Role::Signature),
            certificate: ("SignCert", pair.2.as_deref().ok_or_else(|| missing("SignCert"))?),
            key: ("SignPrivateKey", pair.3.as_ref().ok_or_else(|| missing("SignPrivateKey"))?.expose()),
        };
        Ok(vec![encryption, signature])
    }

    /// How many certificates the account has, and whether one has the name.
    fn room(&self, snapshot: &Snapshot<'_>, account: &AccountId) -> Result<(u64, bool), StoreError> {
        Ok((held(snapshot, account)?, snapshot.upload_named(account, &self.name)?))
    }

    fn admitted(&self, call: &Call, held: u64, taken: bool) -> Result<(), Failure> {
        if taken {
            return Err((&c::CAS_NAME_TAKEN).into());
        }
        if held >= call.context.settings.quotas.certificates_per_account {
            return Err((&c::CAS_CERTIFICATE_QUOTA).into());
        }
        Ok(())
    }
}

/// An `InstanceId`: `cas-upload-` and six letters and digits.
fn new_instance() -> String {
    let letters =
        for_id::<INSTANCE_LETTERS>().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    format!("cas-upload-{}", letters.iter().collect::<String>())
}
