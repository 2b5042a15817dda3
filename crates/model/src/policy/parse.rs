//! What identity and trust policies have in common as documents: the frame, members that may occur once, strings
//! that may be single or in an array, actions and conditions.

use super::condition::{Condition, Operator};
use super::json::Node;
use super::wildcard::Pattern;
use super::{Effect, PolicyError};

/// The statements of a document of at most `max` characters, not looked into yet.
pub(super) fn statements(document: &str, max: usize) -> Result<Vec<Node>, PolicyError> {
    let chars = document.chars().count();
    if chars > max {
        return Err(PolicyError::TooLong { chars, max });
    }
    let mut root = Members::of(serde_json::from_str(document)?, "The policy document")?;
    match root.require("Version")? {
        Node::Text(version) if version == "1" => {}
        _ => return Err(invalid("Version", "the string 1")),
    }
    let statements = match root.require("Statement")? {
        Node::Array(statements) if !statements.is_empty() => statements,
        _ => return Err(invalid("Statement", "a non-empty array of statements")),
    };
    root.finish()?;
    Ok(statements)
}

/// `Sid`, which has no effect but names the statement for people.
pub(super) fn sid(members: &mut Members) -> Result<Option<String>, PolicyError> {
    match members.take("Sid") {
        None => Ok(None),
        Some(Node::Text(sid)) => Ok(Some(sid)),
        Some(_) => Err(invalid(&format!("{}.Sid", members.at), "a string")),
    }
}

/// `Effect`, exactly so spelt.
pub(super) fn effect(members: &mut Members) -> Result<Effect, PolicyError> {
    match members.require("Effect")? {
        Node::Text(effect) if effect == "Allow" => Ok(Effect::Allow),
        Node::Text(effect) if effect == "Deny" => Ok(Effect::Deny),
        _ => Err(invalid(&format!("{}.Effect", members.at), "Allow or Deny")),
    }
}

/// An action, or several; they may contain wildcards.
pub(super) fn actions(node: Node, at: &str) -> Result<Vec<Pattern>, PolicyError> {
    let well_formed = |action: &str| {
        let operation =
            action.split_once(':').filter(|(code, _)| !code.is_empty()).map(|(_, operation)| operation);
        let named = operation.is_some_and(|operation| !operation.is_empty() && !operation.contains(':'));
        action == "*" || (named && action.bytes().all(|b| b.is_ascii_graphic()))
    };
    let expected = "an action such as vpc:Describe*, *, or a non-empty array of these";
    Ok(patterns(strings(node, at, well_formed, expected)?))
}

/// `{operator: {key: value or array}}`, flattened: all of it must hold.
pub(super) fn conditions(block: Node, at: &str) -> Result<Vec<Condition>, PolicyError> {
    let mut conditions = Vec::new();
    for (name, keys) in Members::of(block, at)?.members {
        let Some(operator) = Operator::find(&name) else {
            return Err(PolicyError::UnknownOperator { at: at.to_owned(), operator: shorten(&name) });
        };
        let keys = Members::of(keys, &format!("{at}.{name}"))?;
        if keys.members.is_empty() {
            return Err(invalid(&keys.at, "an object with at least one condition key"));
        }
        for (key, values) in keys.members {
            let at = format!("{}.{}", keys.at, shorten(&key));
            let values = condition_values(values, &at)?;
            let condition = Condition::new(operator, &key, values).map_err(|value| PolicyError::Operand {
                at,
                value: shorten(&value),
                expected: operator.expects(),
            })?;
            conditions.push(condition);
        }
    }
    Ok(conditions)
}

/// Compiles texts whose form was checked.
pub(super) fn patterns(texts: Vec<String>) -> Vec<Pattern> {
    texts.into_iter().map(Pattern::new).collect()
}

fn condition_values(node: Node, at: &str) -> Result<Vec<String>, PolicyError> {
    one_or_many(node)
        .map(|item| match item {
            Node::Text(value) | Node::Bare(value) => Some(value),
            Node::Null | Node::Array(_) | Node::Object(_) => None,
        })
        .collect::<Option<Vec<_>>>()
        .filter(|values| !values.is_empty())
        .ok_or_else(|| invalid(at, "a string or a non-empty array of strings"))
}

/// A string or a non-empty array of strings, each of which must pass `accept`.
pub(super) fn strings(
    node: Node,
    at: &str,
    accept: impl Fn(&str) -> bool,
    expected: &'static str,
) -> Result<Vec<String>, PolicyError> {
    one_or_many(node)
        .map(|item| match item {
            Node::Text(text) if accept(&text) => Some(text),
            _ => None,
        })
        .collect::<Option<Vec<_>>>()
        .filter(|texts| !texts.is_empty())
        .ok_or_else(|| invalid(at, expected))
}

/// Where an array of values is allowed, a single value is allowed without the array.
fn one_or_many(node: Node) -> impl Iterator<Item = Node> {
    match node {
        Node::Array(items) => items,
        single => vec![single],
    }
    .into_iter()
}

/// The members of an object that were not read yet, and its location.
pub(super) struct Members {
    at: String,
    pub(super) members: Vec<(String, Node)>,
}

impl Members {
    pub(super) fn of(node: Node, at: &str) -> Result<Self, PolicyError> {
        match node {
            Node::Object(members) => Ok(Self { at: at.to_owned(), members }),
            _ => Err(invalid(at, "an object")),
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Node> {
        let index = self.members.iter().position(|(member, _)| member == name)?;
        Some(self.members.remove(index).1)
    }

    pub(super) fn require(&mut self, name: &'static str) -> Result<Node, PolicyError> {
        self.take(name).ok_or_else(|| PolicyError::Missing { at: self.at.clone(), member: name })
    }

    /// Refuses what is left.
    pub(super) fn finish(self) -> Result<(), PolicyError> {
        match self.members.first() {
            Some((member, _)) => Err(PolicyError::UnknownMember { at: self.at, member: shorten(member) }),
            None => Ok(()),
        }
    }
}

pub(super) fn invalid(at: &str, expected: &'static str) -> PolicyError {
    PolicyError::Invalid { at: at.to_owned(), expected }
}

/// Keeps echoes of the document in messages short.
pub(super) fn shorten(text: &str) -> String {
    const KEEP: usize = 64;
    match text.char_indices().nth(KEEP) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
