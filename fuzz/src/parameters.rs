//! Parameters into every operation: signed calls with any parameters, against a service with resources.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use quick_xml::Reader;
use quick_xml::events::Event;
use tongguan_rpc::{Format, SignatureMethod, content_type};
use tongguan_service::operation::{self, Kind, Operation, Product};
use tongguan_service::{Response, catalogue};

use crate::rig::{Manner, Rig};
use crate::wire;

/// Calls of one input at most.
const CALLS: usize = 8;
/// Changes after which the service is built anew, so that one input hardly depends on those before.
const CHANGES: u32 = 200;

/// Parameters that a V1 signature brings itself.
const SIGNATURES_OWN: [&str; 9] = [
    "AccessKeyId",
    "Action",
    "Format",
    "Signature",
    "SignatureMethod",
    "SignatureNonce",
    "SignatureVersion",
    "Timestamp",
    "Version",
];

static RIG: Mutex<Option<(Rig, u32)>> = Mutex::new(None);

/// A call on each line: one byte that says how it is sent, `Product.Action`, and after a question mark the
/// parameters as a query. `@gateway` and the like stand for ids. A line with a dot lets the engine work.
///
/// # Panics
/// If an answer is a 5xx, is not well formed, has a code that its operation does not declare, or a properly
/// signed call does not get past the gate.
pub fn parameters(data: &[u8]) {
    let mut place = RIG.lock().unwrap_or_else(PoisonError::into_inner);
    // Taken out for the time being: after a panic there is none, and the next input gets a new one.
    let (rig, mut changes) = place.take().filter(|(_, n)| *n < CHANGES).unwrap_or_else(|| (Rig::new(), 0));
    rig.settle();
    let mut changed = 0;
    for line in data.split(|byte| *byte == b'\n').take(CALLS) {
        if line == b"." {
            rig.settle();
        } else if let Some((how, call)) = line.split_first() {
            changed += u32::from(one_call(&rig, *how, &String::from_utf8_lossy(call)));
        }
    }
    if changed > 0 {
        changes += changed;
        show_all(&rig);
    }
    *place = Some((rig, changes));
}

/// Makes a call; whether it changed something.
fn one_call(rig: &Rig, how: u8, call: &str) -> bool {
    let (name, query) = call.split_once('?').unwrap_or((call, ""));
    let operation = find(name);
    let manner = manner(how);
    let v1 = manner.method == SignatureMethod::HmacSha1 || manner.method == SignatureMethod::HmacSha256;
    let pairs = wire::decode(query).unwrap_or_else(|| split(query));
    let mut pairs: BTreeMap<String, String> = pairs.into_iter().collect();
    pairs.retain(|name, _| name != "Format" && name != "SecurityToken" && name != "SignatureType");
    pairs.retain(|name, _| !v1 || !SIGNATURES_OWN.contains(&name.as_str()));
    pairs.remove("BearerToken");
    // Making an RSA key takes longer than everything else together.
    if cfg!(feature = "engine") && pairs.get("KeySpec").is_some_and(|spec| spec == "RSA_2048") {
        pairs.insert("KeySpec".into(), "EC_P256".into());
    }
    let parameters: Vec<(String, String)> =
        pairs.into_iter().map(|(name, value)| (name, rig.resolve(&value).to_owned())).collect();
    let response = rig.call(operation, &parameters, manner);
    check(operation, manner, &response);
    response.status == 200 && operation.kind() == Kind::Write
}

/// The operation of this name; for any other text one of them all the same.
fn find(name: &str) -> &'static Operation {
    let named = name.split_once('.').and_then(|(product, action)| {
        let product = Product::ALL.iter().find(|known| known.as_str() == product)?;
        operation::find(*product, action)
    });
    let sum: usize = name.bytes().map(usize::from).sum();
    named.unwrap_or(operation::ALL[sum % operation::ALL.len()])
}

/// Pairs of a query with bad escapes, as they stand.
fn split(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Six bits above `0`: POST, form, XML, two for the signature, two for the key.
fn manner(how: u8) -> Manner {
    let bits = how.wrapping_sub(b'0');
    let method = match bits >> 3 & 3 {
        0 => SignatureMethod::HmacSha1,
        1 => SignatureMethod::HmacSha256,
        2 => SignatureMethod::Acs3HmacSha256,
        _ => SignatureMethod::Acs3HmacSm3,
    };
    let key = match bits >> 5 & 3 {
        1 => "observer",
        2 => "stranger",
        _ => "root",
    };
    Manner { post: bits & 1 != 0, form: bits & 2 != 0, xml: bits & 4 != 0, method, key }
}

fn check(operation: &Operation, manner: Manner, response: &Response) {
    let shown = || format!("{}: {}", operation.action, String::from_utf8_lossy(&response.body));
    assert!(response.status < 500, "{}", shown());
    assert!(!response.request_id.is_empty());
    // What cannot be read is answered in JSON: which format was asked for is not known yet.
    let in_xml = response.content_type == content_type(Format::Xml);
    assert!(in_xml == manner.xml || response.code.as_deref() == Some(catalogue::REQUEST_MALFORMED.code));
    let found = if in_xml { xml(&response.body) } else { json(&response.body) };
    let member = |name: &str| found.get(name).map(String::as_str);
    assert_eq!(member("RequestId"), Some(&*response.request_id), "{}", shown());
    assert_eq!(response.status == 200, response.code.is_none(), "{}", shown());
    let Some(code) = &response.code else { return };
    assert_eq!(member("Code"), Some(code.as_str()), "{}", shown());
    assert!(member("Message").is_some_and(|message| !message.is_empty()), "{}", shown());
    let gateway = [&catalogue::REQUEST_MALFORMED, &catalogue::MISSING, &catalogue::THROTTLING_USER];
    let declared = operation.errors.iter().chain(&gateway).any(|known| {
        let fits = match known.code.split_once("<Param>") {
            None => known.code == code,
            Some((before, after)) => code
                .strip_prefix(before)
                .is_some_and(|rest| rest.len() > after.len() && rest.ends_with(after)),
        };
        fits && known.status == response.status
    });
    assert!(declared, "{} is not among its errors: {}", code, shown());
}

/// The members of a JSON body that are texts.
fn json(body: &[u8]) -> BTreeMap<String, String> {
    let body: serde_json::Value = serde_json::from_slice(body).expect("the body is JSON");
    let members = body.as_object().expect("the body is an object");
    members.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// The elements below the root of an XML body that hold text.
fn xml(body: &[u8]) -> BTreeMap<String, String> {
    let mut reader = Reader::from_reader(body);
    let mut found = BTreeMap::new();
    let mut open: Vec<String> = Vec::new();
    loop {
        match reader.read_event().expect("the body is XML") {
            Event::Start(start) => open.push(start.name().as_ref().to_owned()),
            Event::End(_) => drop(open.pop()),
            Event::Text(text) if open.len() == 2 => {
                let name = open[1].clone();
                found.entry(name).or_insert_with(String::new).push_str(&text);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty(), "an element is not closed");
    found
}

/// What was accepted can be shown, in both formats.
fn show_all(rig: &Rig) {
    let region = [("RegionId".to_owned(), "cn-hangzhou".to_owned())];
    for action in ["DescribeVpnGateways", "DescribeVpcs", "DescribeVSwitches"] {
        let operation = operation::find(Product::Vpc, action).expect("it is in the table");
        for xml in [false, true] {
            let manner = Manner { xml, ..Manner::PLAIN };
            let response = rig.call(operation, &region, manner);
            check(operation, manner, &response);
            assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
        }
    }
}
