//! From bytes to a verified [`Call`](crate::call::Call): the first part of the order of checks.
//!
//! size and shape → common parameters → access key known and active → security token → signature
//! method → time well formed and fresh → signature → nonce unused → the account's rate → version and
//! action → permission.
//! The nonce is recorded only after the signature matched, else a stranger could burn nonces.

use std::sync::Arc;

use tongguan_rpc::{Family, Incoming, WireError};
use tongguan_store::{Moment, NonceError, NonceLog};

use crate::authority::{Authority, Known};
use crate::catalogue::{self, Refusal};
use crate::context::Context;
use crate::operation::{self, Failure, Operation, Product};
use crate::token::{TEMPORARY, Unread};

pub use crate::access::Peer;

/// How far a request's time may be off, seconds, either way.
pub const SKEW_SECONDS: i64 = 15 * 60;

/// What the gate needs.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) authority: Arc<Authority>,
    pub(crate) nonces: NonceLog,
}

impl Gate {
    /// Who signed the request, if the signature is right and fresh.
    pub(crate) fn authenticate(
        &self,
        context: &Context,
        incoming: &Incoming<'_>,
        now_ms: i64,
        steady_ms: i64,
    ) -> Result<Arc<Known>, Failure> {
        if incoming.family() == Family::Bearer {
            return Err(Refusal::new(&catalogue::BEARER_UNSUPPORTED).into());
        }
        incoming.require_common().map_err(wire)?;
        let id = incoming.access_key_id().unwrap_or_default();
        let known = match (id.starts_with(TEMPORARY), incoming.security_token()) {
            (true, None) => return Err((&catalogue::TOKEN_MISSING).into()),
            (true, Some(token)) => self.authority.temporary_key(context, id, token, now_ms)?,
            (false, None) => self.authority.key(context, id)?,
            (false, Some(token)) => {
                // Whether the key exists is told first, as without a token.
                self.authority.key(context, id)?;
                let code = match self.authority.tokens().read(token) {
                    Ok(_) | Err(Unread::KeyGone) => &catalogue::TOKEN_MISMATCH_KEY,
                    Err(Unread::Malformed) => &catalogue::TOKEN_MALFORMED,
                };
                return Err(code.into());
            }
        };
        incoming.signature_method().map_err(wire)?;
        let now = now_ms.div_euclid(1000);
        let time = incoming.timestamp().map_err(wire)?;
        if (now - time).abs() > SKEW_SECONDS || time < self.nonces.not_before() {
            return Err(Refusal::new(&catalogue::TIMESTAMP_EXPIRED).into());
        }
        incoming.verify(&known.key.credential).map_err(wire)?;
        let nonce = incoming.nonce().unwrap_or_default();
        let moment = Moment { unix: now, steady: steady_ms.div_euclid(1000) };
        match self.nonces.take(id, nonce, moment, time + SKEW_SECONDS) {
            Ok(()) => Ok(known),
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
