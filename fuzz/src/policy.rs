//! Policy documents: parsing and deciding.

use std::sync::Arc;

use tongguan_model::policy::{
    AccessRequest, Attached, Budget, Context, Decision, Exhausted, Policy, PolicyError, PolicySet,
    TrustCaller, TrustPolicy, TrustRequest,
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
/// If a deny does not win, the order of policies matters, the explanation says otherwise than the decision, a
/// document means something else when it is written with other blanks, or parsing takes memory out of
/// proportion; if a decision takes more steps than its set is estimated to cost, or another one is made with
/// fewer steps. Documents are read as trust policies too, for a user of the name of the resource.
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
    let set = set(&policies);
    let budget = Budget::unlimited();
    set.decide(&request, &budget).expect("an unlimited budget is not used up");
    estimated(&set, head, budget.spent());
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

fn set<'a>(policies: impl IntoIterator<Item = &'a Arc<Policy>>) -> PolicySet {
    let attached = policies
        .into_iter()
        .map(|policy| Attached { origin: String::from("the input"), policy: Arc::clone(policy) });
    PolicySet::new(attached.collect())
}

fn evaluate<'a>(
    policies: impl IntoIterator<Item = &'a Arc<Policy>>,
    request: &AccessRequest<'_>,
) -> Decision {
    let set = set(policies);
    let budget = Budget::unlimited();
    let decision = set.decide(request, &budget).expect("an unlimited budget is not used up");
    bounded(&set, request, decision, budget.spent());
    let explanation = set.explain(request);
    assert_eq!(explanation.decision, decision, "{explanation}");
    decision
}

/// Holds a decision to its budget: with less it is made the same or not at all, and what it takes beyond a
/// budget is what the values of one condition take.
fn bounded(set: &PolicySet, request: &AccessRequest<'_>, decision: Decision, spent: u64) {
    for steps in [0, spent / 2, spent] {
        let budget = Budget::new(u32::try_from(steps).unwrap_or(u32::MAX));
        let outcome = set.decide(request, &budget);
        assert!(outcome == Err(Exhausted) || outcome == Ok(decision), "{outcome:?} with {steps} of {spent}");
        assert_eq!(outcome.is_err(), budget.is_exhausted());
        assert!(budget.spent() <= spent, "{} of {spent}", budget.spent());
    }
    let whole = Budget::default();
    let outcome = set.decide(request, &whole);
    assert_eq!(outcome.is_err(), spent > u64::from(Budget::STEPS), "{spent} steps");
}

/// Holds the steps of a decision to the estimate of its set, which the length of the documents bounds.
fn estimated(set: &PolicySet, head: &str, spent: u64) {
    let mut keys: Vec<String> = Vec::new();
    for line in head.lines() {
        keys.extend(line.split_once('=').map(|(key, _)| key.to_ascii_lowercase()));
    }
    let lines = keys.len();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() == lines && head.lines().all(|line| line.len() <= 128) {
        assert!(spent <= set.cost(), "{spent} of {}", set.cost());
    }
}

fn trust(document: &str, request: &AccessRequest<'_>) {
    let Some(policy) = read::<TrustPolicy>(document) else { return };
    for account in ["1", "1234567890123456"] {
        let caller = TrustCaller::User(request.resource);
        let request = TrustRequest { action: request.action, account, caller, context: request.context };
        let explanation = policy.explain("the input", &request);
        let budget = Budget::unlimited();
        let decision = policy.decide(&request, &budget).expect("an unlimited budget is not used up");
        assert_eq!(explanation.decision, decision, "{explanation}");
        let poor = Budget::new(u32::try_from(budget.spent() / 2).unwrap_or(u32::MAX));
        let outcome = policy.decide(&request, &poor);
        assert!(outcome == Err(Exhausted) || outcome == Ok(decision), "{explanation}");
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
