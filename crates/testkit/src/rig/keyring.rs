//! The keys that every rig knows: `root`, two users, one without rights and one that is retired, a session, and a
//! stranger of another account. Each has its id and the word `secret` as its secret.

use std::sync::Arc;

use tongguan_model::id::AccountId;
use tongguan_model::policy::{Attached, PolicySet, system_policy};
use tongguan_model::principal::{Identity, Origin, Principal, Session};
use tongguan_rpc::{Credential, Secret};
use tongguan_service::keyring::{Key, Keyring};

use super::{OTHER_ACCOUNT, START_MS};
use crate::Caller;
use crate::api::ACCOUNT;

pub(super) fn keyring() -> Keyring {
    let mut keyring = Keyring::default();
    let user = |name: &str, policies: &[&str]| Identity::User {
        name: name.into(),
        id: "2000".into(),
        policies: Arc::new(PolicySet::new(
            policies
                .iter()
                .map(|name| Attached { origin: (*name).into(), policy: system_policy(name).unwrap() })
                .collect(),
        )),
    };
    let own = |identity| Principal { account: AccountId::new(ACCOUNT), identity };
    let stranger = Principal { account: AccountId::new(OTHER_ACCOUNT), identity: Identity::Root };
    let Identity::User { policies, .. } = user("", &["AdministratorAccess"]) else { unreachable!() };
    let visit = Session {
        role: "visitor".into(),
        role_id: "3000".into(),
        name: "visit".into(),
        source_identity: None,
        origin: Origin {
            account: AccountId::new(ACCOUNT),
            user: "observer".into(),
            access_key: "observer".into(),
        },
        issued_ms: START_MS,
        policies,
        restriction: None,
    };
    for (id, principal, active) in [
        ("root", own(Identity::Root), true),
        ("observer", own(user("observer", &["AliyunVPNGatewayReadOnlyAccess"])), true),
        ("nobody", own(user("nobody", &[])), true),
        ("retired", own(user("retired", &["AdministratorAccess"])), false),
        ("stranger", stranger, true),
        ("visitor", own(Identity::Session(Box::new(visit))), true),
    ] {
        keyring.insert(Key {
            id: id.into(),
            credential: Credential::Secret(Secret::from(Caller::named(id).secret)),
            principal: Arc::new(principal),
            active,
        });
    }
    keyring
}
