//! Answers without what is secret in them, for a recording.
//!
//! What a member or an element is called tells most secrets ([`tongguan_service::hiding`]). Others are told by the
//! request: an answer may repeat what was sent, as a refusal of a signature repeats the text that was signed, its
//! parameters encoded twice in it. What is not a secret stays as it was sent, to the byte.

use std::collections::BTreeMap;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::Event;
use tongguan_rpc::{Incoming, encode};
use tongguan_service::hiding::{self, HIDDEN};

use super::super::paint::token;

/// Secrets with fewer bytes are looked for in refusals alone: elsewhere something else may well be like them.
const LONG: usize = 8;
/// With fewer, nowhere.
const SHORT: usize = 4;
/// Ids of keys with fewer characters are hidden whole.
const ID_CHARS: usize = 16;
/// What is left of a longer one at both ends.
const ID_SHOWN: usize = 4;

/// The id of a key, so that two can be told apart and none be used.
pub(super) fn masked(id: &str) -> String {
    let chars: Vec<char> = id.chars().collect();
    if chars.len() < ID_CHARS {
        return HIDDEN.to_owned();
    }
    let (begin, end) = (&chars[..ID_SHOWN], &chars[chars.len() - ID_SHOWN..]);
    format!("{}{HIDDEN}{}", String::from_iter(begin), String::from_iter(end))
}

/// What of a request must not be in its answer, and what stands there instead.
#[derive(Debug, Default)]
pub(super) struct Veil(Vec<(String, String)>);

impl Veil {
    /// The secrets of a request.
    pub(super) fn of(incoming: &Incoming<'_>) -> Self {
        let claims = incoming.claims();
        let hidden = |secret: &str| (secret.to_owned(), HIDDEN.to_owned());
        let mut secrets: Vec<(String, String)> =
            incoming.access_key_id().map(|id| (id.to_owned(), masked(id))).into_iter().collect();
        let more = [incoming.security_token(), claims.bearer_token(), claims.signature(), claims.nonce()];
        secrets.extend(more.into_iter().flatten().map(hidden));
        for (name, value) in claims.parameters().iter() {
            secrets.extend(hiding::secrets_of(name, value).iter().map(|secret| hidden(secret)));
        }
        // As they are, and as a query or a text to be signed has them.
        let forms = secrets.iter().flat_map(|(secret, instead)| {
            let once = encode(secret);
            let twice = encode(&once);
            [secret.clone(), once, twice].map(|form| (form, instead.clone()))
        });
        let each: BTreeMap<String, String> = forms.filter(|(form, _)| form.len() >= SHORT).collect();
        let mut all: Vec<(String, String)> = each.into_iter().collect();
        // The longest first: one may be in another.
        all.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
        Self(all)
    }

    /// The body of an answer without secrets.
    pub(super) fn over(&self, body: &str, refused: bool) -> String {
        let least = if refused { SHORT } else { LONG };
        let clean = |text: &str| -> Option<String> {
            let mut without = hiding::text(text).into_owned();
            for (secret, instead) in self.0.iter().filter(|(secret, _)| secret.len() >= least) {
                if without.contains(secret.as_str()) {
                    without = without.replace(secret.as_str(), instead);
                }
            }
            (without != text).then_some(without)
        };
        let changes = match body.trim_start().chars().next() {
            Some('<') => xml(body, &clean),
            _ => json(body, &clean),
        };
        match changes {
            Some(changes) => changed(body, changes),
            None => clean(body).unwrap_or_else(|| body.to_owned()),
        }
    }
}

/// What is put in the place of a part of a body.
type Change = (Range<usize>, String);

fn changed(body: &str, mut changes: Vec<Change>) -> String {
    changes.sort_by_key(|(place, _)| place.start);
    let mut out = String::with_capacity(body.len());
    let mut done = 0;
    for (place, instead) in changes {
        out.push_str(&body[done..place.start]);
        out.push_str(&instead);
        done = place.end;
    }
    out.push_str(&body[done..]);
    out
}

/// Members of an object, or elements in an element: their names, and where the values of some are.
#[derive(Default)]
struct Members(Vec<(String, Option<Value>)>);

/// Where a value is, and what stands there unless its name says that it is a secret.
struct Value {
    place: Range<usize>,
    clean: Option<String>,
    /// Whether it could be a secret: `true` and the like are none.
    tells: bool,
}

impl Members {
    /// What has to be changed, now that all of them are known.
    fn settle(self, hidden: &str, changes: &mut Vec<Change>) {
        let names: Vec<String> = self.0.iter().map(|(name, _)| name.clone()).collect();
        for (name, value) in self.0 {
            let Some(Value { place, clean, tells }) = value else { continue };
            if tells && hiding::is_secret_member(&name, names.iter().map(String::as_str)) {
                changes.push((place, hidden.to_owned()));
            } else {
                changes.extend(clean.map(|clean| (place, clean)));
            }
        }
    }
}

/// Where one is in a JSON text.
enum Level {
    Object { members: Members, name: String },
    Array,
}

/// `None` when it is not JSON.
fn json(text: &str, clean: &impl Fn(&str) -> Option<String>) -> Option<Vec<Change>> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let quoted = |text: String| serde_json::Value::String(text).to_string();
    let hidden = quoted(HIDDEN.to_owned());
    let (mut changes, mut levels, mut at) = (Vec::new(), Vec::<Level>::new(), 0);
    while at < text.len() {
        let place = at..at + token(&text[at..]);
        let this = &text[place.clone()];
        at = place.end;
        let value = match this.as_bytes()[0] {
            b'{' | b'[' => {
                if let Some(Level::Object { members, name }) = levels.last_mut() {
                    members.0.push((std::mem::take(name), None));
                }
                levels.push(match this {
                    "{" => Level::Object { members: Members::default(), name: String::new() },
                    _ => Level::Array,
                });
                continue;
            }
            b'}' | b']' => {
                if let Level::Object { members, .. } = levels.pop()? {
                    members.settle(&hidden, &mut changes);
                }
                continue;
            }
            b'"' => {
                let unquoted: String = serde_json::from_str(this).ok()?;
                if let Some(Level::Object { name, .. }) = levels.last_mut()
                    && text[at..].trim_ascii_start().starts_with(':')
                {
                    *name = unquoted;
                    continue;
                }
                Value { place, clean: clean(&unquoted).map(quoted), tells: !unquoted.is_empty() }
            }
            b'0'..=b'9' | b'-' => Value { place, clean: None, tells: true },
            b't' | b'f' | b'n' => Value { place, clean: None, tells: false },
            _ => continue,
        };
        match levels.last_mut() {
            Some(Level::Object { members, name }) => members.0.push((std::mem::take(name), Some(value))),
            Some(Level::Array) | None => changes.extend(value.clean.map(|clean| (value.place, clean))),
        }
    }
    Some(changes)
}

/// An element that has not ended.
struct Element {
    name: String,
    /// Where its content begins.
    begin: usize,
    members: Members,
    content: String,
}

/// `None` when it is not XML of the API's kind: elements and text.
fn xml(text: &str, clean: &impl Fn(&str) -> Option<String>) -> Option<Vec<Change>> {
    let mut reader = Reader::from_str(text);
    let (mut changes, mut open) = (Vec::new(), Vec::<Element>::new());
    let place = |reader: &Reader<_>| usize::try_from(reader.buffer_position()).ok();
    loop {
        let before = place(&reader)?;
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                let (name, begin) = (tag.name().as_ref().to_owned(), place(&reader)?);
                open.push(Element { name, begin, members: Members::default(), content: String::new() });
            }
            Event::Empty(tag) => {
                if let Some(parent) = open.last_mut() {
                    parent.members.0.push((tag.name().as_ref().to_owned(), None));
                }
            }
            Event::Text(piece) => open.last_mut().into_iter().for_each(|open| open.content.push_str(&piece)),
            Event::GeneralRef(name) => {
                let escaped = format!("&{};", &*name);
                open.last_mut()?.content.push_str(&quick_xml::escape::unescape(&escaped).ok()?);
            }
            Event::End(_) => {
                let Element { name, begin, members, content } = open.pop()?;
                let leaf = members.0.is_empty();
                members.settle(HIDDEN, &mut changes);
                let escaped = |text: String| quick_xml::escape::escape(&text).into_owned();
                let value = leaf.then(|| Value {
                    place: begin..before,
                    clean: clean(&content).map(escaped),
                    tells: !content.is_empty(),
                });
                match open.last_mut() {
                    Some(parent) => parent.members.0.push((name, value)),
                    None => Members(vec![(name, value)]).settle(HIDDEN, &mut changes),
                }
            }
            Event::Decl(_) => {}
            Event::Eof => return open.is_empty().then_some(changes),
            Event::CData(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use tongguan_rpc::{HttpRequest, Limits, parse};

    use super::*;

    const ID: &str = "LTAI0123456789abcdefZZZZ";
    const QUERY: &str = "AccessKeyId=LTAI0123456789abcdefZZZZ&SecurityToken=CAES%2Btoken%3D%3D&Signature=sig%2Fnature%3D&\
        SignatureMethod=HMAC-SHA1&SignatureNonce=the-nonce-1&Psk=pass&Options=%7B%22AuthKey%22:%22a%20b%2Fc%20d-long%22%7D&\
        Name=plain";

    fn veil() -> Veil {
        let (method, headers) = (Method::GET, HeaderMap::new());
        let request = HttpRequest { method: &method, path: "/", query: QUERY, headers: &headers, body: &[] };
        Veil::of(&parse(request, &Limits::default()).unwrap())
    }

    #[test]
    fn ids_of_keys_are_masked() {
        assert_eq!(masked(ID), "LTAI***ZZZZ");
        assert_eq!(masked("tongguan-dev"), "***");
    }

    #[test]
    fn secrets_go_by_their_names_and_the_rest_stays() {
        for (body, expected) in [
            (
                r#"{ "AccessKey" : {"AccessKeySecret":"s3cret", "AccessKeyId": "LTAIother"},"N":1.50,"e":"é\/" }"#,
                r#"{ "AccessKey" : {"AccessKeySecret":"***", "AccessKeyId": "LTAIother"},"N":1.50,"e":"é\/" }"#,
            ),
            (
                r#"{"Tags":[{"Key":"owner","Value":"me"},{"Value":"","Key":"k"}],"Key":"s3cret","Psk":null}"#,
                r#"{"Tags":[{"Key":"owner","Value":"me"},{"Value":"","Key":"k"}],"Key":"***","Psk":null}"#,
            ),
            (
                r#"{"PrivateKey":"","Keys":["-----BEGIN PRIVATE KEY-----\ns3cret"],"Password":true,"Psk":12345}"#,
                r#"{"PrivateKey":"","Keys":["***"],"Password":true,"Psk":"***"}"#,
            ),
            (r#"{"Config":"{\"Psk\":\"s3cret\",\"A\":1}"}"#, r#"{"Config":"{\"A\":1,\"Psk\":\"***\"}"}"#),
            (
                "<?xml version='1.0'?><R><K><AccessKeySecret>s3&amp;cret</AccessKeySecret><Id>a</Id></K>\n<Psk/></R>",
                "<?xml version='1.0'?><R><K><AccessKeySecret>***</AccessKeySecret><Id>a</Id></K>\n<Psk/></R>",
            ),
            (
                "<R><Tag><Key>owner</Key><Value/></Tag><C><Key>s3cret</Key></C><P>-PRIVATE KEY- &lt;s3cret</P></R>",
                "<R><Tag><Key>owner</Key><Value/></Tag><C><Key>***</Key></C><P>***</P></R>",
            ),
            ("no document", "no document"),
            ("", ""),
            ("BEGIN PRIVATE KEY s3cret", "***"),
        ] {
            assert_eq!(Veil::default().over(body, false), expected);
        }
    }

    #[test]
    fn what_was_sent_is_hidden_where_it_is_repeated() {
        let veil = veil();
        let signed = encode(&format!("AccessKeyId={ID}&SecurityToken={}&Psk=pass", encode("CAES+token==")));
        for body in [
            format!(r#"{{"Message":"server string to sign is:GET&%2F&{signed} the-nonce-1 sig/nature="}}"#),
            format!("<Error><Message>GET&amp;{signed} the-nonce-1 sig/nature=</Message></Error>"),
            format!("plain {signed} the-nonce-1 sig/nature="),
            r#"{"Message":"a b\/c d-long a%20b%2Fc%20d-long CAES\u002btoken== pass"}"#.to_owned(),
        ] {
            let over = veil.over(&body, true);
            for secret in [ID, "CAES", "token", "the-nonce", "nature", "pass", "c%2520d", "d-long"] {
                assert!(!over.contains(secret), "{secret}: {over}");
            }
        }
        // A short one that is an answer's own word stays there.
        assert_eq!(veil.over(r#"{"Name":"passage"}"#, false), r#"{"Name":"passage"}"#);
        assert_eq!(veil.over(r#"{"Name":"plain"}"#, true), r#"{"Name":"plain"}"#);
        assert!(veil.over(&format!(r#"{{"Id":"{ID}"}}"#), false).contains("LTAI***ZZZZ"));
    }
}
