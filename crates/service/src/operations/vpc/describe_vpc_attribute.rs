//! DescribeVpcAttribute: reads one VPC. Source: `docs/api/vpc/DescribeVpcAttribute.json`.

use serde::Serialize;
use tongguan_model::network::NetworkStatus;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    DRY_RUN, DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, optional, required,
};

use super::in_region;
use super::shapes::ShownVpc;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DescribeVpcAttribute",
    summary: "Read one VPC.",
    permission: Some("vpc:DescribeVpcAttribute"),
    resource: "acs:vpc:{RegionId}:{accountId}:vpc/{VpcId}",
    arns: &[&[
        Part::Text("acs:vpc:"),
        Part::Region { of: Some("VpcId") },
        Part::Text(":"),
        Part::Account,
        Part::Text(":vpc/"),
        Part::Parameter("VpcId"),
    ]],
    conditions: &[],
    parameters: &[
        REGION,
        required("VpcId", Shape::Text, "Id of the VPC."),
        optional("IsDefault", Shape::Boolean, "Whether the VPC is the default one; none is here."),
        DRY_RUN,
    ],
    subject: Some("VpcId"),
    dry_run: DryRun::Refuses,
    errors: &[&c::FORBIDDEN, &c::ILLEGAL, &c::REGION_NOT_FOUND, &c::DRY_RUN, &c::VPC_NOT_FOUND],
    handler: Handler::Read(describe),
};

#[derive(Serialize)]
struct Description<'a> {
    #[serde(rename = "RequestId")]
    request_id: &'a str,
    #[serde(flatten)]
    vpc: ShownVpc,
}

fn describe(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    args.flag("IsDefault")?;
    let region = args.region()?;
    let found = snapshot.vpc(&call.principal.account, args.required("VpcId"))?;
    let vpc = in_region(found, |vpc| &vpc.region, region, &c::VPC_NOT_FOUND)?;
    let pending = (vpc.status() == NetworkStatus::Pending).then(|| vpc.id.to_string());
    let vpc = ShownVpc::attribute(snapshot, vpc)?;
    Ok(call.reply(&Description { request_id: &call.request_id, vpc })?.unsettled(pending))
}
