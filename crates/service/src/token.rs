//! Security tokens of role sessions: self-contained, sealed and authenticated, so that nothing is stored for them.
//!
//! A token contains everything that a later call needs, a [`Grant`]. Tokens are made with *token keys* of the
//! service, which are kept in the store, sealed under the master key: tokens survive restarts and a change of the
//! master key. Two things are derived from a token key, each under a label of its own (HKDF-SHA256):
//!
//! - the key that seals a token (AES-256-GCM), from 32 random bytes at the beginning of the token: each such key
//!   seals one token, so that the cipher does not bound the number of tokens;
//! - the secret of the temporary access key, from its id. It is part of no token: a token without that secret can
//!   sign nothing.
//!
//! A new token key takes over once a day, and one under which no session can be valid any more is deleted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tongguan_rpc::Secret;
use tongguan_store::{SealedKind, Store, StoreError, Tx, Verdict};
use zeroize::Zeroizing;

use crate::keyring::KeyringError;
use crate::master;
use crate::provenance::Grant;
use crate::random::{LETTERS, characters, random};
use crate::vault::{MASTER_KEY_BYTES, SealError, Vault};

/// Temporary access key ids begin with this.
pub const TEMPORARY: &str = "STS.";
/// Names of token keys in the table of the service's own keys begin with this; their id follows, in hexadecimal.
pub const KEY_PREFIX: &str = "security-token:";
/// How long a token key makes tokens, milliseconds.
const KEY_MS: i64 = 24 * 3_600_000;
/// How long its tokens may live on, milliseconds: the longest session, and an hour for clocks that are set.
const TOKENS_MS: i64 = 13 * 3_600_000;

/// First byte of a token: the scheme of this file.
const SCHEME: u8 = 2;
/// First byte of the tokens of release 0.1.0, whose sessions ended with the upgrade.
const OLD_SCHEME: u8 = 1;
/// Bytes of a token key's id.
const ID_BYTES: usize = 8;
/// Bytes from which the key of one token is derived.
const SALT_BYTES: usize = 32;
/// What stands before the sealed grant: scheme, id of the token key, salt.
const HEADER_BYTES: usize = 1 + ID_BYTES + SALT_BYTES;
/// Characters of a token at most; that of the longest session policy has some 17,000.
const TOKEN_CHARS_MAX: usize = 32_768;
/// What a grant is sealed for.
const PURPOSE: &str = "security-token:2";
/// Labels of what is derived from a token key.
const SEALS: &[u8] = b"seal of one token\0";
const SIGNS: &[u8] = b"secret of a temporary access key\0";
/// Bytes of key material that a secret is made of.
const SECRET_BYTES: usize = 44;

type KeyId = [u8; ID_BYTES];

/// Temporary credentials, as AssumeRole answers them.
#[derive(Debug)]
pub struct Credentials {
    /// Access key id.
    pub access_key: String,
    /// Its secret.
    pub secret: Secret,
    /// The security token.
    pub token: Zeroizing<String>,
}

/// A token of ours, opened.
#[derive(Debug)]
pub struct Opened {
    /// What it grants.
    pub grant: Grant,
    /// The secret of its access key.
    pub secret: Secret,
}

/// Why a token cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// This service did not make it.
    Malformed,
    /// It is of the form of ours, and of a token key that is gone: its session is over.
    KeyGone,
}

/// What becomes of the sessions when another token key takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// They live on: the keys that are there stay as long as tokens under them may live.
    Stay,
    /// All sessions end: the keys that are there are removed.
    End,
}

/// Makes and opens security tokens.
pub struct Tokens {
    ring: RwLock<Ring>,
    /// Raised when a token key is removed, so that nothing is kept that was made under it.
    removals: AtomicU64,
}

/// The token keys of the process, which are those of the store.
struct Ring {
    /// The oldest first; the last makes tokens. Never empty.
    keys: Vec<TokenKey>,
    /// Sessions were ended when this key was made, the UNIX milliseconds of [`TokenKey::made_ms`]: none from before is
    /// taken in any more.
    from_ms: i64,
}

/// One token key.
#[derive(Clone)]
struct TokenKey {
    id: KeyId,
    made_ms: i64,
    prk: Prk,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

/// Length of what HKDF is asked for.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Tokens {
    /// Opens the store's token keys. Makes one if there is none, or if the newest has had its day.
    ///
    /// # Errors
    /// The store fails, or a key does not open under the master key, or somebody else has put it in or changed it.
    pub fn open(store: &Store, vault: &Vault, now_ms: i64) -> Result<Self, KeyringError> {
        let tokens = Self::of(load(store, vault)?);
        if let Some(rotation) = tokens.due(vault, now_ms)? {
            let change = rotation.clone();
            let made_ms = store.write_blocking(move |tx| Ok(Verdict::Keep(change.carry_out(tx)?)))?;
            tokens.take_up(&rotation.committed(made_ms));
        }
        Ok(tokens)
    }

    /// Takes up what other nodes have made and removed.
    ///
    /// # Errors
    /// As [`Tokens::open`].
    pub(crate) fn refresh(&self, store: &Store, vault: &Vault) -> Result<(), KeyringError> {
        let keys = load(store, vault)?;
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let gone = ring.keys.iter().any(|key| keys.iter().all(|one| one.id != key.id));
        if !keys.is_empty() {
            ring.keys = keys;
        }
        drop(ring);
        if gone {
            self.removals.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    fn of(keys: Vec<TokenKey>) -> Self {
        Self { ring: RwLock::new(Ring { keys, from_ms: i64::MIN }), removals: AtomicU64::default() }
    }

    /// Does what time asks for: a new token key once a day, and the removal of those under which no token can live.
    ///
    /// # Errors
    /// The store or the vault fails; nothing was changed then.
    pub(crate) async fn keep(&self, store: &Store, vault: &Vault, now_ms: i64) -> Result<(), KeyringError> {
        if let Some(rotation) = self.due(vault, now_ms)? {
            let change = rotation.clone();
            let made_ms = store.write(move |tx| Ok(Verdict::Keep(change.carry_out(tx)?))).await?;
            self.take_up(&rotation.committed(made_ms));
        }
        Ok(())
    }

    /// What time asks for, if it does.
    fn due(&self, vault: &Vault, now_ms: i64) -> Result<Option<Rotation>, KeyringError> {
        let (make, forget) = due(&self.ring.read().unwrap_or_else(PoisonError::into_inner).keys, now_ms);
        if !make && forget.is_empty() {
            return Ok(None);
        }
        let made = make.then(|| NewKey::make(vault)).transpose()?;
        Ok(Some(Rotation { made: made.map(Arc::new), forget: Forget::These(forget), now_ms }))
    }

    /// Takes up what was committed to the store. It asks the store nothing and cannot fail, so that there is no
    /// rotation that the store has and the process has not; and rotations may come in another order than they were
    /// committed in.
    pub(crate) fn take_up(&self, rotated: &Rotated) {
        let Rotated { rotation, made_ms } = rotated;
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(rotation.forget, Forget::All) {
            ring.from_ms = ring.from_ms.max(*made_ms);
        }
        let before = ring.keys.len();
        let from_ms = ring.from_ms;
        ring.keys.retain(|key| key.made_ms >= from_ms && !rotation.forget.names(key.id));
        let gone = ring.keys.len() < before;
        if let Some(made) = rotation.made.as_ref().filter(|_| *made_ms >= from_ms) {
            let place = ring.keys.partition_point(|key| key.made_ms < *made_ms);
            ring.keys.insert(place, TokenKey { made_ms: *made_ms, ..made.key.clone() });
        }
        drop(ring);
        if gone {
            self.removals.fetch_add(1, Ordering::Release);
        }
    }

    /// How often token keys were removed: what was opened before one is to be opened again.
    pub(crate) fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    /// A new temporary access key id.
    #[must_use]
    pub fn new_access_key() -> String {
        format!("{TEMPORARY}NT{}", characters(24, LETTERS))
    }

    /// The credentials of a grant.
    ///
    /// # Errors
    /// [`SealError`] if there is no randomness or the cipher fails.
    pub fn issue(&self, grant: &Grant) -> Result<Credentials, SealError> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let key = ring.keys.last().ok_or(SealError)?;
        let mut token = Vec::with_capacity(512);
        token.push(SCHEME);
        token.extend_from_slice(&key.id);
        token.extend_from_slice(&random::<SALT_BYTES>());
        let text = Zeroizing::new(serde_json::to_vec(grant).map_err(|_| SealError)?);
        let sealed = key.vault(&token)?.seal(PURPOSE, &text)?;
        token.extend_from_slice(&sealed);
        Ok(Credentials {
            access_key: grant.access_key.clone(),
            secret: key.secret(&grant.access_key)?,
            token: Zeroizing::new(STANDARD.encode(token)),
        })
    }

    /// What a token grants, and the secret of its access key.
    ///
    /// # Errors
    /// [`Unread`].
    pub fn read(&self, token: &str) -> Result<Opened, Unread> {
        if token.len() > TOKEN_CHARS_MAX {
            return Err(Unread::Malformed);
        }
        let token = STANDARD.decode(token).map_err(|_| Unread::Malformed)?;
        let (header, sealed) = match token.split_at_checked(HEADER_BYTES) {
            Some((header, sealed)) if header[0] == SCHEME => (header, sealed),
            Some((header, _)) if header[0] == OLD_SCHEME => return Err(Unread::KeyGone),
            Some(_) | None => return Err(Unread::Malformed),
        };
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let key =
            ring.keys.iter().rev().find(|key| header[1..].starts_with(&key.id)).ok_or(Unread::KeyGone)?;
        let open = || {
            let text = key.vault(header)?.open(PURPOSE, sealed)?;
            let grant: Grant = serde_json::from_slice(&text).map_err(|_| SealError)?;
            let secret = key.secret(&grant.access_key)?;
            Ok(Opened { grant, secret })
        };
        open().map_err(|SealError| Unread::Malformed)
    }
}

impl TokenKey {
    fn new(id: KeyId, made_ms: i64, key: &[u8]) -> Self {
        Self { id, made_ms, prk: Salt::new(HKDF_SHA256, b"tongguan security tokens").extract(key) }
    }

    fn derive(&self, label: &[u8], of: &[u8], bytes: &mut [u8]) -> Result<(), SealError> {
        let info = [label, of];
        let derived = self.prk.expand(&info, Length(bytes.len())).map_err(|_| SealError)?;
        derived.fill(bytes).map_err(|_| SealError)
    }

    /// What seals the token that begins so.
    fn vault(&self, header: &[u8]) -> Result<Vault, SealError> {
        let mut key = Zeroizing::new([0; MASTER_KEY_BYTES]);
        self.derive(SEALS, header, key.as_mut())?;
        Vault::new(&key)
    }

    /// The secret of a temporary access key.
    fn secret(&self, access_key: &str) -> Result<Secret, SealError> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        self.derive(SIGNS, access_key.as_bytes(), bytes.as_mut())?;
        // 256 values onto 62 letters: more than 250 bits are left of 44 of them.
        let text = bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
        Ok(Secret::from(text.collect::<String>()))
    }
}

/// A token key on its way into the store.
struct NewKey {
    name: String,
    sealed: Vec<u8>,
    /// When it is made is said by the transaction that stores it.
    key: TokenKey,
}

impl NewKey {
    fn make(vault: &Vault) -> Result<Self, KeyringError> {
        let id: KeyId = random();
        let name = name_of(id);
        let key = Zeroizing::new(random::<MASTER_KEY_BYTES>());
        let sealed = vault
            .seal(&master::purpose(SealedKind::ServiceKey, &name), key.as_slice())
            .map_err(|source| KeyringError::Sealed { id: name.clone(), source })?;
        Ok(Self { name, sealed, key: TokenKey::new(id, 0, key.as_slice()) })
    }
}

/// The token keys that go when others come.
#[derive(Clone)]
enum Forget {
    All,
    /// Those of these names.
    These(Vec<String>),
}

impl Forget {
    fn names(&self, id: KeyId) -> bool {
        matches!(self, Self::These(names) if names.contains(&name_of(id)))
    }
}

/// A change of the token keys, for a transaction of the caller's.
#[derive(Clone)]
pub struct Rotation {
    made: Option<Arc<NewKey>>,
    forget: Forget,
    now_ms: i64,
}

/// A rotation that was committed.
pub struct Rotated {
    rotation: Rotation,
    made_ms: i64,
}

impl std::fmt::Debug for Rotated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rotated")
    }
}

impl Rotation {
    /// A new token key on an operator's order; nothing is stored yet.
    ///
    /// # Errors
    /// The vault fails.
    pub fn new(vault: &Vault, earlier: Earlier, now_ms: i64) -> Result<Self, KeyringError> {
        let forget = match earlier {
            Earlier::Stay => Forget::These(Vec::new()),
            Earlier::End => Forget::All,
        };
        Ok(Self { made: Some(Arc::new(NewKey::make(vault)?)), forget, now_ms })
    }

    /// Removes the keys that go and stores the new one. Answers when the new one was made, UNIX milliseconds: later
    /// than those that were there, whatever the clock says, so that it is the newest.
    ///
    /// # Errors
    /// A database error.
    pub fn carry_out(&self, tx: &Tx<'_>) -> Result<i64, StoreError> {
        let there = tx.service_key_names(KEY_PREFIX)?;
        let newest = there.last().map(|(_, made_ms)| *made_ms);
        let forget: Vec<&String> = match &self.forget {
            Forget::All => there.iter().map(|(name, _)| name).collect(),
            Forget::These(names) => names.iter().collect(),
        };
        forget.into_iter().try_for_each(|name| tx.drop_service_key(name))?;
        if matches!(self.forget, Forget::All) {
            // Whoever knows a session by its key looks it up anew, on other nodes too.
            tx.rights_of_all_changed()?;
        }
        let made_ms = newest.map_or(self.now_ms, |newest| self.now_ms.max(newest.saturating_add(1)));
        if let Some(made) = &self.made {
            tx.put_sealed_service_key(&made.name, &made.sealed, made_ms)?;
        }
        Ok(made_ms)
    }

    /// What is to be taken up, once it was carried out and committed with this result.
    #[must_use]
    pub fn committed(self, made_ms: i64) -> Rotated {
        Rotated { rotation: self, made_ms }
    }
}

fn name_of(id: KeyId) -> String {
    format!("{KEY_PREFIX}{:016x}", u64::from_be_bytes(id))
}

/// Whether a new token key is to be made, and the names of those that have had their time.
fn due(ring: &[TokenKey], now_ms: i64) -> (bool, Vec<String>) {
    let make = ring.last().is_none_or(|newest| newest.made_ms.saturating_add(KEY_MS) <= now_ms);
    // A key makes no tokens from when the next one was made.
    let over = |next: &TokenKey| next.made_ms.saturating_add(TOKENS_MS) <= now_ms;
    let forget = ring.windows(2).filter(|pair| over(&pair[1])).map(|pair| name_of(pair[0].id)).collect();
    (make, forget)
}

fn load(store: &Store, vault: &Vault) -> Result<Vec<TokenKey>, KeyringError> {
    let rows = store.read(|snapshot| snapshot.sealed_service_keys(KEY_PREFIX))?;
    let open = |(name, sealed, made_ms): &(String, Vec<u8>, i64)| {
        let id = name.strip_prefix(KEY_PREFIX).and_then(|id| u64::from_str_radix(id, 16).ok())?;
        let purpose = master::purpose(SealedKind::ServiceKey, name);
        let key = vault.open(&purpose, sealed).ok().filter(|key| key.len() == MASTER_KEY_BYTES)?;
        Some(TokenKey::new(id.to_be_bytes(), *made_ms, &key))
    };
    let damaged = |name: &str| KeyringError::Sealed { id: name.to_owned(), source: SealError };
    rows.iter().map(|row| open(row).ok_or_else(|| damaged(&row.0))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tongguan_store::Options;

    use super::*;
    use crate::provenance::{Lineage, Origin, Step};

    fn step(number: i64) -> Step {
        Step {
            account: "1234567890123456".into(),
            role_id: format!("30000000000000000{number}"),
            account_from: number,
            role_from: 2 * number,
        }
    }

    fn grant() -> Grant {
        Grant {
            access_key: Tokens::new_access_key(),
            session: "alice".into(),
            issued_ms: 1_799_999_000_000,
            expires: 1_800_000_000,
            role: step(1),
            policy: Some(r#"{"Version":"1","Statement":[]}"#.into()),
            lineage: Lineage {
                origin: Origin {
                    account: "1234567890123456".into(),
                    user_id: "200000000000000001".into(),
                    user: "alice".into(),
                    access_key: "LTAI5tAAAAAAAAAAAAAAAAAA".into(),
                    account_from: 0,
                    user_from: 0,
                    key_from: 0,
                },
                first_ms: 1_799_999_000_000,
                depth: 1,
                steps: Vec::new(),
                source_identity: None,
            },
        }
    }

    fn tokens(keys: &[u8]) -> Tokens {
        let ring = keys.iter().map(|byte| TokenKey::new([*byte; ID_BYTES], i64::from(*byte), &[*byte; 32]));
        Tokens::of(ring.collect())
    }

    #[test]
    fn a_token_is_read_as_it_was_made_and_not_otherwise() {
        let made = tokens(&[7]);
        let grant = grant();
        let credentials = made.issue(&grant).unwrap();
        assert!(credentials.access_key.starts_with("STS."));
        let opened = made.read(&credentials.token).unwrap();
        assert_eq!((opened.grant, &opened.secret), (grant, &credentials.secret));
        assert_eq!(credentials.secret.expose().len(), SECRET_BYTES);
        for place in 0..credentials.token.len() {
            let mut damaged = credentials.token.as_bytes().to_vec();
            damaged[place] = if damaged[place] == b'A' { b'B' } else { b'A' };
            assert!(made.read(std::str::from_utf8(&damaged).unwrap()).is_err(), "{place}");
        }
        for length in 0..credentials.token.len() {
            assert!(made.read(&credentials.token[..length]).is_err(), "{length}");
        }
        assert!(!format!("{made:?} {credentials:?}").contains(credentials.secret.expose()));
    }

    #[test]
    fn the_newest_key_makes_tokens_and_each_opens_its_own() {
        let (old, both, new) = (tokens(&[7]), tokens(&[7, 8]), tokens(&[8]));
        let grant = grant();
        let (first, second) = (old.issue(&grant).unwrap(), both.issue(&grant).unwrap());
        // The same access key id has another secret under another token key.
        assert_ne!(first.secret, second.secret);
        for (token, by_old, by_new) in [(&first, true, false), (&second, false, true)] {
            assert_eq!(both.read(&token.token).unwrap().secret, token.secret);
            assert_eq!(old.read(&token.token).is_ok(), by_old);
            assert_eq!(new.read(&token.token).is_ok(), by_new);
        }
        // A key is no other because a row has its id.
        let other = Tokens::of(vec![TokenKey::new([7; ID_BYTES], 7, &[9; 32])]);
        assert_eq!(other.read(&first.token).unwrap_err(), Unread::Malformed);
        assert_eq!(new.read(&first.token).unwrap_err(), Unread::KeyGone);
    }

    /// One key, one purpose: neither what seals nor what signs is the token key or the other, and no two tokens have
    /// one sealing key.
    #[test]
    fn a_key_serves_one_purpose() {
        let key = TokenKey::new([7; ID_BYTES], 7, &[7; 32]);
        let derive = |label, of: &[u8]| {
            let mut bytes = [0; 32];
            key.derive(label, of, &mut bytes).unwrap();
            bytes
        };
        let derived =
            [derive(SEALS, b"a"), derive(SIGNS, b"a"), derive(SEALS, b"b"), derive(SIGNS, b"b"), [7; 32]];
        for (place, one) in derived.iter().enumerate() {
            assert!(derived[place + 1..].iter().all(|other| one != other), "{place}");
        }
        let made = tokens(&[7]);
        let grant = grant();
        let header = |_| {
            let token = STANDARD.decode(made.issue(&grant).unwrap().token.as_bytes()).unwrap();
            token[..HEADER_BYTES].to_vec()
        };
        let headers: std::collections::BTreeSet<_> = (0..1_000).map(header).collect();
        assert_eq!(headers.len(), 1_000);
    }

    #[test]
    fn token_keys_change_daily_and_stay_as_long_as_their_tokens() {
        const DAY: i64 = 24 * 3_600_000;
        let ring = |made: &[i64]| -> Vec<_> {
            made.iter()
                .enumerate()
                .map(|(place, made_ms)| {
                    TokenKey::new([u8::try_from(place).unwrap(); ID_BYTES], *made_ms, &[1; 32])
                })
                .collect()
        };
        let (first, second) = (name_of([0; ID_BYTES]), name_of([1; ID_BYTES]));
        assert_eq!(due(&[], 0), (true, vec![]));
        assert_eq!(due(&ring(&[0]), DAY - 1), (false, vec![]));
        assert_eq!(due(&ring(&[0]), DAY), (true, vec![]));
        // The only key is never forgotten, however old it is.
        assert_eq!(due(&ring(&[0]), 100 * DAY), (true, vec![]));
        assert_eq!(due(&ring(&[0, DAY]), DAY + TOKENS_MS - 1), (false, vec![]));
        assert_eq!(due(&ring(&[0, DAY]), DAY + TOKENS_MS), (false, vec![first.clone()]));
        assert_eq!(due(&ring(&[0, DAY, 2 * DAY]), 2 * DAY + TOKENS_MS), (false, vec![first, second]));
        // A clock that is set back removes nothing and makes nothing.
        assert_eq!(due(&ring(&[0, DAY]), -DAY), (false, vec![]));
    }

    #[test]
    fn token_keys_outlive_the_process_and_go_when_they_are_told_to() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &Options::default()).unwrap();
        let vault = Vault::new(&[9; 32]).unwrap();
        let opened = Tokens::open(&store, &vault, 1_000).unwrap();
        let (first, again) = (opened.issue(&grant()).unwrap(), Tokens::open(&store, &vault, 1_000).unwrap());
        assert_eq!(again.read(&first.token).unwrap().secret, first.secret);
        assert!(matches!(
            Tokens::open(&store, &Vault::new(&[8; 32]).unwrap(), 1_000),
            Err(KeyringError::Sealed { .. })
        ));
        let rotate = |earlier, now_ms| {
            let rotation = Rotation::new(&vault, earlier, now_ms).unwrap();
            opened.take_up(&committed(&store, rotation));
        };
        // Also while the clock is behind, the new key is the one that makes tokens.
        rotate(Earlier::Stay, 0);
        assert_eq!(opened.removals.load(Ordering::Acquire), 0);
        let second = opened.issue(&grant()).unwrap();
        assert!(opened.read(&first.token).is_ok());
        assert_eq!(again.read(&second.token).unwrap_err(), Unread::KeyGone);
        rotate(Earlier::End, 2_000);
        assert_eq!(opened.removals.load(Ordering::Acquire), 1);
        let third = opened.issue(&grant()).unwrap();
        for reader in [&opened, &Tokens::open(&store, &vault, 2_000).unwrap()] {
            for token in [&first.token, &second.token] {
                assert_eq!(reader.read(token).unwrap_err(), Unread::KeyGone);
            }
            assert!(reader.read(&third.token).is_ok());
        }
    }

    fn committed(store: &Store, rotation: Rotation) -> Rotated {
        let change = rotation.clone();
        let made_ms = store.write_blocking(move |tx| Ok(Verdict::Keep(change.carry_out(tx)?))).unwrap();
        rotation.committed(made_ms)
    }

    /// Two threads may commit one after the other and take up the other way round: the ring is what the store has.
    #[test]
    fn rotations_are_taken_up_in_any_order() {
        let vault = Vault::new(&[9; 32]).unwrap();
        let ids = |keys: &[TokenKey]| keys.iter().map(|key| (key.id, key.made_ms)).collect::<Vec<_>>();
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for ended in 0..4 {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path(), &Options::default()).unwrap();
            let begun = Tokens::open(&store, &vault, 1_000).unwrap().ring.into_inner().unwrap().keys;
            // All at one moment by the clock; sessions are ended by one of them, or by none.
            let rotated = [0, 1, 2].map(|number| {
                let earlier = if number == ended { Earlier::End } else { Earlier::Stay };
                committed(&store, Rotation::new(&vault, earlier, 1_000).unwrap())
            });
            for order in orders {
                let tokens = Tokens::of(begun.clone());
                order.iter().for_each(|place| tokens.take_up(&rotated[*place]));
                let ring = tokens.ring.into_inner().unwrap().keys;
                assert_eq!(ids(&ring), ids(&load(&store, &vault).unwrap()), "{ended} {order:?}");
            }
        }
    }

    /// Another master key seals the token keys anew, and sessions do not notice.
    #[test]
    fn sessions_outlive_the_master_key() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &Options::default()).unwrap();
        let vault = |byte| Vault::new(&[byte; 32]).unwrap();
        let tokens = Tokens::open(&store, &vault(1), 1_000).unwrap();
        let first = tokens.issue(&grant()).unwrap();
        let rotation = Rotation::new(&vault(1), Earlier::Stay, 2_000).unwrap();
        tokens.take_up(&committed(&store, rotation));
        let second = tokens.issue(&grant()).unwrap();
        // Two token keys, and the check value.
        assert_eq!(master::reseal(&store, vault(1), vault(2), 3_000).unwrap(), 2);
        assert!(Tokens::open(&store, &vault(1), 3_000).is_err());
        let tokens = Tokens::open(&store, &vault(2), 3_000).unwrap();
        for made in [&first, &second] {
            assert_eq!(tokens.read(&made.token).unwrap().secret, made.secret);
        }
    }

    fn grants() -> impl Strategy<Value = Grant> {
        let steps = proptest::collection::vec((0_i64..9).prop_map(step), 0..9);
        let texts = (".{0,40}", proptest::option::of(".{0,300}"), proptest::option::of("[a-z@.]{2,64}"));
        let numbers = (any::<i64>(), any::<i64>(), any::<u32>(), any::<i64>());
        (texts, steps, numbers).prop_map(|((session, policy, identity), steps, numbers)| {
            let mut grant = Grant { session, policy, issued_ms: numbers.0, expires: numbers.1, ..grant() };
            grant.lineage = Lineage { steps, depth: numbers.2, source_identity: identity, ..grant.lineage };
            grant.lineage.origin.key_from = numbers.3;
            grant
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(8), ..ProptestConfig::with_cases(256) })]

        /// Whatever a grant says comes back, and no change of any bytes of its token is read.
        #[test]
        fn a_grant_comes_back_and_no_other(
            grant in grants(), place in any::<prop::sample::Index>(), flip in 1_u8..,
            more in proptest::collection::vec(any::<u8>(), 1..40),
        ) {
            let made = tokens(&[7]);
            let credentials = made.issue(&grant).unwrap();
            let opened = made.read(&credentials.token).unwrap();
            prop_assert_eq!(&opened.grant, &grant);
            prop_assert_eq!(&opened.secret, &credentials.secret);
            let token = STANDARD.decode(credentials.token.as_bytes()).unwrap();
            let mut changed = token.clone();
            *place.get_mut(&mut changed) ^= flip;
            prop_assert!(made.read(&STANDARD.encode(&changed)).is_err());
            prop_assert!(made.read(&STANDARD.encode(&token[..place.index(token.len())])).is_err());
            prop_assert!(made.read(&STANDARD.encode([&token[..], &more[..]].concat())).is_err());
            // The beginning of one token does not open the rest of another.
            let other = STANDARD.decode(made.issue(&grant).unwrap().token.as_bytes()).unwrap();
            let crossed = [&other[..HEADER_BYTES], &token[HEADER_BYTES..]].concat();
            prop_assert!(made.read(&STANDARD.encode(crossed)).is_err());
        }

        #[test]
        fn no_text_is_a_token(text in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let made = tokens(&[7]);
            prop_assert!(made.read(&text).is_err());
            prop_assert!(made.read(&STANDARD.encode(&bytes)).is_err());
            let header = [&[SCHEME][..], &[7; ID_BYTES][..], &bytes[..]].concat();
            prop_assert!(made.read(&STANDARD.encode(header)).is_err());
        }
    }

    #[test]
    fn the_longest_grant_makes_a_token_that_is_read() {
        let made = tokens(&[7]);
        let mut long = grant();
        // Characters of six bytes in JSON.
        long.policy = Some("\u{1}".repeat(2_048));
        long.session = "s".repeat(64);
        long.lineage.steps = (0..16).map(step).collect();
        let token = made.issue(&long).unwrap().token;
        assert!(token.len() <= TOKEN_CHARS_MAX, "{}", token.len());
        assert_eq!(made.read(&token).unwrap().grant, long);
        assert_eq!(made.read("").unwrap_err(), Unread::Malformed);
        assert_eq!(made.read(&STANDARD.encode([OLD_SCHEME; 100])).unwrap_err(), Unread::KeyGone);
        assert!(made.read(&"A".repeat(TOKEN_CHARS_MAX + 4)).is_err());
    }
}
