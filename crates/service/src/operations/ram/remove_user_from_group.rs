//! RemoveUserFromGroup: takes a user out of a group. Source: `docs/api/ram/RemoveUserFromGroup.json`.

use crate::api::ram::{RemoveUserFromGroup, RemoveUserFromGroupOutput};
use crate::operation::prelude::*;

use super::people::find_both;

impl Write for RemoveUserFromGroup {
    type Output = RemoveUserFromGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (user, group) = find_both(tx, &call.principal.account, &self.user_name, &self.group_name)?;
        if !tx.is_member(user, group)? {
            return Err((&c::MEMBER_NOT_FOUND).into());
        }
        tx.delete_member(user, group)?;
        Ok(Self::Output {})
    }
}
