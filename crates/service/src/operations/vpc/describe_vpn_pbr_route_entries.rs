//! DescribeVpnPbrRouteEntries: lists the policy routes of a VPN gateway, newest first.
//!
//! Source: `docs/api/vpc/DescribeVpnPbrRouteEntries.json`.

use tongguan_model::route::RouteKind;
use tongguan_store::{RouteOwner, Snapshot};

use crate::api::vpc::{
    DescribeVpnPbrRouteEntries, DescribeVpnPbrRouteEntriesOutput,
    DescribeVpnPbrRouteEntriesVpnPbrRouteEntriesVpnPbrRouteEntry as Entry,
};
use crate::args::Paging;
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::gateway_in;
use super::vpn_routes::{CUSTOM, Listed, page};

impl Read for DescribeVpnPbrRouteEntries {
    type Output = Listed<DescribeVpnPbrRouteEntriesOutput>;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.gateway(&call.principal.account, &self.vpn_gateway_id)?;
        let gateway = gateway_in(found, Some(self.region))?;
        let owner = RouteOwner::Gateway(&gateway.id, RouteKind::Policy);
        let paging = Paging { number: self.page_number, size: self.page_size };
        let page = page(call, snapshot, owner, CUSTOM, &paging)?;
        Ok(Listed::of(page, |routes, total_count| DescribeVpnPbrRouteEntriesOutput {
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_count,
            vpn_pbr_route_entries: routes
                .into_iter()
                .map(|route| Entry {
                    create_time: route.created_ms,
                    state: route.shown_state().as_str().into(),
                    next_hop: route.next_hop.into(),
                    priority: route.priority.unwrap_or_default().into(),
                    route_dest: route.destination.into(),
                    route_source: route.source.unwrap_or_default().into(),
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
