//! Percent-encoding, both ways, and the splitting of `name=value&...` text.
//!
//! Signatures are made over a re-encoding of the decoded text, because clients disagree about
//! how to write a blank or a star. Decoding borrows when nothing was escaped. Encoding copies
//! runs of plain bytes and takes the escape of any other byte from a table.

use std::borrow::Cow;

use crate::error::WireError;

/// What a byte means while splitting a query: 0 plain, else one of the constants below.
static CLASS: [u8; 256] = class_table();
const AND: u8 = 1;
const EQUALS: u8 = 2;
const ESCAPE: u8 = 3;

/// 1 for `A-Z a-z 0-9 - _ . ~`, the bytes no encoding touches (RFC 3986, unreserved).
static UNRESERVED: [bool; 256] = unreserved_table();

const HEX: &[u8; 16] = b"0123456789ABCDEF";

const fn class_table() -> [u8; 256] {
    let mut table = [0; 256];
    table[b'&' as usize] = AND;
    table[b'=' as usize] = EQUALS;
    table[b'%' as usize] = ESCAPE;
    table[b'+' as usize] = ESCAPE;
    table
}

const fn unreserved_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
        byte += 1;
    }
    table
}

/// Whether `text` is read as a pair still to be decoded: raw text and whether it has escapes.
struct Raw<'a> {
    text: &'a str,
    escaped: bool,
}

/// Calls `each` with every decoded pair of `text` (a query or a form body), in order.
///
/// `+` is a blank. A segment without `=` is a name with an empty value; empty segments are skipped.
///
/// # Errors
/// [`WireError::Encoding`] for a bad escape or decoded text that is not UTF-8, or what `each` returns.
pub(crate) fn each_pair<'a>(
    text: &'a str,
    mut each: impl FnMut(Cow<'a, str>, Cow<'a, str>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let bytes = text.as_bytes();
    let mut start = 0;
    while start < bytes.len() {
        let (name, value, end) = next_segment(text, start);
        if end > start {
            each(decode(name)?, decode(value)?)?;
        }
        start = end + 1;
    }
    Ok(())
}

/// The segment of `text` beginning at `start`: raw name, raw value, and where it ends.
fn next_segment(text: &str, start: usize) -> (Raw<'_>, Raw<'_>, usize) {
    let bytes = text.as_bytes();
    let mut equals = None;
    let mut escaped = [false, false];
    let mut end = bytes.len();
    for (offset, &byte) in bytes[start..].iter().enumerate() {
        let class = CLASS[byte as usize];
        // Nearly all are plain.
        if class == 0 {
            continue;
        }
        match class {
            AND => {
                end = start + offset;
                break;
            }
            EQUALS if equals.is_none() => equals = Some(start + offset),
            ESCAPE => escaped[usize::from(equals.is_some())] = true,
            _ => {}
        }
    }
    let (name, value) = match equals {
        Some(at) => (&text[start..at], &text[at + 1..end]),
        None => (&text[start..end], ""),
    };
    let [name_escaped, value_escaped] = escaped;
    (Raw { text: name, escaped: name_escaped }, Raw { text: value, escaped: value_escaped }, end)
}

fn decode(raw: Raw<'_>) -> Result<Cow<'_, str>, WireError> {
    if !raw.escaped {
        return Ok(Cow::Borrowed(raw.text));
    }
    let bytes = raw.text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(|b| nibble(*b));
                let low = rest.next().and_then(|b| nibble(*b));
                match (high, low) {
                    (Some(high), Some(low)) => high << 4 | low,
                    (None, _) | (_, None) => {
                        return Err(WireError::Encoding("bad percent-escape".to_owned()));
                    }
                }
            }
            plain => plain,
        });
    }
    String::from_utf8(decoded)
        .map(Cow::Owned)
        .map_err(|_| WireError::Encoding("a parameter is not UTF-8".to_owned()))
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Appends `text` percent-encoded once: what is not unreserved becomes `%XX` in upper case.
pub(crate) fn encode_into(out: &mut Vec<u8>, text: &str) {
    encode_runs(out, text, |byte| {
        let [high, low] = hex_pair(byte);
        [b'%', high, low]
    });
}

/// Appends `text` percent-encoded twice, in one pass: `%` of the first round becomes `%25`.
pub(crate) fn encode_twice_into(out: &mut Vec<u8>, text: &str) {
    encode_runs(out, text, |byte| {
        let [high, low] = hex_pair(byte);
        [b'%', b'2', b'5', high, low]
    });
}

/// Percent-encodes once into a new text.
pub(crate) fn encode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + text.len() / 2);
    encode_into(&mut out, text);
    ascii(out)
}

/// Text from bytes that this module made and that are ASCII therefore.
pub(crate) fn ascii(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn hex_pair(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

fn encode_runs<const N: usize>(out: &mut Vec<u8>, text: &str, escape: impl Fn(u8) -> [u8; N]) {
    let bytes = text.as_bytes();
    let mut run = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !UNRESERVED[byte as usize] {
            out.extend_from_slice(&bytes[run..at]);
            out.extend_from_slice(&escape(byte));
            run = at + 1;
        }
    }
    out.extend_from_slice(&bytes[run..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, WireError> {
        let mut pairs = Vec::new();
        each_pair(text, |name, value| {
            pairs.push((name.into_owned(), value.into_owned()));
            Ok(())
        })?;
        Ok(pairs)
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn splits_and_decodes() {
        assert_eq!(
            pairs("&a=1&&b&c==%3d&%C3%A4=x+y%2B&=v&d=").unwrap(),
            [
                pair("a", "1"),
                pair("b", ""),
                pair("c", "=="),
                pair("\u{e4}", "x y+"),
                pair("", "v"),
                pair("d", ""),
            ]
        );
    }

    #[test]
    fn plain_text_is_borrowed() {
        each_pair("name=v\u{e4}lue", |name, value| {
            assert!(matches!((name, value), (Cow::Borrowed("name"), Cow::Borrowed("v\u{e4}lue"))));
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn bad_encodings_are_refused() {
        for text in ["a=%", "a=%4", "a=%4g", "%zz=1", "a=%ff", "a=%E7%BD", "a=%+1"] {
            assert!(matches!(pairs(text), Err(WireError::Encoding(_))), "{text}");
        }
    }

    #[test]
    fn encodes_once_and_twice() {
        assert_eq!(encode("aZ09-_.~ *+/\u{7f51}"), "aZ09-_.~%20%2A%2B%2F%E7%BD%91");
        let mut twice = Vec::new();
        encode_twice_into(&mut twice, "a b~\u{7f51}");
        assert_eq!(ascii(twice), encode(&encode("a b~\u{7f51}")));
    }
}
