//! The routes of a VPC's route table: what there is, and how it is named.
//!
//! Nothing of the table is stored: a system route follows from what it leads to, any other from the routes that the
//! VPN gateways of the VPC publish. A destination is in a table once, since nothing that would be there twice is let
//! in. Sources:
//! `docs/api/vpc/DescribeRouteEntryList.json`, `docs/api/vpc/DescribeRouteTables.json`.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use ipnet::Ipv4Net;
use tongguan_model::id::{self, VpcId};
use tongguan_model::network::{RouteStatus, RouteType, VSwitch, Vpc};
use tongguan_model::route::VpnRoute;
use tongguan_model::{cidr, region};
use tongguan_store::{Snapshot, StoreError};

/// Kind of a next hop that is a VPN gateway.
pub(super) const VPN_GATEWAY: &str = "VpnGateway";

/// A route of a VPC's table.
pub(super) struct Route {
    /// Id: the same for the same table and block, as long as both exist.
    pub(super) id: String,
    pub(super) destination: Ipv4Net,
    pub(super) kind: RouteType,
    /// Who put it into the table: `SystemCreate` or `CustomCreate`.
    pub(super) origin: &'static str,
    /// Kind of the next hop: `local`, `service` or `VpnGateway`.
    pub(super) next_hop_type: &'static str,
    /// Id of the next hop; empty unless it is a gateway.
    pub(super) next_hop: String,
    pub(super) status: RouteStatus,
    /// When it was changed last, UNIX milliseconds.
    pub(super) modified_ms: i64,
}

/// The routes of the table of each VPC, in the order of their blocks.
pub(super) fn routes_of_all(
    snapshot: &Snapshot<'_>,
    vpcs: &[Vpc],
) -> Result<BTreeMap<VpcId, Vec<Route>>, StoreError> {
    let ids: Vec<&VpcId> = vpcs.iter().map(|vpc| &vpc.id).collect();
    let mut vswitches = snapshot.vswitches_in_all(&ids)?;
    let mut published = snapshot.published_in_all(&ids)?;
    Ok(vpcs
        .iter()
        .map(|vpc| {
            let mut routes = system_routes(vpc, &vswitches.remove(&vpc.id).unwrap_or_default());
            routes.extend(published_routes(vpc, &published.remove(&vpc.id).unwrap_or_default()));
            routes.sort_unstable_by_key(|route| route.destination);
            (vpc.id.clone(), routes)
        })
        .collect())
}

/// The system routes of a VPC with these vSwitches: one to each of them, and one to the services.
fn system_routes(vpc: &Vpc, vswitches: &[VSwitch]) -> Vec<Route> {
    // Every table leads to the vendor's own services, as the published sample shows.
    let services = (Some(cidr::SERVICES), "service", vpc.status(), vpc.created_ms);
    let local = vswitches
        .iter()
        .map(|vswitch| (vswitch.cidr.parse().ok(), "local", vswitch.status(), vswitch.created_ms));
    std::iter::once(services)
        .chain(local)
        .filter_map(|(destination, next_hop_type, status, modified_ms)| {
            let destination = destination?;
            let (kind, origin) = (RouteType::System, "SystemCreate");
            Some(Route {
                id: route_id(vpc, destination),
                destination,
                kind,
                origin,
                next_hop_type,
                next_hop: String::new(),
                status: status.into(),
                modified_ms,
            })
        })
        .collect()
}

/// The routes to the VPN gateways of a VPC that publish these, one to each destination.
fn published_routes(vpc: &Vpc, published: &[VpnRoute]) -> Vec<Route> {
    let mut destinations: BTreeMap<&str, Vec<&VpnRoute>> = BTreeMap::new();
    for route in published {
        destinations.entry(&route.destination).or_default().push(route);
    }
    let entry = |(block, routes): (&str, Vec<&VpnRoute>)| {
        let destination = block.parse().ok()?;
        let now = routes.iter().any(|route| route.is_published_now());
        let next = routes.iter().any(|route| route.is_published_next());
        let status = match (now, next) {
            (true, true) => RouteStatus::Available,
            (false, true) => RouteStatus::Pending,
            (true, false) => RouteStatus::Deleting,
            (false, false) => return None,
        };
        Some(Route {
            id: route_id(vpc, destination),
            destination,
            kind: RouteType::Custom,
            origin: "CustomCreate",
            next_hop_type: VPN_GATEWAY,
            next_hop: routes.first()?.gateway.as_ref()?.to_string(),
            status,
            modified_ms: routes.iter().map(|route| route.changed_ms).max()?,
        })
    };
    destinations.into_iter().filter_map(entry).collect()
}

/// The id of the route to a block. It is derived: clients keep ids, and nothing of the route is stored.
fn route_id(vpc: &Vpc, destination: Ipv4Net) -> String {
    let infix = region::find(vpc.region.as_str()).map_or("", |region| region.infix);
    let print = digest(&SHA256, format!("{} {destination}", vpc.route_table).as_bytes());
    let (letters, _) = print.as_ref().split_first_chunk().expect("a SHA-256 digest is longer than an id");
    id::compose("rte", infix, letters)
}
