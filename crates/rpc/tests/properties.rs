//! What must hold for every input, tried with random ones from a fixed seed.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Owned, secret};
use http::Method;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use quick_xml::Reader;
use quick_xml::events::Event;
use tongguan_rpc::{
    ClientCall, Credential, ErrorBody, Format, Placement, RsaPublicKey, Secret, SignatureMethod, Signer,
};
use tongguan_testkit::api::VPC;

const HMAC_METHODS: [SignatureMethod; 4] = [
    SignatureMethod::HmacSha1,
    SignatureMethod::HmacSha256,
    SignatureMethod::Acs3HmacSha256,
    SignatureMethod::Acs3HmacSm3,
];

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(0x2016_0428),
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

fn check<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    TestRunner::new(config(cases)).run(&strategy, test).unwrap();
}

/// Names that do not clash with the common ones, and any values.
fn parameters() -> impl Strategy<Value = Vec<(String, String)>> {
    btree_map("\\PC{0,20}x", any::<String>(), 0..12).prop_map(|map| map.into_iter().collect())
}

#[derive(Debug, Clone)]
struct Case {
    parameters: Vec<(String, String)>,
    secret: String,
    token: Option<String>,
    post: bool,
    form: bool,
    xml: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let token = proptest::option::of("[!-~]{1,40}");
    (parameters(), any::<String>(), token, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(parameters, secret, token, post, form, xml)| Case { parameters, secret, token, post, form, xml },
    )
}

fn sign(case: &Case, method: SignatureMethod, secret: &str) -> Owned {
    let signer = Signer {
        access_key_id: "testid".to_owned(),
        secret: Secret::from(secret),
        security_token: case.token.clone(),
        method,
    };
    let call = ClientCall {
        http_method: if case.post { Method::POST } else { Method::GET },
        host: "127.0.0.1:8080",
        action: "DescribeVpnGateways",
        version: VPC,
        parameters: &case.parameters,
        placement: if case.form { Placement::Form } else { Placement::Query },
        format: if case.xml { Format::Xml } else { Format::Json },
        timestamp: "2026-11-23T02:42:22Z",
        nonce: "6f1df79be3e135be0e88c4dc917b8ae4",
    };
    Owned::from(&signer.sign(&call))
}

/// The request arrives as it was meant and verifies with this key only.
fn check_signed(request: &Owned, case: &Case, key: &Credential) -> Result<(), TestCaseError> {
    let incoming = request.parse().unwrap();
    prop_assert_eq!(incoming.require_common(), Ok(()));
    prop_assert_eq!(incoming.verify(key).map(|_| ()), Ok(()));
    let received: Vec<(String, String)> = incoming
        .claims()
        .parameters()
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    prop_assert_eq!(&received, &case.parameters);
    prop_assert_eq!(incoming.claims().action(), Some("DescribeVpnGateways"));
    prop_assert_eq!(incoming.claims().version(), Some(VPC));
    prop_assert_eq!(incoming.access_key_id(), Some("testid"));
    prop_assert_eq!(incoming.security_token(), case.token.as_deref());
    prop_assert_eq!(incoming.timestamp(), Ok(1_795_401_742));
    prop_assert_eq!(incoming.format() == Format::Xml, case.xml);
    Ok(())
}

#[test]
fn what_the_client_signs_verifies_with_its_secret_only() {
    check(300, (case(), any::<String>()), |(case, other)| {
        for method in HMAC_METHODS {
            let request = sign(&case, method, &case.secret);
            check_signed(&request, &case, &secret(&case.secret))?;
            // HMAC pads keys with zeros, so those at the end do not tell keys apart.
            if other.trim_end_matches('\0') != case.secret.trim_end_matches('\0') {
                prop_assert!(request.parse().unwrap().verify(&secret(&other)).is_err());
            }
        }
        Ok(())
    });
}

static RSA: LazyLock<[(String, RsaPublicKey); 2]> = LazyLock::new(|| {
    [(), ()].map(|()| {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let private = STANDARD.encode(private.as_ref());
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(public.as_ref())
        );
        (private, RsaPublicKey::from_pem(&pem).unwrap())
    })
});

#[test]
fn what_an_rsa_key_signs_verifies_with_its_public_half_only() {
    check(20, (case(), any::<bool>()), |(case, pem)| {
        let [(private, public), (_, other)] = &*RSA;
        let private = if pem {
            format!("-----BEGIN PRIVATE KEY-----\n{private}\n-----END PRIVATE KEY-----\n")
        } else {
            private.clone()
        };
        let request = sign(&case, SignatureMethod::Acs3RsaSha256, &private);
        check_signed(&request, &case, &Credential::RsaPublicKey(public.clone()))?;
        let other = Credential::RsaPublicKey(other.clone());
        prop_assert!(request.parse().unwrap().verify(&other).is_err());
        Ok(())
    });
}

/// Text that looks like a query often enough to get somewhere.
fn query_like() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "([&=%+.]|Signature|Method|Timestamp|Tag|[0-9A-Fa-f]{1,2}|%[0-9A-F]{2}){0,40}",
    ]
}

#[test]
fn no_input_makes_the_parser_panic() {
    let header = prop_oneof![
        vec(0x20..=0xff_u8, 0..60),
        "ACS[34]-HMAC-S(HA256|M3) (Credential=[a/]{0,9}|,|SignedHeaders=(host|;|x-acs-date){0,4}|,|Signature=[0-9a-f]{0,66}){0,6}"
            .prop_map(String::into_bytes),
    ];
    let names = ["authorization", "x-acs-date", "accept", "x-acs-content-sha256", "host", "x-acs-action"];
    let headers = vec((proptest::sample::select(names.to_vec()), header), 0..6);
    let body = prop_oneof![vec(any::<u8>(), 0..80), query_like().prop_map(String::into_bytes)];
    check(4000, (query_like(), headers, body, any::<bool>()), |(query, headers, body, form)| {
        let mut request = Owned::new("POST", "/", &[], "");
        request.query = query;
        request.body = body;
        for (name, value) in headers {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                request.headers.append(name, value);
            }
        }
        if form {
            request.set("content-type", "application/x-www-form-urlencoded");
        }
        if let Ok(incoming) = request.parse() {
            let claims = [
                incoming.claims().action(),
                incoming.claims().version(),
                incoming.access_key_id(),
                incoming.claims().nonce(),
            ];
            prop_assert!(claims.into_iter().flatten().all(|claim| !claim.is_empty()));
            let _ = (incoming.require_common(), incoming.timestamp(), incoming.claims().string_to_sign());
            let _ = (incoming.format(), incoming.claims().scope(), incoming.claims().canonical_request());
            let _ =
                (incoming.claims().parameters().list("Tag"), incoming.claims().parameters().structs("Tag"));
            prop_assert!(incoming.verify(&secret("testsecret")).is_err());
        }
        Ok(())
    });
}

#[test]
fn flattened_lists_and_structures_come_back() {
    let list = btree_map(1..=u32::MAX, any::<String>(), 0..12);
    let structs = btree_map(1..200_u32, btree_map("[A-Z][a-z.]{0,6}", any::<String>(), 1..4), 0..8);
    check(300, (list, structs), |(list, structs)| {
        let mut case = Case {
            parameters: Vec::new(),
            secret: String::new(),
            token: None,
            post: true,
            form: true,
            xml: false,
        };
        for (index, value) in &list {
            case.parameters.push((format!("List.{index}"), value.clone()));
        }
        for (index, fields) in &structs {
            for (field, value) in fields {
                case.parameters.push((format!("Tag.{index}.{field}"), value.clone()));
            }
        }
        let request = sign(&case, SignatureMethod::HmacSha1, "");
        let incoming = request.parse().unwrap();
        let params = incoming.claims().parameters();
        prop_assert_eq!(params.list("List").unwrap(), list.values().collect::<Vec<_>>());
        let found = params.structs("Tag");
        prop_assert_eq!(found.len(), structs.len());
        for ((index, fields), (expected_index, expected)) in found.iter().zip(&structs) {
            prop_assert_eq!(index, expected_index);
            prop_assert_eq!(fields.iter().count(), expected.len());
            for (field, value) in expected {
                prop_assert_eq!(fields.get(field), Some(value.as_str()));
            }
        }
        Ok(())
    });
}

/// The texts of all elements below the root, as a parser reads them.
fn xml_texts(body: &[u8]) -> Vec<(String, String)> {
    let mut reader = Reader::from_reader(body);
    let mut texts = Vec::new();
    let mut open: Vec<(String, String)> = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                open.push((start.name().as_ref().to_owned(), String::new()));
            }
            Event::Text(text) => {
                if let Some((_, sum)) = open.last_mut() {
                    sum.push_str(&text);
                }
            }
            Event::GeneralRef(entity) => {
                let c = match entity.resolve_char_ref().unwrap() {
                    Some(c) => c,
                    None => match &*entity {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        "quot" => '"',
                        "apos" => '\'',
                        other => panic!("unknown entity {other}"),
                    },
                };
                open.last_mut().unwrap().1.push(c);
            }
            Event::End(_) => texts.push(open.pop().unwrap()),
            Event::Eof => return texts,
            Event::Decl(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

fn allowed_in_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

#[test]
fn text_survives_xml() {
    let text = || prop_oneof![any::<String>(), "([<>&'\"\r\n\t\u{0}\u{1f}]|\\]\\]>|&amp;|[a-z]){0,20}"];
    check(500, (text(), text()), |(code, message)| {
        let body = ErrorBody {
            request_id: "id",
            host_id: "",
            code: &code,
            message: &message,
            recommend: String::new(),
            access_denied_detail: None,
            http_status: Some(400),
        };
        let rendered = body.render(Format::Xml, "Error");
        prop_assert!(std::str::from_utf8(&rendered).unwrap().chars().all(allowed_in_xml));
        let texts = xml_texts(&rendered);
        let sent = |text: &str| -> String {
            text.chars().map(|c| if allowed_in_xml(c) { c } else { '\u{fffd}' }).collect()
        };
        let expected = [
            ("RequestId", "id".to_owned()),
            ("HostId", String::new()),
            ("Code", sent(&code)),
            ("Message", sent(&message)),
            ("Recommend", String::new()),
            ("HttpStatus", "400".to_owned()),
            ("Error", String::new()),
        ];
        let expected: Vec<(String, String)> = expected.map(|(name, text)| (name.to_owned(), text)).into();
        prop_assert_eq!(texts, expected);
        let json: serde_json::Value = serde_json::from_slice(&body.render(Format::Json, "Error")).unwrap();
        prop_assert_eq!(json["Message"].as_str(), Some(message.as_str()));
        Ok(())
    });
}
