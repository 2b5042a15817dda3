//! CreateResourceGroup: creates a resource group. Source: `docs/api/resourcemanager/CreateResourceGroup.json`.

use tongguan_store::{ResourceGroupRow, ResourceGroupStatus, Tx};

use crate::api::resourcemanager::{CreateResourceGroup, CreateResourceGroupOutput};
use crate::call::Call;
use crate::catalogue as c;
use crate::context::new_resource_group_id;
use crate::operation::{Failure, Write};

use super::groups::{KIND, everywhere, intend};

impl Write for CreateResourceGroup {
    type Output = CreateResourceGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        if tx.resource_group_named(account, &self.name)?.is_some() {
            return Err((&c::RG_EXISTS).into());
        }
        // The default group is one of those that are counted, and none of those that are made.
        let made = tx.tally_everywhere("resource_group", account)?.saturating_sub(1);
        if made >= call.context.settings.quotas.resource_groups_per_account {
            return Err((&c::RG_QUOTA).into());
        }
        let id = new_resource_group_id();
        tx.insert_resource_group(&ResourceGroupRow {
            seq: 0,
            id: id.clone(),
            account: account.clone(),
            name: self.name.clone(),
            display_name: self.display_name.clone(),
            status: ResourceGroupStatus::Creating,
            is_default: false,
            created_ms: call.now_ms,
        })?;
        let group = tx.resource_group(account, &id)?;
        let group = group.ok_or_else(|| Failure::Internal(format!("{id} was just inserted")))?;
        for tag in &self.tag {
            tx.put_tag(account, "", KIND, &group.key(), &tag.key, &tag.value)?;
        }
        intend(tx, &group, "create", call.now_ms)?;
        Ok(Self::Output { resource_group: everywhere(group) })
    }
}
