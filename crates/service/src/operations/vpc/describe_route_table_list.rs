//! DescribeRouteTableList: lists the route tables of a region, newest first.
//!
//! Source: `docs/api/vpc/DescribeRouteTableList.json`. Every VPC has one table, of type `System`; custom tables, those of
//! VBRs, and names and tags of tables do not exist here, so a filter for one of them matches nothing.

use serde::Serialize;
use tongguan_model::network::NetworkStatus;
use tongguan_model::wire_enum;
use tongguan_store::{NetworkFilter, Page, Snapshot};

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{
    DryRun, Failure, Handler, Operation, PAGE_NUMBER, PAGE_SIZE, Part, Product, REGION, Shape, TAGS, optional,
};

use super::region_or_default;
use super::shapes::ShownRouteTable;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DescribeRouteTableList",
    summary: "List the route tables of a region.",
    permission: Some("vpc:DescribeRouteTableList"),
    resource: "acs:vpc:{RegionId}:{accountId}:routetable/*",
    arns: &[&[
        Part::Text("acs:vpc:"),
        Part::Region { of: None },
        Part::Text(":"),
        Part::Account,
        Part::Text(":routetable/*"),
    ]],
    conditions: &[],
    parameters: &[
        REGION,
        optional("VpcId", Shape::Text, "Only the table of this VPC."),
        optional("RouteTableId", Shape::Text, "Only this table."),
        optional("RouteTableName", Shape::Text, "Only tables of this name; none has one here."),
        optional("RouteTableType", Shape::Text, "System or Custom; there are no custom ones here."),
        optional("RouterId", Shape::Text, "Only the table of this vRouter."),
        optional("RouterType", Shape::Text, "VRouter (default) or VBR; there are no VBRs here."),
        optional("ResourceGroupId", Shape::Text, "Only tables of this resource group."),
        TAGS,
        PAGE_NUMBER,
        PAGE_SIZE,
    ],
    subject: Some("VpcId"),
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

wire_enum! {
    /// Who made a table.
    enum TableType {
        /// It came with the VPC.
        System = "System",
        /// A user.
        Custom = "Custom",
    }
}

wire_enum! {
    /// What a table belongs to.
    enum RouterType {
        /// The vRouter of a VPC.
        VRouter = "VRouter",
        /// A virtual border router.
        Vbr = "VBR",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing<'a> {
    request_id: &'a str,
    router_table_list: RouterTableList,
    page_number: u64,
    page_size: u64,
    total_count: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RouterTableList {
    router_table_list_type: Vec<ShownRouteTable>,
}

fn describe(
    context: &Context,
    call: &Call,
    args: &Args<'_>,
    snapshot: &Snapshot<'_>,
) -> Result<Reply, Failure> {
    let region = region_or_default(context, args)?;
    let given = |name: &str| args.text(name).map(ToOwned::to_owned);
    let filter = NetworkFilter {
        region: Some(region.id.to_owned()),
        ids: given("VpcId").into_iter().collect(),
        route_table: given("RouteTableId"),
        router: given("RouterId"),
        resource_group: given("ResourceGroupId"),
        ..NetworkFilter::default()
    };
    let custom = args.word("RouteTableType", TableType::parse)? == Some(TableType::Custom);
    let foreign = args.word("RouterType", RouterType::parse)? == Some(RouterType::Vbr);
    let named = args.text("RouteTableName").is_some() || !args.tags()?.is_empty();
    // With a VPC named, RouterType is not looked at.
    let none = custom || named || (foreign && filter.ids.is_empty());
    let paging = args.page()?;
    let page = if none {
        Page { items: Vec::new(), total: 0 }
    } else {
        snapshot.vpcs(&call.principal.account, &filter, paging.offset(), paging.size)?
    };
    let pending = page.items.iter().filter(|vpc| vpc.status() == NetworkStatus::Pending);
    let pending: Vec<String> = pending.map(|vpc| vpc.id.to_string()).collect();
    let shown = page.items.into_iter().map(|vpc| ShownRouteTable::of(snapshot, vpc));
    let mut reply = call.reply(&Listing {
        request_id: &call.request_id,
        router_table_list: RouterTableList { router_table_list_type: shown.collect::<Result<_, _>>()? },
        page_number: paging.number,
        page_size: paging.size,
        total_count: page.total,
    })?;
    reply.unsettled = pending;
    Ok(reply)
}
