//! Product Vpc, version 2016-04-28: VPN gateways, their certificates, and the network under them.

pub mod associate_vpc_cidr_block;
pub mod associate_vpn_gateway_with_certificate;
pub(crate) mod attachments;
pub mod check_vpn_bgp_enabled;
pub(crate) mod connections;
pub mod create_customer_gateway;
pub mod create_default_vpc;
pub mod create_default_vswitch;
pub mod create_vco_route_entry;
pub mod create_vpc;
pub mod create_vpn_attachment;
pub mod create_vpn_connection;
pub mod create_vpn_gateway;
pub mod create_vpn_pbr_route_entry;
pub mod create_vpn_route_entry;
pub mod create_vswitch;
pub(crate) mod customer_gateways;
pub mod delete_customer_gateway;
pub mod delete_vco_route_entry;
pub mod delete_vpc;
pub mod delete_vpn_attachment;
pub mod delete_vpn_connection;
pub mod delete_vpn_gateway;
pub mod delete_vpn_pbr_route_entry;
pub mod delete_vpn_route_entry;
pub mod delete_vswitch;
pub mod describe_customer_gateway;
pub mod describe_customer_gateways;
pub mod describe_regions;
pub mod describe_route_entry_list;
pub mod describe_route_table_list;
pub mod describe_route_tables;
pub mod describe_vco_route_entries;
pub mod describe_vpc_attribute;
pub mod describe_vpcs;
pub mod describe_vpn_attachments;
pub mod describe_vpn_connection;
pub mod describe_vpn_connection_logs;
pub mod describe_vpn_connections;
pub mod describe_vpn_cross_account_authorizations;
pub mod describe_vpn_gateway;
pub mod describe_vpn_gateway_available_zones;
pub mod describe_vpn_gateways;
pub mod describe_vpn_pbr_route_entries;
pub mod describe_vpn_route_entries;
pub mod describe_vrouters;
pub mod describe_vswitch_attributes;
pub mod describe_vswitches;
pub mod describe_zones;
pub mod diagnose_vpn_connections;
pub mod diagnose_vpn_gateway;
pub mod disable_vpc_classic_link;
pub mod dissociate_vpn_gateway_with_certificate;
pub mod download_vpn_connection_config;
pub mod enable_vpc_classic_link;
pub mod get_vpn_gateway_diagnose_result;
pub(crate) mod language;
pub mod list_tag_resources;
pub mod list_vpn_certificate_associations;
pub mod modify_customer_gateway_attribute;
pub mod modify_route_table_attributes;
pub mod modify_vpc_attribute;
pub mod modify_vpn_attachment_attribute;
pub mod modify_vpn_connection_attribute;
pub mod modify_vpn_gateway_attribute;
pub mod modify_vpn_pbr_route_entry_attribute;
pub mod modify_vpn_pbr_route_entry_priority;
pub mod modify_vpn_pbr_route_entry_weight;
pub mod modify_vpn_route_entry_weight;
pub mod modify_vswitch_attribute;
pub mod move_resource_group;
pub mod move_vpn_resource_group;
pub mod publish_vpn_route_entry;
pub mod tag_resources;
pub mod un_tag_resources;
pub mod unassociate_vpc_cidr_block;

mod connection_shapes;
mod diagnosis;
pub(crate) mod networks;
mod new_networks;
mod routes;
mod shapes;
pub(crate) mod taggable;
pub(crate) mod vpn_routes;

use tongguan_model::connection::Connection;
use tongguan_model::gateway::VpnGateway;
use tongguan_model::id::RegionId;
use tongguan_model::region::Region;
use tongguan_store::{CustomerGatewayRow, IntentKind, KeyedConnection, Page, Tx};

use crate::catalogue::{self, Code};
use crate::context::Context;
use crate::operation::Failure;

/// The account's gateway in the region of the call.
fn gateway_in(gateway: Option<VpnGateway>, region: Option<&'static Region>) -> Result<VpnGateway, Failure> {
    in_region(gateway, |gateway| &gateway.region, region, &catalogue::GATEWAY_NOT_FOUND)
}

/// The account's customer gateway in the region of the call.
fn customer_gateway_in(
    row: Option<CustomerGatewayRow>,
    region: &'static Region,
) -> Result<CustomerGatewayRow, Failure> {
    in_region(row, |row| &row.region, Some(region), &catalogue::CUSTOMER_GATEWAY_NOT_FOUND)
}

/// The account's connection in the region of the call.
fn connection_in(connection: Option<Connection>, region: &'static Region) -> Result<Connection, Failure> {
    in_region(connection, |found| &found.region, Some(region), &catalogue::CONNECTION_NOT_FOUND)
}

/// The same with its keys.
fn keyed_connection_in(
    keyed: Option<KeyedConnection>,
    region: &'static Region,
) -> Result<KeyedConnection, Failure> {
    in_region(keyed, |found| &found.connection.region, Some(region), &catalogue::CONNECTION_NOT_FOUND)
}

/// What was found, if it lies in the region of the call (any, if the call names none).
fn in_region<T>(
    found: Option<T>,
    region_of: impl Fn(&T) -> &RegionId,
    region: Option<&'static Region>,
    missing: &'static Code,
) -> Result<T, Failure> {
    found
        .filter(|found| region.is_none_or(|region| region.id == region_of(found).as_str()))
        .ok_or_else(|| missing.into())
}

/// A page's items as they are shown, and how many there are on all pages.
fn shown<R, I>(page: Page<R>, show: impl FnMut(R) -> I) -> (Vec<I>, i64) {
    (page.items.into_iter().map(show).collect(), page.total.cast_signed())
}

/// Writes down the next generation of a gateway and that it is to be applied.
fn intend(
    context: &Context,
    tx: &Tx<'_>,
    gateway: &mut VpnGateway,
    change: &str,
    now_ms: i64,
) -> Result<(), Failure> {
    gateway.intended += 1;
    to_be_applied(context, tx, IntentKind::Gateway, gateway.id.as_str(), gateway.intended, change, now_ms)
}

/// Writes down that a resource's generation is to be applied, from the data plane's first try on.
fn to_be_applied(
    context: &Context,
    tx: &Tx<'_>,
    kind: IntentKind,
    resource: &str,
    generation: u64,
    change: &str,
    now_ms: i64,
) -> Result<(), Failure> {
    let due_ms = context.dataplane.first_try(resource, now_ms);
    tx.insert_intent(resource, kind, generation, change, now_ms, due_ms)?;
    Ok(())
}
