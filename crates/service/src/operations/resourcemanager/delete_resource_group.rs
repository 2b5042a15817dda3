//! DeleteResourceGroup: deletes an empty resource group. Source: `docs/api/resourcemanager/DeleteResourceGroup.json`.

use tongguan_store::{ResourceGroupStatus, Tx};

use crate::api::resourcemanager::{DeleteResourceGroup, DeleteResourceGroupOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::operation::{Failure, Write};

use super::groups::{everywhere, intend, own};

impl Write for DeleteResourceGroup {
    type Output = DeleteResourceGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let mut group = own(tx, &call.principal.account, &self.resource_group_id)?;
        if group.is_default {
            return Err((&c::RG_DEFAULT).into());
        }
        if tx.resource_group_in_use(&group)? {
            return Err((&c::RG_IN_USE).into());
        }
        group.status = ResourceGroupStatus::PendingDelete;
        tx.update_resource_group(&group)?;
        intend(tx, &group, "delete", call.now_ms)?;
        Ok(Self::Output { resource_group: everywhere(group) })
    }
}
