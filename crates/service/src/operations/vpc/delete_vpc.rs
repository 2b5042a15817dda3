//! DeleteVpc: deletes an empty VPC. Source: `docs/api/vpc/DeleteVpc.json`.

use tongguan_model::network::NetworkStatus;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, CLIENT_TOKEN, DRY_RUN, DryRun, Failure, Handler, Operation, Part, Product, REGION_OPTIONAL,
    Shape, UntypedChange, optional, required,
};

use super::in_region;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DeleteVpc",
    summary: "Delete a VPC.",
    permission: Some("vpc:DeleteVpc"),
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
        REGION_OPTIONAL,
        required("VpcId", Shape::Text, "Id of the VPC."),
        optional(
            "ForceDelete",
            Shape::Boolean,
            "true removes an IPv4 or IPv6 gateway too; there are none here.",
        ),
        CLIENT_TOKEN,
        DRY_RUN,
    ],
    subject: Some("VpcId"),
    dry_run: DryRun::Refuses,
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::CLIENT_TOKEN,
        &c::TOKEN_MISMATCH,
        &c::DRY_RUN,
        &c::REGION_NOT_FOUND,
        &c::VPC_NOT_FOUND,
        &c::VPC_STATUS,
        &c::VPC_HAS_VSWITCH,
        &c::VPC_HAS_GATEWAY,
    ],
    handler: Handler::UntypedWrite(delete),
};

fn delete(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    args.flag("ForceDelete")?;
    let region = args.region()?;
    let id = args.required("VpcId").to_owned();
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let found = tx.vpc(&account, &id)?;
        let vpc = in_region(found, |vpc| &vpc.region, region, &c::VPC_NOT_FOUND)?;
        if vpc.status() != NetworkStatus::Available {
            return Err((&c::VPC_STATUS).into());
        }
        if !tx.vswitches_in(&vpc.id)?.is_empty() {
            return Err((&c::VPC_HAS_VSWITCH).into());
        }
        if tx.gateways_in_vpc(&vpc.id)? > 0 {
            return Err((&c::VPC_HAS_GATEWAY).into());
        }
        tx.delete_vpc(&vpc)?;
        Ok(Answer::new())
    }))
}
