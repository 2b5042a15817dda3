//! Where a session's permissions come from, and whether all of that is still valid.
//!
//! A session is created by a user's access key, or by another session. What it may do depends on more rows than
//! those of its role: on the key that created the first session of the chain, on that key's user and account, and
//! on every role that the chain passed through. A [`Grant`] names them all, each with the number that its row had
//! ([`Tx::end_sessions`](tongguan_store::Tx::end_sessions)). The session is over as soon as one of them is gone,
//! disabled, or has another number. A chain inherits these numbers: what ends a session ends everything derived
//! from it.

use serde::{Deserialize, Serialize};
use tongguan_model::id::AccountId;
use tongguan_model::limits::Quotas;
use tongguan_model::principal::{self, Identity, Principal};
use tongguan_store::{KeyOwner, RoleRow, SessionsFrom, Snapshot, StoreError};

use crate::catalogue::{self as c, Refusal};
use crate::keyring::Keyring;

/// What a token says. It is sealed whole: its bearer cannot read or change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The temporary access key id that it belongs to.
    #[serde(rename = "k")]
    pub access_key: String,
    /// `RoleSessionName`.
    #[serde(rename = "n")]
    pub session: String,
    /// When it was issued, UNIX milliseconds.
    #[serde(rename = "t")]
    pub issued_ms: i64,
    /// Until when, UNIX seconds.
    #[serde(rename = "e")]
    pub expires: i64,
    /// The role, and the number that it had.
    #[serde(rename = "r")]
    pub role: Step,
    /// Session policy: its document.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<String>,
    /// Whence it comes.
    #[serde(rename = "w")]
    pub lineage: Lineage,
}

/// A role of a chain of sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Account of the role.
    #[serde(rename = "a")]
    pub account: String,
    /// Decimal id of the role: a role of the same name that is made later is another one.
    #[serde(rename = "i")]
    pub role_id: String,
    /// Number of the account.
    #[serde(rename = "f")]
    pub account_from: i64,
    /// Number of the role.
    #[serde(rename = "g")]
    pub role_from: i64,
}

/// What a session has from those before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Who made the first session.
    #[serde(rename = "o")]
    pub origin: Origin,
    /// When, UNIX milliseconds.
    #[serde(rename = "t")]
    pub first_ms: i64,
    /// Sessions since then: 1 if a user's key made this one.
    #[serde(rename = "d")]
    pub depth: u32,
    /// Roles that were assumed on the way, each once, with the number that it had the first time.
    #[serde(rename = "s", skip_serializing_if = "Vec::is_empty", default)]
    pub steps: Vec<Step>,
    /// `SourceIdentity`: set once, it stays.
    #[serde(rename = "i", skip_serializing_if = "Option::is_none", default)]
    pub source_identity: Option<String>,
}

/// The user whose key made the first session of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Account of the user.
    #[serde(rename = "a")]
    pub account: String,
    /// Decimal id of the user, of RAM or of the configuration.
    #[serde(rename = "i")]
    pub user_id: String,
    /// Name of the user then, for people.
    #[serde(rename = "n")]
    pub user: String,
    /// Id of the access key.
    #[serde(rename = "k")]
    pub access_key: String,
    /// Number of the account.
    #[serde(rename = "f")]
    pub account_from: i64,
    /// Number of the user; 0 for one of the configuration.
    #[serde(rename = "g")]
    pub user_from: i64,
    /// Number of the key; 0 for one of the configuration.
    #[serde(rename = "h")]
    pub key_from: i64,
}

impl Grant {
    /// The account of the role.
    #[must_use]
    pub fn account(&self) -> AccountId {
        AccountId::new(self.role.account.as_str())
    }

    /// Every account with rows that the session depends on, each once.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountId> {
        let steps = self.lineage.steps.iter().map(|step| step.account.as_str());
        let mut accounts: Vec<AccountId> = Vec::with_capacity(1);
        for account in steps.chain([self.role.account.as_str(), self.lineage.origin.account.as_str()]) {
            if accounts.iter().all(|known| known.as_str() != account) {
                accounts.push(AccountId::new(account));
            }
        }
        accounts
    }

    /// The role, if everything that the session depends on is unchanged.
    ///
    /// # Errors
    /// A database error.
    pub fn standing(&self, snapshot: &Snapshot<'_>, fixed: &Keyring) -> Result<Option<RoleRow>, StoreError> {
        if !self.lineage.origin.stands(snapshot, fixed)? {
            return Ok(None);
        }
        for step in &self.lineage.steps {
            if step.standing(snapshot)?.is_none() {
                return Ok(None);
            }
        }
        self.role.standing(snapshot)
    }

    /// The lineage of a session that this one makes.
    ///
    /// # Errors
    /// The chain has come through as many roles as it may.
    pub fn further(&self, quotas: &Quotas) -> Result<Lineage, Refusal> {
        let mut lineage = self.lineage.clone();
        // Of a role that assumes itself again the first time counts: what ended that ended all since.
        if lineage.steps.iter().all(|step| step.role_id != self.role.role_id) {
            lineage.steps.push(self.role.clone());
        }
        if lineage.steps.len() as u64 > quotas.session_chain_roles {
            return Err(Refusal::new(&c::ROLE_CHAIN).because("It has come through as many roles as it may."));
        }
        lineage.depth = lineage.depth.saturating_add(1);
        Ok(lineage)
    }
}

impl Step {
    /// The role as it is now; `account_from` is the number of its account.
    #[must_use]
    pub fn to(role: &RoleRow, account_from: i64) -> Self {
        Self {
            account: role.account.as_str().to_owned(),
            role_id: role.id.clone(),
            account_from,
            role_from: role.sessions_from_ms,
        }
    }

    /// The role, if it is still there and no sessions of it were ended.
    fn standing(&self, snapshot: &Snapshot<'_>) -> Result<Option<RoleRow>, StoreError> {
        let Some(role) = snapshot.role_by_id(&self.role_id)? else { return Ok(None) };
        let account = snapshot.account_sessions_from(&role.account)?;
        let stands = account.is_some_and(|account_from| *self == Self::to(&role, account_from));
        Ok(stands.then_some(role))
    }
}

impl Lineage {
    /// That of a session which `origin` makes now.
    #[must_use]
    pub fn first(origin: Origin, now_ms: i64) -> Self {
        Self { origin, first_ms: now_ms, depth: 1, steps: Vec::new(), source_identity: None }
    }

    /// Gives it the source identity that a call asks for.
    ///
    /// # Errors
    /// It has another one.
    pub fn identify(mut self, asked: Option<&str>) -> Result<Self, Refusal> {
        match (&self.source_identity, asked) {
            (Some(held), Some(asked)) if held != asked => {
                return Err(Refusal::new(&c::SOURCE_IDENTITY_HELD));
            }
            (None, Some(asked)) => self.source_identity = Some(asked.to_owned()),
            (Some(_), Some(_)) | (_, None) => {}
        }
        Ok(self)
    }
}

impl Origin {
    /// The user who signs with this access key, as the store or the configuration has it; none if key, user or
    /// account may not be used (any more).
    ///
    /// # Errors
    /// A database error.
    pub fn of(
        snapshot: &Snapshot<'_>,
        fixed: &Keyring,
        principal: &Principal,
        access_key: &str,
    ) -> Result<Option<Self>, StoreError> {
        let Identity::User { name, id, .. } = &principal.identity else { return Ok(None) };
        let from = numbers(snapshot, fixed, &principal.account, id, access_key)?;
        Ok(from.map(|from| Self {
            account: principal.account.as_str().to_owned(),
            user_id: id.clone(),
            user: name.clone(),
            access_key: access_key.to_owned(),
            account_from: from.account,
            user_from: from.user,
            key_from: from.key,
        }))
    }

    /// Whether user and key may still be used, and none of their sessions were ended.
    fn stands(&self, snapshot: &Snapshot<'_>, fixed: &Keyring) -> Result<bool, StoreError> {
        let then = SessionsFrom { account: self.account_from, user: self.user_from, key: self.key_from };
        let account = AccountId::new(self.account.as_str());
        Ok(numbers(snapshot, fixed, &account, &self.user_id, &self.access_key)? == Some(then))
    }
}

/// The numbers of an access key and of those it belongs to; none if it is not this user's, or may not be used.
fn numbers(
    snapshot: &Snapshot<'_>,
    fixed: &Keyring,
    account: &AccountId,
    user_id: &str,
    access_key: &str,
) -> Result<Option<SessionsFrom>, StoreError> {
    if let Some(key) = fixed.get(access_key) {
        let own = matches!(&key.principal.identity, Identity::User { id, .. } if id == user_id);
        if !(key.active && own && key.principal.account == *account) {
            return Ok(None);
        }
        // The configuration's keys change with a start: of their rows there is the account's alone.
        let account = snapshot.account_sessions_from(account)?;
        return Ok(account.map(|account| SessionsFrom { account, user: 0, key: 0 }));
    }
    let row = snapshot.access_key(access_key)?.filter(|row| {
        let own = matches!(&row.owner, KeyOwner::User { id, .. } if id == user_id);
        row.active && own && row.account == *account
    });
    Ok(row.map(|row| row.sessions_from))
}

impl From<&Grant> for principal::Origin {
    fn from(grant: &Grant) -> Self {
        let origin = &grant.lineage.origin;
        Self {
            account: AccountId::new(origin.account.as_str()),
            user: origin.user.clone(),
            access_key: origin.access_key.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tongguan_model::policy::PolicySet;
    use tongguan_rpc::{Credential, Secret};
    use tongguan_store::{Options, SessionsOf, Store, Verdict};

    use super::*;
    use crate::keyring::Key;

    fn key(account: &str, id: &str, active: bool) -> Key {
        let identity = Identity::User {
            name: "bob".into(),
            id: id.into(),
            policies: Arc::new(PolicySet::new(Vec::new())),
        };
        Key {
            id: "configured".into(),
            credential: Credential::Secret(Secret::from("secret")),
            principal: Arc::new(Principal { account: AccountId::new(account), identity }),
            active,
        }
    }

    /// A session that a key of the configuration made is held to the configuration as it is now, and to the account.
    #[test]
    fn an_origin_of_the_configuration_stands_as_long_as_its_key_is_there_and_active() {
        const ACCOUNT: &str = "1234567890123456";
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &Options::default()).unwrap();
        let account = AccountId::new(ACCOUNT);
        let made = account.clone();
        store.write_blocking(move |tx| Ok(Verdict::Keep(tx.ensure_account(&made, 1)?))).unwrap();
        let fixed = |keys: &[(&str, &str, bool)]| {
            let mut keyring = Keyring::default();
            keys.iter().for_each(|(account, id, active)| keyring.insert(key(account, id, *active)));
            keyring
        };
        let own = (ACCOUNT, "2000", true);
        let principal = key(ACCOUNT, "2000", true).principal;
        let of = |keyring: &Keyring| {
            store.read(|snapshot| Origin::of(snapshot, keyring, &principal, "configured")).unwrap()
        };
        let origin = of(&fixed(&[own])).unwrap();
        let stands = |keyring: &Keyring| store.read(|snapshot| origin.stands(snapshot, keyring)).unwrap();
        assert!(stands(&fixed(&[own])));
        let others = [
            fixed(&[]),
            fixed(&[(ACCOUNT, "2000", false)]),
            fixed(&[(ACCOUNT, "2001", true)]),
            fixed(&[("9999567890123456", "2000", true)]),
        ];
        for (place, keyring) in others.iter().enumerate() {
            assert!(!stands(keyring), "{place}");
            assert_eq!(of(keyring), None, "{place}");
        }
        let ended = account.clone();
        let end = move |tx: &tongguan_store::Tx<'_>| {
            Ok(Verdict::Keep(tx.end_sessions(SessionsOf::Account(&ended), 7)?))
        };
        assert!(store.write_blocking(end).unwrap());
        assert!(!stands(&fixed(&[own])));
        assert_eq!(of(&fixed(&[own])).unwrap().account_from, 7);
        store.write_blocking(move |tx| Ok(Verdict::Keep(tx.set_account_active(&account, false)?))).unwrap();
        assert_eq!(of(&fixed(&[own])), None);
    }
}
