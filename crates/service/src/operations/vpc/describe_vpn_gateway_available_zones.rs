//! DescribeVpnGatewayAvailableZones: lists the zones of a region in which a gateway can be ordered.
//!
//! Source: `docs/api/vpc/DescribeVpnGatewayAvailableZones.json`. A gateway of any bandwidth can be in every zone.
//! Gateways of type `Enhanced.SiteToSite` are not offered, so no zone takes one.

use crate::api::vpc::{
    DescribeVpnGatewayAvailableZones, DescribeVpnGatewayAvailableZonesAvailableZoneIdList as Zone,
    DescribeVpnGatewayAvailableZonesOutput,
};
use crate::operation::prelude::*;

impl Pure for DescribeVpnGatewayAvailableZones {
    type Output = DescribeVpnGatewayAvailableZonesOutput;

    fn answer(&self, _: &Call) -> Result<Self::Output, Failure> {
        let offered = self.gateway_type.as_deref().is_none_or(|kind| kind == "Traditional");
        let zones = self.region.zones.iter().filter(|_| offered).map(|zone| Zone {
            zone_id: zone.id.into(),
            zone_name: match self.accept_language.as_str() {
                "zh-CN" => zone.local_name_zh.into(),
                _ => zone.local_name_en.into(),
            },
        });
        Ok(Self::Output { available_zone_id_list: zones.collect(), region_id: self.region.id.into() })
    }
}
