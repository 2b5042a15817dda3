//! MoveVpnResourceGroup: moves a VPN gateway or a customer gateway to another resource group.
//!
//! Source: `docs/api/vpc/MoveVpnResourceGroup.json`. The data plane knows no groups, so a gateway is moved in any state
//! and stays in it.

use tongguan_store::Tx;

use crate::api::vpc::{MoveVpnResourceGroup, MoveVpnResourceGroupOutput};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Write};
use crate::operations::resourcemanager::groups::group_or_default;

use super::taggable::{Taggable, only};
use super::{gateway_in, in_region};

/// The kind of what moves.
pub(crate) fn kind(args: &Args<'_>, name: &'static str) -> Result<Taggable, Refusal> {
    only(args, name, &[Taggable::VpnGateway, Taggable::CustomerGateway])
}

impl Write for MoveVpnResourceGroup {
    type Output = MoveVpnResourceGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (account, region) = (&call.principal.account, Some(self.region));
        let group = || group_or_default(call, tx, Some(&self.new_resource_group_id));
        if self.resource_type == Taggable::CustomerGateway {
            let found = tx.customer_gateway(account, &self.instance_id)?;
            let row = in_region(found, |row| &row.region, region, &c::CUSTOMER_GATEWAY_NOT_FOUND)?;
            tx.move_customer_gateway(&row.id, &group()?)?;
        } else {
            let gateway = gateway_in(tx.gateway(account, &self.instance_id)?, region)?;
            tx.move_gateway(&gateway.id, &group()?)?;
        }
        Ok(Self::Output {})
    }
}
