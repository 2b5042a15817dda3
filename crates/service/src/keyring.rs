//! The access keys that sign requests, and their owners.

use std::collections::HashMap;
use std::sync::Arc;

use tongguan_model::id::AccountId;
use tongguan_model::principal::{Identity, Principal};
use tongguan_rpc::{Credential, Secret};
use tongguan_store::{SealedKind, Store, StoreError, Verdict};

use crate::master;
use crate::random::{LETTERS, characters};
use crate::vault::{SealError, Vault};

/// One access key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Access key id.
    pub id: String,
    /// What verifies its signatures.
    pub credential: Credential,
    /// Whose it is.
    pub principal: Arc<Principal>,
    /// Whether it may be used.
    pub active: bool,
}

/// Every access key, by id.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: HashMap<String, Key>,
    /// Texts of files that a key was made of, by its id.
    documents: HashMap<String, Vec<String>>,
}

impl Keyring {
    /// Adds a key, replacing one of the same id.
    pub fn insert(&mut self, key: Key) {
        self.insert_given(key, Vec::new());
    }

    /// The same for a key that was made of files with these texts: its public key, and policies.
    pub fn insert_given(&mut self, key: Key, documents: Vec<String>) {
        self.documents.insert(key.id.clone(), documents);
        self.keys.insert(key.id.clone(), key);
    }

    /// Every key with these texts, by its id.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (&Key, &[String])> {
        let mut keys: Vec<&Key> = self.keys.values().collect();
        keys.sort_by_key(|key| &key.id);
        keys.into_iter().map(|key| (key, self.documents.get(&key.id).map_or(&[][..], Vec::as_slice)))
    }

    /// The key of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Key> {
        self.keys.get(id)
    }

    /// Whether a key belongs to the account's user of this name; case makes no difference.
    #[must_use]
    pub fn has_user(&self, account: &AccountId, user: &str) -> bool {
        self.keys.values().any(|key| {
            key.principal.account == *account
                && matches!(&key.principal.identity, Identity::User { name, .. } if name.eq_ignore_ascii_case(user))
        })
    }
}

/// The account's own key as it was given or made.
#[derive(Debug)]
pub struct RootKey {
    /// The account.
    pub account: AccountId,
    /// Access key id.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
}

impl RootKey {
    /// The key as the keyring has it.
    #[must_use]
    pub fn into_key(self) -> Key {
        let principal = Arc::new(Principal { account: self.account, identity: Identity::Root });
        Key { id: self.id, credential: Credential::Secret(self.secret), principal, active: true }
    }
}

/// Why the keys could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret did not open.
    #[error("access key `{id}`: {source}")]
    Sealed {
        /// Which key.
        id: String,
        /// Why.
        source: SealError,
    },
}

/// A new access key for `account`; it counts only once it is stored.
#[must_use]
pub fn new_root_key(account: AccountId) -> RootKey {
    let (id, secret) = new_key();
    RootKey { account, id, secret }
}

/// Id and secret of a new access key.
#[must_use]
pub fn new_key() -> (String, Secret) {
    (format!("LTAI5t{}", characters(18, LETTERS)), Secret::from(characters(30, LETTERS)))
}

/// Stores an access key, its secret sealed.
///
/// # Errors
/// The store or the vault fails.
pub fn store_root_key(store: &Store, vault: &Vault, key: &RootKey, now_ms: i64) -> Result<(), KeyringError> {
    let sealed = seal(vault, &key.id, &key.secret)
        .map_err(|source| KeyringError::Sealed { id: key.id.clone(), source })?;
    let (id, account) = (key.id.clone(), key.account.clone());
    store.write_blocking(move |tx| {
        tx.ensure_account(&account, now_ms)?;
        tx.put_access_key(&id, &account, &sealed, now_ms)?;
        Ok(Verdict::Keep(()))
    })?;
    Ok(())
}

/// [`store_root_key`] of the first account, if there is no access key yet; answers whether it was stored.
///
/// # Errors
/// The store or the vault fails.
pub fn make_first(store: &Store, vault: &Vault, key: &RootKey, now_ms: i64) -> Result<bool, KeyringError> {
    let sealed = seal(vault, &key.id, &key.secret)
        .map_err(|source| KeyringError::Sealed { id: key.id.clone(), source })?;
    let (id, account) = (key.id.clone(), key.account.clone());
    Ok(store.write_blocking(move |tx| {
        if tx.has_access_keys()? {
            return Ok(Verdict::Discard(false));
        }
        tx.ensure_account(&account, now_ms)?;
        tx.put_access_key(&id, &account, &sealed, now_ms)?;
        Ok(Verdict::Keep(true))
    })?)
}

/// A new account id: sixteen decimal digits, the first of them 1 as in the documented samples.
#[must_use]
pub fn new_account_id() -> AccountId {
    AccountId::new(format!("1{}", characters(15, b"0123456789")))
}

/// The secret of an access key as it is stored.
///
/// # Errors
/// The vault fails.
pub(crate) fn seal(vault: &Vault, id: &str, secret: &Secret) -> Result<Vec<u8>, SealError> {
    vault.seal(&master::purpose(SealedKind::AccessKey, id), secret.expose().as_bytes())
}
