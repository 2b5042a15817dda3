//! Finds a secret in anything: as it is, in hex, in Base64 at each alignment, in URLs, escaped, or printed as a list of
//! numbers.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Bytes by which a place is recognised before it is compared; no needle is shorter.
const HEAD: usize = 8;

/// The secrets to look for.
#[derive(Default)]
pub(crate) struct Secrets {
    needles: Vec<(String, Vec<u8>)>,
    /// Needles by their first bytes.
    heads: HashMap<[u8; HEAD], Vec<usize>>,
}

impl Secrets {
    /// Adds a secret in all its forms.
    pub(crate) fn add(&mut self, name: &str, secret: &[u8]) {
        assert!(secret.len() >= HEAD, "{name} is too short to be told from chance");
        for (form, needle) in forms(secret) {
            let head = needle[..HEAD].try_into().unwrap();
            self.heads.entry(head).or_default().push(self.needles.len());
            self.needles.push((format!("{name}, {form}"), needle));
        }
    }

    /// Names and places of the secrets in `text`.
    pub(crate) fn find(&self, text: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for place in 0..text.len().saturating_sub(HEAD - 1) {
            let head: [u8; HEAD] = text[place..place + HEAD].try_into().unwrap();
            for number in self.heads.get(&head).into_iter().flatten() {
                let (name, needle) = &self.needles[*number];
                if text[place..].starts_with(needle) {
                    found.push(format!("{name}, at {place}"));
                }
            }
        }
        found
    }
}

/// A secret in every form in which it could be written somewhere.
pub(crate) fn forms(secret: &[u8]) -> Vec<(String, Vec<u8>)> {
    let list = |numbers: Vec<String>| numbers.join(", ");
    let mut forms = vec![
        ("clear".to_owned(), secret.to_vec()),
        ("hex".to_owned(), hex::encode(secret).into_bytes()),
        ("HEX".to_owned(), hex::encode_upper(secret).into_bytes()),
        ("numbers".to_owned(), list(secret.iter().map(u8::to_string).collect()).into_bytes()),
        (
            "hex numbers".to_owned(),
            list(secret.iter().map(|byte| format!("0x{byte:02x}")).collect()).into_bytes(),
        ),
        ("escaped".to_owned(), secret.escape_ascii().to_string().into_bytes()),
    ];
    for before in 0..3 {
        let mut shifted = vec![0; before];
        shifted.extend_from_slice(secret);
        // Characters that depend on the secret alone, not on what stands around it.
        let (first, end) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
        forms.push((format!("base64 +{before}"), STANDARD_NO_PAD.encode(&shifted)[first..end].into()));
        forms.push((format!("base64url +{before}"), URL_SAFE_NO_PAD.encode(&shifted)[first..end].into()));
    }
    for (name, space, upper) in [("%XX", "%20", true), ("%xx", "%20", false), ("form", "+", true)] {
        let encoded: String = secret
            .iter()
            .map(|byte| match byte {
                b' ' => space.to_owned(),
                byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) => char::from(*byte).into(),
                byte if upper => format!("%{byte:02X}"),
                byte => format!("%{byte:02x}"),
            })
            .collect();
        forms.push((format!("url {name}"), encoded.into_bytes()));
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        let json = serde_json::to_string(text).unwrap();
        forms.push(("json".to_owned(), json[1..json.len() - 1].into()));
    }
    forms
}

/// The searcher finds what was planted, whatever stands before it.
#[test]
fn what_is_planted_is_found() {
    let secrets_to_plant: [&[u8]; 3] = [
        b"a secret / with + odd \"characters\"",
        &[0, 255, 17, 3, 254, 128, 77, 33, 10, 13, 200, 201, 202, 203, 204, 205],
        b"LettersAndDigits0123456789abcd",
    ];
    for secret in secrets_to_plant {
        let mut secrets = Secrets::default();
        secrets.add("planted", secret);
        assert!(
            secrets
                .find(b"nothing of the sort stands in a text like this one, however long it is")
                .is_empty()
        );
        assert!(secrets.find(&secret[1..]).is_empty());
        for (form, needle) in forms(secret) {
            let text = [b"before ", &needle[..], b" after"].concat();
            let found = secrets.find(&text);
            assert!(found.iter().any(|name| name.contains(&form)), "{form}: {found:?}");
        }
        // Inside of something longer that is encoded as a whole.
        for before in 0..6 {
            let whole = [&b"prefix"[..before], secret, b"-suffix"].concat();
            for text in [STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole), hex::encode(&whole)]
            {
                assert!(!secrets.find(text.as_bytes()).is_empty(), "{before}: {text}");
            }
        }
        assert!(!secrets.find(format!("{secret:?}").as_bytes()).is_empty());
    }
}
