//! DescribeEndpoints: finds the endpoint of a service, which is this server.
//!
//! Source: `docs/api/location/DescribeEndpoints.json`. `SerivceCode` is misspelt on the wire; the right
//! spelling stands beside it. An unknown service has no endpoints; an unknown region is an error.

use serde::Serialize;
use tongguan_model::region;

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue::{self as c, Refusal};
use crate::context::Context;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, Shape, optional, required};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Location,
    action: "DescribeEndpoints",
    summary: "Find the endpoint of a service in a region.",
    permission: None,
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[
        required("Id", Shape::Text, "Region id."),
        required("ServiceCode", Shape::Text, "Service, for example vpc, kms, sts."),
        optional("Type", Shape::Text, "openAPI (default) or innerAPI."),
    ],
    subject: Some("ServiceCode"),
    dry_run: DryRun::None,
    errors: &[&c::MISSING, &c::REGION_NOT_FOUND_LOCATION],
    handler: Handler::Pure(describe),
};

/// Services that this server answers for.
const SERVICES: &[&str] = &["vpc", "kms", "sts", "location"];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing<'a> {
    request_id: &'a str,
    success: bool,
    endpoints: Endpoints<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoints<'a> {
    endpoint: Vec<Endpoint<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint<'a> {
    protocols: Protocols,
    #[serde(rename = "Type")]
    kind: &'a str,
    namespace: &'static str,
    id: &'static str,
    serivce_code: &'a str,
    service_code: &'a str,
    endpoint: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Protocols {
    protocols: Vec<&'static str>,
}

fn describe(context: &Context, call: &Call, args: &Args<'_>) -> Result<Reply, Failure> {
    let region =
        region::find(args.required("Id")).ok_or_else(|| Refusal::new(&c::REGION_NOT_FOUND_LOCATION))?;
    let service = args.required("ServiceCode");
    let mut endpoint = Vec::new();
    if SERVICES.iter().any(|known| known.eq_ignore_ascii_case(service)) {
        endpoint.push(Endpoint {
            protocols: Protocols { protocols: vec![if call.peer.secure { "HTTPS" } else { "HTTP" }] },
            kind: args.text("Type").unwrap_or("openAPI"),
            namespace: "tongguan",
            id: region.id,
            serivce_code: service,
            service_code: service,
            endpoint: context.settings.endpoint.as_deref().unwrap_or(&call.host),
        });
    }
    call.reply(&Listing { request_id: &call.request_id, success: true, endpoints: Endpoints { endpoint } })
}
