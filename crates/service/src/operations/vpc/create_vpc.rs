//! CreateVpc: creates a VPC with its vRouter and route table. Source: `docs/api/vpc/CreateVpc.json`.
//!
//! IPv6 and IPAM are not offered here and are refused with their documented codes.

use tongguan_model::network::Vpc;
use tongguan_store::Tx;

use crate::api::vpc::{CreateVpc, CreateVpcOutput};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Write};
use crate::operations::resourcemanager::groups::group_or_default;

use super::new_networks::{make_vpc, new_vpc};

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
        let group = group_or_default(call, tx, self.resource_group_id.as_deref())?;
        let vpc = Vpc {
            name: self.vpc_name.clone(),
            description: self.description.clone(),
            user_cidrs: self.user_cidr.clone(),
            dns_hostname: self.enable_dns_hostname,
            ..new_vpc(call, self.region, self.cidr_block, group)
        };
        make_vpc(call, tx, &vpc, &self.tag)?;
        Ok(Self::Output {
            vpc_id: vpc.id.into(),
            vrouter_id: vpc.vrouter.into(),
            route_table_id: vpc.route_table.into(),
            resource_group_id: vpc.resource_group.into(),
        })
    }
}
