//! DeleteVpnGateway: releases a gateway.
//!
//! Source: `docs/api/vpc/DeleteVpnGateway.json`. The gateway is `deleting` and then gone. A
//! subscription inside its paid term is refused; an unpaid order is cancelled at once.

use tongguan_model::gateway::Phase;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, CLIENT_TOKEN, DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, UntypedChange,
    required,
};

use super::{gateway_in, intend};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DeleteVpnGateway",
    summary: "Release a VPN gateway.",
    permission: Some("vpc:DeleteVpnGateway"),
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
    parameters: &[REGION, required("VpnGatewayId", Shape::Text, "Id of the gateway."), CLIENT_TOKEN],
    subject: Some("VpnGatewayId"),
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN,
        &c::CLIENT_TOKEN,
        &c::TOKEN_MISMATCH,
        &c::REGION_NOT_FOUND,
        &c::GATEWAY_NOT_FOUND,
        &c::GATEWAY_CONFIGURING,
        &c::GATEWAY_PAID_TERM,
    ],
    handler: Handler::UntypedWrite(delete),
};

fn delete(context: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let region = args.region()?;
    let gateway_id = args.required("VpnGatewayId").to_owned();
    let (context, account, now_ms) = (context.clone(), call.principal.account.clone(), call.now_ms);
    Ok(Box::new(move |tx| {
        let mut gateway = gateway_in(tx.gateway(&account, &gateway_id)?, region)?;
        gateway.delete(now_ms)?;
        if gateway.phase == Phase::Unpaid {
            tx.delete_gateway(&gateway)?;
            return Ok(Answer::new());
        }
        gateway.phase = Phase::Deleting;
        intend(&context, tx, &mut gateway, "delete", now_ms)?;
        tx.update_gateway(&gateway)?;
        Ok(Answer::new())
    }))
}
