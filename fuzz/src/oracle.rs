//! A second opinion on signatures, written from the published documents.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use sm3::{Digest as _, Sm3};
use sm3_hmac::{Hmac, KeyInit as _, Mac as _};
use tongguan_rpc::SignatureMethod;

use ::hmac as sm3_hmac;

use crate::wire::{self, Wire};

/// The string to sign of V1: method, `/`, and every parameter but the signature, each part encoded and the
/// joined parameters encoded once more. None if the parameters cannot be read.
pub(crate) fn v1_string_to_sign(wire: &Wire) -> Option<String> {
    let mut pairs = wire::decode(&wire.query)?;
    pairs.extend(wire::decode(wire.form().ok()?.unwrap_or_default())?);
    let mut pairs = wire::merge(pairs)?;
    pairs.remove("Signature");
    Some(format!("{}&%2F&{}", wire.method, wire::encode(&wire::query(&pairs))))
}

/// The signature of V1 over `text`, as it is sent.
pub(crate) fn v1_signature(method: SignatureMethod, secret: &str, text: &str) -> String {
    let algorithm = match method {
        SignatureMethod::HmacSha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        _ => hmac::HMAC_SHA256,
    };
    let key = hmac::Key::new(algorithm, format!("{secret}&").as_bytes());
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

/// Hex of the digest that `method` uses.
pub(crate) fn hash(method: SignatureMethod, data: &[u8]) -> String {
    match method {
        SignatureMethod::Acs3HmacSm3 => hex::encode(Sm3::digest(data)),
        _ => hex::encode(digest::digest(&digest::SHA256, data)),
    }
}

/// The canonical request of V3 and V4. None if the query cannot be read or a signed header is absent.
pub(crate) fn canonical_request(wire: &Wire, method: SignatureMethod, signed: &str) -> Option<Vec<u8>> {
    let query = wire::query(&wire::merge(wire::decode(&wire.query)?)?);
    let mut text = format!("{}\n/\n{query}\n", wire.method).into_bytes();
    for name in signed.split(';') {
        text.extend_from_slice(format!("{name}:").as_bytes());
        text.extend_from_slice(&joined(&wire.headers, name)?);
        text.push(b'\n');
    }
    text.extend_from_slice(format!("\n{signed}\n{}", hash(method, &wire.body)).as_bytes());
    Some(text)
}

/// The values of a header, trimmed, sorted, joined with commas.
fn joined(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    let mut values: Vec<&[u8]> =
        headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii()).collect();
    values.sort_unstable();
    (!values.is_empty()).then(|| values.join(&b','))
}

/// The signature of V3 or V4 over a canonical request, as it is sent. `credential` gives V4 its scope.
pub(crate) fn v3_signature(
    method: SignatureMethod,
    secret: &str,
    credential: &str,
    canonical: &[u8],
) -> String {
    let text = format!("{}\n{}", method.name(), hash(method, canonical));
    match method {
        SignatureMethod::Acs3HmacSm3 => {
            let mac = Hmac::<Sm3>::new_from_slice(secret.as_bytes()).map(|mac| mac.chain_update(&text));
            mac.map(|mac| hex::encode(mac.finalize().into_bytes())).unwrap_or_default()
        }
        SignatureMethod::Acs4HmacSha256 => {
            let mut key = format!("aliyun_v4{secret}").into_bytes();
            for part in credential.split('/').skip(1) {
                key = sha256_code(&key, part.as_bytes());
            }
            hex::encode(sha256_code(&key, text.as_bytes()))
        }
        _ => hex::encode(sha256_code(secret.as_bytes(), text.as_bytes())),
    }
}

fn sha256_code(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}
