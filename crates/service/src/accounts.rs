//! What the operator does with accounts, sessions and tunnels. There is no API for it: it comes from the command line.

use serde::{Deserialize, Serialize};
use tongguan_model::connection::{Connection, Negotiation};
use tongguan_model::gateway::ChildState;
use tongguan_model::id::{AccountId, TunnelId};
use tongguan_store::{SessionsOf, Store, StoreError, Tx, Verdict};

use crate::audit::of_operator;
use crate::keyring::{KeyringError, RootKey, new_account_id, new_root_key, seal};
use crate::token::{Earlier, Rotated, Rotation};
use crate::vault::{SealError, Vault};

/// Characters of an account's name at most.
const NAME_CHARS: usize = 64;

/// What an operator wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// A new account, with an access key of its own.
    Create {
        /// For people.
        name: String,
        /// Its id; none: a new one.
        id: Option<String>,
    },
    /// No key of the account is accepted any more, and all sessions that depend on it end. Its resources stay.
    Disable {
        /// The account.
        id: String,
    },
    /// Accepts the keys again. The sessions that ended stay so.
    Enable {
        /// The account.
        id: String,
    },
    /// Ends the sessions that were made so far.
    EndSessions {
        /// The account.
        id: String,
        /// Whose sessions.
        of: Whose,
    },
    /// What is seen of the far end of a tunnel, as a data plane would report it.
    SetTunnelState {
        /// The tunnel, or a connection: all of its tunnels.
        id: String,
        /// How far its negotiation has come, in the words of the API.
        state: String,
    },
    /// A new token key makes the security tokens from now on.
    RotateTokenKey {
        /// Whether all sessions of all accounts end.
        end_sessions: bool,
    },
}

/// Whose sessions an operator ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// Those of all roles of the account, and those that its users made, wherever the role is.
    Account,
    /// Those that this user of RAM made, and what came of them.
    User(String),
    /// Those of this role, and what came of them.
    Role(String),
}

/// What was done.
#[derive(Debug)]
pub enum Done {
    /// An account was made; its key is shown this once.
    Created(RootKey),
    /// What the account's keys and sessions may is another.
    Switched(AccountId),
    /// What is seen of a tunnel of the account is another.
    Observed(AccountId),
    /// Another token key is in the store, for the service to take up.
    TokenKey(Rotated),
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is no such account.
    #[error("there is no account `{0}`")]
    Unknown(String),
    /// There is such an account.
    #[error("there is an account `{0}` already")]
    Exists(String),
    /// An id is not sixteen decimal digits.
    #[error("`{0}` is no account id: sixteen decimal digits")]
    Id(String),
    /// A name is too long or has control characters.
    #[error("an account's name has at most {NAME_CHARS} characters, and no control characters")]
    Name,
    /// There is no such tunnel.
    #[error("there is no tunnel or connection `{0}`")]
    Tunnel(String),
    /// A tunnel's state is none.
    #[error("`{0}` is no state of a tunnel's negotiation")]
    TunnelState(String),
    /// A tunnel cannot have been negotiated.
    #[error("the tunnels of `{0}` cannot be negotiated: {1}")]
    TunnelIdle(String, &'static str),
    /// There is no such user.
    #[error("account `{0}` has no user `{1}` in RAM")]
    User(String, String),
    /// There is no such role.
    #[error("account `{0}` has no role `{1}`")]
    Role(String, String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The key could not be kept.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

/// Does it, in one transaction with its audit record.
///
/// # Errors
/// [`AccountError`]; nothing was changed then.
pub fn carry_out(store: &Store, vault: &Vault, order: &Order, now_ms: i64) -> Result<Done, AccountError> {
    match order {
        Order::Create { name, id } => create(store, vault, name, id.as_deref(), now_ms),
        Order::Disable { id } => switch(store, id, false, now_ms),
        Order::Enable { id } => switch(store, id, true, now_ms),
        Order::EndSessions { id, of } => end_sessions(store, id, of, now_ms),
        Order::SetTunnelState { id, state } => observe(store, id, state, now_ms),
        Order::RotateTokenKey { end_sessions } => {
            let earlier = if *end_sessions { Earlier::End } else { Earlier::Stay };
            rotate_token_key(store, vault, earlier, now_ms)
        }
    }
}

fn create(
    store: &Store,
    vault: &Vault,
    name: &str,
    id: Option<&str>,
    now_ms: i64,
) -> Result<Done, AccountError> {
    if name.chars().count() > NAME_CHARS || name.chars().any(char::is_control) {
        return Err(AccountError::Name);
    }
    let account = id.map_or_else(|| Ok(new_account_id()), account_id)?;
    let key = new_root_key(account.clone());
    let sealed = seal(vault, &key.id, &key.secret)?;
    let (key_id, name) = (key.id.clone(), name.to_owned());
    let record = of_operator("CreateAccount", Some(&account), account.as_str(), now_ms);
    let made = store.write_blocking(move |tx| {
        if tx.account(&account)?.is_some() {
            return Ok(Verdict::Discard(false));
        }
        tx.insert_account(&account, &name, now_ms)?;
        tx.put_access_key(&key_id, &account, &sealed, now_ms)?;
        tx.audit(&record)?;
        Ok(Verdict::Keep(true))
    })?;
    if made { Ok(Done::Created(key)) } else { Err(AccountError::Exists(key.account.to_string())) }
}

fn switch(store: &Store, id: &str, active: bool, now_ms: i64) -> Result<Done, AccountError> {
    let account = AccountId::new(id);
    let action = if active { "EnableAccount" } else { "DisableAccount" };
    let record = of_operator(action, Some(&account), id, now_ms);
    let switched = account.clone();
    let known = store.write_blocking(move |tx| {
        if !tx.set_account_active(&switched, active)? {
            return Ok(Verdict::Discard(false));
        }
        if !active {
            // For good: they do not come back with the account.
            tx.end_sessions(SessionsOf::Account(&switched), now_ms)?;
        }
        tx.audit(&record)?;
        Ok(Verdict::Keep(true))
    })?;
    if known { Ok(Done::Switched(account)) } else { Err(AccountError::Unknown(id.to_owned())) }
}

fn end_sessions(store: &Store, id: &str, of: &Whose, now_ms: i64) -> Result<Done, AccountError> {
    let account = AccountId::new(id);
    let resource = match of {
        Whose::Account => id.to_owned(),
        Whose::User(name) => format!("acs:ram::{id}:user/{name}"),
        Whose::Role(name) => format!("acs:ram::{id}:role/{name}"),
    };
    let record = of_operator("EndSessions", Some(&account), &resource, now_ms);
    let (ended, whose) = (account.clone(), of.clone());
    let outcome = store.write_blocking(move |tx| {
        let id = || ended.as_str().to_owned();
        if tx.account(&ended)?.is_none() {
            return Ok(Verdict::Discard(Err(AccountError::Unknown(id()))));
        }
        let rows = match &whose {
            Whose::Account => SessionsOf::Account(&ended),
            Whose::User(name) => match tx.user(&ended, name)? {
                Some(user) => SessionsOf::User(user.seq),
                None => return Ok(Verdict::Discard(Err(AccountError::User(id(), name.clone())))),
            },
            Whose::Role(name) => match tx.role(&ended, name)? {
                Some(role) => SessionsOf::Role(role.seq),
                None => return Ok(Verdict::Discard(Err(AccountError::Role(id(), name.clone())))),
            },
        };
        tx.end_sessions(rows, now_ms)?;
        tx.audit(&record)?;
        Ok(Verdict::Keep(Ok(())))
    })?;
    outcome.map(|()| Done::Switched(account))
}

fn observe(store: &Store, id: &str, state: &str, now_ms: i64) -> Result<Done, AccountError> {
    let known = Negotiation::parse(state);
    let observed = known.ok_or_else(|| AccountError::TunnelState(state.chars().take(32).collect()))?;
    let named = id.to_owned();
    let outcome = store.write_blocking(move |tx| {
        let unknown = || Verdict::Discard(Err(AccountError::Tunnel(named.clone())));
        let tunnels = tx.tunnels_named(&named)?;
        let Some(first) = tunnels.first() else { return Ok(unknown()) };
        let Some(connection) = tx.connection_of_any_account(first.connection.as_str())? else {
            return Ok(unknown());
        };
        if observed != Negotiation::IkeNotEstablished
            && let Some(why) = idle(tx, &connection)?
        {
            return Ok(Verdict::Discard(Err(AccountError::TunnelIdle(named.clone(), why))));
        }
        for tunnel in &tunnels {
            tx.observe_tunnel(&tunnel.id, observed, now_ms)?;
        }
        tx.audit(&of_operator("SetTunnelState", Some(&connection.account), &named, now_ms))?;
        Ok(Verdict::Keep(Ok(connection.account)))
    })?;
    outcome.map(Done::Observed)
}

/// Writes down what a data plane has seen of a tunnel, unless that cannot be any more: it was seen a moment ago.
pub(crate) fn observed(
    tx: &Tx<'_>,
    tunnel: &TunnelId,
    observed: Negotiation,
    now_ms: i64,
) -> Result<(), StoreError> {
    if observed != Negotiation::IkeNotEstablished {
        let Some(row) = tx.tunnels_named(tunnel.as_str())?.into_iter().next() else { return Ok(()) };
        let connection = tx.connection_of_any_account(row.connection.as_str())?;
        let Some(connection) = connection else { return Ok(()) };
        if idle(tx, &connection)?.is_some() {
            return Ok(());
        }
    }
    tx.observe_tunnel(tunnel, observed, now_ms)
}

/// Why nothing can be seen of a connection's far end, if nothing can.
fn idle(tx: &Tx<'_>, connection: &Connection) -> Result<Option<&'static str>, StoreError> {
    if connection.state == ChildState::Creating {
        return Ok(Some("the connection is not in force yet"));
    }
    let Some(id) = &connection.gateway else { return Ok(None) };
    let gateway = tx.gateway_of_any_account(id.as_str())?;
    let bindings = tx.bindings_in_force(id)?;
    let able = gateway.is_some_and(|gateway| gateway.can_negotiate(&bindings));
    Ok((!able).then_some("its VPN gateway has not both certificates"))
}

fn rotate_token_key(
    store: &Store,
    vault: &Vault,
    earlier: Earlier,
    now_ms: i64,
) -> Result<Done, AccountError> {
    let rotation = Rotation::new(vault, earlier, now_ms)?;
    let action = match earlier {
        Earlier::Stay => "RotateTokenKey",
        Earlier::End => "RotateTokenKeyAndEndSessions",
    };
    let record = of_operator(action, None, "token-key", now_ms);
    let change = rotation.clone();
    let made_ms = store.write_blocking(move |tx| {
        let made_ms = change.carry_out(tx)?;
        tx.audit(&record)?;
        Ok(Verdict::Keep(made_ms))
    })?;
    Ok(Done::TokenKey(rotation.committed(made_ms)))
}

/// An account id as it is given.
///
/// # Errors
/// [`AccountError::Id`] if it is not sixteen decimal digits.
pub fn account_id(text: &str) -> Result<AccountId, AccountError> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { Ok(AccountId::new(text)) } else { Err(AccountError::Id(text.chars().take(32).collect())) }
}
