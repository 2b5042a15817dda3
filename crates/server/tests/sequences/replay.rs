//! The words of a life, and how it is replayed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use tongguan_rpc::Placement;
use tongguan_testkit::api::version;
use tongguan_testkit::{Call, Manner, Stamp};

use crate::common::{self, KEY, Key, PATIENCE, Reply, SECRET, Server};

/// A life: put together from the provider's source, or recorded.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Life {
    #[serde(rename = "about")]
    _about: String,
    /// Further arguments of the program.
    server: Vec<String>,
    /// Steps that are taken more than once, by name: most often what a refresh reads.
    #[serde(default)]
    blocks: BTreeMap<String, Vec<Step>>,
    steps: Vec<Step>,
}

/// One step of a life: exactly one of `call`, `do`, `set`, `at_once`, `phase`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// `Product.Action`, with parameters in the query and in the form of the body. Values that begin with `$` are
    /// variables, and `${name}` is one within a text; `$$` begins a value with a dollar sign.
    call: Option<String>,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    #[serde(default)]
    body: BTreeMap<String, Value>,
    /// The answer must have this: objects with at least these members, lists with exactly these elements.
    answer: Option<Value>,
    /// Members that the answer must not have, as paths.
    #[serde(default)]
    without: Vec<String>,
    /// The call is repeated until the answer has this.
    until: Option<Value>,
    /// The call must be refused with this status and code.
    refused: Option<Refusal>,
    /// The call is repeated until it is refused so.
    until_refused: Option<Refusal>,
    /// Refusals after which the call is repeated, with a new `ClientToken`.
    #[serde(default)]
    retry: Vec<String>,
    /// Variables, each with the path into the answer where its value is.
    #[serde(default)]
    save: BTreeMap<String, String>,
    /// The same of variables that have no value so far; they have it before the answer is looked at.
    #[serde(default)]
    learn: BTreeMap<String, String>,
    /// Takes the steps of a block.
    #[serde(rename = "do")]
    block: Option<String>,
    /// Variables, each with its value; the member before is kept.
    set: Option<BTreeMap<String, Value>>,
    /// Lists of steps that go on side by side, each with variables of its own that are kept in the end.
    at_once: Option<Vec<Vec<Step>>>,
    /// Says what comes next; for the reader, and where a step fails.
    phase: Option<String>,
}

#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Refusal {
    status: u16,
    code: String,
}

type Variables = BTreeMap<String, Value>;

/// A life that is being replayed.
struct Replay {
    server: Server,
    blocks: BTreeMap<String, Vec<Step>>,
}

impl Life {
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("a life that cannot be read: {error}"))
    }

    pub(crate) async fn replay(self) {
        let arguments: Vec<&str> = self.server.iter().map(String::as_str).collect();
        let replay = Replay { server: Server::start(&arguments), blocks: self.blocks };
        replay.take(self.steps, Variables::new(), "").await;
    }
}

impl Replay {
    /// Takes the steps in their order.
    async fn take(&self, steps: Vec<Step>, mut variables: Variables, phase: &str) -> Variables {
        let mut phase = phase.to_owned();
        for step in steps {
            if let Some(named) = step.phase {
                phase = named;
            } else if let Some(set) = step.set {
                for (name, value) in set {
                    let value = substituted(&value, &variables);
                    variables.insert(name, value);
                }
            } else if let Some(block) = &step.block {
                let steps = self.blocks.get(block).unwrap_or_else(|| panic!("no block {block}")).clone();
                variables = Box::pin(self.take(steps, variables, &phase)).await;
            } else if let Some(flows) = step.at_once {
                variables.extend(self.side_by_side(flows, &variables, &phase).await);
            } else {
                self.carry_out(&step, &mut variables, &phase).await;
            }
        }
        variables
    }

    /// Takes several lists of steps at the same time; answers the variables of all.
    async fn side_by_side(&self, flows: Vec<Vec<Step>>, variables: &Variables, phase: &str) -> Variables {
        let flows = flows.into_iter().map(|flow| Box::pin(self.take(flow, variables.clone(), phase)));
        join_all(flows).await.into_iter().flatten().collect()
    }

    /// Makes a call until it is answered as the step says, and looks at the answer.
    async fn carry_out(&self, step: &Step, variables: &mut Variables, phase: &str) {
        let action = step.call.as_deref().expect("a step that says what to do");
        let begun = Instant::now();
        let (mut tries, mut short) = (0, String::new());
        loop {
            tries += 1;
            let reply = self.send(action, step, variables, tries).await;
            let body = reply.json();
            let at = || format!("{phase}: {action}, try {tries}: {} {body}", reply.status);
            assert!(begun.elapsed() < PATIENCE, "never: {short}; {}", at());
            assert!(body["RequestId"].is_string(), "{}", at());
            if reply.status != 200 {
                let told = Refusal { status: reply.status, code: reply.code() };
                // An empty code would match every list of the provider.
                assert!(told.code != "OK" && !told.code.is_empty(), "{}", at());
                if step.refused.as_ref().or(step.until_refused.as_ref()) == Some(&told) {
                    return;
                }
                assert!(step.retry.contains(&told.code), "{}", at());
            } else if let Some(wanted) = &step.until {
                let known = learned(step, &body, variables);
                match difference(&substituted(wanted, &known), &body, "") {
                    None => return settled(step, &body, variables, &at()),
                    Some(difference) => short = difference,
                }
            } else if step.until_refused.is_none() {
                assert!(step.refused.is_none(), "{}", at());
                return settled(step, &body, variables, &at());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Signs as the provider does: all parameters together, wherever they stand.
    async fn send(&self, action: &str, step: &Step, variables: &Variables, tries: u32) -> Reply {
        let (product, action) = action.split_once('.').expect("Product.Action");
        let text = |value: &Value| match substituted(value, variables) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let mut form: Vec<(String, String)> =
            step.body.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        for (name, value) in &mut form {
            if name == "ClientToken" && tries > 1 {
                // As long as one may be, and another for each try.
                value.truncate(58);
                value.push_str(&format!("{tries:06}"));
            }
        }
        let query = step.query.iter().map(|(name, value)| (name.clone(), text(value)));
        let parameters = query.chain(form.iter().cloned()).collect();
        let call = Call { version: version(product), action, parameters, placement: Placement::Query };
        let mut request = Key::of(KEY, SECRET).sign(&call, &Manner::V1, &Stamp::now());
        // V1 signs the union of both places: what belongs into the body goes there.
        let (path, all) = request.path_and_query.split_once('?').unwrap();
        let inside = |pair: &&str| {
            let name = pair.split('=').next().unwrap();
            form.iter().any(|(known, _)| known == name)
        };
        let (body, kept): (Vec<&str>, Vec<&str>) = all.split('&').partition(inside);
        assert_eq!(body.len(), form.len(), "{all}");
        (request.path_and_query, request.body) =
            (format!("{path}?{}", kept.join("&")), body.join("&").into_bytes());
        let head = "content-type: application/x-www-form-urlencoded\r\n";
        self.server.send(&common::http_bytes(&request, head)).await
    }
}

/// The variables, with those that the step learns of an answer.
fn learned(step: &Step, body: &Value, variables: &Variables) -> Variables {
    let mut known = variables.clone();
    for (name, path) in &step.learn {
        // What is not there is seen as a difference.
        let value = found(body, path).cloned().unwrap_or(Value::Null);
        known.entry(name.clone()).or_insert(value);
    }
    known
}

/// Looks at a final answer, and keeps what the step saves of it.
fn settled(step: &Step, body: &Value, variables: &mut Variables, at: &str) {
    *variables = learned(step, body, variables);
    if let Some(wanted) = &step.answer {
        let wanted = substituted(wanted, variables);
        if let Some(difference) = difference(&wanted, body, "") {
            panic!("{difference}; {at}");
        }
    }
    for path in &step.without {
        assert_eq!(found(body, path), None, "{path}; {at}");
    }
    for (name, path) in &step.save {
        let value = found(body, path).unwrap_or_else(|| panic!("no {path}; {at}"));
        variables.insert(name.clone(), value.clone());
    }
}

fn found<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    })
}

/// The value with its variables in place.
fn substituted(value: &Value, variables: &Variables) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('$') {
            Some(rest) if rest.starts_with('$') => json!(rest),
            Some(name) if !name.starts_with('{') => variable(name, variables).clone(),
            _ => json!(filled(text, variables)),
        },
        Value::Array(items) => items.iter().map(|item| substituted(item, variables)).collect(),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| (name.clone(), substituted(value, variables));
            Value::Object(members.iter().map(member).collect())
        }
        other => other.clone(),
    }
}

fn variable<'a>(name: &str, variables: &'a Variables) -> &'a Value {
    variables.get(name).unwrap_or_else(|| panic!("no variable {name}"))
}

/// The text with the variables within it in place.
fn filled(text: &str, variables: &Variables) -> String {
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or_else(|| panic!("a variable without an end: {text}"));
        filled.push_str(variable(name, variables).as_str().unwrap_or_default());
        filled.push_str(rest);
    }
    filled
}

/// Where the answer is not as wanted; none: it is.
fn difference(wanted: &Value, given: &Value, path: &str) -> Option<String> {
    match (wanted, given) {
        (Value::Object(members), Value::Object(_)) => members.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match given.get(name) {
                Some(given) => difference(value, given, &path),
                None => Some(format!("{path} is missing, wanted {value}")),
            }
        }),
        (Value::Array(wanted), Value::Array(given)) if wanted.len() == given.len() => {
            let mut pairs = wanted.iter().zip(given).enumerate();
            pairs.find_map(|(place, (wanted, given))| difference(wanted, given, &format!("{path}[{place}]")))
        }
        (wanted, given) if wanted == given => None,
        (wanted, given) => Some(format!("{path} is {given}, wanted {wanted}")),
    }
}

/// The judge itself: it must see what is wrong.
#[test]
fn differences_are_seen() {
    let given = json!({"A": {"B": [1, 2]}, "C": ""});
    for right in [json!({}), json!({"A": {"B": [1, 2]}}), json!({"C": ""})] {
        assert_eq!(difference(&right, &given, ""), None);
    }
    for wrong in [
        json!({"A": {"B": [1]}}),
        json!({"A": {"B": [2, 1]}}),
        json!({"C": null}),
        json!({"D": ""}),
        json!({"A": []}),
    ] {
        assert!(difference(&wrong, &given, "").is_some(), "{wrong}");
    }
    let variables = Variables::from([("a".to_owned(), json!("x"))]);
    assert_eq!(substituted(&json!("$a"), &variables), json!("x"));
    assert_eq!(substituted(&json!("${a}:${a}-$"), &variables), json!("x:x-$"));
    assert_eq!(substituted(&json!("$$a"), &variables), json!("$a"));
    assert_eq!(found(&given, "A.B.1"), Some(&json!(2)));
    assert_eq!(found(&given, "A.B.2"), None);
}
