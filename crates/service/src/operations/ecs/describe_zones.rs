//! DescribeZones of Ecs: lists the zones of a region. Source: `docs/api/ecs/DescribeZones.json`.

use crate::api::ecs::{DescribeZones, DescribeZonesOutput, DescribeZonesZonesZone as Zone};
use crate::call::Call;
use crate::operation::{Failure, Pure};

use super::{DISK, INSTANCE_TYPE};

impl Pure for DescribeZones {
    type Output = DescribeZonesOutput;

    fn answer(&self, _: &Call) -> Result<Self::Output, Failure> {
        let zones = self.region.zones.iter().map(|zone| Zone {
            zone_id: zone.id.into(),
            local_name: self.accept_language.of(zone.local_name_zh, zone.local_name_en).into(),
            zone_type: "AvailabilityZone".into(),
            available_resource_creation: vec!["VSwitch".into()],
            available_instance_types: vec![INSTANCE_TYPE.into()],
            available_disk_categories: vec![DISK.into()],
        });
        Ok(Self::Output { zones: zones.collect() })
    }
}
