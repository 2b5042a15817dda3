//! Explains why a request was allowed or denied.
//!
//! Statements are evaluated one by one in the order of the documents, without the index of [`super::PolicySet`];
//! tests compare the two.

use std::fmt;

use super::condition::Unmet;
use super::set::{Attached, SHORT, resource};
use super::wildcard::{Case, Pattern, Text};
use super::{AccessRequest, Actions, Budget, Decision, Effect, Statement};

/// A decision and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What `decide` says of the same request.
    pub decision: Decision,
    /// The statement that decided; `None` for an implicit deny.
    pub deciding: Option<Reason>,
    /// The statements that name the action, or another of the same product, in the order of
    /// the documents.
    pub statements: Vec<Considered>,
}

/// A statement and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// [`Attached::origin`] of its policy.
    pub origin: String,
    /// Its number in the document, counted from 0.
    pub statement: usize,
    /// Its `Sid`, if it has one.
    pub sid: Option<String>,
    /// What it does when it applies.
    pub effect: Effect,
}

/// The statement that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The statement.
    pub place: Place,
    /// What made it apply.
    pub because: Match,
}

/// A statement that was near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// The statement.
    pub place: Place,
    /// Whether it applied, or what kept it.
    pub outcome: Outcome,
}

/// What made a statement apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The pattern of `Action` that covers the action; `None` when `NotAction` does not list it.
    pub action: Option<String>,
    /// The pattern of `Resource` that covers the resource, or the caller as `Principal` names it.
    pub target: String,
    /// How many condition keys were tested; all hold.
    pub conditions: usize,
}

/// Whether a statement applies; else the first thing that kept it from it, in the order action,
/// principal, resource, conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It applies.
    Applies(Match),
    /// No pattern of `Action` covers the action.
    Action {
        /// The action of the request.
        asked: String,
        /// What the statement lists.
        listed: Vec<String>,
    },
    /// A pattern of `NotAction` covers the action.
    NotAction {
        /// The action of the request.
        asked: String,
        /// The pattern.
        excluded: String,
    },
    /// `Principal` does not name the caller (trust policies).
    Principal {
        /// The caller.
        asked: String,
        /// What the statement lists.
        listed: Vec<String>,
    },
    /// No pattern of `Resource` covers the resource.
    Resource {
        /// The resource of the request.
        asked: String,
        /// What the statement lists.
        listed: Vec<String>,
    },
    /// A condition does not hold.
    Condition(Unmet),
}

/// Explains what a set of identity policies says.
pub(super) fn identity(attached: &[Attached], request: &AccessRequest<'_>) -> Explanation {
    let mut short = [0; SHORT];
    let mut long = String::new();
    let resource = resource(request.resource, &mut short, &mut long);
    let statements = attached.iter().flat_map(|attached| {
        (attached.policy.statements.iter().enumerate())
            .map(move |(index, statement)| (attached, index, statement))
    });
    let considered = statements.filter_map(|(attached, index, statement)| {
        let place = Place {
            origin: attached.origin.clone(),
            statement: index,
            sid: statement.sid.clone(),
            effect: statement.effect,
        };
        let outcome = judge(statement, request, &resource)?;
        Some(Considered { place, outcome })
    });
    conclude(considered.collect())
}

/// The decision that follows from all statements that were near.
pub(super) fn conclude(statements: Vec<Considered>) -> Explanation {
    let first = |effect: Effect| {
        statements.iter().find_map(|considered| match &considered.outcome {
            Outcome::Applies(because) if considered.place.effect == effect => {
                Some(Reason { place: considered.place.clone(), because: because.clone() })
            }
            _ => None,
        })
    };
    let deciding = first(Effect::Deny).or_else(|| first(Effect::Allow));
    let decision = match deciding.as_ref().map(|reason| reason.place.effect) {
        Some(Effect::Deny) => Decision::ExplicitDeny,
        Some(Effect::Allow) => Decision::Allow,
        None => Decision::ImplicitDeny,
    };
    Explanation { decision, deciding, statements }
}

fn judge(statement: &Statement, request: &AccessRequest<'_>, resource: &Text<'_>) -> Option<Outcome> {
    let action = match action(&statement.actions, request.action) {
        Ok(action) => action,
        Err(near) => return near,
    };
    let covering = statement.resources.iter().find(|pattern| pattern.matches(resource, &Budget::unlimited()));
    let Some(covering) = covering else {
        let asked = request.resource.to_owned();
        return Some(Outcome::Resource { asked, listed: texts(&statement.resources) });
    };
    let unmet = statement.conditions.iter().find_map(|condition| condition.unmet(request.context));
    Some(match unmet {
        Some(unmet) => Outcome::Condition(unmet),
        None => Outcome::Applies(Match {
            action,
            target: covering.as_str().to_owned(),
            conditions: statement.conditions.len(),
        }),
    })
}

/// The pattern that covers the action (see [`Match::action`]), or why none does: `None` for a
/// statement about other products.
pub(super) fn action(actions: &Actions, asked: &str) -> Result<Option<String>, Option<Outcome>> {
    let budget = Budget::unlimited();
    let text = Text::new(asked, Case::Ignored);
    let matching = actions.patterns.iter().find(|pattern| pattern.matches(&text, &budget));
    let asked = asked.to_owned();
    match matching.map(|pattern| pattern.as_str().to_owned()) {
        None if actions.all_but => Ok(None),
        Some(excluded) if actions.all_but => Err(Some(Outcome::NotAction { asked, excluded })),
        Some(covering) => Ok(Some(covering)),
        None => {
            let code = asked.split(':').next().unwrap_or_default();
            let near = actions.patterns.iter().any(|pattern| {
                let product = pattern.as_str().split(':').next().unwrap_or_default();
                Pattern::new(product.to_owned()).matches(&Text::new(code, Case::Ignored), &budget)
            });
            Err(near.then(|| Outcome::Action { asked, listed: texts(&actions.patterns) }))
        }
    }
}

fn texts(patterns: &[Pattern]) -> Vec<String> {
    patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect()
}

/// Several lines: the decision, then one per statement.
impl Explanation {
    /// The explanation, line by line; text by the policy's author within a line may contain line ends.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let first = match &self.deciding {
            Some(reason) => format!("{}: {reason}", self.decision),
            None => format!("{}: no statement applies", self.decision),
        };
        std::iter::once(first).chain(self.statements.iter().map(|considered| format!("- {considered}")))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().enumerate().try_for_each(|(index, line)| {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{line}")
        })
    }
}

/// `Statement[1] "NoDelete" (Deny) of policy/X (Custom, v3)`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement[{}]", self.statement)?;
        if let Some(sid) = &self.sid {
            write!(f, " \"{sid}\"")?;
        }
        write!(f, " ({}) of {}", self.effect, self.origin)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} applies: {}", self.place, self.because)
    }
}

impl fmt::Display for Considered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Applies(because) => write!(f, "{} applies: {because}", self.place),
            outcome => write!(f, "{} does not apply: {outcome}", self.place),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Some(pattern) => write!(f, "the action is {pattern}")?,
            None => f.write_str("NotAction does not list the action")?,
        }
        write!(f, ", it is about {}", self.target)?;
        match self.conditions {
            0 => f.write_str(", and it has no condition"),
            1 => f.write_str(", and its condition holds"),
            many => write!(f, ", and its {many} conditions hold"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applies(because) => because.fmt(f),
            Self::Action { asked, listed } => {
                write!(f, "the action is {asked}, Action lists {}", Listing(listed))
            }
            Self::NotAction { asked, excluded } => {
                write!(f, "the action is {asked}, which NotAction leaves out by {excluded}")
            }
            Self::Principal { asked, listed } => {
                write!(f, "the caller is {asked}, Principal lists {}", Listing(listed))
            }
            Self::Resource { asked, listed } => {
                write!(f, "the resource is {asked}, Resource lists {}", Listing(listed))
            }
            Self::Condition(unmet) => unmet.fmt(f),
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the condition {} of {} lists {}, ", self.operator, self.key, Listing(&self.listed))?;
        if self.given.is_empty() {
            f.write_str("the key is absent from the request")
        } else {
            write!(f, "the request has {}", Listing(&self.given))
        }
    }
}

/// Values one after the other, at most [`Listing::SHOWN`] of them.
struct Listing<'a>(&'a [String]);

impl Listing<'_> {
    const SHOWN: usize = 8;
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.iter().take(Self::SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{value}")?;
        }
        match self.0.len().saturating_sub(Self::SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Context, Policy, PolicySet};
    use super::*;

    #[test]
    fn tells_people_what_happened() {
        let policy = r#"{"Version": "1", "Statement": [
            {"Effect": "Allow", "Action": "vpc:Describe*", "Resource": "*"},
            {"Effect": "Allow", "NotAction": ["ram:*", "vpc:Delete*"], "Resource": "*"},
            {"Effect": "Allow", "Action": "vpc:*", "Resource": ["acs:vpc:*:*:vpc/a", "acs:vpc:*:*:vpc/b"]},
            {"Effect": "Deny", "Action": "*", "Resource": "*",
             "Condition": {"NotIpAddress": {"acs:SourceIp": ["10.0.0.0/8", "::1"]}}},
            {"Effect": "Deny", "Action": "kms:*", "Resource": "*"},
            {"Sid": "Tagged", "Effect": "Allow", "Action": ["vpc:DeleteVpc"], "Resource": "acs:vpc:*:*:vpc/*",
             "Condition": {"StringEquals": {"acs:ResourceTag/env": "test"}, "Bool": {"acs:MFAPresent": true}}}]}"#;
        let policy = Arc::new(Policy::parse(policy).unwrap());
        let set = PolicySet::new(vec![Attached { origin: "policy/p (Custom, v2)".to_owned(), policy }]);
        let mut context = Context::from_iter([("acs:SourceIp", "10.1.1.1"), ("acs:resourcetag/ENV", "test")]);
        let explain = |context: &Context| {
            let resource = "acs:vpc:cn-hangzhou:1:vpc/c";
            let request = AccessRequest { action: "vpc:DeleteVpc", resource, context };
            let explanation = set.explain(&request);
            assert_eq!(Ok(explanation.decision), set.decide(&request, &Budget::default()));
            explanation.to_string()
        };
        assert_eq!(
            explain(&context),
            "implicit deny: no statement applies\n\
             - Statement[0] (Allow) of policy/p (Custom, v2) does not apply: \
             the action is vpc:DeleteVpc, Action lists vpc:Describe*\n\
             - Statement[1] (Allow) of policy/p (Custom, v2) does not apply: \
             the action is vpc:DeleteVpc, which NotAction leaves out by vpc:Delete*\n\
             - Statement[2] (Allow) of policy/p (Custom, v2) does not apply: \
             the resource is acs:vpc:cn-hangzhou:1:vpc/c, Resource lists acs:vpc:*:*:vpc/a, acs:vpc:*:*:vpc/b\n\
             - Statement[3] (Deny) of policy/p (Custom, v2) does not apply: \
             the condition NotIpAddress of acs:SourceIp lists 10.0.0.0/8, ::1, the request has 10.1.1.1\n\
             - Statement[5] \"Tagged\" (Allow) of policy/p (Custom, v2) does not apply: \
             the condition Bool of acs:MFAPresent lists true, the key is absent from the request"
        );
        context.insert("acs:MFAPresent", "true");
        assert!(explain(&context).starts_with(
            "allow: Statement[5] \"Tagged\" (Allow) of policy/p (Custom, v2) applies: \
             the action is vpc:DeleteVpc, it is about acs:vpc:*:*:vpc/*, and its 2 conditions hold\n"
        ));
        let elsewhere = Context::from_iter([("acs:SourceIp", "192.0.2.1")]);
        assert!(explain(&elsewhere).starts_with("explicit deny: Statement[3] (Deny)"));
    }

    #[test]
    fn long_lists_are_cut() {
        let values: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        assert_eq!(Listing(&values).to_string(), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}
