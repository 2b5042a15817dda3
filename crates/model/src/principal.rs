//! Who calls: the account itself or one of its RAM users.

use crate::id::AccountId;
use crate::policy::Policy;

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
        /// Policies attached to the user.
        policies: Vec<Policy>,
    },
}

impl Principal {
    /// The principal's ARN in the form that GetCallerIdentity answers.
    #[must_use]
    pub fn arn(&self) -> String {
        match &self.identity {
            Identity::Root => format!("acs:ram::{}:root", self.account),
            Identity::User { name, .. } => format!("acs:ram::{}:user/{name}", self.account),
        }
    }
}
