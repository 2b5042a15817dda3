//! DescribeVSwitchAttributes: reads one vSwitch. Source: `docs/api/vpc/DescribeVSwitchAttributes.json`.
//!
//! An unknown id answers 400, where DescribeVSwitches and DeleteVSwitch use 404 for the same code.

use crate::api::vpc::{DescribeVSwitchAttributes, DescribeVSwitchAttributesOutput};
use crate::operation::prelude::*;

use super::in_region;
use super::networks::{pending, whole_vswitch};

impl Read for DescribeVSwitchAttributes {
    type Output = DescribeVSwitchAttributesOutput;

    fn answer(&self, call: &Call, snapshot: &Snapshot<'_>) -> Result<Self::Output, Failure> {
        let found = snapshot.vswitch(&call.principal.account, &self.vswitch_id)?;
        let vswitch = in_region(found, |vswitch| &vswitch.region, self.region, &c::VSWITCH_NOT_FOUND_READ)?;
        Ok(whole_vswitch(snapshot, vswitch)?)
    }

    fn unsettled(output: &Self::Output) -> Vec<String> {
        pending([(&output.status, &output.vswitch_id)].into_iter())
    }
}
