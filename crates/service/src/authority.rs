//! Who owns an access key, and what the owner may do: read from the store once, cached until something changes.
//!
//! What is cached for a permanent key depends on rows of its account only: account, user, groups, role,
//! attachments, policies. Each account has a number in its row, its *epoch*; every change of such rows raises it in
//! the same transaction, and what was read under an older epoch is read again. So a change takes effect with the next
//! call, whoever made it, and calls in between cost no query. The epoch is read before the rows: what a change
//! overtakes is kept under an epoch that holds no longer. Whether it holds is asked when a key is looked up, as far as
//! this process knows, and of the store when the request is let in ([`tongguan_store::Admission`]). That a key may not
//! be used is read anew each time: its request never comes that far.
//!
//! A role session depends on rows of several accounts: the role's, that of the user whose key created the first
//! session of its chain, and those of the roles in between ([`crate::provenance`]). It is cached under the epochs
//! of all of them.
//!
//! The cache is bounded in bytes, overall and per account: an account with very many keys or sessions displaces its
//! own entries and nobody else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};
use subtle::ConstantTimeEq as _;
use tongguan_model::id::AccountId;
use tongguan_model::policy::{Attached, Policy, PolicyError, PolicySet, system_policy};
use tongguan_model::principal::{Identity, Origin, Principal, Session};
use tongguan_rpc::{Credential, Secret};
use tongguan_store::{
    AttachedPolicy, Epoch, KeyOwner, Scope, SealedKind, Snapshot, StoreError, Verdict, Via,
};
use tracing::warn;
use zeroize::Zeroizing;

use crate::catalogue::{self, Refusal};
use crate::context::Context;
use crate::failure::Failure;
use crate::keyring::{Key, Keyring};
use crate::master;
use crate::product::Product;
use crate::provenance::{self, Grant};
use crate::share::Shares;
use crate::token::{Opened, TEMPORARY, Tokens, Unread};

/// Bytes that kept keys and policies may take, about.
pub const KEPT_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of them that one account may have.
const SHARE_BYTES: usize = (KEPT_BYTES / 8) as usize;
/// Keys that the cache makes room for at first.
const EXPECTED_KEYS: usize = 1_024;
/// Bytes of one entry beside its policies, with what signatures are verified with.
const ENTRY_BYTES: usize = 2_560;
/// How exactly the last use of a key is noted, milliseconds.
const USE_GRAIN_MS: i64 = 60_000;

/// A key as it is kept.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) key: Key,
    /// Of a temporary key.
    session: Option<Kept>,
    /// Under which it was read, of every account that it depends on.
    epochs: Box<[Epoch]>,
    bytes: usize,
    /// When its last use was noted, in grains; nothing is noted for keys that are not in the store.
    used: Option<AtomicI64>,
}

/// What is kept of a session.
#[derive(Debug)]
struct Kept {
    /// The security token that the key came with.
    token: Zeroizing<String>,
    grant: Grant,
    /// How often token keys had been removed before it was opened.
    removals: u64,
}

impl Known {
    /// The epochs of the accounts that it depends on, under which it was read.
    pub(crate) fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// What the token of a temporary key grants.
    pub(crate) fn grant(&self) -> Option<&Grant> {
        self.session.as_ref().map(|kept| &kept.grant)
    }
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<String, Arc<Known>> for ByBytes {
    fn weight(&self, _: &String, known: &Arc<Known>) -> u64 {
        known.bytes as u64
    }
}

/// Tells the shares what the cache has let go.
#[derive(Debug, Clone)]
struct Displaced(Arc<Shares>);

impl Lifecycle<String, Arc<Known>> for Displaced {
    type RequestState = Vec<(String, Arc<Known>)>;

    fn begin_request(&self) -> Self::RequestState {
        Vec::new()
    }

    fn on_evict(&self, gone: &mut Self::RequestState, id: String, known: Arc<Known>) {
        gone.push((id, known));
    }

    fn end_request(&self, gone: Self::RequestState) {
        gone.iter().for_each(|(id, known)| self.0.forget(&known.key.principal.account, id));
    }
}

/// The cache of keys and sessions.
#[derive(Debug)]
pub struct Authority {
    /// Keys of the configuration: they are not in the store.
    fixed: Keyring,
    known: Cache<String, Arc<Known>, ByBytes, DefaultHashBuilder, Displaced>,
    /// What of `known` is whose.
    shares: Arc<Shares>,
    tokens: Tokens,
}

/// What the store says of a key's owner.
struct Loaded {
    key: Key,
    epoch: Epoch,
    bytes: usize,
}

impl Authority {
    pub(crate) fn new(fixed: Keyring, tokens: Tokens) -> Self {
        let shares = Arc::new(Shares::new(SHARE_BYTES));
        let known = Cache::with(
            EXPECTED_KEYS,
            KEPT_BYTES,
            ByBytes,
            DefaultHashBuilder::default(),
            Displaced(Arc::clone(&shares)),
        );
        Self { fixed, known, shares, tokens }
    }

    /// Whether the configuration gives the account a user of this name.
    pub(crate) fn configures_user(&self, account: &AccountId, name: &str) -> bool {
        self.fixed.has_user(account, name)
    }

    /// What makes and opens security tokens.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The permanent key of this id.
    pub(crate) fn key(&self, context: &Context, id: &str) -> Result<Arc<Known>, Failure> {
        if let Some(known) = self.known.get(id)
            && known.key.active
            && known.epochs.iter().all(Epoch::holds)
        {
            return Ok(known);
        }
        let loaded = match self.fixed.get(id) {
            Some(key) => {
                let account = &key.principal.account;
                let (epoch, active) = context
                    .store
                    .read(|snapshot| Ok((snapshot.epoch(account)?, snapshot.account_active(account)?)))?;
                Loaded { key: Key { active: key.active && active, ..key.clone() }, epoch, bytes: 0 }
            }
            None => self.stored_key(context, id)?,
        };
        // What was noted of an entry that is read again stays noted.
        let noted = self.known.get(id).and_then(|known| Some(known.used.as_ref()?.load(Ordering::Relaxed)));
        let used = self.fixed.get(id).is_none().then(|| AtomicI64::new(noted.unwrap_or_default()));
        let bytes = ENTRY_BYTES + loaded.bytes;
        let epochs = Box::new([loaded.epoch]);
        let known = Arc::new(Known { key: loaded.key, session: None, epochs, bytes, used });
        self.keep(id, &known);
        if known.key.active { Ok(known) } else { Err((&catalogue::ACCESS_KEY_INACTIVE).into()) }
    }

    /// Keeps a key under its id; what its account has beyond its share goes, the oldest first.
    fn keep(&self, id: &str, known: &Arc<Known>) {
        // In this order: what the insertion displaces is forgotten, an older entry of the same id too.
        self.known.insert(id.to_owned(), Arc::clone(known));
        for gone in self.shares.note(&known.key.principal.account, id, known.bytes) {
            self.known.remove(&gone);
        }
    }

    /// Whether a key of this id exists and is active; a temporary one with its token.
    pub(crate) fn names_active_key(
        &self,
        context: &Context,
        id: &str,
        token: Option<&str>,
        now_ms: i64,
    ) -> bool {
        match (id.starts_with(TEMPORARY), token) {
            (true, Some(token)) => self.temporary_key(context, id, token, now_ms).is_ok(),
            (true, None) => false,
            (false, _) => self.key(context, id).is_ok(),
        }
    }

    fn stored_key(&self, context: &Context, id: &str) -> Result<Loaded, Failure> {
        let unknown = || Failure::from(Refusal::new(&catalogue::ACCESS_KEY_NOT_FOUND));
        // Ids are short: what is longer is not worth a question.
        const LONGEST: usize = 128;
        if id.len() > LONGEST {
            return Err(unknown());
        }
        let read = context.store.read(|snapshot| {
            let Some(account) = snapshot.account_of_access_key(id)? else { return Ok(None) };
            let epoch = snapshot.epoch(&account)?;
            let Some(row) = snapshot.access_key(id)?.filter(|row| row.account == account) else {
                return Ok(None);
            };
            let attached = match &row.owner {
                KeyOwner::Root => Vec::new(),
                KeyOwner::User { seq, .. } => snapshot.effective_policies_of_user(*seq)?,
            };
            Ok(Some((row, attached, epoch)))
        })?;
        let Some((row, attached, epoch)) = read else { return Err(unknown()) };
        let sealed = |error: &dyn std::fmt::Display| Failure::Internal(format!("access key `{id}`: {error}"));
        let purpose = master::purpose(SealedKind::AccessKey, id);
        let secret = context.vault.open(&purpose, &row.sealed_secret).map_err(|error| sealed(&error))?;
        let secret = std::str::from_utf8(&secret).map_err(|error| sealed(&error))?;
        let credential = Credential::Secret(Secret::from(secret));
        let (identity, bytes) = match row.owner {
            KeyOwner::Root => (Identity::Root, 0),
            KeyOwner::User { name, id, .. } => {
                let (policies, bytes) = compile(&attached)?;
                (Identity::User { name, id, policies: Arc::new(policies) }, bytes)
            }
        };
        let principal = Arc::new(Principal { account: row.account, identity });
        let key = Key { id: id.to_owned(), credential, principal, active: row.active };
        Ok(Loaded { key, epoch, bytes })
    }

    /// The temporary key of this id, which came with this token.
    pub(crate) fn temporary_key(
        &self,
        context: &Context,
        id: &str,
        token: &str,
        now_ms: i64,
    ) -> Result<Arc<Known>, Failure> {
        let now = now_ms.div_euclid(1000);
        let expired = || Failure::from(&catalogue::TOKEN_EXPIRED);
        if let Some(known) = self.known.get(id)
            && known.epochs.iter().all(Epoch::holds)
            && let Some(kept) = &known.session
            && kept.removals == self.tokens.removals()
            && bool::from(kept.token.as_bytes().ct_eq(token.as_bytes()))
        {
            return if now < kept.grant.expires { Ok(known) } else { Err(expired()) };
        }
        if context.store.is_shared() {
            let refreshed = self.tokens.refresh(&context.store, &context.vault);
            refreshed.map_err(|error| Failure::Unavailable(format!("keys of security tokens: {error}")))?;
        }
        let removals = self.tokens.removals();
        let Opened { grant, secret } = self.tokens.read(token).map_err(|unread| match unread {
            Unread::KeyGone => expired(),
            Unread::Malformed => (&catalogue::TOKEN_MALFORMED).into(),
        })?;
        if grant.access_key != id {
            return Err((&catalogue::TOKEN_MISMATCH_KEY).into());
        }
        if now >= grant.expires {
            return Err(expired());
        }
        let read = context.store.read(|snapshot| {
            let accounts = grant.accounts();
            let epochs = accounts.iter().map(|account| snapshot.epoch(account));
            let epochs = epochs.collect::<Result<Box<[_]>, _>>()?;
            let Some(role) = grant.standing(snapshot, &self.fixed)? else { return Ok(None) };
            let attached = snapshot.effective_policies_of_role(role.seq)?;
            Ok(Some((role, attached, epochs)))
        })?;
        let Some((role, attached, epochs)) = read else { return Err(expired()) };
        let (policies, bytes) = compile(&attached)?;
        let restriction = grant.policy.as_deref().map(session_policy).transpose().map_err(|error| {
            Failure::Internal(format!("a token of ours holds a bad session policy: {error}"))
        })?;
        let bytes = ENTRY_BYTES + bytes + 2 * token.len() + restriction.as_ref().map_or(0, PolicySet::bytes);
        let session = Session {
            role: role.name,
            role_id: role.id,
            name: grant.session.clone(),
            source_identity: grant.lineage.source_identity.clone(),
            origin: Origin::from(&grant),
            issued_ms: grant.issued_ms,
            policies: Arc::new(policies),
            restriction: restriction.map(Arc::new),
        };
        let identity = Identity::Session(Box::new(session));
        let principal = Arc::new(Principal { account: grant.account(), identity });
        let key = Key { id: id.to_owned(), credential: Credential::Secret(secret), principal, active: true };
        let session = Some(Kept { token: Zeroizing::new(token.to_owned()), grant, removals });
        let known = Arc::new(Known { key, session, epochs, bytes, used: None });
        self.keep(id, &known);
        Ok(known)
    }

    /// The user who signs with this access key, for a session that it makes: none if key, user or account may not be
    /// used any more.
    pub(crate) fn origin(
        &self,
        snapshot: &Snapshot<'_>,
        known: &Known,
    ) -> Result<Option<provenance::Origin>, StoreError> {
        provenance::Origin::of(snapshot, &self.fixed, &known.key.principal, &known.key.id)
    }

    /// Notes that a key was used, now and then: at most one write a minute and key.
    pub(crate) fn note_use(&self, context: &Context, known: &Known, product: Product, now_ms: i64) {
        let Some(used) = &known.used else { return };
        let grain = now_ms.div_euclid(USE_GRAIN_MS);
        if used.load(Ordering::Relaxed) == grain || used.swap(grain, Ordering::Relaxed) == grain {
            return;
        }
        let (store, id) = (context.store.clone(), known.key.id.clone());
        tokio::spawn(async move {
            let noted = store.write_in(Scope::Nothing, move |tx| {
                tx.access_key_used(&id, now_ms, product.as_str())?;
                Ok(Verdict::Keep(()))
            });
            if let Err(error) = noted.await {
                warn!(%error, "the use of an access key was not noted");
            }
        });
    }
}

/// A session policy, as a set of its own.
///
/// # Errors
/// It is malformed.
pub fn session_policy(document: &str) -> Result<PolicySet, PolicyError> {
    let policy = Arc::new(Policy::parse(document)?);
    Ok(PolicySet::new(vec![Attached { origin: "the session policy".into(), policy }]))
}

/// The policies of a user or role, ready to decide, and about how many bytes they take.
fn compile(attached: &[AttachedPolicy]) -> Result<(PolicySet, usize), Failure> {
    let mut set = Vec::with_capacity(attached.len());
    for one in attached {
        let (policy, kind) = match &one.custom {
            // A document that was accepted once and is none now would be a hole, whichever way it is read.
            Some((version, document)) => {
                let policy = Policy::parse(document);
                let bad = |error| Failure::Internal(format!("policy `{}` v{version}: {error}", one.name));
                let policy = policy.map_err(bad)?;
                if let Err(costly) = policy.affordable() {
                    // It is kept as it is: the budget of each decision bounds what it can cost.
                    warn!(
                        policy = one.name,
                        version, "a stored policy would not be accepted today: {costly}"
                    );
                }
                (Arc::new(policy), format!("Custom, v{version}"))
            }
            None => {
                let gone =
                    || Failure::Internal(format!("system policy `{}` is not part of this release", one.name));
                (system_policy(&one.name).ok_or_else(gone)?, "System".to_owned())
            }
        };
        let via = match &one.via {
            Via::Own => String::new(),
            Via::Group(name) => format!(", through group/{name}"),
        };
        set.push(Attached { origin: format!("policy/{} ({kind}){via}", one.name), policy });
    }
    let set = PolicySet::new(set);
    let bytes = set.bytes();
    Ok((set, bytes))
}

/// The policies of a user: its own and those of its groups.
///
/// # Errors
/// The store fails, or holds a policy that this release cannot read.
pub fn policies_of_user(snapshot: &Snapshot<'_>, user: i64) -> Result<PolicySet, Failure> {
    Ok(compile(&snapshot.effective_policies_of_user(user)?)?.0)
}

/// The policies of a role.
///
/// # Errors
/// As [`policies_of_user`].
pub fn policies_of_role(snapshot: &Snapshot<'_>, role: i64) -> Result<PolicySet, Failure> {
    Ok(compile(&snapshot.effective_policies_of_role(role)?)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accounts that make keys and sessions without end leave no more behind than the cache holds.
    #[test]
    fn what_the_cache_lets_go_is_noted_no_more() {
        const ENTRIES: u64 = 64;
        let shares = Arc::new(Shares::new(SHARE_BYTES));
        let known = Cache::with(
            ENTRIES as usize,
            ENTRIES * ENTRY_BYTES as u64,
            ByBytes,
            DefaultHashBuilder::default(),
            Displaced(Arc::clone(&shares)),
        );
        for number in 0..20_000 {
            let account = AccountId::new((number % 500).to_string());
            let id = format!("key-{number}");
            let principal = Arc::new(Principal { account: account.clone(), identity: Identity::Root });
            let credential = Credential::Secret(Secret::from("secret"));
            let key = Key { id: id.clone(), credential, principal, active: true };
            let one = Known { key, session: None, epochs: Box::new([]), bytes: ENTRY_BYTES, used: None };
            known.insert(id.clone(), Arc::new(one));
            let gone = shares.note(&account, &id, ENTRY_BYTES);
            assert!(gone.is_empty(), "no account is over its share");
        }
        assert!(!known.is_empty() && known.len() as u64 <= ENTRIES, "{}", known.len());
        // One that was displaced as it came is noted all the same.
        assert!(shares.entries() <= 2 * ENTRIES as usize, "{} of {}", shares.entries(), known.len());
    }
}
