//! The Subject parameter of CreateCertificate: an RFC 2253 string, "CN=userName,OU=kms,O=aliyun,C=CN".
//!
//! Strict where reading certificates is lenient, because this name goes to a CA: CN, C, O and OU must
//! be there, ST and L may be, everything else is refused. RFC 4514 is the grammar; of RFC 2253
//! section 4 the older forms that must still be read are: quoted values, semicolons, blanks around
//! separators and numeric attribute types.
//!
//! CreateCsr gives the parts by themselves: [`Subject::of`].

use std::fmt;
use std::iter::Peekable;
use std::str::{Chars, FromStr};

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{ObjectIdentifier, SetOfVec};
use x509_cert::der::{Any, Decode, Encode, Tag};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

use crate::{PkiError, name};

/// Longest subject accepted, in bytes of UTF-8.
pub const MAX_SUBJECT_BYTES: usize = 2048;

/// An attribute type the API knows.
struct Kind {
    name: &'static str,
    oid: &'static str,
    /// Upper bound in characters (RFC 5280, appendix A.1).
    limit: usize,
    mandatory: bool,
    /// May occur more than once.
    repeats: bool,
}

const KINDS: [Kind; 6] = [
    Kind { name: "CN", oid: "2.5.4.3", limit: 64, mandatory: true, repeats: false },
    Kind { name: "C", oid: "2.5.4.6", limit: 2, mandatory: true, repeats: false },
    Kind { name: "O", oid: "2.5.4.10", limit: 64, mandatory: true, repeats: false },
    Kind { name: "OU", oid: "2.5.4.11", limit: 64, mandatory: true, repeats: true },
    Kind { name: "ST", oid: "2.5.4.8", limit: 128, mandatory: false, repeats: false },
    Kind { name: "L", oid: "2.5.4.7", limit: 128, mandatory: false, repeats: false },
];

/// A distinguished name fit for a signing request. Shown as an RFC 4514 string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    text: String,
    name: Name,
}

impl Subject {
    /// Reads an RFC 2253 or RFC 4514 string. Attribute types in any case; C two letters.
    ///
    /// # Errors
    /// [`PkiError::Subject`] saying which part is wrong, missing, repeated or unknown.
    pub fn parse(text: &str) -> Result<Self, PkiError> {
        if text.len() > MAX_SUBJECT_BYTES {
            return Err(fault(format!("longer than {MAX_SUBJECT_BYTES} bytes")));
        }
        let mut parts: Vec<(&'static Kind, String)> = Vec::new();
        for (key, value) in Parser(text.chars().peekable()).parts()? {
            let kind = kind(&key)?;
            check_value(kind, &value)?;
            if !kind.repeats && parts.iter().any(|(k, _)| k.name == kind.name) {
                return Err(fault(format!("{} is given twice", kind.name)));
            }
            parts.push((kind, value));
        }
        for kind in KINDS.iter().filter(|k| k.mandatory) {
            if !parts.iter().any(|(k, _)| k.name == kind.name) {
                return Err(fault(format!("{} is missing (CN, C, O and OU are required)", kind.name)));
            }
        }
        let name = build(&parts).map_err(|e| fault(e.to_string()))?;
        Ok(Self { text: name::to_string(&name), name })
    }

    /// The name of these parts, the most specific first: attribute types by their short names, each with its value.
    ///
    /// # Errors
    /// [`PkiError::Subject`] saying which value is wrong.
    pub fn of(given: &[(&str, &str)]) -> Result<Self, PkiError> {
        let mut parts = Vec::with_capacity(given.len());
        for (key, value) in given {
            let kind = kind(key)?;
            check_value(kind, value)?;
            parts.push((kind, (*value).to_owned()));
        }
        let name = build(&parts).map_err(|e| fault(e.to_string()))?;
        Ok(Self { text: name::to_string(&name), name })
    }

    /// The X.501 name: parts in reverse order of the string (RFC 4514, 2.1), C as PrintableString,
    /// the rest as UTF8String.
    pub fn to_x509_name(&self) -> Name {
        self.name.clone()
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Subject {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        Self::parse(text)
    }
}

fn fault(message: String) -> PkiError {
    PkiError::Subject(message)
}

fn kind(key: &str) -> Result<&'static Kind, PkiError> {
    let upper = key.to_ascii_uppercase();
    let dotted = upper.strip_prefix("OID.").unwrap_or(&upper);
    KINDS.iter().find(|k| k.name == upper || k.oid == dotted).ok_or_else(|| {
        let shown: String = key.chars().take(32).collect();
        fault(format!("unknown attribute type {shown:?}: only CN, C, O, OU, ST and L are allowed"))
    })
}

fn check_value(kind: &Kind, value: &str) -> Result<(), PkiError> {
    if value.trim().is_empty() {
        return Err(fault(format!("{} is empty", kind.name)));
    }
    if value.chars().any(char::is_control) {
        return Err(fault(format!("{} contains a control character", kind.name)));
    }
    if kind.name == "C" && !(value.len() == 2 && value.chars().all(|c| c.is_ascii_alphabetic())) {
        return Err(fault("C must be a country code of two letters (ISO 3166-1)".into()));
    }
    if value.chars().count() > kind.limit {
        return Err(fault(format!("{} is longer than {} characters", kind.name, kind.limit)));
    }
    Ok(())
}

fn build(parts: &[(&'static Kind, String)]) -> x509_cert::der::Result<Name> {
    let mut rdns = Vec::with_capacity(parts.len());
    for (kind, value) in parts.iter().rev() {
        let tag = if kind.name == "C" { Tag::PrintableString } else { Tag::Utf8String };
        let attribute = AttributeTypeAndValue {
            oid: ObjectIdentifier::new(kind.oid)?,
            value: Any::new(tag, value.as_bytes())?,
        };
        rdns.push(RelativeDistinguishedName::from(SetOfVec::try_from(vec![attribute])?));
    }
    Name::from_der(&RdnSequence::from(rdns).to_der()?)
}

/// Splits a string into attribute types and values, escapes resolved.
struct Parser<'a>(Peekable<Chars<'a>>);

impl Parser<'_> {
    fn parts(mut self) -> Result<Vec<(String, String)>, PkiError> {
        let mut parts = Vec::new();
        loop {
            let key = self.key()?;
            let value = self.value(&key)?;
            parts.push((key, value));
            match self.0.next() {
                None => return Ok(parts),
                Some(',' | ';') => {}
                Some('+') => {
                    return Err(fault(
                        "a plus sign joins attributes, which is not supported; write \\+ inside a value"
                            .into(),
                    ));
                }
                Some(c) => return Err(fault(format!("unexpected {c:?} after a quoted value"))),
            }
        }
    }

    fn blanks(&mut self) {
        while self.0.next_if_eq(&' ').is_some() {}
    }

    fn key(&mut self) -> Result<String, PkiError> {
        self.blanks();
        let mut key = String::new();
        while let Some(c) = self.0.next_if(|c| c.is_ascii_alphanumeric() || *c == '.') {
            key.push(c);
        }
        self.blanks();
        match self.0.next() {
            Some('=') if !key.is_empty() => Ok(key),
            Some('/') if key.is_empty() => {
                Err(fault("slashes do not separate; write CN=...,OU=...,O=...,C=...".into()))
            }
            Some(_) | None => Err(fault("expected a list of type=value separated by commas".into())),
        }
    }

    fn value(&mut self, key: &str) -> Result<String, PkiError> {
        self.blanks();
        let bytes = match self.0.peek() {
            Some('"') => self.quoted()?,
            Some('#') => {
                return Err(fault("hexadecimal values are not supported; write \\# for a sign".into()));
            }
            Some(_) | None => self.plain()?,
        };
        let shown: String = key.chars().take(32).collect();
        String::from_utf8(bytes).map_err(|_| fault(format!("{shown} is not valid UTF-8")))
    }

    /// Up to the next separator; unescaped blanks at the end do not count.
    fn plain(&mut self) -> Result<Vec<u8>, PkiError> {
        let mut bytes = Vec::new();
        let mut significant = 0;
        while let Some(c) = self.0.next_if(|c| !matches!(c, ',' | ';' | '+')) {
            match c {
                '\\' => self.escaped(&mut bytes)?,
                '"' | '<' | '>' => return Err(fault(format!("write \\{c} for {c} inside a value"))),
                c => push(&mut bytes, c),
            }
            if c != ' ' {
                significant = bytes.len();
            }
        }
        bytes.truncate(significant);
        Ok(bytes)
    }

    fn quoted(&mut self) -> Result<Vec<u8>, PkiError> {
        let mut bytes = Vec::new();
        self.0.next();
        loop {
            match self.0.next() {
                Some('"') => break,
                Some('\\') => self.escaped(&mut bytes)?,
                Some(c) => push(&mut bytes, c),
                None => return Err(fault("a quotation mark is not closed".into())),
            }
        }
        self.blanks();
        Ok(bytes)
    }

    /// What follows a backslash: a special character, or two hex digits that are one octet.
    fn escaped(&mut self, bytes: &mut Vec<u8>) -> Result<(), PkiError> {
        let wrong = || fault("a backslash must be followed by a special character or two hex digits".into());
        let first = self.0.next().ok_or_else(wrong)?;
        if matches!(first, ' ' | '"' | '#' | '+' | ',' | ';' | '<' | '=' | '>' | '\\') {
            push(bytes, first);
            return Ok(());
        }
        let high = first.to_digit(16).ok_or_else(wrong)?;
        let low = self.0.next().and_then(|c| c.to_digit(16)).ok_or_else(wrong)?;
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
        Ok(())
    }
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_forms_of_the_rfcs() {
        for (given, shown) in [
            ("CN=userName,OU=kms,O=aliyun,C=CN", "CN=userName,OU=kms,O=aliyun,C=CN"),
            (" cn = userName ; ou=kms,\to=x", ""),
            ("cn = a b  ; Ou = kms , O=aliyun ,C= CN ", "CN=a b,OU=kms,O=aliyun,C=CN"),
            ("C=CN,O=aliyun,OU=kms,CN=x", "C=CN,O=aliyun,OU=kms,CN=x"),
            (r"CN=a\,b\+c\3D\\,OU=\ k\ ,O=\#1,C=CN", r"CN=a\,b\+c=\\,OU=\ k\ ,O=\#1,C=CN"),
            (r#"CN="a, b; c\"",OU=k,O=o,C=CN"#, r#"CN=a\, b\; c\",OU=k,O=o,C=CN"#),
            (r"CN=\E9\80\9A关,OU=k,O=o,C=CN", "CN=通关,OU=k,O=o,C=CN"),
            ("2.5.4.3=x,OID.2.5.4.11=k,O=o,C=CN", "CN=x,OU=k,O=o,C=CN"),
            ("CN=x,OU=a,OU=b,O=o,L=l,ST=s,C=CN", "CN=x,OU=a,OU=b,O=o,L=l,ST=s,C=CN"),
            ("CN=a=b,OU=k,O=o,C=cn", "CN=a=b,OU=k,O=o,C=cn"),
        ] {
            match Subject::parse(given) {
                Ok(subject) => assert_eq!(subject.to_string(), shown),
                Err(_) => assert_eq!(shown, "", "{given}"),
            }
        }
    }

    #[test]
    fn shown_subjects_read_back_the_same() {
        let subject =
            Subject::parse(r#"CN=\ a\,\"通关\"\\\ ,OU=\#,O=<>,C=CN"#.replace("<>", r"\<\>").as_str());
        let subject = subject.unwrap();
        assert_eq!(Subject::parse(&subject.to_string()).unwrap(), subject);
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        let long = format!("CN={},OU=k,O=o,C=CN", "x".repeat(65));
        for (given, hint) in [
            ("", "type=value"),
            ("CN=x", "C is missing"),
            ("CN=x,OU=k,O=o", "C is missing"),
            ("OU=k,O=o,C=CN", "CN is missing"),
            ("CN=x,O=o,C=CN", "OU is missing"),
            ("CN=x,OU=k,C=CN", "O is missing"),
            ("CN=x,CN=y,OU=k,O=o,C=CN", "twice"),
            ("CN=x,OU=k,O=o,C=CHN", "two letters"),
            ("CN=x,OU=k,O=o,C=中国", "two letters"),
            ("CN=x,OU=k,O=o,C=CN,emailAddress=a@b", "unknown attribute"),
            ("CN=x,OU=k,O=o,C=CN,", "type=value"),
            ("CN=,OU=k,O=o,C=CN", "empty"),
            ("CN=a+OU=k,O=o,C=CN", "\\+"),
            ("CN=#0403,OU=k,O=o,C=CN", "hexadecimal"),
            ("CN=\"x,OU=k,O=o,C=CN", "not closed"),
            ("CN=a\\,OU=k,O=o,C=CN\\", "backslash"),
            ("CN=\\zz,OU=k,O=o,C=CN", "backslash"),
            ("CN=\\FF,OU=k,O=o,C=CN", "UTF-8"),
            ("CN=\\00,OU=k,O=o,C=CN", "control"),
            ("CN=a\nb,OU=k,O=o,C=CN", "control"),
            ("/C=CN/O=o/OU=k/CN=x", "slashes"),
            (long.as_str(), "longer"),
        ] {
            let error = Subject::parse(given).unwrap_err().to_string();
            assert!(error.contains(hint), "{given:?} -> {error}");
        }
        assert!(Subject::parse(&"x".repeat(MAX_SUBJECT_BYTES + 1)).is_err());
    }

    #[test]
    fn what_is_not_a_list_of_types_and_values_is_named() {
        for (text, reason) in [
            ("/CN=x/O=o", "slashes do not separate"),
            ("CN/x,O=o", "expected a list of type=value"),
            ("=x,O=o", "expected a list of type=value"),
            ("", "expected a list of type=value"),
        ] {
            let refused = Subject::parse(text).unwrap_err().to_string();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
        let frame = "CN=,OU=k,O=o,C=CN".len();
        let subject = |length: usize| format!("CN={},OU=k,O=o,C=CN", "x".repeat(length - frame));
        let refused = |length| Subject::parse(&subject(length)).unwrap_err().to_string();
        assert!(refused(MAX_SUBJECT_BYTES + 1).contains("longer than 2048 bytes"));
        assert!(!refused(MAX_SUBJECT_BYTES).contains("longer than 2048 bytes"));
    }
}
