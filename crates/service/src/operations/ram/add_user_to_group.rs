//! AddUserToGroup: puts a user into a group. Source: `docs/api/ram/AddUserToGroup.json`.

use crate::api::ram::{AddUserToGroup, AddUserToGroupOutput};
use crate::operation::prelude::*;

use super::people::find_both;

impl Write for AddUserToGroup {
    type Output = AddUserToGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (user, group) = find_both(tx, &call.principal.account, &self.user_name, &self.group_name)?;
        if tx.is_member(user, group)? {
            return Err((&c::MEMBER_EXISTS).into());
        }
        if tx.group_count_of_user(user)? >= call.context.settings.quotas.ram_groups_per_user {
            return Err((&c::MEMBER_QUOTA).into());
        }
        tx.insert_member(user, group, call.now_ms)?;
        Ok(Self::Output {})
    }
}
