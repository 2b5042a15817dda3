//! Every answer against the page of its operation (`docs/api`): the members that come back, their nesting and their
//! types, in JSON and in XML; and every error of the page against the codes that the operation answers.
//!
//! The answers are those of the recordings, which are the service's own. What is not as the page says stands under
//! `ours` of the page with its reason, recorded errors that nothing here answers in `unanswered.json`, and those that
//! are answered in other words in `reworded.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use tongguan_rpc::Format;
use tongguan_service::catalogue::{self, Code};
use tongguan_service::operation::{self, Operation};

use crate::exchange::xml_tree;
use crate::tape::{CALL, folder, full_lines, recording};

/// Recorded errors that nothing answers. The number may only become smaller.
const UNANSWERED: usize = 243;

/// Recorded errors whose code is answered with another status or message. The number may only become smaller.
const REWORDED: usize = 27;

/// A member of the page that no answer has.
const NOT_ANSWERED: &str = "is not answered";
/// A member of the page in a list that is answered, and has nothing in it.
const ALWAYS_EMPTY: &str = "stands in a list that is always empty";
/// A member of an answer that the page does not have.
const NOT_ON_THE_PAGE: &str = "is not on the page";

/// Where the page says that an answer is otherwise, and what is meant.
const SAID: [(&str, &str); 3] =
    [("omits", NOT_ANSWERED), ("always_empty", ALWAYS_EMPTY), ("adds", NOT_ON_THE_PAGE)];

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Text,
    Number,
    Flag,
    Object,
    Null,
}

/// Members by their path, `Tags.Tag[].Key`, with what they were seen to be.
type Members = BTreeMap<String, BTreeSet<Kind>>;

/// What the recordings show of an operation.
#[derive(Default)]
struct Seen {
    json: Members,
    /// Lists that were there, empty or not.
    lists: BTreeSet<String>,
    /// Paths without the marks of lists, and texts.
    xml: BTreeMap<String, BTreeSet<String>>,
    roots: BTreeSet<String>,
}

fn page(operation: &Operation) -> Value {
    let product = operation.product.as_str().to_lowercase();
    let path = format!("../../docs/api/{product}/{}.json", operation.action);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn name(operation: &Operation) -> String {
    format!("{}.{}", operation.product.as_str(), operation.action)
}

/// Every success of every operation in all recordings.
fn seen() -> BTreeMap<String, Seen> {
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    for directory in std::fs::read_dir(folder()).unwrap() {
        for file in std::fs::read_dir(directory.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = full_lines(&text);
            for pair in lines.windows(2) {
                let (Some(call), Some(body)) = (pair[0].strip_prefix(CALL), pair[1].strip_prefix("200 "))
                else {
                    continue;
                };
                let product =
                    |word: &&str| word.split_once('.').is_some_and(|(product, _)| is_product(product));
                let Some(call) = call.split(' ').find(product) else { continue };
                let body = &body[body.find(['{', '<']).expect("a body")..];
                let seen = all.entry(call.to_owned()).or_default();
                if body.starts_with('{') {
                    let tree: Value =
                        serde_json::from_str(&without_placeholders(body, Format::Json)).unwrap();
                    walk(&tree, "", seen);
                } else {
                    let text = without_placeholders(body, Format::Xml);
                    seen.roots.extend(text.split(['<', '>']).nth(3).map(str::to_owned));
                    walk_xml(&xml_tree(&text), "", &mut seen.xml);
                }
            }
        }
    }
    all
}

fn is_product(word: &str) -> bool {
    operation::Product::ALL.iter().any(|known| known.as_str() == word)
}

/// A body that can be read: a placeholder is no value in JSON if it stands for a number, and looks like an element
/// in XML.
fn without_placeholders(body: &str, format: Format) -> String {
    let (mut out, mut rest) = (String::with_capacity(body.len()), body);
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let placeholder =
            after.starts_with(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit());
        match (format, after.split_once('>')) {
            (Format::Json, Some((_, after))) if before.ends_with(':') => {
                out.push('0');
                rest = after;
            }
            (Format::Xml, Some((placed, after))) if placeholder => {
                // What it stands for may be a number.
                let number = placed.starts_with("value ") || placed.starts_with("number ");
                out.push_str(if number { "0" } else { placed });
                rest = after;
            }
            _ => {
                out.push('<');
                rest = after;
            }
        }
    }
    out + rest
}

fn walk(value: &Value, path: &str, seen: &mut Seen) {
    let kind = match value {
        Value::Object(object) if !object.is_empty() => {
            for (name, value) in object {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(value, &path, seen);
            }
            return;
        }
        Value::Array(items) => {
            seen.lists.insert(format!("{path}[]"));
            for item in items {
                walk(item, &format!("{path}[]"), seen);
            }
            return;
        }
        Value::Object(_) => Kind::Object,
        Value::String(_) => Kind::Text,
        Value::Number(_) => Kind::Number,
        Value::Bool(_) => Kind::Flag,
        Value::Null => Kind::Null,
    };
    seen.json.entry(path.to_owned()).or_default().insert(kind);
}

fn walk_xml(value: &Value, path: &str, members: &mut BTreeMap<String, BTreeSet<String>>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk_xml(value, &path, members);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk_xml(item, path, members)),
        text => {
            let text = text.as_str().unwrap_or_default().to_owned();
            members.entry(path.to_owned()).or_default().insert(text);
        }
    }
}

/// What is not as the page says: path, and what about it.
fn differences(page: &Value, seen: &Seen) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut told = BTreeSet::new();
    for member in page["response"].as_array().unwrap() {
        let path = member["path"].as_str().unwrap();
        told.insert(path);
        let documented = member["type"].as_str().unwrap();
        let retyped = page["ours"]["retypes"][path]["type"].as_str();
        assert_ne!(retyped, Some(documented), "{path} stands in retypes, and is documented so");
        let kind = match retyped.unwrap_or(documented) {
            "string" => Kind::Text,
            "integer" | "long" => Kind::Number,
            "boolean" => Kind::Flag,
            "map" => Kind::Object,
            other => panic!("{path}: unknown type {other}"),
        };
        match seen.json.get(path) {
            None => {
                let nothing_in = |list: &str| !seen.json.keys().any(|seen| seen.starts_with(list));
                let in_list =
                    seen.lists.iter().any(|list| path.starts_with(list.as_str()) && nothing_in(list));
                let what = if in_list { ALWAYS_EMPTY } else { NOT_ANSWERED };
                found.insert(path.to_owned(), what.to_owned());
            }
            Some(kinds) if kinds.iter().any(|seen| *seen != kind) => {
                found.insert(path.to_owned(), format!("is {kinds:?}, not {kind:?}"));
            }
            Some(_) => {}
        }
    }
    for path in seen.json.keys() {
        // A list of structures that was empty, or an object without members, says nothing of what stands below.
        let above = told
            .iter()
            .any(|known| known.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with(['.', '['])));
        if !told.contains(path.as_str()) && !above {
            found.insert(path.clone(), NOT_ON_THE_PAGE.to_owned());
        }
    }
    found
}

/// What XML has otherwise than JSON.
fn differences_in_xml(page: &Value, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    let root = page["xml_root"].as_str().unwrap();
    if seen.roots.iter().any(|seen| seen != root) {
        found.push(format!("the root is {:?}, not {root}", seen.roots));
    }
    let plain = |path: &str| path.replace("[]", "");
    for (path, kinds) in &seen.json {
        let Some(texts) = seen.xml.get(&plain(path)) else {
            if !kinds.iter().all(|kind| *kind == Kind::Object) {
                found.push(format!("{path} is not there in XML"));
            }
            continue;
        };
        let fits = |text: &String| match kinds.first() {
            Some(Kind::Number) => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
            Some(Kind::Flag) => text == "true" || text == "false",
            _ => true,
        };
        if let Some(text) = texts.iter().find(|text| !fits(text)) {
            found.push(format!("{path} is {kinds:?}, and {text:?} in XML"));
        }
    }
    for (path, texts) in &seen.xml {
        let known = seen.json.keys().map(|known| plain(known));
        let mut below = known.filter(|known| {
            known.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        // An empty element is an object with nothing but empty lists.
        let empty = texts.iter().all(String::is_empty);
        if below.next().is_none() && !empty {
            found.push(format!("{path} is there in XML alone"));
        }
    }
    found
}

/// Whether a path is the one of an entry, or lies under it.
fn covers(entry: &str, path: &str) -> bool {
    path.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Differences that the page does not tell of, and what it tells that is not so.
fn untold(page: &Value, seen: &Seen) -> Vec<String> {
    let (found, ours) = (differences(page, seen), &page["ours"]);
    let mut report = Vec::new();
    if let Some(reason) = ours["never_succeeds"].as_str() {
        assert!(reason.len() > 10, "never_succeeds has no reason");
        if !seen.json.is_empty() {
            report.push("has succeeded, and its page says that it never does".to_owned());
        }
        return report;
    }
    let said = |member: &str| ours[member].as_object().cloned().unwrap_or_default();
    for (path, what) in &found {
        let told = |(member, meant): &(&str, &str)| {
            what == meant && said(member).keys().any(|entry| covers(entry, path))
        };
        if !SAID.iter().any(told) {
            report.push(format!("{path} {what}, and its page has no reason"));
        }
    }
    let paths = page["response"].as_array().unwrap().iter().map(|member| member["path"].as_str().unwrap());
    let paths: BTreeSet<&str> = paths.chain(seen.json.keys().map(String::as_str)).collect();
    for (member, meant) in SAID {
        for (entry, reason) in said(member) {
            let reason = reason.as_str().or(reason["reason"].as_str()).expect("a reason");
            assert!(reason.len() > 10, "{entry} has no reason");
            let mut below = paths.iter().filter(|path| covers(&entry, path)).peekable();
            let so = |path: &&str| found.get(*path).is_some_and(|what| what == meant);
            if below.peek().is_none() || !below.all(so) {
                report.push(format!("{entry} stands in {member}, and is otherwise"));
            }
        }
    }
    report
}

#[test]
fn pages() {
    if recording() {
        return;
    }
    let (seen, nothing) = (seen(), Seen::default());
    let mut report = String::new();
    for operation in operation::ALL {
        let (name, page) = (name(operation), page(operation));
        let seen = seen.get(&name).unwrap_or(&nothing);
        for what in untold(&page, seen).into_iter().chain(differences_in_xml(&page, seen)) {
            let _ = writeln!(report, "{name}: {what}");
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn what_a_page_does_not_tell_is_seen() {
    let mut page = serde_json::json!({
        "response": [
            {"path": "Name", "type": "string"},
            {"path": "Old", "type": "string"},
            {"path": "Parts.Part[].Id", "type": "string"},
        ],
        "ours": {},
    });
    let mut seen = Seen::default();
    walk(&serde_json::json!({"Name": "a", "New": 1, "Parts": {"Part": []}}), "", &mut seen);
    let untold_now = |page: &Value| untold(page, &seen).join("; ");
    let all = untold_now(&page);
    assert!(
        ["Old is not", "New is not", "Parts.Part[].Id stands"].iter().all(|part| all.contains(part)),
        "{all}"
    );
    page["ours"] = serde_json::json!({
        "omits": {"Old": "Nobody asks for it."},
        "adds": {"New": {"type": "integer", "reason": "Clients ask for it."}},
        "retypes": {"Name": {"type": "boolean", "reason": "Clients read one."}},
        "always_empty": {"Parts": "There are no parts."},
    });
    assert!(untold_now(&page).contains("Name is"));
    page["ours"]["retypes"] = serde_json::json!({});
    assert_eq!(untold_now(&page), "");
    page["ours"]["omits"]["Name"] = "But it is answered.".into();
    page["ours"]["omits"]["Parts"] = "But the list is answered.".into();
    let wrong = untold_now(&page);
    assert!(
        ["Name stands in omits", "Parts stands in omits"].iter().all(|part| wrong.contains(part)),
        "{wrong}"
    );
    page["ours"] = serde_json::json!({"never_succeeds": "There is nothing to call."});
    assert!(untold_now(&page).contains("has succeeded"));
}

/// The codes that an operation answers, and those that every one does because no operation has them for itself.
fn answered(operation: &Operation) -> impl Iterator<Item = &'static Code> {
    let listed =
        |known: &Code| operation::ALL.iter().any(|other| other.errors.iter().any(|code| **code == *known));
    let common = catalogue::ALL.iter().copied().filter(move |known| !listed(known));
    operation.errors.iter().copied().chain(common)
}

/// Whether an operation answers an error that fits, its slot filled with the name of a parameter or with nothing.
fn answers(operation: &Operation, fits: impl Fn(&Code, &dyn Fn(&str) -> String) -> bool) -> bool {
    answered(operation).any(|known| {
        let names = operation.parameters.iter().map(|parameter| parameter.name);
        names.chain([""]).any(|name| fits(known, &|text| text.replace("<Param>", name)))
    })
}

/// Whether it answers this code.
fn answers_code(operation: &Operation, code: &str) -> bool {
    answers(operation, |known, fill| fill(known.code) == code)
}

/// Whether it answers this code with the status and the message of the page. A message without a sentence of its own is
/// the detail.
fn answers_exactly(operation: &Operation, error: &Value) -> bool {
    let message = error["message"].as_str().unwrap_or_default().replace("{The error details}", "%s");
    answers(operation, |known, fill| {
        error["code"] == fill(known.code) && error["http"] == known.status && message == fill(known.message)
    })
}

#[test]
fn recorded_errors() {
    let path = folder().join("../unanswered.json");
    let listed: BTreeMap<String, BTreeSet<String>> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut report = String::new();
    for operation in operation::ALL {
        let name = name(operation);
        let page = page(operation);
        let codes: BTreeSet<&str> =
            page["errors"].as_array().unwrap().iter().map(|error| error["code"].as_str().unwrap()).collect();
        let listed = listed.get(&name).cloned().unwrap_or_default();
        for code in &codes {
            match (answers_code(operation, code), listed.contains(*code)) {
                (true, true) => {
                    report.push_str(&format!("{name} answers {code} now: take it out of unanswered.json\n"))
                }
                (false, false) => {
                    report.push_str(&format!("{name} cannot answer {code}, which its page has\n"))
                }
                _ => {}
            }
        }
        for code in listed.iter().filter(|code| !codes.contains(code.as_str())) {
            let _ = writeln!(report, "{name}: its page has no {code}");
        }
    }
    assert!(report.is_empty(), "{report}");
    let number: usize = listed.values().map(BTreeSet::len).sum();
    assert_eq!(
        number, UNANSWERED,
        "the number of unanswered errors may only become smaller: write down the new one"
    );
}

/// Codes of the catalogue that no recording has, and why.
const UNRECORDED: &[(&str, &str)] = &[
    ("The pool of gateway addresses is used up.", "the pool of the tests has 131,072 addresses"),
    (
        "The account's debts lock the gateway. Nothing is charged here, so only an operator's hand in the database does.",
        "`a_locked_gateway_can_be_emptied_and_nothing_else` has a hand in the database",
    ),
    (
        "Of `tongguan dev --replay-only` alone: the recording has no answer to the request.",
        "`what_was_not_recorded_is_answered_by_the_service_or_refused` has a recording",
    ),
];

/// Whether a text is of this form: its pieces between the slots, in their order.
fn is_of_form(text: &str, form: &str) -> bool {
    let pieces = form.split("<Param>").flat_map(|piece| piece.split("%s"));
    let mut rest = Some(text);
    for (place, piece) in pieces.enumerate() {
        rest = rest.and_then(|rest| match place {
            0 => rest.strip_prefix(piece),
            _ => rest.split_once(piece).map(|(_, rest)| rest),
        });
    }
    rest.is_some()
}

#[test]
fn every_code_is_recorded() {
    if recording() {
        return;
    }
    let mut seen: BTreeSet<(u16, String, String)> = BTreeSet::new();
    for directory in std::fs::read_dir(folder()).unwrap() {
        for file in std::fs::read_dir(directory.unwrap().path()).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for line in full_lines(&text) {
                let Some((status, rest)) = line.split_once(' ') else { continue };
                let Ok(status) = status.parse() else { continue };
                // Product, code and message, as `tape.rs` writes them short.
                if let Some((code, message)) =
                    rest.split_once(' ').and_then(|(_, rest)| rest.split_once(": "))
                {
                    seen.insert((status, code.to_owned(), message.replace("\\\"", "\"")));
                }
            }
        }
    }
    let is_recorded = |known: &Code| {
        seen.iter().any(|(status, code, message)| {
            *status == known.status && is_of_form(code, known.code) && is_of_form(message, known.message)
        })
    };
    let mut report = String::new();
    for known in catalogue::ALL {
        let excuse = UNRECORDED.iter().any(|(when, _)| *when == known.when);
        if is_recorded(known) == excuse {
            writeln!(report, "{} {:?}: {}", known.code, known.message, known.when).unwrap();
        }
    }
    assert!(report.is_empty(), "neither recorded nor excused, or both:\n{report}");
}

/// Every recorded error whose code is answered has the status and the message of its page, word for word, or stands in
/// `reworded.json`: most of these pages have several messages for one code.
#[test]
fn recorded_errors_are_exact() {
    let path = folder().join("../reworded.json");
    let mut listed: BTreeMap<String, BTreeSet<(String, String)>> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let number: usize = listed.values().map(BTreeSet::len).sum();
    let mut report = String::new();
    for operation in operation::ALL {
        let (name, page) = (name(operation), page(operation));
        let mut listed = listed.remove(&name).unwrap_or_default();
        for error in page["errors"].as_array().unwrap() {
            let (Some(code), Some(message)) = (error["code"].as_str(), error["message"].as_str()) else {
                continue;
            };
            if !error["http"].is_u64() || !answers_code(operation, code) {
                continue;
            }
            let said = listed.remove(&(code.to_owned(), message.to_owned()));
            match (answers_exactly(operation, error), said) {
                (true, true) => {
                    let _ =
                        writeln!(report, "{name} answers {code} {message} now: take it out of reworded.json");
                }
                (false, false) => {
                    let _ = writeln!(report, "{name} answers {code} otherwise than its page: {error}");
                }
                (true, false) | (false, true) => {}
            }
        }
        for (code, message) in listed {
            let _ = writeln!(report, "{name}: its page has no {code} {message} that could be answered");
        }
    }
    assert!(report.is_empty(), "{report}");
    assert!(listed.is_empty(), "no such operations: {listed:?}");
    assert_eq!(
        number, REWORDED,
        "the number of reworded errors may only become smaller: write down the new one"
    );
}

/// What the code says of a product is what the pages of its operations say.
#[test]
fn conventions_of_products_are_those_of_the_pages() {
    for operation in operation::ALL {
        let page = page(operation);
        assert_eq!(page["product"], operation.product.as_str(), "{}", operation.action);
        assert_eq!(page["version"], operation.product.version(), "{}", operation.action);
        assert_eq!(page["xml_root"], operation.xml_root(), "{}", operation.action);
    }
}
