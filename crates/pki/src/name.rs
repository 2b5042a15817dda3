//! Distinguished names of certificates: shown as RFC 4514 strings, compared as RFC 5280 requires.
//!
//! Reading is lenient: certificates in the field have C=CHN, BMPString and attributes nobody knows.

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Encode, Tag, Tagged};
use x509_cert::name::{Name, RelativeDistinguishedName};

/// Attribute types with a name; the first nine are those of RFC 4514, 3, the rest as OpenSSL shows
/// them. Anything else appears as a dotted OID with its value in hex.
const TYPES: [(&str, &str); 15] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.4", "SN"),
    ("2.5.4.42", "GN"),
    ("2.5.4.12", "title"),
    ("2.5.4.17", "postalCode"),
];

/// RFC 4514 string of `name`, most specific part first.
pub(crate) fn to_string(name: &Name) -> String {
    let parts: Vec<String> = rdns(name).iter().rev().map(rdn_to_string).collect();
    parts.join(",")
}

/// The first value of an attribute type, by its short name, the most specific part first.
pub(crate) fn attribute(name: &Name, wanted: &str) -> Option<String> {
    let mut attributes = rdns(name).iter().rev().flat_map(RelativeDistinguishedName::iter);
    attributes.find(|attribute| short(attribute.oid) == Some(wanted)).and_then(text)
}

/// Do both name the same thing? Equal bytes, or equal after RFC 5280, 7.1: case and surplus blanks
/// do not count, nor does the string type.
pub(crate) fn same(a: &Name, b: &Name) -> bool {
    let (a, b) = (rdns(a), rdns(b));
    a == b || (a.len() == b.len() && a.iter().zip(b).all(|(x, y)| normal(x) == normal(y)))
}

/// Does `name` begin with all parts of `prefix`, compared as [`same`] does?
pub(crate) fn begins_with(name: &Name, prefix: &Name) -> bool {
    let (name, prefix) = (rdns(name), rdns(prefix));
    name.len() >= prefix.len() && name.iter().zip(prefix).all(|(x, y)| x == y || normal(x) == normal(y))
}

/// `value` with the escapes of RFC 4514, 2.4; control characters become hex pairs.
pub(crate) fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    for (i, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', c]),
            '#' if i == 0 => out.push_str("\\#"),
            ' ' if i == 0 || i == last => out.push_str("\\ "),
            c if c.is_ascii_control() => out.push_str(&format!("\\{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn rdns(name: &Name) -> &[RelativeDistinguishedName] {
    name.as_ref().as_ref()
}

fn rdn_to_string(rdn: &RelativeDistinguishedName) -> String {
    let parts: Vec<String> = rdn.iter().map(attribute_to_string).collect();
    parts.join("+")
}

fn attribute_to_string(attribute: &AttributeTypeAndValue) -> String {
    match (short(attribute.oid), text(attribute)) {
        (Some(key), Some(value)) => format!("{key}={}", escape(&value)),
        (key, _) => {
            let der = attribute.value.to_der().unwrap_or_default();
            let hex: String = der.iter().map(|b| format!("{b:02X}")).collect();
            format!("{}=#{hex}", key.map_or_else(|| attribute.oid.to_string(), str::to_owned))
        }
    }
}

fn short(oid: ObjectIdentifier) -> Option<&'static str> {
    let dotted = oid.to_string();
    TYPES.iter().find(|(known, _)| *known == dotted).map(|(_, name)| *name)
}

/// The value as text, for every string type of DirectoryString. TeletexString is read as Latin-1,
/// which is what issuers write.
fn text(attribute: &AttributeTypeAndValue) -> Option<String> {
    let bytes = attribute.value.value();
    match attribute.value.tag() {
        Tag::Utf8String => std::str::from_utf8(bytes).ok().map(str::to_owned),
        Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            bytes.is_ascii().then(|| bytes.iter().copied().map(char::from).collect())
        }
        Tag::TeletexString => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString if bytes.len().is_multiple_of(2) => {
            let units: Vec<u16> = bytes
                .chunks_exact(2)
                .map(|pair| pair.iter().fold(0, |unit, byte| (unit << 8) | u16::from(*byte)))
                .collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
}

/// The attributes of a part in a form equal for equal names.
fn normal(rdn: &RelativeDistinguishedName) -> Vec<(String, Result<String, Vec<u8>>)> {
    let mut parts: Vec<_> = rdn
        .iter()
        .map(|attribute| {
            let folded = text(attribute)
                .map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase());
            let value = folded.ok_or_else(|| attribute.value.to_der().unwrap_or_default());
            (attribute.oid.to_string(), value)
        })
        .collect();
    parts.sort();
    parts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::asn1;
    use x509_cert::der::Decode;

    fn name(parts: &[(&str, Tag, &[u8])]) -> Name {
        let rdns: Vec<Vec<u8>> = parts
            .iter()
            .map(|(oid, tag, value)| {
                let oid = ObjectIdentifier::new(oid).unwrap().to_der().unwrap();
                let value = asn1::wrap(*tag, value.to_vec()).unwrap();
                asn1::wrap(Tag::Set, asn1::sequence(&[oid, value]).unwrap()).unwrap()
            })
            .collect();
        Name::from_der(&asn1::sequence(&rdns).unwrap()).unwrap()
    }

    #[test]
    fn shows_every_string_type() {
        let shown = to_string(&name(&[
            ("2.5.4.6", Tag::PrintableString, b"CHN"),
            ("2.5.4.10", Tag::BmpString, &[0x90, 0x1a, 0x51, 0x73]),
            ("2.5.4.11", Tag::TeletexString, b"M\xfcnchen"),
            ("1.2.3.4", Tag::Utf8String, b"x"),
            ("2.5.4.3", Tag::Utf8String, b" #a,b\x00 "),
        ]));
        assert_eq!(shown, "CN=\\ #a\\,b\\00\\ ,1.2.3.4=#0C0178,OU=M\u{fc}nchen,O=通关,C=CHN");
        assert_eq!(to_string(&name(&[("2.5.4.3", Tag::Utf8String, b"\xff")])), "CN=#0C01FF");
        let odd = name(&[("2.5.4.3", Tag::BmpString, &[0x90, 0x1a, 0x51])]);
        assert_eq!(to_string(&odd), "CN=#1E03901A51");
    }

    #[test]
    fn compares_text_not_encoding() {
        let a = name(&[("2.5.4.3", Tag::PrintableString, b"Root  CA")]);
        let b = name(&[("2.5.4.3", Tag::Utf8String, b"root ca ")]);
        let c = name(&[("2.5.4.10", Tag::Utf8String, b"root ca")]);
        assert!(same(&a, &b) && !same(&b, &c));
        assert!(!same(&a, &name(&[])));
    }

    #[test]
    fn a_name_begins_with_its_first_parts() {
        let country = |value: &'static [u8]| ("2.5.4.6", Tag::PrintableString, value);
        let (cn, other) = (country(b"CN"), country(b"DE"));
        let organization = |value: &'static [u8]| ("2.5.4.10", Tag::Utf8String, value);
        let full = name(&[cn, organization(b"Inside  Ltd"), ("2.5.4.3", Tag::Utf8String, b"gw")]);
        for (prefix, expected) in [
            (name(&[]), true),
            (name(&[cn]), true),
            (name(&[other]), false),
            (name(&[cn, organization(b"Inside  Ltd")]), true),
            (name(&[cn, organization(b"inside ltd")]), true),
            (name(&[cn, organization(b"outside")]), false),
            (name(&[organization(b"Inside  Ltd")]), false),
        ] {
            assert_eq!(begins_with(&full, &prefix), expected, "{}", to_string(&prefix));
        }
        assert!(!begins_with(&name(&[cn]), &full));
    }
}
