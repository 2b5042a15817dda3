//! ListPoliciesForRole: lists the policies attached to a role. Source: `docs/api/ram/ListPoliciesForRole.json`.

use crate::api::ram::{ListPoliciesForRole, ListPoliciesForRoleOutput};
use crate::operation::prelude::*;

use super::attachments::{ROLES, list};

impl Read for ListPoliciesForRole {
    type Output = ListPoliciesForRoleOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        Ok(Self::Output { policies: list(&ROLES, &self.role_name, call, snapshot)? })
    }
}
