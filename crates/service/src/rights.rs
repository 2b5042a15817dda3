//! The key of the seals on the rows that confer rights: generated once, kept in the database under the master key.
//! `tongguan-store` knows what is sealed, and how.
//!
//! Rows of a database from before there were seals are accepted as they are, once, at the first start with the
//! master key. That they were sealed is recorded where it cannot be undone: every secret is then sealed in the
//! newer scheme, whose name is bound into it ([`crate::vault`]). A database that claims to be from before and
//! contains such a secret, or that has a sealed mark beside it, has lost its seals.

use tongguan_store::{
    Archive, Finding, RIGHTS_RULE, RightsKey, SealedKind, Snapshot, Store, StoreError, Tx, Verdict,
};
use tracing::warn;
use zeroize::Zeroizing;

use crate::audit::{self, AuditKeyError};

use crate::master::{self, ResealError};
use crate::random::random;
use crate::vault::Vault;

/// Name of the key among the service's own.
const NAME: &str = "rights";
/// The seals are gone.
const LOST: &str = "the seals of the rows were removed: secrets of this database, or its mark, were made when there were \
                    seals";
/// Their key is gone.
const NO_KEY: &str = "the key of the seals was removed, or does not open";
/// Nothing was sealed yet.
const NEVER: &str = "the rows are not sealed: no service of this release has served this database yet";

/// Takes up the seals, or makes them in a database from before there were any.
///
/// # Errors
/// [`StoreError::Unsound`] or [`StoreError::Mark`] if the seals, their sums or the mark are not as the
/// service left them; else the store or the vault fails. Nothing was changed then.
pub fn open(store: &Store, vault: &Vault, now_ms: i64) -> Result<(), ResealError> {
    let (sealed, kept, evidence, accounts) = store.read(|snapshot| {
        let evidence = newer(snapshot)?;
        Ok((snapshot.rights_sealed()?, kept(snapshot)?, evidence, snapshot.accounts()?.len()))
    })?;
    match (sealed, kept) {
        (true, Some(kept)) => {
            let key = opened(vault, &kept).ok_or_else(|| unsound(NO_KEY))?;
            Ok(store.open_rights(&key)?)
        }
        (true, None) => Err(unsound(NO_KEY).into()),
        (false, Some(_)) => Err(unsound(LOST).into()),
        (false, None) if evidence || store.mark_is_sealed() => Err(unsound(LOST).into()),
        (false, None) => {
            if accounts > 0 {
                warn!(
                    accounts,
                    "the rows that confer rights are sealed from now on, as they are: there were no seals"
                );
            }
            seal(store, vault, now_ms)
        }
    }
}

/// Seals the rows, and the mark, as they are, whatever stands there; with a new key.
///
/// # Errors
/// The store or the vault fails; nothing was changed then.
pub fn seal(store: &Store, vault: &Vault, now_ms: i64) -> Result<(), ResealError> {
    let bytes = Zeroizing::new(random::<32>());
    let kept = vault.seal(&purpose(), &bytes[..]).map_err(|source| ResealError::Sealed {
        what: master::named(SealedKind::ServiceKey, NAME),
        source,
    })?;
    let vault = vault.clone();
    store.seal_rights(&RightsKey::new(&bytes[..]), move |tx: &Tx<'_>| {
        // What does not open is damaged, and stays so.
        tx.reseal(|kind, id, sealed| -> Result<Vec<u8>, ResealError> {
            let purpose = master::purpose(kind, id);
            let plain = vault.open(&purpose, sealed).ok().filter(|_| !Vault::newest(sealed));
            let Some(plain) = plain else { return Ok(sealed.to_vec()) };
            let failed = |source| ResealError::Sealed { what: master::named(kind, id), source };
            vault.seal(&purpose, &plain).map_err(failed)
        })?;
        Ok(tx.put_sealed_service_key(NAME, &kept, now_ms)?)
    })
}

/// [`seal`], for an operator who has examined the database; the audit record says so.
///
/// # Errors
/// The store or the vault fails.
pub fn seal_anew(store: &Store, vault: &Vault, now_ms: i64) -> Result<(), SealAnewError> {
    seal(store, vault, now_ms)?;
    master::remember(store, vault, now_ms)?;
    for finding in audit::seal(store, vault, now_ms)? {
        warn!(%finding, "the audit record is not sealed");
    }
    let record = audit::local("SealAnew", now_ms);
    store.write_blocking(move |tx| {
        tx.audit(&record)?;
        Ok(Verdict::Keep(()))
    })?;
    Ok(())
}

/// Why a database was not sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum SealAnewError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault, or the store, failed.
    #[error(transparent)]
    Seal(#[from] ResealError),
    /// The audit record could not be sealed.
    #[error(transparent)]
    Audit(#[from] AuditKeyError),
}

/// The key of the seals in a database, if it can be had with this vault.
///
/// # Errors
/// The database cannot be read.
pub fn key(archive: &Archive, vault: &Vault) -> Result<Option<RightsKey>, StoreError> {
    Ok(archive.read(kept)?.and_then(|kept| opened(vault, &kept)))
}

/// Everything that does not fit its seal.
///
/// # Errors
/// The database cannot be read.
pub fn findings(archive: &Archive, vault: &Vault) -> Result<Vec<Finding>, StoreError> {
    let found = |what: &str| vec![Finding { rule: RIGHTS_RULE, what: what.into() }];
    let (sealed, kept, evidence) =
        archive.read(|snapshot| Ok((snapshot.rights_sealed()?, kept(snapshot)?, newer(snapshot)?)))?;
    if !sealed {
        let lost = kept.is_some() || evidence || archive.mark_is_sealed();
        return Ok(found(if lost { LOST } else { NEVER }));
    }
    match kept.and_then(|kept| opened(vault, &kept)) {
        Some(key) => archive.rights(&key),
        None => Ok(found(NO_KEY)),
    }
}

fn kept(snapshot: &Snapshot<'_>) -> Result<Option<Vec<u8>>, StoreError> {
    snapshot.sealed_service_key(NAME)
}

fn opened(vault: &Vault, kept: &[u8]) -> Option<RightsKey> {
    vault.open(&purpose(), kept).ok().map(|bytes| RightsKey::new(&bytes))
}

fn purpose() -> String {
    master::purpose(SealedKind::ServiceKey, NAME)
}

/// Whether a secret is sealed as none was before there were seals on rows.
fn newer(snapshot: &Snapshot<'_>) -> Result<bool, StoreError> {
    let mut newer = false;
    snapshot.each_sealed(|_, _, sealed| {
        newer = Vault::newest(sealed);
        !newer
    })?;
    Ok(newer)
}

fn unsound(what: &str) -> StoreError {
    StoreError::Unsound(Finding { rule: RIGHTS_RULE, what: what.into() })
}
