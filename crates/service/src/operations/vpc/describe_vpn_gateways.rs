//! DescribeVpnGateways: lists the gateways of a region, newest first.
//!
//! Source: `docs/api/vpc/DescribeVpnGateways.json`. Filters combine with AND. An unknown id gives an
//! empty list, not an error.

use serde::Serialize;
use tongguan_model::gateway::{BusinessStatus, Status};
use tongguan_store::{GatewayFilter, Page, Snapshot};

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    DryRun, Failure, Handler, Operation, PAGE_NUMBER, PAGE_SIZE, Part, Product, REGION, Shape, TAGS, optional,
};

use super::region_or_default;
use super::shapes::ShownGateway;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DescribeVpnGateways",
    summary: "List VPN gateways of a region, by page.",
    permission: Some("vpc:DescribeVpnGateways"),
    resource: "acs:vpc:{RegionId}:{accountId}:vpngateway/*",
    arns: &[&[
        Part::Text("acs:vpc:"),
        Part::Region { of: None },
        Part::Text(":"),
        Part::Account,
        Part::Text(":vpngateway/*"),
    ]],
    conditions: &[],
    parameters: &[
        REGION,
        optional("VpnGatewayId", Shape::Text, "Only this gateway."),
        optional("VpcId", Shape::Text, "Only gateways of this VPC."),
        optional("Status", Shape::Text, "init, provisioning, active, updating or deleting."),
        optional("BusinessStatus", Shape::Text, "Normal or FinancialLocked."),
        optional("GatewayType", Shape::Text, "Traditional or Enhanced.SiteToSite."),
        optional("ResourceGroupId", Shape::Text, "Only gateways of this resource group."),
        optional("IncludeReservationData", Shape::Boolean, "true: add data of orders not yet in force."),
        TAGS,
        PAGE_NUMBER,
        PAGE_SIZE,
    ],
    subject: Some("VpnGatewayId"),
    dry_run: DryRun::None,
    errors: &[
        &c::FORBIDDEN,
        &c::ILLEGAL,
        &c::REGION_NOT_FOUND,
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
    vpn_gateways: VpnGateways,
    page_number: u64,
    page_size: u64,
    total_count: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct VpnGateways {
    vpn_gateway: Vec<ShownGateway>,
}

fn describe(
    context: &Context,
    call: &Call,
    args: &Args<'_>,
    snapshot: &Snapshot<'_>,
) -> Result<Reply, Failure> {
    let region = region_or_default(context, args)?;
    args.flag("IncludeReservationData")?;
    let filter = GatewayFilter {
        id: args.text("VpnGatewayId").map(Into::into),
        vpc: args.text("VpcId").map(Into::into),
        status: args.word("Status", Status::parse)?,
        business_status: args.word("BusinessStatus", BusinessStatus::parse)?,
        resource_group: args.text("ResourceGroupId").map(Into::into),
        tags: args.tags()?.into_iter().map(super::taggable::exactly).collect(),
    };
    let enhanced = match args.text("GatewayType") {
        None | Some("Traditional") => false,
        Some("Enhanced.SiteToSite") => true,
        Some(other) => return Err(args.illegal("GatewayType", other).into()),
    };
    let paging = args.page()?;
    let page = if enhanced {
        // No gateway of this release is enhanced.
        Page { items: Vec::new(), total: 0 }
    } else {
        snapshot.gateways(&call.principal.account, region.id, &filter, paging.offset(), paging.size)?
    };
    let moving: Vec<String> = page
        .items
        .iter()
        .filter(|gateway| gateway.status() != Status::Active)
        .map(|gateway| gateway.id.to_string())
        .collect();
    let shown = page.items.into_iter().map(|gateway| ShownGateway::of(snapshot, gateway));
    let mut reply = call.reply(&Listing {
        request_id: &call.request_id,
        vpn_gateways: VpnGateways { vpn_gateway: shown.collect::<Result<_, _>>()? },
        page_number: paging.number,
        page_size: paging.size,
        total_count: page.total,
    })?;
    reply.unsettled = moving;
    Ok(reply)
}
