//! DescribeRouteTableList: lists the route tables of a region, newest first.
//!
//! Source: `docs/api/vpc/DescribeRouteTableList.json`. Every VPC has one table, of type `System`; custom
//! tables, those of VBRs, and tags of tables do not exist here, so a filter for one of them matches nothing.

use tongguan_model::network::{RouteTableType, RouterType};
use tongguan_store::{NetworkFilter, Page, Snapshot};

use crate::api::vpc::{DescribeRouteTableList, DescribeRouteTableListOutput};
use crate::args::Paging;
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::networks::{listed_route_tables, pending};

impl Read for DescribeRouteTableList {
    type Output = DescribeRouteTableListOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let filter = NetworkFilter {
            region: Some(self.region.id.to_owned()),
            ids: self.vpc_id.clone().into_iter().collect(),
            route_table: self.route_table_id.clone(),
            router: self.router_id.clone(),
            route_table_name: self.route_table_name.clone(),
            resource_group: self.resource_group_id.clone(),
            ..NetworkFilter::default()
        };
        let custom = self.route_table_type == Some(RouteTableType::Custom);
        // With a VPC named, RouterType is not looked at.
        let foreign = self.router_type == Some(RouterType::Vbr) && filter.ids.is_empty();
        let paging = Paging { number: self.page_number, size: self.page_size };
        let page = if custom || foreign || !self.tag.is_empty() {
            Page::empty()
        } else {
            snapshot.vpcs(&call.principal.account, &filter, paging.offset(), paging.size)?
        };
        let (router_table_list, total_count) = listed_route_tables(snapshot, page)?;
        Ok(Self::Output {
            router_table_list,
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_count,
        })
    }

    fn unsettled(output: &Self::Output) -> Vec<String> {
        // A table is ready with its VPC, which is what is built.
        pending(output.router_table_list.iter().map(|table| (&table.status, &table.vpc_id)))
    }
}
