//! UpdateRole: changes a role; what is not given stays. Source: `docs/api/ram/UpdateRole.json`.
//!
//! A service-linked role is not changed. Running sessions keep the time that they were given.

use crate::api::ram::{UpdateRole, UpdateRoleOutput};
use crate::operation::prelude::*;

use super::roles;
use super::trust::Trust;

impl Write for UpdateRole {
    type Output = UpdateRoleOutput;

    fn warnings(&self) -> Vec<String> {
        self.new_assume_role_policy_document.as_ref().map(Trust::warnings).unwrap_or_default()
    }

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let mut role = roles::own_role(tx, &call.principal.account, &self.role_name)?;
        if let Some(trust) = &self.new_assume_role_policy_document {
            trust.names_what_exists(tx, call)?;
            trust.text().clone_into(&mut role.trust);
        }
        if let Some(description) = &self.new_description {
            role.description.clone_from(description);
        }
        role.max_session_seconds = self.new_max_session_duration.unwrap_or(role.max_session_seconds);
        role.console_login = self.new_allow_console_login.unwrap_or(role.console_login);
        role.updated_ms = call.now_ms;
        tx.update_role(&role)?;
        Ok(Self::Output { role: roles::with_trust(&role) })
    }
}
