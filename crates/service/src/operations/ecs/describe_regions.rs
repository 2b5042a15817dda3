//! DescribeRegions of Ecs: lists the regions. Source: `docs/api/ecs/DescribeRegions.json`.
//!
//! `RegionEndpoint` is this server, so that clients which follow it stay here.

use tongguan_model::region;

use crate::api::ecs::{DescribeRegions, DescribeRegionsOutput, DescribeRegionsRegionsRegion as Region};
use crate::call::Call;
use crate::operation::{Failure, Pure};

impl Pure for DescribeRegions {
    type Output = DescribeRegionsOutput;

    fn answer(&self, call: &Call) -> Result<Self::Output, Failure> {
        let endpoint = call.context.settings.endpoint.as_ref().unwrap_or(&call.host);
        let regions = region::regions().iter().map(|region| Region {
            region_id: region.id.into(),
            local_name: self.accept_language.of(region.local_name_zh, region.local_name_en).into(),
            region_endpoint: endpoint.clone().into(),
            status: "available".into(),
        });
        Ok(Self::Output { regions: regions.collect() })
    }
}
