//! DescribeCustomerGateways: lists the customer gateways of a region, newest first.
//!
//! Source: `docs/api/vpc/DescribeCustomerGateways.json`. Filters combine with AND. An unknown id gives an empty
//! list, not an error.

use tongguan_store::{CustomerGatewayFilter, Snapshot};

use crate::api::vpc::{DescribeCustomerGateways, DescribeCustomerGatewaysOutput};
use crate::args::Paging;
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::customer_gateways::info;
use super::shapes::tags_of_all;

impl Read for DescribeCustomerGateways {
    type Output = DescribeCustomerGatewaysOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let filter = CustomerGatewayFilter {
            id: self.customer_gateway_id.clone(),
            resource_group: self.resource_group_id.clone(),
            tags: self.tag.clone(),
        };
        let paging = Paging { number: self.page_number, size: self.page_size };
        let (account, region) = (&call.principal.account, self.region.id);
        let page = snapshot.customer_gateways(account, region, &filter, paging.offset(), paging.size)?;
        let ids: Vec<&str> = page.items.iter().map(|row| row.id.as_str()).collect();
        let mut tags = tags_of_all(snapshot, account, &ids)?;
        let show = |row: tongguan_store::CustomerGatewayRow| {
            let own = tags.remove(row.id.as_str()).unwrap_or_default();
            info(&call.context, row, own)
        };
        Ok(Self::Output {
            total_count: page.total.cast_signed(),
            customer_gateways: page.items.into_iter().map(show).collect::<Result<_, _>>()?,
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
        })
    }
}
