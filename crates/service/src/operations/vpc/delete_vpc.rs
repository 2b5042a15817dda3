//! DeleteVpc: deletes an empty VPC. Source: `docs/api/vpc/DeleteVpc.json`.

use tongguan_model::network::NetworkStatus;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, CLIENT_TOKEN, Change, DRY_RUN, DryRun, Failure, Handler, Operation, Product, REGION_OPTIONAL,
    Shape, optional, required,
};

use super::in_region;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DeleteVpc",
    summary: "Delete a VPC.",
    permission: Some("vpc:DeleteVpc"),
    resource: "acs:vpc:{RegionId}:{accountId}:vpc/{VpcId}",
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
    handler: Handler::Write(delete),
};

fn delete(_: &Context, call: &Call, args: &Args<'_>) -> Result<Change, Failure> {
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
