//! Places in a JSON answer: `Status`, `VpnGateways.VpnGateway.0.Status`; and what is waited for there.

use serde_json::Value;

/// What stands at a place; none if there is nothing. Names are members, numbers are items of a list.
pub(crate) fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    })
}

/// A scalar as people write it; none of what has parts.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A place and what is to stand there: `PATH=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    path: String,
    value: String,
}

impl Wanted {
    /// Reads `PATH=VALUE`.
    ///
    /// # Errors
    /// It is something else.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((path, value)) if !path.is_empty() && path.split('.').all(|step| !step.is_empty()) => {
                Ok(Self { path: path.to_owned(), value: value.to_owned() })
            }
            _ => Err(format!("`{text}` is not PATH=VALUE, such as Status=active")),
        }
    }

    /// Whether it stands there.
    pub(crate) fn is_met(&self, value: &Value) -> bool {
        at(value, &self.path).and_then(text).is_some_and(|found| found == self.value)
    }

    /// What stands there, for people.
    pub(crate) fn found(&self, value: &Value) -> String {
        let found = at(value, &self.path);
        found.map_or_else(|| "nothing".to_owned(), |found| text(found).unwrap_or_else(|| found.to_string()))
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.path, self.value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_members_and_items() {
        let answer =
            json!({"Status": "active", "List": {"Item": [{"N": 1}, {"N": 2, "B": true}]}, "No": null});
        for (wanted, met) in [
            ("Status=active", true),
            ("Status=updating", false),
            ("List.Item.1.N=2", true),
            ("List.Item.1.B=true", true),
            ("List.Item.2.N=2", false),
            ("List.Item=x", false),
            ("None.At.All=x", false),
            ("No=", false),
        ] {
            assert_eq!(Wanted::parse(wanted).unwrap().is_met(&answer), met, "{wanted}");
        }
        assert_eq!(Wanted::parse("List.Item.0=x").unwrap().found(&answer), "{\"N\":1}");
        assert_eq!(Wanted::parse("X=y").unwrap().found(&answer), "nothing");
        assert_eq!(Wanted::parse("A=b=c").unwrap().to_string(), "A=b=c");
        for wrong in ["", "Status", "=x", "A..B=x"] {
            assert!(Wanted::parse(wrong).is_err(), "{wrong}");
        }
    }
}
