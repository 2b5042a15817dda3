//! DescribeVSwitchAttributes: reads one vSwitch. Source: `docs/api/vpc/DescribeVSwitchAttributes.json`.
//!
//! An unknown id answers 400, where DescribeVSwitches and DeleteVSwitch use 404 for the same code.

use serde::Serialize;
use tongguan_model::network::NetworkStatus;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    DRY_RUN, DryRun, Failure, Handler, Operation, Part, Product, REGION_OPTIONAL, Shape, required,
};

use super::in_region;
use super::shapes::ShownVSwitch;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DescribeVSwitchAttributes",
    summary: "Read one vSwitch.",
    permission: Some("vpc:DescribeVSwitchAttributes"),
    resource: "acs:vpc:{RegionId}:{accountId}:vswitch/{VSwitchId}",
    arns: &[&[
        Part::Text("acs:vpc:"),
        Part::Region { of: Some("VSwitchId") },
        Part::Text(":"),
        Part::Account,
        Part::Text(":vswitch/"),
        Part::Parameter("VSwitchId"),
    ]],
    conditions: &[],
    parameters: &[REGION_OPTIONAL, required("VSwitchId", Shape::Text, "Id of the vSwitch."), DRY_RUN],
    subject: Some("VSwitchId"),
    dry_run: DryRun::Refuses,
    errors: &[&c::FORBIDDEN, &c::ILLEGAL, &c::REGION_NOT_FOUND, &c::DRY_RUN, &c::VSWITCH_NOT_FOUND_READ],
    handler: Handler::Read(describe),
};

#[derive(Serialize)]
struct Description<'a> {
    #[serde(rename = "RequestId")]
    request_id: &'a str,
    #[serde(flatten)]
    vswitch: ShownVSwitch,
}

fn describe(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let region = args.region()?;
    let found = snapshot.vswitch(&call.principal.account, args.required("VSwitchId"))?;
    let vswitch = in_region(found, |vswitch| &vswitch.region, region, &c::VSWITCH_NOT_FOUND_READ)?;
    let pending = (vswitch.status() == NetworkStatus::Pending).then(|| vswitch.id.to_string());
    let vswitch = ShownVSwitch::of(snapshot, vswitch)?;
    Ok(call.reply(&Description { request_id: &call.request_id, vswitch })?.unsettled(pending))
}
