//! ModifyVpnGatewayAttribute: changes name, description or route propagation of a gateway.
//!
//! Source: `docs/api/vpc/ModifyVpnGatewayAttribute.json`. The answer, the gateway's data, comes before
//! the work is done. What is left out stays as it is; a call that changes nothing starts no work.

use tongguan_model::gateway::VpnGateway;

use crate::api::vpc::{ModifyVpnGatewayAttribute, ModifyVpnGatewayAttributeOutput};
use crate::operation::prelude::*;

use super::{gateway_in, intend};

impl Write for ModifyVpnGatewayAttribute {
    type Output = ModifyVpnGatewayAttributeOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.gateway(&call.principal.account, &self.vpn_gateway_id)?;
        let mut gateway = gateway_in(found, Some(self.region))?;
        gateway.settled()?;
        let before = gateway.clone();
        gateway.name = self.name.clone().unwrap_or(gateway.name);
        gateway.description = self.description.clone().unwrap_or(gateway.description);
        gateway.auto_propagate = self.auto_propagate.unwrap_or(gateway.auto_propagate);
        if gateway != before {
            intend(&call.context, tx, &mut gateway, "modify", call.now_ms)?;
            tx.update_gateway(&gateway)?;
        }
        Ok(gateway.into())
    }
}

impl From<VpnGateway> for ModifyVpnGatewayAttributeOutput {
    fn from(gateway: VpnGateway) -> Self {
        Self {
            status: gateway.status().as_str().into(),
            business_status: gateway.business_status.as_str().into(),
            spec: format!("{}M", gateway.bandwidth).into(),
            vpn_gateway_id: gateway.id.into(),
            name: gateway.name.into(),
            description: gateway.description.into(),
            vpc_id: gateway.vpc.into(),
            vswitch_id: gateway.vswitch.map(Into::into).unwrap_or_default(),
            disaster_recovery_vswitch_id: gateway
                .disaster_recovery_vswitch
                .map(Into::into)
                .unwrap_or_default(),
            internet_ip: gateway.internet_ip.into(),
            disaster_recovery_internet_ip: gateway.disaster_recovery_ip.unwrap_or_default().into(),
            auto_propagate: gateway.auto_propagate,
            enable_bgp: false,
            create_time: gateway.created_ms,
            end_time: gateway.end_ms,
            resource_group_id: gateway.resource_group.into(),
        }
    }
}
