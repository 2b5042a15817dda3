//! Requests as text, so that a corpus can be read and edited: start line, headers, empty line, body.
//!
//! Only what the listener would hand to the service becomes a request: the target goes through the same
//! `Uri`, names and values through the same header types.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tongguan_rpc::HttpRequest;

/// A request that owns its parts.
#[derive(Debug, Clone)]
pub struct Wire {
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

impl Wire {
    /// Reads the text form; none if an HTTP server would not hand on such a thing.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        let (start, mut rest) = line(text);
        let mut words = start.split(|byte| *byte == b' ');
        let method = Method::from_bytes(words.next()?).ok()?;
        let target = Uri::try_from(words.next()?).ok()?;
        let mut headers = HeaderMap::new();
        while !rest.is_empty() {
            let (header, after) = line(rest);
            rest = after;
            if header.is_empty() {
                break;
            }
            let colon = header.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&header[..colon]).ok()?;
            let value = HeaderValue::from_bytes(header[colon + 1..].trim_ascii()).ok()?;
            headers.append(name, value);
        }
        Some(Self {
            method,
            path: target.path().to_owned(),
            query: target.query().unwrap_or_default().to_owned(),
            headers,
            body: rest.to_vec(),
        })
    }

    /// The text form.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut text = format!("{} {}", self.method, self.path).into_bytes();
        if !self.query.is_empty() {
            text.push(b'?');
            text.extend_from_slice(self.query.as_bytes());
        }
        text.push(b'\n');
        for (name, value) in &self.headers {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
        text.push(b'\n');
        text.extend_from_slice(&self.body);
        text
    }

    /// The request as the service takes it.
    #[must_use]
    pub fn http(&self) -> HttpRequest<'_> {
        HttpRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
        }
    }

    /// The body, if it is to be read as parameters; an error if the request must be refused for its body.
    ///
    /// # Errors
    /// Two content types, a compressed form, or one that is not UTF-8.
    pub fn form(&self) -> Result<Option<&str>, &'static str> {
        let types: Vec<&HeaderValue> = self.headers.get_all("content-type").iter().collect();
        let value = match (self.body.is_empty(), types.as_slice()) {
            (true, _) | (false, []) => return Ok(None),
            (false, [one]) => one.as_bytes(),
            (false, _) => return Err("two content types"),
        };
        let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if !media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            return Ok(None);
        }
        match self.headers.get("content-encoding") {
            Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"identity") => Err("a compressed form"),
            _ => std::str::from_utf8(&self.body).map(Some).map_err(|_| "a form that is not UTF-8"),
        }
    }
}

fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let line = &text[..end];
    (line.strip_suffix(b"\r").unwrap_or(line), text.get(end + 1..).unwrap_or_default())
}

/// The decoded pairs of a query or form, in order; none for a bad escape or text that is not UTF-8.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<(String, String)>> {
    text.split('&')
        .filter(|segment| !segment.is_empty())
        .map(|segment| {
            let (name, value) = segment.split_once('=').unwrap_or((segment, ""));
            Some((unescape(name)?, unescape(value)?))
        })
        .collect()
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut pieces = text.split('%');
    bytes.extend_from_slice(pieces.next()?.replace('+', " ").as_bytes());
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(piece[2..].replace('+', " ").as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// One value per name; none if a name has two values.
#[must_use]
pub fn merge(pairs: Vec<(String, String)>) -> Option<BTreeMap<String, String>> {
    let mut merged = BTreeMap::new();
    for (name, value) in pairs {
        match merged.get(&name) {
            Some(known) if *known != value => return None,
            Some(_) => {}
            None => {
                merged.insert(name, value);
            }
        }
    }
    Some(merged)
}

/// Percent-encoding of RFC 3986: everything but letters, digits and `-_.~`.
#[must_use]
pub fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Pairs as a query.
#[must_use]
pub fn query(pairs: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}
