//! What is answered before an operation is reached: keys, signatures, times, nonces, versions, rates, and the forms
//! of a request.

use http::{HeaderMap, HeaderValue, Method};
use tongguan_rpc::{ClientCall, Format, OutgoingRequest, Placement, Secret, SignatureMethod, Signer};
use tongguan_service::catalogue;
use tongguan_service::context::{Clock as _, iso8601};

use crate::common::Rig;
use crate::exchange::{Answer, Stage};
use crate::mask::Mask;
use crate::tape::Tape;

/// One request, and what is done to it once it is signed.
struct Request<'a> {
    name: &'a str,
    method: Method,
    placement: Placement,
    signature: SignatureMethod,
    format: Format,
    key: &'a str,
    token: Option<&'a str>,
    action: &'a str,
    version: &'a str,
    timestamp: Option<&'a str>,
    nonce: Option<&'a str>,
    parameters: &'a [(&'a str, &'a str)],
    /// Replacements in the query or the form.
    edits: &'a [(&'a str, &'a str)],
    /// Headers, in place of those of the signer; an empty one is taken away.
    headers: &'a [(&'static str, &'a str)],
}

const PLAIN: Request<'static> = Request {
    name: "all is well",
    method: Method::POST,
    placement: Placement::Query,
    signature: SignatureMethod::HmacSha1,
    format: Format::Json,
    key: "root",
    token: None,
    action: "DescribeVpnGateways",
    version: "2016-04-28",
    timestamp: None,
    nonce: None,
    parameters: &[("RegionId", "cn-hangzhou")],
    edits: &[],
    headers: &[],
};

/// V3 instead of V1.
const V3: Request<'static> = Request { signature: SignatureMethod::Acs3HmacSha256, ..PLAIN };

/// What is wrong with a request, and every way of sending a good one.
fn requests() -> Vec<Request<'static>> {
    let edited = |name, edits| Request { name, edits, ..PLAIN };
    let headed = |name, headers| Request { name, headers, ..V3 };
    vec![
        PLAIN,
        Request { name: "a GET", method: Method::GET, ..PLAIN },
        Request { name: "a form", placement: Placement::Form, ..PLAIN },
        Request { name: "V1 with SHA-256", signature: SignatureMethod::HmacSha256, ..PLAIN },
        Request { name: "V3", ..V3 },
        Request { name: "V3, a GET", method: Method::GET, ..V3 },
        Request { name: "V3, a form", placement: Placement::Form, ..V3 },
        Request { name: "V3 with SM3", signature: SignatureMethod::Acs3HmacSm3, ..PLAIN },
        Request { name: "V3, in XML", format: Format::Xml, ..V3 },
        Request { name: "neither GET nor POST", method: Method::PUT, ..PLAIN },
        edited("no format", &[("Format=json&", "")]),
        edited("no key", &[("AccessKeyId=root&", "")]),
        edited("no signature", &[("Signature=", "X=")]),
        edited("no nonce", &[("SignatureNonce=", "X=")]),
        edited("no time", &[("Timestamp=", "X=")]),
        Request { name: "no version", version: "", ..PLAIN },
        Request { name: "no action", action: "", ..PLAIN },
        edited("no signature method", &[("SignatureMethod=HMAC-SHA1&", "")]),
        edited("another signature method", &[("SignatureMethod=HMAC-SHA1", "SignatureMethod=HMAC-MD5")]),
        edited("another signature version", &[("SignatureVersion=1.0", "SignatureVersion=2.0")]),
        edited(
            "bearer tokens",
            &[("SignatureVersion=1.0", "SignatureVersion=1.0&SignatureType=BEARERTOKEN")],
        ),
        edited(
            "another type of signature",
            &[("SignatureVersion=1.0", "SignatureVersion=1.0&SignatureType=X")],
        ),
        edited("a signature that is none", &[("Signature=", "Signature=%21%21&X=")]),
        edited("a signature of another call", &[("cn-hangzhou", "cn-shanghai")]),
        edited(
            "a name with two values",
            &[("RegionId=cn-hangzhou", "RegionId=cn-hangzhou&RegionId=cn-beijing")],
        ),
        edited("a bad escape", &[("RegionId=cn-hangzhou", "RegionId=%zz")]),
        edited("no UTF-8", &[("RegionId=cn-hangzhou", "RegionId=%ff")]),
        edited("an unknown format, of a wrong signature", &[("Format=json", "Format=yaml")]),
        Request { name: "a key of nobody", key: "unknown", ..PLAIN },
        Request { name: "a key that is switched off", key: "retired", ..PLAIN },
        Request { name: "a key with a wrong secret", key: "forger", ..PLAIN },
        Request { name: "a temporary key without a token", key: "STS.unknown", ..PLAIN },
        Request {
            name: "a temporary key with a token of nobody",
            key: "STS.unknown",
            token: Some("made up"),
            ..PLAIN
        },
        Request { name: "a token beside a lasting key", token: Some("made up"), ..PLAIN },
        Request { name: "a time that is none", timestamp: Some("2027-01-15 08:00:00"), ..PLAIN },
        Request { name: "a time long ago", timestamp: Some("2027-01-15T07:44:00Z"), ..PLAIN },
        Request { name: "a time to come", timestamp: Some("2027-01-15T08:16:00Z"), ..PLAIN },
        Request { name: "a nonce", nonce: Some("once"), ..PLAIN },
        Request { name: "the nonce again", nonce: Some("once"), ..PLAIN },
        Request { name: "the nonce of another key", nonce: Some("once"), key: "stranger", ..PLAIN },
        Request { name: "an unknown version", version: "2016-04-29", ..PLAIN },
        Request { name: "an unknown action", action: "DescribeVpnGatewayColour", ..PLAIN },
        Request { name: "an action of another product", action: "CreateUser", ..PLAIN },
        Request { name: "an action in other letters", action: "describevpngateways", ..PLAIN },
        Request {
            name: "an unknown action, in XML",
            action: "DescribeNothing",
            format: Format::Xml,
            ..PLAIN
        },
        headed("V3, no authorization", &[("authorization", "")]),
        headed("V3, an authorization that is none", &[("authorization", "ACS3-HMAC-SHA256 nonsense")]),
        headed(
            "V3, another method",
            &[("authorization", "ACS3-HMAC-MD5 Credential=root,SignedHeaders=host,Signature=00")],
        ),
        headed(
            "V3, headers that are not signed",
            &[(
                "authorization",
                "ACS3-HMAC-SHA256 Credential=root,SignedHeaders=host,Signature=\
             0000000000000000000000000000000000000000000000000000000000000000",
            )],
        ),
        headed("V3, no date", &[("x-acs-date", "")]),
        headed("V3, no nonce", &[("x-acs-signature-nonce", "")]),
        headed("V3, no action", &[("x-acs-action", "")]),
        headed("V3, no version", &[("x-acs-version", "")]),
        headed("V3, the hash of another body", &[("x-acs-content-sha256", "00")]),
        headed("a body of another type", &[("content-type", "application/json")]),
    ]
}

/// Sends a request. Its nonce is its name if it has no other.
async fn send(stage: &Stage, request: &Request<'_>, tape: &mut Tape) -> Answer {
    let signed = signed(&stage.rig, request);
    let (_, mut query) = signed
        .path_and_query
        .split_once('?')
        .map_or(("", String::new()), |(path, query)| (path, query.to_owned()));
    let mut body = String::from_utf8(signed.body).unwrap();
    for (from, to) in request.edits {
        assert!(query.contains(from) || body.contains(from), "{}: no {from} in {query}", request.name);
        query = query.replace(from, to);
        body = body.replace(from, to);
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &signed.headers {
        headers.insert(http::HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    for (name, value) in request.headers {
        if value.is_empty() {
            headers.remove(*name);
        } else {
            headers.insert(*name, HeaderValue::try_from(*value).unwrap());
        }
    }
    let answer = stage.send(&signed.method, &query, &headers, body.as_bytes()).await;
    tape.note(&format!("{}: {}", request.name, request.method), &answer);
    answer
}

fn signed(rig: &Rig, request: &Request<'_>) -> OutgoingRequest {
    let timestamp = request.timestamp.map_or_else(|| iso8601(rig.clock.now_ms()), str::to_owned);
    let (id, secret) = match request.key {
        "forger" => ("root", "not-the-secret".to_owned()),
        key => (key, format!("{key} secret")),
    };
    let signer = Signer {
        access_key_id: id.to_owned(),
        secret: Secret::from(secret.as_str()),
        security_token: request.token.map(str::to_owned),
        method: request.signature,
    };
    let parameters: Vec<_> =
        request.parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let call = ClientCall {
        http_method: request.method.clone(),
        host: "vpc.test",
        action: request.action,
        version: request.version,
        parameters: &parameters,
        placement: request.placement,
        format: request.format,
        timestamp: &timestamp,
        nonce: request.nonce.unwrap_or(request.name),
    };
    signer.sign(&call)
}

/// Makes every request, and compares the answers with the recording.
pub(crate) async fn play() -> Result<usize, String> {
    let mut tape = Tape::new("gate/requests.txt", Mask::default());
    let stage = Stage::new(Rig::new("0"));
    for request in requests() {
        send(&stage, &request, &mut tape).await;
    }
    tape.say("# the limits of a request");
    let many: Vec<String> = (0..2_000).map(|number| format!("a{number}=")).collect();
    let long = [format!("{}=", "n".repeat(20_000)), format!("a={}", "v".repeat(2_000_000)), many.join("&")];
    for (name, query) in ["a long name", "a long value", "many parameters"].into_iter().zip(long) {
        let answer = stage.send(&Method::POST, &query, &HeaderMap::new(), b"").await;
        tape.note(name, &answer);
    }
    tape.say("# what cannot be read: the listener has its answer from here");
    for code in catalogue::ALL.iter().filter(|code| LISTENER.contains(&code.code)) {
        let answer = stage.refuse(code).await;
        tape.note(code.code, &answer);
    }
    tape.say("# rates");
    let stage = Stage::new(Rig::new("0").rated(1, 1));
    send(&stage, &Request { name: "as often as allowed", ..PLAIN }, &mut tape).await;
    send(&stage, &Request { name: "once more", ..PLAIN }, &mut tape).await;
    let mut silent = Tape::new("", Mask::default());
    for number in 0..GUESSES {
        let name = format!("guess {number}");
        send(&stage, &Request { name: &name, key: "forger", ..PLAIN }, &mut silent).await;
    }
    send(&stage, &Request { name: "a guess too many", key: "forger", ..PLAIN }, &mut tape).await;
    tape.end()
}

/// Wrong signatures, more than a source may send at once.
const GUESSES: usize = 1_000;
/// Codes that the listener answers, or that a fault is answered with.
const LISTENER: &[&str] = &[
    "InvalidParameter.BodyTooLarge",
    "InvalidParameter.BodyIncomplete",
    "InvalidParameter.RequestHead",
    "InternalError",
    "ServiceUnavailable",
    "InvalidParameter.RequestHeadTooLarge",
    "InvalidParameter.RequestTargetTooLong",
    "InvalidParameter.Host",
    "InvalidParameter.TransferEncoding",
];
