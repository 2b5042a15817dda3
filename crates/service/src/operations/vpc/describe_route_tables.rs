//! DescribeRouteTables: lists route tables with their routes, newest first: the old form of DescribeRouteTableList and
//! DescribeRouteEntryList. Source: `docs/api/vpc/DescribeRouteTables.json`.
//!
//! `RegionId` must be given: a list of all regions would pass by a policy for one.

use tongguan_model::network::{RouteStatus, RouteTableType, RouterType};
use tongguan_store::{NetworkFilter, Page, Snapshot};

use crate::api::vpc::{
    DescribeRouteTables, DescribeRouteTablesOutput, DescribeRouteTablesRouteTablesRouteTable as RouteTable,
    DescribeRouteTablesRouteTablesRouteTableRouteEntrysRouteEntry as RouteEntry,
};
use crate::args::Paging;
use crate::call::Call;
use crate::context::iso8601;
use crate::operation::{Failure, Read};

use super::networks::vswitches_of_all;
use super::routes::{Route, VPN_GATEWAY, routes_of_all};
use super::shown;

/// A route as it stands in its table.
fn shown_route(route: Route, table: &str) -> RouteEntry {
    RouteEntry {
        route_entry_id: route.id.into(),
        route_entry_name: "".into(),
        description: "".into(),
        route_table_id: table.to_owned().into(),
        destination_cidr_block: route.destination.to_string().into(),
        r#type: route.kind.as_str().into(),
        status: route.status.as_str().into(),
        next_hop_type: route.next_hop_type.into(),
        instance_id: route.next_hop.into(),
        next_hops: Vec::new(),
    }
}

impl Read for DescribeRouteTables {
    type Output = DescribeRouteTablesOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let filter = NetworkFilter {
            region: Some(self.region.id.to_owned()),
            route_table: self.route_table_id.clone(),
            route_table_name: self.route_table_name.clone(),
            router: self.vrouter_id.clone().or_else(|| self.router_id.clone()),
            resource_group: self.resource_group_id.clone(),
            ..NetworkFilter::default()
        };
        let two = self.vrouter_id.is_some() && self.router_id.is_some() && self.vrouter_id != self.router_id;
        let paging = Paging { number: self.page_number, size: self.page_size };
        let page = if two || self.router_type == Some(RouterType::Vbr) {
            Page::empty()
        } else {
            snapshot.vpcs(&call.principal.account, &filter, paging.offset(), paging.size)?
        };
        let mut vswitches = vswitches_of_all(snapshot, &page.items)?;
        let mut routes = routes_of_all(snapshot, &page.items)?;
        let (route_tables, total_count) = shown(page, |vpc| {
            let routes = routes.remove(&vpc.id).unwrap_or_default().into_iter();
            let routes = routes.filter(|route| self.r#type.is_none_or(|kind| route.kind == kind));
            RouteTable {
                route_entrys: routes.map(|route| shown_route(route, &vpc.route_table)).collect(),
                vswitch_ids: vswitches.remove(&vpc.id).unwrap_or_default(),
                status: vpc.status().as_str().into(),
                route_table_id: vpc.route_table.into(),
                route_table_type: RouteTableType::System.as_str().into(),
                vrouter_id: vpc.vrouter.into(),
                creation_time: iso8601(vpc.created_ms).into(),
                resource_group_id: vpc.resource_group.into(),
            }
        });
        Ok(Self::Output {
            route_tables,
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_count,
        })
    }

    fn unsettled(output: &Self::Output) -> Vec<String> {
        let routes = output.route_tables.iter().flat_map(|table| &table.route_entrys);
        let moving = routes.filter(|route| route.status != RouteStatus::Available.as_str());
        let gateways = moving.filter(|route| route.next_hop_type == VPN_GATEWAY);
        gateways.map(|route| route.instance_id.clone().into_owned()).collect()
    }
}
