//! Whether a master key belongs to the database, and how it is replaced by another.
//!
//! The database contains a *check value*, a known text sealed under the master key like every other sealed value. A
//! key that does not open it is recognised at startup, before anything is sealed under it. A database from before
//! the check value is tested with the first value sealed in it.

use tongguan_store::{SealedKind, Snapshot, Store, StoreError, Verdict};

use crate::vault::{SealError, Vault};

/// Name of the check value among the service's own keys.
const CHECK: &str = "master-key-check";
/// What it holds.
const CHECK_TEXT: &[u8] = b"tongguan master key";

/// How a master key and a database go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// What is sealed in the database opens under the key.
    Fits,
    /// It does not.
    Other,
    /// Nothing is sealed in the database.
    NothingSealed,
}

/// Why the values were not sealed anew. Then nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value does not open under the old key, or cannot be sealed.
    #[error("{what}: {source}")]
    Sealed {
        /// Which value.
        what: String,
        /// Why.
        source: SealError,
    },
}

/// What a sealed value is bound to: it opens for no other row.
#[must_use]
pub fn purpose(kind: SealedKind, id: &str) -> String {
    match kind {
        SealedKind::AccessKey => format!("access-key:{id}"),
        SealedKind::Certificate => format!("certificate-key:{id}"),
        SealedKind::SigningRequest => format!("csr-key:{id}"),
        SealedKind::CustomerGateway => format!("customer-gateway-key:{id}"),
        SealedKind::Connection => format!("connection-keys:{id}"),
        SealedKind::ServiceKey => format!("service-key:{id}"),
    }
}

/// What a sealed value is, for people.
#[must_use]
pub fn named(kind: SealedKind, id: &str) -> String {
    match kind {
        SealedKind::AccessKey => format!("secret of access key `{id}`"),
        SealedKind::Certificate => format!("private key of certificate `{id}`"),
        SealedKind::SigningRequest => format!("private key of certificate request `{id}`"),
        SealedKind::CustomerGateway => format!("BGP key of customer gateway `{id}`"),
        SealedKind::Connection => format!("keys of connection `{id}`"),
        SealedKind::ServiceKey => format!("service key `{id}`"),
    }
}

/// Whether this is the master key of the database.
///
/// # Errors
/// The database cannot be read.
pub fn fit(snapshot: &Snapshot<'_>, vault: &Vault) -> Result<Fit, StoreError> {
    if let Some(sealed) = snapshot.sealed_service_key(CHECK)? {
        let opens = vault.open(&purpose(SealedKind::ServiceKey, CHECK), &sealed).is_ok();
        return Ok(if opens { Fit::Fits } else { Fit::Other });
    }
    let mut fit = Fit::NothingSealed;
    snapshot.each_sealed(|kind, id, sealed| {
        let opens = vault.open(&purpose(kind, id), sealed).is_ok();
        fit = if opens { Fit::Fits } else { Fit::Other };
        // One that does not open may be damaged; if none does, it is the key.
        !opens
    })?;
    Ok(fit)
}

/// Stores the check value, if there is none.
///
/// # Errors
/// The store or the vault fails.
pub fn remember(store: &Store, vault: &Vault, now_ms: i64) -> Result<(), ResealError> {
    if store.read(|snapshot| snapshot.sealed_service_key(CHECK))?.is_some() {
        return Ok(());
    }
    let sealed = check_value(vault)?;
    store.write_blocking(move |tx| {
        if tx.sealed_service_key(CHECK)?.is_some() {
            return Ok(Verdict::Discard(()));
        }
        tx.put_sealed_service_key(CHECK, &sealed, now_ms)?;
        Ok(Verdict::Keep(()))
    })?;
    Ok(())
}

/// Seals every value anew, in one transaction: afterwards all of them open under `new` and none under `old`.
/// Answers how many there were.
///
/// # Errors
/// A value does not open under `old`, nodes use the store, or it fails; nothing was changed.
pub fn reseal(store: &Store, old: Vault, new: Vault, now_ms: i64) -> Result<u64, ResealError> {
    store.write_blocking(move |tx| {
        if !tx.has_it_alone()? {
            return Ok(Verdict::Discard(Err(StoreError::NodesLive.into())));
        }
        let anew = |kind, id: &str, sealed: &[u8]| {
            let purpose = purpose(kind, id);
            let failed = |source| ResealError::Sealed { what: named(kind, id), source };
            let plain = old.open(&purpose, sealed).map_err(failed)?;
            new.seal(&purpose, &plain).map_err(failed)
        };
        // Of what the transaction has written the seal may follow with its end.
        let checked = tx.sealed_service_key(CHECK)?.is_some();
        let outcome = tx.reseal(anew).and_then(|count| {
            if !checked {
                tx.put_sealed_service_key(CHECK, &check_value(&new)?, now_ms)?;
            }
            Ok(count)
        });
        Ok(match outcome {
            Err(ResealError::Store(error)) => return Err(error),
            Err(refused) => Verdict::Discard(Err(refused)),
            Ok(count) => Verdict::Keep(Ok(count)),
        })
    })?
}

fn check_value(vault: &Vault) -> Result<Vec<u8>, ResealError> {
    vault
        .seal(&purpose(SealedKind::ServiceKey, CHECK), CHECK_TEXT)
        .map_err(|source| ResealError::Sealed { what: named(SealedKind::ServiceKey, CHECK), source })
}

#[cfg(test)]
mod tests {
    use tongguan_store::Options;

    use super::*;
    use crate::keyring;

    fn vault(byte: u8) -> Vault {
        Vault::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn a_key_is_told_from_another_and_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &Options::default()).unwrap();
        let fits = |byte| store.read(|snapshot| fit(snapshot, &vault(byte))).unwrap();
        assert_eq!(fits(1), Fit::NothingSealed);
        let key = keyring::new_root_key(keyring::new_account_id());
        keyring::store_root_key(&store, &vault(1), &key, 1).unwrap();
        // Judged by the secret alone, then by the check value.
        assert_eq!((fits(1), fits(2)), (Fit::Fits, Fit::Other));
        remember(&store, &vault(1), 1).unwrap();
        assert_eq!((fits(1), fits(2)), (Fit::Fits, Fit::Other));

        // The wrong old key changes nothing.
        assert!(matches!(reseal(&store, vault(3), vault(2), 1), Err(ResealError::Sealed { .. })));
        assert_eq!((fits(1), fits(2)), (Fit::Fits, Fit::Other));
        assert_eq!(reseal(&store, vault(1), vault(2), 1).unwrap(), 2);
        assert_eq!((fits(1), fits(2)), (Fit::Other, Fit::Fits));
        let stored = store.read(|snapshot| snapshot.access_key(&key.id)).unwrap().unwrap();
        let purpose = purpose(SealedKind::AccessKey, &key.id);
        let secret = vault(2).open(&purpose, &stored.sealed_secret).unwrap();
        assert_eq!(secret.as_slice(), key.secret.expose().as_bytes());
        assert!(vault(1).open(&purpose, &stored.sealed_secret).is_err());
    }
}
