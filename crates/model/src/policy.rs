//! The RAM policy language: parsing documents and deciding requests.
//!
//! [`Policy`] is an identity policy, as users, groups, roles and sessions carry them;
//! [`TrustPolicy`] says who may assume a role, in another grammar (with `Principal`).
//! Parsing is strict: unknown or duplicate members, unknown operators and values
//! of the wrong type are errors, since a policy that is read otherwise than its
//! author meant is worse than one that is refused. What the documents leave open
//! is decided in the doc comments and marked as a proposal there.
//!
//! Evaluation knows nothing of who calls: the caller collects the policies of
//! one set (a user with its groups, a role, a session) in a [`PolicySet`] and evaluates it;
//! combining several sets is the caller's too. An account's own keys are not
//! evaluated at all.

mod budget;
mod condition;
mod explain;
mod json;
mod lint;
mod parse;
mod products;
mod set;
mod system;
mod trust;
mod value;
mod wildcard;

use std::fmt;

use thiserror::Error;

use condition::Condition;
use json::Node;
use parse::{Members, invalid, patterns, strings};
use wildcard::{Case, Pattern, Text};

pub use budget::{Budget, Exhausted};
pub use condition::{ConditionKeys, Context, ResourceKeys, Unmet, is_of_resource};
pub use explain::{Considered, Explanation, Match, Outcome, Place, Reason};
pub use lint::{SEARCHED_MAX, Warning};
pub use set::{Attached, PolicySet, RESOURCES_MAX};
pub use system::{system_policy, system_policy_document, system_policy_names};
pub use trust::{TRUST_DOCUMENT_CHARS_MAX, TrustCaller, TrustPolicy, TrustRequest, Trusted};

/// Characters a policy document may have (newest metadata of CreatePolicy).
pub const DOCUMENT_CHARS_MAX: usize = 6_144;

/// Characters a session policy (AssumeRole, `Policy`) may have. [`Policy::parse`]
/// does not know where its text comes from; the caller checks this one.
pub const SESSION_DOCUMENT_CHARS_MAX: usize = 2_048;

/// Whether a pattern of `*` and `?` matches the whole of a text, by the rule of actions: ASCII letters of either case
/// are the same.
#[must_use]
pub fn matches_wildcard(pattern: &str, text: &str) -> bool {
    Pattern::new(pattern.to_owned()).matches(&Text::new(text, Case::Ignored), &Budget::unlimited())
}

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
    /// More than [`DOCUMENT_CHARS_MAX`] or [`TRUST_DOCUMENT_CHARS_MAX`] characters.
    #[error("The policy document has {chars} characters; at most {max} are allowed.")]
    TooLong {
        /// How many it has.
        chars: usize,
        /// How many it may have.
        max: usize,
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
    /// A member the language does not have, or has only in the other kind of policy.
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
    /// Something that no request can ever match (a new document alone is refused for it).
    #[error("{at} has the value {value}, which no request ever matches: {why}.")]
    Never {
        /// Where.
        at: String,
        /// The value, shortened.
        value: String,
        /// Why not.
        why: &'static str,
    },
    /// Patterns that could make decisions expensive (a new document alone is refused for it).
    #[error(
        "The policy document has {patterns} values of StringLike and StringNotLike with ? or with text between two *. \
         They count {counted}, one for each character that is searched for and 8 for each value; at most {max} are allowed."
    )]
    Costly {
        /// How many patterns count.
        patterns: usize,
        /// What they count.
        counted: usize,
        /// What they may.
        max: usize,
    },
}

impl Policy {
    /// Parses a document.
    ///
    /// Besides what the language says, these are refused (proposals): an empty
    /// `Statement` or a bare object there, empty arrays, an action that is
    /// neither `*` nor `<ram-code>:<operation>`, a resource that is neither `*`
    /// nor begins with `acs:`. `Sid` is accepted and only named in explanations, and so are
    /// numbers (of at most 15 digits, if not a whole number of 64 bits) and booleans
    /// without quotes as condition values.
    ///
    /// This is how a stored document is read; a new one is to pass [`Self::accept`].
    ///
    /// # Errors
    /// The first [`PolicyError`] found, top down.
    pub fn parse(document: &str) -> Result<Self, PolicyError> {
        let statements = parse::statements(document, DOCUMENT_CHARS_MAX)?
            .into_iter()
            .enumerate()
            .map(|(index, node)| Statement::parse(node, &format!("Statement[{index}]")))
            .collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }

    /// Steps that a decision about one resource takes at most with this policy, when no value of the request is longer
    /// than 128 bytes.
    #[must_use]
    pub fn cost(&self) -> u64 {
        let statement = |statement: &Statement| {
            let patterns = statement.actions.patterns.iter().chain(&statement.resources);
            2 + patterns.map(Pattern::cost).sum::<usize>()
                + statement.conditions.iter().map(Condition::cost).sum::<usize>()
        };
        // The action and the resource are searched too.
        2 * Text::LONG_COST as u64 + self.statements.iter().map(|one| statement(one) as u64).sum::<u64>()
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
#[derive(Clone, Copy)]
pub struct AccessRequest<'a> {
    /// `<ram-code>:<operation>`, for example `vpc:DescribeVpnGateways`; compared without case.
    pub action: &'a str,
    /// ARN of the resource, or `*` for an operation without resource-level
    /// permission, which then only a Resource `*` covers. Compared with case, but for
    /// RAM's own resources.
    pub resource: &'a str,
    /// Values of condition keys, such as a [`Context`].
    pub context: &'a dyn ConditionKeys,
}

/// Without the context, which may have to be worked out.
impl fmt::Debug for AccessRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessRequest")
            .field("action", &self.action)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

/// For people.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::ExplicitDeny => "explicit deny",
            Self::ImplicitDeny => "implicit deny",
        })
    }
}

/// What a statement does when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Allows, unless another denies.
    Allow,
    /// Denies, whatever others say.
    Deny,
}

/// As a document spells it.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        })
    }
}

/// `Action`, or `NotAction`: every action but these.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Actions {
    all_but: bool,
    /// Never empty.
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    sid: Option<String>,
    effect: Effect,
    actions: Actions,
    /// Never empty.
    resources: Vec<Pattern>,
    conditions: Vec<Condition>,
}

impl Statement {
    fn parse(node: Node, at: &str) -> Result<Self, PolicyError> {
        let mut members = Members::of(node, at)?;
        let sid = parse::sid(&mut members)?;
        let effect = parse::effect(&mut members)?;
        let (all_but, listed, name) = match (members.take("Action"), members.take("NotAction")) {
            (Some(listed), None) => (false, listed, "Action"),
            (None, Some(listed)) => (true, listed, "NotAction"),
            (Some(_), Some(_)) => {
                return Err(invalid(at, "a statement with either Action or NotAction, not both"));
            }
            (None, None) => return Err(PolicyError::Missing { at: at.to_owned(), member: "Action" }),
        };
        let actions = Actions { all_but, patterns: parse::actions(listed, &format!("{at}.{name}"))? };
        let resources = parse_resources(members.require("Resource")?, &format!("{at}.Resource"))?;
        let conditions = match members.take("Condition") {
            Some(block) => parse::conditions(block, &format!("{at}.Condition"))?,
            None => Vec::new(),
        };
        members.finish()?;
        Ok(Self { sid, effect, actions, resources, conditions })
    }
}

impl Actions {
    fn cover(&self, action: &Text<'_>, budget: &Budget) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(action, budget)) != self.all_but
    }
}

fn parse_resources(node: Node, at: &str) -> Result<Vec<Pattern>, PolicyError> {
    let well_formed = |resource: &str| resource == "*" || resource.starts_with("acs:");
    let expected = "an ARN such as acs:vpc:*:*:vpngateway/*, *, or a non-empty array of these";
    Ok(patterns(strings(node, at, well_formed, expected)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    const GATEWAY: &str = "acs:vpc:cn-hangzhou:1234567890123456:vpngateway/vpn-bp1q8bgx4xnkm2ogj";

    fn statement(members: &str) -> String {
        format!(r#"{{"Version": "1", "Statement": [{{{members}}}]}}"#)
    }

    fn policy(members: &str) -> Policy {
        Policy::parse(&statement(members)).unwrap()
    }

    fn evaluate<'a>(policies: impl IntoIterator<Item = &'a Policy>, request: &AccessRequest<'_>) -> Decision {
        let attached = policies
            .into_iter()
            .map(|policy| Attached { origin: "a test".to_owned(), policy: Arc::new(policy.clone()) });
        let set = PolicySet::new(attached.collect());
        let decision = set.decide(request, &Budget::default()).unwrap();
        assert_eq!(set.explain(request).decision, decision, "{request:?}");
        decision
    }

    fn decide(policies: &[Policy], action: &str, resource: &str, context: &[(&str, &str)]) -> Decision {
        let context: Context = context.iter().copied().collect();
        evaluate(policies, &AccessRequest { action, resource, context: &context })
    }

    fn system(name: &str, action: &str) -> Decision {
        let context = Context::new();
        evaluate(system_policy(name).as_deref(), &AccessRequest { action, resource: "*", context: &context })
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
        assert_eq!(
            decide(std::slice::from_ref(&loose), "a:B", "acs:ram::1:user/ALICE", &[]),
            Decision::ExplicitDeny
        );
        assert_eq!(decide(&[loose], "a:B", "acs:vpc::1:user/ALICE", &[]), Decision::ImplicitDeny);
    }

    /// Beyond the length that is rewritten on the stack.
    #[test]
    fn long_ram_resources() {
        for length in [240, 246, 247, 248, 300] {
            let name = "网a".repeat(length / 4);
            let deny = [policy(&format!(
                r#""Effect": "Deny", "Action": "*", "Resource": "acs:ram::1:user/{name}""#
            ))];
            for asked in [format!("acs:ram:*:1:user/{name}"), format!("ACS:RAM:*:1:USER/{name}")] {
                assert_eq!(decide(&deny, "ram:GetUser", &asked, &[]), Decision::ExplicitDeny, "{asked}");
                let more = format!("{asked}x");
                assert_eq!(decide(&deny, "ram:GetUser", &more, &[]), Decision::ImplicitDeny, "{more}");
            }
        }
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
        let document = frame(r#""1""#, &format!("[{good}]"));
        let room = DOCUMENT_CHARS_MAX - document.len();
        assert!(Policy::parse(&format!("{document}{}", " ".repeat(room))).is_ok());
        let padded = format!("{document}{}", " ".repeat(room + 1));
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
        assert_eq!(evaluate(roles.as_deref(), &request), Decision::Allow);
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
