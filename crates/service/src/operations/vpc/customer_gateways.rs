//! What the operations about customer gateways share: how they are read, found and shown.

use std::net::Ipv4Addr;

use tongguan_model::{customer_gateway, text};
use tongguan_rpc::Secret;
use tongguan_store::{CustomerGatewayRow, SealedKind};
use zeroize::Zeroizing;

use crate::api::vpc::{CustomerGatewayInfo, TagInfo};
use crate::args::Args;
use crate::catalogue::{self as c, Refusal};
use crate::context::Context;
use crate::master;
use crate::operation::{Disclosed, Failure};
use crate::vault::Vault;

/// The address of the device.
pub(crate) fn ip_address(args: &Args<'_>, name: &'static str) -> Result<Ipv4Addr, Refusal> {
    let text = args.required(name);
    customer_gateway::device_address(text).ok_or_else(|| Refusal::new(&c::CUSTOMER_ADDRESS_FORMAT))
}

/// The autonomous system of the device, if it is given.
pub(crate) fn asn(args: &Args<'_>, name: &'static str) -> Result<Option<u32>, Refusal> {
    let Some(text) = args.text(name) else { return Ok(None) };
    match customer_gateway::asn(text) {
        Some(number) if number != customer_gateway::OWN_ASN => Ok(Some(number)),
        Some(_) | None => Err(args.illegal(name, text)),
    }
}

/// The key of BGP sessions, if it is given. A refusal does not repeat it.
pub(crate) fn auth_key(args: &Args<'_>, name: &'static str) -> Result<Option<Secret>, Refusal> {
    match args.text(name) {
        None => Ok(None),
        Some(key) if text::bgp_key(key) => Ok(Some(key.into())),
        Some(_) => Err(args.illegal(name, "***")),
    }
}

/// A BGP key, sealed.
pub(super) fn sealed_key(vault: &Vault, id: &str, key: Option<&Secret>) -> Result<Option<Vec<u8>>, Failure> {
    let seal =
        |key: &Secret| vault.seal(&master::purpose(SealedKind::CustomerGateway, id), key.expose().as_bytes());
    key.map(seal).transpose().map_err(|error| Failure::Internal(format!("sealing a key: {error}")))
}

/// The BGP key of a customer gateway, if it has one.
pub(super) fn opened_key(context: &Context, row: &CustomerGatewayRow) -> Result<Option<Disclosed>, Failure> {
    let Some(sealed) = &row.sealed_auth_key else { return Ok(None) };
    let purpose = master::purpose(SealedKind::CustomerGateway, row.id.as_str());
    opened(&context.vault, &purpose, sealed).map(|key| Some(key.into()))
}

/// A text that was sealed for a purpose.
pub(super) fn opened(vault: &Vault, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<String>, Failure> {
    let bytes =
        vault.open(purpose, sealed).map_err(|error| Failure::Internal(format!("{purpose}: {error}")))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::Internal(format!("{purpose}: no text")))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A customer gateway with its tags as DescribeCustomerGateway and DescribeCustomerGateways show it.
pub(super) fn info(
    context: &Context,
    row: CustomerGatewayRow,
    tags: Vec<TagInfo>,
) -> Result<CustomerGatewayInfo, Failure> {
    Ok(CustomerGatewayInfo {
        tags,
        auth_key: opened_key(context, &row)?,
        asn: row.asn.map(i64::from),
        customer_gateway_id: row.id.into(),
        name: row.name.into(),
        description: row.description.into(),
        ip_address: row.ip.into(),
        create_time: row.created_ms,
        resource_group_id: row.resource_group.into(),
    })
}
