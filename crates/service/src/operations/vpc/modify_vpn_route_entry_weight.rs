//! ModifyVpnRouteEntryWeight: makes a destination route of a VPN gateway the active one or the standby.
//!
//! Source: `docs/api/vpc/ModifyVpnRouteEntryWeight.json`.

use tongguan_model::route::{RouteKind, RouteSettings};
use tongguan_store::Tx;

use crate::api::vpc::{ModifyVpnRouteEntryWeight, ModifyVpnRouteEntryWeightOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::vpn_routes::{NamedRoute, alter, gateway_for_work, small};

impl Write for ModifyVpnRouteEntryWeight {
    type Output = ModifyVpnRouteEntryWeightOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let gateway = gateway_for_work(call, tx, &self.vpn_gateway_id, self.region)?;
        let named = NamedRoute {
            kind: RouteKind::Destination,
            next_hop: &self.next_hop,
            source: None,
            destination: self.route_dest,
            weight: self.weight,
            priority: None,
        };
        let row = named.on(tx, &gateway)?;
        let wanted = RouteSettings { weight: small(self.new_weight), ..row.route.settings() };
        alter(call, tx, gateway, &row, wanted)?;
        Ok(Self::Output {})
    }
}
