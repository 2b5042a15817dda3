//! CreateVSwitch: creates a vSwitch in a VPC. Source: `docs/api/vpc/CreateVSwitch.json`.

use ipnet::Ipv4Net;
use tongguan_model::cidr::{self, CidrError};
use tongguan_model::network::{VSwitch, Vpc};
use tongguan_model::region;
use tongguan_store::Tx;

use crate::api::vpc::{CreateVSwitch, CreateVSwitchOutput};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Write};

use super::in_region;
use super::new_networks::{fits_in, make_vswitch, new_vswitch, siblings};

impl Write for CreateVSwitch {
    type Output = CreateVSwitchOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let found = tx.vpc(&call.principal.account, &self.vpc_id)?;
        let vpc = in_region(found, |vpc| &vpc.region, self.region, &c::VPC_NOT_FOUND)?;
        let region = region::find(vpc.region.as_str()).ok_or_else(|| Refusal::new(&c::REGION_NOT_FOUND))?;
        region.zone(&self.zone_id).ok_or_else(|| Refusal::new(&c::ZONE_NOT_FOUND))?;
        let siblings = siblings(tx, &vpc)?;
        let block = block_in(&self.cidr_block, &vpc)?;
        fits_in(tx, &vpc, &siblings, block)?;
        let vswitch = VSwitch {
            name: self.vswitch_name.clone(),
            description: self.description.clone(),
            ..new_vswitch(call, region, vpc, &self.zone_id, block)
        };
        make_vswitch(call, tx, &vswitch, &siblings, &self.tag)?;
        Ok(Self::Output { vswitch_id: vswitch.id.into() })
    }
}

/// The block of a vSwitch, which must lie in one of the VPC's.
fn block_in(block: &str, vpc: &Vpc) -> Result<Ipv4Net, Failure> {
    let mut refused = CidrError::Malformed { block: block.to_owned() };
    for outer in vpc.blocks() {
        let outer: Ipv4Net =
            outer.parse().map_err(|_| Failure::Internal(format!("a VPC has the block `{outer}`")))?;
        match cidr::vswitch_block(block, outer) {
            Ok(block) => return Ok(block),
            Err(error) => refused = error,
        }
    }
    Err(Refusal::new(match refused {
        CidrError::Malformed { .. } => &c::VSWITCH_CIDR,
        CidrError::MaskLength { .. } => &c::VSWITCH_CIDR_MASK,
        CidrError::OutsideVpc { .. } | CidrError::Reserved { .. } => &c::VSWITCH_CIDR_OUTSIDE,
    })
    .into())
}
