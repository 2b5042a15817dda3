//! CreateVSwitch: creates a vSwitch in a VPC. Source: `docs/api/vpc/CreateVSwitch.json`.

use ipnet::Ipv4Net;
use tongguan_model::cidr::{self, CidrError};
use tongguan_model::id::VSwitchId;
use tongguan_model::network::{NetworkStatus, VSwitch};
use tongguan_model::region;
use tongguan_store::{IntentKind, Tx};

use crate::api::vpc::{CreateVSwitch, CreateVSwitchOutput};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::new_id;
use crate::operation::{Failure, Write};

use super::networks::put_tags;
use super::{in_region, to_be_applied};

impl Write for CreateVSwitch {
    type Output = CreateVSwitchOutput;

    fn change(&self, call: &Call, tx: &Tx<'_>) -> Result<Self::Output, Failure> {
        let account = &call.principal.account;
        let found = tx.vpc(account, &self.vpc_id)?;
        let vpc = in_region(found, |vpc| &vpc.region, self.region, &c::VPC_NOT_FOUND)?;
        let region = region::find(vpc.region.as_str()).ok_or_else(|| Refusal::new(&c::REGION_NOT_FOUND))?;
        region.zone(&self.zone_id).ok_or_else(|| Refusal::new(&c::ZONE_NOT_FOUND))?;
        if vpc.status() != NetworkStatus::Available {
            return Err((&c::VPC_STATUS).into());
        }
        let siblings = tx.vswitches_in(&vpc.id)?;
        let block = check_block(&self.cidr_block, &vpc.cidr, &siblings)?;
        if siblings.len() as u64 >= call.context.settings.quotas.vswitches_per_vpc {
            return Err((&c::VSWITCH_QUOTA).into());
        }
        let vswitch = VSwitch {
            id: VSwitchId::new(new_id("vsw", region)),
            account: account.clone(),
            region: vpc.region,
            vpc: vpc.id,
            zone: self.zone_id.clone(),
            name: self.vswitch_name.clone(),
            description: self.description.clone(),
            cidr: block.to_string(),
            resource_group: vpc.resource_group,
            created_ms: call.now_ms,
            ready: false,
        };
        tx.insert_vswitch(&vswitch)?;
        put_tags(tx, account, region.id, "VSWITCH", vswitch.id.as_str(), &self.tag)?;
        to_be_applied(&call.context, tx, IntentKind::VSwitch, vswitch.id.as_str(), 1, "create", call.now_ms)?;
        Ok(Self::Output { vswitch_id: vswitch.id.into() })
    }
}

/// The block must fit the VPC and its other vSwitches, and none of those may be in the making.
fn check_block(block: &str, vpc: &str, siblings: &[VSwitch]) -> Result<Ipv4Net, Failure> {
    let outer: Ipv4Net =
        vpc.parse().map_err(|_| Failure::Internal(format!("a VPC has the block `{vpc}`")))?;
    let block = cidr::vswitch_block(block, outer).map_err(|error| {
        Refusal::new(match error {
            CidrError::Malformed { .. } => &c::VSWITCH_CIDR,
            CidrError::MaskLength { .. } => &c::VSWITCH_CIDR_MASK,
            CidrError::OutsideVpc { .. } | CidrError::Reserved { .. } => &c::VSWITCH_CIDR_OUTSIDE,
        })
    })?;
    if siblings.iter().any(|sibling| sibling.status() == NetworkStatus::Pending) {
        return Err((&c::VSWITCH_SIMULTANEOUS).into());
    }
    let taken = siblings.iter().filter_map(|sibling| sibling.cidr.parse().ok());
    if taken.into_iter().any(|taken| cidr::overlaps(taken, block)) {
        return Err((&c::VSWITCH_CIDR_OVERLAP).into());
    }
    Ok(block)
}
