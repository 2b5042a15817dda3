//! DescribeVSwitches: lists vSwitches, newest first. Source: `docs/api/vpc/DescribeVSwitches.json`.
//!
//! At least one of `RegionId` and `VpcId` is asked for.

use tongguan_store::{NetworkFilter, Page, Snapshot};

use crate::api::vpc::{DescribeVSwitches, DescribeVSwitchesOutput};
use crate::args::Paging;
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::networks::{is_foreign, listed_vswitches, pending};

impl Read for DescribeVSwitches {
    type Output = DescribeVSwitchesOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let filter = NetworkFilter {
            region: self.region.map(|region| region.id.to_owned()),
            ids: self.vswitch_id.clone().into_iter().collect(),
            name: self.vswitch_name.clone(),
            vpc: self.vpc_id.clone(),
            zone: self.zone_id.clone(),
            resource_group: self.resource_group_id.clone(),
            route_table: self.route_table_id.clone(),
            is_default: self.is_default,
            tags: self.tag.clone(),
            ..NetworkFilter::default()
        };
        let none = self.enable_ipv6 == Some(true) || is_foreign(call, self.vswitch_owner_id);
        let paging = Paging { number: self.page_number, size: self.page_size };
        let page = if none {
            Page::empty()
        } else {
            snapshot.vswitches(&call.principal.account, &filter, paging.offset(), paging.size)?
        };
        let (vswitches, total_count) = listed_vswitches(snapshot, &call.principal.account, page)?;
        Ok(Self::Output {
            vswitches,
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_count,
        })
    }

    fn unsettled(output: &Self::Output) -> Vec<String> {
        pending(output.vswitches.iter().map(|vswitch| (&vswitch.status, &vswitch.vswitch_id)))
    }
}
