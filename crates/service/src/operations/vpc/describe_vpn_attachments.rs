//! DescribeVpnAttachments: lists the connections of a region that have no gateway, newest first.
//!
//! Source: `docs/api/vpc/DescribeVpnAttachments.json`. The vendor lists those that are bound to transit routers; there
//! are none here, so all that are meant for one are listed.

use tongguan_store::{ConnectionFilter, Snapshot};

use crate::api::vpc::{
    DescribeVpnAttachments, DescribeVpnAttachmentsOutput, DescribeVpnAttachmentsVpnAttachments as Attachment,
};
use crate::args::Paging;
use crate::call::Call;
use crate::operation::{Failure, Read};

use super::connection_shapes::NO_ASSOCIATED;
use super::shapes::tags_of_all;
use super::shown;

impl Read for DescribeVpnAttachments {
    type Output = DescribeVpnAttachmentsOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let filter = ConnectionFilter {
            id: self.vpn_connection_id.clone(),
            attachments: true,
            ..ConnectionFilter::default()
        };
        let paging = Paging { number: self.page_number, size: self.page_size };
        let (account, region) = (&call.principal.account, self.region.id);
        let page = snapshot.connections(account, region, &filter, paging.offset(), paging.size)?;
        let ids: Vec<&str> = page.items.iter().map(|connection| connection.id.as_str()).collect();
        let mut tags = tags_of_all(snapshot, account, &ids)?;
        let (vpn_attachments, total_count) = shown(page, |connection| Attachment {
            tags: tags.remove(connection.id.as_str()).unwrap_or_default(),
            attach_type: NO_ASSOCIATED.into(),
            cross_account_authorized: false,
            instance_id: connection.id.into(),
            name: connection.name.into(),
            tunnel_bandwidth: connection
                .tunnel_bandwidth
                .map(|width| width.as_str().into())
                .unwrap_or_default(),
        });
        Ok(Self::Output {
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_count,
            vpn_attachments,
        })
    }
}
