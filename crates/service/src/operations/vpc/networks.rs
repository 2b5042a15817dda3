//! What the operations about VPCs, vSwitches and route tables share: how they are read and shown.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::slice;

use ipnet::Ipv4Net;
use tongguan_model::cidr;
use tongguan_model::id::{AccountId, VSwitchId, VpcId};
use tongguan_model::network::{NetworkStatus, RouteTableType, RouterType, VSwitch, Vpc};
use tongguan_model::wire_enum;
use tongguan_store::{Page, Snapshot, StoreError, Tx};

use crate::api::vpc::{
    CloudResourceInfo, RouteTableInfo, TagInfo, Text, VSwitchInfo, VSwitchRouteTableInfo, VpcInfo,
};
use crate::args::{Args, Tag};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::{Context, iso8601};
use crate::operation::Failure;
use crate::random::for_id;

use super::shapes::{tags_of, tags_of_all};
use super::shown;

/// Addresses drawn before the pool counts as used up.
const DRAWS: u32 = 64;
/// Block of a VPC that names none.
pub(super) const DEFAULT_BLOCK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12);

/// The block of a new VPC.
pub(crate) fn vpc_block(args: &Args<'_>, name: &'static str) -> Result<Ipv4Net, Refusal> {
    let block = args.text(name).map_or(Ok(DEFAULT_BLOCK), cidr::vpc_block);
    block.map_err(|_| Refusal::new(&c::VPC_CIDR))
}

/// The block that a VPC is to have from now on.
pub(crate) fn new_vpc_block(args: &Args<'_>, name: &'static str) -> Result<Option<Ipv4Net>, Refusal> {
    let block = args.text(name).map(cidr::vpc_block).transpose();
    block.map_err(|_| Refusal::new(&c::VPC_CIDR_MODIFY))
}

/// An address of the pool of public ones that nobody has, and that is none of these.
pub(super) fn pool_address(context: &Context, tx: &Tx<'_>, but: &[String]) -> Result<String, Failure> {
    let block = context.settings.address_pool;
    let free = |address: &str| Ok(!but.iter().any(|taken| taken == address) && !tx.address_in_use(address)?);
    draw(block, free)?.map(|address| address.to_string()).ok_or_else(|| (&c::ADDRESS_POOL_EMPTY).into())
}

/// An address of a block that is free, drawn at random; none if there is hardly one.
pub(super) fn draw(
    block: Ipv4Net,
    free: impl Fn(&str) -> Result<bool, StoreError>,
) -> Result<Option<Ipv4Addr>, StoreError> {
    let size = cidr::usable_addresses(block).max(1);
    for _ in 0..DRAWS {
        let drawn = cidr::nth_address(block, u64::from_le_bytes(for_id()) % size);
        if let Some(address) = drawn
            && free(&address.to_string())?
        {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

wire_enum! {
    /// An IP version, as answers about blocks spell it.
    pub enum IpVersion {
        /// The one that there is.
        V4 = "IPV4",
        /// Not offered.
        V6 = "IPV6",
    }
}

impl IpVersion {
    /// The version that is named, in any case.
    pub(super) fn named(text: &str) -> Option<Self> {
        Self::parse(&text.to_ascii_uppercase())
    }
}

/// Puts its tags on a resource that was made.
pub(super) fn put_tags(
    tx: &Tx<'_>,
    account: &AccountId,
    region: &str,
    kind: &str,
    resource: &str,
    tags: &[Tag],
) -> Result<(), StoreError> {
    tags.iter().try_for_each(|tag| tx.put_tag(account, region, kind, resource, &tag.key, &tag.value))
}

/// Whether a list is asked for what belongs to another account: there is nothing of it here.
pub(super) fn is_foreign(call: &Call, owner: Option<u64>) -> bool {
    owner.is_some_and(|owner| owner.to_string() != call.principal.account.as_str())
}

/// Ids of what is shown and still being built, from status and id of each.
pub(super) fn pending<'a>(shown: impl Iterator<Item = (&'a Text, &'a Text)>) -> Vec<String> {
    let pending = shown.filter(|(status, _)| *status == NetworkStatus::Pending.as_str());
    pending.map(|(_, id)| id.clone().into_owned()).collect()
}

/// What DescribeVpcs and DescribeVpcAttribute both show of a VPC with its vSwitches and tags.
fn vpc_info(vpc: Vpc, vswitch_ids: Vec<Text>, tags: Vec<TagInfo>) -> VpcInfo {
    VpcInfo {
        vswitch_ids,
        tags,
        status: vpc.status().as_str().into(),
        user_cidrs: split(&vpc.user_cidrs),
        secondary_cidr_blocks: split(&vpc.secondary_cidrs),
        region_id: vpc.region.into(),
        owner_id: number(&vpc.account),
        dns_hostname_status: if vpc.dns_hostname { "ENABLED" } else { "DISABLED" }.into(),
        creation_time: iso8601(vpc.created_ms).into(),
        vpc_id: vpc.id.into(),
        vpc_name: vpc.name.into(),
        description: vpc.description.into(),
        cidr_block: vpc.cidr.into(),
        vrouter_id: vpc.vrouter.into(),
        resource_group_id: vpc.resource_group.into(),
        is_default: vpc.is_default,
        // Neither IPv6 nor DHCP options sets.
        ..VpcInfo::default()
    }
}

/// A page of VPCs as DescribeVpcs shows them, and how many there are on all pages.
pub(super) fn listed_vpcs(
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    page: Page<Vpc>,
) -> Result<(Vec<VpcInfo>, i64), StoreError> {
    let ids: Vec<&str> = page.items.iter().map(|vpc| vpc.id.as_str()).collect();
    let mut tags = tags_of_all(snapshot, account, &ids)?;
    let mut vswitches = vswitches_of_all(snapshot, &page.items)?;
    Ok(shown(page, |vpc| {
        let vswitches = vswitches.remove(&vpc.id).unwrap_or_default();
        let tags = tags.remove(vpc.id.as_str()).unwrap_or_default();
        VpcInfo {
            router_table_ids: Some(vec![vpc.route_table.clone().into()]),
            nat_gateway_ids: Some(Vec::new()),
            cen_status: Some("Detached".into()),
            ..vpc_info(vpc, vswitches, tags)
        }
    }))
}

/// A VPC as DescribeVpcAttribute shows it: with how many resources of each kind stand in it.
pub(super) fn whole_vpc(snapshot: &Snapshot<'_>, vpc: Vpc) -> Result<VpcInfo, StoreError> {
    let gateways = snapshot.gateways_in_vpc(&vpc.id)?;
    let tags = tags_of(snapshot, vpc.id.as_str())?;
    let vswitches = vswitches_of_all(snapshot, slice::from_ref(&vpc))?.remove(&vpc.id).unwrap_or_default();
    let classic_link = vpc.classic_link;
    let info = vpc_info(vpc, vswitches, tags);
    let counted = [
        ("VSwitch", info.vswitch_ids.len() as i64),
        ("VRouter", 1),
        ("RouteTable", 1),
        ("VpnGateway", gateways.cast_signed()),
    ];
    let there = counted.into_iter().filter(|(_, count)| *count > 0);
    let resource =
        |(kind, count)| CloudResourceInfo { resource_type: Text::Borrowed(kind), resource_count: count };
    Ok(VpcInfo {
        cloud_resources: Some(there.map(resource).collect()),
        associated_cens: Some(Vec::new()),
        associated_propagation_sources: Some(Vec::new()),
        classic_link_enabled: Some(classic_link),
        support_ipv4_gateway: Some(false),
        ..info
    })
}

/// A vSwitch as DescribeVSwitches and DescribeVSwitchAttributes show it: `taken` addresses of it have gateways.
fn vswitch_info(vswitch: VSwitch, route_table: String, taken: u64, tags: Vec<TagInfo>) -> VSwitchInfo {
    let usable = vswitch.cidr.parse().map_or(0, cidr::usable_addresses);
    VSwitchInfo {
        tags,
        status: vswitch.status().as_str().into(),
        available_ip_address_count: usable.saturating_sub(taken).cast_signed(),
        creation_time: iso8601(vswitch.created_ms).into(),
        owner_id: number(&vswitch.account),
        route_table: VSwitchRouteTableInfo {
            route_table_id: route_table.into(),
            route_table_type: RouteTableType::System.as_str().into(),
        },
        vswitch_id: vswitch.id.into(),
        vswitch_name: vswitch.name.into(),
        description: vswitch.description.into(),
        vpc_id: vswitch.vpc.into(),
        zone_id: vswitch.zone.into(),
        cidr_block: vswitch.cidr.into(),
        resource_group_id: vswitch.resource_group.into(),
        is_default: vswitch.is_default,
        // Neither IPv6 nor network ACLs nor sharing.
        ..VSwitchInfo::default()
    }
}

/// A vSwitch as DescribeVSwitchAttributes shows it.
pub(super) fn whole_vswitch(snapshot: &Snapshot<'_>, vswitch: VSwitch) -> Result<VSwitchInfo, StoreError> {
    let vpc = snapshot.vpc(&vswitch.account, vswitch.vpc.as_str())?;
    let route_table = vpc.map(|vpc| vpc.route_table).unwrap_or_default();
    let taken = snapshot.gateways_in_vswitch(&vswitch.id)?;
    let tags = tags_of(snapshot, vswitch.id.as_str())?;
    Ok(vswitch_info(vswitch, route_table, taken, tags))
}

/// A page of the account's vSwitches as DescribeVSwitches shows them, and how many there are on all pages.
pub(super) fn listed_vswitches(
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    page: Page<VSwitch>,
) -> Result<(Vec<VSwitchInfo>, i64), StoreError> {
    let ids: Vec<&VSwitchId> = page.items.iter().map(|vswitch| &vswitch.id).collect();
    let vpcs: Vec<&VpcId> = page.items.iter().map(|vswitch| &vswitch.vpc).collect();
    let names: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let mut tags = tags_of_all(snapshot, account, &names)?;
    let route_tables = snapshot.route_tables_of_all(account, &vpcs)?;
    let taken = snapshot.gateways_in_all(&ids)?;
    Ok(shown(page, |vswitch| {
        let route_table = route_tables.get(&vswitch.vpc).cloned().unwrap_or_default();
        let taken = taken.get(&vswitch.id).copied().unwrap_or_default();
        let tags = tags.remove(vswitch.id.as_str()).unwrap_or_default();
        vswitch_info(vswitch, route_table, taken, tags)
    }))
}

/// The system route tables of a page of VPCs as DescribeRouteTableList shows them, and how many there are on all
/// pages; there are no others here. Such a table has no tags of its own, and is in the resource group of its VPC.
pub(super) fn listed_route_tables(
    snapshot: &Snapshot<'_>,
    page: Page<Vpc>,
) -> Result<(Vec<RouteTableInfo>, i64), StoreError> {
    let mut vswitches = vswitches_of_all(snapshot, &page.items)?;
    Ok(shown(page, |vpc| RouteTableInfo {
        vswitch_ids: vswitches.remove(&vpc.id).unwrap_or_default(),
        status: vpc.status().as_str().into(),
        route_table_id: vpc.route_table.into(),
        route_table_name: vpc.route_table_name.into(),
        description: vpc.route_table_description.into(),
        route_table_type: RouteTableType::System.as_str().into(),
        associate_type: "VSwitch".into(),
        route_propagation_enable: vpc.route_propagation,
        vpc_id: vpc.id.into(),
        router_id: vpc.vrouter.into(),
        router_type: RouterType::VRouter.as_str().into(),
        owner_id: number(&vpc.account),
        creation_time: iso8601(vpc.created_ms).into(),
        resource_group_id: vpc.resource_group.into(),
        ..RouteTableInfo::default()
    }))
}

/// The ids of the vSwitches of each VPC, oldest first. VPCs without any are left out.
pub(super) fn vswitches_of_all(
    snapshot: &Snapshot<'_>,
    vpcs: &[Vpc],
) -> Result<BTreeMap<VpcId, Vec<Text>>, StoreError> {
    let vpcs: Vec<&VpcId> = vpcs.iter().map(|vpc| &vpc.id).collect();
    let vswitches = snapshot.vswitches_of_all(&vpcs)?.into_iter();
    Ok(vswitches.map(|(vpc, ids)| (vpc, ids.into_iter().map(Into::into).collect())).collect())
}

fn split(list: &str) -> Vec<Text> {
    list.split(',').filter(|item| !item.is_empty()).map(|item| item.to_owned().into()).collect()
}

/// Account ids are decimal; the owner of network resources is shown as a number.
fn number(account: &AccountId) -> i64 {
    account.as_str().parse().unwrap_or(0)
}
