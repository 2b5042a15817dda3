//! MoveVpnResourceGroup: moves a VPN gateway to another resource group.
//!
//! Source: `docs/api/vpc/MoveVpnResourceGroup.json`. Of the kinds that the page lists only gateways exist
//! here. The data plane knows no groups, so a gateway is moved in any state and stays in it.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, UntypedChange, required,
};

use super::{gateway_in, new_resource_group};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "MoveVpnResourceGroup",
    summary: "Move a VPN gateway to another resource group.",
    permission: Some("vpc:MoveVpnResourceGroup"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[
        REGION,
        required("InstanceId", Shape::Text, "Id of the gateway."),
        required("ResourceType", Shape::Text, "VpnGateway, in any case: Terraform writes VpnGateWay."),
        required("NewResourceGroupId", Shape::Text, "Id of the resource group: rg-, letters and digits."),
    ],
    subject: Some("InstanceId"),
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::REGION_NOT_FOUND,
        &c::INVALID_RESOURCE_GROUP,
        &c::GATEWAY_NOT_FOUND,
    ],
    handler: Handler::UntypedWrite(relocate),
};

fn relocate(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let region = args.region()?;
    let kind = args.required("ResourceType");
    if !kind.eq_ignore_ascii_case("VpnGateway") {
        return Err(args.illegal("ResourceType", kind).into());
    }
    let group = new_resource_group(args)?;
    let id = args.required("InstanceId").to_owned();
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let gateway = gateway_in(tx.gateway(&account, &id)?, region)?;
        tx.move_gateway(&gateway.id, &group)?;
        Ok(Answer::new())
    }))
}
