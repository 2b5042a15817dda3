//! What the official clients sent is accepted, and nothing that differs in a signed byte is.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Golden, Owned, golden, secret};
use http::{HeaderName, HeaderValue, Method};
use tongguan_rpc::{Family, Incoming, SignatureMethod, WireError, parse_timestamp};
use tongguan_testkit::api::{KMS, VPC};

/// Everything the server reads of a request's parameters, the common ones included.
fn decoded(incoming: &Incoming<'_>) -> Vec<(String, String)> {
    let common = [
        "AccessKeyId",
        "Action",
        "BearerToken",
        "Format",
        "SecurityToken",
        "Signature",
        "SignatureMethod",
        "SignatureNonce",
        "SignatureType",
        "SignatureVersion",
        "Timestamp",
        "Version",
    ];
    let mut pairs: Vec<_> = incoming
        .claims()
        .parameters()
        .iter()
        .chain(common.into_iter().filter_map(|name| Some((name, incoming.claims().parameters().get(name)?))))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    pairs.sort();
    pairs.dedup();
    pairs
}

/// The version that the call is of: what the recording says, in those of more products than two.
fn version(golden: &Golden) -> &str {
    let of_client = if golden.name.contains("kms") { KMS } else { VPC };
    golden.text("/version").unwrap_or(of_client)
}

#[test]
fn every_signed_request_verifies() {
    for golden in golden().iter().filter(|golden| golden.is_signed()) {
        let name = &golden.name;
        let incoming = golden.request.parse().unwrap();
        incoming.require_common().unwrap();
        let verified = incoming.verify(&golden.key).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Some(verified.access_key_id()), golden.text("/credentials/access_key_id"), "{name}");
        assert_eq!(verified.action(), golden.text("/action"), "{name}");
        assert_eq!(verified.version(), Some(version(golden)), "{name}");
        assert!(verified.nonce().unwrap().len() >= 32, "{name}");
        let algorithm = golden.text("/signature/algorithm").unwrap();
        let method = incoming.signature_method().unwrap();
        assert_eq!(method.name(), algorithm.trim_end_matches(" v1.0"), "{name}");
        assert_eq!(
            Some(incoming.claims().string_to_sign().unwrap().as_str()),
            golden.text("/signature/string_to_sign"),
            "{name}"
        );
        let family = match method {
            SignatureMethod::HmacSha1 | SignatureMethod::HmacSha256 => Family::V1,
            SignatureMethod::Acs4HmacSha256 => Family::V4,
            _ => Family::V3,
        };
        assert_eq!((incoming.family(), verified.family()), (family, family), "{name}");
        let scope = verified.scope().map(|scope| (scope.date, scope.region, scope.product));
        let expected = (family == Family::V4).then_some(("20261123", "cn-hangzhou", "Kms"));
        assert_eq!(scope, expected, "{name}");
        if family == Family::V1 {
            assert!(incoming.claims().canonical_request().is_err());
        } else {
            assert_eq!(
                Some(incoming.claims().canonical_request().unwrap().as_str()),
                golden.text("/signature/canonical_request"),
                "{name}"
            );
        }
    }
}

#[test]
fn every_request_says_who_and_what() {
    for golden in golden() {
        let name = &golden.name;
        let incoming = golden.request.parse().unwrap();
        assert_eq!(incoming.claims().action(), golden.text("/action"), "{name}");
        assert_eq!(incoming.claims().version(), Some(version(&golden)), "{name}");
        assert_eq!(incoming.access_key_id(), golden.text("/credentials/access_key_id"), "{name}");
        assert_eq!(incoming.security_token(), golden.text("/credentials/security_token"), "{name}");
        assert_eq!(incoming.security_token().is_some(), name.ends_with("-sts"), "{name}");
        assert!(incoming.claims().nonce().unwrap().len() >= 32, "{name}");
        let day = golden.text("/captured").unwrap_or("2026-11-23");
        let captured = parse_timestamp(&format!("{day}T00:00:00Z")).unwrap();
        assert!((0..86_400).contains(&(incoming.timestamp().unwrap() - captured)), "{name}");
        check_call(&golden, &incoming);
    }
}

/// Scalar arguments of the call arrive as sent, booleans in any case.
fn check_call(golden: &Golden, incoming: &Incoming<'_>) {
    for (name, value) in golden.json["call"].as_object().unwrap() {
        let expected = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
            _ => continue,
        };
        let Some(sent) = incoming.claims().parameters().get(name) else {
            // Clients older than a parameter drop it.
            let old = ["20160428-1.0.1-", "20160428-2.0.28-"].iter().any(|old| golden.name.contains(old));
            assert!(old, "{}: {name} is absent", golden.name);
            continue;
        };
        assert!(sent == expected || value.is_boolean() && sent.eq_ignore_ascii_case(&expected), "{name}");
    }
}

#[test]
fn bearer_requests_are_recognised() {
    let bearers: Vec<Golden> = golden().into_iter().filter(|golden| !golden.is_signed()).collect();
    assert_eq!(bearers.len(), 2);
    for golden in bearers {
        let incoming = golden.request.parse().unwrap();
        assert_eq!(incoming.family(), Family::Bearer);
        assert_eq!(incoming.claims().bearer_token(), Some("testbearer"));
        assert_eq!(incoming.require_common(), Ok(()));
        assert!(matches!(incoming.verify(&golden.key), Err(WireError::Unsupported(_))));
    }
}

#[test]
fn no_other_key_verifies() {
    let all = golden();
    let rsa = &all.iter().find(|golden| golden.is_rsa()).unwrap().key;
    for golden in all.iter().filter(|golden| golden.is_signed()) {
        let incoming = golden.request.parse().unwrap();
        let result = incoming.verify(&secret("testsecreu")).map(|_| ());
        if golden.is_rsa() {
            assert!(matches!(result, Err(WireError::SignatureMethod(_))));
        } else {
            let string_to_sign = incoming.claims().string_to_sign().unwrap();
            assert_eq!(result, Err(WireError::SignatureMismatch { string_to_sign }));
            assert!(matches!(incoming.verify(rsa), Err(WireError::SignatureMethod(_))));
        }
    }
}

/// Changes one recorded request and counts what became of it.
struct Mutation<'g> {
    golden: &'g Golden,
    original: Vec<(String, String)>,
    refused: usize,
    harmless: usize,
}

impl<'g> Mutation<'g> {
    fn new(golden: &'g Golden) -> Self {
        let original = decoded(&golden.request.parse().unwrap());
        Self { golden, original, refused: 0, harmless: 0 }
    }

    /// Asserts that the changed request is refused, unless the change is none to the server:
    /// another spelling of the same parameters.
    fn check(&mut self, changed: &Owned, what: &str, may_be_spelling: bool) {
        let Ok(incoming) = changed.parse() else {
            self.refused += 1;
            return;
        };
        if incoming.verify(&self.golden.key).is_err() {
            self.refused += 1;
            return;
        }
        let same = may_be_spelling && decoded(&incoming) == self.original;
        assert!(same, "{}: {what} changed and accepted", self.golden.name);
        self.harmless += 1;
    }

    fn everything(&mut self) {
        let golden = self.golden;
        let mut changed = golden.request.clone();
        changed.method = if changed.method == "GET" { Method::POST } else { Method::GET };
        self.check(&changed, "method", false);
        for query in changes(golden.request.query.as_bytes()) {
            let Ok(query) = String::from_utf8(query) else { continue };
            self.check(&Owned { query, ..golden.request.clone() }, "query", true);
        }
        let is_v1 = golden.text("/signature/canonical_request").is_none();
        for body in changes(&golden.request.body) {
            self.check(&Owned { body, ..golden.request.clone() }, "body", is_v1);
        }
        let signed = golden.json["signature"]["signed_headers"].as_array();
        for name in signed.into_iter().flatten().map(|name| name.as_str().unwrap()) {
            self.header(name);
        }
    }

    fn header(&mut self, name: &str) {
        let key: HeaderName = name.parse().unwrap();
        let mut absent = self.golden.request.clone();
        let value = absent.headers.remove(&key).unwrap();
        self.check(&absent, name, false);
        for changed in changes(value.as_bytes()) {
            let Ok(changed) = HeaderValue::from_bytes(&changed) else { continue };
            let mut request = self.golden.request.clone();
            request.headers.insert(&key, changed);
            self.check(&request, name, false);
        }
        let mut repeated = self.golden.request.clone();
        repeated.headers.append(&key, value);
        self.check(&repeated, name, false);
    }
}

/// Every byte of `text`, changed in two ways: its lowest bit, and the bit that makes the other case of a letter.
fn changes(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..text.len()).flat_map(move |at| {
        [1, 0x20].map(|bit| {
            let mut changed = text.to_vec();
            changed[at] ^= bit;
            changed
        })
    })
}

#[test]
fn no_signed_byte_may_change() {
    for golden in golden().iter().filter(|golden| golden.is_signed()) {
        let mut mutation = Mutation::new(golden);
        mutation.everything();
        let Mutation { refused, harmless, .. } = mutation;
        assert!(refused > 250 && harmless * 10 < refused, "{}: {refused} {harmless}", golden.name);
    }
}

/// The id of V3 is not signed: it selects the key. Everything else in the header counts.
#[test]
fn no_byte_of_the_authorization_may_change() {
    for golden in golden().iter().filter(|golden| golden.is_signed()) {
        let Some(value) = golden.request.headers.get("authorization") else { continue };
        let text = value.to_str().unwrap();
        let id = text.find("testid").unwrap();
        for (at, changed) in changes(text.as_bytes()).enumerate() {
            let in_id = (id..id + "testid".len()).contains(&(at / 2));
            let Ok(changed) = HeaderValue::from_bytes(&changed) else { continue };
            let mut request = golden.request.clone();
            request.headers.insert("authorization", changed);
            let accepted = request.parse().is_ok_and(|incoming| incoming.verify(&golden.key).is_ok());
            assert!(!accepted || in_id, "{}: byte {} of {text}", golden.name, at / 2);
        }
    }
}

/// Of the V1 headers only the content type matters, and it cannot be used to drop the form.
#[test]
fn a_form_cannot_be_hidden() {
    for golden in golden().iter().filter(|golden| golden.is_signed() && !golden.request.body.is_empty()) {
        for content_type in ["application/json", "text/plain"] {
            let mut request = golden.request.clone();
            request.set("content-type", content_type);
            let incoming = request.parse().unwrap();
            assert!(incoming.verify(&golden.key).is_err(), "{}", golden.name);
        }
    }
}
