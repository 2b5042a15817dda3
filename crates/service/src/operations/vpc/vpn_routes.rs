//! What the operations about routes into tunnels share: how a route is named, made, changed, published and removed.
//!
//! A route is written down with what is wanted of it, and the gateway's next generation; lists show what is wanted from
//! that moment on, since clients read back what they have just set. Routes of an attachment are in force at once.

use ipnet::Ipv4Net;
use serde::Serializer;
use tongguan_model::cidr;
use tongguan_model::connection::Connection;
use tongguan_model::gateway::{ChildState, VpnGateway};
use tongguan_model::network::VSwitch;
use tongguan_model::region::Region;
use tongguan_model::route::{self as rules, RouteKind, RouteSettings, VpnRoute};
use tongguan_store::{Page, RouteName, RouteOwner, RouteRow, Snapshot, Tx};

use crate::api::vpc::RouteCountInfo;
use crate::args::{Args, Paging};
use crate::call::Call;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Failure, Output};

use super::{connection_in, gateway_in, intend};

/// A block that must be there, in canonical form.
pub(crate) fn block(args: &Args<'_>, name: &'static str) -> Result<Ipv4Net, Refusal> {
    let text = args.required(name);
    cidr::route_block(text).ok_or_else(|| args.illegal(name, text))
}

/// The table of a gateway that is meant.
pub(crate) fn table(args: &Args<'_>, name: &'static str) -> Result<RouteKind, Refusal> {
    let text = args.required(name);
    let kind = RouteKind::parse(text).filter(|kind| *kind != RouteKind::Attachment);
    kind.ok_or_else(|| args.illegal(name, text))
}

/// A route that is to be made.
pub(super) struct NewRoute<'a> {
    pub(super) named: NamedRoute<'a>,
    pub(super) published: bool,
    pub(super) description: Option<&'a String>,
}

impl NewRoute<'_> {
    /// The route over its next hop.
    fn over(&self, call: &Call, hop: &Connection) -> VpnRoute {
        let NamedRoute { kind, source, destination, weight, priority, .. } = self.named;
        VpnRoute {
            account: hop.account.clone(),
            region: hop.region.clone(),
            kind,
            gateway: hop.gateway.clone(),
            next_hop: hop.id.clone(),
            source: source.map(|block| block.to_string()),
            destination: destination.to_string(),
            weight: small(weight),
            priority: priority.map(small),
            published: self.published,
            description: self.description.cloned().unwrap_or_default(),
            created_ms: call.now_ms,
            changed_ms: call.now_ms,
            state: if hop.gateway.is_some() { ChildState::Creating } else { ChildState::Active },
            before_weight: None,
            before_priority: None,
            before_published: None,
        }
    }

    /// Checks where the route leads.
    pub(super) fn leads_somewhere(&self, call: &Call, hop: &Connection) -> Result<(), Refusal> {
        let NamedRoute { kind, destination, .. } = self.named;
        rules::destination(destination, kind, hop.is_dual())
            .map_err(|why| call.operation.illegal("RouteDest", &destination.to_string()).because(why))
    }

    /// Stores the route beside these, unless it cannot stand there.
    pub(super) fn put<'r>(
        &self,
        call: &Call,
        tx: &Tx<'_>,
        hop: &Connection,
        others: impl IntoIterator<Item = &'r VpnRoute> + Clone,
    ) -> Result<VpnRoute, Failure> {
        let route = self.over(call, hop);
        route.stands_beside(others).map_err(refusal)?;
        tx.insert_route(&route)?;
        Ok(route)
    }
}

/// What a call names a route by.
#[derive(Clone, Copy)]
pub(super) struct NamedRoute<'a> {
    pub(super) kind: RouteKind,
    pub(super) next_hop: &'a str,
    pub(super) source: Option<Ipv4Net>,
    pub(super) destination: Ipv4Net,
    pub(super) weight: u64,
    pub(super) priority: Option<u64>,
}

impl NamedRoute<'_> {
    /// The route of that name on a gateway.
    pub(super) fn on(&self, tx: &Tx<'_>, gateway: &VpnGateway) -> Result<RouteRow, Failure> {
        self.find(tx, |route| route.gateway.as_ref() == Some(&gateway.id))
    }

    /// The route of that name of an attachment.
    pub(super) fn of(&self, tx: &Tx<'_>, attachment: &Connection) -> Result<RouteRow, Failure> {
        self.find(tx, |route| route.next_hop == attachment.id)
    }

    /// The routes over its next hop that lead where it does.
    pub(super) fn alike(&self, tx: &Tx<'_>) -> Result<Vec<RouteRow>, Failure> {
        let (source, destination) =
            (self.source.map(|block| block.to_string()), self.destination.to_string());
        let name = RouteName { kind: self.kind, source: source.as_deref(), destination: &destination };
        Ok(tx.routes_named(self.next_hop, name)?)
    }

    fn find(&self, tx: &Tx<'_>, belongs: impl Fn(&VpnRoute) -> bool) -> Result<RouteRow, Failure> {
        let is_meant = |row: &RouteRow| {
            belongs(&row.route)
                && u64::from(row.route.weight) == self.weight
                && self.priority.is_none_or(|priority| row.route.priority.map(u64::from) == Some(priority))
        };
        let found = self.alike(tx)?.into_iter().find(is_meant);
        found.ok_or_else(|| (&c::ROUTE_NOT_FOUND).into())
    }
}

/// A number that was read as one of a few.
pub(super) fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn refusal(refusal: rules::Refusal) -> Refusal {
    match refusal {
        rules::Refusal::Exists => Refusal::new(&c::ROUTE_EXISTS),
        rules::Refusal::Conflict(other) => Refusal::new(&c::ROUTE_CONFLICT).value(other.as_str()),
    }
}

/// The account's gateway, if work on its routes can begin.
pub(super) fn gateway_for_work(
    call: &Call,
    tx: &Tx<'_>,
    id: &str,
    region: &'static Region,
) -> Result<VpnGateway, Failure> {
    let gateway = gateway_in(tx.gateway(&call.principal.account, id)?, Some(region))?;
    gateway.usable()?;
    Ok(gateway)
}

/// Makes a route on a gateway.
pub(super) fn add(
    call: &Call,
    tx: &Tx<'_>,
    gateway: VpnGateway,
    region: &'static Region,
    new: &NewRoute<'_>,
) -> Result<VpnRoute, Failure> {
    let account = &call.principal.account;
    let NamedRoute { kind, next_hop, destination, .. } = new.named;
    let owner = RouteOwner::Gateway(&gateway.id, kind);
    if tx.routes_in(account, owner)? >= call.context.settings.quotas.vpn_routes_per_gateway {
        return Err((&c::ROUTE_QUOTA).into());
    }
    let hop = connection_in(tx.connection(account, next_hop)?, region)?;
    if hop.gateway.as_ref() != Some(&gateway.id) {
        let refusal = call.operation.illegal("NextHop", next_hop);
        return Err(refusal.because("It is no connection of the VPN gateway.").into());
    }
    new.leads_somewhere(call, &hop)?;
    if new.published {
        publishable(tx, &gateway, &destination.to_string())?;
    }
    let others = tx.routes_of(&gateway.id)?;
    let route = new.put(call, tx, &hop, others.iter().map(|row| &row.route))?;
    apply(call, tx, gateway, "add-route")?;
    Ok(route)
}

/// Changes a route of a gateway; what is as it was starts no work.
pub(super) fn alter(
    call: &Call,
    tx: &Tx<'_>,
    gateway: VpnGateway,
    row: &RouteRow,
    wanted: RouteSettings,
) -> Result<(), Failure> {
    if wanted == row.route.settings() {
        return Ok(());
    }
    let RouteSettings { weight, priority, published } = wanted;
    let changed = VpnRoute { weight, priority, published, ..row.route.clone() };
    let others = tx.routes_of(&gateway.id)?;
    let others = others.iter().filter(|other| other.seq != row.seq).map(|other| &other.route);
    changed.stands_beside(others).map_err(refusal)?;
    tx.change_route(row, wanted, call.now_ms)?;
    apply(call, tx, gateway, "modify-route")
}

/// Publishes routes of one destination, or withdraws them with those of the other table.
pub(super) fn publish(
    call: &Call,
    tx: &Tx<'_>,
    gateway: VpnGateway,
    kind: RouteKind,
    (next_hop, destination): (&str, &str),
    published: bool,
) -> Result<(), Failure> {
    let mut routes = tx.routes_of(&gateway.id)?;
    routes.retain(|row| row.route.destination == destination);
    let is_meant = |row: &RouteRow| row.route.kind == kind && row.route.next_hop.as_str() == next_hop;
    if !routes.iter().any(is_meant) {
        return Err((&c::ROUTE_NOT_FOUND).into());
    }
    if !routes.iter().any(|row| is_meant(row) && row.route.published != published) {
        return Ok(());
    }
    if published {
        publishable(tx, &gateway, destination)?;
    }
    let changes = |row: &RouteRow| is_meant(row) || (!published && row.route.kind != kind);
    for row in routes.iter().filter(|row| row.route.published != published && changes(row)) {
        let wanted = RouteSettings { published, ..row.route.settings() };
        tx.change_route(row, wanted, call.now_ms)?;
    }
    apply(call, tx, gateway, "publish-route")
}

/// Removes a route of a gateway.
pub(super) fn remove(call: &Call, tx: &Tx<'_>, gateway: VpnGateway, row: &RouteRow) -> Result<(), Failure> {
    tx.set_route_state(row, ChildState::Deleting)?;
    apply(call, tx, gateway, "delete-route")
}

/// Writes down the next generation of a gateway with its changed routes.
fn apply(call: &Call, tx: &Tx<'_>, mut gateway: VpnGateway, change: &str) -> Result<(), Failure> {
    intend(&call.context, tx, &mut gateway, change, call.now_ms)?;
    tx.update_generations(&gateway.id, gateway.intended, gateway.applied)?;
    Ok(())
}

/// Checks that the table of the gateway's VPC leads a block nowhere else.
fn publishable(tx: &Tx<'_>, gateway: &VpnGateway, destination: &str) -> Result<(), Failure> {
    let conflict = |next_hop: &str| Err(Refusal::new(&c::ROUTE_TABLE_CONFLICT).value(next_hop).into());
    if destination == cidr::SERVICES.to_string() {
        return conflict("service");
    }
    let is_there = |vswitch: &&VSwitch| vswitch.cidr == destination;
    if let Some(vswitch) = tx.vswitches_in(&gateway.vpc)?.iter().find(is_there) {
        return conflict(vswitch.id.as_str());
    }
    match tx.publisher(&gateway.vpc, destination, Some(&gateway.id))? {
        Some(other) => conflict(other.as_str()),
        None => Ok(()),
    }
}

/// A list, and the gateway that it is of if a route in it is half-way.
#[derive(Debug)]
pub struct Listed<O> {
    output: O,
    unsettled: Option<String>,
}

impl<O> Listed<O> {
    /// A page of routes, as `show` has it.
    pub(super) fn of(page: Page<RouteRow>, show: impl FnOnce(Vec<VpnRoute>, i64) -> O) -> Self {
        let half_way = page.items.iter().find(|row| row.route.state != ChildState::Active);
        let unsettled = half_way.and_then(|row| row.route.gateway.as_ref().map(ToString::to_string));
        let routes = page.items.into_iter().map(|row| row.route).collect();
        Self { output: show(routes, page.total.cast_signed()), unsettled }
    }

    /// The gateway, for a data plane that is stepped by looking.
    pub(super) fn unsettled(&self) -> Vec<String> {
        self.unsettled.iter().cloned().collect()
    }
}

impl<O: Output> Output for Listed<O> {
    fn write<S: Serializer>(&self, request_id: Option<&str>, serializer: S) -> Result<S::Ok, S::Error> {
        self.output.write(request_id, serializer)
    }
}

/// A page of a table of routes, if it is a page of those that a caller has made; BGP has learnt none.
pub(super) fn page(
    call: &Call,
    snapshot: &Snapshot<'_>,
    owner: RouteOwner<'_>,
    kind: &str,
    paging: &Paging,
) -> Result<Page<RouteRow>, Failure> {
    if kind != CUSTOM {
        return Ok(Page::empty());
    }
    Ok(snapshot.routes(&call.principal.account, owner, paging.offset(), paging.size)?)
}

/// Kind of routes that a caller has made, as lists show it.
pub(super) const CUSTOM: &str = "custom";
/// Where such a route comes from, as lists show it.
pub(super) const CLOUD: &str = "CLOUD";

/// How many routes there are of each kind.
pub(super) fn counts(
    call: &Call,
    snapshot: &Snapshot<'_>,
    owner: RouteOwner<'_>,
) -> Result<Vec<RouteCountInfo>, Failure> {
    let custom = snapshot.routes_in(&call.principal.account, owner)?.cast_signed();
    let count = |(route_entry_type, source, route_count): (&'static str, &'static str, i64)| RouteCountInfo {
        route_count,
        route_entry_type: route_entry_type.into(),
        source: source.into(),
    };
    Ok([(CUSTOM, CLOUD, custom), ("bgp", "VPN_BGP", 0)].map(count).into())
}
