//! How gateways and tags are shown; shared by the operations that show them.

use std::collections::BTreeMap;

use tongguan_model::gateway::{Status, VpnGateway};
use tongguan_model::id::AccountId;
use tongguan_store::{Snapshot, StoreError, TagRow};

use crate::api::vpc::{TagInfo, Text, VpnGatewayInfo};

/// The tags of a resource.
pub(super) fn tags_of(snapshot: &Snapshot<'_>, resource: &str) -> Result<Vec<TagInfo>, StoreError> {
    Ok(tag_infos(snapshot.tags_of(resource)?))
}

/// The tags of each resource of a page of an account's. Resources without any are left out.
pub(super) fn tags_of_all(
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    resources: &[&str],
) -> Result<BTreeMap<String, Vec<TagInfo>>, StoreError> {
    let tags = snapshot.tags_of_all(account, resources)?.into_iter();
    Ok(tags.map(|(resource, tags)| (resource, tag_infos(tags))).collect())
}

/// Tags as they are shown.
pub(super) fn tag_infos(tags: Vec<TagRow>) -> Vec<TagInfo> {
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
        spec: [itoa::Buffer::new().format(gateway.bandwidth), "M"].concat().into(),
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
