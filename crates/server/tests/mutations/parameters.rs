//! Calls with changed parameters, signed with the server's own key, so that they get past the gate.

use std::collections::BTreeMap;

use ::http::Method;
use tongguan_rpc::{Format, OutgoingRequest, Placement, SignatureMethod};
use tongguan_service::operation::ALL;
use tongguan_testkit::api::{KMS, REGION, VPC};
use tongguan_testkit::{Call, Manner, Stamp, http};

use crate::random::Random;
use crate::recorded::Recorded;
use crate::server::{Server, key};

/// Ids of what there is, by the parameters that take them.
pub type Ids = Vec<(&'static str, String)>;

/// Values that are seldom right.
const VALUES: [&str; 33] = [
    "",
    " ",
    "0",
    "-1",
    "1",
    "4294967296",
    "18446744073709551616",
    "9223372036854775807",
    "1e9",
    "NaN",
    "true",
    "FALSE",
    "null",
    "[]",
    "[\"a.example.com\",\"\"]",
    "{\"a\":{\"b\":[[[[]]]]}}",
    "\u{0}",
    "a\u{0}b",
    "\r\nx: y",
    "通关",
    "\u{202e}\u{feff}\u{10ffff}",
    "%00%2525",
    "' OR 1=1 --",
    "<a>&amp;]]>",
    "10.0.0.0/8",
    "::/0",
    "999.1.1.1/99",
    "CN=a,OU=b,O=c,C=CN",
    "CN=\\,OU=\"",
    "EC_SM2",
    "EC_P256",
    "NationalStandard",
    "../../etc/passwd",
];

/// Makes one resource of each kind.
pub fn furnish(server: &Server) -> Ids {
    const AT: (&str, &str) = ("RegionId", REGION);
    let text = |answer: serde_json::Value, name: &str| answer[name].as_str().unwrap().to_owned();
    let vpc = text(server.call("CreateVpc", VPC, &[AT]), "VpcId");
    wait(server, "DescribeVpcAttribute", ("VpcId", &vpc), "Available");
    let wanted = [AT, ("VpcId", &*vpc), ("Bandwidth", "10"), ("VpnType", "NationalStandard")];
    let gateway = text(server.call("CreateVpnGateway", VPC, &wanted), "VpnGatewayId");
    wait(server, "DescribeVpnGateway", ("VpnGatewayId", &gateway), "active");
    let subject = ("Subject", "CN=a,OU=b,O=c,C=CN");
    let made = server.call("CreateCertificate", KMS, &[("KeySpec", "EC_SM2"), subject]);
    vec![
        ("RegionId", REGION.to_owned()),
        ("VpcId", vpc),
        ("VpnGatewayId", gateway.clone()),
        ("ResourceId.1", gateway),
        ("CertificateId", text(made, "CertificateId")),
    ]
}

fn wait(server: &Server, action: &str, id: (&str, &str), status: &str) {
    for _ in 0..200 {
        let shown = server.call(action, VPC, &[("RegionId", REGION), id]);
        if shown["Status"] == status {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{} does not become {status}", id.1);
}

/// An ordinary call as bytes.
pub fn plain(action: &str, version: &str, values: Vec<(String, String)>) -> Vec<u8> {
    let manner = (SignatureMethod::HmacSha1, Placement::Query, Format::Json);
    written(&signed(action, version, &values, Method::POST, manner))
}

/// A recorded call with changed parameters, signed anew.
pub fn signed_anew(recorded: &[Recorded], ids: &Ids, random: &mut Random) -> Vec<u8> {
    let call = random.pick(recorded);
    let (mut action, mut version) = (call.action.clone(), call.version.clone());
    let mut values: BTreeMap<String, String> = call.parameters.iter().cloned().collect();
    if random.once_in(3) {
        let operation = random.pick(ALL);
        action = operation.action.to_owned();
        version = operation.product.version().to_owned();
        for parameter in operation.parameters.iter().filter(|parameter| parameter.required) {
            values.entry(parameter.name.to_owned()).or_insert_with(|| value(random));
        }
    }
    for (name, id) in ids {
        if values.contains_key(*name) && !random.once_in(4) {
            values.insert((*name).to_owned(), id.clone());
        }
    }
    for _ in 0..random.below(4) {
        change(&mut values, random);
    }
    match random.below(40) {
        0 => action.push('x'),
        1 => action = action.to_lowercase(),
        2 => action.clear(),
        3 => version = "2016-04-29".to_owned(),
        4 => version = KMS.to_owned(),
        _ => {}
    }
    let methods = [
        SignatureMethod::HmacSha1,
        SignatureMethod::HmacSha256,
        SignatureMethod::Acs3HmacSha256,
        SignatureMethod::Acs3HmacSm3,
    ];
    let placement = if random.once_in(2) { Placement::Form } else { Placement::Query };
    let format = if random.once_in(3) { Format::Xml } else { Format::Json };
    let http_method = if random.once_in(3) { Method::GET } else { Method::POST };
    let values: Vec<(String, String)> = values.into_iter().collect();
    written(&signed(&action, &version, &values, http_method, (*random.pick(&methods), placement, format)))
}

/// One change to the parameters.
fn change(values: &mut BTreeMap<String, String>, random: &mut Random) {
    let names: Vec<String> = values.keys().cloned().collect();
    let name = if names.is_empty() { "RegionId".to_owned() } else { random.pick(&names).clone() };
    match random.below(9) {
        0 => drop(values.remove(&name)),
        1 | 2 => drop(values.insert(name, value(random))),
        3 => {
            let value = values.remove(&name).unwrap_or_default();
            let suffix = random.pick(&[".1", ".0", ".01", ".", ".2.Key", ".99999999999", "x", "\0"]);
            values.insert(format!("{name}{suffix}"), value);
        }
        4 => {
            let value = values.remove(&name).unwrap_or_default();
            values.insert(name.to_uppercase(), value);
        }
        5 => {
            let operation = random.pick(ALL);
            if !operation.parameters.is_empty() {
                values.insert(random.pick(operation.parameters).name.to_owned(), value(random));
            }
        }
        6 => {
            let mut letters: Vec<char> = values.get(&name).cloned().unwrap_or_default().chars().collect();
            let at = random.below(letters.len() + 1);
            letters.insert(at, char::from(random.byte()));
            values.insert(name, letters.into_iter().collect());
        }
        7 if random.once_in(8) => {
            let count = [25, 60, 999, 1_001][random.below(4)];
            values.extend((0..count).map(|at| (format!("ResourceId.{at}"), "x".to_owned())));
        }
        _ => {
            for at in 0..random.below(25) {
                values.insert(format!("Tag.{at}.Key"), value(random));
                values.insert(format!("Tag.{at}.Value"), value(random));
            }
        }
    }
}

fn value(random: &mut Random) -> String {
    match random.below(20) {
        0 => "x".repeat(random.below(3_000)),
        1 if random.once_in(10) => "通".repeat(20_000),
        _ => (*random.pick(&VALUES)).to_owned(),
    }
}

fn signed(
    action: &str,
    version: &str,
    values: &[(String, String)],
    http_method: Method,
    (signature, placement, format): (SignatureMethod, Placement, Format),
) -> OutgoingRequest {
    let call = Call { version, action, parameters: values.to_vec(), placement };
    let manner = Manner { signature, http_method, format, host: "127.0.0.1" };
    key().sign(&call, &manner, &Stamp::now())
}

/// A request as it goes over the wire; one without a body does not say how long that is.
pub fn written(request: &OutgoingRequest) -> Vec<u8> {
    match request.body.as_slice() {
        [] => (http::head(request, "") + "\r\n").into_bytes(),
        _ => http::bytes(request, ""),
    }
}

/// A recorded call as it was made, but signed now.
pub fn as_recorded(call: &Recorded, random: &mut Random) -> Vec<u8> {
    let method = if random.once_in(2) { SignatureMethod::HmacSha1 } else { SignatureMethod::Acs3HmacSha256 };
    let placement = if random.once_in(2) { Placement::Form } else { Placement::Query };
    let manner = (method, placement, Format::Json);
    written(&signed(&call.action, &call.version, &call.parameters, Method::POST, manner))
}
