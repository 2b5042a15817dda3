//! GetUser: shows one user. Source: `docs/api/ram/GetUser.json`.

use crate::api::ram::{GetUser, GetUserOutput};
use crate::operation::prelude::*;

use super::people::find_user;

impl Read for GetUser {
    type Output = GetUserOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let user = find_user(snapshot, &call.principal.account, &self.user_name)?;
        Ok(Self::Output { user: user.into() })
    }
}
