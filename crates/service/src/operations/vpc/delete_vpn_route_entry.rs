//! DeleteVpnRouteEntry: removes a destination route from a VPN gateway. It is listed until the data plane has let go of
//! it. Source: `docs/api/vpc/DeleteVpnRouteEntry.json`.

use tongguan_model::route::RouteKind;
use tongguan_store::Tx;

use crate::api::vpc::{DeleteVpnRouteEntry, DeleteVpnRouteEntryOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::vpn_routes::{NamedRoute, gateway_for_work, remove};

impl Write for DeleteVpnRouteEntry {
    type Output = DeleteVpnRouteEntryOutput;

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
        remove(call, tx, gateway, &row)?;
        Ok(Self::Output {})
    }
}
