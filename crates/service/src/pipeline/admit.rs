//! Whose request it is, and whether it may come in: key, token, freshness, signature, nonce, rate.
//!
//! The nonce is looked at only after the signature matched, else a stranger could burn nonces; the rate is asked
//! only for a nonce that was not used, else a replay could use up the rate; and the nonce is taken only when the
//! rate agrees, so that a throttled request has no effect at all: it takes no place and may be sent again as it is.
//! Where a database has to be asked about the nonce, the place in the rate is taken before and given back if the
//! nonce was used, which comes to the same.
//! What is refused up to the signature counts against its source ([`Failures`]).

use std::sync::Arc;

use tongguan_model::principal::{Identity, Principal};
use tongguan_rpc::{Family, Incoming, Verified, WireError};
use tongguan_store::{Admission, Entry, Moment, NonceError, NotAdmitted, Owner};
use tracing::warn;

use crate::authority::{Authority, Known};
use crate::catalogue::{self, Refusal};
use crate::context::Context;
use crate::failure::Failure;
use crate::seldom::Seldom;
use crate::throttle::{Failures, Throttle, WEIGHED_BYTES};
use crate::token::{TEMPORARY, Unread};

use crate::access::Peer;

/// How far a request's time may be off, seconds, either way.
pub const SKEW_SECONDS: i64 = 15 * 60;
/// What the gate needs.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) authority: Arc<Authority>,
    pub(crate) admission: Admission,
    pub(crate) throttle: Throttle,
    pub(crate) failures: Failures,
}

/// A request whose signature is right and fresh, and who signed it.
pub(crate) struct Proven<'r, 'a> {
    pub(crate) known: Arc<Known>,
    pub(crate) verified: Verified<'r, 'a>,
    pub(crate) owner: Owner,
    bytes: usize,
    /// When it can be accepted no more, UNIX seconds.
    expires: i64,
}

/// Why a request is not let in.
pub(crate) enum Turned {
    /// It may be somebody else's doing: who signed it is not proved, or it is a replay.
    Unproven(Failure),
    /// It is its signer's: the rate, or his share of nonces; or the log cannot be written.
    Known(Arc<Principal>, Failure),
}

/// How often the signer is looked up anew because of a change of rights between the look-up and the admission.
const LOOKUPS: u32 = 8;

impl Gate {
    /// Who signed the request, if the signature is right and fresh, and it is let in.
    pub(crate) async fn enter<'r, 'a>(
        &self,
        context: &Context,
        incoming: &'r Incoming<'a>,
        peer: Peer,
        now_ms: i64,
    ) -> Result<Proven<'r, 'a>, Turned> {
        let steady_ms = context.clock.steady_ms();
        let signed_ms = now_ms - context.clock.ahead_ms();
        let mut lookups = 1;
        loop {
            let proven = self.prove(context, incoming, peer, now_ms).map_err(Turned::Unproven)?;
            let principal = || Arc::clone(&proven.known.key.principal);
            match self.admit(context, &proven, signed_ms, steady_ms).await {
                Ok(()) => return Ok(proven),
                Err(NotAdmitted::Nonce(refused)) => return Err(turned(refused, principal)),
                Err(NotAdmitted::Stale) if lookups < LOOKUPS => lookups += 1,
                Err(NotAdmitted::Stale) => {
                    let busy = "the rights of the signer change all the time".to_owned();
                    return Err(Turned::Known(principal(), Failure::Unavailable(busy)));
                }
            }
        }
    }

    /// Who signed the request, if the signature is right and fresh. What is not counts against its source.
    fn prove<'r, 'a>(
        &self,
        context: &Context,
        incoming: &'r Incoming<'a>,
        peer: Peer,
        now_ms: i64,
    ) -> Result<Proven<'r, 'a>, Failure> {
        let proven = self.find_signer(context, incoming, peer, now_ms);
        proven.map_err(|failure| match failure {
            Failure::Refused(refusal) => {
                let key = incoming.access_key_id();
                self.unproven(context, peer, key, incoming.bytes(), *refusal)
            }
            failure => failure,
        })
    }

    /// Counts a request without a valid signature. A source with too many of them gets no details.
    pub(crate) fn unproven(
        &self,
        context: &Context,
        peer: Peer,
        key: Option<&str>,
        bytes: usize,
        refusal: Refusal,
    ) -> Failure {
        let steady_ms = context.clock.steady_ms();
        if !self.failures.note(peer.address, key, bytes, steady_ms) {
            return refusal.into();
        }
        static UNSIGNED: Seldom = Seldom::new();
        if UNSIGNED.now() {
            let source = peer.address;
            warn!(%source, access_key = key.map(super::cut), "a source sends many requests that nobody signed");
        }
        (&catalogue::THROTTLING).into()
    }

    fn find_signer<'r, 'a>(
        &self,
        context: &Context,
        incoming: &'r Incoming<'a>,
        peer: Peer,
        now_ms: i64,
    ) -> Result<Proven<'r, 'a>, Failure> {
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
        let now = (now_ms - context.clock.ahead_ms()).div_euclid(1000);
        let time = incoming.timestamp().map_err(wire)?;
        if (now - time).abs() > SKEW_SECONDS || time < self.admission.not_before() {
            return Err(Refusal::new(&catalogue::TIMESTAMP_EXPIRED).into());
        }
        let (bytes, owner) = (incoming.bytes(), owner(&known.key.principal));
        if bytes > WEIGHED_BYTES {
            // What takes long to verify is not verified for a source or a signer that is over its rate anyway.
            let steady_ms = context.clock.steady_ms();
            if self.failures.exceeds(peer.address, Some(id), steady_ms) {
                return Err((&catalogue::THROTTLING).into());
            }
            if self.throttle.exceeds(owner, cost(bytes), steady_ms) {
                return Err((&catalogue::THROTTLING_USER).into());
            }
        }
        let verified = incoming.verify(&known.key.credential).map_err(wire)?;
        Ok(Proven { known, verified, owner, bytes, expires: time + SKEW_SECONDS })
    }

    /// Lets a signed request in: once, at the rate of its account and principal, within their share of nonces, if
    /// what is known of its signer still holds. `now_ms` is the moment by the clocks that clients sign by.
    async fn admit(
        &self,
        context: &Context,
        proven: &Proven<'_, '_>,
        now_ms: i64,
        steady_ms: i64,
    ) -> Result<(), NotAdmitted> {
        let nonce = proven.verified.nonce().unwrap_or_default();
        let moment = Moment { unix: now_ms.div_euclid(1000), steady: steady_ms.div_euclid(1000) };
        let rate = || self.throttle.take(proven.owner, cost(proven.bytes), steady_ms);
        let give_back = |place| self.throttle.give_back(&place, context.clock.steady_ms());
        let entry = Entry {
            owner: proven.owner,
            key: proven.verified.access_key_id(),
            nonce,
            now: moment,
            expires: proven.expires,
            epochs: proven.known.epochs(),
        };
        self.admission.admit(entry, rate, give_back).await
    }

    /// Makes the nonces taken outlive the process: before an effect, and before an answer.
    pub(crate) fn keep_nonces(&self) -> Result<(), Failure> {
        self.admission.keep().map_err(|error| unlogged(&error))
    }
}

/// How a signed request is turned away whose nonce was not taken.
fn turned(refused: NonceError, principal: impl FnOnce() -> Arc<Principal>) -> Turned {
    let failure = match refused {
        NonceError::Used => return Turned::Unproven((&catalogue::NONCE_USED).into()),
        NonceError::Forgotten => return Turned::Unproven((&catalogue::TIMESTAMP_EXPIRED).into()),
        NonceError::Refused => (&catalogue::THROTTLING_USER).into(),
        NonceError::Full => {
            let detail = "(The share of signature nonces is used up: quota `nonces`.)";
            Refusal::new(&catalogue::THROTTLING_USER).because(detail).into()
        }
        NonceError::Log(error) => unlogged(&error),
    };
    Turned::Known(principal(), failure)
}

/// As how many requests one of so many bytes counts.
fn cost(bytes: usize) -> u32 {
    u32::try_from(bytes / WEIGHED_BYTES).unwrap_or(u32::MAX).saturating_add(1)
}

/// Whose share a principal uses: the account's own, a user's, or a role's, whatever its sessions are called.
pub(crate) fn owner(principal: &Principal) -> Owner {
    let account = principal.account.as_str();
    match &principal.identity {
        Identity::Root => Owner::root(account),
        Identity::User { name, .. } => Owner::principal(account, "user", name),
        Identity::Session(session) => Owner::principal(account, "role", &session.role),
    }
}

/// A full disk, most likely: without the log a request could be replayed.
fn unlogged(error: &dyn std::fmt::Display) -> Failure {
    Failure::Unavailable(format!("nonce log: {error}"))
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
