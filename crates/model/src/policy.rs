//! The RAM policy language: parsing documents and deciding requests.
//!
//! Identity policies only, as users, groups, roles and sessions carry them.
//! Trust policies (with `Principal`) are another grammar and refused here.
//! Parsing is strict: unknown or duplicate members, unknown operators and values
//! of the wrong type are errors, since a policy that is read otherwise than its
//! author meant is worse than one that is refused. What the documents leave open
//! is decided in the doc comments and marked as a proposal there.
//!
//! Evaluation knows nothing of who calls: the caller collects the policies of
//! one set (a user with its groups, a role, a session) and asks [`evaluate`];
//! combining several sets is the caller's too. An account's own keys are not
//! evaluated at all.

mod condition;
mod json;
mod set;
mod wildcard;

use std::sync::LazyLock;

use thiserror::Error;

use condition::{Condition, Operator};
use json::Node;
use wildcard::Case;

pub use condition::Context;
pub use set::{Attached, PolicySet};

/// Characters a policy document may have (newest metadata of CreatePolicy).
pub const DOCUMENT_CHARS_MAX: usize = 6_144;

/// Characters a session policy (AssumeRole, `Policy`) may have. [`Policy::parse`]
/// does not know where its text comes from; the caller checks this one.
pub const SESSION_DOCUMENT_CHARS_MAX: usize = 2_048;

/// A policy document, checked and ready to be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Never empty.
    statements: Vec<Statement>,
}

/// Why a document is refused. The text of the error is meant for the `Message`
/// of `MalformedPolicyDocument` (400), which has no fixed sentence.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// More than [`DOCUMENT_CHARS_MAX`] characters.
    #[error("The policy document has {chars} characters; at most {DOCUMENT_CHARS_MAX} are allowed.")]
    TooLong {
        /// How many it has.
        chars: usize,
    },
    /// Not JSON, or an object with two members of the same name.
    #[error("The policy document is not valid JSON: {0}.")]
    Json(#[from] serde_json::Error),
    /// A required member is absent.
    #[error("{at} must have the member {member}.")]
    Missing {
        /// Where, for example `Statement[0]`.
        at: String,
        /// The absent member.
        member: &'static str,
    },
    /// A member the language does not have, or has only in trust policies.
    #[error("{at} has the unknown member {member}.")]
    UnknownMember {
        /// Where.
        at: String,
        /// The member, shortened.
        member: String,
    },
    /// A value is not of the right kind, or an array is empty.
    #[error("{at} must be {expected}.")]
    Invalid {
        /// Where, for example `Statement[0].Effect`.
        at: String,
        /// What is accepted there.
        expected: &'static str,
    },
    /// A condition operator that does not exist.
    #[error("{at} has the unknown operator {operator}.")]
    UnknownOperator {
        /// Where.
        at: String,
        /// The operator, shortened.
        operator: String,
    },
    /// A value under a condition operator is not of the operator's type.
    #[error("{at} has the value {value}, which is not {expected}.")]
    Operand {
        /// Where.
        at: String,
        /// The value, shortened.
        value: String,
        /// What the operator takes.
        expected: &'static str,
    },
}

impl Policy {
    /// Parses a document.
    ///
    /// Besides what the language says, these are refused (proposals): an empty
    /// `Statement` or a bare object there, empty arrays, an action that is
    /// neither `*` nor `<ram-code>:<operation>`, a resource that is neither `*`
    /// nor begins with `acs:`. `Sid` is accepted and without effect, and so are
    /// numbers (of at most 15 digits, if not a whole number of 64 bits) and booleans
    /// without quotes as condition values.
    ///
    /// # Errors
    /// The first [`PolicyError`] found, top down.
    pub fn parse(document: &str) -> Result<Self, PolicyError> {
        let chars = document.chars().count();
        if chars > DOCUMENT_CHARS_MAX {
            return Err(PolicyError::TooLong { chars });
        }
        let mut root = Members::of(serde_json::from_str(document)?, "The policy document")?;
        match root.require("Version")? {
            Node::Text(version) if version == "1" => {}
            _ => return Err(invalid("Version", "the string 1")),
        }
        let statements = match root.require("Statement")? {
            Node::Array(statements) if !statements.is_empty() => statements,
            _ => return Err(invalid("Statement", "a non-empty array of statements")),
        };
        root.finish()?;
        let statements = statements
            .into_iter()
            .enumerate()
            .map(|(index, node)| Statement::parse(node, &format!("Statement[{index}]")))
            .collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }
}

/// What a set of policies says about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// A statement allows and none denies.
    Allow,
    /// A statement denies; nothing can allow any more.
    ExplicitDeny,
    /// No statement applies.
    ImplicitDeny,
}

/// A call to be decided.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    /// `<ram-code>:<operation>`, for example `vpc:DescribeVpnGateways`; compared without case.
    pub action: &'a str,
    /// ARN of the resource, or `*` for an operation without resource-level
    /// permission, which then only a Resource `*` covers. Compared with case:
    /// give names as they are stored.
    pub resource: &'a str,
    /// Values of condition keys.
    pub context: &'a Context,
}

/// Decides a request by one set of policies: any matching Deny denies, else any
/// matching Allow allows, else the request is denied implicitly. The order of
/// policies and statements has no effect.
pub fn evaluate<'a>(policies: impl IntoIterator<Item = &'a Policy>, request: &AccessRequest<'_>) -> Decision {
    let mut decision = Decision::ImplicitDeny;
    for statement in policies.into_iter().flat_map(|policy| &policy.statements) {
        if statement.applies(request) {
            match statement.effect {
                Effect::Deny => return Decision::ExplicitDeny,
                Effect::Allow => decision = Decision::Allow,
            }
        }
    }
    decision
}

/// The system policy of that exact name, parsed at its first use.
#[must_use]
pub fn system_policy(name: &str) -> Option<&'static Policy> {
    find_system(name).map(|system| &*system.policy)
}

/// The document of a system policy as GetPolicyVersion prints it.
#[must_use]
pub fn system_policy_document(name: &str) -> Option<&'static str> {
    find_system(name).map(|system| system.document)
}

/// Names of all system policies, in a fixed order. Those that begin with
/// `AliyunServiceRolePolicy` belong to service-linked roles; nobody attaches them.
pub fn system_policy_names() -> impl Iterator<Item = &'static str> {
    SYSTEM_POLICIES.iter().map(|system| system.name)
}

struct SystemPolicy {
    name: &'static str,
    document: &'static str,
    policy: LazyLock<Policy>,
}

fn find_system(name: &str) -> Option<&'static SystemPolicy> {
    SYSTEM_POLICIES.iter().find(|system| system.name == name)
}

macro_rules! system_policies {
    ($($name:literal),+ $(,)?) => {
        [$(SystemPolicy {
            name: $name,
            document: include_str!(concat!("policy/", $name, ".json")),
            policy: LazyLock::new(|| {
                Policy::parse(include_str!(concat!("policy/", $name, ".json")))
                    .expect("embedded system policies are well formed, a test parses each")
            }),
        }),+]
    };
}

/// Each says what the newest known version of the vendor's document says, in our
/// order of members, except three: AdministratorAccess is inferred, the VPN gateway
/// and KMS FullAccess policies are proposals after their sisters. ReadOnlyAccess,
/// PowerUserAccess, AliyunKMSCryptoAdminAccess and AliyunServiceRolePolicyForVpn are
/// left out: their documents are not known whole.
static SYSTEM_POLICIES: [SystemPolicy; 11] = system_policies![
    "AdministratorAccess",
    "AliyunVPNGatewayFullAccess",
    "AliyunVPNGatewayReadOnlyAccess",
    "AliyunVPCFullAccess",
    "AliyunVPCReadOnlyAccess",
    "AliyunKMSFullAccess",
    "AliyunKMSReadOnlyAccess",
    "AliyunKMSCryptoUserAccess",
    "AliyunKMSSecretUserAccess",
    "AliyunSTSAssumeRoleAccess",
    "AliyunServiceRolePolicyForVPNCertificate",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Actions {
    Listed(Vec<String>),
    /// `NotAction`: every action but these.
    AllBut(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    effect: Effect,
    actions: Actions,
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

impl Statement {
    fn applies(&self, request: &AccessRequest<'_>) -> bool {
        self.actions.cover(request.action)
            && self.resources.iter().any(|pattern| resource_matches(pattern, request.resource))
            && self.conditions.iter().all(|condition| condition.holds(request.context))
    }

    fn parse(node: Node, at: &str) -> Result<Self, PolicyError> {
        let mut members = Members::of(node, at)?;
        if let Some(sid) = members.take("Sid")
            && !matches!(sid, Node::Text(_))
        {
            return Err(invalid(&format!("{at}.Sid"), "a string"));
        }
        let effect = match members.require("Effect")? {
            Node::Text(effect) if effect == "Allow" => Effect::Allow,
            Node::Text(effect) if effect == "Deny" => Effect::Deny,
            _ => return Err(invalid(&format!("{at}.Effect"), "Allow or Deny")),
        };
        let actions = match (members.take("Action"), members.take("NotAction")) {
            (Some(listed), None) => Actions::Listed(parse_actions(listed, &format!("{at}.Action"))?),
            (None, Some(listed)) => Actions::AllBut(parse_actions(listed, &format!("{at}.NotAction"))?),
            (Some(_), Some(_)) => {
                return Err(invalid(at, "a statement with either Action or NotAction, not both"));
            }
            (None, None) => return Err(PolicyError::Missing { at: at.to_owned(), member: "Action" }),
        };
        let resources = parse_resources(members.require("Resource")?, &format!("{at}.Resource"))?;
        let conditions = match members.take("Condition") {
            Some(block) => parse_conditions(block, &format!("{at}.Condition"))?,
            None => Vec::new(),
        };
        members.finish()?;
        Ok(Self { effect, actions, resources, conditions })
    }
}

impl Actions {
    fn cover(&self, action: &str) -> bool {
        let listed =
            |patterns: &[String]| patterns.iter().any(|p| wildcard::matches(p, action, Case::Ignored));
        match self {
            Self::Listed(patterns) => listed(patterns),
            Self::AllBut(patterns) => !listed(patterns),
        }
    }
}

/// RAM's own resources are compared without ASCII case: names of users, groups, roles
/// and policies are unique without it, so a Deny on `user/Alice` must hold for who asks
/// for `ALICE`. They have no region: `acs:ram:*:...` and `acs:ram::...` mean the same,
/// so either form of the request matches either spelling of the policy.
fn resource_matches(pattern: &str, resource: &str) -> bool {
    if strip_prefix_ignoring_case(resource, "acs:ram:").is_none() {
        return wildcard::matches(pattern, resource, Case::Exact);
    }
    match strip_prefix_ignoring_case(resource, "acs:ram:*:") {
        Some(rest) => wildcard::matches(pattern, &format!("acs:ram::{rest}"), Case::Ignored),
        None => wildcard::matches(pattern, resource, Case::Ignored),
    }
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn parse_actions(node: Node, at: &str) -> Result<Vec<String>, PolicyError> {
    let well_formed = |action: &str| {
        let operation =
            action.split_once(':').filter(|(code, _)| !code.is_empty()).map(|(_, operation)| operation);
        let named = operation.is_some_and(|operation| !operation.is_empty() && !operation.contains(':'));
        action == "*" || (named && action.bytes().all(|b| b.is_ascii_graphic()))
    };
    strings(node, at, well_formed, "an action such as vpc:Describe*, *, or a non-empty array of these")
}

fn parse_resources(node: Node, at: &str) -> Result<Vec<String>, PolicyError> {
    let well_formed = |resource: &str| resource == "*" || resource.starts_with("acs:");
    strings(
        node,
        at,
        well_formed,
        "an ARN such as acs:vpc:*:*:vpngateway/*, *, or a non-empty array of these",
    )
}

/// `{operator: {key: value or array}}`, flattened: all of it must hold.
fn parse_conditions(block: Node, at: &str) -> Result<Vec<Condition>, PolicyError> {
    let mut conditions = Vec::new();
    for (name, keys) in Members::of(block, at)?.members {
        let Some(operator) = Operator::find(&name) else {
            return Err(PolicyError::UnknownOperator { at: at.to_owned(), operator: shorten(&name) });
        };
        let keys = Members::of(keys, &format!("{at}.{name}"))?;
        if keys.members.is_empty() {
            return Err(invalid(&keys.at, "an object with at least one condition key"));
        }
        for (key, values) in keys.members {
            let at = format!("{}.{}", keys.at, shorten(&key));
            let values = condition_values(values, &at)?;
            let condition = Condition::new(operator, &key, values).map_err(|value| PolicyError::Operand {
                at,
                value: shorten(&value),
                expected: operator.expects(),
            })?;
            conditions.push(condition);
        }
    }
    Ok(conditions)
}

fn condition_values(node: Node, at: &str) -> Result<Vec<String>, PolicyError> {
    one_or_many(node)
        .map(|item| match item {
            Node::Text(value) | Node::Bare(value) => Some(value),
            Node::Null | Node::Array(_) | Node::Object(_) => None,
        })
        .collect::<Option<Vec<_>>>()
        .filter(|values| !values.is_empty())
        .ok_or_else(|| invalid(at, "a string or a non-empty array of strings"))
}

/// A string or a non-empty array of strings, each of which must pass `accept`.
fn strings(
    node: Node,
    at: &str,
    accept: impl Fn(&str) -> bool,
    expected: &'static str,
) -> Result<Vec<String>, PolicyError> {
    one_or_many(node)
        .map(|item| match item {
            Node::Text(text) if accept(&text) => Some(text),
            _ => None,
        })
        .collect::<Option<Vec<_>>>()
        .filter(|texts| !texts.is_empty())
        .ok_or_else(|| invalid(at, expected))
}

/// Wherever several values may stand, one may stand without the array.
fn one_or_many(node: Node) -> impl Iterator<Item = Node> {
    match node {
        Node::Array(items) => items,
        single => vec![single],
    }
    .into_iter()
}

/// The members of an object that were not looked at yet, and where it stands.
struct Members {
    at: String,
    members: Vec<(String, Node)>,
}

impl Members {
    fn of(node: Node, at: &str) -> Result<Self, PolicyError> {
        match node {
            Node::Object(members) => Ok(Self { at: at.to_owned(), members }),
            _ => Err(invalid(at, "an object")),
        }
    }

    fn take(&mut self, name: &str) -> Option<Node> {
        let index = self.members.iter().position(|(member, _)| member == name)?;
        Some(self.members.remove(index).1)
    }

    fn require(&mut self, name: &'static str) -> Result<Node, PolicyError> {
        self.take(name).ok_or_else(|| PolicyError::Missing { at: self.at.clone(), member: name })
    }

    /// Refuses what is left.
    fn finish(self) -> Result<(), PolicyError> {
        match self.members.first() {
            Some((member, _)) => Err(PolicyError::UnknownMember { at: self.at, member: shorten(member) }),
            None => Ok(()),
        }
    }
}

fn invalid(at: &str, expected: &'static str) -> PolicyError {
    PolicyError::Invalid { at: at.to_owned(), expected }
}

/// Keeps echoes of the document in messages short.
fn shorten(text: &str) -> String {
    const KEEP: usize = 64;
    match text.char_indices().nth(KEEP) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GATEWAY: &str = "acs:vpc:cn-hangzhou:1234567890123456:vpngateway/vpn-bp1q8bgx4xnkm2ogj";

    fn statement(members: &str) -> String {
        format!(r#"{{"Version": "1", "Statement": [{{{members}}}]}}"#)
    }

    fn policy(members: &str) -> Policy {
        Policy::parse(&statement(members)).unwrap()
    }

    fn decide(policies: &[Policy], action: &str, resource: &str, context: &[(&str, &str)]) -> Decision {
        let context = context.iter().copied().collect();
        evaluate(policies, &AccessRequest { action, resource, context: &context })
    }

    fn system(name: &str, action: &str) -> Decision {
        let context = Context::new();
        evaluate(system_policy(name), &AccessRequest { action, resource: "*", context: &context })
    }

    #[test]
    fn no_policy_is_implicit_deny() {
        assert_eq!(decide(&[], "vpc:DescribeVpcs", "*", &[]), Decision::ImplicitDeny);
    }

    #[test]
    fn deny_wins_in_any_order() {
        let allow = policy(r#""Effect": "Allow", "Action": "*", "Resource": "*""#);
        let deny = policy(r#""Effect": "Deny", "Action": ["vpc:Delete*", "kms:*"], "Resource": "*""#);
        for policies in [[allow.clone(), deny.clone()], [deny, allow]] {
            assert_eq!(decide(&policies, "vpc:DeleteVpc", "*", &[]), Decision::ExplicitDeny);
            assert_eq!(decide(&policies, "vpc:CreateVpc", "*", &[]), Decision::Allow);
        }
    }

    #[test]
    fn actions_ignore_case_and_resources_do_not() {
        let policies =
            [policy(&format!(r#""Effect": "Allow", "Action": "VPC:describe*", "Resource": "{GATEWAY}""#))];
        assert_eq!(decide(&policies, "vpc:DescribeVpnGateway", GATEWAY, &[]), Decision::Allow);
        let upper = GATEWAY.replace("vpn-", "VPN-");
        assert_eq!(decide(&policies, "vpc:DescribeVpnGateway", &upper, &[]), Decision::ImplicitDeny);
        assert_eq!(decide(&policies, "vpc:DeleteVpnGateway", GATEWAY, &[]), Decision::ImplicitDeny);
    }

    #[test]
    fn only_a_literal_star_covers_operations_without_resources() {
        let action = "vpc:DissociateVpnGatewayWithCertificate";
        for (resource, expected) in [
            ("*", Decision::Allow),
            ("acs:*", Decision::ImplicitDeny),
            ("acs:vpc:*:*:*", Decision::ImplicitDeny),
        ] {
            let policies =
                [policy(&format!(r#""Effect": "Allow", "Action": "vpc:*", "Resource": "{resource}""#))];
            assert_eq!(decide(&policies, action, "*", &[]), expected, "{resource}");
            assert_eq!(decide(&policies, action, GATEWAY, &[]), Decision::Allow, "{resource}");
        }
    }

    #[test]
    fn not_action_covers_the_rest() {
        let policies = [policy(r#""Effect": "Allow", "NotAction": ["ram:*", "sts:*"], "Resource": "*""#)];
        assert_eq!(decide(&policies, "vpc:DeleteVpc", "*", &[]), Decision::Allow);
        assert_eq!(decide(&policies, "RAM:DeleteUser", "*", &[]), Decision::ImplicitDeny);
    }

    #[test]
    fn ram_resources_with_and_without_region() {
        for pattern in ["acs:ram:*:1:role/a", "acs:ram::1:role/a"] {
            let policies =
                [policy(&format!(r#""Effect": "Allow", "Action": "ram:GetRole", "Resource": "{pattern}""#))];
            for resource in ["acs:ram:*:1:role/a", "acs:ram::1:role/a"] {
                assert_eq!(
                    decide(&policies, "ram:GetRole", resource, &[]),
                    Decision::Allow,
                    "{pattern} {resource}"
                );
            }
            assert_eq!(decide(&policies, "ram:GetRole", "acs:ram::1:role/b", &[]), Decision::ImplicitDeny);
        }
    }

    #[test]
    fn ram_resources_ignore_case() {
        let deny = policy(r#""Effect": "Deny", "Action": "*", "Resource": "acs:ram:*:1:user/Alice""#);
        for resource in ["acs:ram::1:user/ALICE", "acs:ram:*:1:USER/alice", "ACS:RAM:*:1:user/alice"] {
            assert_eq!(
                decide(std::slice::from_ref(&deny), "ram:GetUser", resource, &[]),
                Decision::ExplicitDeny,
                "{resource}"
            );
        }
        let loose = policy(r#""Effect": "Deny", "Action": "*", "Resource": "acs:*:*:1:*/Al?ce""#);
        assert_eq!(decide(&[loose.clone()], "a:B", "acs:ram::1:user/ALICE", &[]), Decision::ExplicitDeny);
        assert_eq!(decide(&[loose], "a:B", "acs:vpc::1:user/ALICE", &[]), Decision::ImplicitDeny);
    }

    #[test]
    fn conditions_must_all_hold() {
        let policies = [policy(
            r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {
                "IpAddress": {"acs:SourceIp": ["203.0.113.0/24", "2001:db8::1"]},
                "Bool": {"acs:SecureTransport": true},
                "StringLike": {"acs:RequestTag/env": "prod-*", "acs:PrincipalArn": "acs:ram::*:user/?ob"}}"#,
        )];
        let good = [
            ("acs:sourceip", "203.0.113.7"),
            ("acs:SecureTransport", "true"),
            ("acs:RequestTag/env", "prod-1"),
            ("acs:PrincipalARN", "acs:ram::1:user/bob"),
        ];
        assert_eq!(decide(&policies, "a:B", "*", &good), Decision::Allow);
        for index in 0..good.len() {
            let mut less = good.to_vec();
            less.remove(index);
            assert_eq!(
                decide(&policies, "a:B", "*", &less),
                Decision::ImplicitDeny,
                "without {:?}",
                good[index]
            );
        }
    }

    #[test]
    fn deny_outside_a_network_stays_closed() {
        let policies = [
            policy(r#""Effect": "Allow", "Action": "*", "Resource": "*""#),
            policy(
                r#""Effect": "Deny", "Action": "*", "Resource": "*",
                "Condition": {"NotIpAddress": {"acs:SourceIp": "10.0.0.0/8"}}"#,
            ),
        ];
        assert_eq!(decide(&policies, "a:B", "*", &[("acs:SourceIp", "10.1.1.1")]), Decision::Allow);
        assert_eq!(decide(&policies, "a:B", "*", &[("acs:SourceIp", "11.1.1.1")]), Decision::ExplicitDeny);
        assert_eq!(decide(&policies, "a:B", "*", &[]), Decision::ExplicitDeny);
    }

    /// Documents that differ from an accepted one in one place, and what the message must name.
    #[test]
    fn malformed_documents() {
        const REST: &str = r#""Action": "a:B", "Resource": "*""#;
        for (members, named) in [
            (REST.to_owned(), "Effect"),
            (format!(r#""Effect": "allow", {REST}"#), "Allow or Deny"),
            (format!(r#""Effect": null, {REST}"#), "Allow or Deny"),
            (format!(r#""Effect": "Deny", "Effect": "Allow", {REST}"#), "duplicate member `Effect`"),
            (r#""Effect": "Allow", "Resource": "*""#.to_owned(), "Action"),
            (format!(r#""Effect": "Allow", "NotAction": "a:C", {REST}"#), "not both"),
            (r#""Effect": "Allow", "Action": "a:B""#.to_owned(), "Resource"),
            (format!(r#""Effect": "Allow", "NotResource": "*", {REST}"#), "NotResource"),
            (format!(r#""Effect": "Allow", "Principal": {{"RAM": "*"}}, {REST}"#), "Principal"),
            (format!(r#""Effect": "Allow", "Sid": 1, {REST}"#), "Sid"),
            (format!(r#""Effect": "Allow", "Condition": null, {REST}"#), "Condition"),
            (format!(r#""Effect": "Allow", "Condition": {{"StringEquals": {{}}}}, {REST}"#), "StringEquals"),
            (
                format!(r#""Effect": "Allow", "Condition": {{"StringEquals": {{"k": []}}}}, {REST}"#),
                "StringEquals.k",
            ),
            (format!(r#""Effect": "Allow", "Condition": {{"StringEquals": {{"k": null}}}}, {REST}"#), "k"),
            (
                format!(r#""Effect": "Allow", "Condition": {{"Null": {{"k": "true"}}}}, {REST}"#),
                "operator Null",
            ),
            (format!(r#""Effect": "Allow", "Condition": {{"Bool": {{"k": "maybe"}}}}, {REST}"#), "maybe"),
        ] {
            let error = Policy::parse(&statement(&members)).unwrap_err();
            assert!(error.to_string().contains(named), "{members}: {error}");
        }
        for (action, accepted) in [
            (r#""*""#, true),
            (r#"["a:B", "c:*"]"#, true),
            (r#""*:*""#, true),
            (r#""yundun-cert:Des?ribe*""#, true),
            ("[]", false),
            (r#""""#, false),
            (r#""B""#, false),
            (r#""a:""#, false),
            (r#"":B""#, false),
            (r#""a:B:C""#, false),
            (r#""a: B""#, false),
            (r#"["a:B", 1]"#, false),
            (r#"[["a:B"]]"#, false),
            ("null", false),
        ] {
            let document = statement(&format!(r#""Effect": "Allow", "Resource": "*", "Action": {action}"#));
            assert_eq!(Policy::parse(&document).is_ok(), accepted, "{action}");
        }
        for resource in ["[]", r#""""#, r#""vpngateway/*""#, r#""?""#, r#""**""#, "true"] {
            let document = statement(&format!(r#""Effect": "Allow", "Action": "*", "Resource": {resource}"#));
            assert!(Policy::parse(&document).is_err(), "{resource}");
        }
    }

    #[test]
    fn malformed_frames() {
        let good = r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Sid": "x", "Condition": {}}"#;
        let frame = |version: &str, statements: &str| {
            format!(r#"{{"Version": {version}, "Statement": {statements}}}"#)
        };
        assert!(Policy::parse(&frame(r#""1""#, &format!("[{good}]"))).is_ok());
        for bad in [
            String::new(),
            "[]".to_owned(),
            "{}".to_owned(),
            frame("1", &format!("[{good}]")),
            frame(r#""2""#, &format!("[{good}]")),
            frame(r#""1""#, "[]"),
            frame(r#""1""#, good),
            frame(r#""1""#, r#"["x"]"#),
            frame(r#""1""#, &format!("[{good}],")),
            frame(r#""1""#, &format!(r#"[{good}], "Id": "x""#)),
            frame(r#""1""#, &format!("[{good}]")) + "x",
            frame(r#""1""#, &"[".repeat(5_000)),
        ] {
            assert!(Policy::parse(&bad).is_err(), "{bad}");
        }
        let padded = format!("{}{}", frame(r#""1""#, &format!("[{good}]")), " ".repeat(DOCUMENT_CHARS_MAX));
        assert!(matches!(Policy::parse(&padded), Err(PolicyError::TooLong { .. })));
    }

    #[test]
    fn system_policies_parse() {
        for name in system_policy_names() {
            assert!(system_policy(name).is_some(), "{name}");
            assert!(system_policy_document(name).unwrap().contains("Statement"), "{name}");
        }
        assert_eq!(system_policy("administratoraccess"), None);
        assert_eq!(system_policy_document("ReadOnlyAccess"), None);
    }

    #[test]
    fn system_policies_cover_what_is_known_of_them() {
        for (name, action, expected) in [
            ("AdministratorAccess", "ram:DeleteUser", Decision::Allow),
            ("AliyunVPNGatewayFullAccess", "vpc:AssociateVpnGatewayWithCertificate", Decision::Allow),
            ("AliyunVPNGatewayFullAccess", "vpc:DissociateVpnGatewayWithCertificate", Decision::Allow),
            ("AliyunVPNGatewayFullAccess", "vpc:ListVpnCertificateAssociations", Decision::Allow),
            ("AliyunVPNGatewayFullAccess", "vpc:DeleteVpc", Decision::ImplicitDeny),
            ("AliyunVPNGatewayFullAccess", "ram:CreateServiceLinkedRole", Decision::ImplicitDeny),
            ("AliyunVPNGatewayReadOnlyAccess", "vpc:ListVpnCertificateAssociations", Decision::Allow),
            (
                "AliyunVPNGatewayReadOnlyAccess",
                "vpc:DissociateVpnGatewayWithCertificate",
                Decision::ImplicitDeny,
            ),
            ("AliyunVPNGatewayReadOnlyAccess", "vpc:ListTagResources", Decision::ImplicitDeny),
            ("AliyunVPNGatewayReadOnlyAccess", "vpc:DescribeRegions", Decision::ImplicitDeny),
            ("AliyunVPCFullAccess", "vpc:CreateVpc", Decision::Allow),
            ("AliyunVPCFullAccess", "vpc:CreateVpnRouteEntry", Decision::Allow),
            ("AliyunVPCFullAccess", "vpc:CreateVpnGateway", Decision::ImplicitDeny),
            ("AliyunVPCReadOnlyAccess", "vpc:DescribeVpcs", Decision::Allow),
            ("AliyunVPCReadOnlyAccess", "vpc:CreateVpc", Decision::ImplicitDeny),
            ("AliyunKMSFullAccess", "kms:CreateCertificate", Decision::Allow),
            ("AliyunKMSReadOnlyAccess", "kms:DescribeCertificate", Decision::Allow),
            ("AliyunKMSReadOnlyAccess", "kms:GetCertificate", Decision::ImplicitDeny),
            ("AliyunSTSAssumeRoleAccess", "sts:AssumeRole", Decision::Allow),
        ] {
            assert_eq!(system(name, action), expected, "{name} {action}");
        }
        let roles = system_policy("AliyunVPNGatewayFullAccess");
        let context = Context::from_iter([("ram:ServiceName", "certificate.vpn.aliyuncs.com")]);
        let request =
            AccessRequest { action: "ram:CreateServiceLinkedRole", resource: "*", context: &context };
        assert_eq!(evaluate(roles, &request), Decision::Allow);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in r#"[\[\]{}:,"A-Za-z*1 ]{0,60}"#) {
            let _ = Policy::parse(&text);
        }

        #[test]
        fn a_matching_deny_always_wins(allows in 0usize..4, at in 0usize..4) {
            let mut policies = vec![policy(r#""Effect": "Allow", "Action": "*", "Resource": "*""#); allows];
            let deny = policy(r#""Effect": "Deny", "Action": "vpc:*", "Resource": "*""#);
            policies.insert(at.min(allows), deny);
            prop_assert_eq!(decide(&policies, "vpc:CreateVpc", "*", &[]), Decision::ExplicitDeny);
        }
    }
}
