//! ModifyVpnPbrRouteEntryPriority: changes which policy routes of a VPN gateway come before which.
//!
//! Source: `docs/api/vpc/ModifyVpnPbrRouteEntryPriority.json`.

use tongguan_model::route::{RouteKind, RouteSettings};
use tongguan_store::Tx;

use crate::api::vpc::{ModifyVpnPbrRouteEntryPriority, ModifyVpnPbrRouteEntryPriorityOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::vpn_routes::{NamedRoute, alter, gateway_for_work, small};

impl Write for ModifyVpnPbrRouteEntryPriority {
    type Output = ModifyVpnPbrRouteEntryPriorityOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let gateway = gateway_for_work(call, tx, &self.vpn_gateway_id, self.region)?;
        let named = NamedRoute {
            kind: RouteKind::Policy,
            next_hop: &self.next_hop,
            source: Some(self.route_source),
            destination: self.route_dest,
            weight: self.weight,
            priority: self.priority,
        };
        let row = named.on(tx, &gateway)?;
        let wanted = RouteSettings { priority: Some(small(self.new_priority)), ..row.route.settings() };
        alter(call, tx, gateway, &row, wanted)?;
        Ok(Self::Output {})
    }
}
