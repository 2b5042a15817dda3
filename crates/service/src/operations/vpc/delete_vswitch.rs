//! DeleteVSwitch: deletes an empty vSwitch. Source: `docs/api/vpc/DeleteVSwitch.json`.

use tongguan_model::network::NetworkStatus;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, DRY_RUN, DryRun, Failure, Handler, Operation, Part, Product, REGION_OPTIONAL, Shape,
    UntypedChange, required,
};

use super::in_region;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DeleteVSwitch",
    summary: "Delete a vSwitch.",
    permission: Some("vpc:DeleteVSwitch"),
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
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::REGION_NOT_FOUND,
        &c::DRY_RUN,
        &c::VSWITCH_NOT_FOUND,
        &c::VSWITCH_STATUS,
        &c::VSWITCH_IN_USE,
    ],
    handler: Handler::UntypedWrite(delete),
};

fn delete(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let region = args.region()?;
    let id = args.required("VSwitchId").to_owned();
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let found = tx.vswitch(&account, &id)?;
        let vswitch = in_region(found, |vswitch| &vswitch.region, region, &c::VSWITCH_NOT_FOUND)?;
        if vswitch.status() != NetworkStatus::Available {
            return Err((&c::VSWITCH_STATUS).into());
        }
        if tx.gateways_in_vswitch(&vswitch.id)? > 0 {
            return Err((&c::VSWITCH_IN_USE).into());
        }
        tx.delete_vswitch(&vswitch)?;
        Ok(Answer::new())
    }))
}
