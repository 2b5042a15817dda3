//! GetResourceGroup: reads one resource group, in whatever state. Source:
//! `docs/api/resourcemanager/GetResourceGroup.json`.

use tongguan_store::Snapshot;

use crate::api::resourcemanager::{GetResourceGroup, GetResourceGroupOutput, ResourceGroupInfo};
use crate::call::Call;
use crate::catalogue as c;
use crate::operation::{Failure, Read};

use super::groups::{everywhere, shown};

impl Read for GetResourceGroup {
    type Output = GetResourceGroupOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.resource_group(&call.principal.account, &self.resource_group_id)?;
        let group = found.ok_or(&c::RG_NOT_FOUND)?;
        let tags = self.include_tags.then(|| snapshot.tags_of(&group.key())).transpose()?;
        Ok(Self::Output { resource_group: ResourceGroupInfo { tags: tags.map(shown), ..everywhere(group) } })
    }
}
