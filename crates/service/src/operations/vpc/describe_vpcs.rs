//! DescribeVpcs: lists the VPCs of a region, newest first. Source: `docs/api/vpc/DescribeVpcs.json`.
//!
//! `IsDefault` is read as its page decides: `true` lists all, `false` leaves the default VPC out.

use tongguan_store::{NetworkFilter, Page, Snapshot};

use crate::api::vpc::{DescribeVpcs, DescribeVpcsOutput};
use crate::args::{Args, Paging};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Read};

use super::networks::{is_foreign, listed_vpcs, pending};

/// Ids that a call may name.
const IDS: usize = 20;

/// The ids that are named, separated by commas.
pub(crate) fn ids(args: &Args<'_>, name: &'static str) -> Result<Vec<String>, Refusal> {
    let Some(ids) = args.text(name) else { return Ok(Vec::new()) };
    let ids: Vec<String> = ids.split(',').map(|id| id.trim().to_owned()).collect();
    if ids.len() > IDS { Err(Refusal::new(&c::VPC_IDS_NUMBER)) } else { Ok(ids) }
}

impl Read for DescribeVpcs {
    type Output = DescribeVpcsOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let filter = NetworkFilter {
            region: Some(self.region.id.to_owned()),
            ids: self.vpc_id.clone(),
            name: self.vpc_name.clone(),
            resource_group: self.resource_group_id.clone(),
            is_default: (self.is_default == Some(false)).then_some(false),
            tags: self.tag.clone(),
            ..NetworkFilter::default()
        };
        let account = &call.principal.account;
        let none = self.enable_ipv6 == Some(true)
            || self.dhcp_options_set_id.is_some()
            || is_foreign(call, self.vpc_owner_id);
        let paging = Paging { number: self.page_number, size: self.page_size };
        let page = if none {
            Page::empty()
        } else {
            snapshot.vpcs(account, &filter, paging.offset(), paging.size)?
        };
        let (vpcs, total_count) = listed_vpcs(snapshot, account, page)?;
        Ok(Self::Output {
            vpcs,
            page_number: paging.number.cast_signed(),
            page_size: paging.size.cast_signed(),
            total_count,
        })
    }

    fn unsettled(output: &Self::Output) -> Vec<String> {
        pending(output.vpcs.iter().map(|vpc| (&vpc.status, &vpc.vpc_id)))
    }
}
