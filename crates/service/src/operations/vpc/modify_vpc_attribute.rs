//! ModifyVpcAttribute: changes name, description, block or DNS host names of a VPC.
//!
//! Source: `docs/api/vpc/ModifyVpcAttribute.json`. What is left out stays as it is; the change is in force with the answer.
//! IPv6 is not offered and is refused with its documented code.

use ipnet::Ipv4Net;
use tongguan_model::network::NetworkStatus;
use tongguan_model::{cidr, text};

use crate::args::Args;
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::context::Context;
use crate::operation::{
    Answer, DryRun, Failure, Handler, Operation, Part, Product, REGION_OPTIONAL, Shape, UntypedChange,
    optional, required,
};

use super::{in_region, new_text};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "ModifyVpcAttribute",
    summary: "Change name, description, block or DNS host names of a VPC.",
    permission: Some("vpc:ModifyVpcAttribute"),
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
        optional("VpcName", Shape::Text, "Up to 128 characters; must not begin with http:// or https://.")
            .emptied(),
        optional(
            "Description",
            Shape::Text,
            "Up to 256 characters; must not begin with http:// or https://.",
        )
        .emptied(),
        optional("CidrBlock", Shape::Text, "New IPv4 block, mask 8 to 28; every vSwitch must lie inside.")
            .never_empty(&c::VPC_CIDR_MODIFY),
        optional("EnableDnsHostname", Shape::Boolean, "DNS host names on or off."),
        optional("EnableIPv6", Shape::Boolean, "Not offered: true is refused."),
        optional("Ipv6CidrBlock", Shape::Text, "Not offered: refused."),
        optional("Ipv6Isp", Shape::Text, "Ignored without IPv6."),
    ],
    subject: Some("VpcId"),
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::REGION_NOT_FOUND,
        &c::VPC_NOT_FOUND,
        &c::VPC_STATUS,
        &c::VPC_NAME,
        &c::VPC_DESCRIPTION,
        &c::VPC_CIDR_MODIFY,
        &c::IPV6_UNSUPPORTED,
    ],
    handler: Handler::UntypedWrite(modify),
};

fn modify(_: &Context, call: &Call, args: &Args<'_>) -> Result<UntypedChange, Failure> {
    let region = args.region()?;
    let id = args.required("VpcId").to_owned();
    if args.flag("EnableIPv6")? == Some(true) || args.text("Ipv6CidrBlock").is_some() {
        return Err((&c::IPV6_UNSUPPORTED).into());
    }
    let name = new_text(args, "VpcName", text::vpc_name, &c::VPC_NAME)?;
    let description = new_text(args, "Description", text::vpc_description, &c::VPC_DESCRIPTION)?;
    let block = args.text("CidrBlock").map(cidr::vpc_block).transpose();
    let block = block.map_err(|_| Refusal::new(&c::VPC_CIDR_MODIFY))?;
    let dns_hostname = args.flag("EnableDnsHostname")?;
    let account = call.principal.account.clone();
    Ok(Box::new(move |tx| {
        let found = tx.vpc(&account, &id)?;
        let mut vpc = in_region(found, |vpc| &vpc.region, region, &c::VPC_NOT_FOUND)?;
        if vpc.status() != NetworkStatus::Available {
            return Err((&c::VPC_STATUS).into());
        }
        if let Some(block) = block {
            let outside = |inner: &str| !inner.parse::<Ipv4Net>().is_ok_and(|inner| block.contains(&inner));
            let vswitches = tx.vswitches_in(&vpc.id)?;
            if let Some(vswitch) = vswitches.iter().find(|vswitch| outside(&vswitch.cidr)) {
                let why = format!("VSwitch {} would lie outside it.", vswitch.id);
                return Err(Refusal::new(&c::VPC_CIDR_MODIFY).because(why).into());
            }
            vpc.cidr = block.to_string();
        }
        vpc.name = name.clone().unwrap_or(vpc.name);
        vpc.description = description.clone().unwrap_or(vpc.description);
        vpc.dns_hostname = dns_hostname.unwrap_or(vpc.dns_hostname);
        tx.update_vpc(&vpc)?;
        Ok(Answer::new())
    }))
}
