//! Percent-encoding, both ways, and the splitting of `name=value&...` text.
//!
//! Signatures are made over a re-encoding of the decoded text, because clients disagree about
//! how to write a blank or a star. Decoding borrows when nothing was escaped. Encoding copies
//! runs of plain bytes. Both look for the other bytes sixteen at a time.

use std::borrow::Cow;

use wide::u8x16;

use crate::error::WireError;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Bytes that are looked at at once.
const LANES: usize = 16;

/// The first place from `from` on of a byte that `marks` marks, one bit each; the length if there is none.
#[inline]
fn find(bytes: &[u8], mut from: usize, marks: impl Fn(u8x16) -> u8x16) -> usize {
    while let Some(lanes) = bytes[from..].first_chunk::<LANES>() {
        let marked = marks(u8x16::new(*lanes)).to_bitmask();
        if marked != 0 {
            return from + marked.trailing_zeros() as usize;
        }
        from += LANES;
    }
    // What is left over is looked at as its first and its last bytes, which may be the same. A letter is never marked.
    let (mut lanes, rest) = ([b'a'; LANES], &bytes[from..]);
    let half = if let (Some(first), Some(last)) = (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
        lanes[..8].copy_from_slice(first);
        lanes[8..].copy_from_slice(last);
        8
    } else if let (Some(first), Some(last)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        lanes[..4].copy_from_slice(first);
        lanes[4..8].copy_from_slice(last);
        4
    } else {
        lanes.iter_mut().zip(rest).for_each(|(lane, byte)| *lane = *byte);
        LANES
    };
    match marks(u8x16::new(lanes)).to_bitmask() {
        0 => bytes.len(),
        marked => match marked.trailing_zeros() as usize {
            lane if lane < half => from + lane,
            lane => bytes.len() + lane - 2 * half,
        },
    }
}

/// What a query is split and unescaped by.
#[inline]
fn separators(bytes: u8x16) -> u8x16 {
    let is = |byte| bytes.simd_eq(u8x16::splat(byte));
    is(b'&') | is(b'=') | is(b'%') | is(b'+')
}

/// What stands for another byte in a query.
#[inline]
fn escapes(bytes: u8x16) -> u8x16 {
    bytes.simd_eq(u8x16::splat(b'%')) | bytes.simd_eq(u8x16::splat(b'+'))
}

/// All but `A-Z a-z 0-9 - _ . ~`, the bytes that no encoding touches (RFC 3986, unreserved).
#[inline]
fn reserved(bytes: u8x16) -> u8x16 {
    let is = |byte| bytes.simd_eq(u8x16::splat(byte));
    // Those below the first wrap around to large numbers.
    let within = |bytes: u8x16, first, last: u8| {
        let above = bytes - u8x16::splat(first);
        above.min(u8x16::splat(last - first)).simd_eq(above)
    };
    let letter = within(bytes | u8x16::splat(b'a' - b'A'), b'a', b'z');
    !(letter | within(bytes, b'0', b'9') | is(b'-') | is(b'_') | is(b'.') | is(b'~'))
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
    let mut end = start;
    loop {
        end = find(bytes, end, separators);
        match bytes.get(end) {
            None | Some(b'&') => break,
            Some(b'=') if equals.is_none() => equals = Some(end),
            Some(b'=') => {}
            Some(_) => escaped[usize::from(equals.is_some())] = true,
        }
        end += 1;
    }
    let (name, value) = match equals {
        Some(at) => (&text[start..at], &text[at + 1..end]),
        None => (&text[start..end], ""),
    };
    let [name_escaped, value_escaped] = escaped;
    (Raw { text: name, escaped: name_escaped }, Raw { text: value, escaped: value_escaped }, end)
}

#[inline]
fn decode(raw: Raw<'_>) -> Result<Cow<'_, str>, WireError> {
    if raw.escaped { unescaped(raw.text).map(Cow::Owned) } else { Ok(Cow::Borrowed(raw.text)) }
}

fn unescaped(text: &str) -> Result<String, WireError> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut run = 0;
    loop {
        let end = find(bytes, run, escapes);
        decoded.extend_from_slice(&bytes[run..end]);
        let [byte, taken] = match bytes[end..] {
            [] => break,
            [b'+', ..] => [b' ', 1],
            [b'%', high, low, ..] => match (nibble(high), nibble(low)) {
                (Some(high), Some(low)) => [high << 4 | low, 3],
                (None, _) | (_, None) => return Err(bad_escape()),
            },
            _ => return Err(bad_escape()),
        };
        decoded.push(byte);
        run = end + usize::from(taken);
    }
    String::from_utf8(decoded).map_err(|_| WireError::Encoding("a parameter is not UTF-8".to_owned()))
}

fn bad_escape() -> WireError {
    WireError::Encoding("bad percent-escape".to_owned())
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

/// Percent-encodes once into a new text: what is not unreserved (RFC 3986) becomes `%XX` in upper case.
#[must_use]
pub fn encode(text: &str) -> String {
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
    loop {
        let end = find(bytes, run, reserved);
        out.extend_from_slice(&bytes[run..end]);
        let Some(byte) = bytes.get(end) else { return };
        out.extend_from_slice(&escape(*byte));
        run = end + 1;
    }
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
    fn every_byte_is_where_it_belongs_at_every_place() {
        for letter in (0..=0x7f_u8).map(char::from) {
            let unreserved = letter.is_ascii_alphanumeric() || "-_.~".contains(letter);
            let expected = if unreserved { String::from(letter) } else { format!("%{:02X}", letter as u32) };
            for before in 0..34 {
                let text = format!("{}{letter}b", "a".repeat(before));
                assert_eq!(encode(&text), format!("{}{expected}b", "a".repeat(before)));
                let read = pairs(&encode(&text)).unwrap();
                assert_eq!(read, [pair(&text, "")]);
                if !"&=%+".contains(letter) {
                    assert_eq!(pairs(&text).unwrap(), [pair(&text, "")]);
                }
            }
        }
        assert_eq!(encode("\u{80}\u{ff}"), "%C2%80%C3%BF");
    }

    #[test]
    fn encodes_once_and_twice() {
        assert_eq!(encode("aZ09-_.~ *+/\u{7f51}"), "aZ09-_.~%20%2A%2B%2F%E7%BD%91");
        let mut twice = Vec::new();
        encode_twice_into(&mut twice, "a b~\u{7f51}");
        assert_eq!(ascii(twice), encode(&encode("a b~\u{7f51}")));
    }
}
