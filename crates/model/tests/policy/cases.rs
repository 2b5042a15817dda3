//! Runs `tests/policy_cases.json`, whose cases were made by hand.
//!
//! A case holds `policies` (each a list of statements, framed here) or one `document` as text, in
//! which `@` stands for `fill` repeated `times` times; or `trust`, the statements of a trust policy.
//! It says what is asked and `expect`, or the fragment of the message that `malformed` documents
//! are refused with. With `session` the session policy is asked first, and what it does not allow
//! is not allowed, as `docs/api/ram-policy.md` has it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tongguan_model::policy::{
    AccessRequest, Attached, Budget, Context, Decision, Policy, PolicySet, TrustCaller, TrustPolicy,
    TrustRequest,
};

use crate::naive::{self, Call, Caller};

const MEMBERS: [&str; 16] = [
    "name",
    "policies",
    "session",
    "document",
    "fill",
    "times",
    "trust",
    "account",
    "user",
    "role",
    "service",
    "action",
    "resource",
    "context",
    "expect",
    "malformed",
];

#[test]
fn every_case_is_decided_as_it_says() {
    let cases: Vec<Map<String, Value>> = serde_json::from_str(include_str!("../policy_cases.json")).unwrap();
    let names: BTreeSet<&str> = cases.iter().map(|case| case["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), cases.len(), "a name occurs twice");
    let mut faults = Vec::new();
    for case in &cases {
        let name = &case["name"];
        for member in case.keys() {
            assert!(MEMBERS.contains(&member.as_str()), "{name}: {member}");
        }
        if let Err(fault) = if case.contains_key("trust") { trust(case) } else { identity(case) } {
            faults.push(format!("{name}: {fault}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn text<'a>(case: &'a Map<String, Value>, member: &str) -> &'a str {
    case.get(member).and_then(Value::as_str).unwrap_or_else(|| panic!("{}: {member}", case["name"]))
}

fn frame(statements: &Value) -> String {
    json!({"Version": "1", "Statement": statements}).to_string()
}

/// The documents of a set: those of `member`, or the one that is given as text.
fn documents(case: &Map<String, Value>, member: &str) -> Vec<String> {
    match case.get("document") {
        Some(document) if member == "policies" => {
            let fill = case.get("fill").and_then(Value::as_str).unwrap_or("@");
            let times = case.get("times").and_then(Value::as_u64).unwrap_or(1);
            vec![document.as_str().unwrap().replace('@', &fill.repeat(usize::try_from(times).unwrap()))]
        }
        _ => case[member].as_array().unwrap().iter().map(frame).collect(),
    }
}

fn context(case: &Map<String, Value>) -> BTreeMap<String, Vec<String>> {
    let none = Map::new();
    let given = case.get("context").map_or(&none, |context| context.as_object().unwrap());
    let values = |value: &Value| match value {
        Value::Array(values) => values.iter().map(|value| value.as_str().unwrap().to_owned()).collect(),
        value => vec![value.as_str().unwrap().to_owned()],
    };
    given.iter().map(|(key, value)| (key.clone(), values(value))).collect()
}

fn refused(case: &Map<String, Value>, outcome: Result<(), String>) -> Result<(), String> {
    match outcome {
        Ok(()) => Err("it was accepted".to_owned()),
        Err(message) if message.contains(text(case, "malformed")) => Ok(()),
        Err(message) => Err(message),
    }
}

fn agree(case: &Map<String, Value>, decisions: [Decision; 3], explanation: &str) -> Result<(), String> {
    let expected = text(case, "expect");
    if decisions.iter().all(|decision| decision.to_string() == expected) {
        return Ok(());
    }
    Err(format!("decided, explained, by the second evaluator: {decisions:?}\n{explanation}"))
}

fn identity(case: &Map<String, Value>) -> Result<(), String> {
    if case.contains_key("malformed") {
        let parsed = documents(case, "policies").iter().try_for_each(|text| Policy::parse(text).map(drop));
        return refused(case, parsed.map_err(|error| error.to_string()));
    }
    let (action, resource) = (text(case, "action").to_owned(), text(case, "resource").to_owned());
    let call = Call { action, resource, context: context(case) };
    let mut given = Context::new();
    for (key, values) in &call.context {
        values.iter().for_each(|value| given.insert(key, value.as_str()));
    }
    let request = AccessRequest { action: &call.action, resource: &call.resource, context: &given };
    let decide = |member: &str| -> Result<([Decision; 3], String), String> {
        let documents = documents(case, member);
        let attached = documents.iter().map(|text| {
            let policy = Arc::new(Policy::parse(text).map_err(|error| error.to_string())?);
            Ok(Attached { origin: member.to_owned(), policy })
        });
        let set = PolicySet::new(attached.collect::<Result<_, String>>()?);
        let values: Vec<Value> = documents.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let explanation = set.explain(&request);
        let decisions = [
            set.decide(&request, &Budget::default()).unwrap(),
            explanation.decision,
            naive::decide(&values, &call),
        ];
        Ok((decisions, explanation.to_string()))
    };
    let (mut decisions, mut explanation) = decide("policies")?;
    if case.contains_key("session") {
        let session = decide("session")?;
        if session.0 != [Decision::Allow; 3] {
            (decisions, explanation) = session;
        }
    }
    agree(case, decisions, &explanation)
}

fn trust(case: &Map<String, Value>) -> Result<(), String> {
    let document = frame(&case["trust"]);
    let policy = TrustPolicy::parse(&document).map_err(|error| error.to_string());
    if case.contains_key("malformed") {
        return refused(case, policy.map(drop));
    }
    let policy = policy?;
    let kind = ["user", "role", "service"].into_iter().find(|kind| case.contains_key(*kind)).unwrap();
    let name = text(case, kind);
    let context = context(case);
    let mut given = Context::new();
    for (key, values) in &context {
        values.iter().for_each(|value| given.insert(key, value.as_str()));
    }
    let account = text(case, "account");
    let caller = match kind {
        "user" => TrustCaller::User(name),
        "role" => TrustCaller::Role(name),
        _ => TrustCaller::Service(name),
    };
    let request = TrustRequest { action: "sts:AssumeRole", account, caller, context: &given };
    let explanation = policy.explain("the trust policy", &request);
    let call = Call { action: "sts:AssumeRole".to_owned(), resource: String::new(), context };
    let caller = Caller { kind, account: account.to_owned(), name: name.to_owned() };
    let second = naive::decide_trust(&serde_json::from_str(&document).unwrap(), &call, &caller);
    agree(
        case,
        [policy.decide(&request, &Budget::default()).unwrap(), explanation.decision, second],
        &explanation.to_string(),
    )
}
