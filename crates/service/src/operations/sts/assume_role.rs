//! AssumeRole: temporary credentials of a role. Source: `docs/api/sts/AssumeRole.json`.
//!
//! Two sides must allow it: the caller's policies (checked like every permission, before this file is reached)
//! and the role's trust policy. The account itself may not. Nothing is stored: the token says it all
//! ([`crate::token`]), and what the role may do is looked up with each later call.
//!
//! A session may assume a role too. What it makes has its origin and its source identity, lives an hour at most, and
//! ends with the chain ([`crate::provenance`]).

use tongguan_model::id::AccountId;
use tongguan_model::policy::{
    Budget, Decision, Exhausted, SESSION_DOCUMENT_CHARS_MAX, TrustCaller, TrustPolicy, TrustRequest,
};
use tongguan_model::principal::Identity;
use tongguan_store::{Bearer, RoleRow};

use crate::access::{Denial, DeniedBy, too_costly};
use crate::api::sts::{AssumeRole, AssumeRoleAssumedRoleUser, AssumeRoleCredentials, AssumeRoleOutput};
use crate::args::{self, Args};
use crate::context::iso8601_seconds;
use crate::operation::prelude::*;
use crate::operations::ram::policies::Document;
use crate::provenance::{Grant, Lineage, Step};
use crate::token::Tokens;

/// Action that a trust policy must allow.
const ACTION: &str = "sts:AssumeRole";
/// Shortest life of a session, seconds.
const SHORTEST: u64 = 900;
/// Life of a session that names none, seconds.
const USUAL: u64 = 3_600;

/// A role that is named by its ARN.
#[derive(Debug, Clone)]
pub struct NamedRole {
    /// Its account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
}

/// The role that is wanted.
pub(crate) fn role(args: &Args<'_>, name: &'static str) -> Result<NamedRole, Refusal> {
    let (account, name) = role_of(args.required(name)).ok_or_else(|| Refusal::new(&c::ROLE_ARN))?;
    Ok(NamedRole { account: AccountId::new(account), name: name.to_owned() })
}

/// The session policy.
pub(crate) fn policy(args: &Args<'_>, name: &'static str) -> Result<Option<Document>, Refusal> {
    let Some(document) = args.text(name) else { return Ok(None) };
    if document.chars().count() > SESSION_DOCUMENT_CHARS_MAX {
        return Err(Refusal::new(&c::SESSION_POLICY_SIZE));
    }
    let accepted = Document::accept(name, document)
        .map_err(|error| Refusal::new(&c::SESSION_POLICY_GRAMMAR).because(error.to_string()))?;
    Ok(Some(accepted))
}

/// The account and the name in a role's ARN.
fn role_of(arn: &str) -> Option<(&str, &str)> {
    let (account, name) = arn.strip_prefix("acs:ram:")?.strip_prefix(':')?.split_once(":role/")?;
    let digits = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (digits && (1..=64).contains(&name.len()) && name.bytes().all(plain)).then_some((account, name))
}

/// Whether a text may name a session, or who is behind it.
pub(crate) fn session_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'@' | b'-' | b'_');
    (2..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether a text may be an `ExternalId`.
pub(crate) fn external_id(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
    (2..=1_224).contains(&text.len()) && text.chars().all(plain)
}

impl Read for AssumeRole {
    type Output = AssumeRoleOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let caller = match &call.principal.identity {
            Identity::Root => return Err((&c::ROOT_ASSUMES).into()),
            Identity::User { name, .. } => TrustCaller::User(name),
            Identity::Session(session) => TrustCaller::Role(&session.role),
        };
        let lineage = lineage(call, snapshot)?.identify(self.source_identity.as_deref())?;
        let (role, account_from) = self.trusting(call, caller, &lineage, snapshot)?;
        let grant = Grant {
            access_key: Tokens::new_access_key(),
            session: self.role_session_name.clone(),
            issued_ms: call.now_ms,
            expires: self.end(call, role.max_session_seconds, &lineage)?,
            role: Step::to(&role, account_from),
            policy: self.policy.as_ref().map(|policy| policy.text().to_owned()),
            lineage,
        };
        let credentials = call
            .authority
            .tokens()
            .issue(&grant)
            .map_err(|error| Failure::Internal(format!("making a security token: {error}")))?;
        Ok(Self::Output {
            credentials: AssumeRoleCredentials {
                access_key_id: credentials.access_key.into(),
                access_key_secret: credentials.secret.expose().into(),
                security_token: credentials.token.into(),
                expiration: iso8601_seconds(grant.expires).into(),
            },
            assumed_role_user: AssumeRoleAssumedRoleUser {
                arn: format!("acs:ram::{}:role/{}/{}", self.role_arn.account, role.name, grant.session)
                    .into(),
                assumed_role_id: format!("{}:{}", role.id, grant.session).into(),
            },
            source_identity: grant.lineage.source_identity.map(Into::into),
        })
    }

    fn warnings(&self) -> Vec<String> {
        self.policy.as_ref().map(Document::warnings).unwrap_or_default()
    }

    fn issued(output: &Self::Output) -> Option<String> {
        Some(output.credentials.access_key_id.to_string())
    }
}

/// Whence the new session comes: from a user's key, or from the session that calls.
fn lineage(call: &Call, snapshot: &Snapshot<'_>) -> Result<Lineage, Failure> {
    if let Some(grant) = call.known.grant() {
        return Ok(grant.further(&call.context.settings.quotas)?);
    }
    let origin = call.authority.origin(snapshot, &call.known)?;
    // It was active when the call was authenticated, a moment ago.
    let origin = origin.ok_or(&c::ACCESS_KEY_INACTIVE)?;
    Ok(Lineage::first(origin, call.now_ms))
}

impl AssumeRole {
    /// The role, which must trust the caller, and the number of its account.
    fn trusting(
        &self,
        call: &Call,
        caller: TrustCaller<'_>,
        lineage: &Lineage,
        snapshot: &Snapshot<'_>,
    ) -> Result<(RoleRow, i64), Failure> {
        let NamedRole { account, name } = &self.role_arn;
        let own = *account == call.principal.account;
        let untrusting = |explicit| {
            let denial = Denial { explicit, by: DeniedBy::Trust };
            Failure::from(denial.explained(Refusal::new(&c::ROLE_UNTRUSTING), &call.principal, ACTION))
        };
        let account_from = snapshot.account_sessions_from(account)?;
        let (role, account_from) = match (snapshot.role(account, name)?, account_from) {
            (Some(role), Some(account_from)) => (role, account_from),
            (None, _) if own => return Err((&c::ROLE_NOT_FOUND_STS).into()),
            // Whether another account has such a role is not told.
            (Some(_) | None, _) => return Err(untrusting(false)),
        };
        snapshot.vouch(Bearer::Role(role.seq))?;
        let trust = TrustPolicy::parse(&role.trust)
            .map_err(|error| Failure::Internal(format!("trust policy of role `{}`: {error}", role.id)))?;
        let (external, identity) = (self.external_id.as_deref(), lineage.source_identity.as_deref());
        let keys: Vec<(&str, &str)> = [("sts:externalid", external), ("sts:sourceidentity", identity)]
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
            Ok(Decision::Allow) => Ok((role, account_from)),
            Ok(Decision::ExplicitDeny) => Err(untrusting(true)),
            Ok(Decision::ImplicitDeny) => Err(untrusting(false)),
            Err(Exhausted) => Err(too_costly(&call.principal, ACTION).into()),
        }
    }

    /// When the session ends, UNIX seconds. What another session made lives shorter, and no longer than its chain.
    fn end(&self, call: &Call, longest: u32, lineage: &Lineage) -> Result<i64, Refusal> {
        let (quotas, now) = (&call.context.settings.quotas, call.now_ms.div_euclid(1000));
        let chained = lineage.depth > 1;
        let longest = u64::from(longest).min(if chained { quotas.session_chained_seconds } else { u64::MAX });
        if longest < SHORTEST {
            return Err(Refusal::new(&c::ROLE_CHAIN).because("Sessions may assume no roles here."));
        }
        let seconds = match &self.duration_seconds {
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
            return Err(
                Refusal::new(&c::ROLE_CHAIN).because("Its first session is as long ago as it may be.")
            );
        }
        Ok(end.min(last))
    }
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
