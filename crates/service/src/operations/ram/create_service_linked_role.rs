//! CreateServiceLinkedRole: makes the role of a service before its first use.
//!
//! Source: `docs/api/ram/CreateServiceLinkedRole.json`. The limit of roles does not hold for it. Product
//! ResourceManager answers the same under its own version: its page names this one as its twin.

use crate::api::ram::{
    CreateServiceLinkedRole, CreateServiceLinkedRoleOutput, CreateServiceLinkedRoleRole as RoleInfo,
};
use crate::context::iso8601;
use crate::operation::prelude::*;

use super::{roles, service_linked};

impl Write for CreateServiceLinkedRole {
    type Output = CreateServiceLinkedRoleOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (account, service) = (&call.principal.account, self.service_name);
        if tx.role(account, service.role)?.is_some() {
            return Err((&c::ROLE_EXISTS).into());
        }
        let role = service_linked::make_role(service, tx, account, call.now_ms)?;
        Ok(Self::Output {
            role: RoleInfo {
                arn: roles::arn(account, &role.name, true).into(),
                role_principal_name: roles::principal_name(&role).into(),
                assume_role_policy_document: role.trust.into(),
                create_date: iso8601(role.created_ms).into(),
                description: role.description.into(),
                is_service_linked_role: true,
                role_id: role.id.into(),
                role_name: role.name.into(),
            },
        })
    }
}
