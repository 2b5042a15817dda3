//! Private keys for the outside, under a passphrase: PKCS #8 (RFC 5208) encrypted with PBES2 (RFC 8018), and PKCS #12
//! (RFC 7292) with the certificates beside the key.
//!
//! Keys are derived with PBKDF2-HMAC-SHA256 and encrypted with AES-256-CBC; a PKCS #12 file is authenticated with
//! HMAC-SHA256 under a key derived as its appendix B says. Those are what OpenSSL 3 writes by itself, and what old
//! readers still read. Certificates in a PKCS #12 file are not encrypted: they are public.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use aws_lc_rs::{hmac, pbkdf2};
use x509_cert::der::asn1::{ObjectIdentifier, OctetString};
use x509_cert::der::{self, Any, Encode, Tag, TagNumber};
use zeroize::Zeroizing;

use crate::{Certificate, PkiError, PrivateKey, asn1, pem};

/// Rounds of key derivation: tens of milliseconds, which is what a guess costs.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");
/// Bytes of a salt.
const SALT_BYTES: usize = 16;
/// Bytes of a key of AES-256.
const KEY_BYTES: usize = 32;
/// Bytes that SHA-256 takes in at a time.
const BLOCK_BYTES: usize = 64;
/// Which key of PKCS #12 is derived: the one of the MAC (RFC 7292, B.3).
const MAC_KEY: u8 = 3;

const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");
const HMAC_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.9");
const AES_256_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42");
const DIGEST_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SHROUDED_KEY_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.2");
const CERT_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.3");
const X509_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.22.1");
const LOCAL_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.21");

impl PrivateKey {
    /// "ENCRYPTED PRIVATE KEY" block under a passphrase. It takes tens of milliseconds.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when the library fails.
    pub fn to_encrypted_pem(&self, passphrase: &str) -> Result<String, PkiError> {
        Ok(pem::encode(pem::ENCRYPTED_PRIVATE_KEY, &encrypted(self, passphrase)?))
    }

    /// A PKCS #12 file under a passphrase: the key, its certificate, and those of the issuers. It takes tens of
    /// milliseconds.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when the library fails.
    pub fn to_pkcs12(
        &self,
        leaf: &Certificate,
        chain: &[Certificate],
        passphrase: &str,
    ) -> Result<Vec<u8>, PkiError> {
        let key = encrypted(self, passphrase)?;
        let safe = safe(key, leaf, chain).map_err(encoding)?;
        let mut salt = [0; SALT_BYTES];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| PkiError::Crypto("randomness"))?;
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &*mac_key(passphrase, &salt));
        let mac = hmac::sign(&mac, &safe);
        let file = || -> der::Result<Vec<u8>> {
            let digest =
                asn1::sequence(&[algorithm(DIGEST_SHA256, Any::null().to_der()?)?, octets(mac.as_ref())?])?;
            let mac = asn1::sequence(&[digest, octets(&salt)?, ROUNDS.get().to_der()?])?;
            asn1::sequence(&[3_u8.to_der()?, content(&safe)?, mac])
        };
        file().map_err(encoding)
    }
}

fn encoding(_: der::Error) -> PkiError {
    PkiError::Crypto("encoding of an export")
}

/// `EncryptedPrivateKeyInfo` (RFC 5208, 6).
fn encrypted(key: &PrivateKey, passphrase: &str) -> Result<Vec<u8>, PkiError> {
    let failed = |_| PkiError::Crypto("encryption of a key");
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).map_err(failed)?;
    let mut derived = Zeroizing::new([0; KEY_BYTES]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &salt, passphrase.as_bytes(), &mut *derived);
    let cipher = UnboundCipherKey::new(&AES_256, &*derived).map_err(failed)?;
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(cipher).map_err(failed)?;
    let mut text = key.to_pkcs8_der()?;
    let context = cipher.encrypt(&mut *text).map_err(failed)?;
    let DecryptionContext::Iv128(iv) = &context else { return Err(PkiError::Crypto("encryption of a key")) };
    let info = || -> der::Result<Vec<u8>> {
        let random_function = algorithm(HMAC_SHA256, Any::null().to_der()?)?;
        let parameters = asn1::sequence(&[octets(&salt)?, ROUNDS.get().to_der()?, random_function])?;
        let scheme = [algorithm(PBKDF2, parameters)?, algorithm(AES_256_CBC, octets(iv.as_ref())?)?];
        asn1::sequence(&[algorithm(PBES2, asn1::sequence(&scheme)?)?, octets(&text)?])
    };
    info().map_err(encoding)
}

/// `AuthenticatedSafe` with one `SafeContents` (RFC 7292, 4.1 and 4.2): the key and every certificate, of which the
/// first is marked as the key's.
fn safe(key: Vec<u8>, leaf: &Certificate, chain: &[Certificate]) -> der::Result<Vec<u8>> {
    let own = local_key_id(leaf)?;
    let mut bags = vec![asn1::sequence(&[SHROUDED_KEY_BAG.to_der()?, explicit(key)?, own.clone()])?];
    for (place, certificate) in std::iter::once(leaf).chain(chain).enumerate() {
        let value = asn1::sequence(&[X509_CERTIFICATE.to_der()?, explicit(octets(certificate.der())?)?])?;
        let mut bag = vec![CERT_BAG.to_der()?, explicit(value)?];
        if place == 0 {
            bag.push(own.clone());
        }
        bags.push(asn1::sequence(&bag)?);
    }
    asn1::sequence(&[content(&asn1::sequence(&bags)?)?])
}

/// The attribute by which readers find the certificate of a key.
fn local_key_id(leaf: &Certificate) -> der::Result<Vec<u8>> {
    let value = asn1::wrap(Tag::Set, octets(&leaf.key_identifier())?)?;
    asn1::wrap(Tag::Set, asn1::sequence(&[LOCAL_KEY_ID.to_der()?, value])?)
}

/// `ContentInfo` of plain data.
fn content(data: &[u8]) -> der::Result<Vec<u8>> {
    asn1::sequence(&[DATA.to_der()?, explicit(octets(data)?)?])
}

fn algorithm(oid: ObjectIdentifier, parameters: Vec<u8>) -> der::Result<Vec<u8>> {
    asn1::sequence(&[oid.to_der()?, parameters])
}

fn octets(bytes: &[u8]) -> der::Result<Vec<u8>> {
    OctetString::new(bytes)?.to_der()
}

/// `[0] EXPLICIT` around a value.
fn explicit(value: Vec<u8>) -> der::Result<Vec<u8>> {
    asn1::wrap(Tag::ContextSpecific { constructed: true, number: TagNumber(0) }, value)
}

/// The key of a PKCS #12 file's MAC (RFC 7292, B.2), whose length is that of the digest, so that one block is enough.
fn mac_key(passphrase: &str, salt: &[u8]) -> Zeroizing<[u8; SHA256_OUTPUT_LEN]> {
    let password: Vec<u8> = passphrase.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect();
    let password = Zeroizing::new(password);
    let filled = |bytes: &[u8]| -> Zeroizing<Vec<u8>> {
        let whole = bytes.len().next_multiple_of(BLOCK_BYTES);
        Zeroizing::new(bytes.iter().copied().cycle().take(whole).collect())
    };
    let mut text = Zeroizing::new(vec![MAC_KEY; BLOCK_BYTES]);
    text.extend_from_slice(&filled(salt));
    text.extend_from_slice(&filled(&password));
    let mut key = Zeroizing::new([0; SHA256_OUTPUT_LEN]);
    key.copy_from_slice(digest(&SHA256, &text).as_ref());
    for _ in 1..ROUNDS.get() {
        let next = digest(&SHA256, &*key);
        key.copy_from_slice(next.as_ref());
    }
    key
}
