//! AssociateVpcCidrBlock: adds a further IPv4 block to a VPC.
//!
//! Source: `docs/api/vpc/AssociateVpcCidrBlock.json`. The block is there with the answer. IPv6 and IPAM are not offered
//! here and are refused with their documented codes.

use ipnet::Ipv4Net;
use tongguan_model::cidr::{self, CidrError};
use tongguan_model::network::NetworkStatus;
use tongguan_store::Tx;

use crate::api::vpc::{AssociateVpcCidrBlock, AssociateVpcCidrBlockOutput};
use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Code, Refusal};
use crate::operation::{Failure, Write};

use super::in_region;
use super::networks::IpVersion;

/// The version that the call names; the only one that is offered.
pub(crate) fn ip_version(args: &Args<'_>, name: &'static str) -> Result<Option<IpVersion>, Refusal> {
    let Some(text) = args.text(name) else { return Ok(None) };
    match IpVersion::named(text) {
        Some(IpVersion::V4) => Ok(Some(IpVersion::V4)),
        Some(IpVersion::V6) => Err(Refusal::new(&c::IPV6_UNSUPPORTED)),
        None => {
            Err(told(&c::BLOCK_IP_VERSION, format!("IpVersion is {text}, which is neither IPV4 nor IPV6.")))
        }
    }
}

/// The block to add.
pub(crate) fn block(args: &Args<'_>, name: &'static str) -> Result<Ipv4Net, Refusal> {
    let block = args.text(name).ok_or_else(|| Refusal::new(&c::BLOCK_MISSING))?;
    cidr::vpc_block(block).map_err(|error| match error {
        CidrError::Malformed { .. } => Refusal::new(&c::BLOCK_MALFORMED),
        CidrError::MaskLength { .. } => Refusal::new(&c::BLOCK_MASK),
        CidrError::Reserved { .. } | CidrError::OutsideVpc { .. } => {
            told(&c::BLOCK_ILLEGAL, format!("{error}."))
        }
    })
}

/// A refusal whose message is the detail.
fn told(code: &'static Code, why: String) -> Refusal {
    Refusal::new(code).whole_value(why)
}

impl Write for AssociateVpcCidrBlock {
    type Output = AssociateVpcCidrBlockOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.vpc(&call.principal.account, &self.vpc_id)?;
        let found = in_region(found, |vpc| &vpc.region, Some(self.region), &c::VPC_NOT_FOUND).ok();
        let mut vpc = found
            .ok_or_else(|| told(&c::BLOCK_VPC_NOT_FOUND, format!("There is no VPC {}.", self.vpc_id)))?;
        if vpc.status() != NetworkStatus::Available {
            let why = format!("VPC {} is {}.", vpc.id, vpc.status().as_str());
            return Err(told(&c::BLOCK_VPC_STATUS, why).into());
        }
        let block = self.secondary_cidr_block;
        for own in vpc.blocks().filter_map(|own| own.parse::<Ipv4Net>().ok()) {
            if own == block {
                return Err((&c::BLOCK_EXISTS).into());
            }
            if cidr::overlaps(own, block) {
                let why = format!("{block} overlaps {own}, which is a block of the VPC.");
                return Err(told(&c::BLOCK_ILLEGAL, why).into());
            }
        }
        let most = call.context.settings.quotas.secondary_cidrs_per_vpc;
        if vpc.secondary_blocks().count() as u64 >= most {
            let why = format!("A VPC has at most {most} secondary IPv4 blocks.");
            return Err(told(&c::BLOCK_QUOTA, why).into());
        }
        if !vpc.secondary_cidrs.is_empty() {
            vpc.secondary_cidrs.push(',');
        }
        vpc.secondary_cidrs.push_str(&block.to_string());
        tx.update_vpc(&vpc)?;
        Ok(Self::Output { cidr_block: block.to_string().into(), ip_version: IpVersion::V4.as_str().into() })
    }
}
