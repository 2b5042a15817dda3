//! DeleteLoginProfile: answers that the user has no login profile. Source: `docs/api/ram/DeleteLoginProfile.json`.
//!
//! There is no console here, hence no login profiles: clients that remove a user with all that it might have
//! call it, and take its answer for done.

use crate::api::ram::{DeleteLoginProfile, DeleteLoginProfileOutput};
use crate::operation::prelude::*;

use super::people::find_user;

impl Write for DeleteLoginProfile {
    type Output = DeleteLoginProfileOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        find_user(tx, &call.principal.account, &self.user_name)?;
        Err((&c::LOGIN_PROFILE_NOT_FOUND).into())
    }
}
