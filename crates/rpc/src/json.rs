//! Values as JSON: a serde serializer for the subset that answers have, with the bytes that serde_json writes.
//!
//! Own code because an answer is some thirty short texts under names that are known: serde_json looks at every byte of
//! both for characters to be escaped, and was 39 % of the instructions of a page of gateways. Here names are written as
//! they are, a text that needs no escape is looked at sixteen bytes at a time and copied whole, and a list makes room
//! for all of its items once the first is written. Fractions are left to serde_json.

use std::ops::{Deref, DerefMut, Range};

use serde::ser::{Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple};
use serde::{Serialize, Serializer};
use wide::u8x16;

use crate::error::RenderError;

/// Room for most answers that are no lists.
const USUAL: usize = 2_048;
/// A text of so many bytes that needs escapes is looked for in what was written before.
const LONG: usize = 64;
/// Room made for a list at most before it is written.
const ROOM_MOST: usize = 1024 * 1024;

/// `value` as a document without blanks.
pub(crate) fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, RenderError> {
    let mut out = Out { bytes: Vec::with_capacity(USUAL), escaped: None };
    value.serialize(Writer { out: &mut out })?;
    Ok(out.bytes)
}

/// What was written so far.
struct Out {
    bytes: Vec<u8>,
    /// The last long text that was escaped.
    escaped: Option<Escaped>,
}

/// A text, and where it stands in what was written. The items of a list often have the same document in them.
struct Escaped {
    text: Vec<u8>,
    written: Range<usize>,
}

impl Deref for Out {
    type Target = Vec<u8>;

    #[inline]
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Out {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// Bytes that are looked at at once.
const LANES: usize = 16;

/// Which of these do not stand for themselves, one bit each.
#[inline]
fn marked(bytes: &[u8; LANES]) -> u32 {
    let bytes = u8x16::new(*bytes);
    let control = bytes.min(u8x16::splat(b' ' - 1)).simd_eq(bytes);
    let marks = bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'));
    (marks | control).to_bitmask()
}

/// Fewer than [`LANES`] bytes, and what stands for itself behind them.
#[inline]
fn padded(bytes: &[u8]) -> [u8; LANES] {
    let mut lanes = [b' '; LANES];
    lanes[..bytes.len()].copy_from_slice(bytes);
    lanes
}

/// Whether a text stands in quotation marks as it is.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    // What is left over is looked at with bytes that were looked at before.
    match (text.last_chunk::<LANES>(), text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(last), ..) => text.as_chunks().0.iter().all(|lanes| marked(lanes) == 0) && marked(last) == 0,
        (None, Some(first), Some(last)) => {
            let mut lanes = [0; LANES];
            lanes[..8].copy_from_slice(first);
            lanes[8..].copy_from_slice(last);
            marked(&lanes) == 0
        }
        (None, ..) => text.iter().all(|byte| ESCAPES[usize::from(*byte)] == 0),
    }
}

fn append_text(out: &mut Out, text: &str) {
    let text = text.as_bytes();
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    } else if text.len() < LONG {
        append_escaped(out, text);
    } else if let Some(again) = out.escaped.as_ref().filter(|before| before.text == text) {
        let written = again.written.clone();
        out.extend_from_within(written);
    } else {
        let begun = out.len();
        append_escaped(out, text);
        let written = begun..out.len();
        out.escaped = Some(Escaped { text: text.to_vec(), written });
    }
}

/// What stands behind a backslash for a byte; 0 for one that stands for itself, and `u` for one that is written as its
/// number.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escapes[byte] = b'u';
        byte += 1;
    }
    escapes[0x08] = b'b';
    escapes[0x09] = b't';
    escapes[0x0a] = b'n';
    escapes[0x0c] = b'f';
    escapes[0x0d] = b'r';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

/// Appends a text that needs escapes.
fn append_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(2 * bytes.len() + 2);
    out.push(b'"');
    let (pieces, rest) = bytes.as_chunks::<LANES>();
    for piece in pieces {
        append_piece(out, piece, LANES);
    }
    if !rest.is_empty() {
        append_piece(out, &padded(rest), rest.len());
    }
    out.push(b'"');
}

/// Appends so many of these bytes, escaped. Runs are copied with what follows them, which is written over.
#[inline]
fn append_piece(out: &mut Vec<u8>, piece: &[u8; LANES], length: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    /// Bytes of the longest escape.
    const LONGEST: usize = 6;
    let mut marks = marked(piece);
    if marks == 0 {
        out.extend_from_slice(&piece[..length]);
        return;
    }
    let mut written = [0; LANES * LONGEST + LANES];
    let mut source = [0; 2 * LANES];
    source[..LANES].copy_from_slice(piece);
    let (mut from, mut at) = (0, 0);
    while marks != 0 {
        let mark = marks.trailing_zeros() as usize % LANES;
        marks &= marks - 1;
        written[at..at + LANES].copy_from_slice(&source[from..from + LANES]);
        at += mark - from;
        from = mark + 1;
        let byte = source[mark];
        let escape = ESCAPES[usize::from(byte)];
        written[at..at + 2].copy_from_slice(&[b'\\', escape]);
        at += 2;
        if escape == b'u' {
            let [high, low] = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
            written[at..at + 4].copy_from_slice(&[b'0', b'0', high, low]);
            at += 4;
        }
    }
    written[at..at + LANES].copy_from_slice(&source[from..from + LANES]);
    out.extend_from_slice(&written[..at + length - from]);
}

/// Where a value is written.
struct Writer<'o> {
    out: &'o mut Out,
}

impl<'o> Writer<'o> {
    fn items(self, number: Option<usize>) -> Items<'o> {
        self.out.push(b'[');
        Items { begun: self.out.len(), out: self.out, number: number.unwrap_or_default(), empty: true }
    }

    fn members(self) -> Members<'o> {
        self.out.push(b'{');
        Members { out: self.out, empty: true }
    }
}

/// An array whose items are being written.
struct Items<'o> {
    out: &'o mut Out,
    /// Where the first item begins.
    begun: usize,
    /// How many there are, if that is known.
    number: usize,
    empty: bool,
}

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RenderError> {
        if self.empty {
            self.empty = false;
            value.serialize(Writer { out: self.out })?;
            // The items of a list are about as long as its first.
            let length = self.out.len() - self.begun;
            let room = self.number.saturating_mul(length + length / 8);
            self.out.reserve(room.min(ROOM_MOST));
            return Ok(());
        }
        self.out.push(b',');
        value.serialize(Writer { out: self.out })
    }

    fn close(self) {
        self.out.push(b']');
    }
}

/// An object whose members are being written.
struct Members<'o> {
    out: &'o mut Out,
    empty: bool,
}

impl Members<'_> {
    #[inline]
    fn comma(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

/// A form that no answer has.
fn unused() -> RenderError {
    RenderError::Custom("no answer has a value of this form".to_owned())
}

macro_rules! whole {
    ($($method:ident: $kind:ty),* $(,)?) => {
        $(
            #[inline]
            fn $method(self, number: $kind) -> Result<(), RenderError> {
                self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                Ok(())
            }
        )*
    };
}

impl<'o> Serializer for Writer<'o> {
    type Ok = ();
    type Error = RenderError;
    type SerializeSeq = Items<'o>;
    type SerializeTuple = Items<'o>;
    type SerializeTupleStruct = Impossible<(), RenderError>;
    type SerializeTupleVariant = Impossible<(), RenderError>;
    type SerializeMap = Members<'o>;
    type SerializeStruct = Members<'o>;
    type SerializeStructVariant = Impossible<(), RenderError>;

    whole! {
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
    }

    fn serialize_bool(self, flag: bool) -> Result<(), RenderError> {
        self.out.extend_from_slice(if flag { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_f32(self, number: f32) -> Result<(), RenderError> {
        Ok(serde_json::to_writer(&mut self.out.bytes, &number)?)
    }

    fn serialize_f64(self, number: f64) -> Result<(), RenderError> {
        Ok(serde_json::to_writer(&mut self.out.bytes, &number)?)
    }

    fn serialize_char(self, letter: char) -> Result<(), RenderError> {
        self.serialize_str(letter.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<(), RenderError> {
        append_text(self.out, text);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), RenderError> {
        bytes.serialize(self)
    }

    fn serialize_none(self) -> Result<(), RenderError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), RenderError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), RenderError> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), RenderError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<(), RenderError> {
        self.serialize_str(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), RenderError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), RenderError> {
        Err(unused())
    }

    fn serialize_seq(self, number: Option<usize>) -> Result<Items<'o>, RenderError> {
        Ok(self.items(number))
    }

    fn serialize_tuple(self, number: usize) -> Result<Items<'o>, RenderError> {
        Ok(self.items(Some(number)))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), RenderError>, RenderError> {
        Err(unused())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), RenderError>, RenderError> {
        Err(unused())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members<'o>, RenderError> {
        Ok(self.members())
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members<'o>, RenderError> {
        Ok(self.members())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), RenderError>, RenderError> {
        Err(unused())
    }
}

impl SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = RenderError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RenderError> {
        self.item(value)
    }

    fn end(self) -> Result<(), RenderError> {
        self.close();
        Ok(())
    }
}

impl SerializeTuple for Items<'_> {
    type Ok = ();
    type Error = RenderError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RenderError> {
        self.item(value)
    }

    fn end(self) -> Result<(), RenderError> {
        self.close();
        Ok(())
    }
}

impl SerializeStruct for Members<'_> {
    type Ok = ();
    type Error = RenderError;

    /// The name is a name of the API in our own code: nothing in it needs an escape. Inlined, so that its length is
    /// known where it is copied.
    #[inline(always)]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), RenderError> {
        debug_assert!(is_plain(name.as_bytes()), "{name:?} would have to be escaped");
        if std::mem::take(&mut self.empty) {
            self.out.push(b'"');
        } else {
            self.out.extend_from_slice(b",\"");
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        value.serialize(Writer { out: self.out })
    }

    fn end(self) -> Result<(), RenderError> {
        self.close();
        Ok(())
    }
}

impl SerializeMap for Members<'_> {
    type Ok = ();
    type Error = RenderError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), RenderError> {
        self.comma();
        let begun = self.out.len();
        key.serialize(Writer { out: self.out })?;
        if self.out.get(begun) == Some(&b'"') { Ok(()) } else { Err(unused()) }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RenderError> {
        self.out.push(b':');
        value.serialize(Writer { out: self.out })
    }

    fn end(self) -> Result<(), RenderError> {
        self.close();
        Ok(())
    }
}
