//! ModifyVpcAttribute: changes name, description, block or DNS host names of a VPC.
//!
//! Source: `docs/api/vpc/ModifyVpcAttribute.json`. What is left out stays as it is; the change is in force
//! with the answer. IPv6 is not offered and is refused with its documented code.

use ipnet::Ipv4Net;
use tongguan_model::network::NetworkStatus;
use tongguan_store::Tx;

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
            let outside = |inner: &str| !inner.parse::<Ipv4Net>().is_ok_and(|inner| block.contains(&inner));
            let vswitches = tx.vswitches_in(&vpc.id)?;
            if let Some(vswitch) = vswitches.iter().find(|vswitch| outside(&vswitch.cidr)) {
                let why = format!("VSwitch {} would lie outside it.", vswitch.id);
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
