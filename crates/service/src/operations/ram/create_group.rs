//! CreateGroup: makes a group without members. Source: `docs/api/ram/CreateGroup.json`.

use tongguan_store::GroupRow;

use crate::api::ram::{CreateGroup, CreateGroupOutput, GroupInfo};
use crate::context::new_principal_id;
use crate::operation::prelude::*;

impl Write for CreateGroup {
    type Output = CreateGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        if tx.group(account, &self.group_name)?.is_some() {
            return Err((&c::GROUP_EXISTS).into());
        }
        if tx.tally("ram_group", account, "")? >= call.context.settings.quotas.ram_groups_per_account {
            return Err((&c::GROUP_QUOTA).into());
        }
        let group = GroupRow {
            seq: 0,
            id: new_principal_id(4),
            account: account.clone(),
            name: self.group_name.clone(),
            comments: self.comments.clone(),
            created_ms: call.now_ms,
            updated_ms: call.now_ms,
        };
        tx.insert_group(&group)?;
        Ok(Self::Output { group: GroupInfo { update_date: None, ..group.into() } })
    }
}
