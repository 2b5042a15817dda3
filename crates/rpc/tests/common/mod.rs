//! Owned requests for tests, and the recorded ones.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use tongguan_rpc::{
    Credential, HttpRequest, Incoming, Limits, OutgoingRequest, RsaPublicKey, Secret, WireError,
};

/// An HTTP request that owns its parts.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Owned {
    pub(crate) fn new(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        Self {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: map,
            body: body.as_bytes().to_vec(),
        }
    }

    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.headers.insert(name, value.parse().unwrap());
    }

    pub(crate) fn parse(&self) -> Result<Incoming<'_>, WireError> {
        let request = HttpRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
        };
        tongguan_rpc::parse(request, &Limits::default())
    }
}

impl From<&OutgoingRequest> for Owned {
    fn from(request: &OutgoingRequest) -> Self {
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let mut owned = Self::new(request.method.as_str(), &request.path_and_query, &headers, "");
        owned.body.clone_from(&request.body);
        owned
    }
}

pub(crate) fn secret(text: &str) -> Credential {
    Credential::Secret(Secret::from(text))
}

/// One recorded request of an official client.
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) json: Value,
    pub(crate) request: Owned,
    pub(crate) key: Credential,
}

impl Golden {
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer).and_then(Value::as_str)
    }

    pub(crate) fn is_signed(&self) -> bool {
        self.text("/signature/algorithm") != Some("none")
    }

    pub(crate) fn is_rsa(&self) -> bool {
        self.text("/signature/algorithm") == Some("ACS3-RSA-SHA256")
    }
}

/// All recorded requests.
pub(crate) fn golden() -> Vec<Golden> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let pem = std::fs::read_to_string(folder.join("rsa-test-key.pub.pem")).unwrap();
    let rsa = RsaPublicKey::from_pem(&pem).unwrap();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    assert_eq!(files.len(), 205);
    files.iter().map(|path| read(path, &rsa)).collect()
}

fn read(path: &std::path::Path, rsa: &RsaPublicKey) -> Golden {
    let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let field = |name: &str| json["request"][name].as_str().unwrap();
    let headers: Vec<(&str, &str)> = json["request"]["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let request = Owned::new(field("method"), field("target"), &headers, field("body"));
    let mut golden = Golden {
        name: path.file_stem().unwrap().to_string_lossy().into_owned(),
        key: secret("testsecret"),
        request,
        json,
    };
    if golden.is_rsa() {
        golden.key = Credential::RsaPublicKey(rsa.clone());
    }
    golden
}
