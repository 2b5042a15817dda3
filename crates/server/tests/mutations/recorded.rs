//! The recorded requests of official clients.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use tongguan_rpc::{HttpRequest, Limits};

/// A recorded request: as bytes, and as the call that it makes.
pub(crate) struct Recorded {
    pub bytes: Vec<u8>,
    pub action: String,
    pub version: String,
    pub parameters: Vec<(String, String)>,
}

/// All recorded requests.
pub(crate) fn all() -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rpc/tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let read = |path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    let recorded: Vec<_> = files.iter().map(|path| one(&read(path)["request"])).collect();
    assert!(recorded.len() > 200);
    recorded
}

fn one(request: &Value) -> Recorded {
    let text = |name: &str| request[name].as_str().unwrap();
    let mut bytes = format!("{} {} HTTP/1.1\r\n", text("method"), text("target"));
    let mut headers = HeaderMap::new();
    let mut length = false;
    for (name, value) in request["headers"].as_object().unwrap() {
        let value = value.as_str().unwrap();
        length |= name.eq_ignore_ascii_case("content-length");
        bytes.push_str(&format!("{name}: {value}\r\n"));
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::try_from(value).unwrap());
    }
    let body = text("body");
    if !length && !body.is_empty() {
        bytes.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    bytes.push_str(&format!("\r\n{body}"));
    let (path, query) = text("target").split_once('?').unwrap_or((text("target"), ""));
    let method: Method = text("method").parse().unwrap();
    let parts = HttpRequest { method: &method, path, query, headers: &headers, body: body.as_bytes() };
    let incoming = tongguan_rpc::parse(parts, &Limits::default()).unwrap();
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Recorded {
        bytes: bytes.into_bytes(),
        action: incoming.claims().action().unwrap().to_owned(),
        version: incoming.claims().version().unwrap().to_owned(),
        parameters: incoming.claims().parameters().iter().map(owned).collect(),
    }
}
