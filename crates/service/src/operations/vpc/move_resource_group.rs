//! MoveResourceGroup: moves a VPC, its vSwitches and its route table to another resource group.
//!
//! Source: `docs/api/vpc/MoveResourceGroup.json`. Of the kinds that the page lists only VPCs exist here. vSwitches and
//! route tables are not in its list: they go with their VPC.

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, UntypedChange, required,
};

use super::{in_region, new_resource_group};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "MoveResourceGroup",
    summary: "Move a VPC with its vSwitches to another resource group.",
    permission: Some("vpc:MoveResourceGroup"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[
        REGION,
        required("ResourceType", Shape::Text, "VPC, in any case."),
        required("ResourceId", Shape::Text, "Id of the VPC."),
        required("NewResourceGroupId", Shape::Text, "Id of the resource group: rg-, letters and digits."),
    ],
    subject: Some("ResourceId"),
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::REGION_NOT_FOUND,
        &c::INVALID_RESOURCE_GROUP,
        &c::VPC_NOT_FOUND,
    ],
    handler: Handler::UntypedWrite(relocate),
};

fn relocate(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let region = args.region()?;
    let kind = args.required("ResourceType");
    if !kind.eq_ignore_ascii_case("VPC") {
        return Err(args.illegal("ResourceType", kind).into());
    }
    let group = new_resource_group(args)?;
    let id = args.required("ResourceId").to_owned();
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let vpc = in_region(tx.vpc(&account, &id)?, |vpc| &vpc.region, region, &c::VPC_NOT_FOUND)?;
        tx.move_vpc(&vpc.id, &group)?;
        Ok(Answer::new())
    }))
}
