//! ListVpnCertificateAssociations: which certificates are bound to which gateways of a region.
//!
//! Source: `docs/api/vpc/ListVpnCertificateAssociations.json`. The array stands directly under
//! `VpnCertificateRelations`. A binding is listed from the moment it is in force until it is removed.

use serde::Serialize;
use tongguan_model::gateway::Role;
use tongguan_store::{BindingFilter, BindingRow, Snapshot};

use crate::args::Args;
use crate::call::{Call, Reply};
use crate::catalogue::{self as c, Refusal};
use crate::context::{Context, iso8601};
use crate::marker::Markers;
use crate::operation::{DryRun, Failure, Handler, Operation, Part, Product, REGION, Shape, optional};

/// The operation.
pub static OPERATION: Operation = Operation {
    product: Product::Vpc,
    action: "ListVpnCertificateAssociations",
    summary: "List which certificates are bound to which VPN gateways in a region.",
    permission: Some("vpc:ListVpnCertificateAssociations"),
    resource: "*",
    arns: &[&[Part::Text("*")]],
    conditions: &[],
    parameters: &[
        REGION,
        optional("VpnGatewayId", Shape::List, "At most 20 gateway ids."),
        optional("CertificateId", Shape::List, "At most 20 certificate ids."),
        optional("CertificateType", Shape::Text, "Encryption or Signature; absent means both."),
        optional("MaxResults", Shape::Integer, "1 to 20. Default 10."),
        optional("NextToken", Shape::Text, "Token from the previous page."),
    ],
    subject: Some("VpnGatewayId"),
    dry_run: DryRun::None,
    errors: &[&c::FORBIDDEN, &c::ILLEGAL, &c::ILLEGAL_CERTIFICATE_TYPE, &c::REGION_NOT_FOUND],
    handler: Handler::Read(list),
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing<'a> {
    request_id: &'a str,
    vpn_certificate_relations: Vec<Relation>,
    max_results: u64,
    total_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Relation {
    vpn_gateway_id: String,
    certificate_id: String,
    certificate_type: &'static str,
    association_time: String,
    region_id: &'static str,
}

fn list(context: &Context, call: &Call, args: &Args<'_>, snapshot: &Snapshot<'_>) -> Result<Reply, Failure> {
    let region = super::region_or_default(context, args)?;
    let most = context.settings.quotas.ids_per_filter;
    let filter = BindingFilter {
        gateways: args.list("VpnGatewayId", most)?,
        certificates: args.list("CertificateId", most)?,
        role: match args.text("CertificateType") {
            None => None,
            Some(text) => {
                let role = Role::parse(text);
                Some(role.ok_or_else(|| Refusal::new(&c::ILLEGAL_CERTIFICATE_TYPE).value(text))?)
            }
        },
    };
    let size = args.number("MaxResults", 1..=20)?.unwrap_or(10);
    let markers = Markers::of(call)?;
    let before = match args.text("NextToken") {
        None => None,
        Some(token) => Some(markers.row(token).ok_or_else(|| args.illegal("NextToken", token))?),
    };
    let mut page = snapshot.bindings(&call.principal.account, region.id, &filter, before, size + 1)?;
    let more = page.items.len() as u64 > size;
    page.items.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let next_token = page.items.last().filter(|_| more).map(|last| markers.of_row(last.seq)).transpose()?;
    call.reply(&Listing {
        request_id: &call.request_id,
        vpn_certificate_relations: page.items.into_iter().map(|row| relation(row, region.id)).collect(),
        max_results: size,
        total_count: page.total,
        next_token,
    })
}

fn relation(row: BindingRow, region_id: &'static str) -> Relation {
    Relation {
        vpn_gateway_id: row.binding.gateway.to_string(),
        certificate_id: row.binding.certificate.to_string(),
        certificate_type: row.binding.role.as_str(),
        association_time: iso8601(row.binding.associated_ms),
        region_id,
    }
}
