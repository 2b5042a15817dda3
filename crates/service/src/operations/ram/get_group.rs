//! GetGroup: shows one group. Source: `docs/api/ram/GetGroup.json`.

use tongguan_store::Snapshot;

use crate::api::ram::{GetGroup, GetGroupOutput};
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::people::find_group;

impl Read for GetGroup {
    type Output = GetGroupOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let group = find_group(snapshot, &call.principal.account, &self.group_name)?;
        Ok(Self::Output { group: group.into() })
    }
}
