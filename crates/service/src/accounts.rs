//! Accounts, as the operator of the service makes and stops them. No API does: they come from the command line.

use serde::{Deserialize, Serialize};
use tongguan_model::id::AccountId;
use tongguan_store::{AuditRecord, Store, StoreError, Verdict};

use crate::keyring::{KeyringError, RootKey, new_account_id, new_root_key, seal};
use crate::vault::{SealError, Vault};

/// Characters of an account's name at most.
const NAME_CHARS: usize = 64;
/// Who does these things in the audit record.
const OPERATOR: &str = "operator";

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
    /// No key and no session of the account is accepted any more. What it has stays.
    Disable {
        /// The account.
        id: String,
    },
    /// Takes that back.
    Enable {
        /// The account.
        id: String,
    },
}

/// What was done.
#[derive(Debug)]
pub enum Done {
    /// An account was made; its key is shown this once.
    Created(RootKey),
    /// The account's keys are refused, or accepted again.
    Switched(AccountId),
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
    let record = record("CreateAccount", &account, now_ms);
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
    let record = record(if active { "EnableAccount" } else { "DisableAccount" }, &account, now_ms);
    let switched = account.clone();
    let known = store.write_blocking(move |tx| {
        if !tx.set_account_active(&switched, active)? {
            return Ok(Verdict::Discard(false));
        }
        tx.audit(&record)?;
        Ok(Verdict::Keep(true))
    })?;
    if known { Ok(Done::Switched(account)) } else { Err(AccountError::Unknown(id.to_owned())) }
}

/// An account id as it is given.
///
/// # Errors
/// [`AccountError::Id`] if it is not sixteen decimal digits.
pub fn account_id(text: &str) -> Result<AccountId, AccountError> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { Ok(AccountId::new(text)) } else { Err(AccountError::Id(text.chars().take(32).collect())) }
}

fn record(action: &str, account: &AccountId, now_ms: i64) -> AuditRecord {
    AuditRecord {
        time_ms: now_ms,
        request_id: uuid::Uuid::new_v4().hyphenated().to_string().to_uppercase(),
        account: Some(account.to_string()),
        principal: Some(OPERATOR.to_owned()),
        source: "local".to_owned(),
        action: Some(action.to_owned()),
        resource: Some(account.to_string()),
        status: 200,
        changed: true,
        ..AuditRecord::default()
    }
}
