//! Values as JSON: a serde serializer that writes the same bytes as serde_json, in a fraction of the instructions.
//!
//! Own code because answers and audit records are mostly short texts under fixed names, and looking at each byte of
//! them was a quarter of what a page costs: here a text that needs no escape, as nearly all do, is looked at eight
//! bytes at a time and copied whole. Numbers, and texts with control characters, are left to serde_json.
#![forbid(unsafe_code)]

use serde::{Serialize, ser};

/// Why a value could not be written: its own serialisation failed, or a key is no text.
pub use serde_json::Error;

/// Room for most answers.
const USUAL: usize = 1_024;

/// `value` as a document without blanks.
///
/// # Errors
/// It has no such form.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(USUAL);
    append(&mut out, value)?;
    Ok(out)
}

/// Appends `value` as a document without blanks.
///
/// # Errors
/// It has no such form; a part of it may have been written.
pub fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    value.serialize(&mut Writer { out })
}

/// Whether a text stands in quotation marks as it is.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let rest_is_plain = match text.last_chunk::<8>() {
        _ if rest.is_empty() => true,
        // What was looked at before is looked at again.
        Some(last) => are_plain(*last),
        None => rest.iter().all(|byte| *byte >= b' ' && *byte != b'"' && *byte != b'\\'),
    };
    rest_is_plain && words.iter().all(|word| are_plain(*word))
}

/// Whether eight bytes need no escape: none is below the blank, a quotation mark or a backslash.
///
/// Subtracting from each byte sets its highest bit if it was smaller (and, by a borrow, perhaps that of bytes above one
/// that was). Bytes that had it before are none of those.
#[inline]
fn are_plain(bytes: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_le_bytes([0x80; 8]);
    let word = u64::from_le_bytes(bytes);
    let below = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, b' ') | is(b'"') | is(b'\\')) & HIGHEST == 0
}

/// The document so far.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Writer<'o> {
    fn text(&mut self, text: &str) -> Result<(), Error> {
        let bytes = text.as_bytes();
        if is_plain(bytes) {
            self.out.reserve(bytes.len() + 2);
            self.out.push(b'"');
            self.out.extend_from_slice(bytes);
            self.out.push(b'"');
            return Ok(());
        }
        if bytes.iter().any(|byte| *byte < b' ') {
            return self.rest(text);
        }
        self.out.reserve(2 * bytes.len() + 2);
        self.out.push(b'"');
        for &byte in bytes {
            if byte == b'"' || byte == b'\\' {
                self.out.push(b'\\');
            }
            self.out.push(byte);
        }
        self.out.push(b'"');
        Ok(())
    }

    /// What serde_json writes.
    fn rest<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        serde_json::to_writer(&mut *self.out, value)
    }

    /// `{"name":`, before the value of an enum's variant.
    fn variant(&mut self, name: &str) -> Result<(), Error> {
        self.out.push(b'{');
        self.text(name)?;
        self.out.push(b':');
        Ok(())
    }

    fn open<'w>(&'w mut self, brackets: Brackets) -> Open<'w, 'o> {
        self.out.push(brackets.open);
        Open { writer: self, empty: true, close: brackets.close }
    }
}

/// What members or items stand between.
#[derive(Clone, Copy)]
struct Brackets {
    open: u8,
    close: &'static [u8],
}

const OBJECT: Brackets = Brackets { open: b'{', close: b"}" };
const ARRAY: Brackets = Brackets { open: b'[', close: b"]" };
/// Within the object of an enum's variant.
const INNER_OBJECT: Brackets = Brackets { open: b'{', close: b"}}" };
const INNER_ARRAY: Brackets = Brackets { open: b'[', close: b"]}" };

/// An object or an array whose members or items are being written.
struct Open<'w, 'o> {
    writer: &'w mut Writer<'o>,
    empty: bool,
    close: &'static [u8],
}

impl Open<'_, '_> {
    fn comma(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.writer.out.push(b',');
        }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.comma();
        value.serialize(&mut *self.writer)
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        self.comma();
        self.writer.text(name)?;
        self.writer.out.push(b':');
        value.serialize(&mut *self.writer)
    }

    fn close(self) {
        self.writer.out.extend_from_slice(self.close);
    }
}

macro_rules! rest {
    ($($method:ident: $type:ty),* $(,)?) => {
        $(fn $method(self, value: $type) -> Result<(), Error> {
            self.rest(&value)
        })*
    };
}

impl<'w, 'o> ser::Serializer for &'w mut Writer<'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Open<'w, 'o>;
    type SerializeTuple = Open<'w, 'o>;
    type SerializeTupleStruct = Open<'w, 'o>;
    type SerializeTupleVariant = Open<'w, 'o>;
    type SerializeMap = Open<'w, 'o>;
    type SerializeStruct = Open<'w, 'o>;
    type SerializeStructVariant = Open<'w, 'o>;

    rest! {
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        self.text(text)
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Error> {
        bytes.serialize(self)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.text(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.variant(variant)?;
        value.serialize(&mut *self)?;
        self.out.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Open<'w, 'o>, Error> {
        Ok(self.open(ARRAY))
    }

    fn serialize_tuple(self, _len: usize) -> Result<Open<'w, 'o>, Error> {
        Ok(self.open(ARRAY))
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Open<'w, 'o>, Error> {
        Ok(self.open(ARRAY))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Open<'w, 'o>, Error> {
        self.variant(variant)?;
        Ok(self.open(INNER_ARRAY))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Open<'w, 'o>, Error> {
        Ok(self.open(OBJECT))
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Open<'w, 'o>, Error> {
        Ok(self.open(OBJECT))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Open<'w, 'o>, Error> {
        self.variant(variant)?;
        Ok(self.open(INNER_OBJECT))
    }
}

impl ser::SerializeMap for Open<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.comma();
        let at = self.writer.out.len();
        key.serialize(&mut *self.writer)?;
        if self.writer.out.get(at) != Some(&b'"') {
            return Err(ser::Error::custom("a key that is no text"));
        }
        self.writer.out.push(b':');
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

macro_rules! members {
    ($($trait:ident),*) => {
        $(impl ser::$trait for Open<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                self.member(name, value)
            }

            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        })*
    };
}

members!(SerializeStruct, SerializeStructVariant);

macro_rules! items {
    ($($trait:ident: $method:ident),*) => {
        $(impl ser::$trait for Open<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.item(value)
            }

            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        })*
    };
}

items!(
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Whole {
        text: String,
        texts: Vec<String>,
        absent: Option<u8>,
        numbers: (i64, u64, f64, u128, i8),
        flags: [bool; 2],
        nothing: (),
        letter: char,
        map: BTreeMap<String, Kind>,
        unit: Unit,
        pair: Pair,
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Pair(u8, String);

    #[derive(Serialize)]
    enum Kind {
        Plain,
        One(String),
        Two(u8, u8),
        Named { a: Vec<u8> },
    }

    fn whole(text: &str) -> Whole {
        let kinds = [Kind::Plain, Kind::One(text.into()), Kind::Two(1, 2), Kind::Named { a: vec![] }];
        Whole {
            text: text.into(),
            texts: vec![text.into(), String::new(), "x".repeat(33)],
            absent: None,
            numbers: (i64::MIN, u64::MAX, 0.1, u128::MAX, -1),
            flags: [true, false],
            nothing: (),
            letter: '"',
            map: (0..).map(|number| format!("{text}{number}")).zip(kinds).collect(),
            unit: Unit,
            pair: Pair(7, text.into()),
        }
    }

    fn same(value: &(impl Serialize + ?Sized)) {
        let (ours, theirs) = (to_vec(value).unwrap(), serde_json::to_vec(value).unwrap());
        assert_eq!(String::from_utf8(ours).unwrap(), String::from_utf8(theirs).unwrap());
    }

    #[test]
    fn every_kind_of_value_is_written_as_serde_json_does() {
        same(&whole("a \"b\" \\ \u{7f} \u{7f51} /"));
        same(&serde_json::json!({"a": [1, -2.5, null, {"b": "c"}], "": {}, "d": []}));
    }

    #[test]
    fn every_character_is_written_as_serde_json_does_wherever_it_stands() {
        for character in ('\0'..'\u{100}').chain(['\u{2028}', '\u{fffd}', '\u{1f600}']) {
            for at in [0, 1, 15, 16, 17, 31, 32] {
                same(&format!("{}{character}{}", "p".repeat(at), "q".repeat(40 - at)));
                same(&format!("{}{character}", "p".repeat(at)));
            }
        }
    }

    #[test]
    fn keys_are_texts() {
        assert!(to_vec(&BTreeMap::from([(1, 2)])).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_does(text in any::<String>(), ascii in "[ -~\n\"\\\\]{0,80}") {
            same(&whole(&text));
            same(&whole(&ascii));
        }
    }
}
