//! DeleteVpnConnection: removes an IPsec connection from its VPN gateway.
//!
//! Source: `docs/api/vpc/DeleteVpnConnection.json`. The connection is there, and its customer gateway in use, until
//! the data plane has let go of it. One that routes lead over is refused. A locked gateway can still be emptied.

use tongguan_model::gateway::ChildState;
use tongguan_store::Tx;

use crate::api::vpc::{DeleteVpnConnection, DeleteVpnConnectionOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::connections::{gateway_of, leads_nowhere};
use super::{connection_in, intend};

impl Write for DeleteVpnConnection {
    type Output = DeleteVpnConnectionOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.connection(&call.principal.account, &self.vpn_connection_id)?;
        let connection = connection_in(found, self.region)?;
        let mut gateway = gateway_of(tx, &connection)?;
        gateway.settled()?;
        leads_nowhere(tx, &connection)?;
        tx.set_connection_state(&connection.id, ChildState::Deleting)?;
        intend(&call.context, tx, &mut gateway, "disconnect", call.now_ms)?;
        tx.update_generations(&gateway.id, gateway.intended, gateway.applied)?;
        Ok(Self::Output {})
    }
}
