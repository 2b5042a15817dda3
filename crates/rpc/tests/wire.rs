//! Rules of the wire, one by one, on requests made by hand or by the crate's own client.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Owned, secret};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use sm3::Sm3;
use tongguan_rpc::{
    ClientCall, Credential, Family, Format, KeyError, Placement, RsaPublicKey, Secret, SignError,
    SignatureMethod, Signer, WireError,
};
use tongguan_testkit::api::VPC;

const FORM: &str = "application/x-www-form-urlencoded";

const PUBLISHED: &str = "/?Timestamp=2016-02-23T12%3A46%3A24Z&Format=XML&AccessKeyId=testid&Action=DescribeRegions\
    &SignatureMethod=HMAC-SHA1&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&Version=2014-05-26\
    &SignatureVersion=1.0&Signature=OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D";

fn get(target: &str) -> Owned {
    Owned::new("GET", target, &[], "")
}

fn signer(method: SignatureMethod) -> Signer {
    Signer {
        access_key_id: "testid".to_owned(),
        secret: Secret::from("testsecret"),
        security_token: None,
        method,
    }
}

/// A signed CreateVpnGateway with one parameter.
fn signed(method: SignatureMethod, placement: Placement) -> Owned {
    let parameters = [("Name".to_owned(), "a b".to_owned())];
    let call = ClientCall {
        http_method: Method::POST,
        host: "127.0.0.1:8080",
        action: "CreateVpnGateway",
        version: VPC,
        parameters: &parameters,
        placement,
        format: Format::Json,
        timestamp: "2026-11-23T02:42:22Z",
        nonce: "6f1df79be3e135be0e88c4dc917b8ae4",
    };
    Owned::from(&signer(method).sign(&call))
}

fn v3() -> Owned {
    signed(SignatureMethod::Acs3HmacSha256, Placement::Query)
}

fn verify(request: &Owned) -> Result<(), WireError> {
    request.parse()?.verify(&secret("testsecret")).map(|_| ())
}

fn replace_authorization(request: &mut Owned, from: &str, to: &str) {
    let text = request.headers["authorization"].to_str().unwrap().to_owned();
    assert!(text.contains(from));
    request.set("authorization", &text.replace(from, to));
}

#[track_caller]
fn assert_incomplete(request: &Owned, detail: &str) {
    match verify(request) {
        Err(WireError::IncompleteSignature(found)) => assert!(found.contains(detail), "{found}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn published_v1_vectors() {
    assert_eq!(verify(&get(PUBLISHED)), Ok(()));
    let sha256 = PUBLISHED
        .replace("2016-02-23T12%3A46%3A24Z", "2016-03-24T16%3A41%3A54Z")
        .replace("XML", "JSON")
        .replace("SHA1", "SHA256")
        .replace("OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D", "oPN9Od7Zc5sCrdn6oVxvg9c8cODiaSmopDhtVdxMKXA%3D");
    assert_eq!(verify(&get(&sha256)), Ok(()));
}

#[test]
fn methods_and_paths() {
    for method in ["PUT", "HEAD", "DELETE", "get"] {
        assert_eq!(Owned::new(method, "/", &[], "").parse().err(), Some(WireError::Method));
    }
    for path in ["/x", "/x/", "//x", "", "*", "/%2F"] {
        assert_eq!(get(path).parse().err(), Some(WireError::Path), "{path}");
    }
    for path in ["/", "//", "///"] {
        let request = Owned { path: path.to_owned(), ..v3() };
        assert_eq!(verify(&request), Ok(()), "{path}");
    }
}

#[test]
fn families() {
    let family = |target: &str, headers: &[(&str, &str)]| {
        Owned::new("POST", target, headers, "").parse().unwrap().family()
    };
    let acs3 = ("authorization", "ACS3-HMAC-SHA256 Credential=a");
    let bearer = ("x-acs-bearer-token", "t");
    let action = ("x-acs-action", "A");
    assert_eq!(family("/?Signature=x", &[acs3]), Family::V3);
    assert_eq!(family("/?SignatureType=BEARERTOKEN", &[acs3, bearer]), Family::V3);
    assert_eq!(family("/", &[("authorization", "ACS4-HMAC-SHA256 Credential=a")]), Family::V4);
    assert_eq!(family("/?Signature=x", &[action, bearer]), Family::V1);
    assert_eq!(family("/?SignatureMethod=x", &[]), Family::V1);
    assert_eq!(family("/?Signature=", &[("authorization", "Basic x")]), Family::V1);
    assert_eq!(family("/?SignatureType=BEARERTOKEN&Signature=x", &[]), Family::Bearer);
    assert_eq!(family("/", &[bearer]), Family::Bearer);
    assert_eq!(family("/?Action=A&AccessKeyId=x", &[action]), Family::Anonymous);
}

#[test]
fn v1_does_not_read_unsigned_headers() {
    let mut request = get("/?Signature=x");
    for name in
        ["x-acs-action", "x-acs-version", "x-acs-security-token", "x-acs-signature-nonce", "x-acs-date"]
    {
        request.set(name, "2026-11-23T02:42:22Z");
    }
    request.set("accept", "text/xml");
    let incoming = request.parse().unwrap();
    assert_eq!(
        [
            incoming.claims().action(),
            incoming.claims().version(),
            incoming.security_token(),
            incoming.claims().nonce()
        ],
        [None; 4]
    );
    assert_eq!(incoming.timestamp(), Err(WireError::Missing("Timestamp")));
    assert_eq!(incoming.format(), Format::Json);
}

#[test]
fn formats() {
    let format = |target: &str, accept: &str| {
        let mut request = v3();
        request.query = target.to_owned();
        request.set("accept", accept);
        request.parse().unwrap().format()
    };
    for accept in ["text/xml", "application/xml;q=1", "image/png, Text/XML, application/json"] {
        assert_eq!(format("", accept), Format::Xml, "{accept}");
        assert_eq!(format("Format=json", accept), Format::Json);
        assert_eq!(format("Format=None", accept), Format::Json);
    }
    for accept in ["", "*/*", "application/json, text/xml", "text/html"] {
        assert_eq!(format("", accept), Format::Json, "{accept}");
        assert_eq!(format("Format=xMl", accept), Format::Xml);
    }
    assert_eq!(get(PUBLISHED).parse().unwrap().format(), Format::Xml);
}

#[test]
fn v1_common_parameters_are_missed_in_order() {
    let names =
        ["AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp"];
    for (at, name) in names.into_iter().enumerate() {
        let present: Vec<String> = names[..at].iter().map(|name| format!("{name}=x")).collect();
        let empty = format!("/?{}&{name}=", present.join("&"));
        let absent = format!("/?{}", present.join("&"));
        for target in [empty, absent] {
            assert_eq!(
                get(&target).parse().unwrap().require_common(),
                Err(WireError::Missing(name)),
                "{target}"
            );
        }
    }
    assert_eq!(get(PUBLISHED).parse().unwrap().require_common(), Ok(()));
}

#[test]
fn v3_common_parameters_are_missed_in_order() {
    let mut request = v3();
    assert_eq!(request.parse().unwrap().require_common(), Ok(()));
    for (name, expected) in [
        ("x-acs-content-sha256", None),
        ("x-acs-signature-nonce", Some("SignatureNonce")),
        ("x-acs-date", Some("Timestamp")),
    ] {
        request.headers.remove(name);
        let result = request.parse().unwrap().require_common();
        match expected {
            Some(expected) => assert_eq!(result, Err(WireError::Missing(expected))),
            None => assert!(matches!(result, Err(WireError::IncompleteSignature(_)))),
        }
    }
    request.set("authorization", "ACS3-HMAC-SHA256 Credential=a,Signature=b");
    let result = request.parse().unwrap().require_common();
    assert!(matches!(result, Err(WireError::IncompleteSignature(_))));
}

#[test]
fn unknown_signature_methods_and_versions() {
    let sha512 = PUBLISHED.replace("HMAC-SHA1", "HMAC-SHA512");
    assert_eq!(verify(&get(&sha512)), Err(WireError::SignatureMethod("HMAC-SHA512".to_owned())));
    let version = PUBLISHED.replace("Version=1.0", "Version=2.0");
    assert_eq!(verify(&get(&version)), Err(WireError::SignatureVersion("2.0".to_owned())));
    let mut request = v3();
    replace_authorization(&mut request, "ACS3-HMAC-SHA256", "ACS3-HMAC-MD5");
    assert_eq!(verify(&request), Err(WireError::SignatureMethod("ACS3-HMAC-MD5".to_owned())));
}

#[test]
fn malformed_v1_signatures_are_told_from_wrong_ones() {
    let with =
        |signature: &str| verify(&get(&PUBLISHED.replace("OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D", signature)));
    for signature in [
        "x",
        "AAAA",
        "OLeaidS1JvxuMvnyHOwuJ+uX5qY=",
        "OLeaidS1JvxuMvnyHOwuJ%2BuX5qY",
        "OLeaidS1JvxuMvnyHOwuJ%2BuX5qZ=",
    ] {
        assert!(matches!(with(signature), Err(WireError::IncompleteSignature(_))), "{signature}");
    }
    let long = "A".repeat(400);
    assert!(matches!(with(&long), Err(WireError::IncompleteSignature(_))));
    assert!(matches!(with("AAAAidS1JvxuMvnyHOwuJ%2BuX5qY="), Err(WireError::SignatureMismatch { .. })));
    assert_eq!(with(""), Err(WireError::Missing("Signature")));
}

#[test]
fn malformed_v3_signatures_are_told_from_wrong_ones() {
    let signature = |to: &str| {
        let mut request = v3();
        let text = request.headers["authorization"].to_str().unwrap().to_owned();
        let (head, _) = text.split_once("Signature=").unwrap();
        request.set("authorization", &format!("{head}Signature={to}"));
        request
    };
    assert_incomplete(&signature("xyz"), "hex");
    assert_incomplete(&signature("abc"), "hex");
    assert_incomplete(&signature(&"AB".repeat(32)), "hex");
    assert_incomplete(&signature("abcd"), "length");
    assert!(matches!(verify(&signature(&"ab".repeat(32))), Err(WireError::SignatureMismatch { .. })));
    assert_eq!(verify(&signature("")), Err(WireError::Missing("Signature")));
}

#[test]
fn v3_signs_what_the_server_reads() {
    let mut request = v3();
    replace_authorization(&mut request, "host;", "");
    assert_incomplete(&request, "host is not signed");
    for name in ["x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce"] {
        let mut request = v3();
        replace_authorization(&mut request, &format!("{name};"), "");
        assert_incomplete(&request, "x-acs-* header is not signed");
    }
    for name in ["x-acs-security-token", "x-acs-accesskey-id", "x-acs-content-sm3"] {
        let mut request = v3();
        request.set(name, "testid");
        assert_incomplete(&request, "x-acs-* header is not signed");
    }
    let mut request = signed(SignatureMethod::Acs3HmacSha256, Placement::Form);
    assert_eq!(verify(&request), Ok(()));
    replace_authorization(&mut request, "content-type;", "");
    assert_incomplete(&request, "content-type is not signed");
    let mut other = v3();
    other.set("x-acs-trace", "not read by anyone");
    assert_eq!(verify(&other), Ok(()));
}

#[test]
fn v3_lists_are_sorted_lower_case_and_present() {
    for (from, to) in [
        ("accept;host", "host;accept"),
        ("accept;host", "accept;accept;host"),
        ("host", "Host"),
        ("accept;", "accept;;"),
    ] {
        let mut request = v3();
        replace_authorization(&mut request, from, to);
        assert_incomplete(&request, "sorted list");
    }
    // All of them stand behind the header in the order of the list.
    for (header, listed) in [("x-b_9", true), ("x_trace", true), ("x.trace", false), ("x|trace", false)] {
        let mut request = v3();
        request.headers.insert(header, "1".parse().unwrap());
        replace_authorization(&mut request, "x-acs-version", &format!("x-acs-version;{header}"));
        if listed {
            assert!(matches!(verify(&request), Err(WireError::SignatureMismatch { .. })), "{header}");
        } else {
            assert_incomplete(&request, "sorted list");
        }
    }
    let mut request = v3();
    request.headers.remove("host");
    assert_incomplete(&request, "host is absent");
    let mut request = v3();
    request.headers.remove("x-acs-date");
    assert_incomplete(&request, "");
}

#[test]
fn v3_headers_that_are_read_come_once() {
    let mut request = v3();
    request.headers.append("x-acs-action", "DeleteVpnGateway".parse().unwrap());
    assert_eq!(request.parse().unwrap().claims().action(), None);
    assert_incomplete(&request, "more than once");
    let mut request = signed(SignatureMethod::Acs3HmacSha256, Placement::Form);
    request.headers.append("content-type", "text/plain".parse().unwrap());
    assert!(matches!(verify(&request), Err(WireError::UnsupportedMediaType(_))));
}

#[test]
fn v3_payload_must_be_the_hashed_one() {
    let mut request = signed(SignatureMethod::Acs3HmacSha256, Placement::Form);
    request.body = b"Name=a+b".to_vec();
    assert_eq!(request.parse().unwrap().claims().parameters().get("Name"), Some("a b"));
    assert!(matches!(verify(&request), Err(WireError::SignatureMismatch { .. })));
}

#[test]
fn v3_parameters_with_v1_names_are_plain() {
    let mut request = v3();
    request.query = "Action=x&Signature=y&Format=xml&Name=n".to_owned();
    let incoming = request.parse().unwrap();
    let names: Vec<&str> = incoming.claims().parameters().iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Action", "Name", "Signature"]);
    assert_eq!(incoming.claims().action(), Some("CreateVpnGateway"));
}

#[test]
fn a_named_access_key_must_be_the_signing_one() {
    let mut with_token = signer(SignatureMethod::Acs3HmacSha256);
    with_token.security_token = Some("token".to_owned());
    let call = ClientCall {
        http_method: Method::GET,
        host: "h",
        action: "A",
        version: "V",
        parameters: &[],
        placement: Placement::Query,
        format: Format::Xml,
        timestamp: "2026-11-23T02:42:22Z",
        nonce: "n",
    };
    let mut request = Owned::from(&with_token.sign(&call));
    assert_eq!(verify(&request), Ok(()));
    let incoming = request.parse().unwrap();
    assert_eq!((incoming.security_token(), incoming.format()), (Some("token"), Format::Xml));
    replace_authorization(&mut request, "Credential=testid", "Credential=other");
    assert_incomplete(&request, "differs from Credential");
}

#[test]
fn sm3_payload_header_may_have_its_own_name() {
    let mut request = signed(SignatureMethod::Acs3HmacSm3, Placement::Query);
    let hash = request.headers.remove("x-acs-content-sha256").unwrap();
    request.headers.insert("x-acs-content-sm3", hash);
    replace_authorization(&mut request, "x-acs-content-sha256", "x-acs-content-sm3");
    assert_eq!(request.parse().unwrap().require_common(), Ok(()));
    // Still signed under the other name.
    assert!(matches!(verify(&request), Err(WireError::SignatureMismatch { .. })));
    let text = request.parse().unwrap().claims().string_to_sign().unwrap();
    let mac = Hmac::<Sm3>::new_from_slice(b"testsecret").unwrap().chain_update(&text);
    let signature = hex::encode(mac.finalize().into_bytes());
    let sent = request.headers["authorization"].to_str().unwrap();
    let sent = sent.rsplit('=').next().unwrap().to_owned();
    replace_authorization(&mut request, &sent, &signature);
    assert_eq!(verify(&request), Ok(()));
}

#[test]
fn v4_scope_must_have_its_form_and_the_date_of_the_request() {
    let golden = common::golden();
    let recorded = golden.iter().find(|golden| golden.name.contains("sigv4")).unwrap();
    assert_eq!(
        recorded.request.parse().unwrap().claims().scope().map(|s| (s.date, s.region, s.product)),
        Some(("20261123", "cn-hangzhou", "Kms"))
    );
    for (from, to, detail) in [
        ("/20261123/", "/20261124/", "date"),
        ("/20261123/", "/2026-11-23/", "date"),
        ("/aliyun_v4_request", "/aliyun_v3_request", "scope"),
        ("/Kms/", "/", "scope"),
    ] {
        let mut request = recorded.request.clone();
        replace_authorization(&mut request, from, to);
        assert_incomplete(&request, detail);
    }
    let mut request = recorded.request.clone();
    replace_authorization(&mut request, "/Kms/", "/Vpc/");
    assert!(matches!(verify(&request), Err(WireError::SignatureMismatch { .. })));
}

#[test]
fn bodies_count_when_they_are_forms() {
    let names = |content_type: &str, body: &str| -> Result<Vec<String>, WireError> {
        let request = Owned::new("GET", "/?a=1", &[("content-type", content_type)], body);
        let incoming = request.parse()?;
        Ok(incoming.claims().parameters().iter().map(|(name, _)| name.to_owned()).collect())
    };
    for content_type in [FORM, "Application/X-WWW-Form-Urlencoded ; charset=UTF-8"] {
        assert_eq!(names(content_type, "b=2").unwrap(), ["a", "b"]);
    }
    for content_type in ["application/json", "application/octet-stream", ""] {
        assert_eq!(names(content_type, "{\"b\":2}").unwrap(), ["a"]);
    }
    assert_eq!(names(FORM, "a=2"), Err(WireError::ConflictingParameter("a".to_owned())));
    let binary =
        Owned { body: vec![b'a', b'=', 0xff], ..Owned::new("POST", "/", &[("content-type", FORM)], "") };
    assert!(matches!(binary.parse(), Err(WireError::Encoding(_))));
    let packed = Owned::new("POST", "/", &[("content-type", FORM), ("content-encoding", "gzip")], "x");
    assert!(matches!(packed.parse(), Err(WireError::UnsupportedMediaType(_))));
}

#[test]
fn the_bytes_to_verify_are_those_of_query_and_body() {
    let request = Owned::new("POST", "/?a=1", &[("content-type", FORM)], "bb=22");
    assert_eq!(request.parse().unwrap().bytes(), "a=1".len() + "bb=22".len());
}

#[test]
fn timestamps_are_read_where_the_family_has_them() {
    assert_eq!(get(PUBLISHED).parse().unwrap().timestamp(), Ok(1_456_231_584));
    assert_eq!(v3().parse().unwrap().timestamp(), Ok(1_795_401_742));
    let doubly = PUBLISHED.replace("%3A", "%253A");
    assert_eq!(get(&doubly).parse().unwrap().timestamp(), Err(WireError::TimestampFormat));
}

#[test]
fn requests_without_signature_do_not_verify() {
    let error = verify(&get("/?Action=A")).unwrap_err();
    assert_eq!(error, WireError::Missing("SignatureMethod"));
    let bearer = Owned::new("POST", "/", &[("x-acs-bearer-token", "t")], "");
    assert!(matches!(verify(&bearer), Err(WireError::Unsupported(_))));
    let token = get("/?SignatureType=BEARERTOKEN&BearerToken=t");
    assert_eq!(token.parse().unwrap().claims().bearer_token(), Some("t"));
    assert!(
        token.parse().unwrap().claims().parameters().is_empty(),
        "common parameters are none of the product"
    );
    let none = get("/?SignatureType=BEARERTOKEN");
    assert_eq!(none.parse().unwrap().require_common(), Err(WireError::Missing("BearerToken")));
}

#[test]
fn client_errors() {
    let call = ClientCall {
        http_method: Method::GET,
        host: "h",
        action: "A",
        version: "V",
        parameters: &[],
        placement: Placement::Form,
        format: Format::Json,
        timestamp: "t",
        nonce: "n",
    };
    let result = signer(SignatureMethod::Acs4HmacSha256).try_sign(&call);
    assert_eq!(result, Err(SignError::Method("ACS4-HMAC-SHA256")));
    let mut rsa = signer(SignatureMethod::Acs3RsaSha256);
    rsa.secret = Secret::from("no Base64!");
    assert_eq!(rsa.try_sign(&call), Err(SignError::Key(KeyError::Pem)));
    rsa.secret = Secret::from("AAAA");
    assert_eq!(rsa.try_sign(&call), Err(SignError::Key(KeyError::Rsa)));
}

#[test]
fn a_longer_rsa_key_signs_too() {
    let key = RsaKeyPair::generate(KeySize::Rsa3072).unwrap();
    let pem = |label: &str, der: &[u8]| {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    };
    let private: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let mut signer = signer(SignatureMethod::Acs3RsaSha256);
    signer.secret = Secret::from(pem("PRIVATE KEY", private.as_ref()));
    let call = ClientCall {
        http_method: Method::GET,
        host: "h",
        action: "A",
        version: "V",
        parameters: &[],
        placement: Placement::Query,
        format: Format::Json,
        timestamp: "2026-11-23T02:42:22Z",
        nonce: "n",
    };
    let request = Owned::from(&signer.try_sign(&call).unwrap());
    let public = RsaPublicKey::from_pem(&pem("PUBLIC KEY", public.as_ref())).unwrap();
    let incoming = request.parse().unwrap();
    assert!(incoming.verify(&Credential::RsaPublicKey(public)).is_ok());
}

#[test]
fn nothing_prints_values() {
    let request =
        Owned::new("POST", "/?Psk=hunter2&Tag.1.Key=hunter2", &[("content-type", FORM)], "Psk2=hunter2");
    let incoming = request.parse().unwrap();
    let tags = incoming.claims().parameters().structs("Tag");
    let printed = format!("{incoming:?} {:?} {tags:?}", incoming.claims().parameters());
    assert!(printed.contains("Psk2") && !printed.contains("hunter2"), "{printed}");
}
