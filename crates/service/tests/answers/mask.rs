//! What is random in an answer is replaced: the same value by the same placeholder, numbered as they come.
//!
//! Moments are not: the clock is the test's own, and a second passes after each change.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use regex_automata::dfa::regex::Regex;
use regex_automata::util::syntax;
use serde_json::Value;

use crate::world::Names;

/// Members of answers that are random, whatever they look like.
macro_rules! members {
    () => {
        "AccessKeySecret|SecurityToken|NextToken|Marker|SubjectKeyIdentifier|OrderId|InternetIp|DisasterRecoveryInternetIp|CertSha2|Fingerprint|FingerPrint|Identifier|KeySha2|PKCS12Blob|Serial|SerialNo|Sha2"
    };
}

/// Kinds of random values, and what they look like.
const KINDS: &[(&str, &str)] = &[
    ("", r"-----BEGIN [A-Z ]+-----[A-Za-z0-9+/=\\\n]+-----END [A-Z ]+-----"),
    ("uuid", r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"),
    ("", r"cas-upload-[a-z0-9]{6}"),
    (NUMBER, r"\b[1-9][0-9]{7,9}\b"),
    ("", r"(?:vpc|vsw|vpndgn|vpn|vrt|vtb|rte|cgw|vco|tun)-[a-z0-9]{20}"),
    ("rg", r"rg-acfm[a-z0-9]{11}"),
    ("id", r"\b[234][0-9]{17}\b"),
    ("key", r"LTAI5t[A-Za-z0-9]{18}"),
    ("key", r"STS\.[A-Za-z0-9]+"),
    ("address", r"\b198\.1[89]\.[0-9]{1,3}\.[0-9]{1,3}\b"),
    (MEMBER, concat!(r#""(?:"#, members!(), r#")":"?[^",}]+"#)),
    (MEMBER, concat!("<(?:", members!(), ")>[^<]+")),
    // The keys that are made: those that are given here have other characters.
    (MEMBER, r#""Psk":"[A-Za-z0-9_-]{16}"#),
    (MEMBER, "<Psk>[A-Za-z0-9_-]{16}"),
    // A session's token in a text that was to be signed, escaped twice.
    ("token", r"SecurityToken%3D[A-Za-z0-9%._~-]+?%26S"),
];

/// An id that is a number.
const NUMBER: &str = "number";

/// The value stands behind its name.
const MEMBER: &str = "member";

static LIKE: LazyLock<Regex> = LazyLock::new(|| {
    let patterns: Vec<_> = KINDS.iter().map(|(_, pattern)| *pattern).collect();
    Regex::builder()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build_many(&patterns)
        .expect("the patterns are regular")
});

/// The random values that were seen.
#[derive(Default)]
pub(crate) struct Mask {
    known: HashMap<String, String>,
    numbers: BTreeMap<String, usize>,
}

impl Mask {
    /// A mask that calls what is random among `names` by its name.
    pub(crate) fn with(names: &Names) -> Self {
        let mut mask = Self::default();
        for (name, value) in names {
            match value {
                Value::Object(members) => {
                    for (member, value) in members {
                        mask.name(&format!("{name}.{member}"), value);
                    }
                }
                value => mask.name(name, value),
            }
        }
        mask
    }

    fn name(&mut self, name: &str, value: &Value) {
        let Some(text) = value.as_str() else { return };
        // A number is one behind its placeholder too, so that it is not taken for a text where it stands in XML.
        let random = LIKE.find(text).is_some_and(|found| {
            found.range() == (0..text.trim_end().len()) && KINDS[found.pattern().as_usize()].0 != NUMBER
        });
        let secret = name.ends_with(".AccessKeySecret") || name.ends_with(".SecurityToken");
        if random || secret {
            self.known.insert(text.trim_end().to_owned(), format!("<{name}>"));
        }
    }

    /// The text with its random values replaced.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let (mut out, mut done) = (String::with_capacity(text.len()), 0);
        for found in LIKE.find_iter(text.as_bytes()) {
            let kind = KINDS[found.pattern().as_usize()].0;
            let mut start = found.start();
            if kind == MEMBER {
                let matched = &text[found.range()];
                start += matched.find([':', '>']).expect("a name and a value") + 1;
                start += usize::from(text[start..].starts_with('"'));
            }
            out.push_str(&text[done..start]);
            out.push_str(&self.placeholder(kind, &text[start..found.end()]));
            done = found.end();
        }
        out + &text[done..]
    }

    fn placeholder(&mut self, kind: &str, value: &str) -> String {
        let value = value.replace("\\n", "\n");
        if let Some(known) = self.known.get(&value) {
            return known.clone();
        }
        let kind = match (kind, value.strip_prefix("-----BEGIN ")) {
            (MEMBER, _) => "value".to_owned(),
            ("", Some(pem)) => pem.split("-----").next().unwrap_or_default().to_lowercase(),
            ("", None) => value[..3].to_owned(),
            (kind, _) => kind.to_owned(),
        };
        let number = self.numbers.entry(kind.clone()).or_default();
        *number += 1;
        let placeholder = format!("<{kind} {number}>");
        self.known.insert(value, placeholder.clone());
        placeholder
    }
}

#[test]
fn the_same_value_gets_the_same_placeholder() {
    let mut mask = Mask::default();
    let id = |last: char| format!("vpc-bp1aaaaaaaaaaaaaaaa{last}");
    let text = format!(r#"{{"VpcId":"{}","Other":"{}","Marker":"ab+/=","OrderId":12}}"#, id('1'), id('2'));
    let masked = r#"{"VpcId":"<vpc 1>","Other":"<vpc 2>","Marker":"<value 1>","OrderId":<value 2>}"#;
    assert_eq!(mask.text(&text), masked);
    assert_eq!(mask.text(&id('2')), "<vpc 2>");
    assert_eq!(
        mask.text("<Marker>ab+/=</Marker>2027-01-15T08:00:00Z"),
        "<Marker><value 1></Marker>2027-01-15T08:00:00Z"
    );
    let pem = "-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----";
    assert_eq!(mask.text(&format!("{pem}\\n")), "<public key 1>\\n");
    assert_eq!(mask.text(&pem.replace("\\n", "\n")), "<public key 1>");
    assert_eq!(mask.text("1234567890123456 2000 v1 通关"), "1234567890123456 2000 v1 通关");
}
