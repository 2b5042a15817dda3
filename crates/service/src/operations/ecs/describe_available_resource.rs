//! DescribeAvailableResource: what is in stock in the zones of a region. Source:
//! `docs/api/ecs/DescribeAvailableResource.json`.
//!
//! A zone that has nothing of what is asked for is not listed.

use tongguan_model::region::Zone;

use crate::api::ecs::{
    DescribeAvailableResource, DescribeAvailableResourceAvailableZonesAvailableZone as AvailableZone,
    DescribeAvailableResourceAvailableZonesAvailableZoneAvailableResourcesAvailableResource as AvailableResource,
    DescribeAvailableResourceAvailableZonesAvailableZoneAvailableResourcesAvailableResourceSupportedResourcesSupportedResource as SupportedResource,
    DescribeAvailableResourceOutput,
};
use crate::call::Call;
use crate::catalogue as c;
use crate::operation::{Failure, Pure};

use super::{CORES, DISK, Destination, INSTANCE_TYPE, IoOptimized, MEMORY, NetworkCategory, ResourceType};

const AVAILABLE: &str = "Available";
const IN_STOCK: &str = "WithStock";
/// Sizes of a disk, GiB.
const DISK_SIZES: (i64, i64) = (20, 2_048);

impl DescribeAvailableResource {
    /// Whether what is described exists here, in any zone.
    fn in_stock(&self) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_ref().is_none_or(|wanted| wanted == own);
        let kind =
            self.resource_type.is_none_or(|kind| matches!(kind, ResourceType::Instance | ResourceType::Disk));
        kind && self.destination_resource != Destination::DedicatedHost
            && self.io_optimized != Some(IoOptimized::No)
            && self.network_category != Some(NetworkCategory::Classic)
            && is(&self.instance_type, INSTANCE_TYPE)
            && is(&self.system_disk_category, DISK)
            && is(&self.data_disk_category, DISK)
            && self.cores.is_none_or(|cores| cores == CORES)
            && self.memory.is_none_or(|memory| (memory - MEMORY).abs() < f64::EPSILON)
    }

    /// What of it a zone has.
    fn resource_in(&self, zone: &Zone) -> SupportedResource {
        let value = match self.destination_resource {
            Destination::Zone | Destination::DedicatedHost => zone.id,
            Destination::IoOptimized => IoOptimized::Yes.as_str(),
            Destination::InstanceType => INSTANCE_TYPE,
            Destination::Network => NetworkCategory::Vpc.as_str(),
            Destination::SystemDisk | Destination::DataDisk => DISK,
        };
        let disk = matches!(self.destination_resource, Destination::SystemDisk | Destination::DataDisk);
        SupportedResource {
            value: value.into(),
            status: AVAILABLE.into(),
            status_category: IN_STOCK.into(),
            min: disk.then_some(DISK_SIZES.0),
            max: disk.then_some(DISK_SIZES.1),
            unit: disk.then(|| "GiB".into()),
        }
    }
}

impl Pure for DescribeAvailableResource {
    type Output = DescribeAvailableResourceOutput;

    fn answer(&self, _: &Call) -> Result<Self::Output, Failure> {
        if self.destination_resource != Destination::InstanceType {
            if self.cores.is_some() {
                return Err((&c::ECS_CORES).into());
            }
            if self.memory.is_some() {
                return Err((&c::ECS_MEMORY).into());
            }
        }
        if self.instance_type.is_some() && (self.cores.is_some() || self.memory.is_some()) {
            return Err((&c::ECS_TYPE_CONFLICT).into());
        }
        let named = |zone: &&Zone| self.zone_id.as_ref().is_none_or(|id| id == zone.id);
        let zones = self.region.zones.iter().filter(named).filter(|_| self.in_stock());
        let available_zones = zones.map(|zone| AvailableZone {
            region_id: self.region.id.into(),
            zone_id: zone.id.into(),
            status: AVAILABLE.into(),
            status_category: IN_STOCK.into(),
            available_resources: vec![AvailableResource {
                r#type: self.destination_resource.as_str().into(),
                supported_resources: vec![self.resource_in(zone)],
            }],
        });
        Ok(Self::Output { available_zones: available_zones.collect() })
    }
}
