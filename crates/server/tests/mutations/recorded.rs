//! The recorded requests of official clients.

use tongguan_testkit::recorded;

/// A recorded request: as bytes, and as the call that it makes.
pub struct Recorded {
    pub bytes: Vec<u8>,
    pub action: String,
    pub version: String,
    pub parameters: Vec<(String, String)>,
}

/// All recorded requests.
pub fn all() -> Vec<Recorded> {
    recorded::all().iter().map(one).collect()
}

fn one(recorded: &recorded::Recorded) -> Recorded {
    let text = |name: &str| recorded.json["request"][name].as_str().unwrap();
    let mut bytes = format!("{} {} HTTP/1.1\r\n", text("method"), text("target"));
    let mut length = false;
    for (name, value) in recorded.headers() {
        length |= name.eq_ignore_ascii_case("content-length");
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = text("body");
    if !length && !body.is_empty() {
        bytes.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    bytes.push_str(&format!("\r\n{body}"));
    let incoming = recorded.request.parse().unwrap();
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Recorded {
        bytes: bytes.into_bytes(),
        action: incoming.claims().action().unwrap().to_owned(),
        version: incoming.claims().version().unwrap().to_owned(),
        parameters: incoming.claims().parameters().iter().map(owned).collect(),
    }
}
