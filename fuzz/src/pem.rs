//! PEM and the other texts of certificates that callers send: blocks, keys, subjects.

use tongguan_pki::{Certificate, PrivateKey, PublicKey, Subject, parse_csr};
use tongguan_rpc::RsaPublicKey;

use crate::within;

/// Memory that reading may hold beside a multiple of the text.
const SLACK: usize = 64 * 1024;
/// Memory that reading may hold per byte of text.
const FACTOR: usize = 64;

/// Any text, read as everything that comes as PEM, and as a subject.
///
/// # Panics
/// If what was read is not the same after being written and read again, or white space or text around the
/// blocks make a difference.
pub fn pem(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let limit = FACTOR * text.len() + SLACK;
    if let Ok(certificate) = within(limit, || Certificate::from_pem(text)) {
        assert_eq!(Certificate::from_pem(&certificate.to_pem()).as_ref(), Ok(&certificate));
        for variant in variants(text) {
            assert_eq!(Certificate::from_pem(&variant).as_ref(), Ok(&certificate));
        }
        assert_eq!(Certificate::chain_from_pem(text), Ok(vec![certificate]));
    }
    if let Ok(chain) = within(limit, || Certificate::chain_from_pem(text)) {
        let written: String = chain.iter().map(Certificate::to_pem).collect();
        assert_eq!(Certificate::chain_from_pem(&written).as_ref(), Ok(&chain));
        for variant in variants(text) {
            assert_eq!(Certificate::chain_from_pem(&variant).as_ref(), Ok(&chain));
        }
    }
    if let Ok(request) = parse_csr(text) {
        for variant in variants(text) {
            assert_eq!(parse_csr(&variant).as_ref(), Ok(&request));
        }
    }
    keys(text, limit);
    if let Ok(subject) = within(limit, || Subject::parse(text)) {
        assert_eq!(Subject::parse(&subject.to_string()).as_ref(), Ok(&subject));
    }
}

fn keys(text: &str, limit: usize) {
    if let Ok(key) = within(limit, || PublicKey::from_pem(text)) {
        assert_eq!(PublicKey::from_pem(&key.to_pem()).as_ref(), Ok(&key));
    }
    if let Ok(key) = PrivateKey::from_pkcs8_pem(text) {
        let again = key.to_pkcs8_pem().and_then(|pem| PrivateKey::from_pkcs8_pem(&pem));
        assert_eq!(again.map(|again| again.public_key()), Ok(key.public_key()));
    }
    let _ = RsaPublicKey::from_pem(text);
}

/// The text as mail programs and consoles hand it on. (A blank before a line's end could make a block's
/// beginning out of what is none.)
fn variants(text: &str) -> [String; 3] {
    [text.replace('\n', "\r\n"), format!("subject=CN = x\n{text}\nthe end"), text.replace('\n', "\n ")]
}
