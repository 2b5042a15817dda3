//! DescribeVpnConnections: lists the IPsec connections of a region, newest first, attachments among them.
//!
//! Source: `docs/api/vpc/DescribeVpnConnections.json`. Filters combine with AND. An unknown id gives an empty list,
//! not an error.

use tongguan_store::{ConnectionFilter, Snapshot};

use crate::api::vpc::{DescribeVpnConnections, DescribeVpnConnectionsOutput};
use crate::args::Paging;
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::connection_shapes::{TagsOf, infos, unsettled};

impl Read for DescribeVpnConnections {
    type Output = DescribeVpnConnectionsOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let filter = ConnectionFilter {
            id: self.vpn_connection_id.clone(),
            gateway: self.vpn_gateway_id.clone(),
            customer_gateway: self.customer_gateway_id.clone(),
            resource_group: self.resource_group_id.clone(),
            attachments: false,
            tags: self.tag.clone(),
        };
        let paging = Paging { number: self.page_number, size: self.page_size };
        let (account, region) = (&call.principal.account, self.region.id);
        let page = snapshot.connections_with_keys(account, region, &filter, paging.offset(), paging.size)?;
        Ok(Self::Output {
            total_count: page.total.cast_signed(),
            vpn_connections: infos(call, snapshot, &page.items, TagsOf::List)?,
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
        })
    }

    fn unsettled(output: &Self::Output) -> Vec<String> {
        unsettled(&output.vpn_connections)
    }
}
