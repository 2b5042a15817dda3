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
