//! DescribeVpcs: lists the VPCs of a region, newest first. Source: `docs/api/vpc/DescribeVpcs.json`.
//!
//! No VPC is a default one here, so `IsDefault` (in either reading of its page) filters nothing when it
//! is `false`, and `true` in the older reading lists all.

use serde::Serialize;
use tongguan_model::network::NetworkStatus;
use tongguan_store::{NetworkFilter, Page, Snapshot};

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    DRY_RUN, DryRun, Failure, Handler, Operation, PAGE_NUMBER, PAGE_SIZE, Part, Product, REGION, Shape, TAGS,
    optional,
};

use super::region_or_default;
use super::shapes::ShownVpc;
use super::taggable::exactly;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DescribeVpcs",
    summary: "List VPCs of a region.",
    permission: Some("vpc:DescribeVpcs"),
    resource: "acs:vpc:{RegionId}:{accountId}:vpc/*",
    arns: &[&[
        Part::Text("acs:vpc:"),
        Part::Region { of: None },
        Part::Text(":"),
        Part::Account,
        Part::Text(":vpc/*"),
    ]],
    conditions: &[],
    parameters: &[
        REGION,
        optional("VpcId", Shape::Text, "Up to 20 comma-separated ids."),
        optional("VpcName", Shape::Text, "Only VPCs of this name."),
        optional("IsDefault", Shape::Boolean, "false leaves default VPCs out; there are none here."),
        optional("EnableIpv6", Shape::Boolean, "Only VPCs with, or without, IPv6; none has it here."),
        optional("DhcpOptionsSetId", Shape::Text, "Only VPCs with this option set; there are none here."),
        optional("ResourceGroupId", Shape::Text, "Only VPCs of this resource group."),
        optional("VpcOwnerId", Shape::Integer, "Account id of the owner."),
        TAGS,
        PAGE_NUMBER,
        PAGE_SIZE,
        DRY_RUN,
    ],
    subject: Some("VpcId"),
    dry_run: DryRun::Refuses,
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::REGION_NOT_FOUND,
        &c::DRY_RUN,
        &c::VPC_IDS_NUMBER,
        &c::INVALID_TAG_KEY,
        &c::INVALID_TAG_VALUE,
        &c::DUPLICATED_TAG_KEY,
    ],
    handler: Handler::Read(describe),
};

const IDS: usize = 20;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing<'a> {
    request_id: &'a str,
    vpcs: Vpcs,
    page_number: u64,
    page_size: u64,
    total_count: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Vpcs {
    vpc: Vec<ShownVpc>,
}

fn describe(
    context: &Context,
    call: &Call,
    args: &Args<'_>,
    snapshot: &Snapshot<'_>,
) -> Result<Reply, Failure> {
    let region = region_or_default(context, args)?;
    let ids: Vec<String> = args
        .text("VpcId")
        .map(|ids| ids.split(',').map(|id| id.trim().to_owned()).collect())
        .unwrap_or_default();
    if ids.len() > IDS {
        return Err((&c::VPC_IDS_NUMBER).into());
    }
    let filter = NetworkFilter {
        region: Some(region.id.to_owned()),
        ids,
        name: args.text("VpcName").map(Into::into),
        resource_group: args.text("ResourceGroupId").map(Into::into),
        tags: args.tags()?.into_iter().map(exactly).collect(),
        ..NetworkFilter::default()
    };
    args.flag("IsDefault")?;
    let owner = args.number("VpcOwnerId", 0..=u64::MAX)?;
    let foreign = owner.is_some_and(|owner| owner.to_string() != call.principal.account.as_str());
    let none = args.flag("EnableIpv6")? == Some(true) || args.text("DhcpOptionsSetId").is_some() || foreign;
    let paging = args.page()?;
    let page = if none {
        Page { items: Vec::new(), total: 0 }
    } else {
        snapshot.vpcs(&call.principal.account, &filter, paging.offset(), paging.size)?
    };
    let pending = page.items.iter().filter(|vpc| vpc.status() == NetworkStatus::Pending);
    let pending: Vec<String> = pending.map(|vpc| vpc.id.to_string()).collect();
    let shown = page.items.into_iter().map(|vpc| ShownVpc::row(snapshot, vpc));
    let mut reply = call.reply(&Listing {
        request_id: &call.request_id,
        vpcs: Vpcs { vpc: shown.collect::<Result<_, _>>()? },
        page_number: paging.number,
        page_size: paging.size,
        total_count: page.total,
    })?;
    reply.unsettled = pending;
    Ok(reply)
}
