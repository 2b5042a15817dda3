//! DescribeVpnGateway: reads one gateway. Every asynchronous VPN operation is polled with it.
//!
//! Source: `docs/api/vpc/DescribeVpnGateway.json`.

use serde::Serialize;
use tongguan_model::gateway::Status;
use tongguan_store::Snapshot;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, optional, required,
};

use super::gateway_in;
use super::shapes::ShownGateway;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DescribeVpnGateway",
    summary: "Read one VPN gateway.",
    permission: Some("vpc:DescribeVpnGateway"),
    resource: "acs:vpc:{RegionId}:{accountId}:vpngateway/{VpnGatewayId}",
    arns: &[&[
        Part::Text("acs:vpc:"),
        Part::Region { of: Some("VpnGatewayId") },
        Part::Text(":"),
        Part::Account,
        Part::Text(":vpngateway/"),
        Part::Parameter("VpnGatewayId"),
    ]],
    conditions: &[],
    parameters: &[
        REGION,
        required("VpnGatewayId", Shape::Text, "Id of the gateway."),
        optional("IncludeReservationData", Shape::Boolean, "true: add data of orders not yet in force."),
    ],
    subject: Some("VpnGatewayId"),
    dry_run: DryRun::None,
    errors: &[&c::FORBIDDEN, &c::ILLEGAL, &c::REGION_NOT_FOUND, &c::GATEWAY_NOT_FOUND],
    handler: Handler::Read(describe),
};

#[derive(Serialize)]
struct Description<'a> {
    #[serde(rename = "RequestId")]
    request_id: &'a str,
    #[serde(flatten)]
    gateway: ShownGateway,
}

fn describe(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    args.flag("IncludeReservationData")?;
    let found = snapshot.gateway(&call.principal.account, args.required("VpnGatewayId"))?;
    let gateway = gateway_in(found, args.region()?)?;
    let moving = (gateway.status() != Status::Active).then(|| gateway.id.to_string());
    let gateway = ShownGateway::of(snapshot, gateway)?;
    Ok(call.reply(&Description { request_id: &call.request_id, gateway })?.unsettled(moving))
}
