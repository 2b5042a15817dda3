//! The worst policies that could be thought of, at all documented limits at once: counted in steps, and in time that
//! `--ignored` prints.
//!
//! `cargo test --release -p tongguan-model --test policy -- --ignored --nocapture worst`

use std::sync::Arc;
use std::time::Instant;

use tongguan_model::policy::{
    AccessRequest, Attached, Budget, Context, DOCUMENT_CHARS_MAX, Decision, Exhausted, Policy, PolicySet,
    ResourceKeys,
};

/// Custom policies that one user may have: ten of its own, and five of each of five groups.
const POLICIES: usize = 35;
/// Resources that one call may name.
const RESOURCES: usize = 50;
const RAM_USER: &str =
    "acs:ram:*:1234567890123456:user/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const GATEWAY: &str = "acs:vpc:cn-hangzhou:1234567890123456:vpngateway/vpn-bp1q8bgx4xnkm2ogj";

/// The longest value of a tag.
const RUN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Tags of resources, which all differ.
struct Tags;

impl ResourceKeys for Tags {
    fn count(&self) -> usize {
        RESOURCES
    }

    fn values(&self, _: usize, key: &str, each: &mut dyn FnMut(&str)) {
        // Twenty spellings of one key.
        if key == "acs:resourcetag/abcde" {
            (0..20).for_each(|_| each(RUN));
        }
    }
}

/// As many of the parts, between `begin` and `end`, as a document may hold.
fn filled(begin: &str, part: impl Fn(usize) -> String, end: &str) -> String {
    let frame = (r#"{"Version":"1","Statement":["#, "]}");
    let mut document = format!("{}{begin}", frame.0);
    for n in 0.. {
        let part = part(n);
        let room = DOCUMENT_CHARS_MAX - end.len() - frame.1.len();
        if document.chars().count() + part.chars().count() + 1 > room {
            break;
        }
        if n > 0 {
            document.push(',');
        }
        document.push_str(&part);
    }
    format!("{document}{end}{}", frame.1)
}

/// A document of one statement with a condition for this operator and key.
fn condition(operator: &str, key: &str, value: impl Fn(usize) -> String) -> String {
    let begin =
        format!(r#"{{"Effect":"Deny","Action":"*","Resource":"*","Condition":{{"{operator}":{{"{key}":["#);
    filled(&begin, |n| format!("\"{}\"", value(n)), "]}}}")
}

/// Documents by name; each is as long as one may be. Whether it is accepted when it is new is another question.
fn documents() -> Vec<(String, String)> {
    let run = "a".repeat(60);
    let mut documents = Vec::new();
    for key in ["acs:RequestTag/abcde", "acs:ResourceTag/abcde"] {
        for (name, pattern) in [
            ("runs before a tail", format!("*{run}?b")),
            ("runs between stars", format!("*{run}?b*")),
            ("runs without ?", format!("*{run}b*")),
            ("short parts", "*a?b*".to_owned()),
            ("many parts", "*a".repeat(30) + "*b"),
            ("? alone", "?".repeat(127)),
            ("letters", format!("{run}b")),
        ] {
            documents.push((format!("{key}: {name}"), condition("StringLike", key, |_| pattern.clone())));
            let not = condition("StringNotLike", key, |_| pattern.clone());
            documents.push((format!("{key}: {name}, not"), not));
        }
        let letters = |n: usize| format!("{}{n:03}", "a".repeat(125));
        documents.push((format!("{key}: equal but for the end"), condition("StringEquals", key, letters)));
        let folded = |n: usize| format!("{}É{n:03}", "a".repeat(124));
        documents.push((format!("{key}: without case"), condition("StringEqualsIgnoreCase", key, folded)));
        documents.push((format!("{key}: numbers"), condition("NumericEquals", key, |n| n.to_string())));
        documents.push((format!("{key}: one letter"), condition("StringEquals", key, |_| "b".to_owned())));
    }
    let keys = |prefix: &'static str, operator: &str| {
        let begin = format!(r#"{{"Effect":"Deny","Action":"*","Resource":"*","Condition":{{"{operator}":{{"#);
        filled(&begin, move |n| format!(r#""{prefix}{n:x}":"a""#), "}}}")
    };
    documents.push(("many keys of requests".into(), keys("acs:RequestTag/", "StringNotEquals")));
    documents.push(("many keys of resources".into(), keys("acs:ResourceTag/", "StringNotEquals")));
    documents.push(("many unknown keys".into(), keys("", "StringNotEquals")));
    let address = |n: usize| format!("10.{}.{}.0/24", n / 256, n % 256);
    documents.push(("addresses".into(), condition("IpAddress", "acs:SourceIp", address)));
    let statements = |statement: fn(usize) -> String| filled("", statement, "");
    for (name, statement) in [
        (
            "statements on resource tags",
            (|n| {
                format!(
                    r#"{{"Effect":"Deny","Action":"*","Resource":"*","Condition":{{"StringEquals":{{"acs:ResourceTag/abcde":"{n}"}}}}}}"#
                )
            }) as fn(usize) -> String,
        ),
        ("statements on addresses", |n| {
            format!(
                r#"{{"Effect":"Deny","Action":"*","Resource":"*","Condition":{{"IpAddress":{{"acs:SourceIp":"10.0.{n}.1"}}}}}}"#
            )
        }),
        ("statements on resources", |n| {
            format!(r#"{{"Effect":"Deny","Action":"*","Resource":"acs:*a*a?a*a{n}*"}}"#)
        }),
        ("statements on all but", |n| {
            format!(r#"{{"Effect":"Deny","NotAction":"*:*{n}","Resource":"acs:"}}"#)
        }),
    ] {
        documents.push((name.into(), statements(statement)));
    }
    let list = |member: &str, value: fn(usize) -> String| {
        let other = if member == "Action" { "Resource" } else { "Action" };
        let begin = format!(r#"{{"Effect":"Deny","{other}":"*","{member}":["#);
        filled(&begin, move |n| format!("\"{}\"", value(n)), "]}")
    };
    documents
        .push(("runs in resources".into(), list("Resource", |n| format!("acs:*{}?b{n}*", "a".repeat(40)))));
    documents.push(("short parts in resources".into(), list("Resource", |n| format!("acs:*a*a?{n}*"))));
    documents.push(("parts in actions".into(), list("Action", |n| format!("*:*e?*e*{n}*"))));
    documents
}

fn set(document: &str) -> PolicySet {
    let policy = Arc::new(Policy::parse(document).unwrap_or_else(|error| panic!("{document}: {error}")));
    let attached =
        (0..POLICIES).map(|n| Attached { origin: format!("policy/{n}"), policy: Arc::clone(&policy) });
    let all =
        Policy::parse(r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#);
    let all = Attached { origin: String::new(), policy: Arc::new(all.unwrap()) };
    PolicySet::new(attached.chain([all]).collect())
}

/// What one call may tell: one value of each key, of 128 letters.
fn context() -> Context {
    let run = RUN;
    assert_eq!(run.len(), 128);
    Context::from_iter([
        ("acs:SourceIp", "192.0.2.7"),
        ("acs:RequestTag/abcde", run),
        ("acs:ResourceTag/abcde", run),
    ])
}

/// No decision takes more than its budget, but for the values of the condition that used it up; most of these
/// sets are not decided at all, and none that is not decided allows.
#[test]
fn no_set_takes_more_than_the_budget() {
    let context = context();
    let mut refused = 0;
    for (name, document) in documents() {
        let set = set(&document);
        for resource in [GATEWAY, RAM_USER] {
            let request = AccessRequest { action: "vpc:TagResources", resource, context: &context };
            let budget = Budget::default();
            let outcome = set.decide_all(&request, &Tags, &budget);
            let most = u64::from(Budget::STEPS) + 4 * DOCUMENT_CHARS_MAX as u64;
            assert!(budget.spent() <= most, "{name}: {} steps", budget.spent());
            assert_eq!(outcome == Err(Exhausted), budget.is_exhausted(), "{name}");
            assert_ne!(outcome, Ok(Decision::ImplicitDeny), "{name}");
            refused += u32::from(outcome.is_err());
            // The estimate is not less than what one resource takes.
            let budget = Budget::unlimited();
            set.decide(&request, &budget).unwrap();
            assert!(budget.spent() <= set.cost(), "{name}: {} of {}", budget.spent(), set.cost());
        }
    }
    assert!(refused > 10, "{refused}");
}

/// What a single policy costs that is accepted when it is new, on one resource: a tenth of the budget at most, so
/// that ten of the worst kind may be attached together.
#[test]
fn what_is_accepted_costs_a_part_of_the_budget() {
    let context = context();
    let (mut accepted, mut costly, mut beyond) = (0, 0, Vec::new());
    for (name, document) in documents() {
        let Ok(policy) = Policy::accept(&document) else {
            costly += 1;
            continue;
        };
        accepted += 1;
        let set = PolicySet::new(vec![Attached { origin: String::new(), policy: Arc::new(policy) }]);
        let request = AccessRequest { action: "vpc:TagResources", resource: RAM_USER, context: &context };
        let budget = Budget::unlimited();
        set.decide(&request, &budget).unwrap();
        if budget.spent() > u64::from(Budget::STEPS) / 10 {
            beyond.push(format!("{name}: {} steps", budget.spent()));
        }
    }
    assert_eq!(beyond, Vec::<String>::new());
    assert!(accepted >= 10 && costly >= 10, "{accepted} accepted, {costly} refused");
}

/// Thirty-five policies of sixty statements about this very action, as people write them, for fifty resources of five
/// kinds.
#[test]
fn a_large_company_stays_below_half_of_the_budget() {
    struct Five;
    impl ResourceKeys for Five {
        fn count(&self) -> usize {
            5
        }
        fn values(&self, resource: usize, key: &str, each: &mut dyn FnMut(&str)) {
            if key == "acs:resourcetag/env" {
                each(["prod", "test", "dev", "stage", "lab"][resource]);
            }
        }
    }
    let statements: Vec<String> = (0..POLICIES * 60)
        .map(|n| match n % 4 {
            0 => format!(r#"{{"Effect":"Allow","Action":["vpc:Tag*","vpc:List*"],"Resource":"acs:vpc:*:1234567890123456:*/vpn-{n}*"}}"#),
            1 => format!(r#"{{"Effect":"Deny","Action":"vpc:TagResources","Resource":"*","Condition":{{"NotIpAddress":{{"acs:SourceIp":["192.0.2.0/24","10.{}.0.0/16"]}}}}}}"#, n % 256),
            2 => format!(r#"{{"Effect":"Deny","Action":"vpc:*","Resource":"*","Condition":{{"StringEquals":{{"acs:ResourceTag/env":"team-{n}"}}}}}}"#),
            _ => format!(r#"{{"Effect":"Allow","Action":"vpc:*Tag*","Resource":"*","Condition":{{"StringLike":{{"acs:RequestTag/owner":"*team-{n}*"}}}}}}"#),
        })
        .collect();
    let attached = statements.chunks(60).map(|statements| {
        // Sixty of these are longer than a document may be.
        statements.chunks(30).map(|statements| {
            let document = format!(r#"{{"Version":"1","Statement":[{}]}}"#, statements.join(","));
            Attached { origin: String::new(), policy: Arc::new(Policy::accept(&document).unwrap()) }
        })
    });
    let set = PolicySet::new(attached.flatten().collect());
    let context = Context::from_iter([("acs:SourceIp", "192.0.2.7"), ("acs:RequestTag/owner", "team-x")]);
    let request = AccessRequest { action: "vpc:TagResources", resource: GATEWAY, context: &context };
    let budget = Budget::default();
    assert_eq!(set.decide_all(&request, &Five, &budget), Ok(Decision::ImplicitDeny));
    assert!(budget.spent() < u64::from(Budget::STEPS) / 2, "{} steps", budget.spent());
}

#[test]
#[ignore = "prints figures, which mean something in a release build only"]
fn worst() {
    let context = context();
    let (mut slowest, mut dearest) = (0.0_f64, 0.0_f64);
    for (name, document) in documents() {
        let set = set(&document);
        let request = AccessRequest { action: "vpc:TagResources", resource: RAM_USER, context: &context };
        let (mut best, mut steps, mut outcome) = (f64::MAX, 0, Ok(Decision::ImplicitDeny));
        for _ in 0..20 {
            let budget = Budget::default();
            let begun = Instant::now();
            outcome = set.decide_all(&request, &Tags, &budget);
            best = best.min(begun.elapsed().as_secs_f64() * 1e6);
            steps = budget.spent();
        }
        (slowest, dearest) = (slowest.max(best), dearest.max(best * 1e3 / steps as f64));
        println!("{best:7.1} µs {steps:7} steps {:5.2} ns {outcome:?} {name}", best * 1e3 / steps as f64);
    }
    println!("slowest {slowest:.1} µs, dearest step {dearest:.2} ns");
}
