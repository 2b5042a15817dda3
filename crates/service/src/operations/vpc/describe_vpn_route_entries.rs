//! DescribeVpnRouteEntries: lists the destination routes of a VPN gateway, newest first.
//!
//! Source: `docs/api/vpc/DescribeVpnRouteEntries.json`. BGP has learnt none here.

use tongguan_model::route::RouteKind;
use tongguan_store::{RouteOwner, Snapshot};

use crate::api::vpc::{
    DescribeVpnRouteEntries, DescribeVpnRouteEntriesOutput,
    DescribeVpnRouteEntriesVpnRouteEntriesVpnRouteEntry as Entry,
};
use crate::args::Paging;
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::gateway_in;
use super::vpn_routes::{CLOUD, CUSTOM, Listed, counts, page};

impl Read for DescribeVpnRouteEntries {
    type Output = Listed<DescribeVpnRouteEntriesOutput>;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.gateway(&call.principal.account, &self.vpn_gateway_id)?;
        let gateway = gateway_in(found, Some(self.region))?;
        let owner = RouteOwner::Gateway(&gateway.id, RouteKind::Destination);
        let paging = Paging { number: self.page_number, size: self.page_size };
        let page = page(call, snapshot, owner, &self.route_entry_type, &paging)?;
        let vpn_route_counts = counts(call, snapshot, owner)?;
        Ok(Listed::of(page, |routes, total_count| DescribeVpnRouteEntriesOutput {
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_count,
            vpn_route_counts,
            vpn_route_entries: routes
                .into_iter()
                .map(|route| Entry {
                    create_time: route.created_ms,
                    state: route.shown_state().as_str().into(),
                    next_hop: route.next_hop.into(),
                    route_dest: route.destination.into(),
                    route_entry_type: CUSTOM.into(),
                    source: CLOUD.into(),
                    vpn_instance_id: gateway.id.clone().into(),
                    weight: route.weight.into(),
                })
                .collect(),
        }))
    }

    fn unsettled(output: &Self::Output) -> Vec<String> {
        output.unsettled()
    }
}
