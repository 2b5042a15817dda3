//! AssumeRole: temporary credentials of a role. Source: `docs/api/sts/AssumeRole.json`.
//!
//! Two sides must allow it: the caller's policies (checked like every permission, before this file is reached)
//! and the role's trust policy. The account itself may not. Nothing is stored: the token says it all
//! ([`crate::token`]), and what the role may do is looked up with each later call.

use serde::Serialize;
use tongguan_model::id::AccountId;
use tongguan_model::policy::{
    Budget, Decision, Exhausted, Policy, SESSION_DOCUMENT_CHARS_MAX, TrustCaller, TrustPolicy, TrustRequest,
};
use tongguan_model::principal::Identity;
use tongguan_store::{Bearer, Snapshot};

use crate::access::{Denial, DeniedBy, too_costly};
use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue::{self as c, Refusal};
use crate::context::{Context, iso8601_seconds};
use crate::operation::{DryRun, Failure, Handler, Operation, Product, Shape, optional, required};
use crate::token::{Grant, Tokens};

/// Permission of this operation, and the action that a trust policy must allow.
const ACTION: &str = "sts:AssumeRole";
/// Shortest life of a session, seconds.
const SHORTEST: u64 = 900;
/// Life of a session that names none, seconds.
const USUAL: u64 = 3_600;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Sts,
    action: "AssumeRole",
    summary: "Exchange an identity for temporary credentials of a role.",
    permission: Some(ACTION),
    resource: "acs:ram::{accountId}:role/{roleName}",
    parameters: &[
        required("RoleArn", Shape::Text, "acs:ram::<account>:role/<name>; may be another account's."),
        required("RoleSessionName", Shape::Text, "2 to 64 letters, digits, `.`, `@`, `-`, `_`."),
        optional(
            "DurationSeconds",
            Shape::Integer,
            "900 to the role's MaxSessionDuration. Default 3600, or that if it is less.",
        ),
        optional(
            "Policy",
            Shape::Json,
            "Session policy, at most 2048 characters: what it does not allow is denied.",
        ),
        optional("ExternalId", Shape::Text, "2 to 1224 characters, for the condition key sts:ExternalId."),
        optional("SourceIdentity", Shape::Text, "2 to 64 letters, digits, `.`, `@`, `-`, `_`."),
    ],
    subject: Some("RoleArn"),
    dry_run: DryRun::None,
    errors: &[
        &c::ROLE_ARN,
        &c::ROLE_SESSION_NAME,
        &c::DURATION_SECONDS,
        &c::SESSION_POLICY_GRAMMAR,
        &c::SESSION_POLICY_SIZE,
        &c::INCORRECT,
        &c::NO_PERMISSION_STS,
        &c::ROOT_ASSUMES,
        &c::ROLE_UNTRUSTING,
        &c::ROLE_NOT_FOUND_STS,
    ],
    handler: Handler::Read(assume),
};

/// The account and the name in a role's ARN.
pub(crate) fn role_of(arn: &str) -> Option<(&str, &str)> {
    let (account, name) = arn.strip_prefix("acs:ram:")?.strip_prefix(':')?.split_once(":role/")?;
    let digits = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (digits && (1..=64).contains(&name.len()) && name.bytes().all(plain)).then_some((account, name))
}

fn session_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'@' | b'-' | b'_');
    (2..=64).contains(&text.len()) && text.bytes().all(plain)
}

fn external_id(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
    (2..=1_224).contains(&text.len()) && text.chars().all(plain)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Assumed<'a> {
    request_id: &'a str,
    credentials: Shown<'a>,
    assumed_role_user: RoleUser,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_identity: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    access_key_id: &'a str,
    access_key_secret: &'a str,
    security_token: &'a str,
    expiration: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RoleUser {
    arn: String,
    assumed_role_id: String,
}

/// What the call asks for, well formed.
struct Asked<'a> {
    account: AccountId,
    role: &'a str,
    session: &'a str,
    policy: Option<&'a str>,
    external_id: Option<&'a str>,
    source_identity: Option<&'a str>,
}

fn asked<'a>(args: &Args<'a>) -> Result<Asked<'a>, Refusal> {
    let (account, role) = role_of(args.required("RoleArn")).ok_or_else(|| Refusal::new(&c::ROLE_ARN))?;
    let session = args.required("RoleSessionName");
    if !session_name(session) {
        return Err(Refusal::new(&c::ROLE_SESSION_NAME));
    }
    let policy = args.text("Policy");
    if let Some(document) = policy {
        if document.chars().count() > SESSION_DOCUMENT_CHARS_MAX {
            return Err(Refusal::new(&c::SESSION_POLICY_SIZE));
        }
        Policy::accept(document)
            .map_err(|error| Refusal::new(&c::SESSION_POLICY_GRAMMAR).because(error.to_string()))?;
    }
    let external_id_given = args.text("ExternalId");
    if external_id_given.is_some_and(|id| !external_id(id)) {
        return Err(args.illegal("ExternalId", ""));
    }
    let source_identity = args.text("SourceIdentity");
    if source_identity.is_some_and(|text| !session_name(text)) {
        return Err(args.illegal("SourceIdentity", ""));
    }
    let account = AccountId::new(account);
    Ok(Asked { account, role, session, policy, external_id: external_id_given, source_identity })
}

fn assume(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let asked = asked(args)?;
    let caller = match &call.principal.identity {
        Identity::Root => return Err((&c::ROOT_ASSUMES).into()),
        Identity::User { name, .. } => TrustCaller::User(name),
        Identity::Session(session) => TrustCaller::Role(&session.role),
    };
    let own = asked.account == call.principal.account;
    let untrusting = |explicit| {
        let denial = Denial { explicit, by: DeniedBy::Trust };
        Failure::from(denial.explained(Refusal::new(&c::ROLE_UNTRUSTING), &call.principal, ACTION))
    };
    let role = match snapshot.role(&asked.account, asked.role)? {
        Some(role) if own || snapshot.account_active(&asked.account)? => role,
        // Whether another account has such a role is not told.
        Some(_) => return Err(untrusting(false)),
        None if own => return Err((&c::ROLE_NOT_FOUND_STS).into()),
        None => return Err(untrusting(false)),
    };
    snapshot.vouch(Bearer::Role(role.seq))?;
    let trust = TrustPolicy::parse(&role.trust)
        .map_err(|error| Failure::Internal(format!("trust policy of role `{}`: {error}", role.id)))?;
    let keys: Vec<(&str, &str)> =
        [("sts:externalid", asked.external_id), ("sts:sourceidentity", asked.source_identity)]
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
    let request = TrustRequest {
        action: ACTION,
        account: call.principal.account.as_str(),
        caller,
        context: &call.circumstances(&keys),
    };
    match trust.decide(&request, &Budget::default()) {
        Ok(Decision::Allow) => {}
        Ok(Decision::ExplicitDeny) => return Err(untrusting(true)),
        Ok(Decision::ImplicitDeny) => return Err(untrusting(false)),
        Err(Exhausted) => return Err(too_costly(&call.principal, ACTION).into()),
    }
    let longest = u64::from(role.max_session_seconds);
    let seconds = match args.text("DurationSeconds") {
        None => USUAL.min(longest),
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| (SHORTEST..=longest).contains(seconds))
            .ok_or_else(|| Refusal::new(&c::DURATION_SECONDS))?,
    };
    let expires = call.now_ms.div_euclid(1000) + i64::try_from(seconds).unwrap_or(0);
    let grant = Grant {
        access_key: Tokens::new_access_key(),
        account: asked.account.to_string(),
        role_id: role.id.clone(),
        session: asked.session.to_owned(),
        expires,
        policy: asked.policy.map(str::to_owned),
        source_identity: asked.source_identity.map(str::to_owned),
    };
    let credentials = call
        .authority
        .tokens()
        .issue(&grant)
        .map_err(|error| Failure::Internal(format!("making a security token: {error}")))?;
    call.reply(&Assumed {
        request_id: &call.request_id,
        credentials: Shown {
            access_key_id: &credentials.access_key,
            access_key_secret: credentials.secret.expose(),
            security_token: &credentials.token,
            expiration: iso8601_seconds(expires),
        },
        assumed_role_user: RoleUser {
            arn: format!("acs:ram::{}:role/{}/{}", asked.account, role.name, asked.session),
            assumed_role_id: format!("{}:{}", role.id, asked.session),
        },
        source_identity: asked.source_identity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_roles() {
        assert_eq!(role_of("acs:ram::1234567890123456:role/ops"), Some(("1234567890123456", "ops")));
        for bad in [
            "",
            "acs:ram::1234567890123456:user/ops",
            "acs:ram:*:1234567890123456:role/ops",
            "acs:ram::*:role/ops",
            "acs:ram:::role/ops",
            "acs:ram::1234567890123456:role/",
            "acs:ram::1234567890123456:role/*",
            "acs:ram::1234567890123456:role/a/b",
            "acs:ram::1234567890123456:role/ops ",
            "ACS:ram::1234567890123456:role/ops",
            "acs:ram::1:role/2:role/ops",
        ] {
            assert_eq!(role_of(bad), None, "{bad}");
        }
    }
}
