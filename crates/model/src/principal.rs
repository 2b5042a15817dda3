//! Who calls: the account itself, one of its RAM users, or a session of one of its roles.

use std::sync::Arc;

use crate::id::AccountId;
use crate::policy::PolicySet;

/// The owner of an access key, as far as authorisation needs to know it.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The account that everything the principal makes belongs to.
    pub account: AccountId,
    /// What kind of identity it is.
    pub identity: Identity,
}

/// The kinds of identity that sign requests.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The account's own key: everything in the account is allowed.
    Root,
    /// A RAM user: allowed what its policies allow.
    User {
        /// Name, unique in the account.
        name: String,
        /// Decimal id, as GetCallerIdentity shows it.
        id: String,
        /// Policies attached to the user and to its groups.
        policies: Arc<PolicySet>,
    },
    /// A role, assumed for a time.
    Session(Box<Session>),
}

/// A role session, as AssumeRole made it.
#[derive(Debug, Clone)]
pub struct Session {
    /// Name of the role, as it is stored.
    pub role: String,
    /// Decimal id of the role.
    pub role_id: String,
    /// `RoleSessionName`.
    pub name: String,
    /// `SourceIdentity`, of this session or of the first before it that was given one.
    pub source_identity: Option<String>,
    /// Who made the first session of the chain.
    pub origin: Origin,
    /// When this session was issued, UNIX milliseconds.
    pub issued_ms: i64,
    /// Policies attached to the role.
    pub policies: Arc<PolicySet>,
    /// The session policy: what the role may do counts only as far as this allows it too.
    pub restriction: Option<Arc<PolicySet>>,
}

/// The user whose access key made a session, or the first of a chain of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Account of the user.
    pub account: AccountId,
    /// Name that the user had then.
    pub user: String,
    /// Id of the access key.
    pub access_key: String,
}

/// As the audit record has it: `ACCOUNT:user/NAME:ACCESS-KEY-ID`.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:user/{}:{}", self.account, self.user, self.access_key)
    }
}

impl Principal {
    /// The session, if it is one.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        match &self.identity {
            Identity::Session(session) => Some(session),
            Identity::Root | Identity::User { .. } => None,
        }
    }

    /// The principal's ARN in the form that GetCallerIdentity answers.
    #[must_use]
    pub fn arn(&self) -> String {
        match &self.identity {
            Identity::Root => format!("acs:ram::{}:root", self.account),
            Identity::User { name, .. } => format!("acs:ram::{}:user/{name}", self.account),
            Identity::Session(session) => {
                format!("acs:ram::{}:assumed-role/{}/{}", self.account, session.role, session.name)
            }
        }
    }

    /// The principal in the audit record: unique in its account.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.identity {
            Identity::Root => "root".to_owned(),
            Identity::User { name, .. } => format!("user/{name}"),
            Identity::Session(session) => format!("assumed-role/{}/{}", session.role, session.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(identity: Identity) -> Principal {
        Principal { account: AccountId::new("1234567890123456"), identity }
    }

    fn session() -> Session {
        Session {
            role: "Ops".to_owned(),
            role_id: "300000000000000001".to_owned(),
            name: "deploy".to_owned(),
            source_identity: None,
            origin: Origin {
                account: AccountId::new("6543210987654321"),
                user: "alice".to_owned(),
                access_key: "LTAI5tExample".to_owned(),
            },
            issued_ms: 0,
            policies: Arc::default(),
            restriction: None,
        }
    }

    #[test]
    fn each_identity_has_its_arn_and_its_label() {
        let user = Identity::User { name: "bob".to_owned(), id: "2".to_owned(), policies: Arc::default() };
        for (identity, arn, label) in [
            (Identity::Root, "acs:ram::1234567890123456:root", "root"),
            (user, "acs:ram::1234567890123456:user/bob", "user/bob"),
            (
                Identity::Session(Box::new(session())),
                "acs:ram::1234567890123456:assumed-role/Ops/deploy",
                "assumed-role/Ops/deploy",
            ),
        ] {
            let principal = principal(identity);
            assert_eq!((principal.arn().as_str(), principal.label().as_str()), (arn, label));
        }
    }

    #[test]
    fn only_a_session_has_one_and_it_says_whose_key_made_it() {
        assert!(principal(Identity::Root).session().is_none());
        let principal = principal(Identity::Session(Box::new(session())));
        let session = principal.session().unwrap();
        assert_eq!(session.name, "deploy");
        assert_eq!(session.origin.to_string(), "6543210987654321:user/alice:LTAI5tExample");
    }
}
