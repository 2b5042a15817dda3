//! Routes into tunnels.
//!
//! A row has what is wanted of a route, and, while a change of it is not applied, what is in force beside it.

use std::collections::BTreeMap;

use tongguan_model::gateway::ChildState;
use tongguan_model::id::{AccountId, ConnectionId, VpcId, VpnGatewayId};
use tongguan_model::route::{RouteInForce, RouteKind, RouteSettings, VpnRoute};

use super::batch::{by_owner, of_all};
use super::search::Page;
use super::{Answer, Columns as _, Done, Relation};
use crate::{Snapshot, Tx};

table! {
    VpnRoute as route in "vpn_route" {
        both {
            account, region, kind, gateway, next_hop = "connection", source, destination, weight, priority, published,
            description, created_ms, changed_ms, state,
        }
        read { before_weight, before_priority, before_published }
    }
}

/// A route with its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRow {
    /// Place; pages go from high to low.
    pub seq: i64,
    /// The route.
    pub route: VpnRoute,
}

columns! { RouteRow { seq, route = VpnRoute::COLUMNS } }

/// What the record of what the data plane has calls a route by.
const NAME: &str = "kind || ' ' || connection || ' ' || coalesce(source, '') || ' ' || destination || ' ' || weight \
                    || ' ' || coalesce(CAST(priority AS TEXT), '') || ' ' || CAST(published AS INTEGER)";

columns! { RouteInForce { name = NAME, destination } }

/// What has a table of routes.
#[derive(Debug, Clone, Copy)]
pub enum RouteOwner<'a> {
    /// A gateway: destination routes, or policy routes.
    Gateway(&'a VpnGatewayId, RouteKind),
    /// An attachment.
    Attachment(&'a ConnectionId),
}

/// What names a route among those over its next hop.
#[derive(Debug, Clone, Copy)]
pub struct RouteName<'a> {
    /// Table.
    pub kind: RouteKind,
    /// Source; policy routes only.
    pub source: Option<&'a str>,
    /// Destination.
    pub destination: &'a str,
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[
    (
        "a route is half-way only on a gateway that is not settled",
        "SELECT r.connection || ' ' || r.destination FROM vpn_route r LEFT JOIN vpn_gateway g ON g.id = r.gateway \
         WHERE r.state <> 'active' AND (g.id IS NULL OR g.applied >= g.intended)",
    ),
    (
        "several routes of a gateway are half-way only if they publish or withdraw one destination",
        "SELECT gateway FROM vpn_route WHERE state <> 'active' GROUP BY gateway HAVING count(*) > 1 \
         AND (count(DISTINCT destination) > 1 OR count(DISTINCT published) > 1 \
         OR count(before_published) < count(*))",
    ),
    (
        "a route and what it leads over are of one account, region and gateway",
        "SELECT r.connection || ' ' || r.destination FROM vpn_route r JOIN vpn_connection c ON c.id = r.connection \
         WHERE r.account <> c.account OR r.region <> c.region OR coalesce(r.gateway, '') <> coalesce(c.gateway, '')",
    ),
    (
        "what a route leads over stays",
        "SELECT r.connection || ' ' || r.destination FROM vpn_route r JOIN vpn_connection c ON c.id = r.connection \
         WHERE c.state IN ('creating', 'deleting')",
    ),
    (
        "a route has what is of its kind",
        "SELECT connection || ' ' || destination FROM vpn_route WHERE (kind = 'vco') <> (gateway IS NULL) \
         OR (kind = 'pbr') <> (source IS NOT NULL) OR (kind = 'pbr') <> (priority IS NOT NULL) \
         OR kind = 'vco' AND NOT published OR weight NOT IN (0, 100) \
         OR priority IS NOT NULL AND priority NOT BETWEEN 1 AND 100",
    ),
    (
        "a route that is being changed has what was before, and no other has",
        "SELECT connection || ' ' || destination FROM vpn_route WHERE (state = 'updating') <> \
         (before_weight IS NOT NULL OR before_priority IS NOT NULL OR before_published IS NOT NULL)",
    ),
    (
        "of routes for the same packets one is active and one standby",
        "SELECT min(connection) || ' ' || destination FROM vpn_route WHERE gateway IS NOT NULL \
         GROUP BY gateway, kind, source, destination, priority, weight HAVING count(*) > 1",
    ),
    (
        "the table of a VPC has one route to a destination",
        "SELECT vpc || ' ' || destination FROM (SELECT DISTINCT g.vpc, r.destination, g.id FROM vpn_route r \
         JOIN vpn_gateway g ON g.id = r.gateway WHERE r.published OR r.before_published \
         UNION ALL SELECT vpc, cidr, id FROM vswitch \
         UNION ALL SELECT id, '100.64.0.0/10', id FROM vpc) GROUP BY vpc, destination HAVING count(*) > 1",
    ),
    (
        "what the data plane has is what is routed",
        sql!(
            "SELECT g.id FROM vpn_gateway g JOIN applied a ON a.resource = g.id \
             WHERE g.applied = g.intended AND g.applied > 0 AND g.phase = 'live' \
             AND g.id NOT IN (SELECT resource FROM fault WHERE outcome = 'diverged') \
             AND (SELECT coalesce(string_agg(value, ', '), '') \
             FROM (SELECT value FROM json_each(a.document, '$.routes') ORDER BY value)) <> \
             (SELECT coalesce(string_agg(route, ', '), '') FROM (SELECT ",
            NAME,
            " AS route FROM vpn_route WHERE gateway = g.id ORDER BY route))"
        ),
    ),
];

impl RouteOwner<'_> {
    /// Kind of the tally that counts its routes, by its id.
    const fn tally(self) -> &'static str {
        tally_of(self.kind())
    }

    const fn kind(self) -> RouteKind {
        match self {
            Self::Gateway(_, kind) => kind,
            Self::Attachment(_) => RouteKind::Attachment,
        }
    }

    /// The query for a page of its routes, newest first.
    fn page(self, offset: u64, limit: u64) -> String {
        let scope = match self {
            Self::Gateway(..) => "gateway",
            Self::Attachment(_) => "connection",
        };
        format!("{ROUTES} WHERE {scope} = ?1 AND kind = ?2 ORDER BY seq DESC LIMIT {limit} OFFSET {offset}")
    }

    fn id(&self) -> &str {
        match self {
            Self::Gateway(gateway, _) => gateway.as_str(),
            Self::Attachment(connection) => connection.as_str(),
        }
    }
}

const fn tally_of(kind: RouteKind) -> &'static str {
    match kind {
        RouteKind::Destination => "vpn_route_dbr",
        RouteKind::Policy => "vpn_route_pbr",
        RouteKind::Attachment => "vpn_route_vco",
    }
}

/// The columns of a route with its place.
const ROUTES: &str = sql!("SELECT ", RouteRow::COLUMNS, " FROM vpn_route");
/// The routes of a gateway that are half-way.
const UNDER_WAY: &str = sql!(ROUTES, " WHERE gateway = ?1 AND state <> 'active' ORDER BY seq");

impl Snapshot<'_> {
    /// The routes of a gateway, of both tables, the oldest first.
    ///
    /// # Errors
    /// A database error.
    pub fn routes_of(&self, gateway: &VpnGatewayId) -> Answer<Vec<RouteRow>> {
        self.session.all(sql!(ROUTES, " WHERE gateway = ?1 ORDER BY seq"), &binds![gateway])
    }

    /// The routes of a gateway that shall be in force, of both tables, the oldest first.
    ///
    /// # Errors
    /// A database error.
    pub fn routes_wanted(&self, gateway: &VpnGatewayId) -> Answer<Vec<RouteInForce>> {
        let sql = sql!(
            "SELECT ",
            RouteInForce::COLUMNS,
            " FROM vpn_route WHERE gateway = ?1 AND state <> 'deleting' ORDER BY seq"
        );
        self.session.all(sql, &binds![gateway])
    }

    /// The routes of a gateway that the data plane has not put in force or taken out yet.
    ///
    /// # Errors
    /// A database error.
    pub fn routes_under_way(&self, gateway: &VpnGatewayId) -> Answer<Vec<RouteRow>> {
        self.session.all(UNDER_WAY, &binds![gateway])
    }

    /// The routes over a connection of this name: of an attachment there may be two, with different weights.
    ///
    /// # Errors
    /// A database error.
    pub fn routes_named(&self, next_hop: &str, name: RouteName<'_>) -> Answer<Vec<RouteRow>> {
        let sql = sql!(
            ROUTES,
            " WHERE connection = ?1 AND kind = ?2 AND destination = ?3 AND coalesce(source, '') = coalesce(?4, '')"
        );
        self.session.all(sql, &binds![next_hop, name.kind, name.destination, name.source])
    }

    /// How many routes lead over a connection.
    ///
    /// # Errors
    /// A database error.
    pub fn routes_over(&self, connection: &ConnectionId) -> Answer<u64> {
        self.number("SELECT count(*) FROM vpn_route WHERE connection = ?1", &binds![connection])
    }

    /// How many routes a table has.
    ///
    /// # Errors
    /// A database error.
    pub fn routes_in(&self, account: &AccountId, owner: RouteOwner<'_>) -> Answer<u64> {
        self.tally(owner.tally(), account, owner.id())
    }

    /// A page of a table of routes, newest first.
    ///
    /// # Errors
    /// A database error.
    pub fn routes(
        &self,
        account: &AccountId,
        owner: RouteOwner<'_>,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<RouteRow>> {
        let items = self.session.all(&owner.page(offset, limit), &binds![owner.id(), owner.kind()])?;
        Ok(Page { items, total: self.routes_in(account, owner)? })
    }
}

impl Snapshot<'_> {
    /// The routes that the tables of many VPCs have, or are to have, from their gateways, in one query.
    ///
    /// # Errors
    /// A database error.
    pub fn published_in_all(&self, vpcs: &[&VpcId]) -> Answer<BTreeMap<VpcId, Vec<VpnRoute>>> {
        let before = sql!(
            "SELECT g.vpc, r.* FROM vpn_gateway g JOIN (SELECT ",
            VpnRoute::COLUMNS,
            " FROM vpn_route WHERE published OR before_published) r ON r.gateway = g.id WHERE g.vpc IN"
        );
        let rows: Vec<PublishedRow> =
            of_all(self.session, (before, ""), &[], vpcs.iter().map(|id| id.as_str()))?;
        Ok(by_owner(rows.into_iter().map(|row| (row.vpc, row.route))))
    }

    /// The gateway whose route to a block the table of a VPC has, or is to have, but for this gateway.
    ///
    /// # Errors
    /// A database error.
    pub fn publisher(
        &self,
        vpc: &VpcId,
        destination: &str,
        but: Option<&VpnGatewayId>,
    ) -> Answer<Option<VpnGatewayId>> {
        let sql = "SELECT g.id FROM vpn_gateway g JOIN vpn_route r ON r.gateway = g.id WHERE g.vpc = ?1 \
                   AND r.destination = ?2 AND (r.published OR r.before_published) AND g.id IS DISTINCT FROM ?3 LIMIT 1";
        self.session.one(sql, &binds![vpc, destination, but])
    }
}

/// A route with the VPC of its gateway.
struct PublishedRow {
    vpc: VpcId,
    route: VpnRoute,
}

columns! { PublishedRow { vpc, route = VpnRoute::COLUMNS } }

impl Tx<'_> {
    /// Stores a new route.
    ///
    /// # Errors
    /// A database error, also if what it leads over is not there, or has such a route.
    pub fn insert_route(&self, route: &VpnRoute) -> Done {
        insert(self.session, route)?;
        self.count_route(route, 1)
    }

    /// Stores what is wanted of a route, and keeps what is in force until it is applied.
    ///
    /// # Errors
    /// A database error.
    pub fn change_route(&self, row: &RouteRow, wanted: RouteSettings, now_ms: i64) -> Done {
        let held = row.route.settings();
        update!(self.session, "vpn_route" {
            weight: wanted.weight,
            priority: wanted.priority,
            published: wanted.published,
            before_weight: Some(held.weight).filter(|weight| *weight != wanted.weight),
            before_priority: held.priority.filter(|priority| Some(*priority) != wanted.priority),
            before_published: Some(held.published).filter(|published| *published != wanted.published),
            state: ChildState::Updating,
            changed_ms: now_ms,
        } where { seq: row.seq })?;
        Ok(())
    }

    /// Stores how far a route has come.
    ///
    /// # Errors
    /// A database error.
    pub fn set_route_state(&self, row: &RouteRow, state: ChildState) -> Done {
        update!(self.session, "vpn_route" { state: state } where { seq: row.seq })?;
        Ok(())
    }

    /// The change of a route is in force: what was before is forgotten.
    ///
    /// # Errors
    /// A database error.
    pub fn route_changed(&self, row: &RouteRow) -> Done {
        self.execute(
            "UPDATE vpn_route SET before_weight = NULL, before_priority = NULL, before_published = NULL, state = ?2 \
             WHERE seq = ?1",
            &binds![row.seq, ChildState::Active],
        )
    }

    /// The change of a route is given up: what was before is wanted again.
    ///
    /// # Errors
    /// A database error.
    pub fn restore_route(&self, row: &RouteRow) -> Done {
        self.execute(
            "UPDATE vpn_route SET weight = coalesce(before_weight, weight), \
             priority = coalesce(before_priority, priority), published = coalesce(before_published, published), \
             before_weight = NULL, before_priority = NULL, before_published = NULL, state = ?2 WHERE seq = ?1",
            &binds![row.seq, ChildState::Active],
        )
    }

    /// Removes a route.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_route(&self, row: &RouteRow) -> Done {
        self.execute("DELETE FROM vpn_route WHERE seq = ?1", &binds![row.seq])?;
        self.count_route(&row.route, -1)
    }

    /// Counts by the gateway, or by the attachment; a table that is empty has no tally, since its owner may go.
    fn count_route(&self, route: &VpnRoute, by: i64) -> Done {
        let kind = tally_of(route.kind);
        let owner = route.gateway.as_ref().map_or(route.next_hop.as_str(), |gateway| gateway.as_str());
        self.count(kind, &route.account, owner, by)?;
        self.execute(
            "DELETE FROM tally WHERE kind = ?1 AND account = ?2 AND region = ?3 AND value = 0",
            &binds![kind, route.account, owner],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::search::plan;

    #[test]
    fn a_page_of_routes_goes_by_the_table_that_it_is_of() {
        let (gateway, attachment) = (VpnGatewayId::new("vpn-1"), ConnectionId::new("vco-1"));
        for (owner, index) in [
            (RouteOwner::Gateway(&gateway, RouteKind::Destination), "vpn_route_gateway"),
            (RouteOwner::Gateway(&gateway, RouteKind::Policy), "vpn_route_gateway"),
            (RouteOwner::Attachment(&attachment), "vpn_route_connection"),
        ] {
            assert_eq!(plan(&owner.page(0, 50)), (vec![index.to_owned()], false), "{owner:?}");
        }
    }

    /// However many routes a gateway has, what is half-way is found without looking at the others.
    #[test]
    fn what_is_half_way_is_looked_for_by_itself() {
        assert_eq!(plan(UNDER_WAY), (vec!["vpn_route_under_way".to_owned()], false));
    }
}
