//! DescribeZones of Alb: lists the zones of a region. Source: `docs/api/alb/DescribeZones.json`.
//!
//! The page has no `RegionId`, since there each region has an endpoint of its own; it is read if it is sent.

use crate::api::alb::{DescribeZones, DescribeZonesOutput, DescribeZonesZones as Zone};
use crate::call::Call;
use crate::operation::{Failure, Pure};

impl Pure for DescribeZones {
    type Output = DescribeZonesOutput;

    fn answer(&self, call: &Call) -> Result<Self::Output, Failure> {
        let region = self.region.unwrap_or(call.context.settings.default_region);
        let zones = region.zones.iter().map(|zone| Zone {
            zone_id: zone.id.into(),
            local_name: self.accept_language.of(zone.local_name_zh, zone.local_name_en).into(),
        });
        Ok(Self::Output { zones: zones.collect() })
    }
}
