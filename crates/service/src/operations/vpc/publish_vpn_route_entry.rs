//! PublishVpnRouteEntry: tells a route of a VPN gateway to the route table of its VPC, or withdraws it.
//!
//! Source: `docs/api/vpc/PublishVpnRouteEntry.json`. It does not name the source of a policy route: all that have the
//! next hop and the destination are meant. What is withdrawn is withdrawn from both tables of the gateway.

use tongguan_store::Tx;

use crate::api::vpc::{PublishVpnRouteEntry, PublishVpnRouteEntryOutput};
use crate::call::Call;
use crate::operation::{Failure, Write};

use super::vpn_routes::{gateway_for_work, publish};

impl Write for PublishVpnRouteEntry {
    type Output = PublishVpnRouteEntryOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let gateway = gateway_for_work(call, tx, &self.vpn_gateway_id, self.region)?;
        let destination = self.route_dest.to_string();
        let named = (self.next_hop.as_str(), destination.as_str());
        publish(call, tx, gateway, self.route_type, named, self.publish_vpc)?;
        Ok(Self::Output {})
    }
}
