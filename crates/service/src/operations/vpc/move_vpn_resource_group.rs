//! MoveVpnResourceGroup: moves a VPN gateway, a customer gateway or a connection to another resource group.
//!
//! Source: `docs/api/vpc/MoveVpnResourceGroup.json`. The data plane knows no groups, so anything is moved in any
//! state and stays in it.

use tongguan_store::Tx;

use crate::api::vpc::{MoveVpnResourceGroup, MoveVpnResourceGroupOutput};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::Refusal;
use crate::operation::{Failure, Write};
use crate::operations::resourcemanager::groups::group_or_default;

use super::attachments::attachment_in;
use super::taggable::{self, Taggable};
use super::{customer_gateway_in, gateway_in};

/// The kind of what moves.
pub(crate) fn kind(args: &Args<'_>, name: &'static str) -> Result<Taggable, Refusal> {
    match taggable::kind(args, name)? {
        kind @ (Taggable::VpnGateway | Taggable::CustomerGateway | Taggable::VpnAttachment) => Ok(kind),
        Taggable::Vpc | Taggable::VSwitch | Taggable::VpnConnection => {
            Err(args.illegal(name, args.required(name)))
        }
    }
}

impl Write for MoveVpnResourceGroup {
    type Output = MoveVpnResourceGroupOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (account, id) = (&call.principal.account, &*self.instance_id);
        let group = || group_or_default(call, tx, Some(&self.new_resource_group_id));
        match self.resource_type {
            Taggable::CustomerGateway => {
                let row = customer_gateway_in(tx.customer_gateway(account, id)?, self.region)?;
                tx.move_customer_gateway(&row.id, &group()?)?;
            }
            Taggable::VpnAttachment => {
                let connection = attachment_in(tx.connection(account, id)?, self.region)?;
                tx.move_connection(&connection.id, &group()?)?;
            }
            Taggable::Vpc | Taggable::VSwitch | Taggable::VpnGateway | Taggable::VpnConnection => {
                let gateway = gateway_in(tx.gateway(account, id)?, Some(self.region))?;
                tx.move_gateway(&gateway.id, &group()?)?;
            }
        }
        Ok(Self::Output {})
    }
}
