//! Secrets in texts that others see: what a test is shown of a request, what a recording has of request and answer.
//!
//! A secret is known by the name of its parameter, member or element, or, a private key, by what it looks like. There
//! is one list of names; whoever shows a parameter asks it.

use std::borrow::Cow;

use serde_json::Value;

/// What stands in the place of a secret.
pub const HIDDEN: &str = "***";

/// What private keys in PEM have in common.
const PRIVATE_KEY: &str = "PRIVATE KEY";

/// Ends of names of secrets, in lower case: of this service's parameters and answers, and of others that a recording
/// may meet.
const ENDS: [&str; 16] = [
    "psk",
    "privatekey",
    "authkey",
    "passphrase",
    "password",
    "secret",
    "securitytoken",
    "plaintext",
    "secretdata",
    "bearertoken",
    "oidctoken",
    "idtoken",
    "accesstoken",
    "samlassertion",
    "base32stringseed",
    "qrcodepng",
];

/// Whether a parameter of this name, or a member of one, is a secret.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    // A private key in Cas; a tag's key is `Tag.N.Key`. Whether a key may be exported is no secret.
    let lower = name.to_ascii_lowercase();
    name == "Key" || ENDS.iter().any(|end| lower.ends_with(end)) && lower != "exportableprivatekey"
}

/// Whether a member of this name is a secret among these members of one object. `Key` beside `Value` is a tag's.
pub fn is_secret_member<'n>(name: &str, mut members: impl Iterator<Item = &'n str>) -> bool {
    is_secret(name) && !(name == "Key" && members.any(|other| other == "Value"))
}

/// The value of a parameter without what is secret in it.
#[must_use]
pub fn parameter<'v>(name: &str, value: &'v str) -> Cow<'v, str> {
    if is_secret(name) { Cow::Borrowed(HIDDEN) } else { text(value) }
}

/// A text without what is secret in it, whatever it is called: a private key, members of a document.
#[must_use]
pub fn text(value: &str) -> Cow<'_, str> {
    if value.contains(PRIVATE_KEY) {
        return Cow::Borrowed(HIDDEN);
    }
    if value.starts_with(['{', '[']) {
        match serde_json::from_str::<Value>(value) {
            Ok(mut document) => {
                if hide(&mut document) {
                    return Cow::Owned(document.to_string());
                }
            }
            // What nobody can read may hold anything.
            Err(_)
                if ["psk", "key", "secret"].iter().any(|word| value.to_ascii_lowercase().contains(word)) =>
            {
                return Cow::Borrowed(HIDDEN);
            }
            Err(_) => {}
        }
    }
    Cow::Borrowed(value)
}

/// The secrets in the value of a parameter, as they are.
#[must_use]
pub fn secrets_of(name: &str, value: &str) -> Vec<String> {
    fn gather(name: Option<&str>, document: &Value, found: &mut Vec<String>) {
        match document {
            Value::Object(members) => {
                for (name, value) in members {
                    let member = is_secret_member(name, members.keys().map(String::as_str));
                    gather(member.then_some(name.as_str()), value, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| gather(name, item, found)),
            Value::String(text) if name.is_some() || text.contains(PRIVATE_KEY) => found.push(text.clone()),
            Value::Number(number) if name.is_some() => found.push(number.to_string()),
            _ => {}
        }
    }
    if is_secret(name) || value.contains(PRIVATE_KEY) {
        return vec![value.to_owned()];
    }
    let mut found = Vec::new();
    if let Some(document) = value.starts_with(['{', '[']).then(|| serde_json::from_str(value).ok()).flatten()
    {
        gather(None, &document, &mut found);
    }
    found
}

/// Hides the secrets among the members of a document. Answers whether there were any.
fn hide(document: &mut Value) -> bool {
    match document {
        Value::Object(members) => {
            let secret: Vec<bool> = members
                .keys()
                .map(|name| is_secret_member(name, members.keys().map(String::as_str)))
                .collect();
            members.values_mut().zip(secret).fold(false, |any, (value, secret)| {
                let hidden = if secret && !value.is_object() && !value.is_array() {
                    *value = HIDDEN.into();
                    true
                } else {
                    hide(value)
                };
                any | hidden
            })
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| any | hide(item)),
        Value::String(value) => {
            let without = text(value).into_owned();
            let any = without != *value;
            *value = without;
            any
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation;

    #[test]
    fn no_secret_is_shown() {
        for (name, value) in [
            ("Psk", "s3cret"),
            ("TunnelOptionsSpecification.1.TunnelIkeConfig.Psk", "s3cret"),
            ("AuthKey", "s3cret"),
            ("EncryptPrivateKey", "s3cret"),
            ("Key", "s3cret"),
            ("Passphrase", "s3cret"),
            ("SecurityToken", "s3cret"),
            ("IkeConfig", r#"{"IkeVersion":"ikev2","Psk":"s3cret"}"#),
            ("Json", r#"[{"a":{"PSK":"s3cret"}}]"#),
            ("Json", r#"{"Inner":"{\"Psk\":\"s3cret\"}"}"#),
            ("IkeConfig", r#"{"Psk":"s3cret""#),
            ("Certificate", "-----BEGIN PRIVATE KEY-----\ns3cret"),
        ] {
            let shown = parameter(name, value);
            assert!(shown.contains(HIDDEN) && !shown.contains("s3cret"), "{name}: {shown}");
            let found = secrets_of(name, value);
            let readable = !value.starts_with("{\"Psk\":\"s3cret\"") && !value.contains("Inner");
            assert!(!readable || found.iter().any(|secret| secret.contains("s3cret")), "{name}: {found:?}");
        }
        for (name, value) in [
            ("Tag.1.Key", "owner"),
            ("ExportablePrivateKey", "false"),
            ("Name", "x"),
            ("Tags", r#"[ {"Key":"owner", "Value":"me"} ]"#),
            ("PolicyDocument", r#"{"Version": "1"}"#),
        ] {
            assert_eq!(parameter(name, value), value, "{name}");
            assert_eq!(secrets_of(name, value), Vec::<String>::new(), "{name}");
        }
        // Parameters whose names say so are hidden, whatever operation takes them.
        for parameter in operation::ALL.iter().flat_map(|operation| operation.parameters) {
            let name = parameter.name.to_ascii_lowercase();
            let telling = ["psk", "passphrase", "authkey", "password"].iter().any(|word| name.contains(word));
            assert!(!telling || is_secret(parameter.name), "{}", parameter.name);
        }
    }
}
