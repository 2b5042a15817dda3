//! Signatures: the text that is signed and the codes over it, for both sides of the wire.
//!
//! A chain of small pure functions: pairs → string to sign (V1), or pairs and headers →
//! canonical request → string to sign (V3, V4), then a message authentication code. The
//! verifier and the client use the same ones, so neither can drift from the recorded requests alone.
//!
//! Source: the published signature documents, and what the official clients were seen to send.

use aws_lc_rs::{digest, hmac};
use hmac_generic::{Hmac, KeyInit as _, Mac as _};
use sm3::{Digest as _, Sm3};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use ::hmac as hmac_generic;

use crate::credential::{Secret, v1_key};
use crate::encoding::{encode_into, encode_twice_into};

/// The last part of an ACS4 credential and the last link of its key chain.
pub(crate) const V4_TERMINATOR: &str = "aliyun_v4_request";

/// What ACS4 puts before the secret to make the first key of the chain.
const V4_PREFIX: &str = "aliyun_v4";

/// SHA-256 of nothing, which most V3 requests have as payload.
const EMPTY_SHA256: &[u8; 64] = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureMethod {
    /// V1, `HMAC-SHA1`.
    HmacSha1,
    /// V1, `HMAC-SHA256`.
    HmacSha256,
    /// V3, `ACS3-HMAC-SHA256`.
    Acs3HmacSha256,
    /// V3, `ACS3-HMAC-SM3`.
    Acs3HmacSm3,
    /// V3, `ACS3-RSA-SHA256`.
    Acs3RsaSha256,
    /// V4, `ACS4-HMAC-SHA256`.
    Acs4HmacSha256,
}

impl SignatureMethod {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "HMAC-SHA1",
            Self::HmacSha256 => "HMAC-SHA256",
            Self::Acs3HmacSha256 => "ACS3-HMAC-SHA256",
            Self::Acs3HmacSm3 => "ACS3-HMAC-SM3",
            Self::Acs3RsaSha256 => "ACS3-RSA-SHA256",
            Self::Acs4HmacSha256 => "ACS4-HMAC-SHA256",
        }
    }

    /// The method of a V1 `SignatureMethod` parameter.
    pub(crate) fn of_v1(name: &str) -> Option<Self> {
        [Self::HmacSha1, Self::HmacSha256].into_iter().find(|method| method.name() == name)
    }

    /// The method of an `Authorization` scheme.
    pub(crate) fn of_header(name: &str) -> Option<Self> {
        [Self::Acs3HmacSha256, Self::Acs3HmacSm3, Self::Acs3RsaSha256, Self::Acs4HmacSha256]
            .into_iter()
            .find(|method| method.name() == name)
    }

    /// The digest that hashes payload and canonical request.
    pub(crate) fn hash(self) -> Hash {
        match self {
            Self::Acs3HmacSm3 => Hash::Sm3,
            Self::HmacSha1
            | Self::HmacSha256
            | Self::Acs3HmacSha256
            | Self::Acs3RsaSha256
            | Self::Acs4HmacSha256 => Hash::Sha256,
        }
    }
}

/// A digest of V3 and V4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sm3,
}

impl Hash {
    /// Lower-case hex of the digest of `data`.
    pub(crate) fn hex(self, data: &[u8]) -> [u8; 64] {
        match self {
            Self::Sha256 if data.is_empty() => *EMPTY_SHA256,
            Self::Sha256 => hex64(digest::digest(&digest::SHA256, data).as_ref()),
            Self::Sm3 => hex64(Sm3::digest(data).as_slice()),
        }
    }
}

fn hex64(bytes: &[u8]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [b'0'; 64];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    hex
}

/// The V1 string to sign: method, `%2F`, and the twice encoded pairs. `Signature` must be left
/// out of `pairs`, which must be sorted by name. `raw` is how many bytes they take as query or form.
pub(crate) fn v1_string_to_sign<'p>(
    method: &str,
    pairs: impl Iterator<Item = (&'p str, &'p str)>,
    raw: usize,
) -> Vec<u8> {
    // The raw text has three bytes for most that here take five.
    let mut out = Vec::with_capacity(raw + raw / 2 + 64);
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(b"&%2F&");
    for (at, (name, value)) in pairs.enumerate() {
        if at > 0 {
            out.extend_from_slice(b"%26");
        }
        encode_twice_into(&mut out, name);
        out.extend_from_slice(b"%3D");
        encode_twice_into(&mut out, value);
    }
    out
}

/// Pairs as a query or form: once encoded, joined with `=` and `&`. With sorted pairs this is the
/// canonical query of V3.
pub(crate) fn append_query<'p>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'p str, &'p str)>) {
    for (at, (name, value)) in pairs.enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        encode_into(out, name);
        out.push(b'=');
        encode_into(out, value);
    }
}

/// The V3 string to sign: the algorithm's name and the hash of the canonical request.
pub(crate) fn v3_string_to_sign(method: SignatureMethod, canonical_request: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.extend_from_slice(method.name().as_bytes());
    out.push(b'\n');
    out.extend_from_slice(&method.hash().hex(canonical_request));
    out
}

/// A message authentication code of 20 or 32 bytes; wiped on drop, because in V4 it is a key too.
#[derive(ZeroizeOnDrop)]
pub(crate) struct Code {
    bytes: [u8; 32],
    len: usize,
}

impl Code {
    fn new(tag: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let len = tag.len().min(bytes.len());
        bytes[..len].copy_from_slice(&tag[..len]);
        Self { bytes, len }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// HMAC of V1.
pub(crate) fn v1_code(method: SignatureMethod, secret: &Secret, string_to_sign: &[u8]) -> Code {
    match method {
        SignatureMethod::HmacSha1 => Code::new(hmac::sign(secret.v1(), string_to_sign).as_ref()),
        SignatureMethod::HmacSha256
        | SignatureMethod::Acs3HmacSha256
        | SignatureMethod::Acs3HmacSm3
        | SignatureMethod::Acs3RsaSha256
        | SignatureMethod::Acs4HmacSha256 => hmac_sha256(&v1_key(secret.expose()), string_to_sign),
    }
}

/// HMAC of V3: the key is the secret as it is.
pub(crate) fn v3_code(hash: Hash, secret: &Secret, string_to_sign: &[u8]) -> Code {
    match hash {
        Hash::Sha256 => Code::new(hmac::sign(secret.v3(), string_to_sign).as_ref()),
        Hash::Sm3 => match Hmac::<Sm3>::new_from_slice(secret.expose().as_bytes()) {
            Ok(mac) => Code::new(mac.chain_update(string_to_sign).finalize().into_bytes().as_slice()),
            // HMAC takes keys of every length.
            Err(_) => unreachable!("HMAC refused a key length"),
        },
    }
}

/// HMAC of V4: the key is a chain over the parts of the credential's scope.
pub(crate) fn v4_code(secret: &str, date: &str, region: &str, product: &str, string_to_sign: &[u8]) -> Code {
    let mut first = Zeroizing::new(Vec::with_capacity(V4_PREFIX.len() + secret.len()));
    first.extend_from_slice(V4_PREFIX.as_bytes());
    first.extend_from_slice(secret.as_bytes());
    let mut key = Zeroizing::new(hmac_sha256(&first, date.as_bytes()).bytes);
    for part in [region, product, V4_TERMINATOR] {
        *key = hmac_sha256(&*key, part.as_bytes()).bytes;
    }
    hmac_sha256(&*key, string_to_sign)
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> Code {
    Code::new(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::ascii;

    #[test]
    fn published_v1_example() {
        let pairs = [
            ("AccessKeyId", "testid"),
            ("Action", "DescribeRegions"),
            ("Format", "XML"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"),
            ("SignatureVersion", "1.0"),
            ("Timestamp", "2016-02-23T12:46:24Z"),
            ("Version", "2014-05-26"),
        ];
        let string_to_sign = v1_string_to_sign("GET", pairs.into_iter(), 0);
        assert_eq!(
            ascii(string_to_sign),
            "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DXML\
             %26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf\
             %26SignatureVersion%3D1.0%26Timestamp%3D2016-02-23T12%253A46%253A24Z%26Version%3D2014-05-26"
        );
    }

    #[test]
    fn digests_of_nothing_and_abc() {
        assert_eq!(hex64(digest::digest(&digest::SHA256, b"").as_ref()), *EMPTY_SHA256);
        assert_eq!(
            &Hash::Sm3.hex(b"abc"),
            b"66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
            "GB/T 32905, example 1"
        );
    }

    #[test]
    fn names_are_read_back() {
        for method in [SignatureMethod::HmacSha1, SignatureMethod::HmacSha256] {
            assert_eq!(SignatureMethod::of_v1(method.name()), Some(method));
            assert_eq!(SignatureMethod::of_header(method.name()), None);
        }
        for method in [
            SignatureMethod::Acs3HmacSha256,
            SignatureMethod::Acs3HmacSm3,
            SignatureMethod::Acs3RsaSha256,
            SignatureMethod::Acs4HmacSha256,
        ] {
            assert_eq!(SignatureMethod::of_header(method.name()), Some(method));
            assert_eq!(SignatureMethod::of_v1(method.name()), None);
        }
    }
}
