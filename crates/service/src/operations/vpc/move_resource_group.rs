//! MoveResourceGroup: moves a VPC, its vSwitches and its route table to another resource group.
//!
//! Source: `docs/api/vpc/MoveResourceGroup.json`. Of the kinds that the page lists only VPCs exist here. vSwitches and
//! route tables are not in its list: they go with their VPC.

use tongguan_store::Tx;

use crate::api::vpc::{MoveResourceGroup, MoveResourceGroupOutput};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Write};
use crate::operations::resourcemanager::groups::group_or_default;

use super::in_region;
use super::taggable::{Taggable, only};

/// The kind of what moves.
pub(crate) fn kind(args: &Args<'_>, name: &'static str) -> Result<Taggable, Refusal> {
    only(args, name, &[Taggable::Vpc])
}

impl Write for MoveResourceGroup {
    type Output = MoveResourceGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.vpc(&call.principal.account, &self.resource_id)?;
        let vpc = in_region(found, |vpc| &vpc.region, Some(self.region), &c::VPC_NOT_FOUND)?;
        let group = group_or_default(call, tx, Some(&self.new_resource_group_id))?;
        tx.move_vpc(&vpc.id, &group)?;
        Ok(Self::Output {})
    }
}
