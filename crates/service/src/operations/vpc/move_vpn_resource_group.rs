//! MoveVpnResourceGroup: moves a VPN gateway to another resource group.
//!
//! Source: `docs/api/vpc/MoveVpnResourceGroup.json`. Of the kinds that the page lists only gateways exist here. The data
//! plane knows no groups, so a gateway is moved in any state and stays in it.

use tongguan_store::Tx;

use crate::api::vpc::{MoveVpnResourceGroup, MoveVpnResourceGroupOutput};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::Refusal;
use crate::operation::{Failure, Write};

use super::gateway_in;
use super::taggable::{Taggable, only};

/// The kind of what moves.
pub(crate) fn kind(args: &Args<'_>, name: &'static str) -> Result<Taggable, Refusal> {
    only(args, name, Taggable::VpnGateway)
}

impl Write for MoveVpnResourceGroup {
    type Output = MoveVpnResourceGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.gateway(&call.principal.account, &self.instance_id)?;
        let gateway = gateway_in(found, Some(self.region))?;
        tx.move_gateway(&gateway.id, &self.new_resource_group_id)?;
        Ok(Self::Output {})
    }
}
