//! CreateVpc: creates a VPC with its vRouter and route table. Source: `docs/api/vpc/CreateVpc.json`.
//!
//! IPv6 and IPAM are not offered here and are refused with their documented codes.

use tongguan_model::id::{RegionId, VpcId};
use tongguan_model::network::Vpc;
use tongguan_store::{IntentKind, Tx};

use crate::api::vpc::{CreateVpc, CreateVpcOutput};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::new_id;
use crate::operation::{Failure, Write};

use super::networks::put_tags;
use super::{group_or_default, to_be_applied};

/// Blocks of its user that a VPC may have.
const USER_BLOCKS: usize = 3;

/// The user's blocks, separated by commas.
pub(crate) fn user_blocks(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    let Some(text) = args.text(name) else { return Ok(String::new()) };
    let blocks: Vec<&str> = text.split(',').map(str::trim).collect();
    if blocks.len() > USER_BLOCKS {
        return Err(Refusal::new(&c::USER_CIDR_QUOTA));
    }
    if blocks.iter().any(|block| block.parse::<ipnet::Ipv4Net>().is_err()) {
        return Err(Refusal::new(&c::USER_CIDR));
    }
    Ok(blocks.join(","))
}

impl Write for CreateVpc {
    type Output = CreateVpcOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let (account, region) = (&call.principal.account, self.region);
        if tx.tally("vpc", account, region.id)? >= call.context.settings.quotas.vpcs_per_region {
            return Err((&c::VPC_QUOTA).into());
        }
        let vpc = Vpc {
            id: VpcId::new(new_id("vpc", region)),
            account: account.clone(),
            region: RegionId::new(region.id),
            name: self.vpc_name.clone(),
            description: self.description.clone(),
            cidr: self.cidr_block.to_string(),
            user_cidrs: self.user_cidr.clone(),
            dns_hostname: self.enable_dns_hostname,
            vrouter: new_id("vrt", region),
            route_table: new_id("vtb", region),
            resource_group: group_or_default(call, self.resource_group_id.as_deref()),
            created_ms: call.now_ms,
            ready: false,
        };
        tx.insert_vpc(&vpc)?;
        put_tags(tx, account, region.id, "VPC", vpc.id.as_str(), &self.tag)?;
        to_be_applied(&call.context, tx, IntentKind::Vpc, vpc.id.as_str(), 1, "create", call.now_ms)?;
        Ok(Self::Output {
            vpc_id: vpc.id.into(),
            vrouter_id: vpc.vrouter.into(),
            route_table_id: vpc.route_table.into(),
            resource_group_id: vpc.resource_group.into(),
        })
    }
}
