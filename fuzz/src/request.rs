//! Reading a request and merging its parameters.

use std::collections::BTreeMap;

use http::{HeaderValue, Method};
use tongguan_rpc::{Credential, Family, Incoming, Limits, Params, Secret, WireError, parse};

use crate::wire::{self, Wire};
use crate::within;

/// Names that belong to the gateway and are found by name only.
const COMMON: [&str; 12] = [
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

/// Bytes that reading may hold beside a multiple of the input: a thousand pairs and their sorting.
const SLACK: usize = 256 * 1024;
/// Bytes that reading may hold per byte of input.
const FACTOR: usize = 4;

/// Any request is read as a second reader reads it, in memory bounded by its size; what was read can be
/// written and read again; and it does not matter which half of it stood in the query.
///
/// # Panics
/// If one of these does not hold.
pub fn request(data: &[u8]) {
    let Some(wire) = Wire::read(data) else { return };
    let limits = Limits::default();
    let size = wire.query.len() + wire.body.len();
    let outcome = within(FACTOR * size + SLACK, || parse(wire.http(), &limits));
    let expected = expected(&wire, &limits);
    assert_eq!(outcome.is_ok(), expected.is_some(), "{:?}", outcome.err());
    swapped(&wire, &limits, outcome.is_ok());
    let (Ok(incoming), Some(expected)) = (outcome, expected) else { return };
    assert_eq!(all_pairs(&incoming), expected);
    claims(&incoming);
    lists(incoming.claims().parameters(), &expected);
    written_again(&wire, &incoming, &expected, &limits);
    let text = within(16 * (data.len() + SLACK), || incoming.claims().string_to_sign());
    let outcome = incoming.verify(&Credential::Secret(Secret::from("a secret nobody signed with")));
    assert!(outcome.is_err(), "verified: {text:?}");
    if let (Ok(text), Err(WireError::SignatureMismatch { string_to_sign })) = (text, outcome) {
        // A long one is told by its begin.
        assert!(text == string_to_sign || (text.len() > 8_192 && text[..8_192] == string_to_sign[..8_192]));
    }
}

/// What a second reader makes of the request; none if it must be refused.
fn expected(wire: &Wire, limits: &Limits) -> Option<BTreeMap<String, String>> {
    if ![Method::GET, Method::POST].contains(&wire.method) || !wire.path.trim_matches('/').is_empty() {
        return None;
    }
    if wire.path.is_empty() {
        return None;
    }
    let mut pairs = wire::decode(&wire.query)?;
    pairs.extend(wire::decode(wire.form().ok()?.unwrap_or_default())?);
    let fits = |(name, value): &(String, String)| {
        name.len() <= limits.name_bytes && value.len() <= limits.value_bytes
    };
    (pairs.len() <= limits.parameters && pairs.iter().all(fits)).then(|| wire::merge(pairs))?
}

/// Every pair that the service can see.
fn all_pairs(incoming: &Incoming<'_>) -> BTreeMap<String, String> {
    let params = incoming.claims().parameters();
    let common = COMMON.iter().filter_map(|name| Some((*name, params.get(name)?)));
    params.iter().chain(common).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn claims(incoming: &Incoming<'_>) {
    let claims = [
        incoming.claims().action(),
        incoming.claims().version(),
        incoming.access_key_id(),
        incoming.security_token(),
        incoming.claims().nonce(),
    ];
    assert!(claims.into_iter().flatten().all(|claim| !claim.is_empty()));
    let _ = (
        incoming.require_common(),
        incoming.timestamp(),
        incoming.claims().scope(),
        incoming.claims().bearer_token(),
    );
    let shown = format!("{incoming:?}");
    assert!(!shown.is_empty());
    let signed = matches!(incoming.family(), Family::V3 | Family::V4);
    assert!(incoming.claims().canonical_request().is_err() || signed);
}

/// Lists and structures hold what the flat names say.
fn lists(params: &Params<'_>, pairs: &BTreeMap<String, String>) {
    for name in pairs.keys().filter_map(|name| name.split('.').next()).take(20) {
        let below = pairs.keys().filter(|known| known.starts_with(&format!("{name}."))).count();
        if let Ok(list) = params.list(name) {
            assert_eq!(list.len(), below);
        }
        let structs = params.structs(name);
        assert!(structs.is_sorted_by(|a, b| a.0 < b.0));
        for (index, fields) in &structs {
            for (field, value) in fields.iter() {
                assert_eq!(pairs.get(&format!("{name}.{index}.{field}")).map(String::as_str), Some(value));
            }
        }
        assert!(structs.iter().map(|(_, fields)| fields.iter().count()).sum::<usize>() <= below);
    }
}

/// The pairs written down in order, all in the query, are the same request.
fn written_again(wire: &Wire, incoming: &Incoming<'_>, pairs: &BTreeMap<String, String>, limits: &Limits) {
    let again = Wire { query: wire::query(pairs), body: Vec::new(), ..wire.clone() };
    let again = parse(again.http(), limits).map(|again| {
        assert_eq!(all_pairs(&again), *pairs);
        assert_eq!(again.family(), incoming.family());
        assert_eq!(again.format(), incoming.format());
        assert_eq!(again.claims().action(), incoming.claims().action());
        assert_eq!(again.claims().parameters().digest(&[]), incoming.claims().parameters().digest(&[]));
    });
    assert!(again.is_ok(), "{again:?}");
}

/// With query and form changed over, the request is as good or as bad as before.
fn swapped(wire: &Wire, limits: &Limits, good: bool) {
    let Ok(Some(form)) = wire.form() else { return };
    if wire.query.is_empty() {
        return;
    }
    let mut swapped = Wire { query: form.to_owned(), body: wire.query.clone().into_bytes(), ..wire.clone() };
    swapped.headers.insert(
        "content-type",
        HeaderValue::from_static("Application/X-WWW-Form-Urlencoded ; charset=utf-8"),
    );
    assert_eq!(parse(swapped.http(), limits).is_ok(), good);
}
