//! ListPoliciesForUser: lists the policies attached to a user. Source: `docs/api/ram/ListPoliciesForUser.json`.
//!
//! Only what is attached to the user itself, not what it has by its groups.

use crate::api::ram::{ListPoliciesForUser, ListPoliciesForUserOutput};
use crate::operation::prelude::*;

use super::attachments::{USERS, list};

impl Read for ListPoliciesForUser {
    type Output = ListPoliciesForUserOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        Ok(Self::Output { policies: list(&USERS, &self.user_name, call, snapshot)? })
    }
}
