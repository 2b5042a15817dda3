//! DescribeVSwitches: lists vSwitches, newest first. Source: `docs/api/vpc/DescribeVSwitches.json`.
//!
//! At least one of `RegionId` and `VpcId` is asked for.

use serde::Serialize;
use tongguan_model::network::NetworkStatus;
use tongguan_store::{NetworkFilter, Page, Snapshot};

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    DRY_RUN, DryRun, Failure, Handler, Operation, PAGE_NUMBER, PAGE_SIZE, Part, Product, REGION_OPTIONAL,
    Shape, TAGS, optional,
};

use super::shapes::ShownVSwitch;
use super::taggable::exactly;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DescribeVSwitches",
    summary: "List vSwitches.",
    permission: Some("vpc:DescribeVSwitches"),
    resource: "acs:vpc:{RegionId}:{accountId}:vswitch/*",
    arns: &[&[
        Part::Text("acs:vpc:"),
        Part::Region { of: None },
        Part::Text(":"),
        Part::Account,
        Part::Text(":vswitch/*"),
    ]],
    conditions: &[],
    parameters: &[
        REGION_OPTIONAL,
        optional("VpcId", Shape::Text, "Only vSwitches of this VPC."),
        optional("VSwitchId", Shape::Text, "Only this one."),
        optional("ZoneId", Shape::Text, "Only vSwitches of this zone."),
        optional("VSwitchName", Shape::Text, "Only vSwitches of this name."),
        optional("RouteTableId", Shape::Text, "Only vSwitches of this route table."),
        optional(
            "IsDefault",
            Shape::Boolean,
            "Only default vSwitches, or only others; none is default here.",
        ),
        optional("EnableIpv6", Shape::Boolean, "Only vSwitches with, or without, IPv6; none has it here."),
        optional("ResourceGroupId", Shape::Text, "Only vSwitches of this resource group."),
        optional("VSwitchOwnerId", Shape::Integer, "Account id of the owner."),
        TAGS,
        PAGE_NUMBER,
        PAGE_SIZE,
        DRY_RUN,
    ],
    subject: Some("VSwitchId"),
    dry_run: DryRun::Refuses,
    errors: &[
        &c::FORBIDDEN,
        &c::MISSING,
        &c::ILLEGAL,
        &c::REGION_NOT_FOUND,
        &c::DRY_RUN,
        &c::INVALID_TAG_KEY,
        &c::INVALID_TAG_VALUE,
        &c::DUPLICATED_TAG_KEY,
    ],
    handler: Handler::Read(describe),
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing<'a> {
    request_id: &'a str,
    v_switches: VSwitches,
    page_number: u64,
    page_size: u64,
    total_count: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct VSwitches {
    v_switch: Vec<ShownVSwitch>,
}

fn describe(_: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let region = args.region()?;
    if region.is_none() && args.text("VpcId").is_none() {
        return Err(args.missing("RegionId").into());
    }
    let filter = NetworkFilter {
        region: region.map(|region| region.id.to_owned()),
        ids: args.text("VSwitchId").map(Into::into).into_iter().collect(),
        name: args.text("VSwitchName").map(Into::into),
        vpc: args.text("VpcId").map(Into::into),
        zone: args.text("ZoneId").map(Into::into),
        resource_group: args.text("ResourceGroupId").map(Into::into),
        route_table: args.text("RouteTableId").map(Into::into),
        router: None,
        tags: args.tags()?.into_iter().map(exactly).collect(),
    };
    let owner = args.number("VSwitchOwnerId", 0..=u64::MAX)?;
    let foreign = owner.is_some_and(|owner| owner.to_string() != call.principal.account.as_str());
    let none = args.flag("IsDefault")? == Some(true) || args.flag("EnableIpv6")? == Some(true) || foreign;
    let paging = args.page()?;
    let page = if none {
        Page { items: Vec::new(), total: 0 }
    } else {
        snapshot.vswitches(&call.principal.account, &filter, paging.offset(), paging.size)?
    };
    let pending = page.items.iter().filter(|vswitch| vswitch.status() == NetworkStatus::Pending);
    let pending: Vec<String> = pending.map(|vswitch| vswitch.id.to_string()).collect();
    let shown = page.items.into_iter().map(|vswitch| ShownVSwitch::of(snapshot, vswitch));
    let mut reply = call.reply(&Listing {
        request_id: &call.request_id,
        v_switches: VSwitches { v_switch: shown.collect::<Result<_, _>>()? },
        page_number: paging.number,
        page_size: paging.size,
        total_count: page.total,
    })?;
    reply.unsettled = pending;
    Ok(reply)
}
