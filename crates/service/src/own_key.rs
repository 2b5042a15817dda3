//! Keys of the service's own that others are derived from: each is generated once, and kept in the database under the
//! master key, so that what was made with it survives restarts and a change of the master key.

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use tongguan_dataplane::orders::ServiceId;
use tongguan_store::{SealedKind, Store, StoreError, Tx, Verdict};
use zeroize::Zeroizing;

use crate::keyring::KeyringError;
use crate::master;
use crate::random::random;
use crate::vault::{SealError, Vault};

/// Bytes of each of these keys.
pub(crate) const KEY_BYTES: usize = 32;

/// One of these keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnKey {
    /// Its name in the database.
    pub(crate) name: &'static str,
    /// What tells keys that are derived from it from those of another.
    salt: &'static [u8],
}

/// Markers of pages ([`crate::marker`]).
pub(crate) const MARKERS: OwnKey = OwnKey { name: "page-markers", salt: b"tongguan page markers" };
/// Fingerprints of requests ([`crate::fingerprint`]).
pub(crate) const FINGERPRINTS: OwnKey =
    OwnKey { name: "request-fingerprints", salt: b"tongguan request fingerprints" };

/// Which service this is, to whoever keeps its gateways: derived from a key of the store, so that it is the same under
/// another master key, and of a backup that was restored.
///
/// # Errors
/// The store fails, or the key does not open under the master key.
pub fn service_id(store: &Store, vault: &Vault, now_ms: i64) -> Result<ServiceId, KeyringError> {
    let prk = MARKERS.prepare(store, vault, now_ms, |_, _| Ok(()))?;
    let mut derived = [0; KEY_BYTES];
    let filled = prk.expand(&[b"id of the service"], HKDF_SHA256).and_then(|okm| okm.fill(&mut derived));
    filled.map_err(|_| KeyringError::Sealed { id: MARKERS.name.into(), source: SealError })?;
    let mut id = [0; 16];
    id.copy_from_slice(&derived[..16]);
    Ok(ServiceId(id))
}

impl OwnKey {
    /// The key. If there is none it is made, and `first` is done with it in the same transaction.
    ///
    /// # Errors
    /// The store fails, or the key does not open under the master key.
    pub(crate) fn prepare(
        self,
        store: &Store,
        vault: &Vault,
        now_ms: i64,
        first: impl Fn(&Tx<'_>, &Prk) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Prk, KeyringError> {
        let failed = |source| KeyringError::Sealed { id: self.name.into(), source };
        if let Some(kept) = store.read(|snapshot| snapshot.sealed_service_key(self.name))? {
            return self.opened(vault, &kept).map_err(failed);
        }
        let key = Zeroizing::new(random::<KEY_BYTES>());
        let sealed = vault.seal(&self.purpose(), key.as_slice()).map_err(failed)?;
        let prk = self.extracted(key.as_slice());
        let made = prk.clone();
        let kept = store.write_blocking(move |tx| {
            // Another node may have made it in the meantime.
            if let Some(kept) = tx.sealed_service_key(self.name)? {
                return Ok(Verdict::Discard(Some(kept)));
            }
            first(tx, &made)?;
            tx.put_sealed_service_key(self.name, &sealed, now_ms)?;
            Ok(Verdict::Keep(None))
        })?;
        kept.map_or(Ok(prk), |kept| self.opened(vault, &kept).map_err(failed))
    }

    /// What keys are derived from.
    pub(crate) fn extracted(self, key: &[u8]) -> Prk {
        Salt::new(HKDF_SHA256, self.salt).extract(key)
    }

    fn purpose(self) -> String {
        master::purpose(SealedKind::ServiceKey, self.name)
    }

    fn opened(self, vault: &Vault, kept: &[u8]) -> Result<Prk, SealError> {
        let key = vault.open(&self.purpose(), kept)?;
        if key.len() == KEY_BYTES { Ok(self.extracted(&key)) } else { Err(SealError) }
    }
}

/// What markers of pages are made with ([`crate::marker`]).
#[derive(Debug)]
pub(crate) struct MarkerKey(pub(crate) Prk);

impl MarkerKey {
    /// The key; makes it if there is none.
    ///
    /// # Errors
    /// The store fails, or the key does not open under the master key.
    pub(crate) fn prepare(store: &Store, vault: &Vault, now_ms: i64) -> Result<Self, KeyringError> {
        MARKERS.prepare(store, vault, now_ms, |_, _| Ok(())).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use tongguan_store::Options;

    use super::*;

    /// What is derived of a key, to compare it by.
    fn derived(prk: &Prk) -> [u8; 32] {
        let mut bytes = [0; 32];
        prk.expand(&[b"test"], HKDF_SHA256).unwrap().fill(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn each_key_is_made_once_and_outlives_the_master_key() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &Options::default()).unwrap();
        let vault = |byte| Vault::new(&[byte; 32]).unwrap();
        let prepared = |byte, now_ms| {
            [MARKERS, FINGERPRINTS].map(|key| {
                key.prepare(&store, &vault(byte), now_ms, |_, _| Ok(())).map(|prk| derived(&prk)).ok()
            })
        };
        let made = prepared(1, 1);
        assert!(made.iter().all(Option::is_some) && made[0] != made[1]);
        assert_eq!(prepared(1, 2), made);
        let id = service_id(&store, &vault(1), 2).unwrap();
        master::reseal(&store, vault(1), vault(2), 3).unwrap();
        assert_eq!(prepared(1, 4), [None, None]);
        assert_eq!(prepared(2, 4), made);
        // Nor does anybody take the service for another one.
        assert_eq!(service_id(&store, &vault(2), 4).unwrap(), id);
        let other = tempfile::tempdir().unwrap();
        let other = Store::open(other.path(), &Options::default()).unwrap();
        assert_ne!(service_id(&other, &vault(2), 4).unwrap(), id);
    }
}
