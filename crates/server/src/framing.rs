//! What HTTP/1.1 requires of a request's head and the HTTP library does not check: exactly one valid `Host`, and no
//! transfer coding but `chunked`.
//!
//! A message that two programs in a row could parse differently is refused, since one of them may make decisions
//! about what the other does (RFC 9112, 3.2, 6.1 and 11.2).

use hyper::header::{HOST, HeaderMap, TRANSFER_ENCODING};
use hyper::{Request, Version};
use tongguan_service::catalogue::{self, Code};

/// The code with which a head is to be refused, if it is.
pub(crate) fn fault<B>(request: &Request<B>) -> Option<&'static Code> {
    if !host_fits(request.version(), request.headers()) {
        return Some(&catalogue::HOST_INVALID);
    }
    // Several fields, or several codings in one: the last is always `chunked`, else the library refuses it.
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next()?;
    let chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    (!chunked).then_some(&catalogue::TRANSFER_CODING)
}

/// Whether the head has the `Host` that its version demands.
fn host_fits(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        // Older clients need none.
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => valid_host(host.as_bytes()),
        (Some(_), Some(_)) => false,
    }
}

/// Whether a `Host` is one (RFC 3986, 3.2.2). Clients whose endpoint was written as a URL send it as it was written,
/// with the scheme before it or slashes behind it, and sign that: it stays valid.
fn valid_host(text: &[u8]) -> bool {
    let after = |scheme: &[u8]| {
        let (begin, rest) = text.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let mut text = after(b"https://").or_else(|| after(b"http://")).unwrap_or(text);
    while let [rest @ .., b'/'] = text {
        text = rest;
    }
    let port = |text: &[u8]| match text {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if let [b'[', rest @ ..] = text {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
        let address = std::str::from_utf8(&rest[..end]).unwrap_or_default();
        return address.parse::<std::net::Ipv6Addr>().is_ok() && port(&rest[end + 1..]);
    }
    let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
    registered_name(&text[..end]) && port(&text[end..])
}

/// Letters, digits and marks, others as `%XX`.
fn registered_name(text: &[u8]) -> bool {
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte) => rest,
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn hosts_that_clients_send_are_valid() {
        for host in [
            "vpc.aliyuncs.com",
            "VPC.cn-hangzhou.aliyuncs.com:8080",
            "127.0.0.1",
            "[::1]",
            "[2001:db8::1]:8080",
            "a_b",
            "localhost:",
            "",
            "http://127.0.0.1:8080",
            "https://127.0.0.1:8080/",
            "HTTP://127.0.0.1:8080",
            "127.0.0.1:8080/",
            "127.0.0.1:8080//",
            "xn--fiqs8s.example",
            "%41.example",
        ] {
            assert!(valid_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn what_is_no_host_is_not() {
        for host in [
            "a b",
            "a:b",
            "a:80:80",
            "user@a",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a\tb",
            "\"a\"",
            "<a>",
            "[::1",
            "::1",
            "[::1]a",
            "[a]",
            "ftp://a",
            "http://http://a",
            "a%2",
            "a%zz",
            "中国",
            "a:8o",
            "a|b",
        ] {
            assert!(!valid_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn one_host_and_only_chunked() {
        let fault = |fields: &[(&str, &str)]| fault(&request(Version::HTTP_11, fields)).map(|code| code.code);
        assert_eq!(fault(&[("host", "a")]), None);
        let invalid = Some(catalogue::HOST_INVALID.code);
        assert_eq!(fault(&[]), invalid);
        assert_eq!(fault(&[("host", "a"), ("host", "a")]), invalid);
        assert_eq!(fault(&[("host", "a, b")]), invalid);
        assert!(super::fault(&request(Version::HTTP_10, &[])).is_none());
        assert!(super::fault(&request(Version::HTTP_10, &[("host", "a"), ("host", "b")])).is_some());
        assert_eq!(fault(&[("host", "a"), ("transfer-encoding", "Chunked")]), None);
        let coding = Some(catalogue::TRANSFER_CODING.code);
        for value in ["identity, chunked", "identity", "gzip, chunked", "chunked, chunked", ", chunked", ""] {
            assert_eq!(fault(&[("host", "a"), ("transfer-encoding", value)]), coding, "{value}");
        }
        let two = [("host", "a"), ("transfer-encoding", "identity"), ("transfer-encoding", "chunked")];
        assert_eq!(fault(&two), coding);
    }
}
