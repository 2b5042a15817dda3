//! Requirements on a new document beyond the grammar, and what its author is warned about.
//!
//! A document that is already stored is read as it is ([`Policy::parse`]): a later rule must not take away what an
//! account relies on. A new one is *refused* for anything that by its form no request can match, since a Deny that
//! never denies is worse than an error, and for patterns that could make decisions expensive. Its author is
//! *warned* about what is well-formed and may have a meaning elsewhere, but has none here: unknown products and
//! keys, and operations that this release does not have.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::condition::{Condition, Operator, Test, TextTest};
use super::parse::shorten;
use super::products::PRODUCTS;
use super::value::Instant;
use super::wildcard::{Case, Pattern, Text};
use super::{Budget, Policy, PolicyError, TrustPolicy};

/// What the values of `StringLike` and `StringNotLike` of a document may count together: those with `?`, or with text
/// between two `*`, count 8 and one for each byte that is searched for. A hundred patterns such as
/// `acs:ram::*:role/team-platform-*` pass; hundreds of long ones, which would be compared with every tag, do not.
pub const SEARCHED_MAX: usize = 4_096;

/// Warnings that are given of one document, at most.
const WARNINGS: usize = 16;

/// Something in a document that has no effect here, most likely a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where, for example `Statement[0].Action`.
    pub at: String,
    /// What, and why it has no effect.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.text)
    }
}

impl Policy {
    /// Reads a new document: as [`Self::parse`], and refuses what [`PolicyError::Never`] and
    /// [`PolicyError::Costly`] say.
    ///
    /// # Errors
    /// The first [`PolicyError`] found.
    pub fn accept(document: &str) -> Result<Self, PolicyError> {
        let policy = Self::parse(document)?;
        for (index, statement) in policy.statements.iter().enumerate() {
            let at = format!("Statement[{index}]");
            for resource in &statement.resources {
                if of_ram(resource.as_str()) && resource.as_str().contains("${") {
                    return Err(never(
                        &format!("{at}.Resource"),
                        resource.as_str(),
                        "policies have no variables here, and no name of RAM has the letters ${}",
                    ));
                }
            }
            conditions(&statement.conditions, &at)?;
        }
        policy.affordable()?;
        Ok(policy)
    }

    /// Whether the document has no more patterns that could make decisions expensive than a new one may have.
    ///
    /// # Errors
    /// [`PolicyError::Costly`].
    pub fn affordable(&self) -> Result<(), PolicyError> {
        affordable(self.statements.iter().flat_map(|statement| &statement.conditions))
    }

    /// What of the document has no effect here; at most 16. `actions` are those that operations of this release ask
    /// for.
    #[must_use]
    pub fn warnings(&self, actions: &[&str]) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (index, statement) in self.statements.iter().enumerate() {
            let at = format!("Statement[{index}]");
            let member = if statement.actions.all_but { "NotAction" } else { "Action" };
            for pattern in &statement.actions.patterns {
                warn(&mut warnings, &format!("{at}.{member}"), action(pattern, actions));
            }
            for pattern in &statement.resources {
                warn(&mut warnings, &format!("{at}.Resource"), resource(pattern.as_str()));
            }
            warn_of_conditions(&mut warnings, &at, &statement.conditions);
        }
        warnings
    }
}

impl TrustPolicy {
    /// As [`Policy::accept`].
    ///
    /// # Errors
    /// The first [`PolicyError`] found.
    pub fn accept(document: &str) -> Result<Self, PolicyError> {
        let policy = Self::parse(document)?;
        for (index, listed) in policy.conditions().enumerate() {
            conditions(listed, &format!("Statement[{index}]"))?;
        }
        affordable(policy.conditions().flatten())?;
        Ok(policy)
    }

    /// As [`Policy::warnings`].
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (index, listed) in self.conditions().enumerate() {
            warn_of_conditions(&mut warnings, &format!("Statement[{index}]"), listed);
        }
        warnings
    }
}

fn never(at: &str, value: &str, why: &'static str) -> PolicyError {
    PolicyError::Never { at: at.to_owned(), value: shorten(value), why }
}

fn warn(warnings: &mut Vec<Warning>, at: &str, text: Option<String>) {
    if let Some(text) = text
        && warnings.len() < WARNINGS
    {
        warnings.push(Warning { at: at.to_owned(), text });
    }
}

fn affordable<'a>(conditions: impl Iterator<Item = &'a Condition>) -> Result<(), PolicyError> {
    const EACH: usize = 8;
    let searched = conditions.flat_map(Condition::patterns).map(Pattern::searched).filter(|bytes| *bytes > 0);
    let (patterns, counted) = searched.fold((0, 0), |(n, sum), bytes| (n + 1, sum + bytes + EACH));
    if counted > SEARCHED_MAX {
        return Err(PolicyError::Costly { patterns, counted, max: SEARCHED_MAX });
    }
    Ok(())
}

/// What a condition key's values look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An address as it is printed.
    Address,
    /// A time in ISO 8601.
    Date,
    /// `true` or `false`.
    Bool,
    /// A name, which no number, date, boolean or address is.
    Name,
    /// What a caller chooses.
    Free,
}

/// Every condition key that a request can have here, in lower case; a `/` at the end: with a name after it.
const KEYS: [(&str, Kind); 12] = [
    ("acs:sourceip", Kind::Address),
    ("acs:securetransport", Kind::Bool),
    ("acs:mfapresent", Kind::Bool),
    ("acs:currenttime", Kind::Date),
    ("acs:tokenissuetime", Kind::Date),
    ("acs:principalarn", Kind::Name),
    ("acs:sourceidentity", Kind::Free),
    ("acs:requesttag/", Kind::Free),
    ("acs:resourcetag/", Kind::Free),
    ("ram:servicename", Kind::Name),
    ("sts:externalid", Kind::Free),
    ("sts:sourceidentity", Kind::Free),
];

/// Keys of the language that no request has here.
const ABSENT: [&str; 4] = ["acs:sourcevpc", "acs:principalrdid", "acs:principalrdpath", "saml:recipient"];

fn kind(key: &str) -> Option<Kind> {
    let known = KEYS.iter().find(|(known, _)| match known.strip_suffix('/') {
        Some(_) => key.len() > known.len() && key.starts_with(known),
        None => key == *known,
    });
    known.map(|(_, kind)| *kind)
}

/// Refuses conditions that are the same for all requests that have the key.
fn conditions(conditions: &[Condition], at: &str) -> Result<(), PolicyError> {
    for condition in conditions {
        let Some(kind) = kind(condition.folded_key()) else { continue };
        let operator = condition.operator();
        let at = || format!("{at}.Condition.{}.{}", operator.name(), shorten(condition.key()));
        if let Some(why) = unfit(kind, operator) {
            return Err(never(&at(), &condition.listed()[0], why));
        }
        let Test::Text(test) = operator.test() else { continue };
        for value in condition.listed() {
            if let Some(why) = unlike(kind, test, value) {
                return Err(never(&at(), value, why));
            }
        }
    }
    Ok(())
}

/// Why no value of this kind passes the operator.
fn unfit(kind: Kind, operator: Operator) -> Option<&'static str> {
    match (kind, operator.test()) {
        (_, Test::Text(_)) | (Kind::Free, _) => None,
        (Kind::Address, Test::Address) | (Kind::Date, Test::Date(_)) | (Kind::Bool, Test::Bool) => None,
        (Kind::Address, _) => Some("the key is an address, for IpAddress and NotIpAddress"),
        (Kind::Date, _) => Some("the key is a time, for the operators of dates"),
        (Kind::Bool, _) => Some("the key is true or false, for Bool"),
        (Kind::Name, _) => Some("the key is a name, for the operators of strings"),
    }
}

/// Why no value of this kind, as text, equals the listed one.
fn unlike(kind: Kind, test: TextTest, listed: &str) -> Option<&'static str> {
    let listed =
        if test == TextTest::EqualIgnoringCase { listed.to_ascii_lowercase() } else { listed.to_owned() };
    let pattern = test == TextTest::Like && listed.contains(['*', '?']);
    match kind {
        Kind::Address if listed.contains('/') => {
            Some("the key is one address, which strings compare letter by letter; IpAddress takes networks")
        }
        Kind::Address if !pattern => {
            let printed = listed.parse::<IpAddr>().map(|address| address.to_canonical().to_string());
            (printed != Ok(listed))
                .then_some("addresses are not written so; IpAddress takes them in any form")
        }
        Kind::Bool if !pattern && listed != "true" && listed != "false" => Some("the key is true or false"),
        Kind::Date if !pattern && Instant::parse(&listed.to_ascii_uppercase()).is_none() => {
            Some("the key is a time in ISO 8601")
        }
        Kind::Address | Kind::Bool | Kind::Date | Kind::Name | Kind::Free => None,
    }
}

fn warn_of_conditions(warnings: &mut Vec<Warning>, at: &str, conditions: &[Condition]) {
    for condition in conditions {
        let at = format!("{at}.Condition.{}", condition.operator().name());
        let key = shorten(condition.key());
        let unknown = if ABSENT.contains(&condition.folded_key()) {
            Some(format!("no request has the condition key {key} here"))
        } else if kind(condition.folded_key()).is_none() {
            Some(format!("the condition key {key} is not known: it is absent from every request"))
        } else {
            None
        };
        warn(warnings, &at, unknown);
        let variable = condition.listed().iter().find(|value| value.contains("${"));
        warn(warnings, &at, variable.map(|value| no_variable(value)));
    }
}

fn no_variable(value: &str) -> String {
    format!("{} is taken letter by letter: policies have no variables here", shorten(value))
}

/// The product of an action or an ARN, if its pattern leaves no doubt that there is none such.
fn unknown_product(code: &str) -> bool {
    let pattern = Pattern::new(code.to_owned());
    !PRODUCTS.iter().any(|known| pattern.matches(&Text::new(known, Case::Ignored), &Budget::unlimited()))
}

fn action(pattern: &Pattern, actions: &[&str]) -> Option<String> {
    let text = pattern.as_str();
    let (code, _) = text.split_once(':')?;
    let shown = shorten(text);
    if unknown_product(code) {
        return Some(format!("{shown} names a product that is not known"));
    }
    let products: BTreeSet<&str> =
        actions.iter().filter_map(|known| Some(known.split_once(':')?.0)).collect();
    if !products.iter().any(|known| known.eq_ignore_ascii_case(code)) {
        return None;
    }
    let budget = Budget::unlimited();
    let found = actions.iter().any(|known| pattern.matches(&Text::new(known, Case::Ignored), &budget));
    (!found).then(|| format!("{shown} names no operation of this release"))
}

fn resource(pattern: &str) -> Option<String> {
    let shown = shorten(pattern);
    if pattern.contains("${") {
        return Some(no_variable(pattern));
    }
    let mut parts = pattern.strip_prefix("acs:")?.splitn(4, ':');
    let code = parts.next().unwrap_or_default();
    // A star may stand for several parts.
    if pattern.contains('*') && !pattern[4..].contains(':') {
        return None;
    }
    if unknown_product(code) {
        return Some(format!("{shown} names a product that is not known"));
    }
    let whole = parts.count() == 3 || pattern.contains('*');
    (!whole).then(|| format!("{shown} has fewer than the five parts of an ARN"))
}

fn of_ram(pattern: &str) -> bool {
    let code = pattern.strip_prefix("acs:").and_then(|rest| rest.split(':').next());
    code.is_some_and(|code| code.eq_ignore_ascii_case("ram"))
}

#[cfg(test)]
mod tests {
    use super::super::{system_policy, system_policy_document, system_policy_names};
    use super::*;

    const ACTIONS: [&str; 4] = ["vpc:CreateVpc", "vpc:DescribeVpcs", "ram:GetUser", "sts:AssumeRole"];

    fn document(members: &str) -> String {
        format!(r#"{{"Version": "1", "Statement": [{{"Effect": "Deny", {members}}}]}}"#)
    }

    /// Statements that can never apply, and a word of the text that says why.
    #[test]
    fn what_no_request_matches_is_refused_when_it_is_new() {
        let condition =
            |condition: &str| format!(r#""Action": "*", "Resource": "*", "Condition": {{{condition}}}"#);
        for (members, named) in [
            (r#""Action": "*", "Resource": "acs:ram:*:*:user/${ram:UserName}""#.to_owned(), "variables"),
            (condition(r#""StringEquals": {"acs:SourceIp": "10.0.0.0/8"}"#), "IpAddress"),
            (condition(r#""StringLike": {"acs:SourceIp": ["10.*", "10.0.0.0/*"]}"#), "IpAddress"),
            (condition(r#""StringNotEquals": {"acs:sourceIP": "2001:DB8::1"}"#), "not written so"),
            (condition(r#""StringEquals": {"acs:SecureTransport": "yes"}"#), "true or false"),
            (condition(r#""StringLike": {"acs:CurrentTime": "today"}"#), "ISO 8601"),
            (condition(r#""NumericEquals": {"acs:SourceIp": "10"}"#), "address"),
            (condition(r#""Bool": {"acs:CurrentTime": "true"}"#), "time"),
            (condition(r#""IpAddress": {"acs:SecureTransport": "10.0.0.1"}"#), "Bool"),
            (condition(r#""NumericLessThan": {"acs:PrincipalArn": "1"}"#), "name"),
        ] {
            let document = document(&members);
            assert!(Policy::parse(&document).is_ok(), "a stored one is read: {members}");
            let refused = Policy::accept(&document).unwrap_err();
            assert!(matches!(refused, PolicyError::Never { .. }), "{members}: {refused}");
            assert!(refused.to_string().contains(named), "{members}: {refused}");
        }
        for members in [
            r#""Action": "oss:*", "Resource": "acs:oss:*:*:bucket/${a}""#.to_owned(),
            condition(r#""StringEquals": {"acs:SourceIp": ["10.0.0.1", "2001:db8::1"]}"#),
            condition(
                r#""StringLike": {"acs:SourceIp": "10.*", "acs:CurrentTime": "2026-*", "acs:MFAPresent": "*"}"#,
            ),
            condition(
                r#""StringEqualsIgnoreCase": {"acs:SecureTransport": "TRUE", "acs:RequestTag/a": "x/y"}"#,
            ),
            condition(r#""NumericLessThan": {"acs:RequestTag/n": "1"}, "Bool": {"acs:ResourceTag/b": true}"#),
            condition(r#""StringEquals": {"acs:CurrentTime": "2026-01-01T00:00:00Z"}"#),
        ] {
            Policy::accept(&document(&members)).unwrap_or_else(|error| panic!("{members}: {error}"));
        }
    }

    #[test]
    fn what_has_no_effect_here_is_warned_of() {
        let warned = |members: &str| {
            let policy = Policy::accept(&document(members)).unwrap();
            policy.warnings(&ACTIONS).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        for (members, named) in [
            (r#""Action": "vcp:*", "Resource": "*""#, "vcp:* names a product that is not known"),
            (
                r#""NotAction": ["vpc:*", "vpc:CreatVpc"], "Resource": "*""#,
                "NotAction: vpc:CreatVpc names no operation",
            ),
            (r#""Action": "ram:Gt*", "Resource": "*""#, "ram:Gt* names no operation"),
            (r#""Action": "*", "Resource": "acs:vcp:*:*:*""#, "acs:vcp:*:*:* names a product"),
            (r#""Action": "*", "Resource": "acs:vpc:cn-hangzhou:vpc/a""#, "fewer than the five parts"),
            (r#""Action": "*", "Resource": "acs:oss:*:*:${x}/a""#, "no variables"),
            (
                r#""Action": "*", "Resource": "*", "Condition": {"IpAddress": {"acs:SourceIpp": "10.0.0.0/8"}}"#,
                "Condition.IpAddress: the condition key acs:SourceIpp is not known",
            ),
            (
                r#""Action": "*", "Resource": "*", "Condition": {"StringEquals": {"acs:SourceVpc": "vpc-1"}}"#,
                "no request has the condition key acs:SourceVpc here",
            ),
            (
                r#""Action": "*", "Resource": "*", "Condition": {"StringEquals": {"acs:RequestTag/": "x"}}"#,
                "not known",
            ),
            (
                r#""Action": "*", "Resource": "*", "Condition": {"StringLike": {"acs:PrincipalArn": "*/${x}"}}"#,
                "letter by letter",
            ),
        ] {
            let text = warned(members);
            assert!(text.contains(named), "{members}: {text}");
            assert_eq!(text.lines().count(), 1, "{members}: {text}");
        }
        // What people write, also about products that are not here.
        for members in [
            r#""Action": ["ecs:*", "oss:Get*", "log:*", "yundun-*:Describe*", "*", "*:Describe*", "v?c:*"], "Resource": "*""#,
            r#""Action": "*", "Resource": ["acs:*", "acs:*:*:1:*", "acs:oss:*:*:b/*", "acs:vpc:*", "acs:ecs:*:*:instance/i-1"]"#,
            r#""Action": "vpc:*vpc*", "Resource": "*", "Condition": {"StringEquals": {"acs:RequestTag/Env": "a"}}"#,
        ] {
            assert_eq!(warned(members), "", "{members}");
        }
        let many = vec![r#""vcp:*""#; 100].join(",");
        assert_eq!(warned(&format!(r#""Action": [{many}], "Resource": "*""#)).lines().count(), WARNINGS);
    }

    #[test]
    fn trust_policies_are_held_to_the_same() {
        let document = |condition: &str| {
            format!(
                r#"{{"Version": "1", "Statement": [{{"Effect": "Allow", "Action": "sts:AssumeRole",
                "Principal": {{"RAM": "acs:ram::1:root"}}, "Condition": {{{condition}}}}}]}}"#
            )
        };
        let refused = TrustPolicy::accept(&document(r#""StringEquals": {"acs:SourceIp": "10.0.0.0/8"}"#));
        assert!(matches!(refused, Err(PolicyError::Never { .. })), "{refused:?}");
        let long = vec![format!("\"*{}?b\"", "a".repeat(60)); 90].join(",");
        let refused =
            TrustPolicy::accept(&document(&format!(r#""StringLike": {{"sts:ExternalId": [{long}]}}"#)));
        assert!(matches!(refused, Err(PolicyError::Costly { patterns: 90, .. })), "{refused:?}");
        let warned = TrustPolicy::accept(&document(r#""StringEquals": {"sts:ExternalID2": "x"}"#)).unwrap();
        assert!(warned.warnings()[0].to_string().contains("sts:ExternalID2 is not known"));
    }

    #[test]
    fn patterns_that_could_be_expensive_are_refused_when_they_are_new() {
        let like = |pattern: &str, times: usize| {
            let listed = vec![format!("\"{pattern}\""); times].join(",");
            document(&format!(
                r#""Action": "*", "Resource": "*", "Condition": {{"StringLike": {{"acs:RequestTag/abcde": [{listed}]}}}}"#
            ))
        };
        let run = "a".repeat(60);
        for (pattern, times, accepted) in [
            (format!("*{run}?b"), 85, false),
            (format!("*{run}?b*"), 80, false),
            (format!("*{run}b*"), 60, false),
            ("*a?".to_owned(), 600, false),
            (format!("*{run}?b"), 20, true),
            // What stands at the begin or the end alone is not searched for.
            (format!("{run}*"), 90, true),
            (format!("*{run}"), 90, true),
            (format!("{run}*b"), 90, true),
            ("acs:ram::*:role/team-platform-*".to_owned(), 120, true),
            ("*-prod-*".to_owned(), 250, true),
        ] {
            let document = like(&pattern, times);
            assert!(Policy::parse(&document).is_ok(), "a stored one is read: {pattern}");
            let outcome = Policy::accept(&document);
            assert_eq!(outcome.is_ok(), accepted, "{times} × {pattern}: {outcome:?}");
        }
        // Patterns of resources and actions are compared once for a call, whatever they are.
        let arns: Vec<String> =
            (0..100).map(|n| format!("\"acs:oss:*:*:my-bucket-{n}/data/*/in?/*\"")).collect();
        Policy::accept(&document(&format!(r#""Action": "oss:*Object*", "Resource": [{}]"#, arns.join(","))))
            .unwrap();
    }

    #[test]
    fn system_policies_are_accepted() {
        for name in system_policy_names() {
            let policy = Policy::accept(system_policy_document(name).unwrap()).unwrap();
            assert_eq!(Some(policy), system_policy(name).map(|policy| (*policy).clone()));
        }
    }

    /// Each searched pattern counts its characters and 8; one that is only compared from an end counts nothing.
    #[test]
    fn patterns_may_be_searched_up_to_the_limit() {
        let like = |values: &[String]| {
            let values = serde_json::to_string(values).unwrap();
            Policy::accept(&document(&format!(
                r#""Action": "*", "Resource": "*", "Condition": {{"StringLike": {{"acs:RequestTag/a": {values}}}}}"#
            )))
        };
        let half = "?".repeat(SEARCHED_MAX / 2 - 8);
        assert!(like(&[half.clone(), half.clone()]).is_ok());
        let refused = like(&[half.clone(), half + "?"]).unwrap_err();
        assert!(
            matches!(refused, PolicyError::Costly { patterns: 2, counted, max: SEARCHED_MAX }
                if counted == SEARCHED_MAX + 1),
            "{refused}"
        );
        let plain = vec!["a*".to_owned(); SEARCHED_MAX / 8 + 1];
        like(&plain).unwrap();
    }
}
