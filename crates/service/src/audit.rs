//! The key that seals the chain of audit records: generated once, kept in the database under the master key.
//!
//! It is separate from the master key, so that it stays the same when the master key is changed.

use tongguan_model::id::AccountId;
use tongguan_store::{
    Archive, AuditHead, AuditRecord, Finding, HeadFate, LOCAL, NewAuditKey, Store, StoreError,
};
use tracing::warn;
use zeroize::Zeroizing;

use crate::context::new_request_id;
use crate::random::random;
use crate::vault::{SealError, Vault};

/// What the key is sealed for. The row in the database has the name `audit-chain`.
pub(crate) const PURPOSE: &str = "service-key:audit-chain";

/// Why the chain cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum AuditKeyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key does not open.
    #[error("the key of the audit record: {0}")]
    Sealed(#[from] SealError),
}

/// Seals the audit record with every change from now on; makes the key if there is none. Answers what is wrong
/// with the chain: then it is not sealed.
///
/// # Errors
/// The store or the vault fails.
pub fn seal(store: &Store, vault: &Vault, now_ms: i64) -> Result<Vec<Finding>, AuditKeyError> {
    if let Some(sealed) = store.read(|snapshot| snapshot.audit_key())? {
        return Ok(store.seal_audit(&vault.open(PURPOSE, &sealed)?, None)?);
    }
    // Of a shared database the key is made with the schema.
    let last = if store.is_shared() { 0 } else { store.read(|snapshot| snapshot.audit_chain())?.head.seq };
    if last > 0 {
        warn!(last, "the audit record is sealed from now on: there was no key, nor a seal on what is there");
    }
    let (key, new) = made(vault, now_ms)?;
    Ok(store.seal_audit(&key, Some(new))?)
}

/// The key of the seal in a database, if it can be had with this vault.
///
/// # Errors
/// The database cannot be read.
pub fn key(archive: &Archive, vault: &Vault) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let kept = archive.read(|snapshot| snapshot.audit_key())?;
    Ok(kept.and_then(|sealed| vault.open(PURPOSE, &sealed).ok()))
}

/// The record that a store was moved, which had a chain of records with this end.
#[must_use]
pub fn moved(head: &str, now_ms: i64) -> AuditRecord {
    of_operator("MoveStore", None, head, now_ms)
}

/// What became of heads of the audit record that were kept elsewhere. With a vault, what is left of removed records
/// counts only if it is sealed.
///
/// # Errors
/// The database cannot be read.
pub fn heads(
    archive: &Archive,
    vault: Option<&Vault>,
    heads: &[AuditHead],
) -> Result<Vec<(AuditHead, HeadFate)>, StoreError> {
    let key = vault.map(|vault| key(archive, vault)).transpose()?.flatten();
    let key = key.as_ref().map(|key| key.as_slice());
    let fate = |head: &AuditHead| {
        let fate = archive.read_now(head.lane, |snapshot| snapshot.head_fate(key, &head.link));
        fate.map(|fate| (*head, fate))
    };
    heads.iter().map(fate).collect()
}

/// Begins the chain of the audit record anew, whatever is wrong with it; its first record says so. The records
/// that are there stay, as records from before the chain. Answers whose chains have begun anew: of a shared database
/// those of the lanes that are not whole.
///
/// # Errors
/// The store or the vault fails; or nodes use the store.
pub fn begin_anew(store: &Store, vault: &Vault, now_ms: i64) -> Result<Vec<Option<i64>>, AuditKeyError> {
    let kept = store.read(|snapshot| snapshot.audit_key())?;
    let (key, new) = match kept.and_then(|sealed| vault.open(PURPOSE, &sealed).ok()) {
        Some(key) => (key, None),
        None => made(vault, now_ms).map(|(key, new)| (key, Some(new)))?,
    };
    Ok(store.begin_audit_anew(&key, new, local("BeginAuditAnew", now_ms))?)
}

/// The name under which operators stand in the audit record.
const OPERATOR: &str = "operator";

/// The record of what was done on the machine to a stopped service's database.
pub(crate) fn local(action: &str, now_ms: i64) -> AuditRecord {
    AuditRecord {
        time_ms: now_ms,
        request_id: new_request_id(),
        source: LOCAL.into(),
        action: Some(action.into()),
        status: 200,
        changed: true,
        ..AuditRecord::default()
    }
}

/// The record of what an operator had a running service do.
pub(crate) fn of_operator(
    action: &str,
    account: Option<&AccountId>,
    resource: &str,
    now_ms: i64,
) -> AuditRecord {
    AuditRecord {
        account: account.map(ToString::to_string),
        principal: Some(OPERATOR.to_owned()),
        resource: Some(resource.to_owned()),
        ..local(action, now_ms)
    }
}

fn made(vault: &Vault, now_ms: i64) -> Result<(Zeroizing<Vec<u8>>, NewAuditKey), SealError> {
    let key = Zeroizing::new(Zeroizing::new(random::<32>()).to_vec());
    let sealed = vault.seal(PURPOSE, &key)?;
    Ok((key, NewAuditKey { sealed, now_ms }))
}
