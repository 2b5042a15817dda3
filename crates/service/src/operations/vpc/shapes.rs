//! How gateways, VPCs and vSwitches are shown; shared by the operations that show them.

use std::borrow::Cow;

use serde::Serialize;
use tongguan_model::cidr;
use tongguan_model::gateway::{ChargeType, VpnGateway};
use tongguan_model::network::{VSwitch, Vpc};
use tongguan_store::{Snapshot, StoreError, TagRow};

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

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EniInstanceIds {
    eni_instance_id: Vec<String>,
}

/// What the data plane of this release offers, in the words of the field `Tag`.
const FEATURES: &str = r#"{"VpnEnableBgp":"false","VisuallySsl":"false","PbrPriority":"false","VpnNewImage":"true","description":"tongguan","VpnVersion":"v1.0.0"}"#;

/// The document in the field `Tag`; a bound certificate that is out of service is told here.
fn features(alert: Option<&str>) -> Cow<'static, str> {
    match alert {
        None => FEATURES.into(),
        Some(alert) => {
            let alert = serde_json::Value::from(alert);
            format!("{},\"CertificateAlert\":{alert}}}", FEATURES.trim_end_matches('}')).into()
        }
    }
}

/// A gateway as DescribeVpnGateway and DescribeVpnGateways show it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShownGateway {
    vpn_gateway_id: String,
    name: String,
    description: String,
    status: &'static str,
    business_status: &'static str,
    vpn_type: &'static str,
    gateway_type: &'static str,
    network_type: &'static str,
    vpc_id: String,
    v_switch_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    disaster_recovery_v_switch_id: Option<String>,
    internet_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    disaster_recovery_internet_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssl_vpn_internet_ip: Option<String>,
    spec: String,
    ipsec_vpn: &'static str,
    ssl_vpn: &'static str,
    ssl_max_connections: u32,
    enable_bgp: bool,
    auto_propagate: bool,
    charge_type: &'static str,
    create_time: i64,
    end_time: i64,
    resource_group_id: String,
    tag: Cow<'static, str>,
    tags: Tags,
    eni_instance_ids: EniInstanceIds,
}

impl ShownGateway {
    pub(super) fn of(snapshot: &Snapshot<'_>, gateway: VpnGateway) -> Result<Self, StoreError> {
        let on = |on: bool| if on { "enable" } else { "disable" };
        let tags = Tags::of(snapshot, gateway.id.as_str())?;
        Ok(Self {
            status: gateway.status().as_str(),
            business_status: gateway.business_status.as_str(),
            vpn_type: gateway.vpn_type.as_str(),
            gateway_type: "Traditional",
            network_type: gateway.network_type.as_str(),
            vpc_id: gateway.vpc.to_string(),
            v_switch_id: gateway.vswitch.as_ref().map(ToString::to_string).unwrap_or_default(),
            disaster_recovery_v_switch_id: gateway
                .disaster_recovery_vswitch
                .as_ref()
                .map(ToString::to_string),
            ssl_vpn_internet_ip: (gateway.ssl && gateway.disaster_recovery_ip.is_some())
                .then(|| gateway.internet_ip.clone()),
            internet_ip: gateway.internet_ip,
            disaster_recovery_internet_ip: gateway.disaster_recovery_ip,
            spec: format!("{}M", gateway.bandwidth),
            ipsec_vpn: on(gateway.ipsec),
            ssl_vpn: on(gateway.ssl),
            // There are no SSL connections without SSL, whatever the row says.
            ssl_max_connections: if gateway.ssl { gateway.ssl_connections } else { 0 },
            enable_bgp: false,
            auto_propagate: gateway.auto_propagate,
            charge_type: charge_type(gateway.charge_type),
            create_time: gateway.created_ms,
            end_time: gateway.end_ms,
            resource_group_id: gateway.resource_group,
            tag: features(gateway.certificate_alert.as_deref()),
            tags,
            eni_instance_ids: EniInstanceIds { eni_instance_id: Vec::new() },
            name: gateway.name,
            description: gateway.description,
            vpn_gateway_id: gateway.id.to_string(),
        })
    }
}

fn charge_type(charge: ChargeType) -> &'static str {
    charge.as_str()
}
