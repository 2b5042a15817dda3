//! How VPCs and vSwitches are made, the usual and the default ones.

use ipnet::Ipv4Net;
use tongguan_model::cidr;
use tongguan_model::id::{RegionId, VSwitchId, VpcId};
use tongguan_model::network::{NetworkStatus, VSwitch, Vpc};
use tongguan_model::region::Region;
use tongguan_store::{IntentKind, StoreError, Tx};

use crate::args::Tag;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::new_id;
use crate::operation::Failure;

use super::networks::put_tags;
use super::to_be_applied;

/// A VPC of a block, with its vRouter and route table.
pub(super) fn new_vpc(call: &Call, region: &'static Region, block: Ipv4Net, resource_group: String) -> Vpc {
    Vpc {
        id: VpcId::new(new_id("vpc", region, call.now_ms)),
        account: call.principal.account.clone(),
        region: RegionId::new(region.id),
        name: String::new(),
        description: String::new(),
        cidr: block.to_string(),
        user_cidrs: String::new(),
        dns_hostname: false,
        secondary_cidrs: String::new(),
        is_default: false,
        classic_link: false,
        vrouter: new_id("vrt", region, call.now_ms),
        route_table: new_id("vtb", region, call.now_ms),
        route_table_name: String::new(),
        route_table_description: String::new(),
        route_propagation: true,
        resource_group,
        created_ms: call.now_ms,
        ready: false,
    }
}

/// Stores a new VPC, unless the account has as many as it may.
pub(super) fn make_vpc(call: &Call, tx: &Tx<'_>, vpc: &Vpc, tags: &[Tag]) -> Result<(), Failure> {
    let region = vpc.region.as_str();
    if tx.tally("vpc", &vpc.account, region)? >= call.context.settings.quotas.vpcs_per_region {
        return Err((&c::VPC_QUOTA).into());
    }
    tx.insert_vpc(vpc)?;
    put_tags(tx, &vpc.account, region, "VPC", vpc.id.as_str(), tags)?;
    to_be_applied(&call.context, tx, IntentKind::Vpc, vpc.id.as_str(), 1, "create", call.now_ms)
}

/// The vSwitches of a VPC that is to have one more: it must be ready, and none of them may be in the making.
pub(super) fn siblings(tx: &Tx<'_>, vpc: &Vpc) -> Result<Vec<VSwitch>, Failure> {
    if vpc.status() != NetworkStatus::Available {
        return Err((&c::VPC_STATUS).into());
    }
    Ok(tx.vswitches_in(&vpc.id)?)
}

/// Refuses a block while another vSwitch is being made, if it overlaps one, or if a gateway publishes a route to it.
pub(super) fn fits_in(tx: &Tx<'_>, vpc: &Vpc, siblings: &[VSwitch], block: Ipv4Net) -> Result<(), Failure> {
    none_in_the_making(siblings)?;
    if overlaps_any(siblings, block) {
        return Err((&c::VSWITCH_CIDR_OVERLAP).into());
    }
    if is_published(tx, vpc, block)? { Err((&c::VSWITCH_CIDR_ROUTE).into()) } else { Ok(()) }
}

/// Whether the VPC's table has a route of a VPN gateway's to just this block, or is to have one.
fn is_published(tx: &Tx<'_>, vpc: &Vpc, block: Ipv4Net) -> Result<bool, StoreError> {
    Ok(tx.publisher(&vpc.id, &block.to_string(), None)?.is_some())
}

/// The first free block of this size in a VPC.
pub(super) fn free_block(
    tx: &Tx<'_>,
    vpc: &Vpc,
    siblings: &[VSwitch],
    prefix: u8,
) -> Result<Ipv4Net, Failure> {
    none_in_the_making(siblings)?;
    let outer: Ipv4Net =
        vpc.cidr.parse().map_err(|_| Failure::Internal(format!("a VPC has the block `{}`", vpc.cidr)))?;
    let blocks = outer.subnets(prefix.max(outer.prefix_len())).into_iter().flatten();
    for block in blocks.filter(|block| !overlaps_any(siblings, *block)) {
        if !is_published(tx, vpc, block)? {
            return Ok(block);
        }
    }
    Err((&c::VSWITCH_CIDR_OVERLAP).into())
}

fn none_in_the_making(siblings: &[VSwitch]) -> Result<(), Failure> {
    if siblings.iter().any(|sibling| sibling.status() == NetworkStatus::Pending) {
        return Err((&c::VSWITCH_SIMULTANEOUS).into());
    }
    Ok(())
}

fn overlaps_any(siblings: &[VSwitch], block: Ipv4Net) -> bool {
    let mut taken = siblings.iter().filter_map(|sibling| sibling.cidr.parse().ok());
    taken.any(|taken| cidr::overlaps(taken, block))
}

/// A vSwitch of a block in a zone of a VPC.
pub(super) fn new_vswitch(
    call: &Call,
    region: &'static Region,
    vpc: Vpc,
    zone: &str,
    block: Ipv4Net,
) -> VSwitch {
    VSwitch {
        id: VSwitchId::new(new_id("vsw", region, call.now_ms)),
        account: call.principal.account.clone(),
        region: vpc.region,
        vpc: vpc.id,
        zone: zone.to_owned(),
        name: String::new(),
        description: String::new(),
        cidr: block.to_string(),
        is_default: false,
        resource_group: vpc.resource_group,
        created_ms: call.now_ms,
        ready: false,
    }
}

/// Stores a new vSwitch beside these, unless they are as many as there may be.
pub(super) fn make_vswitch(
    call: &Call,
    tx: &Tx<'_>,
    vswitch: &VSwitch,
    siblings: &[VSwitch],
    tags: &[Tag],
) -> Result<(), Failure> {
    if siblings.len() as u64 >= call.context.settings.quotas.vswitches_per_vpc {
        return Err((&c::VSWITCH_QUOTA).into());
    }
    let id = vswitch.id.as_str();
    tx.insert_vswitch(vswitch)?;
    put_tags(tx, &vswitch.account, vswitch.region.as_str(), "VSWITCH", id, tags)?;
    to_be_applied(&call.context, tx, IntentKind::VSwitch, id, 1, "create", call.now_ms)
}
