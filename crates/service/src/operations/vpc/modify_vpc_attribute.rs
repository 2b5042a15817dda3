//! ModifyVpcAttribute: changes name, description, block or DNS host names of a VPC.
//!
//! Source: `docs/api/vpc/ModifyVpcAttribute.json`. What is left out stays as it is; the change is in force
//! with the answer. IPv6 is not offered and is refused with its documented code.

use ipnet::Ipv4Net;
use tongguan_model::cidr;
use tongguan_model::network::{NetworkStatus, Vpc};
use tongguan_store::{StoreError, Tx};

use crate::api::vpc::{ModifyVpcAttribute, ModifyVpcAttributeOutput};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Write};

use super::in_region;

impl Write for ModifyVpcAttribute {
    type Output = ModifyVpcAttributeOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.vpc(&call.principal.account, &self.vpc_id)?;
        let mut vpc = in_region(found, |vpc| &vpc.region, self.region, &c::VPC_NOT_FOUND)?;
        if vpc.status() != NetworkStatus::Available {
            return Err((&c::VPC_STATUS).into());
        }
        if let Some(block) = self.cidr_block {
            if let Some(why) = unfit(tx, &vpc, block)? {
                return Err(Refusal::new(&c::VPC_CIDR_MODIFY).because(why).into());
            }
            vpc.cidr = block.to_string();
        }
        vpc.name = self.vpc_name.clone().unwrap_or(vpc.name);
        vpc.description = self.description.clone().unwrap_or(vpc.description);
        vpc.dns_hostname = self.enable_dns_hostname.unwrap_or(vpc.dns_hostname);
        tx.update_vpc(&vpc)?;
        Ok(Self::Output {})
    }
}

/// Why this cannot be the first block of the VPC from now on.
fn unfit(tx: &Tx<'_>, vpc: &Vpc, block: Ipv4Net) -> Result<Option<String>, StoreError> {
    if vpc.is_default && vpc.cidr != block.to_string() {
        return Ok(Some("That of a default VPC stays as it is.".into()));
    }
    let further: Vec<Ipv4Net> = vpc.secondary_blocks().filter_map(|further| further.parse().ok()).collect();
    if let Some(further) = further.iter().find(|further| cidr::overlaps(**further, block)) {
        return Ok(Some(format!("It overlaps the secondary block {further}.")));
    }
    let outside = |inner: &str| {
        let inner = inner.parse::<Ipv4Net>();
        !inner.is_ok_and(|inner| further.iter().chain([&block]).any(|block| block.contains(&inner)))
    };
    let vswitches = tx.vswitches_in(&vpc.id)?;
    let left_out = vswitches.iter().find(|vswitch| outside(&vswitch.cidr));
    Ok(left_out.map(|vswitch| format!("VSwitch {} would lie outside it.", vswitch.id)))
}
