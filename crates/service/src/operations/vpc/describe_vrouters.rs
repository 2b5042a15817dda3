//! DescribeVRouters: lists the vRouters of a region, newest first. Source: `docs/api/vpc/DescribeVRouters.json`.
//!
//! Every VPC has one, which comes and goes with it.

use tongguan_store::{NetworkFilter, Snapshot};

use crate::api::vpc::{DescribeVRouters, DescribeVRoutersOutput, DescribeVRoutersVRoutersVRouter as VRouter};
use crate::args::Paging;
use crate::call::Call;
use crate::context::iso8601;
use crate::operation::{Failure, Read};

use super::shown;

impl Read for DescribeVRouters {
    type Output = DescribeVRoutersOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let filter = NetworkFilter {
            region: Some(self.region.id.to_owned()),
            router: self.vrouter_id.clone(),
            ..NetworkFilter::default()
        };
        let paging = Paging { number: self.page_number, size: self.page_size };
        let page = snapshot.vpcs(&call.principal.account, &filter, paging.offset(), paging.size)?;
        let (vrouters, total_count) = shown(page, |vpc| VRouter {
            vrouter_id: vpc.vrouter.into(),
            vpc_id: vpc.id.into(),
            route_table_ids: vec![vpc.route_table.into()],
            region_id: vpc.region.into(),
            creation_time: iso8601(vpc.created_ms).into(),
            // Nothing here gives it a name.
            vrouter_name: "".into(),
            description: "".into(),
        });
        Ok(Self::Output {
            vrouters,
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_count,
        })
    }
}
