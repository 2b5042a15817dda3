//! Trust policies as CreateRole and UpdateRole take them.

use tongguan_model::policy::{TrustPolicy, Trusted};
use tongguan_store::{Holder, Snapshot};

use crate::args::Args;
use crate::call::Call;
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
    let policy = TrustPolicy::accept(document).map_err(|error| unfit(name, &error))?;
    Ok(Some(Trust { document: document.to_owned(), policy }))
}

impl Trust {
    /// Refuses a policy that names a user or role which the account of the call does not have, users of the
    /// configuration included. Other accounts' are not looked up: the answer would tell a stranger what exists.
    pub(super) fn names_what_exists(&self, snapshot: &Snapshot<'_>, call: &Call) -> Result<(), Failure> {
        let own = &call.principal.account;
        for trusted in self.policy.principals() {
            let (owner, kind, name): (_, fn(i64) -> Holder, _) = match trusted {
                Trusted::User { account, name } => (account, Holder::User, name),
                Trusted::Role { account, name } => (account, Holder::Role, name),
                Trusted::Account { .. } | Trusted::Service { .. } | Trusted::SamlProvider { .. } => continue,
            };
            let configured =
                matches!(trusted, Trusted::User { .. }) && call.authority.configures_user(own, name);
            if owner == own.as_str() && !configured && snapshot.holder(own, kind, name)?.is_none() {
                return Err(malformed(format!("The principal {trusted} does not exist.")).into());
            }
        }
        Ok(())
    }
}
