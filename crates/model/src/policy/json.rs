//! JSON as a policy document needs it: a tree that refuses duplicate members.
//!
//! A parser that silently keeps the last of two `Effect` members would let a
//! document say one thing to its reader and another to the evaluation.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A JSON value. Numbers and booleans keep only their text, which is all that a
/// condition value needs; no other place in a policy takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    /// A number or a boolean without quotes, as text.
    Bare(String),
    Text(String),
    Array(Vec<Node>),
    /// Members in document order, names unique.
    Object(Vec<(String, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bare(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Bare(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Bare(value.to_string()))
    }

    /// What reaches this as a float may have been written with more digits than a float holds.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        let text = value.to_string();
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        if digits.trim_start_matches('0').len() > f64::DIGITS as usize {
            return Err(E::custom("a number of more than 15 digits must stand in quotes"));
        }
        Ok(Node::Bare(text))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element()? {
            nodes.push(node);
        }
        Ok(Node::Array(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut nodes: Vec<(String, Node)> = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            nodes.push((name, members.next_value()?));
        }
        let mut names: Vec<&str> = nodes.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(A::Error::custom(format_args!("duplicate member `{}`", twice[0])));
        }
        Ok(Node::Object(nodes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `18446744073709551617` was read as 18446744073709552000.
    #[test]
    fn numbers_are_read_as_they_are_written_or_not_at_all() {
        for (text, read) in [
            ("18446744073709551615", Some("18446744073709551615")),
            ("-9223372036854775808", Some("-9223372036854775808")),
            ("1.5e3", Some("1500")),
            ("0.000123456789012345", Some("0.000123456789012345")),
            // A reader of floats that is a bit off makes sixteen digits of it.
            ("8e-32", Some("0.00000000000000000000000000000008")),
            ("18446744073709551616", None),
            ("18446744147419118446744073709551615", None),
            ("12345678.123456789", None),
            ("1e300", None),
        ] {
            let expected = read.map(|read| Node::Bare(read.to_owned()));
            assert_eq!(serde_json::from_str::<Node>(text).ok(), expected, "{text}");
        }
    }
}
