//! DescribeVpnGateways: lists the gateways of a region, newest first.
//!
//! Source: `docs/api/vpc/DescribeVpnGateways.json`. Filters combine with AND. An unknown id gives an
//! empty list, not an error.

use tongguan_store::{GatewayFilter, Page};

use crate::api::vpc::{DescribeVpnGateways, DescribeVpnGatewaysOutput};
use crate::args::Paging;
use crate::operation::prelude::*;

use super::shapes::{gateway_info, tags_of_all, unsettled};
use super::shown;

impl Read for DescribeVpnGateways {
    type Output = DescribeVpnGatewaysOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let filter = GatewayFilter {
            id: self.vpn_gateway_id.clone(),
            vpc: self.vpc_id.clone(),
            status: self.status,
            business_status: self.business_status,
            resource_group: self.resource_group_id.clone(),
            tags: self.tag.clone(),
        };
        let account = &call.principal.account;
        let paging = Paging { number: self.page_number, size: self.page_size };
        let page = if self.gateway_type.as_deref() == Some("Enhanced.SiteToSite") {
            // No gateway of this release is enhanced.
            Page::empty()
        } else {
            snapshot.gateways(account, self.region.id, &filter, paging.offset(), paging.size)?
        };
        let ids: Vec<&str> = page.items.iter().map(|gateway| gateway.id.as_str()).collect();
        let mut tags = tags_of_all(snapshot, account, &ids)?;
        let (vpn_gateways, total_count) = shown(page, |gateway| {
            let own = tags.remove(gateway.id.as_str()).unwrap_or_default();
            gateway_info(gateway, own)
        });
        Ok(Self::Output {
            vpn_gateways,
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_count,
        })
    }

    fn unsettled(output: &Self::Output) -> Vec<String> {
        unsettled(&output.vpn_gateways)
    }
}
