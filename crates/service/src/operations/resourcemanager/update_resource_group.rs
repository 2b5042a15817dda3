//! UpdateResourceGroup: changes the display name of a resource group.
//!
//! Source: `docs/api/resourcemanager/UpdateResourceGroup.json`. Nothing else of a group can change.

use tongguan_store::Tx;

use crate::api::resourcemanager::{UpdateResourceGroup, UpdateResourceGroupOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::groups::{info, own};

impl Write for UpdateResourceGroup {
    type Output = UpdateResourceGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let mut group = own(tx, &call.principal.account, &self.resource_group_id)?;
        group.display_name.clone_from(&self.new_display_name);
        tx.update_resource_group(&group)?;
        Ok(Self::Output { resource_group: info(group) })
    }
}
