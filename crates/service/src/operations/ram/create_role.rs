//! CreateRole: makes a role. Source: `docs/api/ram/CreateRole.json`.
//!
//! Names that begin as those of service-linked roles are kept for them.

use tongguan_model::service_role;
use tongguan_store::RoleRow;

use crate::api::ram::{CreateRole, CreateRoleOutput, RoleInfo};
use crate::args::Args;
use crate::context::new_principal_id;
use crate::operation::prelude::*;

use super::taggable::Taggable;
use super::{names, roles};

/// Longest session of a role that is made without one, seconds.
const DEFAULT_SECONDS: u32 = 3_600;

/// Name of a role to be made.
pub(crate) fn name(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    let given = names::role_name(args, name)?;
    if service_role::is_reserved(&given) {
        let why = "Names of this kind are kept for service-linked roles.";
        return Err(args.illegal(name, &given).because(why));
    }
    Ok(given)
}

impl Write for CreateRole {
    type Output = CreateRoleOutput;

    fn warnings(&self) -> Vec<String> {
        self.assume_role_policy_document.warnings()
    }

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        self.assume_role_policy_document.names_what_exists(tx, call)?;
        let account = &call.principal.account;
        if tx.role(account, &self.role_name)?.is_some() {
            return Err((&c::ROLE_EXISTS).into());
        }
        if tx.tally("ram_role", account, "")? >= call.context.settings.quotas.ram_roles_per_account {
            return Err((&c::ROLE_QUOTA).into());
        }
        let role = RoleRow {
            seq: 0,
            id: new_principal_id(3),
            account: account.clone(),
            name: self.role_name.clone(),
            description: self.description.clone(),
            trust: self.assume_role_policy_document.text().to_owned(),
            max_session_seconds: self.max_session_duration.unwrap_or(DEFAULT_SECONDS),
            service: None,
            console_login: self.allow_console_login,
            created_ms: call.now_ms,
            updated_ms: call.now_ms,
            sessions_from_ms: 0,
        };
        tx.insert_role(&role)?;
        Taggable::Role.put(tx, account, &role.id, &self.tag)?;
        Ok(Self::Output { role: RoleInfo { update_date: None, ..roles::with_trust(&role) } })
    }
}
