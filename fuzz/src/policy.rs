//! Policy documents: parsing and deciding.

use std::sync::Arc;

use tongguan_model::policy::{
    AccessRequest, Attached, Context, Decision, Policy, PolicyError, PolicySet, TrustCaller, TrustPolicy,
    TrustRequest,
};

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
/// If a deny does not win, the order of policies matters, the explanation says otherwise than the
/// decision, a document means something else when it is written with other blanks, or parsing takes
/// memory out of proportion. Documents are read as trust policies too, for a user of the name of the
/// resource.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((head, documents)) = text.split_once("\n\n") else { return };
    let mut lines = head.lines();
    let (action, resource) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let context: Context = lines.filter_map(|line| line.split_once('=')).collect();
    let request = AccessRequest { action, resource, context: &context };
    documents.split(NEXT).take(2).for_each(|document| trust(document, &request));
    let policies: Vec<Arc<Policy>> =
        documents.split(NEXT).take(2).filter_map(read::<Policy>).map(Arc::new).collect();
    let decisions: Vec<Decision> = policies.iter().map(|policy| evaluate([policy], &request)).collect();
    let together = evaluate(&policies, &request);
    let expected = decisions.iter().copied().max_by_key(|decision| weight(*decision));
    assert_eq!(together, expected.unwrap_or(Decision::ImplicitDeny), "{decisions:?}");
    assert_eq!(evaluate(policies.iter().rev(), &request), together, "the order of policies matters");
    if resource == "*" || resource.starts_with("acs:") {
        let all = Arc::new(Policy::parse(ALLOW_ALL).expect("it is a policy"));
        let none = Arc::new(Policy::parse(DENY_ALL).expect("it is a policy"));
        let denied = together == Decision::ExplicitDeny;
        let allowed = if denied { Decision::ExplicitDeny } else { Decision::Allow };
        assert_eq!(evaluate(policies.iter().chain([&all]), &request), allowed);
        assert_eq!(evaluate(policies.iter().chain([&none]), &request), Decision::ExplicitDeny);
    }
}

fn evaluate<'a>(
    policies: impl IntoIterator<Item = &'a Arc<Policy>>,
    request: &AccessRequest<'_>,
) -> Decision {
    let attached = policies
        .into_iter()
        .map(|policy| Attached { origin: String::from("the input"), policy: Arc::clone(policy) });
    let set = PolicySet::new(attached.collect());
    let decision = set.decide(request);
    let explanation = set.explain(request);
    assert_eq!(explanation.decision, decision, "{explanation}");
    decision
}

fn trust(document: &str, request: &AccessRequest<'_>) {
    let Some(policy) = read::<TrustPolicy>(document) else { return };
    for account in ["1", "1234567890123456"] {
        let caller = TrustCaller::User(request.resource);
        let request = TrustRequest { action: request.action, account, caller, context: request.context };
        let explanation = policy.explain("the input", &request);
        assert_eq!(explanation.decision, policy.decide(&request), "{explanation}");
    }
    assert!(policy.principals().all(|trusted| trusted.to_string().starts_with("acs:ram::")));
}

fn weight(decision: Decision) -> u8 {
    match decision {
        Decision::ImplicitDeny => 0,
        Decision::Allow => 1,
        Decision::ExplicitDeny => 2,
    }
}

/// One of the two kinds of document.
trait Document: std::fmt::Debug + Sized {
    fn parse(text: &str) -> Result<Self, PolicyError>;
}

impl Document for Policy {
    fn parse(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text)
    }
}

impl Document for TrustPolicy {
    fn parse(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text)
    }
}

/// Parses a document, and once more as another program would write it.
fn read<D: Document>(document: &str) -> Option<D> {
    let outcome = within(FACTOR * document.len() + SLACK, || D::parse(document));
    let policy = match outcome {
        Ok(policy) => policy,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    let value: serde_json::Value = serde_json::from_str(document).expect("what is a policy is JSON");
    for again in [serde_json::to_string(&value), serde_json::to_string_pretty(&value)] {
        match D::parse(&again.expect("JSON can be written")) {
            Ok(again) => assert_eq!(sorted(&again), sorted(&policy)),
            // Blanks count against the limit.
            Err(PolicyError::TooLong { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    Some(policy)
}

/// A policy whose members may have changed places: conditions are kept in the order of the document.
fn sorted(policy: &impl std::fmt::Debug) -> Vec<char> {
    let mut letters: Vec<char> = format!("{policy:?}").chars().collect();
    letters.sort_unstable();
    letters
}
