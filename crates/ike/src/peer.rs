//! Is the peer who it has to be? Certificates, envelope and signature of messages 2 to 4 (GM/T 0022-2014).
//!
//! Whatever is wrong, as many signatures are verified and as much is decrypted, and one answer comes out: a stranger
//! does not learn by answer or time how far he got. The reason is for the log.

use tongguan_pki::{
    Certificate, KeySpec, PkiError, Random, SealedForm, Signed, signature_to_der, verify_chain,
};
use zeroize::Zeroizing;

use crate::config::{Credentials, OwnCertificates, PeerIdentity};
use crate::envelope::{EnvelopeKey, KEY_BYTES};
use crate::suite::Secret;
use crate::wire::{Draft, Identity, kind};

/// Largest certificate that is read.
pub(crate) const MAX_CERTIFICATE: usize = 4 * 1024;
/// Octets of our nonces.
pub(crate) const NONCE_BYTES: usize = 16;
/// What nonces may have (RFC 2409, 5).
const NONCE_RANGE: std::ops::RangeInclusive<usize> = 8..=256;
/// Encodings of certificates: for signatures, for encryption.
const ENCODINGS: [u8; 2] = [4, 5];

/// Why a peer is not believed; for the log only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Disbelief(pub(crate) String);

fn because(reason: impl ToString) -> Disbelief {
    Disbelief(reason.to_string())
}

/// The certificates that a peer has sent.
#[derive(Debug, Clone)]
pub(crate) struct PeerCertificates {
    signature: Certificate,
    encryption: Certificate,
    /// The body of the payload with the one for encryption, which signatures cover.
    encryption_body: Vec<u8>,
}

impl PeerCertificates {
    /// Reads the bodies of both payloads, and checks what can be checked of certificates alone.
    pub(crate) fn read(
        [first, second]: [&[u8]; 2],
        credentials: &Credentials,
        expected: &PeerIdentity,
        now: i64,
    ) -> Result<Self, Disbelief> {
        let read = |body: &[u8], encoding: u8| {
            if body.first() != Some(&encoding) || body.len() > MAX_CERTIFICATE {
                return Err(because(
                    "a certificate payload has another encoding than 4, then 5, or is too long",
                ));
            }
            Certificate::from_der(&body[1..]).map_err(because)
        };
        let own = &credentials.own;
        let [signature, encryption] =
            [(first, ENCODINGS[0], &own.signature), (second, ENCODINGS[1], &own.encryption)].map(
                |(body, encoding, decoy)| {
                    let certificate = read(body, encoding);
                    // What cannot be read takes as long as what can.
                    let trusted = is_trusted(certificate.as_ref().unwrap_or(decoy), credentials, now);
                    certificate.and_then(|certificate| trusted.map(|()| certificate))
                },
            );
        let (signature, encryption) = (signature?, encryption?);
        let usage = signature.key_usage().ok_or_else(|| because("a certificate says no key usage"))?;
        if !usage.digital_signature() {
            return Err(because("the signature certificate is not for signatures"));
        }
        let usage = encryption.key_usage().ok_or_else(|| because("a certificate says no key usage"))?;
        if !usage.key_encipherment() && !usage.data_encipherment() && !usage.key_agreement() {
            return Err(because("the encryption certificate is not for encryption"));
        }
        if signature.subject() != encryption.subject() {
            return Err(because("both certificates name different subjects"));
        }
        let meant = match expected {
            PeerIdentity::Exactly(identity) => {
                identity.kind == Identity::DER_NAME && signature.subject_der() == identity.data
            }
            PeerIdentity::Named(subject) => signature.subject() == *subject,
            PeerIdentity::AnyOfCa => true,
        };
        if !meant {
            return Err(because(format!("the peer is {}, another was configured", signature.subject())));
        }
        Ok(Self { signature, encryption, encryption_body: second.to_vec() })
    }
}

/// Whether a certificate is one of SM2 that the peer's CA has issued. Signatures are verified last; where it fails
/// before, as many are verified that cannot be right.
fn is_trusted(certificate: &Certificate, credentials: &Credentials, now: i64) -> Result<(), Disbelief> {
    if certificate.key_spec() != Ok(KeySpec::EcSm2) {
        spend(credentials);
        return Err(because("a certificate is not of SM2"));
    }
    let verified = verify_chain(certificate, &credentials.peer_ca, now);
    if let Err(PkiError::Chain { reason, .. }) = &verified
        && !matches!(
            **reason,
            PkiError::BadSm2Signature
                | PkiError::EmptyUserId
                | PkiError::Expired { .. }
                | PkiError::NotYetValid { .. }
                | PkiError::NameConstraint { .. }
        )
    {
        spend(credentials);
    }
    verified.map_err(because)?;
    if certificate.is_ca() {
        return Err(because("a certificate is one of a CA"));
    }
    Ok(())
}

/// Verifies as many signatures as a chain has.
fn spend(credentials: &Credentials) {
    /// One and one: a signature as far as numbers go.
    const NO_SIGNATURE: [u8; 8] = [0x30, 6, 2, 1, 1, 2, 1, 1];
    let Ok(key) = credentials.own.signature.public_key() else { return };
    for _ in 0..=credentials.peer_ca.len() {
        // It cannot be right, and nobody asks.
        let _ = key.verify(b"", &NO_SIGNATURE);
    }
}

/// What one side puts into its envelope.
pub(crate) struct Envelope {
    /// The key.
    pub(crate) key: EnvelopeKey,
    /// The nonce.
    pub(crate) nonce: Secret,
    /// The body of the identification.
    pub(crate) identity: Vec<u8>,
}

/// Our envelope, as it is remembered and as it is sent.
pub(crate) struct Filled {
    pub(crate) envelope: Envelope,
    /// SK, NONCE and ID.
    pub(crate) hidden: [Draft; 3],
    pub(crate) signature: Draft,
}

/// Our certificates as bodies of payloads.
pub(crate) fn certificate_payloads(own: &OwnCertificates) -> [Draft; 2] {
    let certificates = [&own.signature, &own.encryption];
    let mut bodies = certificates
        .into_iter()
        .zip(ENCODINGS)
        .map(|(certificate, encoding)| (kind::CERTIFICATE, [&[encoding], certificate.der()].concat()));
    [bodies.next().unwrap_or_default(), bodies.next().unwrap_or_default()]
}

/// Fills our envelope: the payloads SK, NONCE and ID, and the signature.
pub(crate) fn seal(
    certificates: &OwnCertificates,
    peer: &PeerCertificates,
    identity: &Identity,
    random: &mut dyn Random,
) -> Result<Filled, Disbelief> {
    let mut octets = Zeroizing::new(vec![0; KEY_BYTES]);
    let mut nonce = Zeroizing::new(vec![0; NONCE_BYTES]);
    random.fill(&mut octets).map_err(because)?;
    random.fill(&mut nonce).map_err(because)?;
    let recipient = peer.encryption.public_key().map_err(because)?;
    let sealed_key = recipient.seal(&octets, SealedForm::Der, random).map_err(because)?;
    let key = EnvelopeKey::new(octets).map_err(because)?;
    let identity = identity.write();
    let (sealed_nonce, sealed_identity) = key.seal(&nonce, &identity).map_err(because)?;
    let [_, (_, own)] = certificate_payloads(certificates);
    let parts = [key.octets(), &nonce, &identity, &own];
    let signature = certificates.signature_key.sign_parts(&parts, Signed::WithIdentity, random);
    let signature = signature_to_der(&signature.map_err(because)?).map_err(because)?;
    let payloads =
        [(kind::SYMMETRIC_KEY, sealed_key), (kind::NONCE, sealed_nonce), (kind::ID, sealed_identity)];
    Ok(Filled {
        envelope: Envelope { key, nonce, identity },
        hidden: payloads,
        signature: (kind::SIGNATURE, signature),
    })
}

/// Opens the peer's envelope and verifies its signature.
pub(crate) fn open(
    own: &OwnCertificates,
    peer: Result<&PeerCertificates, Disbelief>,
    [key, nonce, identity, signature]: [&[u8]; 4],
    random: &mut dyn Random,
) -> Result<Envelope, Disbelief> {
    let opened = own.encryption_key.open(key);
    let mut octets = Zeroizing::new(vec![0; KEY_BYTES]);
    random.fill(&mut octets).map_err(because)?;
    let failed = opened.as_ref().err().map(because);
    if let Ok(opened) = opened
        && opened.len() == KEY_BYTES
    {
        octets = opened;
    }
    let key = EnvelopeKey::new(octets).map_err(because)?;
    let read = key.open(nonce, identity);
    let (nonce, identity, padded) = match read {
        Ok((nonce, identity)) => (nonce, identity, true),
        Err(_) => (Zeroizing::new(vec![0; NONCE_BYTES]), Zeroizing::new(vec![0; 4]), false),
    };
    // Without certificates a signature is verified that cannot be right: our own key's.
    let known = peer.as_ref().map(|peer| (&peer.signature, &peer.encryption_body[..]));
    let (signer, certificate) = known.unwrap_or((&own.signature, &[]));
    let parts = [key.octets(), &nonce, &identity, certificate];
    let signer = signer.public_key().map_err(because)?;
    let verified = signer.verify_parts(&parts, signature, Signed::WithIdentity);
    let subject = peer?.signature.subject_der();
    if let Some(reason) = failed {
        return Err(reason);
    }
    if !padded {
        return Err(because("what is in the envelope is not padded"));
    }
    verified.map_err(because)?;
    if !NONCE_RANGE.contains(&nonce.len()) {
        return Err(because("the nonce has less than 8 octets, or more than 256"));
    }
    let read = Identity::read(&identity).map_err(because)?;
    if read.kind != Identity::DER_NAME || read.data != subject {
        return Err(because("the identification is not the subject of the certificates"));
    }
    Ok(Envelope { key, nonce, identity: identity.to_vec() })
}

/// Whether a nonce has a length that nonces may have.
pub(crate) fn is_nonce(nonce: &[u8]) -> bool {
    NONCE_RANGE.contains(&nonce.len())
}
