//! The interpreter of `conformance/cases/*.json` for a service in hand. The words are explained in
//! `conformance/README.md`. Here a poll is answered at once by a state that the fixed clock and the looks at
//! it make, so every answer on the way is recorded too.

use std::collections::HashMap;
use std::path::Path;

use getrandom::SysRng;
use regex_automata::dfa::regex::Regex;
use regex_automata::util::syntax;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sm2::dsa::SigningKey;
use sm2::dsa::signature::RandomizedSigner as _;
use sm2::pkcs8::DecodePrivateKey as _;
use tongguan_model::limits::Quotas;
use tongguan_pki::{Ca, Certificate, Subject, Usage};
use tongguan_rpc::Format;
use tongguan_service::operation::Product;

use crate::common::{Rig, START_MS};
use crate::exchange::{Answer, Draft, Stage};
use crate::mask::Mask;
use crate::tape::Tape;
use crate::world::{flattened, looked_up, substituted};

/// Looks until a state is there, at most.
const LOOKS: usize = 20;

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    #[serde(rename = "about")]
    _about: String,
    server: Vec<String>,
    #[serde(default, rename = "chained")]
    _chained: bool,
    #[serde(default)]
    defaults: Map<String, Value>,
    #[serde(default)]
    setup: Vec<Step>,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    steps: Vec<Step>,
    /// Clients that cannot do it: this is none of them.
    #[serde(default, rename = "not_for")]
    _not_for: Value,
    #[serde(default, rename = "why")]
    _why: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    call: Option<String>,
    version: Option<String>,
    #[serde(rename = "as")]
    caller: Option<Value>,
    #[serde(default)]
    with: Map<String, Value>,
    expect: Option<Value>,
    refused: Option<Value>,
    until: Option<Value>,
    until_refused: Option<Value>,
    passing: Option<Value>,
    #[serde(default)]
    save: Map<String, Value>,
    issue: Option<String>,
    request: Option<String>,
    role: Option<String>,
    authority: Option<String>,
    curve: Option<String>,
    #[serde(default)]
    forget_distid: bool,
    #[serde(default, rename = "seen_by")]
    _seen_by: Value,
    #[serde(default, rename = "not_for")]
    _not_for: Value,
    #[serde(default, rename = "why")]
    _why: String,
}

/// A scenario that is being played.
struct Play {
    stage: Stage,
    format: Format,
    defaults: Map<String, Value>,
    authorities: HashMap<(String, String), (Ca, Ca)>,
    tape: Tape,
}

/// Reads a file of cases; none if it holds something else.
pub(crate) fn read(path: &Path) -> Option<Scenario> {
    let text = std::fs::read_to_string(path).unwrap();
    let value: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    value.get("cases")?;
    Some(serde_json::from_value(value).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

impl Scenario {
    /// Plays all of it, and compares it with the recording of this name.
    pub(crate) async fn play(self, recording: &str, format: Format) -> Result<usize, String> {
        let (mut delay, mut quotas) = ("0", Quotas::default());
        for pair in self.server.chunks(2) {
            match pair {
                [option, value] if option == "--apply-delay" => delay = value,
                [option, value] if option == "--quota" => {
                    let (name, value) = value.split_once('=').unwrap();
                    quotas.set(name, value.parse().unwrap()).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        let mut play = Play {
            stage: Stage::new(Rig::with_quotas(delay, quotas)),
            format,
            defaults: self.defaults,
            authorities: HashMap::new(),
            tape: Tape::new(recording, Mask::default()),
        };
        play.tape.say("# setup");
        for step in &self.setup {
            play.step(step).await;
        }
        for case in &self.cases {
            play.tape.say(&format!("# {}", case.name));
            for step in &case.steps {
                play.step(step).await;
            }
        }
        play.tape.end()
    }
}

impl Play {
    async fn step(&mut self, step: &Step) {
        if let Some(name) = &step.issue {
            let pem = self.issue(step);
            self.stage.names.insert(name.clone(), pem);
            return;
        }
        let call = step.call.as_deref().expect("a step that says what to do");
        let (product, action) = call.split_once('.').expect("Product.Action");
        let version = Product::ALL.iter().find(|known| known.as_str() == product).expect(product).version();
        let version = step.version.as_deref().unwrap_or(version);
        let mut with = self.defaults.get(product).and_then(Value::as_object).cloned().unwrap_or_default();
        with.extend(step.with.clone());
        let with = substituted(&Value::Object(with), &self.stage.names);
        let parameters = flattened(with.as_object().unwrap());
        let caller = substituted(&step.caller.clone().unwrap_or_else(|| json!("root")), &self.stage.names);
        let draft = Draft { caller: &caller, format: self.format, action, version, parameters: &parameters };
        for _ in 0..LOOKS {
            let answer = self.look(call, step.version.as_deref(), &draft).await;
            if let Some(there) = self.judge(step, &answer) {
                let at = || format!("{call} {}: {}", Value::Object(step.with.clone()), answer.body);
                there.unwrap_or_else(|wrong| panic!("{wrong}: {}", at()));
                for (name, path) in &step.save {
                    let value = looked_up(&answer.tree, path.as_str().unwrap());
                    let value = value.unwrap_or_else(|| panic!("no {path}: {}", at())).clone();
                    self.stage.names.insert(name.clone(), value);
                }
                return;
            }
        }
        panic!("never: {call} {:?} {:?}", step.until, step.until_refused);
    }

    async fn look(&mut self, call: &str, version: Option<&str>, draft: &Draft<'_>) -> Answer {
        let answer = self.stage.call(draft).await;
        let parameters: Map<String, Value> =
            draft.parameters.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let caller = draft.caller.as_str().map_or_else(|| draft.caller.to_string(), str::to_owned);
        let version = version.map(|version| format!(" {version}")).unwrap_or_default();
        let text = format!("{caller} {call}{version} {}", Value::Object(parameters));
        let text = self.tape.mask.text(&text);
        self.tape.note(&text, &answer);
        answer
    }

    /// Whether the answer is the one that the step waits for; none: not yet.
    fn judge(&self, step: &Step, answer: &Answer) -> Option<Result<(), String>> {
        let fits = |wanted: &Value| {
            let wanted = substituted(wanted, &self.stage.names);
            difference(&wanted, Some(&answer.tree), "the answer").map_or(Ok(()), Err)
        };
        let refused = |wanted: &Value| {
            if answer.status == 200 {
                return Err("it was not refused".to_owned());
            }
            let wanted = if wanted.is_string() { json!({ "code": wanted }) } else { wanted.clone() };
            let seen = json!({
                "code": answer.tree["Code"],
                "status": answer.status,
                "message": answer.tree["Message"],
                "detail": answer.tree["AccessDeniedDetail"],
            });
            let wanted = substituted(&wanted, &self.stage.names);
            difference(&wanted, Some(&seen), "the refusal").map_or(Ok(()), Err)
        };
        if let Some(wanted) = &step.refused {
            return Some(refused(wanted));
        }
        if answer.status != 200 {
            let wanted = step.until_refused.as_ref();
            return Some(wanted.map_or_else(|| Err("it was refused".to_owned()), refused));
        }
        if step.until.is_none() && step.until_refused.is_none() {
            return Some(step.expect.as_ref().map_or(Ok(()), fits));
        }
        if step.until.as_ref().is_some_and(|wanted| fits(wanted).is_ok()) {
            return Some(Ok(()));
        }
        step.passing.as_ref().and_then(|wanted| fits(wanted).err()).map(Err)
    }

    /// Certificate and chain for a request, from an authority of two stages.
    fn issue(&mut self, step: &Step) -> Value {
        let name = step.authority.clone().unwrap_or_else(|| "ca".into());
        let curve = step.curve.clone().unwrap_or_else(|| "SM2".into());
        let (from, to) = (START_MS / 1000 - 86_400, START_MS / 1000 + 86_400 * 365);
        let (root, sub) = self.authorities.entry((name.clone(), curve.clone())).or_insert_with(|| {
            let spec = if curve == "SM2" { "EC_SM2" } else { "EC_P256" }.parse().unwrap();
            let subject =
                |who: &str| Subject::parse(&format!("CN={who},OU={name},O=tongguan tests,C=CN")).unwrap();
            let root = Ca::new(spec, &subject("root"), from, to).unwrap();
            let sub = root.issue_ca(spec, &subject("sub"), Some(0), from, to).unwrap();
            (root, sub)
        });
        let usage = match step.role.as_deref() {
            Some("Encryption") => Usage::Encryption,
            Some("Signature") => Usage::Signature,
            other => panic!("{other:?}"),
        };
        let request = substituted(&step.request.clone().into(), &self.stage.names);
        let mut leaf = sub.issue(request.as_str().unwrap(), usage, from, to).unwrap();
        if step.forget_distid {
            leaf = without_user_id(sub, &leaf);
        }
        let chain = sub.certificate().to_pem() + &root.certificate().to_pem();
        json!({ "certificate": leaf.to_pem(), "chain": chain })
    }
}

/// Takes steps that must succeed, before anything is recorded.
pub(crate) async fn prepare(stage: &mut Stage, steps: &str) {
    let steps: Vec<Step> = serde_json::from_str(steps).unwrap();
    for step in steps {
        let call = step.call.expect("a step that says what to do");
        let (product, action) = call.split_once('.').expect("Product.Action");
        let product = Product::ALL.iter().find(|known| known.as_str() == product).expect("a product");
        let with = substituted(&Value::Object(step.with), &stage.names);
        let caller = step.caller.unwrap_or_else(|| json!("root"));
        let (version, parameters) = (product.version(), flattened(with.as_object().unwrap()));
        let draft = Draft { caller: &caller, format: Format::Json, action, version, parameters: &parameters };
        let answer = stage.call(&draft).await;
        assert_eq!(answer.status, 200, "{call} {with}: {}", answer.body);
        for (name, path) in step.save {
            let value = looked_up(&answer.tree, path.as_str().unwrap()).unwrap().clone();
            stage.names.insert(name, value);
        }
    }
}

/// The same certificate, signed over the empty SM2 user id.
fn without_user_id(issuer: &Ca, certificate: &Certificate) -> Certificate {
    let key = sm2::SecretKey::from_pkcs8_der(&issuer.key().to_pkcs8_der().unwrap()).unwrap();
    let (_, content, _) = element(certificate.der());
    let (body, _, rest) = element(content);
    let (algorithm, _, _) = element(rest);
    let signature: sm2::dsa::Signature =
        SigningKey::new("", &key).unwrap().try_sign_with_rng(&mut SysRng, body).unwrap();
    let bits = [&[0], signature.to_der().as_bytes()].concat();
    let parts = [body, algorithm, &wrapped(0x03, &bits)].concat();
    Certificate::from_der(&wrapped(0x30, &parts)).unwrap()
}

/// The first DER element: all of it, what it holds, and what follows.
fn element(der: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (head, length) = match der[1] {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let bytes = usize::from(long & 0x7f);
            (2 + bytes, der[2..2 + bytes].iter().fold(0, |all, byte| all << 8 | usize::from(*byte)))
        }
    };
    (&der[..head + length], &der[head..head + length], &der[head + length..])
}

fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head: &[u8] = match content.len() {
        0..0x80 => &[tag, length[1]],
        0x80..0x100 => &[tag, 0x81, length[1]],
        _ => &[tag, 0x82, length[0], length[1]],
    };
    [head, content].concat()
}

/// Where the answer is not as wanted. What is a number or a flag in JSON is a text in XML, and a list of one is an
/// element.
fn difference(wanted: &Value, given: Option<&Value>, path: &str) -> Option<String> {
    let nothing = Value::Null;
    let given = given.unwrap_or(&nothing);
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    let wrong = || Some(format!("{path} is {given}, wanted {wanted}"));
    match wanted {
        Value::Object(members) => match members.iter().find(|(name, _)| name.starts_with('$')) {
            Some((name, operand)) => {
                let given_items = items(given);
                let among = |item: &Value| {
                    given_items.iter().any(|given| difference(item, Some(given), path).is_none())
                };
                let operands = operand.as_array().map(Vec::as_slice).unwrap_or_default();
                let holds = match name.as_str() {
                    "$any" => !empty(given),
                    "$none" => empty(given),
                    "$not" => difference(operand, Some(given), path).is_some(),
                    "$like" => !given.is_null() && like(operand.as_str().unwrap(), &text(given)),
                    "$has" => operands.iter().all(among),
                    "$set" => operands.len() == given_items.len() && operands.iter().all(among),
                    other => panic!("{other}"),
                };
                if holds { None } else { wrong() }
            }
            None if members.is_empty() => None,
            None if !given.is_object() && !empty(given) => wrong(),
            None => members
                .iter()
                .find_map(|(name, value)| difference(value, given.get(name), &format!("{path}.{name}"))),
        },
        Value::Array(wanted_items) => {
            let given_items = items(given);
            if wanted_items.len() != given_items.len() {
                return wrong();
            }
            let mut pairs = wanted_items.iter().zip(given_items).enumerate();
            pairs.find_map(|(place, (wanted, given))| {
                difference(wanted, Some(given), &format!("{path}[{place}]"))
            })
        }
        _ if wanted == given || given.is_string() && text(wanted) == text(given) => None,
        _ => wrong(),
    }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        Value::Null => &[],
        Value::String(text) if text.is_empty() => &[],
        other => std::slice::from_ref(other),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn like(pattern: &str, text: &str) -> bool {
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    Regex::builder().syntax(syntax).build(pattern).unwrap().is_match(text)
}

/// The judge itself: it must see what is wrong.
#[test]
fn differences_are_seen() {
    let given = json!({"A": [{"B": "1"}, {"B": "2"}], "C": 5, "D": "", "E": {"F": "x"}});
    for right in [
        json!({"A": [{"B": "1"}, {}], "C": 5}),
        json!({"A": {"$has": [{"B": "2"}]}, "D": {"$none": true}, "G": {"$none": true}}),
        json!({"A": {"$set": [{"B": "2"}, {"B": "1"}]}, "E": [{"F": "x"}], "D": []}),
        json!({"C": {"$like": "^\\d$"}, "E": {"F": {"$not": "y"}}}),
    ] {
        assert_eq!(difference(&right, Some(&given), "it"), None);
    }
    for wrong in [
        json!({"A": [{"B": "1"}]}),
        json!({"A": {"$set": [{"B": "1"}]}}),
        json!({"A": {"$has": [{"B": "3"}]}}),
        json!({"C": 6}),
        json!({"C": "5"}),
        json!({"D": {"$any": true}}),
        json!({"E": {"F": {"$like": "^y"}}}),
        json!({"E": {"F": {"$not": "x"}}}),
        json!({"G": "x"}),
    ] {
        assert!(difference(&wrong, Some(&given), "it").is_some(), "{wrong}");
    }
}
