//! DescribeRegions: lists the regions. Source: `docs/api/vpc/DescribeRegions.json`.
//!
//! `RegionEndpoint` is this server, so that clients which follow it stay here.

use serde::Serialize;
use tongguan_model::region;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue as c;
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, Shape, optional};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DescribeRegions",
    summary: "List the regions of the service.",
    permission: Some("vpc:DescribeRegions"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[
        optional("AcceptLanguage", Shape::Text, "zh-CN (default) or en-US."),
        optional("ProductType", Shape::Text, "Product whose regions are wanted; all have the same here."),
    ],
    subject: None,
    dry_run: DryRun::None,
    errors: &[&c::FORBIDDEN],
    handler: Handler::Pure(describe),
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing<'a> {
    request_id: &'a str,
    regions: Regions<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Regions<'a> {
    region: Vec<Region<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Region<'a> {
    region_id: &'static str,
    local_name: &'static str,
    region_endpoint: &'a str,
}

fn describe(context: &Context, call: &Call, args: &Args<'_>) -> Result<Reply, Failure> {
    let endpoint = context.settings.endpoint.as_deref().unwrap_or(&call.host);
    let english = english(args);
    let region = region::regions().iter().map(|region| Region {
        region_id: region.id,
        local_name: if english { region.local_name_en } else { region.local_name_zh },
        region_endpoint: endpoint,
    });
    call.reply(&Listing { request_id: &call.request_id, regions: Regions { region: region.collect() } })
}

/// Whether names are wanted in English: Chinese is the default, and there is no third language.
pub(super) fn english(args: &Args<'_>) -> bool {
    args.text("AcceptLanguage").is_some_and(|language| language.to_ascii_lowercase().starts_with("en"))
}
