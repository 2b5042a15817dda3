//! GetGroup: shows one group. Source: `docs/api/ram/GetGroup.json`.

use crate::api::ram::{GetGroup, GetGroupOutput};
use crate::operation::prelude::*;

use super::people::find_group;

impl Read for GetGroup {
    type Output = GetGroupOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let group = find_group(snapshot, &call.principal.account, &self.group_name)?;
        Ok(Self::Output { group: group.into() })
    }
}
