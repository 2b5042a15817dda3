//! Settings that all processes on one store have to have in common: a call must not be answered otherwise because
//! another process has taken it.
//!
//! Each process writes a digest of each into its row of the store ([`tongguan_store::NodeRow`]), and compares them with
//! those of the others. Among them are secrets, of principals that a configuration names: so a digest is an HMAC-SHA256
//! under a key of the service's own, and with the database alone no guess can be tried.

use std::collections::BTreeMap;

use aws_lc_rs::hkdf::Prk;
use aws_lc_rs::hmac::{Context as Mac, HMAC_SHA256, Key};
use tongguan_model::principal::Identity;
use tongguan_rpc::Credential;
use tongguan_store::NodeRow;

use crate::context::Settings;
use crate::keyring::Keyring;

/// Digests of the settings, by what these are called in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreement(BTreeMap<String, String>);

/// A process that has other settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// Id of the process.
    pub node: String,
    /// What it has otherwise: `region`, `quotas`, `address_pool`, `principals`.
    pub settings: Vec<String>,
}

/// Digests one setting.
struct Digest(Mac);

impl Digest {
    fn of(key: &Key, setting: &str) -> Self {
        let mut digest = Self(Mac::with_key(key));
        digest.put(setting.as_bytes());
        digest
    }

    /// A part with its length, so that no two settings are written alike.
    fn put(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    fn end(self) -> String {
        self.0.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Agreement {
    /// What this process has. `prk` is what keys of the service's own are derived from.
    pub(crate) fn of(settings: &Settings, keyring: &Keyring, prk: &Prk) -> Self {
        let key = prk.expand(&[b"settings of all processes"], HMAC_SHA256);
        let key = Key::from(key.expect("HKDF gives as much as HMAC takes"));
        let mut all = BTreeMap::new();
        let mut digest = |name: &str, put: &mut dyn FnMut(&mut Digest)| {
            let mut digest = Digest::of(&key, name);
            put(&mut digest);
            all.insert(name.to_owned(), digest.end());
        };
        digest("region", &mut |digest| digest.put(settings.default_region.id.as_bytes()));
        digest("quotas", &mut |digest| {
            for (name, value, _) in settings.quotas.iter() {
                digest.put(name.as_bytes());
                digest.put(&value.to_be_bytes());
            }
        });
        digest("address_pool", &mut |digest| digest.put(settings.address_pool.to_string().as_bytes()));
        digest("principals", &mut |digest| principals(keyring, digest));
        Self(all)
    }

    /// As it is stored.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(&self.0).expect("every key is a text")
    }

    /// What other processes have otherwise, each by its id. What only one of two releases knows does not differ.
    pub(crate) fn differing(&self, others: &[NodeRow]) -> Vec<Disagreement> {
        let differing = others.iter().map(|other| {
            let theirs: BTreeMap<String, String> = serde_json::from_str(&other.settings).unwrap_or_default();
            let differs = |name: &&String| theirs.get(*name).is_some_and(|theirs| theirs != &self.0[*name]);
            let settings = self.0.keys().filter(differs).cloned().collect();
            Disagreement { node: other.id.clone(), settings }
        });
        differing.filter(|one| !one.settings.is_empty()).collect()
    }
}

/// The keys of a configuration, with all that it says of them.
fn principals(keyring: &Keyring, digest: &mut Digest) {
    for (key, documents) in keyring.in_order() {
        digest.put(key.id.as_bytes());
        digest.put(key.principal.account.as_str().as_bytes());
        digest.put(&[u8::from(key.active)]);
        match &key.principal.identity {
            Identity::Root => digest.put(b"root"),
            Identity::User { name, id, .. } => {
                digest.put(b"user");
                digest.put(name.as_bytes());
                digest.put(id.as_bytes());
            }
            Identity::Session(session) => digest.put(session.role_id.as_bytes()),
        }
        match &key.credential {
            Credential::Secret(secret) => digest.put(secret.expose().as_bytes()),
            // The key is among the documents.
            Credential::RsaPublicKey(_) => digest.put(b"rsa"),
        }
        digest.put(&(documents.len() as u64).to_be_bytes());
        documents.iter().for_each(|document| digest.put(document.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tongguan_model::id::AccountId;
    use tongguan_model::principal::Principal;
    use tongguan_rpc::Secret;

    use super::*;
    use crate::keyring::Key as AccessKey;
    use crate::own_key::MARKERS;

    fn keyring(secret: &str, document: &str) -> Keyring {
        let mut keyring = Keyring::default();
        for (id, documents) in [("one", vec![document.to_owned()]), ("two", Vec::new())] {
            let principal = Principal { account: AccountId::new("1"), identity: Identity::Root };
            let credential = Credential::Secret(Secret::from(secret));
            let key = AccessKey { id: id.into(), credential, principal: Arc::new(principal), active: true };
            keyring.insert_given(key, documents);
        }
        keyring
    }

    /// Each setting is told from every other value of it, and nothing else differs with it.
    #[test]
    fn what_differs_is_named() {
        let prk = MARKERS.extracted(&[7; 32]);
        let (settings, keys) = (Settings::default(), keyring("secret", "document"));
        let ours = Agreement::of(&settings, &keys, &prk);
        let row = |agreement: &Agreement| NodeRow {
            id: "other".into(),
            started_ms: 1,
            seen_ms: 1,
            settings: agreement.text(),
        };
        let differing = |settings: &Settings, keys: &Keyring| {
            let found = ours.differing(&[row(&Agreement::of(settings, keys, &prk))]);
            assert!(found.iter().all(|one| one.node == "other"));
            found.into_iter().flat_map(|one| one.settings).collect::<Vec<_>>()
        };
        assert_eq!(differing(&settings, &keyring("secret", "document")), [""; 0]);
        assert_eq!(differing(&settings, &keyring("another", "document")), ["principals"]);
        assert_eq!(differing(&settings, &keyring("secret", "documents")), ["principals"]);
        assert_eq!(differing(&settings, &Keyring::default()), ["principals"]);
        let mut other = settings.clone();
        other.quotas.nonces += 1;
        assert_eq!(differing(&other, &keys), ["quotas"]);
        other.address_pool = "203.0.113.0/24".parse().unwrap();
        assert_eq!(differing(&other, &keys), ["address_pool", "quotas"]);
        other.default_region = tongguan_model::region::find("cn-beijing").unwrap();
        assert_eq!(differing(&other, &keys), ["address_pool", "quotas", "region"]);
        // Where each is reached is its own.
        let elsewhere = Settings { endpoint: Some("other:1".into()), ..settings.clone() };
        assert_eq!(differing(&elsewhere, &keys), [""; 0]);
        // A release that knows more settings, or fewer.
        let more = NodeRow { settings: r#"{"more":"1"}"#.into(), ..row(&ours) };
        assert_eq!(ours.differing(&[more, row(&ours)]), []);
        // Under the key of another service nothing can be compared.
        assert_ne!(Agreement::of(&settings, &keys, &MARKERS.extracted(&[8; 32])), ours);
    }
}
