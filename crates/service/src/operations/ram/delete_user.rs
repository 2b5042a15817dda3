//! DeleteUser: removes a user that has nothing left on it. Source: `docs/api/ram/DeleteUser.json`.
//!
//! There are no console logons and no MFA devices here, so of the documented conflicts those two never arise.

use crate::api::ram::{DeleteUser, DeleteUserOutput};
use crate::operation::prelude::*;

use super::people::find_user;

impl Write for DeleteUser {
    type Output = DeleteUserOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let user = find_user(tx, account, &self.user_name)?;
        if tx.group_count_of_user(user.seq)? > 0 {
            return Err((&c::USER_IN_GROUP).into());
        }
        if tx.key_count(account, Some(user.seq))? > 0 {
            return Err((&c::USER_HAS_KEY).into());
        }
        if tx.user_has_policies(user.seq)? {
            return Err((&c::USER_HAS_POLICY).into());
        }
        tx.delete_user(&user)?;
        Ok(Self::Output {})
    }
}
