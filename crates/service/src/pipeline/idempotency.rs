//! One ClientToken, one effect: a repeat of a call gets the answer of the first.

use tongguan_model::principal::Identity;
use tongguan_store::{NewToken, TokenName, Tx};

use crate::call::Call;
use crate::catalogue;
use crate::failure::Failure;
use crate::fingerprint::Fingerprint;
use crate::operation::{Answered, Change, Members};

/// What came of a change.
pub(super) enum Done {
    /// The change was made now, and is answered with this.
    Changed(Box<dyn Answered>),
    /// Nothing was changed: the answer of an earlier call under the same token, or of a dry run.
    Repeated(Box<dyn Answered>),
}

/// Which tokens are remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remembered {
    /// Those since this moment, UNIX milliseconds.
    pub(super) oldest_ms: i64,
    /// So many of an account.
    pub(super) most: u64,
}

impl Remembered {
    /// Refuses the call if its account, or its principal in it, has no room for one more token: a user has a part
    /// of what is left to others only, and the last eighth is the root key's.
    fn room(self, tx: &Tx<'_>, call: &Call) -> Result<(), Failure> {
        const PART: u64 = 4;
        let account = &call.principal.account;
        let held = tx.client_tokens(account)?;
        let room = match &call.principal.identity {
            Identity::Root => held < self.most,
            Identity::User { .. } | Identity::Session(_) => {
                let left = (self.most - self.most / 8).saturating_sub(held);
                tx.client_tokens_of(account, &token_owner(call))? < left.saturating_mul(PART)
            }
        };
        if room { Ok(()) } else { Err((&catalogue::THROTTLING_USER).into()) }
    }
}

/// Whose share of ClientTokens a call uses.
fn token_owner(call: &Call) -> String {
    match &call.principal.identity {
        Identity::Session(session) => format!("role/{}", session.role),
        Identity::Root | Identity::User { .. } => call.principal.label(),
    }
}

/// Token, change and record of the token, inside the transaction.
pub(super) fn transact(
    tx: &Tx<'_>,
    call: &Call,
    token: Option<&(String, Fingerprint)>,
    tokens: Remembered,
    change: &mut Change,
) -> Result<Done, Failure> {
    let account = &call.principal.account;
    let action = call.operation.action;
    if let Some((token, fingerprint)) = token {
        match tx.token(TokenName { account, action, token })? {
            Some(stored) if stored.created_ms >= tokens.oldest_ms => {
                if stored.fingerprint != fingerprint {
                    return Err((&catalogue::TOKEN_MISMATCH).into());
                }
                let answer: Members = serde_json::from_str(&stored.answer)
                    .map_err(|error| Failure::Internal(error.to_string()))?;
                return Ok(Done::Repeated(Box::new(answer)));
            }
            // An old one is replaced: the table does not grow.
            Some(_) => {}
            None => tokens.room(tx, call)?,
        }
    }
    let answer = change(tx)?;
    if let Some((token, fingerprint)) = token {
        let text = answer.remembered()?;
        tx.put_token(&NewToken {
            name: TokenName { account, action, token },
            principal: &token_owner(call),
            fingerprint,
            answer: &text,
            request_id: &call.request_id,
            created_ms: call.now_ms,
        })?;
    }
    Ok(Done::Changed(answer))
}
