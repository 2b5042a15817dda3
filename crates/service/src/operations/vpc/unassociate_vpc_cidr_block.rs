//! UnassociateVpcCidrBlock: takes a further IPv4 block away from a VPC.
//!
//! Source: `docs/api/vpc/UnassociateVpcCidrBlock.json`, which has no codes of its own.

use ipnet::Ipv4Net;
use tongguan_model::network::NetworkStatus;
use tongguan_store::Tx;

use crate::api::vpc::{UnassociateVpcCidrBlock, UnassociateVpcCidrBlockOutput};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Write};

use super::in_region;

impl Write for UnassociateVpcCidrBlock {
    type Output = UnassociateVpcCidrBlockOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let named = self.secondary_cidr_block.as_deref().ok_or(&c::BLOCK_MISSING)?;
        let found = tx.vpc(&call.principal.account, &self.vpc_id)?;
        let mut vpc = in_region(found, |vpc| &vpc.region, Some(self.region), &c::VPC_NOT_FOUND)?;
        if vpc.status() != NetworkStatus::Available {
            return Err((&c::VPC_STATUS).into());
        }
        let (gone, left): (Vec<&str>, Vec<&str>) = vpc.secondary_blocks().partition(|block| *block == named);
        let Some(block) = gone.first().and_then(|block| block.parse::<Ipv4Net>().ok()) else {
            let why = format!("{named} is no secondary block of VPC {}.", vpc.id);
            return Err(Refusal::new(&c::BLOCK_ILLEGAL).value(&why).into());
        };
        let inside = |inner: &str| inner.parse::<Ipv4Net>().is_ok_and(|inner| block.contains(&inner));
        if tx.vswitches_in(&vpc.id)?.iter().any(|vswitch| inside(&vswitch.cidr)) {
            return Err((&c::VPC_HAS_VSWITCH).into());
        }
        vpc.secondary_cidrs = left.join(",");
        tx.update_vpc(&vpc)?;
        Ok(Self::Output {})
    }
}
