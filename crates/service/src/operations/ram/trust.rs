//! Trust policies as CreateRole and UpdateRole take them.

use tongguan_model::policy::{TrustPolicy, Trusted};
use tongguan_store::{Holder, Snapshot};

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::Refusal;
use crate::operation::Failure;

use super::policies::{malformed, told, unfit};

/// A trust policy that a call brings, checked; it is kept as it was given.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The parameter that held it.
    parameter: &'static str,
    text: String,
    policy: TrustPolicy,
}

/// The trust policy of a role to be made.
pub(crate) fn trust(args: &Args<'_>, name: &'static str) -> Result<Trust, Refusal> {
    new_trust(args, name)?.ok_or_else(|| args.missing(name))
}

/// The trust policy that is to take the place of a role's, if one is.
pub(crate) fn new_trust(args: &Args<'_>, name: &'static str) -> Result<Option<Trust>, Refusal> {
    let Some(document) = args.text(name) else { return Ok(None) };
    let policy = TrustPolicy::accept(document).map_err(|error| unfit(name, &error))?;
    Ok(Some(Trust { parameter: name, text: document.to_owned(), policy }))
}

impl Trust {
    /// As it was given.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What of it has no effect here, for its author.
    pub(super) fn warnings(&self) -> Vec<String> {
        told(self.parameter, &self.policy.warnings())
    }

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
