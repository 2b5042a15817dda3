//! DescribeVcoRouteEntries: lists the destination routes of an attachment, newest first.
//!
//! Source: `docs/api/vpc/DescribeVcoRouteEntries.json`. BGP has learnt none here.

use tongguan_store::{RouteOwner, Snapshot};

use crate::api::vpc::{
    DescribeVcoRouteEntries, DescribeVcoRouteEntriesOutput, DescribeVcoRouteEntriesVcoRouteEntries as Entry,
};
use crate::args::Paging;
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::attachments::attachment_in;
use super::vpn_routes::{CLOUD, CUSTOM, Listed, counts, page};

impl Read for DescribeVcoRouteEntries {
    type Output = Listed<DescribeVcoRouteEntriesOutput>;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.connection(&call.principal.account, &self.vpn_connection_id)?;
        let attachment = attachment_in(found, self.region)?;
        let owner = RouteOwner::Attachment(&attachment.id);
        let paging = Paging { number: self.page_number, size: self.page_size };
        let page = page(call, snapshot, owner, &self.route_entry_type, &paging)?;
        let vpn_route_counts = counts(call, snapshot, owner)?;
        Ok(Listed::of(page, |routes, total_count| DescribeVcoRouteEntriesOutput {
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_count,
            vpn_route_counts,
            vco_route_entries: routes
                .into_iter()
                .map(|route| Entry {
                    create_time: route.created_ms,
                    state: route.shown_state().as_str().into(),
                    next_hop: route.next_hop.into(),
                    route_dest: route.destination.into(),
                    route_entry_type: CUSTOM.into(),
                    source: CLOUD.into(),
                    vpn_connection_id: attachment.id.clone().into(),
                    weight: route.weight.into(),
                })
                .collect(),
        }))
    }
}
