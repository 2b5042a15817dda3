//! The key that page markers are made with ([`crate::marker`]): generated once, and kept in the database under the
//! master key, so that markers survive restarts and a change of the master key.

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use tongguan_store::{SealedKind, Store, Verdict};
use zeroize::Zeroizing;

use crate::keyring::KeyringError;
use crate::master;
use crate::random::random;
use crate::vault::{SealError, Vault};

/// Name of the marker key among the service's own.
pub(crate) const NAME: &str = "page-markers";
/// Bytes of the marker key.
pub(crate) const KEY_BYTES: usize = 32;

/// What markers are made with.
#[derive(Debug)]
pub(crate) struct MarkerKey(pub(crate) Prk);

/// The marker key; makes it if there is none.
///
/// # Errors
/// The store fails, or the key does not open under the master key.
pub(crate) fn prepare(store: &Store, vault: &Vault, now_ms: i64) -> Result<MarkerKey, KeyringError> {
    let failed = |source| KeyringError::Sealed { id: NAME.into(), source };
    if let Some(kept) = store.read(|snapshot| snapshot.sealed_service_key(NAME))? {
        return opened(vault, &kept).map(MarkerKey).map_err(failed);
    }
    let key = Zeroizing::new(random::<KEY_BYTES>());
    let sealed = vault.seal(&purpose(), key.as_slice()).map_err(failed)?;
    store.write_blocking(move |tx| {
        tx.put_sealed_service_key(NAME, &sealed, now_ms)?;
        Ok(Verdict::Keep(()))
    })?;
    Ok(MarkerKey(extracted(key.as_slice())))
}

fn purpose() -> String {
    master::purpose(SealedKind::ServiceKey, NAME)
}

fn opened(vault: &Vault, kept: &[u8]) -> Result<Prk, SealError> {
    let key = vault.open(&purpose(), kept)?;
    if key.len() != KEY_BYTES {
        return Err(SealError);
    }
    Ok(extracted(&key))
}

pub(crate) fn extracted(key: &[u8]) -> Prk {
    Salt::new(HKDF_SHA256, b"tongguan page markers").extract(key)
}

#[cfg(test)]
mod tests {
    use tongguan_store::Options;

    use super::*;

    /// What is derived of a key, to compare it by.
    fn derived(MarkerKey(prk): &MarkerKey) -> [u8; 32] {
        let mut bytes = [0; 32];
        prk.expand(&[b"test"], HKDF_SHA256).unwrap().fill(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_marker_key_is_made_once_and_outlives_the_master_key() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &Options::default()).unwrap();
        let vault = |byte| Vault::new(&[byte; 32]).unwrap();
        let made = derived(&prepare(&store, &vault(1), 1).unwrap());
        assert_eq!(derived(&prepare(&store, &vault(1), 2).unwrap()), made);
        master::reseal(&store, vault(1), vault(2), 3).unwrap();
        assert!(prepare(&store, &vault(1), 4).is_err());
        assert_eq!(derived(&prepare(&store, &vault(2), 4).unwrap()), made);
    }
}
