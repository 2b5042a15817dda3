//! DeleteRole: deletes a role to which no policy is attached. Source: `docs/api/ram/DeleteRole.json`.
//!
//! A service-linked role is deleted by DeleteServiceLinkedRole.

use tongguan_store::Holder;

use crate::api::ram::{DeleteRole, DeleteRoleOutput};
use crate::args::Args;
use crate::operation::prelude::*;

use super::{names, roles};

/// Name of a role to be deleted. The page of this operation spells the parameter otherwise in one of its codes.
pub(crate) fn name(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    names::role_name(args, name).map_err(|refusal| {
        if *refusal.code == c::RAM_INVALID_CHARS { Refusal::new(&c::ROLE_NAME_CHARS) } else { refusal }
    })
}

impl Write for DeleteRole {
    type Output = DeleteRoleOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let role = roles::own_role(tx, &call.principal.account, &self.role_name)?;
        if !tx.attachments(Holder::Role(role.seq))?.is_empty() {
            return Err((&c::ROLE_HAS_POLICY).into());
        }
        tx.delete_role(&role)?;
        Ok(Self::Output {})
    }
}
