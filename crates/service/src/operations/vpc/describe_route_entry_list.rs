//! DescribeRouteEntryList: lists the routes of a route table, in the order of their blocks.
//!
//! Source: `docs/api/vpc/DescribeRouteEntryList.json`.

use std::slice;

use ipnet::Ipv4Net;
use tongguan_model::network::RouteStatus;
use tongguan_store::Snapshot;

use crate::api::vpc::{
    DescribeRouteEntryList, DescribeRouteEntryListOutput,
    DescribeRouteEntryListRouteEntrysRouteEntry as RouteEntry,
    DescribeRouteEntryListRouteEntrysRouteEntryNextHopsNextHop as NextHop,
};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::iso8601;
use crate::marker::Markers;
use crate::operation::{Failure, Read};

use super::in_region;
use super::networks::IpVersion;
use super::routes::{Route, VPN_GATEWAY, routes_of_all};

/// The version that is asked for.
pub(crate) fn ip_version(args: &Args<'_>, name: &'static str) -> Result<Option<IpVersion>, Refusal> {
    args.word(name, IpVersion::named)
}

/// A route as it stands in its table.
fn shown_route(route: Route, table: &str) -> RouteEntry {
    RouteEntry {
        route_entry_id: route.id.into(),
        route_entry_name: "".into(),
        description: "".into(),
        route_table_id: table.to_owned().into(),
        destination_cidr_block: route.destination.to_string().into(),
        ip_version: "ipv4".into(),
        r#type: route.kind.as_str().into(),
        origin: route.origin.into(),
        status: route.status.as_str().into(),
        service_type: "".into(),
        gmt_modified: iso8601(route.modified_ms).into(),
        next_hops: vec![NextHop {
            next_hop_type: route.next_hop_type.into(),
            next_hop_id: route.next_hop.into(),
            enabled: 1,
        }],
    }
}

impl DescribeRouteEntryList {
    /// Whether the call asks for this route.
    fn covers(&self, route: &Route) -> bool {
        let block = route.destination.to_string();
        self.route_entry_id.as_ref().is_none_or(|id| *id == route.id)
            && self.route_entry_type.is_none_or(|kind| kind == route.kind)
            && self.destination_cidr_block.as_ref().is_none_or(|wanted| *wanted == block)
            && (self.dest_cidr_block_list.is_empty() || self.dest_cidr_block_list.contains(&block))
            && self.next_hop_type.as_ref().is_none_or(|kind| kind == route.next_hop_type)
            && self.next_hop_id.as_ref().is_none_or(|id| *id == route.next_hop)
    }

    /// Whether the call asks for what no route here has.
    fn covers_none(&self) -> bool {
        self.route_entry_name.is_some()
            || self.service_type.is_some()
            || self.ip_version == Some(IpVersion::V6)
    }
}

impl Read for DescribeRouteEntryList {
    type Output = DescribeRouteEntryListOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.vpc_of_route_table(&call.principal.account, &self.route_table_id)?;
        let vpc = in_region(found, |vpc| &vpc.region, Some(self.region), &c::ROUTE_TABLE_NOT_FOUND_READ)?;
        let mut routes = routes_of_all(snapshot, slice::from_ref(&vpc))?.remove(&vpc.id).unwrap_or_default();
        routes.retain(|route| !self.covers_none() && self.covers(route));
        let total_count = routes.len() as i64;
        let after = self.next_token.as_deref().and_then(|block| block.parse::<Ipv4Net>().ok());
        let mut rest = routes.into_iter().filter(|route| after.is_none_or(|after| route.destination > after));
        let page: Vec<Route> = rest.by_ref().take(self.max_result as usize).collect();
        let last = page.last().filter(|_| rest.next().is_some());
        let next_token =
            last.map(|last| Markers::of(call)?.of_name(&last.destination.to_string())).transpose()?;
        Ok(Self::Output {
            next_token: next_token.unwrap_or_default().into(),
            total_count,
            route_entrys: page.into_iter().map(|route| shown_route(route, &vpc.route_table)).collect(),
        })
    }

    fn unsettled(output: &Self::Output) -> Vec<String> {
        let moving =
            output.route_entrys.iter().filter(|route| route.status != RouteStatus::Available.as_str());
        let next_hops = moving.flat_map(|route| &route.next_hops);
        let gateways = next_hops.filter(|next_hop| next_hop.next_hop_type == VPN_GATEWAY);
        gateways.map(|next_hop| next_hop.next_hop_id.clone().into_owned()).collect()
    }
}
