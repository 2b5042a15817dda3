//! From bytes to a verified [`Call`](crate::call::Call): the first part of the order of checks.
//!
//! size and shape → common parameters → access key known and active → security token → signature
//! method → time well formed and fresh → signature → nonce unused → the account's rate → version and
//! action → permission.
//! The nonce is recorded only after the signature matched, else a stranger could burn nonces.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value};
use tongguan_model::policy::{AccessRequest, Context as PolicyContext, Decision};
use tongguan_model::principal::{Identity, Principal};
use tongguan_rpc::{Family, Incoming, WireError};
use tongguan_store::{Moment, NonceError, NonceLog};

use crate::args::Args;
use crate::catalogue::{self, Refusal};
use crate::context::iso8601;
use crate::keyring::{Key, Keyring};
use crate::operation::{self, Failure, Operation, Product};

/// How far a request's time may be off, seconds, either way.
pub const SKEW_SECONDS: i64 = 15 * 60;

/// Temporary access keys begin with this.
const TEMPORARY: &str = "STS.";

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Address of the client.
    pub address: IpAddr,
    /// Whether it came over TLS.
    pub secure: bool,
}

/// What the gate needs.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) keyring: Keyring,
    pub(crate) nonces: NonceLog,
}

impl Gate {
    /// Who signed the request, if the signature is right and fresh.
    pub(crate) fn authenticate(
        &self,
        incoming: &Incoming<'_>,
        now_ms: i64,
        steady_ms: i64,
    ) -> Result<Arc<Principal>, Failure> {
        if incoming.family() == Family::Bearer {
            return Err(Refusal::new(&catalogue::BEARER_UNSUPPORTED).into());
        }
        incoming.require_common().map_err(wire)?;
        let id = incoming.access_key_id().unwrap_or_default();
        let token = incoming.security_token();
        if id.starts_with(TEMPORARY) {
            // No temporary key has been issued: what is one, is told by its token.
            return Err(match token {
                None => Refusal::new(&catalogue::TOKEN_MISSING).into(),
                Some(_) => Refusal::new(&catalogue::TOKEN_MALFORMED).into(),
            });
        }
        let key = self.key(id)?;
        if token.is_some() {
            return Err(Refusal::new(&catalogue::TOKEN_MALFORMED).into());
        }
        incoming.signature_method().map_err(wire)?;
        let now = now_ms.div_euclid(1000);
        let time = incoming.timestamp().map_err(wire)?;
        if (now - time).abs() > SKEW_SECONDS || time < self.nonces.not_before() {
            return Err(Refusal::new(&catalogue::TIMESTAMP_EXPIRED).into());
        }
        incoming.verify(&key.credential).map_err(wire)?;
        let nonce = incoming.nonce().unwrap_or_default();
        let moment = Moment { unix: now, steady: steady_ms.div_euclid(1000) };
        match self.nonces.take(id, nonce, moment, time + SKEW_SECONDS) {
            Ok(()) => Ok(Arc::clone(&key.principal)),
            Err(NonceError::Used) => Err(Refusal::new(&catalogue::NONCE_USED).into()),
            Err(NonceError::Forgotten) => Err(Refusal::new(&catalogue::TIMESTAMP_EXPIRED).into()),
            Err(NonceError::Full(_)) => Err(Refusal::new(&catalogue::THROTTLING_USER).into()),
            Err(NonceError::Log(error)) => Err(unlogged(&error)),
        }
    }

    /// Makes the nonces taken outlive the process: before an effect, and before an answer.
    pub(crate) fn write_nonces(&self) -> Result<(), Failure> {
        self.nonces.write().map_err(|error| unlogged(&error))
    }

    fn key(&self, id: &str) -> Result<&Key, Refusal> {
        let key = self.keyring.get(id).ok_or_else(|| Refusal::new(&catalogue::ACCESS_KEY_NOT_FOUND))?;
        if key.active { Ok(key) } else { Err(Refusal::new(&catalogue::ACCESS_KEY_INACTIVE)) }
    }
}

/// A full disk, most likely: without the log a request could be replayed.
fn unlogged(error: &dyn std::fmt::Display) -> Failure {
    Failure::Unavailable(format!("nonce log: {error}"))
}

/// The operation that a verified request asks for.
pub(crate) fn route(incoming: &Incoming<'_>) -> Result<&'static Operation, Refusal> {
    let given = |value: Option<&str>, name: &'static str| match value {
        Some(value) if !value.is_empty() => Ok(value.to_owned()),
        Some(_) | None => Err(Refusal::new(&catalogue::MISSING).parameter(name)),
    };
    let version = given(incoming.version(), "Version")?;
    let action = given(incoming.action(), "Action")?;
    let product = Product::of_version(&version).ok_or_else(|| Refusal::new(&catalogue::INVALID_VERSION))?;
    operation::find(product, &action).ok_or_else(|| Refusal::new(&catalogue::ACTION_NOT_FOUND))
}

/// Refuses what the principal's policies do not allow.
pub(crate) fn authorise(
    principal: &Principal,
    operation: &Operation,
    args: &Args<'_>,
    peer: Peer,
    now_ms: i64,
) -> Result<(), Refusal> {
    let (Some(action), Identity::User { id, policies, .. }) = (operation.permission, &principal.identity)
    else {
        return Ok(());
    };
    let resource = resource(operation, principal, args);
    let mut context = PolicyContext::new();
    context.insert("acs:SourceIp", peer.address.to_string());
    context.insert("acs:SecureTransport", peer.secure.to_string());
    context.insert("acs:CurrentTime", iso8601(now_ms));
    context.insert("acs:MFAPresent", "false");
    context.insert("acs:PrincipalArn", principal.arn());
    let decision = policies.decide(&AccessRequest { action, resource: &resource, context: &context });
    let kind = match decision {
        Decision::Allow => return Ok(()),
        Decision::ExplicitDeny => "ExplicitDeny",
        Decision::ImplicitDeny => "ImplicitDeny",
    };
    let code = match operation.product {
        Product::Kms => &catalogue::FORBIDDEN_KMS,
        Product::Vpc | Product::Location => &catalogue::FORBIDDEN,
        Product::Sts => &catalogue::NO_PERMISSION_STS,
        Product::Ram | Product::ResourceManager => &catalogue::NO_PERMISSION,
    };
    let mut refusal = Refusal::new(code);
    let members: [(&str, &str); 6] = [
        ("AuthAction", action),
        ("AuthPrincipalType", "SubUser"),
        ("AuthPrincipalOwnerId", principal.account.as_str()),
        ("AuthPrincipalDisplayName", id),
        ("NoPermissionType", kind),
        ("PolicyType", "AccountLevelIdentityBasedPolicy"),
    ];
    refusal.access_denied = Some(
        members.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>(),
    );
    Err(refusal)
}

/// Fills the slots of an operation's ARN: `{accountId}`, and parameters by name.
fn resource(operation: &Operation, principal: &Principal, args: &Args<'_>) -> String {
    let mut arn = String::with_capacity(96);
    let mut rest = operation.resource;
    while let Some((before, after)) = rest.split_once('{') {
        let (slot, after) = after.split_once('}').unwrap_or((after, ""));
        arn.push_str(before);
        arn.push_str(match slot {
            "accountId" => principal.account.as_str(),
            parameter => args.raw(parameter).unwrap_or("*"),
        });
        rest = after;
    }
    arn.push_str(rest);
    arn
}

/// Gives each fault of the wire its code.
pub(crate) fn wire(error: WireError) -> Refusal {
    let malformed =
        |error: &WireError| Refusal::new(&catalogue::REQUEST_MALFORMED).because(format!("({error})"));
    match error {
        WireError::Missing(name) => Refusal::new(&catalogue::MISSING).parameter(name),
        WireError::SignatureMethod(_) => Refusal::new(&catalogue::SIGNATURE_METHOD),
        WireError::SignatureVersion(_) => Refusal::new(&catalogue::SIGNATURE_VERSION),
        WireError::TimestampFormat => Refusal::new(&catalogue::TIMESTAMP_FORMAT),
        WireError::IncompleteSignature(detail) => {
            Refusal::new(&catalogue::SIGNATURE_INCOMPLETE).because(format!("({detail})"))
        }
        WireError::SignatureMismatch { string_to_sign } => {
            Refusal::new(&catalogue::SIGNATURE_MISMATCH).whole_value(string_to_sign)
        }
        WireError::Method => Refusal::new(&catalogue::METHOD_UNSUPPORTED),
        WireError::TooManyParameters { .. }
        | WireError::NameTooLong { .. }
        | WireError::ValueTooLong { .. }
        | WireError::Encoding(_)
        | WireError::UnsupportedMediaType(_)
        | WireError::Path
        | WireError::ConflictingParameter(_)
        | WireError::Unsupported(_) => malformed(&error),
    }
}
