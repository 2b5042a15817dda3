//! Signatures of V1, V3 and V4: a request that is signed verifies, and one that was edited afterwards does
//! only if nothing that the service reads was changed.
//!
//! The input is a few edits and a request. The request is signed here, by the second opinion, so that
//! inputs get past the signature at all.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue};
use tongguan_rpc::{
    Credential, Family, Incoming, Limits, RsaPublicKey, Secret, SignatureMethod, WireError, parse,
};

use crate::wire::{self, Wire};
use crate::{edit, oracle};

/// The secret that the recorded requests were signed with, too.
const SECRET: &str = "testsecret";

static KEY: LazyLock<Credential> = LazyLock::new(|| Credential::Secret(Secret::from(SECRET)));
static OTHER: LazyLock<Credential> = LazyLock::new(|| Credential::Secret(Secret::from("testsecreu")));
static RSA: LazyLock<Credential> = LazyLock::new(|| {
    let pem = include_str!("../../crates/rpc/tests/golden/rsa-test-key.pub.pem");
    Credential::RsaPublicKey(RsaPublicKey::from_pem(pem).expect("the recorded key is one"))
});

/// All that a service may learn of a request once it is verified.
#[derive(Debug, PartialEq)]
struct Learnt {
    family: Family,
    action: Option<String>,
    version: Option<String>,
    token: Option<String>,
    nonce: Option<String>,
    time: Result<i64, WireError>,
    scope: Option<String>,
    parameters: BTreeMap<String, String>,
}

impl Learnt {
    fn of(incoming: &Incoming<'_>) -> Self {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        let pairs = incoming.claims().parameters().iter();
        Self {
            family: incoming.family(),
            action: owned(incoming.claims().action()),
            version: owned(incoming.claims().version()),
            token: owned(incoming.security_token()),
            nonce: owned(incoming.claims().nonce()),
            time: incoming.timestamp(),
            scope: incoming.claims().scope().map(|scope| format!("{scope:?}")),
            parameters: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}

/// Requests signed by V1.
///
/// # Panics
/// If a signed request does not verify, verifies under another key, or verifies after something was changed.
pub fn verify_v1(data: &[u8]) {
    let Some((edits, text)) = edit::take(data) else { return };
    let Some(mut wire) = Wire::read(text) else { return };
    if parse(wire.http(), &Limits::default()).is_err() {
        return;
    }
    let Some(signature) = sign_v1(&mut wire) else { return };
    let Ok(incoming) = parse(wire.http(), &Limits::default()) else { return };
    if incoming.family() != Family::V1 {
        return;
    }
    let signed = oracle::v1_string_to_sign(&wire).expect("what parses can be read");
    assert_eq!(incoming.claims().string_to_sign(), Ok(signed.clone()));
    if incoming.access_key_id().is_none() {
        // Whose the signature is must be said.
        assert_eq!(incoming.verify(&KEY).map(|_| ()), Err(WireError::Missing("AccessKeyId")));
        return;
    }
    assert_eq!(incoming.verify(&KEY).map(|_| ()), Ok(()));
    assert!(matches!(incoming.verify(&OTHER), Err(WireError::SignatureMismatch { .. })));
    assert!(matches!(incoming.verify(&RSA), Err(WireError::SignatureMethod(_))));
    let learnt = Learnt::of(&incoming);
    let mut text = wire.write();
    edit::apply(edits, &mut text);
    let Some(edited) = Wire::read(&text) else { return };
    let Ok(incoming) = parse(edited.http(), &Limits::default()) else { return };
    let verified = incoming.verify(&KEY).is_ok();
    if verified {
        assert_eq!(Learnt::of(&incoming), learnt);
    }
    let same = incoming.claims().parameters().get("Signature") == Some(&signature)
        && incoming.family() == Family::V1
        && oracle::v1_string_to_sign(&edited).as_deref() == Some(&signed);
    assert_eq!(verified, same, "{:?}", String::from_utf8_lossy(&text));
}

/// Puts a right V1 signature into the query, and what must go with it.
fn sign_v1(wire: &mut Wire) -> Option<String> {
    let pairs = wire::decode(&wire.query)?;
    let form = wire.form().ok()?.map(wire::decode);
    let pairs: BTreeMap<String, String> =
        pairs.into_iter().chain(form.flatten().unwrap_or_default()).collect();
    let method = match pairs.get("SignatureMethod").map(String::as_str) {
        Some("HMAC-SHA256") => SignatureMethod::HmacSha256,
        _ => SignatureMethod::HmacSha1,
    };
    without(wire, &["Signature", "SignatureMethod", "SignatureVersion", "SignatureType"]);
    let mut add = |text: &str| {
        let joint = if wire.query.is_empty() { "" } else { "&" };
        wire.query = format!("{}{joint}{text}", wire.query);
    };
    add(&format!("SignatureMethod={}&SignatureVersion=1.0", method.name()));
    let text = oracle::v1_string_to_sign(wire)?;
    let signature = oracle::v1_signature(method, SECRET, &text);
    wire.query = format!("{}&Signature={}", wire.query, wire::encode(&signature));
    Some(signature)
}

/// Leaves out the parameters of these names, and the rest as it is spelt.
fn without(wire: &mut Wire, names: &[&str]) {
    let kept = |text: &str| {
        let other = |segment: &&str| {
            let pairs = wire::decode(segment).unwrap_or_default();
            !pairs.iter().any(|(name, _)| names.contains(&name.as_str()))
        };
        text.split('&').filter(other).collect::<Vec<_>>().join("&")
    };
    wire.query = kept(&wire.query);
    if let Ok(Some(form)) = wire.form() {
        wire.body = kept(form).into_bytes();
    }
}

/// Requests signed by V3 or V4.
///
/// # Panics
/// As [`verify_v1`].
pub fn verify_v3(data: &[u8]) {
    let Some((edits, text)) = edit::take(data) else { return };
    let Some(mut wire) = Wire::read(text) else { return };
    if parse(wire.http(), &Limits::default()).is_err() {
        return;
    }
    recorded_rsa(&wire, edits);
    let Some(plan) = Plan::of(&mut wire) else { return };
    let canonical = oracle::canonical_request(&wire, plan.method, &plan.signed);
    let Some(canonical) = canonical else { return };
    let signature = oracle::v3_signature(plan.method, SECRET, &plan.credential, &canonical);
    let Ok(header) = HeaderValue::try_from(format!(
        "{} Credential={},SignedHeaders={},Signature={signature}",
        plan.method.name(),
        plan.credential,
        plan.signed
    )) else {
        return;
    };
    wire.headers.insert("authorization", header);
    let incoming = parse(wire.http(), &Limits::default()).expect("a header changes no parameter");
    let shown = incoming.claims().canonical_request();
    assert_eq!(shown.as_deref(), Ok(&*String::from_utf8_lossy(&canonical)));
    let outcome = incoming.verify(&KEY);
    if plan.complete {
        assert_eq!(outcome.as_ref().map(|_| ()), Ok(()));
    } else {
        assert!(!matches!(outcome, Err(WireError::SignatureMismatch { .. })), "{outcome:?}");
    }
    assert!(incoming.verify(&OTHER).is_err());
    assert!(incoming.verify(&RSA).is_err());
    if outcome.is_ok() {
        covered(&incoming, &wire.headers, &plan.signed);
        edited(&wire, edits, &KEY);
    }
}

/// How a request is to be signed.
struct Plan {
    method: SignatureMethod,
    credential: String,
    signed: String,
    /// The list of signed headers was made here and leaves nothing out.
    complete: bool,
}

impl Plan {
    /// Takes from the input what can be taken, and mends the rest.
    fn of(wire: &mut Wire) -> Option<Self> {
        let given = wire.headers.get("authorization").and_then(|value| value.to_str().ok());
        let given = given.unwrap_or_default().to_owned();
        let part = |name: &str| {
            let start = given.split_once(name)?.1;
            start.split(',').next().map(|part| part.trim().to_owned())
        };
        let method = match given.split(' ').next() {
            Some("ACS3-HMAC-SM3") => SignatureMethod::Acs3HmacSm3,
            Some("ACS4-HMAC-SHA256") => SignatureMethod::Acs4HmacSha256,
            _ => SignatureMethod::Acs3HmacSha256,
        };
        let mut credential = part("Credential=").filter(|id| !id.is_empty()).unwrap_or("testid".to_owned());
        if method == SignatureMethod::Acs4HmacSha256 {
            let date = wire.headers.get("x-acs-date").and_then(|value| value.to_str().ok());
            let day: String =
                date?.trim().split_once('T')?.0.chars().filter(|letter| *letter != '-').collect();
            if day.len() != 8 || !day.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let id = credential.split('/').next().unwrap_or_default();
            let id = if id.is_empty() { "testid" } else { id };
            credential = format!("{id}/{day}/cn-hangzhou/Vpc/aliyun_v4_request");
        }
        let hash = HeaderValue::try_from(oracle::hash(method, &wire.body)).ok()?;
        wire.headers.remove("x-acs-content-sm3");
        wire.headers.remove("x-acs-accesskey-id");
        wire.headers.insert("x-acs-content-sha256", hash);
        if !wire.headers.contains_key("host") {
            wire.headers.insert("host", HeaderValue::from_static("vpc.test"));
        }
        // A body is not accepted without the header that says what it is.
        if !wire.body.is_empty() && !wire.headers.contains_key("content-type") {
            wire.headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
        let own = part("SignedHeaders=").filter(|list| plain(list));
        let complete = own.is_none();
        let signed = own.unwrap_or_else(|| every_header(&mut wire.headers));
        Some(Self { method, credential, signed, complete })
    }
}

/// Whether the service could read this as a list of names at all.
fn plain(list: &str) -> bool {
    let names: Vec<&str> = list.split(';').collect();
    let letters = |name: &&str| {
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    names.iter().all(|name| !name.is_empty()) && names.iter().all(letters) && names.contains(&"host")
}

/// The names of all headers, those that must come once made to.
fn every_header(headers: &mut HeaderMap) -> String {
    let mut names: Vec<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.retain(|name| {
        name != "authorization" && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    });
    names.sort();
    for name in names.iter().filter(|name| name.starts_with("x-acs-")) {
        if let (Ok(name), Some(value)) = (name.parse::<http::HeaderName>(), headers.get(name).cloned()) {
            headers.insert(name, value);
        }
    }
    names.join(";")
}

/// What the service reads stands in headers that were signed, and once.
fn covered(incoming: &Incoming<'_>, headers: &HeaderMap, signed: &str) {
    let signed: Vec<&str> = signed.split(';').collect();
    let read = [
        ("x-acs-action", incoming.claims().action().is_some()),
        ("x-acs-version", incoming.claims().version().is_some()),
        ("x-acs-date", incoming.timestamp().is_ok()),
        ("x-acs-signature-nonce", incoming.claims().nonce().is_some()),
        ("x-acs-security-token", incoming.security_token().is_some()),
    ];
    for (name, used) in read {
        let known = headers.contains_key(name);
        assert!(!known || signed.contains(&name), "{name} is not signed");
        assert!(!used || headers.get_all(name).iter().count() == 1, "{name} is read and ambiguous");
    }
    assert!(signed.contains(&"host"));
}

/// A signed request with edits verifies only if the service learns the same from it.
fn edited(wire: &Wire, edits: &[u8], key: &Credential) {
    let signed = parse(wire.http(), &Limits::default()).expect("it parsed before");
    let mut text = wire.write();
    edit::apply(edits, &mut text);
    let Some(edited) = Wire::read(&text) else { return };
    let Ok(incoming) = parse(edited.http(), &Limits::default()) else { return };
    if incoming.verify(key).is_ok() {
        assert_eq!(Learnt::of(&incoming), Learnt::of(&signed), "{:?}", String::from_utf8_lossy(&text));
        assert_eq!(edited.body, wire.body);
        assert_eq!(edited.method, wire.method);
    }
}

/// Requests recorded with an RSA signature cannot be signed here; edits to them are tried all the same.
fn recorded_rsa(wire: &Wire, edits: &[u8]) {
    let verified = parse(wire.http(), &Limits::default()).is_ok_and(|incoming| incoming.verify(&RSA).is_ok());
    if verified {
        edited(wire, edits, &RSA);
    }
}
