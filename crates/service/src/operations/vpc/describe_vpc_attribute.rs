//! DescribeVpcAttribute: reads one VPC. Source: `docs/api/vpc/DescribeVpcAttribute.json`.

use crate::api::vpc::{DescribeVpcAttribute, DescribeVpcAttributeOutput};
use crate::operation::prelude::*;

use super::in_region;
use super::networks::{pending, whole_vpc};

impl Read for DescribeVpcAttribute {
    type Output = DescribeVpcAttributeOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.vpc(&call.principal.account, &self.vpc_id)?;
        let vpc = in_region(found, |vpc| &vpc.region, Some(self.region), &c::VPC_NOT_FOUND)?;
        Ok(whole_vpc(snapshot, vpc)?)
    }

    fn unsettled(output: &Self::Output) -> Vec<String> {
        pending([(&output.status, &output.vpc_id)].into_iter())
    }
}
