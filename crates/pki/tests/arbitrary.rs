//! Readers never panic, whatever they are given, and what they accept can be looked at.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::LazyLock;

use proptest::prelude::*;
use support::{generate, subject};
use tongguan_pki::{
    Ca, Certificate, KeySpec, PrivateKey, PublicKey, Subject, create_csr, parse_csr, verify_chain,
};

static ROOT: LazyLock<Certificate> =
    LazyLock::new(|| Ca::new(KeySpec::EcSm2, &subject("root"), 0, 100).unwrap().certificate().clone());
static REQUEST: LazyLock<String> =
    LazyLock::new(|| create_csr(&generate(KeySpec::EcSm2), &subject("leaf"), &["a.cn".to_owned()]).unwrap());

/// Calls everything a certificate offers.
fn look_at(certificate: &Certificate) {
    let _ = (certificate.subject(), certificate.issuer(), certificate.serial());
    let _ = (certificate.not_before(), certificate.not_after(), certificate.is_sm());
    let _ = (certificate.key_spec(), certificate.public_key(), certificate.signature_algorithm());
    let _ = (certificate.subject_key_identifier(), certificate.dns_names(), certificate.is_ca());
    let _ = (certificate.key_usage(), certificate.fingerprint_sm3(), format!("{certificate:?}"));
    let _ = verify_chain(certificate, std::slice::from_ref(&ROOT), 50);
    assert_eq!(&Certificate::from_pem(&certificate.to_pem()).unwrap(), certificate);
}

fn read_everything(text: &str) {
    let _ = (Certificate::from_pem(text), Certificate::chain_from_pem(text), parse_csr(text));
    let _ = (PrivateKey::from_pkcs8_pem(text), PublicKey::from_pem(text), Subject::parse(text));
}

fn damaged(original: &[u8], edits: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for (index, value) in edits {
        let at = index.index(bytes.len());
        bytes[at] = *value;
    }
    bytes
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        read_everything(&text);
    }

    #[test]
    fn text_like_pem(
        label in "(CERTIFICATE|CERTIFICATE REQUEST|PRIVATE KEY|PUBLIC KEY|[A-Z -]{0,12})",
        body in "[A-Za-z0-9+/=\\s-]{0,200}",
        tail in ".{0,20}",
    ) {
        read_everything(&format!("-----BEGIN {label}-----{body}-----END {label}-----{tail}"));
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = (Certificate::from_der(&bytes), PrivateKey::from_pkcs8_der(&bytes));
        let _ = PublicKey::from_spki_der(&bytes);
    }

    #[test]
    fn damaged_certificates(edits in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4)) {
        if let Ok(certificate) = Certificate::from_der(&damaged(ROOT.der(), &edits)) {
            look_at(&certificate);
        }
    }

    #[test]
    fn damaged_requests(edits in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4)) {
        let bytes = damaged(REQUEST.as_bytes(), &edits);
        let _ = parse_csr(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn subject_like_text(text in r#"((CN|ou|O|C|ST|L|x) ?[=+] ?("?[a-zCN \\,+#;"]{0,6}"?)[,;+]?){0,7}"#) {
        if let Ok(subject) = Subject::parse(&text) {
            prop_assert_eq!(Subject::parse(&subject.to_string()).unwrap(), subject);
        }
    }

    /// Any value survives being written in hex pairs, shown, and read again.
    #[test]
    fn subjects_round_trip(value in r#"[^\p{Cc}\s][^\p{Cc}]{0,30}[^\p{Cc}\s]"#) {
        let hex: String = value.bytes().map(|b| format!("\\{b:02x}")).collect();
        let subject = Subject::parse(&format!("CN={hex},OU=kms,O=aliyun,C=CN")).unwrap();
        prop_assert_eq!(Subject::parse(&subject.to_string()).unwrap(), subject);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn signatures_bind_the_message(message in prop::collection::vec(any::<u8>(), 0..200), extra in any::<u8>()) {
        for spec in [KeySpec::EcP256, KeySpec::EcSm2] {
            let key = generate(spec);
            let again = PrivateKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
            let signature = again.sign(&message).unwrap();
            prop_assert!(key.public_key().verify(&message, &signature).is_ok());
            let longer = [&message[..], &[extra]].concat();
            prop_assert!(key.public_key().verify(&longer, &signature).is_err());
        }
    }
}
