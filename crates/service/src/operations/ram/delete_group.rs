//! DeleteGroup: removes a group without members and policies. Source: `docs/api/ram/DeleteGroup.json`.

use crate::api::ram::{DeleteGroup, DeleteGroupOutput};
use crate::operation::prelude::*;

use super::people::find_group;

impl Write for DeleteGroup {
    type Output = DeleteGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let group = find_group(tx, &call.principal.account, &self.group_name)?;
        if tx.group_has_members(group.seq)? {
            return Err((&c::GROUP_HAS_USER).into());
        }
        if tx.group_has_policies(group.seq)? {
            return Err((&c::GROUP_HAS_POLICY).into());
        }
        tx.delete_group(&group)?;
        Ok(Self::Output {})
    }
}
