//! ModifyVSwitchAttribute: changes name or description of a vSwitch.
//!
//! Source: `docs/api/vpc/ModifyVSwitchAttribute.json`. What is left out stays as it is; the change is in force with the
//! answer. IPv6 is not offered and is refused with its documented code.

use tongguan_model::network::NetworkStatus;
use tongguan_model::text;

use crate::args::Args;
use crate::call::Call;
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, REGION_OPTIONAL, Shape, UntypedChange,
    optional, required,
};

use super::{in_region, new_text};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "ModifyVSwitchAttribute",
    summary: "Change name or description of a vSwitch.",
    permission: Some("vpc:ModifyVSwitchAttribute"),
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
    parameters: &[
        REGION_OPTIONAL,
        required("VSwitchId", Shape::Text, "Id of the vSwitch."),
        optional(
            "VSwitchName",
            Shape::Text,
            "Up to 128 characters; must not begin with http:// or https://.",
        )
        .emptied(),
        optional(
            "Description",
            Shape::Text,
            "Up to 256 characters; must not begin with http:// or https://.",
        )
        .emptied(),
        optional("EnableIPv6", Shape::Boolean, "Not offered: true is refused."),
        optional("Ipv6CidrBlock", Shape::Integer, "Not offered: refused."),
        optional("Ipv6CidrMask", Shape::Integer, "Not offered: refused."),
        optional("VpcIpv6CidrBlock", Shape::Text, "Not offered: refused."),
    ],
    subject: Some("VSwitchId"),
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::REGION_NOT_FOUND,
        &c::VSWITCH_NOT_FOUND_MODIFY,
        &c::VSWITCH_STATUS,
        &c::VSWITCH_NAME,
        &c::VSWITCH_DESCRIPTION,
        &c::IPV6_UNSUPPORTED,
    ],
    handler: Handler::UntypedWrite(modify),
};

const IPV6: [&str; 3] = ["Ipv6CidrBlock", "Ipv6CidrMask", "VpcIpv6CidrBlock"];

fn modify(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let region = args.region()?;
    let id = args.required("VSwitchId").to_owned();
    if args.flag("EnableIPv6")? == Some(true) || IPV6.iter().any(|name| args.text(name).is_some()) {
        return Err((&c::IPV6_UNSUPPORTED).into());
    }
    let name = new_text(args, "VSwitchName", text::vpc_name, &c::VSWITCH_NAME)?;
    let description = new_text(args, "Description", text::vpc_description, &c::VSWITCH_DESCRIPTION)?;
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let found = tx.vswitch(&account, &id)?;
        let mut vswitch = in_region(found, |vswitch| &vswitch.region, region, &c::VSWITCH_NOT_FOUND_MODIFY)?;
        if vswitch.status() != NetworkStatus::Available {
            return Err((&c::VSWITCH_STATUS).into());
        }
        vswitch.name = name.clone().unwrap_or(vswitch.name);
        vswitch.description = description.clone().unwrap_or(vswitch.description);
        tx.update_vswitch(&vswitch)?;
        Ok(Answer::new())
    }))
}
