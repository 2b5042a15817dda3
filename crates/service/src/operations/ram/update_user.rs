//! UpdateUser: renames a user or changes its texts; what is not given stays. Source: `docs/api/ram/UpdateUser.json`.
//!
//! A renamed user keeps its id, keys, groups and policies.

use crate::api::ram::{UpdateUser, UpdateUserOutput};
use crate::operation::prelude::*;

use super::people::find_user;

impl Write for UpdateUser {
    type Output = UpdateUserOutput;

    fn check(&self, call: &Call) -> Result<(), Failure> {
        let account = &call.principal.account;
        let renamed = self.new_user_name.as_ref().filter(|name| !name.eq_ignore_ascii_case(&self.user_name));
        if let Some(name) = renamed {
            // Rights hang on names: who may change one user does not make another of it.
            call.require("ram:UpdateUser", &format!("acs:ram:*:{account}:user/{name}"), &[])?;
            if call.authority.configures_user(account, name) {
                return Err((&c::USER_EXISTS).into());
            }
        }
        Ok(())
    }

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let mut user = find_user(tx, account, &self.user_name)?;
        if let Some(name) = &self.new_user_name {
            // The same name in other letters is the user's own.
            if tx.user(account, name)?.is_some_and(|other| other.seq != user.seq) {
                return Err((&c::USER_EXISTS).into());
            }
        }
        for (field, given) in [
            (&mut user.name, &self.new_user_name),
            (&mut user.display_name, &self.new_display_name),
            (&mut user.mobile_phone, &self.new_mobile_phone),
            (&mut user.email, &self.new_email),
            (&mut user.comments, &self.new_comments),
        ] {
            if let Some(given) = given {
                field.clone_from(given);
            }
        }
        user.updated_ms = call.now_ms;
        tx.update_user(&user)?;
        Ok(Self::Output { user: user.into() })
    }
}
