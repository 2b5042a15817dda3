//! DeleteVpnGateway: releases a gateway.
//!
//! Source: `docs/api/vpc/DeleteVpnGateway.json`. The gateway is `deleting` and then gone. A
//! subscription inside its paid term is refused, and so is a gateway with connections; an unpaid order is cancelled at
//! once.

use tongguan_model::gateway::Phase;
use tongguan_store::Tx;

use crate::api::vpc::{DeleteVpnGateway, DeleteVpnGatewayOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::{gateway_in, intend};

impl Write for DeleteVpnGateway {
    type Output = DeleteVpnGatewayOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.gateway(&call.principal.account, &self.vpn_gateway_id)?;
        let mut gateway = gateway_in(found, Some(self.region))?;
        gateway.delete(tx.connections_on(&gateway.id)?, call.now_ms)?;
        if gateway.phase == Phase::Unpaid {
            tx.delete_gateway(&gateway)?;
            return Ok(Self::Output {});
        }
        gateway.phase = Phase::Deleting;
        intend(&call.context, tx, &mut gateway, "delete", call.now_ms)?;
        tx.update_gateway(&gateway)?;
        Ok(Self::Output {})
    }
}
