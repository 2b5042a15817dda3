//! Certificates, chains and bare keys in DER.

use std::sync::LazyLock;

use tongguan_pki::{
    Ca, Certificate, KeySpec, MAX_CHAIN, PkiError, PrivateKey, PublicKey, Subject, verify_chain,
    verify_issued_by,
};
use x509_cert::der::Encode as _;

use crate::{der, within};

/// Memory that reading may hold beside a multiple of the DER.
const SLACK: usize = 64 * 1024;
/// Memory that reading may hold per byte of DER: a name of one letter is several words.
const FACTOR: usize = 256;

/// Issuers of each elliptic kind; what was edited is signed anew by one of them.
static ISSUERS: LazyLock<[Ca; 2]> = LazyLock::new(|| {
    [KeySpec::EcP256, KeySpec::EcSm2].map(|spec| {
        let subject = Subject::parse("CN=root,OU=fuzz,O=tongguan,C=CN").expect("it is a subject");
        Ca::new(spec, &subject, 0, 4_000_000_000).expect("there is randomness")
    })
});

/// One or more values in DER: certificates, the first of them the leaf, or a public or private key.
///
/// # Panics
/// If what was read is not the same after being written and read again, a chain holds that its parts do not,
/// or a signature verifies over other bytes than those signed.
pub fn x509(data: &[u8]) {
    let limit = FACTOR * data.len() + SLACK;
    let mut certificates = Vec::new();
    let mut rest = data;
    while let (Some((one, after)), true) = (der::split(rest), certificates.len() <= MAX_CHAIN) {
        rest = after;
        keys(one);
        if let Ok(certificate) = within(limit, || Certificate::from_der(one)) {
            assert_eq!(certificate.der(), one);
            look_at(&certificate);
            certificates.push(certificate);
        }
    }
    let Some((leaf, chain)) = certificates.split_first() else { return };
    let written: String = chain.iter().map(Certificate::to_pem).collect();
    if !chain.is_empty() && chain.len() <= MAX_CHAIN {
        assert_eq!(Certificate::chain_from_pem(&written).as_deref(), Ok(chain));
    }
    for now in [leaf.not_before(), leaf.not_after(), leaf.not_after().saturating_add(1), 1_800_000_000] {
        consistent(leaf, chain, now);
    }
    signed_anew(leaf);
}

fn look_at(certificate: &Certificate) {
    assert_eq!(Certificate::from_pem(&certificate.to_pem()).as_ref(), Ok(certificate));
    assert!(certificate.serial().trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(certificate.fingerprint_sm3().len(), 64);
    let _ = (certificate.subject(), certificate.issuer(), certificate.signature_algorithm());
    let _ =
        (certificate.dns_names(), certificate.is_ca(), certificate.key_usage(), format!("{certificate:?}"));
    let identifier = certificate.subject_key_identifier();
    assert!(identifier.bytes().all(|b| b.is_ascii_hexdigit() || b == b' '));
    if let Ok(key) = certificate.public_key() {
        assert_eq!(certificate.key_spec(), Ok(key.spec()));
        assert_eq!(PublicKey::from_spki_der(&key.to_spki_der()).as_ref(), Ok(&key));
        assert!(tongguan_pki::matches(certificate, &key));
    }
    assert!(!certificate.is_sm() || certificate.key_spec() == Ok(KeySpec::EcSm2));
}

fn keys(one: &[u8]) {
    if let Ok(key) = PublicKey::from_spki_der(one) {
        assert_eq!(PublicKey::from_pem(&key.to_pem()).as_ref(), Ok(&key));
        assert!(key.verify(b"message", b"signature").is_err());
    }
    if let Ok(key) = PrivateKey::from_pkcs8_der(one) {
        let again = key.to_pkcs8_der().and_then(|der| PrivateKey::from_pkcs8_der(&der));
        assert_eq!(again.map(|again| again.public_key()), Ok(key.public_key()));
        let signature = key.sign(b"message");
        if let Ok(signature) = &signature {
            assert_eq!(key.public_key().verify(b"message", signature), Ok(()));
            assert!(key.public_key().verify(b"massage", signature).is_err());
        }
    }
}

/// A chain that verifies at a moment does so link by link, with every certificate in its time.
fn consistent(leaf: &Certificate, chain: &[Certificate], now: i64) {
    if verify_chain(leaf, chain, now).is_err() {
        return;
    }
    let repeated = usize::from(chain.first() == Some(leaf));
    let path: Vec<&Certificate> = [leaf].into_iter().chain(&chain[repeated..]).collect();
    for certificate in &path {
        assert!(certificate.not_before() <= now && now <= certificate.not_after());
    }
    for pair in path.windows(2) {
        assert_eq!(verify_issued_by(pair[0], pair[1]), Ok(()));
        assert!(pair[1].is_ca());
    }
}

/// The same certificate under a signature of ours verifies, and not with one bit changed.
fn signed_anew(leaf: &Certificate) {
    let Some(ca) = ISSUERS.iter().find(|ca| {
        let certificate = ca.certificate();
        certificate.signature_algorithm() == leaf.signature_algorithm()
    }) else {
        return;
    };
    let Some((tbs, algorithm)) = parts(leaf.der()) else { return };
    let signature = ca.key().sign(tbs).expect("the key signs");
    let der = der::signed(tbs, algorithm, &signature);
    let Ok(anew) = Certificate::from_der(&der) else { panic!("only the signature was changed") };
    assert_eq!(verify_issued_by(&anew, ca.certificate()), Ok(()));
    let at = tbs.len() / 2;
    let mut other = tbs.to_vec();
    other[at] ^= 1;
    if let Ok(other) = Certificate::from_der(&der::signed(&other, algorithm, &signature)) {
        let outcome = verify_issued_by(&other, ca.certificate());
        assert!(outcome.is_err(), "a signature over other bytes verifies");
    }
    let outcome = verify_chain(&anew, std::slice::from_ref(ca.certificate()), anew.not_before());
    let reason = outcome.as_ref().map_err(PkiError::reason);
    let refused = matches!(reason, Err(PkiError::BadSignature | PkiError::BadSm2Signature));
    assert!(!refused, "the issuer's own signature is refused");
}

/// What is signed, and the algorithm outside of it.
fn parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = x509_cert::der::asn1::AnyRef::try_from(der).ok()?;
    assert_eq!(inner.to_der().ok()?, der, "what was read as DER is not");
    let (tbs, rest) = der::split(inner.value())?;
    let (algorithm, _) = der::split(rest)?;
    Some((tbs, algorithm))
}
