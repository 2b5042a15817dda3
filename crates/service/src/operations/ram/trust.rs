//! Trust policies as CreateRole and UpdateRole take them.

use tongguan_model::id::AccountId;
use tongguan_model::policy::{TrustPolicy, Trusted};
use tongguan_store::{Holder, Snapshot};

use crate::args::Args;
use crate::catalogue::Refusal;
use crate::operation::Failure;

use super::policies::{malformed, unfit};

/// A trust policy that was read.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    /// The document as it was given.
    pub document: String,
    /// What it says.
    policy: TrustPolicy,
}

/// The trust policy that the parameter `name` holds, if it is there.
///
/// # Errors
/// A refusal for a document that is none.
pub(super) fn trust(args: &Args<'_>, name: &'static str) -> Result<Option<Trust>, Refusal> {
    let Some(document) = args.text(name) else { return Ok(None) };
    let policy = TrustPolicy::parse(document).map_err(|error| unfit(name, &error))?;
    Ok(Some(Trust { document: document.to_owned(), policy }))
}

impl Trust {
    /// Refuses a policy that names a user or role which the account does not have. Other accounts' are not looked
    /// up: the answer would tell a stranger what exists.
    pub fn names_what_exists(&self, snapshot: &Snapshot<'_>, account: &AccountId) -> Result<(), Failure> {
        for trusted in self.policy.principals() {
            let (owner, kind, name): (_, fn(i64) -> Holder, _) = match trusted {
                Trusted::User { account, name } => (account, Holder::User, name),
                Trusted::Role { account, name } => (account, Holder::Role, name),
                Trusted::Account { .. } | Trusted::Service { .. } | Trusted::SamlProvider { .. } => continue,
            };
            if owner == account.as_str() && snapshot.holder(account, kind, name)?.is_none() {
                return Err(malformed(format!("The principal {trusted} does not exist.")).into());
            }
        }
        Ok(())
    }
}
