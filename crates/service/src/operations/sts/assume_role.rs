//! AssumeRole: temporary credentials of a role. Source: `docs/api/sts/AssumeRole.json`.
//!
//! Two sides must allow it: the caller's policies (checked like every permission, before this file is reached)
//! and the role's trust policy. The account itself may not. Nothing is stored: the token says it all
//! ([`crate::token`]), and what the role may do is looked up with each later call.
//!
//! A session may assume a role too. What it makes has its origin and its source identity, lives an hour at most, and
//! ends with the chain ([`crate::provenance`]).

use serde::Serialize;
use tongguan_model::id::AccountId;
use tongguan_model::limits::Quotas;
use tongguan_model::policy::{
    Budget, Decision, Exhausted, Policy, SESSION_DOCUMENT_CHARS_MAX, TrustCaller, TrustPolicy, TrustRequest,
};
use tongguan_model::principal::Identity;
use tongguan_store::{Bearer, RoleRow, Snapshot};

use crate::access::{Denial, DeniedBy, too_costly};
use crate::args::{self, Args};
use crate::call::{Call, Reply};
use crate::catalogue::{self as c, Refusal};
use crate::context::{Context, iso8601_seconds};
use crate::operation::{
    Condition, DryRun, Failure, Handler, Operation, Part, Product, Shape, optional, required,
};
use crate::operations::ram::policies;
use crate::provenance::{Grant, Lineage, Step};
use crate::token::Tokens;

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
    arns: &[&[Part::Parameter("RoleArn")]],
    conditions: &[
        Condition { key: "sts:externalid", parameter: "ExternalId", service_of_role: false },
        Condition { key: "sts:sourceidentity", parameter: "SourceIdentity", service_of_role: false },
    ],
    parameters: &[
        required("RoleArn", Shape::Text, "acs:ram::<account>:role/<name>; may be another account's."),
        required("RoleSessionName", Shape::Text, "2 to 64 letters, digits, `.`, `@`, `-`, `_`."),
        optional(
            "DurationSeconds",
            Shape::Integer,
            "900 to the role's MaxSessionDuration; at most 3600 if a session calls. Default 3600, or the longest if that is less.",
        ),
        optional(
            "Policy",
            Shape::Json,
            "Session policy, at most 2048 characters: what it does not allow is denied.",
        ),
        optional("ExternalId", Shape::Text, "2 to 1224 characters, for the condition key sts:ExternalId."),
        optional(
            "SourceIdentity",
            Shape::Text,
            "2 to 64 letters, digits, `.`, `@`, `-`, `_`. What a session makes has that of the session.",
        ),
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
        &c::ROLE_CHAIN,
        &c::SOURCE_IDENTITY_HELD,
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
    /// What of that policy has no effect here.
    warnings: Vec<String>,
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
    let mut warnings = Vec::new();
    if let Some(document) = policy {
        if document.chars().count() > SESSION_DOCUMENT_CHARS_MAX {
            return Err(Refusal::new(&c::SESSION_POLICY_SIZE));
        }
        let accepted = Policy::accept(document)
            .map_err(|error| Refusal::new(&c::SESSION_POLICY_GRAMMAR).because(error.to_string()))?;
        warnings = policies::warnings("Policy", &accepted);
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
    Ok(Asked { account, role, session, policy, warnings, external_id: external_id_given, source_identity })
}

fn assume(
    context: &Context,
    call: &Call,
    args: &Args<'_>,
    snapshot: &Snapshot<'_>,
) -> Result<Reply, Failure> {
    let asked = asked(args)?;
    let caller = match &call.principal.identity {
        Identity::Root => return Err((&c::ROOT_ASSUMES).into()),
        Identity::User { name, .. } => TrustCaller::User(name),
        Identity::Session(session) => TrustCaller::Role(&session.role),
    };
    let lineage = lineage(context, call, snapshot)?.identify(asked.source_identity)?;
    let (role, account_from) = trusting(call, &asked, caller, &lineage, snapshot)?;
    let now = call.now_ms.div_euclid(1000);
    let grant = Grant {
        access_key: Tokens::new_access_key(),
        session: asked.session.to_owned(),
        issued_ms: call.now_ms,
        expires: end(&context.settings.quotas, now, role.max_session_seconds, args, &lineage)?,
        role: Step::to(&role, account_from),
        policy: asked.policy.map(str::to_owned),
        lineage,
    };
    let credentials = call
        .authority
        .tokens()
        .issue(&grant)
        .map_err(|error| Failure::Internal(format!("making a security token: {error}")))?;
    let mut reply = call.reply(&Assumed {
        request_id: &call.request_id,
        credentials: Shown {
            access_key_id: &credentials.access_key,
            access_key_secret: credentials.secret.expose(),
            security_token: &credentials.token,
            expiration: iso8601_seconds(grant.expires),
        },
        assumed_role_user: RoleUser {
            arn: format!("acs:ram::{}:role/{}/{}", asked.account, role.name, asked.session),
            assumed_role_id: format!("{}:{}", role.id, asked.session),
        },
        source_identity: grant.lineage.source_identity.as_deref(),
    })?;
    reply.issued = Some(credentials.access_key);
    reply.warnings = asked.warnings;
    Ok(reply)
}

/// Whence the new session comes: from a user's key, or from the session that calls.
fn lineage(context: &Context, call: &Call, snapshot: &Snapshot<'_>) -> Result<Lineage, Failure> {
    if let Some(grant) = call.known.grant() {
        return Ok(grant.further(&context.settings.quotas)?);
    }
    let origin = call.authority.origin(snapshot, &call.known)?;
    // It was active when the call was authenticated, a moment ago.
    let origin = origin.ok_or(&c::ACCESS_KEY_INACTIVE)?;
    Ok(Lineage::first(origin, call.now_ms))
}

/// The role, which must trust the caller, and the number of its account.
fn trusting(
    call: &Call,
    asked: &Asked<'_>,
    caller: TrustCaller<'_>,
    lineage: &Lineage,
    snapshot: &Snapshot<'_>,
) -> Result<(RoleRow, i64), Failure> {
    let own = asked.account == call.principal.account;
    let untrusting = |explicit| {
        let denial = Denial { explicit, by: DeniedBy::Trust };
        Failure::from(denial.explained(Refusal::new(&c::ROLE_UNTRUSTING), &call.principal, ACTION))
    };
    let account = snapshot.account_sessions_from(&asked.account)?;
    let (role, account) = match (snapshot.role(&asked.account, asked.role)?, account) {
        (Some(role), Some(account)) => (role, account),
        (None, _) if own => return Err((&c::ROLE_NOT_FOUND_STS).into()),
        // Whether another account has such a role is not told.
        (Some(_) | None, _) => return Err(untrusting(false)),
    };
    snapshot.vouch(Bearer::Role(role.seq))?;
    let trust = TrustPolicy::parse(&role.trust)
        .map_err(|error| Failure::Internal(format!("trust policy of role `{}`: {error}", role.id)))?;
    let identity = lineage.source_identity.as_deref();
    let keys: Vec<(&str, &str)> = [("sts:externalid", asked.external_id), ("sts:sourceidentity", identity)]
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
        Ok(Decision::Allow) => Ok((role, account)),
        Ok(Decision::ExplicitDeny) => Err(untrusting(true)),
        Ok(Decision::ImplicitDeny) => Err(untrusting(false)),
        Err(Exhausted) => Err(too_costly(&call.principal, ACTION).into()),
    }
}

/// When the session ends, UNIX seconds. What another session made lives shorter, and no longer than its chain.
fn end(quotas: &Quotas, now: i64, longest: u32, args: &Args<'_>, lineage: &Lineage) -> Result<i64, Refusal> {
    let chained = lineage.depth > 1;
    let longest = u64::from(longest).min(if chained { quotas.session_chained_seconds } else { u64::MAX });
    if longest < SHORTEST {
        return Err(Refusal::new(&c::ROLE_CHAIN).because("Sessions may assume no roles here."));
    }
    let seconds = match args.text("DurationSeconds") {
        None => USUAL.min(longest),
        Some(text) => args::digits(text)
            .filter(|seconds| (SHORTEST..=longest).contains(seconds))
            .ok_or_else(|| Refusal::new(&c::DURATION_SECONDS))?,
    };
    let end = now.saturating_add_unsigned(seconds);
    if !chained {
        return Ok(end);
    }
    let last = lineage.first_ms.div_euclid(1000).saturating_add_unsigned(quotas.session_chain_seconds);
    if last <= now {
        return Err(Refusal::new(&c::ROLE_CHAIN).because("Its first session is as long ago as it may be."));
    }
    Ok(end.min(last))
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
