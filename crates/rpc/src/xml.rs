//! Values as XML: a serde serializer for the subset this wire has.
//!
//! Own code because the escaping must be certain (text of customers comes back in answers) and
//! the shape is fixed: elements only, an array repeats its element, absent is no element.

use std::fmt::Display;

use serde::{Serialize, ser};

use crate::error::RenderError;

const HEADER: &str = "<?xml version='1.0' encoding='UTF-8'?>";

/// `value` as a document whose root is `root`.
pub(crate) fn to_vec<T: Serialize + ?Sized>(value: &T, root: &str) -> Result<Vec<u8>, RenderError> {
    let mut out = String::with_capacity(512);
    out.push_str(HEADER);
    let element = Element { out: &mut out, name: root, is_root: true };
    value.serialize(element)?;
    Ok(out.into_bytes())
}

/// Whether `name` may name an element: ASCII letters, digits, `_`, `-`, `.`, not beginning with the last three kinds.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// Appends text with everything escaped that a parser would take or change. What XML 1.0 cannot
/// hold at all becomes U+FFFD.
fn push_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // A parser would make a line feed of it.
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
}

/// Where the next value goes: an element of this name, or several for an array.
struct Element<'o, 'n> {
    out: &'o mut String,
    name: &'n str,
    is_root: bool,
}

impl<'o, 'n> Element<'o, 'n> {
    fn open(self) -> Result<Open<'o, 'n>, RenderError> {
        if !is_name(self.name) {
            return Err(RenderError::XmlName(self.name.to_owned()));
        }
        push_tag(self.out, "<", self.name);
        Ok(Open { out: self.out, name: self.name, outer: None, key: None })
    }

    fn text(self, text: &str) -> Result<(), RenderError> {
        let open = self.open()?;
        push_text(open.out, text);
        open.close();
        Ok(())
    }

    fn plain(self, value: impl Display) -> Result<(), RenderError> {
        self.text(&value.to_string())
    }

    /// Nothing at all, but a document needs a root.
    fn absent(self) -> Result<(), RenderError> {
        if self.is_root { self.text("") } else { Ok(()) }
    }

    fn repeat(self) -> Result<Repeat<'o, 'n>, RenderError> {
        if self.is_root {
            return Err(RenderError::XmlRoot);
        }
        Ok(Repeat { out: self.out, name: self.name, outer: None })
    }
}

fn push_tag(out: &mut String, start: &str, name: &str) {
    out.push_str(start);
    out.push_str(name);
    out.push('>');
}

/// An element whose members are being written.
struct Open<'o, 'n> {
    out: &'o mut String,
    name: &'n str,
    /// The element around it, of an enum's struct variant.
    outer: Option<&'n str>,
    /// The key of a map whose value comes next.
    key: Option<String>,
}

impl Open<'_, '_> {
    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), RenderError> {
        value.serialize(Element { out: self.out, name, is_root: false })
    }

    fn close(self) {
        push_tag(self.out, "</", self.name);
        if let Some(outer) = self.outer {
            push_tag(self.out, "</", outer);
        }
    }
}

/// An array: each item is an element of the same name.
struct Repeat<'o, 'n> {
    out: &'o mut String,
    name: &'n str,
    /// The element around it, of an enum's tuple variant.
    outer: Option<&'n str>,
}

impl Repeat<'_, '_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RenderError> {
        value.serialize(Element { out: self.out, name: self.name, is_root: false })
    }

    fn close(self) {
        if let Some(outer) = self.outer {
            push_tag(self.out, "</", outer);
        }
    }
}

macro_rules! plain {
    ($($method:ident: $type:ty),* $(,)?) => {
        $(fn $method(self, value: $type) -> Result<(), RenderError> {
            self.plain(value)
        })*
    };
}

impl<'o, 'n> ser::Serializer for Element<'o, 'n> {
    type Ok = ();
    type Error = RenderError;
    type SerializeSeq = Repeat<'o, 'n>;
    type SerializeTuple = Repeat<'o, 'n>;
    type SerializeTupleStruct = Repeat<'o, 'n>;
    type SerializeTupleVariant = Repeat<'o, 'n>;
    type SerializeMap = Open<'o, 'n>;
    type SerializeStruct = Open<'o, 'n>;
    type SerializeStructVariant = Open<'o, 'n>;

    plain! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
    }

    fn serialize_str(self, text: &str) -> Result<(), RenderError> {
        self.text(text)
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), RenderError> {
        bytes.serialize(self)
    }

    fn serialize_none(self) -> Result<(), RenderError> {
        self.absent()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), RenderError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), RenderError> {
        self.absent()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), RenderError> {
        self.absent()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), RenderError> {
        self.text(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), RenderError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), RenderError> {
        let mut open = self.open()?;
        open.member(variant, value)?;
        open.close();
        Ok(())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Repeat<'o, 'n>, RenderError> {
        self.repeat()
    }

    fn serialize_tuple(self, _len: usize) -> Result<Repeat<'o, 'n>, RenderError> {
        self.repeat()
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Repeat<'o, 'n>, RenderError> {
        self.repeat()
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Repeat<'o, 'n>, RenderError> {
        let open = self.open()?;
        Ok(Repeat { out: open.out, name: variant, outer: Some(open.name) })
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Open<'o, 'n>, RenderError> {
        self.open()
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Open<'o, 'n>, RenderError> {
        self.open()
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Open<'o, 'n>, RenderError> {
        let outer = self.open()?;
        let inner = Element { out: outer.out, name: variant, is_root: false };
        Ok(Open { outer: Some(outer.name), ..inner.open()? })
    }
}

impl ser::SerializeMap for Open<'_, '_> {
    type Ok = ();
    type Error = RenderError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), RenderError> {
        let serde_json::Value::String(key) = serde_json::to_value(key)? else {
            return Err(RenderError::XmlName("a key that is no text".to_owned()));
        };
        self.key = Some(key);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RenderError> {
        let key = self.key.take().unwrap_or_default();
        self.member(&key, value)
    }

    fn end(self) -> Result<(), RenderError> {
        self.close();
        Ok(())
    }
}

macro_rules! members {
    ($($trait:ident),*) => {
        $(impl ser::$trait for Open<'_, '_> {
            type Ok = ();
            type Error = RenderError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), RenderError> {
                self.member(name, value)
            }

            fn end(self) -> Result<(), RenderError> {
                self.close();
                Ok(())
            }
        })*
    };
}

members!(SerializeStruct, SerializeStructVariant);

macro_rules! items {
    ($($trait:ident: $method:ident),*) => {
        $(impl ser::$trait for Repeat<'_, '_> {
            type Ok = ();
            type Error = RenderError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RenderError> {
                self.item(value)
            }

            fn end(self) -> Result<(), RenderError> {
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

    use super::*;

    fn text(value: &impl Serialize) -> String {
        let xml = String::from_utf8(to_vec(value, "R").unwrap()).unwrap();
        xml.strip_prefix(HEADER).unwrap().to_owned()
    }

    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    enum Shape {
        Unit,
        Newtype(u8),
        Tuple(u8, bool),
        Struct { a: char },
    }

    #[test]
    fn shapes() {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Everything {
            list: Vec<u8>,
            empty: Vec<u8>,
            none: Option<u8>,
            some: Option<&'static str>,
            unit: (),
            float: f64,
            shapes: Vec<Shape>,
        }
        let value = Everything {
            list: vec![1, 2],
            empty: vec![],
            none: None,
            some: Some(""),
            unit: (),
            float: 1.5,
            shapes: vec![Shape::Unit, Shape::Newtype(1), Shape::Tuple(1, true), Shape::Struct { a: '<' }],
        };
        assert_eq!(
            text(&value),
            "<R><List>1</List><List>2</List><Some></Some><Float>1.5</Float>\
             <Shapes>Unit</Shapes><Shapes><Newtype>1</Newtype></Shapes>\
             <Shapes><Tuple>1</Tuple><Tuple>true</Tuple></Shapes>\
             <Shapes><Struct><a>&lt;</a></Struct></Shapes></R>"
        );
    }

    #[derive(Serialize)]
    struct Marker;

    #[test]
    fn wrappers_bytes_and_maps() {
        struct Raw;
        impl Serialize for Raw {
            fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&[7, 8])
            }
        }
        #[derive(Serialize)]
        struct Wrapper(u8);
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Everything {
            marker: Marker,
            wrapper: Wrapper,
            raw: Raw,
            map: BTreeMap<&'static str, u8>,
            after: u8,
        }
        let value = Everything {
            marker: Marker,
            wrapper: Wrapper(9),
            raw: Raw,
            map: BTreeMap::from([("a", 1), ("b", 2)]),
            after: 3,
        };
        assert_eq!(
            text(&value),
            "<R><Wrapper>9</Wrapper><Raw>7</Raw><Raw>8</Raw><Map><a>1</a><b>2</b></Map><After>3</After></R>"
        );
    }

    #[test]
    fn escapes() {
        let value = "<a b=\"c\">&'\r\n\t\u{0}\u{b}\u{ffff}\u{7f51}";
        assert_eq!(
            text(&value),
            "<R>&lt;a b=&quot;c&quot;&gt;&amp;&apos;&#13;\n\t\u{fffd}\u{fffd}\u{fffd}\u{7f51}</R>"
        );
    }

    #[test]
    fn roots() {
        assert_eq!(text(&None::<u8>), "<R></R>");
        assert_eq!((text(&()), text(&Marker)), ("<R></R>".to_owned(), "<R></R>".to_owned()));
        assert!(matches!(to_vec(&[1, 2], "R"), Err(RenderError::XmlRoot)));
        for root in ["", "1", "a b", "-a", "a>"] {
            assert!(matches!(to_vec(&1, root), Err(RenderError::XmlName(_))), "{root}");
        }
        assert!(matches!(to_vec(&serde_json::json!({"a b": 1}), "R"), Err(RenderError::XmlName(_))));
    }
}
