//! ModifyVpnPbrRouteEntryAttribute: changes weight and priority of a policy route of a VPN gateway, or one of them.
//!
//! Source: `docs/api/vpc/ModifyVpnPbrRouteEntryAttribute.json`. Over a connection with two tunnels, which choose among
//! themselves, only the priority can change here.

use tongguan_model::route::{RouteKind, RouteSettings};
use tongguan_store::Tx;

use crate::api::vpc::{ModifyVpnPbrRouteEntryAttribute, ModifyVpnPbrRouteEntryAttributeOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::vpn_routes::{NamedRoute, alter, gateway_for_work, small};

impl Write for ModifyVpnPbrRouteEntryAttribute {
    type Output = ModifyVpnPbrRouteEntryAttributeOutput;

    fn check(&self, call: &Call) -> Result<(), Failure> {
        if self.new_weight.is_none() && self.new_priority.is_none() {
            return Err(call.operation.missing("NewPriority").into());
        }
        Ok(())
    }

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
        let row = named.on(tx, &gateway)?;
        let held = row.route.settings();
        let wanted = RouteSettings {
            weight: self.new_weight.map_or(held.weight, small),
            priority: self.new_priority.map(small).or(held.priority),
            published: held.published,
        };
        if wanted.weight != held.weight {
            let hop = tx.connection(&call.principal.account, &self.next_hop)?;
            if hop.is_some_and(|hop| hop.is_dual()) {
                let refusal = call.operation.illegal("NewWeight", &wanted.weight.to_string());
                return Err(refusal
                    .because("The next hop has two tunnels: only the priority can change.")
                    .into());
            }
        }
        alter(call, tx, gateway, &row, wanted)?;
        Ok(Self::Output {})
    }
}
