//! The routes of a VPC's route table: what there is, and how it is named.
//!
//! Nothing of a system route is stored: it follows from what it leads to. Sources:
//! `docs/api/vpc/DescribeRouteEntryList.json`, `docs/api/vpc/DescribeRouteTables.json`.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use ipnet::Ipv4Net;
use tongguan_model::id::{self, VpcId};
use tongguan_model::network::{NetworkStatus, RouteType, VSwitch, Vpc};
use tongguan_model::region;
use tongguan_store::{Snapshot, StoreError};

/// Where the vendor's own services are reached: every table has this route, as the published sample shows.
const SERVICES: &str = "100.64.0.0/10";

/// A route of a VPC's table.
pub(super) struct Route {
    /// Id: the same for the same table and block, as long as both exist.
    pub(super) id: String,
    pub(super) destination: Ipv4Net,
    pub(super) kind: RouteType,
    /// Who put it into the table: `SystemCreate`.
    pub(super) origin: &'static str,
    /// Kind of the next hop: `local` or `service`.
    pub(super) next_hop_type: &'static str,
    pub(super) status: NetworkStatus,
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
    Ok(vpcs
        .iter()
        .map(|vpc| (vpc.id.clone(), routes_of(vpc, &vswitches.remove(&vpc.id).unwrap_or_default())))
        .collect())
}

/// The routes of the table of a VPC with these vSwitches: one to each of them, and one to the services.
fn routes_of(vpc: &Vpc, vswitches: &[VSwitch]) -> Vec<Route> {
    let services = (SERVICES, "service", vpc.status(), vpc.created_ms);
    let local =
        vswitches.iter().map(|vswitch| (&*vswitch.cidr, "local", vswitch.status(), vswitch.created_ms));
    let mut routes: Vec<Route> = std::iter::once(services)
        .chain(local)
        .filter_map(|(block, next_hop_type, status, modified_ms)| {
            let destination = block.parse().ok()?;
            let (kind, origin) = (RouteType::System, "SystemCreate");
            Some(Route {
                id: route_id(vpc, destination),
                destination,
                kind,
                origin,
                next_hop_type,
                status,
                modified_ms,
            })
        })
        .collect();
    routes.sort_unstable_by_key(|route| route.destination);
    routes
}

/// The id of the route to a block. It is derived: clients keep ids, and nothing of the route is stored.
fn route_id(vpc: &Vpc, destination: Ipv4Net) -> String {
    let infix = region::find(vpc.region.as_str()).map_or("", |region| region.infix);
    let print = digest(&SHA256, format!("{} {destination}", vpc.route_table).as_bytes());
    let (letters, _) = print.as_ref().split_first_chunk().expect("a SHA-256 digest is longer than an id");
    id::compose("rte", infix, letters)
}
