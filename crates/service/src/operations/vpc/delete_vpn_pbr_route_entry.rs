//! DeleteVpnPbrRouteEntry: removes a policy route from a VPN gateway. It is listed until the data plane has let go of
//! it.
//!
//! Source: `docs/api/vpc/DeleteVpnPbrRouteEntry.json`.

use tongguan_model::route::RouteKind;
use tongguan_store::Tx;

use crate::api::vpc::{DeleteVpnPbrRouteEntry, DeleteVpnPbrRouteEntryOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::vpn_routes::{NamedRoute, gateway_for_work, remove};

impl Write for DeleteVpnPbrRouteEntry {
    type Output = DeleteVpnPbrRouteEntryOutput;

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
        remove(call, tx, gateway, &row)?;
        Ok(Self::Output {})
    }
}
