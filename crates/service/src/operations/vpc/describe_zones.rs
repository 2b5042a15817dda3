//! DescribeZones: lists the zones of a region. Source: `docs/api/vpc/DescribeZones.json`.

use crate::api::vpc::{DescribeZones, DescribeZonesOutput, DescribeZonesZonesZone as Zone};
use crate::operation::prelude::*;

impl Pure for DescribeZones {
    type Output = DescribeZonesOutput;

    fn answer(&self, _: &Call) -> Result<Self::Output, Failure> {
        let zones = self.region.zones.iter().map(|zone| Zone {
            zone_id: zone.id.into(),
            local_name: self.accept_language.of(zone.local_name_zh, zone.local_name_en).into(),
            zone_type: "AvailabilityZone".into(),
        });
        Ok(Self::Output { zones: zones.collect() })
    }
}
