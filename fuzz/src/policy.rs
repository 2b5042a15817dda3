//! Policy documents: parsing and deciding.

use tongguan_model::policy::{AccessRequest, Context, Decision, Policy, PolicyError, evaluate};

use crate::within;

/// Between the two documents of an input.
const NEXT: &str = "\n===\n";
/// Memory that parsing may hold beside a multiple of the document.
const SLACK: usize = 64 * 1024;
/// Memory that parsing may hold per byte of document: a node of a few words per two bytes of JSON, doubled.
const FACTOR: usize = 128;

const ALLOW_ALL: &str = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
const DENY_ALL: &str = r#"{"Version":"1","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#;

/// The input: a line with the action, one with the resource, lines `key=value` of the context, an empty
/// line, and one or two documents.
///
/// # Panics
/// If a deny does not win, the order of policies matters, a document means something else when it is
/// written with other blanks, or parsing takes memory out of proportion.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((head, documents)) = text.split_once("\n\n") else { return };
    let mut lines = head.lines();
    let (action, resource) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let context: Context = lines.filter_map(|line| line.split_once('=')).collect();
    let request = AccessRequest { action, resource, context: &context };
    let policies: Vec<Policy> = documents.split(NEXT).take(2).filter_map(read).collect();
    let decisions: Vec<Decision> = policies.iter().map(|policy| evaluate([policy], &request)).collect();
    let together = evaluate(&policies, &request);
    let expected = decisions.iter().copied().max_by_key(|decision| weight(*decision));
    assert_eq!(together, expected.unwrap_or(Decision::ImplicitDeny), "{decisions:?}");
    assert_eq!(evaluate(policies.iter().rev(), &request), together, "the order of policies matters");
    if resource == "*" || resource.starts_with("acs:") {
        let all = Policy::parse(ALLOW_ALL).expect("it is a policy");
        let none = Policy::parse(DENY_ALL).expect("it is a policy");
        let denied = together == Decision::ExplicitDeny;
        let allowed = if denied { Decision::ExplicitDeny } else { Decision::Allow };
        assert_eq!(evaluate(policies.iter().chain([&all]), &request), allowed);
        assert_eq!(evaluate(policies.iter().chain([&none]), &request), Decision::ExplicitDeny);
    }
}

fn weight(decision: Decision) -> u8 {
    match decision {
        Decision::ImplicitDeny => 0,
        Decision::Allow => 1,
        Decision::ExplicitDeny => 2,
    }
}

/// Parses a document, and once more as another program would write it.
fn read(document: &str) -> Option<Policy> {
    let outcome = within(FACTOR * document.len() + SLACK, || Policy::parse(document));
    let policy = match outcome {
        Ok(policy) => policy,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    let value: serde_json::Value = serde_json::from_str(document).expect("what is a policy is JSON");
    for again in [serde_json::to_string(&value), serde_json::to_string_pretty(&value)] {
        match Policy::parse(&again.expect("JSON can be written")) {
            Ok(again) => assert_eq!(sorted(&again), sorted(&policy)),
            // Blanks count against the limit.
            Err(PolicyError::TooLong { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    Some(policy)
}

/// A policy whose members may have changed places: conditions are kept in the order of the document.
fn sorted(policy: &Policy) -> Vec<char> {
    let mut letters: Vec<char> = format!("{policy:?}").chars().collect();
    letters.sort_unstable();
    letters
}
