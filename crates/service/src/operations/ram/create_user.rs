//! CreateUser: adds a user, who has no key and no permission yet. Source: `docs/api/ram/CreateUser.json`.

use tongguan_store::UserRow;

use crate::api::ram::{CreateUser, CreateUserOutput, UserInfo};
use crate::context::new_principal_id;
use crate::operation::prelude::*;

impl Write for CreateUser {
    type Output = CreateUserOutput;

    /// Trust policies may name users of the configuration: nobody else gets such a name.
    fn check(&self, call: &Call) -> Result<(), Failure> {
        if call.authority.configures_user(&call.principal.account, &self.user_name) {
            return Err((&c::USER_EXISTS).into());
        }
        Ok(())
    }

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        if tx.user(account, &self.user_name)?.is_some() {
            return Err((&c::USER_EXISTS).into());
        }
        if tx.tally("ram_user", account, "")? >= call.context.settings.quotas.ram_users_per_account {
            return Err((&c::USER_QUOTA).into());
        }
        let user = UserRow {
            seq: 0,
            id: new_principal_id(2),
            account: account.clone(),
            name: self.user_name.clone(),
            display_name: self.display_name.clone(),
            mobile_phone: self.mobile_phone.clone(),
            email: self.email.clone(),
            comments: self.comments.clone(),
            created_ms: call.now_ms,
            updated_ms: call.now_ms,
        };
        tx.insert_user(&user)?;
        Ok(Self::Output { user: UserInfo { update_date: None, ..user.into() } })
    }
}
