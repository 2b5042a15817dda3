//! Reading headers the way signatures need them: raw bytes, trimmed, with repeats noticed.

use http::{HeaderMap, HeaderName};

/// A header that must come once.
pub(crate) enum Single<'a> {
    Absent,
    One(&'a [u8]),
    /// Came several times; the first value.
    Repeated(&'a [u8]),
}

pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Single<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Single::Absent,
        (Some(one), None) => Single::One(one.as_bytes().trim_ascii()),
        (Some(first), Some(_)) => Single::Repeated(first.as_bytes().trim_ascii()),
    }
}

/// The one value of a header as text; `None` if absent, repeated, empty or not UTF-8.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    match single(headers, name) {
        Single::One(value) if !value.is_empty() => std::str::from_utf8(value).ok(),
        Single::Absent | Single::One(_) | Single::Repeated(_) => None,
    }
}

/// Appends the value as V3 signs it: trimmed, several ones sorted and joined with commas.
/// `false` if the header is absent.
pub(crate) fn append_signed(out: &mut Vec<u8>, headers: &HeaderMap, name: &str) -> bool {
    let mut values = headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii());
    let Some(first) = values.next() else {
        return false;
    };
    let Some(second) = values.next() else {
        out.extend_from_slice(first);
        return true;
    };
    let mut all: Vec<&[u8]> = [first, second].into_iter().chain(values).collect();
    all.sort_unstable();
    out.extend_from_slice(&all.join(&b','));
    true
}
