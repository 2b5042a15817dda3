//! Trust policies: who may assume a role.
//!
//! The same language with `Principal` in place of `Resource`. The strictness described in [`super`] applies here
//! too, and more: a principal is named in full, without wildcards, and there is no `NotAction`, which no page shows
//! in a trust policy.
//!
//! A trust policy decides alone here. AssumeRole also evaluates the policies of the caller, and both must allow;
//! that a service stays within the account of the role is for the caller of this module to check, since a policy
//! does not know which role it is attached to.

use std::fmt;

use super::condition::{Condition, ConditionKeys};
use super::explain::{self, Considered, Explanation, Match, Outcome, Place};
use super::json::Node;
use super::parse::{self, Members, invalid, strings};
use super::wildcard::{Case, Text};
use super::{Actions, Budget, Decision, Effect, Exhausted, PolicyError};

/// Characters a trust policy may have. None are published for it; it is the newest number
/// for other policies (proposal).
pub const TRUST_DOCUMENT_CHARS_MAX: usize = 6_144;

/// A trust policy, checked and ready to be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    /// Never empty.
    statements: Vec<TrustStatement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct TrustStatement {
    sid: Option<String>,
    effect: Effect,
    actions: Actions,
    /// Never empty.
    principals: Vec<Trusted>,
    conditions: Vec<Condition>,
}

/// Whom a statement names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trusted {
    /// `acs:ram::<account>:root`: every user and role of the account.
    Account {
        /// Decimal account id.
        account: String,
    },
    /// `acs:ram::<account>:user/<name>`.
    User {
        /// Decimal account id.
        account: String,
        /// As it was written; compared without case.
        name: String,
    },
    /// `acs:ram::<account>:role/<name>`.
    Role {
        /// Decimal account id.
        account: String,
        /// As it was written; compared without case.
        name: String,
    },
    /// A service, such as `ecs.aliyuncs.com`.
    Service {
        /// As it was written; compared without case.
        name: String,
    },
    /// `acs:ram::<account>:saml-provider/<name>`. It is no caller of AssumeRole.
    SamlProvider {
        /// Decimal account id.
        account: String,
        /// As it was written.
        name: String,
    },
}

/// Who wants to assume the role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustCaller<'a> {
    /// The RAM user of that name.
    User(&'a str),
    /// A session of the role of that name.
    Role(&'a str),
    /// A service, such as `ecs.aliyuncs.com`.
    Service(&'a str),
}

/// A role to be assumed.
#[derive(Clone, Copy)]
pub struct TrustRequest<'a> {
    /// `sts:AssumeRole`; compared without case.
    pub action: &'a str,
    /// Account id of the caller; without meaning for a service.
    pub account: &'a str,
    /// The caller.
    pub caller: TrustCaller<'a>,
    /// Values of condition keys.
    pub context: &'a dyn ConditionKeys,
}

impl TrustPolicy {
    /// Parses a trust policy.
    ///
    /// # Errors
    /// The first [`PolicyError`] found, top down.
    pub fn parse(document: &str) -> Result<Self, PolicyError> {
        let statements = parse::statements(document, TRUST_DOCUMENT_CHARS_MAX)?
            .into_iter()
            .enumerate()
            .map(|(index, node)| TrustStatement::parse(node, &format!("Statement[{index}]")))
            .collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }

    /// What the policy says about a request, by the same rule as [`super::PolicySet::decide`].
    ///
    /// # Errors
    /// [`Exhausted`]: it would take more steps than the budget has.
    pub fn decide(&self, request: &TrustRequest<'_>, budget: &Budget) -> Result<Decision, Exhausted> {
        let action = Text::new(request.action, Case::Ignored);
        let mut decision = Decision::ImplicitDeny;
        for statement in &self.statements {
            let applies = statement.applies(&action, request, budget);
            if budget.is_exhausted() {
                return Err(Exhausted);
            }
            if applies {
                match statement.effect {
                    Effect::Deny => return Ok(Decision::ExplicitDeny),
                    Effect::Allow => decision = Decision::Allow,
                }
            }
        }
        Ok(decision)
    }

    /// The decision of [`Self::decide`] with the statement that made it, and why the others did not
    /// apply. `origin` names the policy for people, such as `the trust policy of role/ops`.
    #[must_use]
    pub fn explain(&self, origin: &str, request: &TrustRequest<'_>) -> Explanation {
        let considered = self.statements.iter().enumerate().filter_map(|(index, statement)| {
            let place = Place {
                origin: origin.to_owned(),
                statement: index,
                sid: statement.sid.clone(),
                effect: statement.effect,
            };
            Some(Considered { place, outcome: statement.judge(request)? })
        });
        explain::conclude(considered.collect())
    }

    /// The accounts, users and roles that are named, allowed or denied, in the order of the
    /// document; a named user or role should exist.
    pub fn principals(&self) -> impl Iterator<Item = &Trusted> {
        self.trusted().filter(|trusted| match trusted {
            Trusted::Account { .. } | Trusted::User { .. } | Trusted::Role { .. } => true,
            Trusted::Service { .. } | Trusted::SamlProvider { .. } => false,
        })
    }

    /// The services that are named, allowed or denied, in the order of the document.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.trusted().filter_map(|trusted| match trusted {
            Trusted::Service { name } => Some(name.as_str()),
            Trusted::Account { .. }
            | Trusted::User { .. }
            | Trusted::Role { .. }
            | Trusted::SamlProvider { .. } => None,
        })
    }

    /// The conditions of each statement.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &[Condition]> {
        self.statements.iter().map(|statement| statement.conditions.as_slice())
    }

    fn trusted(&self) -> impl Iterator<Item = &Trusted> {
        self.statements.iter().flat_map(|statement| &statement.principals)
    }
}

impl TrustStatement {
    fn parse(node: Node, at: &str) -> Result<Self, PolicyError> {
        let mut members = Members::of(node, at)?;
        let sid = parse::sid(&mut members)?;
        let effect = parse::effect(&mut members)?;
        let patterns = parse::actions(members.require("Action")?, &format!("{at}.Action"))?;
        let principals = parse_principals(members.require("Principal")?, &format!("{at}.Principal"))?;
        let conditions = match members.take("Condition") {
            Some(block) => parse::conditions(block, &format!("{at}.Condition"))?,
            None => Vec::new(),
        };
        members.finish()?;
        Ok(Self { sid, effect, actions: Actions { all_but: false, patterns }, principals, conditions })
    }

    fn applies(&self, action: &Text<'_>, request: &TrustRequest<'_>, budget: &Budget) -> bool {
        budget.take(1);
        self.actions.cover(action, budget)
            && self.principals.iter().any(|trusted| {
                budget.take(4);
                trusted.covers(request)
            })
            && self
                .conditions
                .iter()
                .all(|condition| !budget.is_exhausted() && condition.holds(request.context, budget))
    }

    /// As `applies`, with the reason.
    fn judge(&self, request: &TrustRequest<'_>) -> Option<Outcome> {
        let action = match explain::action(&self.actions, request.action) {
            Ok(action) => action,
            Err(near) => return near,
        };
        let Some(covering) = self.principals.iter().find(|trusted| trusted.covers(request)) else {
            let asked = match request.caller {
                TrustCaller::User(name) => format!("acs:ram::{}:user/{name}", request.account),
                TrustCaller::Role(name) => format!("acs:ram::{}:role/{name}", request.account),
                TrustCaller::Service(name) => name.to_owned(),
            };
            let listed = self.principals.iter().map(ToString::to_string).collect();
            return Some(Outcome::Principal { asked, listed });
        };
        let unmet = self.conditions.iter().find_map(|condition| condition.unmet(request.context));
        Some(match unmet {
            Some(unmet) => Outcome::Condition(unmet),
            None => Outcome::Applies(Match {
                action,
                target: covering.to_string(),
                conditions: self.conditions.len(),
            }),
        })
    }
}

impl Trusted {
    /// Names are unique without case and so compared.
    fn covers(&self, request: &TrustRequest<'_>) -> bool {
        match (self, request.caller) {
            (Self::Account { account }, TrustCaller::User(_) | TrustCaller::Role(_)) => {
                account == request.account
            }
            (Self::User { account, name }, TrustCaller::User(caller))
            | (Self::Role { account, name }, TrustCaller::Role(caller)) => {
                account == request.account && name.eq_ignore_ascii_case(caller)
            }
            (Self::Service { name }, TrustCaller::Service(caller)) => name.eq_ignore_ascii_case(caller),
            (
                Self::Account { .. }
                | Self::User { .. }
                | Self::Role { .. }
                | Self::Service { .. }
                | Self::SamlProvider { .. },
                _,
            ) => false,
        }
    }

    /// A member of `Principal.RAM`.
    fn parse_ram(text: &str) -> Option<Self> {
        let (account, rest) = identity(text)?;
        match rest.split_once('/') {
            None if rest == "root" => Some(Self::Account { account }),
            Some(("user", name)) if is_name(name, 64) => Some(Self::User { account, name: name.to_owned() }),
            Some(("role", name)) if is_name(name, 64) => Some(Self::Role { account, name: name.to_owned() }),
            Some(_) | None => None,
        }
    }

    /// A member of `Principal.Service`: names of a host, with at least one period.
    fn parse_service(text: &str) -> Option<Self> {
        let label = |label: &str| {
            let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
        };
        let host = text.len() <= 253 && text.contains('.') && text.split('.').all(label);
        host.then(|| Self::Service { name: text.to_owned() })
    }

    /// A member of `Principal.Federated`.
    fn parse_federated(text: &str) -> Option<Self> {
        let (account, rest) = identity(text)?;
        let name = rest.strip_prefix("saml-provider/").filter(|name| is_name(name, 128))?;
        Some(Self::SamlProvider { account, name: name.to_owned() })
    }
}

/// As a trust policy writes it.
impl fmt::Display for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account { account } => write!(f, "acs:ram::{account}:root"),
            Self::User { account, name } => write!(f, "acs:ram::{account}:user/{name}"),
            Self::Role { account, name } => write!(f, "acs:ram::{account}:role/{name}"),
            Self::Service { name } => f.write_str(name),
            Self::SamlProvider { account, name } => write!(f, "acs:ram::{account}:saml-provider/{name}"),
        }
    }
}

impl fmt::Debug for TrustRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustRequest")
            .field("action", &self.action)
            .field("account", &self.account)
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

/// Account and relative id of `acs:ram::<account>:...` or `acs:ram:*:<account>:...`.
fn identity(text: &str) -> Option<(String, &str)> {
    let rest = text.strip_prefix("acs:ram::").or_else(|| text.strip_prefix("acs:ram:*:"))?;
    let (account, rest) = rest.split_once(':')?;
    let decimal = (1..=32).contains(&account.len()) && account.bytes().all(|byte| byte.is_ascii_digit());
    decimal.then(|| (account.to_owned(), rest))
}

/// The characters of all editions together: what an old name may have can be named.
fn is_name(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_@".contains(&byte))
}

/// `{"RAM": ..., "Service": ..., "Federated": ...}`, at least one principal in all. A list may be empty beside another
/// that is not: Terraform writes all of them.
fn parse_principals(node: Node, at: &str) -> Result<Vec<Trusted>, PolicyError> {
    type Kind = (&'static str, fn(&str) -> Option<Trusted>, &'static str);
    const KINDS: [Kind; 3] = [
        (
            "RAM",
            Trusted::parse_ram,
            "acs:ram::<account>:root, :user/<name> or :role/<name>, or a non-empty array of these",
        ),
        (
            "Service",
            Trusted::parse_service,
            "a service such as ecs.aliyuncs.com, or a non-empty array of these",
        ),
        (
            "Federated",
            Trusted::parse_federated,
            "acs:ram::<account>:saml-provider/<name>, or a non-empty array of these",
        ),
    ];
    let mut members = Members::of(node, at)?;
    let mut principals = Vec::new();
    for (kind, parse, expected) in KINDS {
        if let Some(listed) = members.take(kind) {
            if matches!(&listed, Node::Array(items) if items.is_empty()) {
                continue;
            }
            let texts = strings(listed, &format!("{at}.{kind}"), |text| parse(text).is_some(), expected)?;
            principals.extend(texts.iter().filter_map(|text| parse(text)));
        }
    }
    members.finish()?;
    if principals.is_empty() {
        return Err(invalid(at, "an object with at least one principal in RAM, Service or Federated"));
    }
    Ok(principals)
}

#[cfg(test)]
mod tests {
    use super::super::Context;
    use super::*;

    const TWO: &str = r#"{"Version": "1", "Statement": [
        {"Sid": "People", "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {
            "Federated": "acs:ram::1:saml-provider/idp", "RAM": ["acs:ram:*:1:user/Bob", "acs:ram::2:role/ops"]},
         "Condition": {"Bool": {"acs:MFAPresent": "true"}}},
        {"Effect": "Deny", "Action": "sts:*", "Principal": {
            "Service": ["ecs.aliyuncs.com", "vpn.aliyuncs.com"], "RAM": "acs:ram::3:root"}}]}"#;

    #[test]
    fn lists_whom_it_names() {
        let policy = TrustPolicy::parse(TWO).unwrap();
        let principals: Vec<String> = policy.principals().map(ToString::to_string).collect();
        assert_eq!(principals, ["acs:ram::1:user/Bob", "acs:ram::2:role/ops", "acs:ram::3:root"]);
        assert_eq!(policy.services().collect::<Vec<_>>(), ["ecs.aliyuncs.com", "vpn.aliyuncs.com"]);
    }

    #[test]
    fn tells_why_a_role_is_not_assumed() {
        let policy = TrustPolicy::parse(TWO).unwrap();
        let context = Context::from_iter([("acs:MFAPresent", "false")]);
        let explain = |account: &str, caller: TrustCaller<'_>| {
            let request = TrustRequest { action: "sts:AssumeRole", account, caller, context: &context };
            let explanation = policy.explain("the trust policy of role/r", &request);
            assert_eq!(Ok(explanation.decision), policy.decide(&request, &Budget::default()));
            explanation.to_string()
        };
        assert_eq!(
            explain("1", TrustCaller::User("bob")),
            "implicit deny: no statement applies\n\
             - Statement[0] \"People\" (Allow) of the trust policy of role/r does not apply: \
             the condition Bool of acs:MFAPresent lists true, the request has false\n\
             - Statement[1] (Deny) of the trust policy of role/r does not apply: \
             the caller is acs:ram::1:user/bob, \
             Principal lists acs:ram::3:root, ecs.aliyuncs.com, vpn.aliyuncs.com"
        );
        assert!(explain("3", TrustCaller::Role("any")).starts_with(
            "explicit deny: Statement[1] (Deny) of the trust policy of role/r applies: \
             the action is sts:*, it is about acs:ram::3:root, and it has no condition\n"
        ));
    }

    #[test]
    fn is_as_long_as_a_policy_at_most() {
        let long = format!("{TWO}{}", " ".repeat(TRUST_DOCUMENT_CHARS_MAX));
        let refused = TrustPolicy::parse(&long).unwrap_err();
        assert!(matches!(refused, PolicyError::TooLong { max: TRUST_DOCUMENT_CHARS_MAX, .. }));
    }

    #[test]
    fn principals_are_named_in_full() {
        let label = "a".repeat(63);
        let (longest, longer) = (format!("{label}.com"), format!("a{label}.com"));
        let name = "n".repeat(64);
        let (user, role) = (format!("acs:ram::1:user/{name}"), format!("acs:ram::1:role/{name}"));
        let (long_user, long_role) = (format!("{user}n"), format!("{role}n"));
        for (kind, text, accepted) in [
            ("Service", "ecs.aliyuncs.com", true),
            ("Service", "my-app.Example.com", true),
            ("Service", "9.x", true),
            ("Service", longest.as_str(), true),
            ("Service", &longer, false),
            ("Service", "ecs", false),
            ("Service", "", false),
            ("Service", "ecs..com", false),
            ("Service", ".com", false),
            ("Service", "com.", false),
            ("Service", "-a.com", false),
            ("Service", "a-.com", false),
            ("Service", "a_b.com", false),
            ("Service", "*.aliyuncs.com", false),
            ("RAM", "acs:ram::1:root", true),
            ("RAM", "acs:ram::1:Root", false),
            ("RAM", "acs:ram::1:", false),
            ("RAM", "acs:ram::1:*", false),
            ("RAM", &user, true),
            ("RAM", &long_user, false),
            ("RAM", "acs:ram::1:user/", false),
            ("RAM", "acs:ram::1:user/*", false),
            ("RAM", &role, true),
            ("RAM", &long_role, false),
            ("RAM", "acs:ram::1:role/a b", false),
            ("RAM", "acs:ram::1:group/a", false),
            ("Federated", "acs:ram::1:saml-provider/idp", true),
            ("Federated", "acs:ram::1:saml-provider/", false),
            ("Federated", "acs:ram::1:root", false),
        ] {
            let document = format!(
                r#"{{"Version": "1", "Statement": [
                    {{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {{"{kind}": "{text}"}}}}]}}"#
            );
            assert_eq!(TrustPolicy::parse(&document).is_ok(), accepted, "{kind} {text}");
        }
    }
}
