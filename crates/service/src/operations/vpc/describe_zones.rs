//! DescribeZones: lists the zones of a region. Source: `docs/api/vpc/DescribeZones.json`.

use serde::Serialize;
use tongguan_model::region;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue::{self as c, Refusal};
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, optional};

use super::describe_regions::english;

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "DescribeZones",
    summary: "List the zones of a region.",
    permission: Some("vpc:DescribeZones"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[
        REGION,
        optional("AcceptLanguage", Shape::Text, "zh-cn (default) or en-us."),
        optional("ZoneType", Shape::Text, "Only AvailabilityZone."),
    ],
    subject: None,
    dry_run: DryRun::None,
    errors: &[&c::FORBIDDEN, &c::ILLEGAL, &c::ZONES_REGION],
    handler: Handler::Pure(describe),
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing<'a> {
    request_id: &'a str,
    zones: Zones,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Zones {
    zone: Vec<Zone>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Zone {
    zone_id: &'static str,
    local_name: &'static str,
    zone_type: &'static str,
}

fn describe(_: &Context, call: &Call, args: &Args<'_>) -> Result<Reply, Failure> {
    let region = region::find(args.required("RegionId")).ok_or_else(|| Refusal::new(&c::ZONES_REGION))?;
    if let Some(other) = args.text("ZoneType").filter(|kind| *kind != "AvailabilityZone") {
        return Err(args.illegal("ZoneType", other).into());
    }
    let english = english(args);
    let zone = region.zones.iter().map(|zone| Zone {
        zone_id: zone.id,
        local_name: if english { zone.local_name_en } else { zone.local_name_zh },
        zone_type: "AvailabilityZone",
    });
    call.reply(&Listing { request_id: &call.request_id, zones: Zones { zone: zone.collect() } })
}
