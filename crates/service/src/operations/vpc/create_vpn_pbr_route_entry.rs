//! CreateVpnPbrRouteEntry: adds a policy route to a VPN gateway.
//!
//! Source: `docs/api/vpc/CreateVpnPbrRouteEntry.json`. The answer, the route's data, comes before the work is done.

use tongguan_model::route::RouteKind;
use tongguan_store::Tx;

use crate::api::vpc::{CreateVpnPbrRouteEntry, CreateVpnPbrRouteEntryOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::vpn_routes::{NamedRoute, NewRoute, add, gateway_for_work};

impl Write for CreateVpnPbrRouteEntry {
    type Output = CreateVpnPbrRouteEntryOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let gateway = gateway_for_work(call, tx, &self.vpn_gateway_id, self.region)?;
        let named = NamedRoute {
            kind: RouteKind::Policy,
            next_hop: &self.next_hop,
            source: Some(self.route_source),
            destination: self.route_dest,
            weight: self.weight,
            priority: Some(self.priority),
        };
        let new = NewRoute { named, published: self.publish_vpc, description: self.description.as_ref() };
        let id = gateway.id.clone();
        let route = add(call, tx, gateway, self.region, &new)?;
        Ok(Self::Output {
            vpn_instance_id: id.into(),
            state: route.shown_state().as_str().into(),
            route_source: self.route_source.to_string().into(),
            route_dest: route.destination.into(),
            next_hop: route.next_hop.into(),
            weight: route.weight.into(),
            priority: self.priority.cast_signed(),
            overlay_mode: self.overlay_mode.clone().into(),
            description: route.description.into(),
            create_time: route.created_ms,
        })
    }
}
