//! How gateways, VPCs and vSwitches are shown; shared by the operations that show them.

use std::collections::BTreeMap;

use serde::Serialize;
use tongguan_model::cidr;
use tongguan_model::gateway::{Status, VpnGateway};
use tongguan_model::network::{VSwitch, Vpc};
use tongguan_store::{Snapshot, StoreError, TagRow};

use crate::api::vpc::{TagInfo, Text, VpnGatewayInfo};
use crate::context::iso8601;

/// `Tags.Tag[]`.
#[derive(Serialize)]
pub(super) struct Tags {
    #[serde(rename = "Tag")]
    tags: Vec<ShownTag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownTag {
    key: String,
    value: String,
}

impl Tags {
    pub(super) fn of(snapshot: &Snapshot<'_>, resource: &str) -> Result<Self, StoreError> {
        let tags = snapshot.tags_of(resource)?;
        Ok(Self { tags: tags.into_iter().map(|TagRow { key, value, .. }| ShownTag { key, value }).collect() })
    }
}

/// The tags of a resource.
pub(super) fn tags_of(snapshot: &Snapshot<'_>, resource: &str) -> Result<Vec<TagInfo>, StoreError> {
    Ok(tag_infos(snapshot.tags_of(resource)?))
}

/// The tags of each resource of a page. Resources without any are left out.
pub(super) fn tags_of_all(
    snapshot: &Snapshot<'_>,
    resources: &[&str],
) -> Result<BTreeMap<String, Vec<TagInfo>>, StoreError> {
    let tags = snapshot.tags_of_all(resources)?.into_iter();
    Ok(tags.map(|(resource, tags)| (resource, tag_infos(tags))).collect())
}

fn tag_infos(tags: Vec<TagRow>) -> Vec<TagInfo> {
    tags.into_iter()
        .map(|TagRow { key, value, .. }| TagInfo { key: key.into(), value: value.into() })
        .collect()
}

/// What the data plane of this release offers, in the words of the field `Tag`.
const FEATURES: &str = r#"{"VpnEnableBgp":"false","VisuallySsl":"false","PbrPriority":"false","VpnNewImage":"true","description":"tongguan","VpnVersion":"v1.0.0"}"#;

/// The document in the field `Tag`; a bound certificate that is out of service is told here.
fn features(alert: Option<&str>) -> Text {
    match alert {
        None => FEATURES.into(),
        Some(alert) => {
            let alert = serde_json::Value::from(alert);
            format!("{},\"CertificateAlert\":{alert}}}", FEATURES.trim_end_matches('}')).into()
        }
    }
}

/// A gateway with its tags as DescribeVpnGateway and DescribeVpnGateways show it.
pub(super) fn gateway_info(gateway: VpnGateway, tags: Vec<TagInfo>) -> VpnGatewayInfo {
    let on = |on: bool| if on { "enable".into() } else { "disable".into() };
    let ssl_has_its_own_address = gateway.ssl && gateway.disaster_recovery_ip.is_some();
    VpnGatewayInfo {
        tags,
        status: gateway.status().as_str().into(),
        business_status: gateway.business_status.as_str().into(),
        vpn_type: gateway.vpn_type.as_str().into(),
        gateway_type: "Traditional".into(),
        network_type: gateway.network_type.as_str().into(),
        vpc_id: gateway.vpc.into(),
        vswitch_id: gateway.vswitch.map(Into::into).unwrap_or_default(),
        disaster_recovery_vswitch_id: gateway.disaster_recovery_vswitch.map(Into::into),
        ssl_vpn_internet_ip: ssl_has_its_own_address.then(|| gateway.internet_ip.clone().into()),
        internet_ip: gateway.internet_ip.into(),
        disaster_recovery_internet_ip: gateway.disaster_recovery_ip.map(Into::into),
        spec: format!("{}M", gateway.bandwidth).into(),
        ipsec_vpn: on(gateway.ipsec),
        ssl_vpn: on(gateway.ssl),
        // There are no SSL connections without SSL, whatever the row says.
        ssl_max_connections: if gateway.ssl { gateway.ssl_connections.into() } else { 0 },
        enable_bgp: false,
        auto_propagate: gateway.auto_propagate,
        charge_type: gateway.charge_type.as_str().into(),
        create_time: gateway.created_ms,
        end_time: gateway.end_ms,
        resource_group_id: gateway.resource_group.into(),
        tag: features(gateway.certificate_alert.as_deref()),
        eni_instance_ids: Vec::new(),
        name: gateway.name.into(),
        description: gateway.description.into(),
        vpn_gateway_id: gateway.id.into(),
    }
}

/// Ids of the gateways that are shown and not settled.
pub(super) fn unsettled(gateways: &[VpnGatewayInfo]) -> Vec<String> {
    let moving = gateways.iter().filter(|gateway| gateway.status != Status::Active.as_str());
    moving.map(|gateway| gateway.vpn_gateway_id.clone().into_owned()).collect()
}

/// Wrapped lists of texts: `{Wrapper: {Inner: [..]}}`.
macro_rules! wrapped {
    ($($name:ident $field:literal),+ $(,)?) => {$(
        #[derive(Serialize)]
        struct $name {
            #[serde(rename = $field)]
            items: Vec<String>,
        }
    )+};
}
wrapped! {
    VSwitchIds "VSwitchId",
    UserCidrs "UserCidr",
    SecondaryCidrBlocks "SecondaryCidrBlock",
    NatGatewayIds "NatGatewayIds",
    GatewayIds "GatewayIds",
    RouterTableIds "RouterTableIds",
    Ipv6CidrBlocks "Ipv6CidrBlock",
    AssociatedCens "AssociatedCen",
    AssociatedPropagationSources "AssociatedPropagationSources",
}

/// What DescribeVpcs and DescribeVpcAttribute both show of a VPC.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShownVpc {
    vpc_id: String,
    vpc_name: String,
    description: String,
    status: &'static str,
    cidr_block: String,
    #[serde(rename = "Ipv6CidrBlock")]
    ipv6_cidr_block: &'static str,
    #[serde(rename = "Ipv6CidrBlocks")]
    ipv6_cidr_blocks: Ipv6CidrBlocks,
    #[serde(rename = "EnabledIpv6")]
    enabled_ipv6: bool,
    secondary_cidr_blocks: SecondaryCidrBlocks,
    user_cidrs: UserCidrs,
    v_router_id: String,
    v_switch_ids: VSwitchIds,
    #[serde(skip_serializing_if = "Option::is_none")]
    router_table_ids: Option<RouterTableIds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nat_gateway_ids: Option<NatGatewayIds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    associated_cens: Option<AssociatedCens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    associated_propagation_sources: Option<AssociatedPropagationSources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_resources: Option<CloudResources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classic_link_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "SupportIpv4Gateway")]
    support_ipv4_gateway: Option<bool>,
    region_id: String,
    owner_id: u64,
    is_default: bool,
    dns_hostname_status: &'static str,
    dhcp_options_set_id: &'static str,
    dhcp_options_set_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cen_status: Option<&'static str>,
    creation_time: String,
    resource_group_id: String,
    tags: Tags,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CloudResources {
    cloud_resource_set_type: Vec<CloudResource>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CloudResource {
    resource_type: &'static str,
    resource_count: u64,
}

impl ShownVpc {
    /// As a row of DescribeVpcs.
    pub(super) fn row(snapshot: &Snapshot<'_>, vpc: Vpc) -> Result<Self, StoreError> {
        let tables = vec![vpc.route_table.clone()];
        let mut shown = Self::common(snapshot, vpc)?;
        shown.router_table_ids = Some(RouterTableIds { items: tables });
        shown.nat_gateway_ids = Some(NatGatewayIds { items: Vec::new() });
        shown.cen_status = Some("Detached");
        Ok(shown)
    }

    /// As the answer of DescribeVpcAttribute.
    pub(super) fn attribute(snapshot: &Snapshot<'_>, vpc: Vpc) -> Result<Self, StoreError> {
        let gateways = snapshot.gateways_in_vpc(&vpc.id)?;
        let mut shown = Self::common(snapshot, vpc)?;
        let counted = [
            ("VSwitch", shown.v_switch_ids.items.len() as u64),
            ("VRouter", 1),
            ("RouteTable", 1),
            ("VpnGateway", gateways),
        ];
        shown.cloud_resources = Some(CloudResources {
            cloud_resource_set_type: counted
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(resource_type, resource_count)| CloudResource { resource_type, resource_count })
                .collect(),
        });
        shown.associated_cens = Some(AssociatedCens { items: Vec::new() });
        shown.associated_propagation_sources = Some(AssociatedPropagationSources { items: Vec::new() });
        shown.classic_link_enabled = Some(false);
        shown.support_ipv4_gateway = Some(false);
        Ok(shown)
    }

    fn common(snapshot: &Snapshot<'_>, vpc: Vpc) -> Result<Self, StoreError> {
        let vswitches = snapshot.vswitches_in(&vpc.id)?;
        let tags = Tags::of(snapshot, vpc.id.as_str())?;
        Ok(Self {
            status: vpc.status().as_str(),
            vpc_id: vpc.id.to_string(),
            vpc_name: vpc.name,
            description: vpc.description,
            cidr_block: vpc.cidr,
            ipv6_cidr_block: "",
            ipv6_cidr_blocks: Ipv6CidrBlocks { items: Vec::new() },
            enabled_ipv6: false,
            secondary_cidr_blocks: SecondaryCidrBlocks { items: Vec::new() },
            user_cidrs: UserCidrs { items: split(&vpc.user_cidrs) },
            v_router_id: vpc.vrouter,
            v_switch_ids: VSwitchIds { items: vswitches.into_iter().map(|v| v.id.to_string()).collect() },
            router_table_ids: None,
            nat_gateway_ids: None,
            associated_cens: None,
            associated_propagation_sources: None,
            cloud_resources: None,
            classic_link_enabled: None,
            support_ipv4_gateway: None,
            region_id: vpc.region.to_string(),
            owner_id: number(vpc.account.as_str()),
            is_default: false,
            dns_hostname_status: if vpc.dns_hostname { "ENABLED" } else { "DISABLED" },
            dhcp_options_set_id: "",
            dhcp_options_set_status: "",
            cen_status: None,
            creation_time: iso8601(vpc.created_ms),
            resource_group_id: vpc.resource_group,
            tags,
        })
    }
}

/// A vSwitch as DescribeVSwitches and DescribeVSwitchAttributes show it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShownVSwitch {
    v_switch_id: String,
    v_switch_name: String,
    description: String,
    status: &'static str,
    vpc_id: String,
    zone_id: String,
    cidr_block: String,
    #[serde(rename = "Ipv6CidrBlock")]
    ipv6_cidr_block: &'static str,
    #[serde(rename = "EnabledIpv6")]
    enabled_ipv6: bool,
    available_ip_address_count: u64,
    creation_time: String,
    is_default: bool,
    network_acl_id: &'static str,
    owner_id: u64,
    resource_group_id: String,
    route_table: RouteTable,
    share_type: &'static str,
    tags: Tags,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RouteTable {
    route_table_id: String,
    route_table_type: &'static str,
}

impl ShownVSwitch {
    pub(super) fn of(snapshot: &Snapshot<'_>, vswitch: VSwitch) -> Result<Self, StoreError> {
        let vpc = snapshot.vpc(&vswitch.account, vswitch.vpc.as_str())?;
        let taken = snapshot.gateways_in_vswitch(&vswitch.id)?;
        let usable = vswitch.cidr.parse().map_or(0, cidr::usable_addresses);
        let tags = Tags::of(snapshot, vswitch.id.as_str())?;
        Ok(Self {
            status: vswitch.status().as_str(),
            v_switch_id: vswitch.id.to_string(),
            v_switch_name: vswitch.name,
            description: vswitch.description,
            vpc_id: vswitch.vpc.to_string(),
            zone_id: vswitch.zone,
            cidr_block: vswitch.cidr,
            ipv6_cidr_block: "",
            enabled_ipv6: false,
            available_ip_address_count: usable.saturating_sub(taken),
            creation_time: iso8601(vswitch.created_ms),
            is_default: false,
            network_acl_id: "",
            owner_id: number(vswitch.account.as_str()),
            resource_group_id: vswitch.resource_group,
            route_table: RouteTable {
                route_table_id: vpc.map(|vpc| vpc.route_table).unwrap_or_default(),
                route_table_type: "System",
            },
            share_type: "",
            tags,
        })
    }
}

/// The system route table of a VPC as DescribeRouteTableList shows it; there are no others here. It has neither name nor
/// description nor tags of its own, and is in the resource group of its VPC.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShownRouteTable {
    route_table_id: String,
    route_table_name: &'static str,
    description: &'static str,
    route_table_type: &'static str,
    status: &'static str,
    associate_type: &'static str,
    route_propagation_enable: bool,
    vpc_id: String,
    router_id: String,
    router_type: &'static str,
    v_switch_ids: VSwitchIds,
    gateway_ids: GatewayIds,
    owner_id: u64,
    creation_time: String,
    resource_group_id: String,
    tags: Tags,
}

impl ShownRouteTable {
    pub(super) fn of(snapshot: &Snapshot<'_>, vpc: Vpc) -> Result<Self, StoreError> {
        let vswitches = snapshot.vswitches_in(&vpc.id)?;
        Ok(Self {
            status: vpc.status().as_str(),
            route_table_id: vpc.route_table,
            route_table_name: "",
            description: "",
            route_table_type: "System",
            associate_type: "VSwitch",
            route_propagation_enable: true,
            vpc_id: vpc.id.to_string(),
            router_id: vpc.vrouter,
            router_type: "VRouter",
            v_switch_ids: VSwitchIds { items: vswitches.into_iter().map(|v| v.id.to_string()).collect() },
            gateway_ids: GatewayIds { items: Vec::new() },
            owner_id: number(vpc.account.as_str()),
            creation_time: iso8601(vpc.created_ms),
            resource_group_id: vpc.resource_group,
            tags: Tags { tags: Vec::new() },
        })
    }
}

fn split(list: &str) -> Vec<String> {
    list.split(',').filter(|item| !item.is_empty()).map(Into::into).collect()
}

/// Account ids are decimal; the owner of network resources is shown as a number.
fn number(account: &str) -> u64 {
    account.parse().unwrap_or(0)
}
