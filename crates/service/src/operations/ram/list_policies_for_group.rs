//! ListPoliciesForGroup: lists the policies attached to a group. Source: `docs/api/ram/ListPoliciesForGroup.json`.

use crate::api::ram::{ListPoliciesForGroup, ListPoliciesForGroupOutput};
use crate::operation::prelude::*;

use super::attachments::{GROUPS, list};

impl Read for ListPoliciesForGroup {
    type Output = ListPoliciesForGroupOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        Ok(Self::Output { policies: list(&GROUPS, &self.group_name, call, snapshot)? })
    }
}
