//! Requests that own their parts, as a listener hands them to the service.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tongguan_rpc::{HttpRequest, Incoming, Limits, OutgoingRequest, WireError};

/// An HTTP request that owns its parts.
#[derive(Debug, Clone)]
pub struct Owned {
    /// Method.
    pub method: Method,
    /// Path, still escaped.
    pub path: String,
    /// Query without the question mark.
    pub query: String,
    /// Headers, repeated ones kept.
    pub headers: HeaderMap,
    /// Body without framing.
    pub body: Vec<u8>,
}

impl Owned {
    /// A request of these parts; `target` is path and query.
    pub fn new(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Self {
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

    /// Sets a header.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.headers.insert(name, value.parse().unwrap());
    }

    /// As the service takes it.
    pub fn http(&self) -> HttpRequest<'_> {
        HttpRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
        }
    }

    /// Reads it under the limits of the service.
    ///
    /// # Errors
    /// It is refused for its form.
    pub fn parse(&self) -> Result<Incoming<'_>, WireError> {
        tongguan_rpc::parse(self.http(), &Limits::default())
    }
}

impl From<&OutgoingRequest> for Owned {
    fn from(request: &OutgoingRequest) -> Self {
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut owned = Self::new(request.method.as_str(), &request.path_and_query, &headers, "");
        owned.body.clone_from(&request.body);
        owned
    }
}
