//! IPsec connections and their tunnels.
//!
//! A connection's settings are one document in its row; where its tunnels lead and what is seen of them are rows of
//! their own, since others ask for it. While a change of a connection is not applied, its row keeps what was before.
//! What was seen of a tunnel before stands in rows of its past.

use std::collections::BTreeMap;

use tongguan_model::connection::{Connection, Negotiation, Settings};
use tongguan_model::gateway::{ChildState, VpnGateway};
use tongguan_model::id::{AccountId, ConnectionId, CustomerGatewayId, TunnelId, VpnGatewayId};

use super::batch::{by_owner, of_all};
use super::search::{Page, Search};
use super::{Answer, Columns as _, Done, Relation, Table as _};
use crate::session::{Cells, FromColumn, FromRow, Session, Unreadable, Value};
use crate::{DatabaseError, Snapshot, StoreError, TagFilter, Tx};

impl FromColumn for Settings {
    #[inline]
    fn read(value: Value<'_>) -> Result<Self, Unreadable> {
        let text = value.text().ok_or(Unreadable::Kind)?;
        serde_json::from_str(text).map_err(|_| Unreadable::Kind)
    }
}

table! {
    Connection as connection in "vpn_connection" {
        both {
            id, account, region, gateway, name, network_type, tunnel_bandwidth, resource_group, created_ms, state,
        }
        read { settings, before }
        write(document: &str, sealed: &[u8]) {
            settings = document, sealed_keys = sealed, selectors = connection.settings.selectors(),
        }
    }
}

/// A connection with the keys of its tunnels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedConnection {
    /// The connection.
    pub connection: Connection,
    /// The keys, sealed.
    pub sealed_keys: Vec<u8>,
}

columns! { KeyedConnection { connection = Connection::COLUMNS, sealed_keys } }

/// The columns of a connection with its keys.
const KEYED: &str = sql!("SELECT ", KeyedConnection::COLUMNS, " FROM vpn_connection");

/// A tunnel: where it leads, and what the data plane sees of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelRow {
    /// Id, prefix `tun-`.
    pub id: TunnelId,
    /// Connection.
    pub connection: ConnectionId,
    /// Place in its connection, from 1.
    pub number: u32,
    /// Where it leads.
    pub customer_gateway: CustomerGatewayId,
    /// Where it leads until a change is applied, if that is elsewhere.
    pub before: Option<CustomerGatewayId>,
    /// Its own address, if it has no gateway to take one from.
    pub ip: Option<String>,
    /// What is seen of it.
    pub observed: Negotiation,
    /// When that was seen first, UNIX milliseconds.
    pub observed_ms: i64,
}

columns! { TunnelRow { id, connection, number, customer_gateway, before, ip, observed, observed_ms } }

impl TunnelRow {
    /// What is seen of it, since when.
    #[must_use]
    pub fn observation(&self) -> ObservationRow {
        ObservationRow { tunnel: self.id.clone(), observed: self.observed, at_ms: self.observed_ms }
    }
}

/// A tunnel of a gateway, and what was seen of it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelStanding {
    /// Tunnel.
    pub tunnel: TunnelId,
    /// Its connection.
    pub connection: ConnectionId,
    /// Gateway of the connection.
    pub gateway: VpnGatewayId,
    /// What is seen of it.
    pub observed: Negotiation,
    /// When that was seen first, UNIX milliseconds.
    pub observed_ms: i64,
}

columns! {
    TunnelStanding {
        tunnel = "t.id", connection = "t.connection", gateway = "c.gateway", observed = "t.observed",
        observed_ms = "t.observed_ms",
    }
}

/// What was seen of a tunnel, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservationRow {
    /// Tunnel.
    pub tunnel: TunnelId,
    /// What was seen.
    pub observed: Negotiation,
    /// When, UNIX milliseconds.
    pub at_ms: i64,
}

columns! { ObservationRow { tunnel, observed, at_ms } }

/// Observations of a tunnel that are kept beside the one that holds; older ones go.
const OBSERVATIONS: u32 = 99;

/// Which connections a list asks for; everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct ConnectionFilter {
    /// Id.
    pub id: Option<String>,
    /// Gateway.
    pub gateway: Option<String>,
    /// Customer gateway of any tunnel.
    pub customer_gateway: Option<String>,
    /// Resource group.
    pub resource_group: Option<String>,
    /// Only connections without a gateway.
    pub attachments: bool,
    /// Tags.
    pub tags: Vec<TagFilter>,
}

impl ConnectionFilter {
    /// The conditions. A gateway has few connections, and a customer gateway fewer than its account: both are looked
    /// for by their own index. Attachments have an index by account and region, and are counted.
    fn search<'v>(&'v self, account: &'v AccountId, region: &'v str) -> Search<'v> {
        let mut search = Search::of(account, Some(region));
        search.equal("id", self.id.as_ref());
        search.equal("gateway", self.gateway.as_ref());
        search.equal("resource_group", self.resource_group.as_ref());
        if let Some(customer_gateway) = &self.customer_gateway {
            let place = search.value(customer_gateway);
            search
                .raw(&format!("id IN (SELECT connection FROM vpn_tunnel WHERE customer_gateway = ?{place})"));
        }
        if self.attachments {
            search.always("gateway IS NULL");
        }
        if self.gateway.is_some() || self.customer_gateway.is_some() {
            search.choose();
        }
        search.tags("id", &self.tags);
        search
    }

    /// Kind of the tally that counts what only account and region restrict.
    const fn tally(&self) -> &'static str {
        if self.attachments { ATTACHMENT } else { Connection::NAME }
    }
}

/// What must hold between these rows and others.
pub(crate) const RELATIONS: &[Relation] = &[
    (
        "a connection is half-way only on a gateway that is not settled",
        "SELECT c.id FROM vpn_connection c LEFT JOIN vpn_gateway g ON g.id = c.gateway \
         WHERE c.state <> 'active' AND (g.id IS NULL OR g.applied >= g.intended)",
    ),
    (
        "at most one thing on a gateway is half-way",
        "SELECT gateway FROM (SELECT gateway FROM vpn_connection WHERE state <> 'active' AND gateway IS NOT NULL \
         UNION ALL SELECT gateway FROM binding WHERE state <> 'associated' \
         UNION ALL SELECT DISTINCT gateway FROM vpn_route WHERE state <> 'active' AND gateway IS NOT NULL) \
         GROUP BY gateway HAVING count(*) > 1",
    ),
    (
        "a connection, its gateway and where it leads are of one account and region",
        "SELECT c.id FROM vpn_connection c JOIN vpn_gateway g ON g.id = c.gateway \
         WHERE c.account <> g.account OR c.region <> g.region UNION SELECT c.id FROM vpn_connection c \
         JOIN vpn_tunnel t ON t.connection = c.id JOIN customer_gateway d ON d.id IN (t.customer_gateway, t.before) \
         WHERE c.account <> d.account OR c.region <> d.region",
    ),
    (
        "a connection that is being changed has what was before, and no other has",
        "SELECT id FROM vpn_connection WHERE (state = 'updating') <> (before IS NOT NULL) \
         OR (before IS NULL) <> (sealed_before IS NULL) UNION \
         SELECT t.connection FROM vpn_tunnel t JOIN vpn_connection c ON c.id = t.connection \
         WHERE t.before IS NOT NULL AND c.state <> 'updating'",
    ),
    (
        "the tunnels of a connection are those of its settings",
        "SELECT c.id FROM vpn_connection c WHERE \
         (SELECT coalesce(string_agg(number || id || customer_gateway, ' '), '') FROM (SELECT number, id, \
         customer_gateway FROM vpn_tunnel WHERE connection = c.id ORDER BY number)) <> \
         (SELECT coalesce(string_agg((CAST(key AS INTEGER) + 1) || json_extract(value, '$.id') \
         || json_extract(value, '$.customer_gateway'), ' '), '') \
         FROM (SELECT key, value FROM json_each(c.settings, '$.tunnels') ORDER BY key))",
    ),
    (
        "a connection has one tunnel or two",
        "SELECT id FROM vpn_connection WHERE id NOT IN \
         (SELECT connection FROM vpn_tunnel GROUP BY connection HAVING count(*) <= 2)",
    ),
    (
        "a tunnel that was negotiated is in force, on a gateway that has what it needs",
        "SELECT t.id FROM vpn_tunnel t JOIN vpn_connection c ON c.id = t.connection \
         LEFT JOIN vpn_gateway g ON g.id = c.gateway WHERE t.observed <> 'ike_sa_not_established' \
         AND (c.state = 'creating' OR (g.vpn_type = 'NationalStandard' \
         AND (SELECT count(*) FROM binding WHERE gateway = g.id AND state <> 'associating') < 2))",
    ),
    (
        "what the data plane has is what is connected",
        "SELECT g.id FROM vpn_gateway g JOIN applied a ON a.resource = g.id \
         WHERE g.applied = g.intended AND g.applied > 0 AND g.phase = 'live' \
         AND g.id NOT IN (SELECT resource FROM fault WHERE outcome = 'diverged') \
         AND (SELECT coalesce(string_agg(value, ' '), '') \
         FROM (SELECT value FROM json_each(a.document, '$.connections') ORDER BY value)) <> \
         (SELECT coalesce(string_agg(id, ' '), '') \
         FROM (SELECT id FROM vpn_connection WHERE gateway = g.id ORDER BY id))",
    ),
    (
        "what is seen of a tunnel is something else than what was seen of it last",
        "SELECT t.id FROM vpn_tunnel t WHERE t.observed = \
         (SELECT observed FROM vpn_observation WHERE tunnel = t.id ORDER BY seq DESC LIMIT 1)",
    ),
    (
        "no tunnel has an address of another",
        "SELECT ip FROM (SELECT ip FROM vpn_tunnel WHERE ip IS NOT NULL UNION ALL SELECT ip FROM address) \
         GROUP BY ip HAVING count(*) > 1",
    ),
];

/// The connection of a gateway that is half-way, and one that is not, if there are any.
const UNDER_WAY: &str = "SELECT id, state FROM vpn_connection WHERE gateway = ?1 AND state <> 'active' UNION ALL \
    SELECT id, state FROM vpn_connection \
    WHERE seq = (SELECT seq FROM vpn_connection WHERE gateway = ?1 AND state = 'active' LIMIT 1)";

/// The columns of a tunnel.
const TUNNELS: &str = sql!("SELECT ", TunnelRow::COLUMNS, " FROM vpn_tunnel");

impl Snapshot<'_> {
    /// The account's connection of this id.
    ///
    /// # Errors
    /// A database error, as for every query below.
    pub fn connection(&self, account: &AccountId, id: &str) -> Answer<Option<Connection>> {
        self.session.one(owned!(Connection), &binds![id, account])
    }

    /// The same with its keys.
    ///
    /// # Errors
    /// A database error.
    pub fn connection_with_keys(&self, account: &AccountId, id: &str) -> Answer<Option<KeyedConnection>> {
        self.session.one(sql!(KEYED, " WHERE id = ?1 AND account = ?2"), &binds![id, account])
    }

    /// The connection of this id, whoever owns it: for what the operator reports.
    ///
    /// # Errors
    /// A database error.
    pub fn connection_of_any_account(&self, id: &str) -> Answer<Option<Connection>> {
        self.session.one(sql!(Connection::SELECT, " WHERE id = ?1"), &binds![id])
    }

    /// The connections of a gateway, the oldest first.
    ///
    /// # Errors
    /// A database error.
    pub fn connections_of(&self, gateway: &VpnGatewayId) -> Answer<Vec<Connection>> {
        self.session.all(sql!(Connection::SELECT, " WHERE gateway = ?1 ORDER BY seq"), &binds![gateway])
    }

    /// Those of them that shall be in force, by id.
    ///
    /// # Errors
    /// A database error.
    pub fn connections_wanted(&self, gateway: &VpnGatewayId) -> Answer<Vec<ConnectionId>> {
        let sql = "SELECT id FROM vpn_connection WHERE gateway = ?1 AND state <> 'deleting' ORDER BY seq";
        self.session.all(sql, &binds![gateway])
    }

    /// The one of them that a change of the gateway is about, and how far it has come; and one that rests. Where there
    /// is neither there is no connection at all, and nothing that hangs on one.
    ///
    /// # Errors
    /// A database error.
    pub fn connections_under_way(&self, gateway: &VpnGatewayId) -> Answer<Vec<(ConnectionId, ChildState)>> {
        self.session.all(UNDER_WAY, &binds![gateway])
    }

    /// The settings of the other connections of its gateway that a connection may be in the way of, the oldest first:
    /// those that take the same packets, or all if it has blocks inside its tunnels.
    ///
    /// # Errors
    /// A database error.
    pub fn settings_to_compare(&self, connection: &Connection) -> Answer<Vec<Settings>> {
        let Connection { id, gateway, settings, .. } = connection;
        if settings.bgp_blocks().next().is_some() {
            let sql = "SELECT settings FROM vpn_connection WHERE gateway = ?1 AND id <> ?2 ORDER BY seq";
            return self.session.all(sql, &binds![gateway, id]);
        }
        let sql = "SELECT settings FROM vpn_connection WHERE gateway = ?1 AND selectors = ?3 AND id <> ?2 ORDER BY seq";
        self.session.all(sql, &binds![gateway, id, settings.selectors()])
    }

    /// How many connections a gateway has.
    ///
    /// # Errors
    /// A database error.
    pub fn connections_on(&self, gateway: &VpnGatewayId) -> Answer<u64> {
        self.number("SELECT count(*) FROM vpn_connection WHERE gateway = ?1", &binds![gateway])
    }

    /// A page of the account's connections in a region, newest first, attachments among them.
    ///
    /// # Errors
    /// A database error.
    pub fn connections(
        &self,
        account: &AccountId,
        region: &str,
        filter: &ConnectionFilter,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<Connection>> {
        let selected = (Connection::COLUMNS, Connection::NAME);
        self.page_of(&filter.search(account, region), filter.tally(), selected, offset, limit)
    }

    /// The same with their keys.
    ///
    /// # Errors
    /// A database error.
    pub fn connections_with_keys(
        &self,
        account: &AccountId,
        region: &str,
        filter: &ConnectionFilter,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<KeyedConnection>> {
        let selected = (KeyedConnection::COLUMNS, Connection::NAME);
        self.page_of(&filter.search(account, region), filter.tally(), selected, offset, limit)
    }

    /// How many connections without a gateway the account has in a region.
    ///
    /// # Errors
    /// A database error.
    pub fn vpn_attachments(&self, account: &AccountId, region: &str) -> Answer<u64> {
        self.tally(ATTACHMENT, account, region)
    }

    /// The keys of the tunnels of a connection, sealed.
    ///
    /// # Errors
    /// A database error.
    pub fn connection_keys(&self, id: &ConnectionId) -> Answer<Option<Vec<u8>>> {
        self.session.one("SELECT sealed_keys FROM vpn_connection WHERE id = ?1", &binds![id])
    }

    /// The tunnels of many connections in one query, those of each in their order.
    ///
    /// # Errors
    /// A database error.
    pub fn tunnels_of_all(&self, connections: &[&str]) -> Answer<BTreeMap<ConnectionId, Vec<TunnelRow>>> {
        let before = sql!("SELECT ", TunnelRow::COLUMNS, " FROM vpn_tunnel WHERE connection IN");
        let sql = (before, "ORDER BY connection, number");
        let rows: Vec<TunnelRow> = of_all(self.session, sql, &[], connections.iter().copied())?;
        Ok(by_owner(rows.into_iter().map(|tunnel| (tunnel.connection.clone(), tunnel))))
    }

    /// The tunnel of this id, or the tunnels of the connection of this id, whoever owns them.
    ///
    /// # Errors
    /// A database error.
    pub fn tunnels_named(&self, id: &str) -> Answer<Vec<TunnelRow>> {
        let sql = format!("{TUNNELS} WHERE id = ?1 OR connection = ?1 ORDER BY number");
        self.session.all(&sql, &binds![id])
    }

    /// Every tunnel of a gateway, whoever owns it, those of a connection in their order.
    ///
    /// # Errors
    /// A database error.
    pub fn tunnels_standing(&self) -> Answer<Vec<TunnelStanding>> {
        let sql = sql!(
            "SELECT ",
            TunnelStanding::COLUMNS,
            " FROM vpn_tunnel t JOIN vpn_connection c ON c.id = t.connection WHERE c.gateway IS NOT NULL \
             ORDER BY c.seq, t.number"
        );
        self.session.all(sql, &[])
    }

    /// The connections that lead to a customer gateway, now or until a change is applied, each with how far it has
    /// come.
    ///
    /// # Errors
    /// A database error.
    pub fn connections_to(
        &self,
        customer_gateway: &CustomerGatewayId,
    ) -> Answer<Vec<(ConnectionId, ChildState)>> {
        let sql = "SELECT c.id, c.state FROM vpn_connection c WHERE c.id IN (SELECT connection FROM vpn_tunnel \
                   WHERE customer_gateway = ?1 UNION SELECT connection FROM vpn_tunnel WHERE before = ?1) \
                   ORDER BY c.seq";
        self.session.all(sql, &binds![customer_gateway])
    }
}

impl Snapshot<'_> {
    /// What was seen of the tunnels of a connection between two moments, UNIX milliseconds, both inclusive; the oldest
    /// first.
    ///
    /// # Errors
    /// A database error.
    pub fn observations(
        &self,
        connection: &ConnectionId,
        from_ms: i64,
        to_ms: i64,
    ) -> Answer<Vec<ObservationRow>> {
        let sql = sql!(
            "SELECT ",
            ObservationRow::COLUMNS,
            " FROM (SELECT o.tunnel, o.observed, o.at_ms, t.number, o.seq FROM vpn_tunnel t \
             JOIN vpn_observation o ON o.tunnel = t.id WHERE t.connection = ?1 \
             UNION ALL SELECT id, observed, observed_ms, number, NULL FROM vpn_tunnel WHERE connection = ?1) \
             WHERE at_ms >= ?2 AND at_ms <= ?3 ORDER BY at_ms, number, seq IS NULL, seq"
        );
        self.session.all(sql, &binds![connection, from_ms, to_ms])
    }
}

/// Kind of the tally that counts connections without a gateway.
const ATTACHMENT: &str = "vpn_attachment";

/// A connection whose selectors are those of its settings: no other can be read so.
pub(crate) struct Checked;

impl FromRow for Checked {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        let (connection, selectors): (Connection, String) = cells.next()?;
        if selectors == connection.settings.selectors() {
            return Ok(Self);
        }
        let what = format!("the database is damaged: the selectors of {} are not its own", connection.id);
        Err(DatabaseError::unreadable(what))
    }
}

/// Selects each connection for [`Checked`], after its id.
pub(crate) const CHECKED: &str =
    sql!("SELECT id, ", Connection::COLUMNS, ", selectors FROM vpn_connection ORDER BY seq");

/// Gives connections of earlier schemas their selectors; what cannot be read is left to be found.
pub(crate) fn bring_up(session: Session<'_>) -> Done {
    let mut found = Vec::new();
    let mut statement = session.prepare("SELECT seq, settings FROM vpn_connection")?;
    let mut rows = statement.query(&[])?;
    while let Some(row) = rows.next()? {
        if let Ok((seq, settings)) = row.read::<(i64, Settings)>() {
            found.push((seq, settings.selectors()));
        }
    }
    let mut put = session.prepare("UPDATE vpn_connection SET selectors = ?2 WHERE seq = ?1")?;
    found.iter().try_for_each(|(seq, selectors)| put.execute(&binds![seq, selectors]).map(drop))
}

/// The settings as they are stored.
fn document(settings: &Settings) -> Result<String, StoreError> {
    serde_json::to_string(settings).map_err(|error| StoreError::Damaged(format!("settings: {error}")))
}

impl Tx<'_> {
    /// Stores a new connection with its keys, sealed, and the addresses of its tunnels if they have their own.
    ///
    /// # Errors
    /// A database error, also if a customer gateway is not there or an address is taken.
    pub fn insert_connection(&self, connection: &Connection, sealed: &[u8], addresses: &[String]) -> Done {
        let settings = document(&connection.settings)?;
        insert(self.session, connection, &settings, sealed)?;
        for (at, tunnel) in connection.settings.tunnels.iter().enumerate() {
            insert!(self.session, "vpn_tunnel" {
                id: tunnel.id,
                connection: connection.id,
                number: at as u64 + 1,
                customer_gateway: tunnel.customer_gateway,
                ip: addresses.get(at),
                observed: Negotiation::IkeNotEstablished,
                observed_ms: connection.created_ms,
            })?;
        }
        self.count_connection(connection, 1)
    }

    /// Stores what is wanted of a connection, and keeps what is in force until it is applied.
    ///
    /// # Errors
    /// A database error, also if a customer gateway is not there.
    pub fn change_connection(&self, connection: &Connection, sealed: &[u8]) -> Done {
        let settings = document(&connection.settings)?;
        self.execute(
            "UPDATE vpn_connection SET before = settings, sealed_before = sealed_keys, settings = ?2, \
             sealed_keys = ?3, state = ?4, selectors = ?5 WHERE id = ?1",
            &binds![connection.id, settings, sealed, ChildState::Updating, connection.settings.selectors()],
        )?;
        for tunnel in &connection.settings.tunnels {
            self.execute(
                "UPDATE vpn_tunnel SET before = nullif(customer_gateway, ?2), customer_gateway = ?2 WHERE id = ?1",
                &binds![tunnel.id, tunnel.customer_gateway],
            )?;
        }
        Ok(())
    }

    /// Stores what is in force of a connection without a gateway.
    ///
    /// # Errors
    /// A database error, also if a customer gateway is not there.
    pub fn replace_attachment(&self, connection: &Connection, sealed: &[u8]) -> Done {
        let settings = document(&connection.settings)?;
        update!(self.session, "vpn_connection" {
            settings: settings,
            selectors: connection.settings.selectors(),
            sealed_keys: sealed,
            network_type: connection.network_type,
        } where { id: connection.id })?;
        for tunnel in &connection.settings.tunnels {
            update!(self.session, "vpn_tunnel" { customer_gateway: tunnel.customer_gateway } where { id: tunnel.id })?;
        }
        Ok(())
    }

    /// Stores a connection's name.
    ///
    /// # Errors
    /// A database error.
    pub fn rename_connection(&self, id: &ConnectionId, name: &str) -> Done {
        update!(self.session, "vpn_connection" { name: name } where { id: id })?;
        Ok(())
    }

    /// Moves a connection to a resource group.
    ///
    /// # Errors
    /// A database error.
    pub fn move_connection(&self, id: &ConnectionId, group: &str) -> Done {
        update!(self.session, "vpn_connection" { resource_group: group } where { id: id })?;
        Ok(())
    }

    /// Stores how far a connection has come.
    ///
    /// # Errors
    /// A database error.
    pub fn set_connection_state(&self, id: &ConnectionId, state: ChildState) -> Done {
        update!(self.session, "vpn_connection" { state: state } where { id: id })?;
        Ok(())
    }

    /// The change of a connection is in force: what was before is forgotten.
    ///
    /// # Errors
    /// A database error.
    pub fn connection_changed(&self, id: &ConnectionId) -> Done {
        self.execute(
            "UPDATE vpn_connection SET before = NULL, sealed_before = NULL, state = ?2 WHERE id = ?1",
            &binds![id, ChildState::Active],
        )?;
        self.execute("UPDATE vpn_tunnel SET before = NULL WHERE connection = ?1", &binds![id])
    }

    /// The change of a connection is given up: what was before is wanted again.
    ///
    /// # Errors
    /// A database error.
    pub fn restore_connection(&self, id: &ConnectionId) -> Done {
        let wanted = "SELECT coalesce(before, settings) FROM vpn_connection WHERE id = ?1";
        let wanted: Option<Settings> = self.session.one(wanted, &binds![id])?;
        self.execute(
            "UPDATE vpn_connection SET settings = coalesce(before, settings), selectors = ?3, \
             sealed_keys = coalesce(sealed_before, sealed_keys), before = NULL, sealed_before = NULL, state = ?2 \
             WHERE id = ?1",
            &binds![id, ChildState::Active, wanted.map(|settings| settings.selectors()).unwrap_or_default()],
        )?;
        self.execute(
            "UPDATE vpn_tunnel SET customer_gateway = coalesce(before, customer_gateway), before = NULL \
             WHERE connection = ?1",
            &binds![id],
        )
    }

    /// Writes down what is seen of a tunnel, if it is something else than before.
    ///
    /// # Errors
    /// A database error.
    pub fn observe_tunnel(&self, id: &TunnelId, observed: Negotiation, now_ms: i64) -> Done {
        let keep = "INSERT INTO vpn_observation (tunnel, observed, at_ms) \
                    SELECT id, observed, observed_ms FROM vpn_tunnel WHERE id = ?1 AND observed <> ?2";
        if self.session.execute(keep, &binds![id, observed])? == 0 {
            return Ok(());
        }
        update!(self.session, "vpn_tunnel" { observed: observed, observed_ms: now_ms } where { id: id })?;
        self.execute(
            "DELETE FROM vpn_observation WHERE tunnel = ?1 AND seq NOT IN \
             (SELECT seq FROM vpn_observation WHERE tunnel = ?1 ORDER BY seq DESC LIMIT ?2)",
            &binds![id, OBSERVATIONS],
        )
    }

    /// Writes down that one and the same is seen of every tunnel of a gateway.
    ///
    /// # Errors
    /// A database error.
    pub fn observe_tunnels_of(&self, gateway: &VpnGatewayId, observed: Negotiation, now_ms: i64) -> Done {
        let sql = "SELECT t.id FROM vpn_connection c JOIN vpn_tunnel t ON t.connection = c.id \
                   WHERE c.gateway = ?1 AND t.observed <> ?2 ORDER BY c.seq, t.number";
        let news: Vec<TunnelId> = self.session.all(sql, &binds![gateway, observed])?;
        news.iter().try_for_each(|tunnel| self.observe_tunnel(tunnel, observed, now_ms))
    }

    /// Removes a connection of a gateway with its tunnels and tags.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_connection(&self, gateway: &VpnGateway, id: &ConnectionId) -> Done {
        self.remove_connection(id)?;
        self.count(Connection::NAME, &gateway.account, gateway.region.as_str(), -1)
    }

    /// Removes a connection without a gateway with its tunnels and tags.
    ///
    /// # Errors
    /// A database error.
    pub fn delete_attachment(&self, attachment: &Connection) -> Done {
        self.remove_connection(&attachment.id)?;
        self.count_connection(attachment, -1)
    }

    fn remove_connection(&self, id: &ConnectionId) -> Done {
        self.execute(
            "DELETE FROM vpn_observation WHERE tunnel IN (SELECT id FROM vpn_tunnel WHERE connection = ?1)",
            &binds![id],
        )?;
        self.execute("DELETE FROM vpn_tunnel WHERE connection = ?1", &binds![id])?;
        self.forget(id.as_str())?;
        self.execute("DELETE FROM vpn_connection WHERE id = ?1", &binds![id])
    }

    fn count_connection(&self, connection: &Connection, by: i64) -> Done {
        let (account, region) = (&connection.account, connection.region.as_str());
        if connection.gateway.is_none() {
            self.count(ATTACHMENT, account, region, by)?;
        }
        self.count(Connection::NAME, account, region, by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::search::plan;

    /// However many connections an account has, a list of a few of them reads no others, and none is sorted but one
    /// that is looked for by where it leads.
    #[test]
    fn lists_of_connections_go_by_the_index_of_what_they_are_of() {
        let account = AccountId::new("1234567890123456");
        let text = Some("a".to_owned());
        let none = ConnectionFilter::default;
        let attachments = ConnectionFilter { attachments: true, ..none() };
        for (filter, indexes, sorts) in [
            (none(), &["vpn_connection_page"][..], false),
            (ConnectionFilter { resource_group: text.clone(), ..none() }, &["vpn_connection_page"], false),
            (ConnectionFilter { gateway: text.clone(), ..none() }, &["vpn_connection_gateway"], false),
            (attachments.clone(), &["vpn_connection_attachment"], false),
            (ConnectionFilter { id: text.clone(), ..none() }, &["sqlite_autoindex_vpn_connection_1"], false),
            (
                ConnectionFilter { id: text.clone(), ..attachments },
                &["sqlite_autoindex_vpn_connection_1"],
                false,
            ),
            (
                ConnectionFilter { customer_gateway: text.clone(), ..none() },
                &["sqlite_autoindex_vpn_connection_1", "vpn_tunnel_customer"],
                true,
            ),
            (
                ConnectionFilter { customer_gateway: text.clone(), gateway: text, ..none() },
                &["vpn_connection_gateway", "vpn_tunnel_customer"],
                false,
            ),
        ] {
            let search = filter.search(&account, "cn-hangzhou");
            let page = search.statement((KeyedConnection::COLUMNS, Connection::NAME), 0, 50);
            assert_eq!(plan(&page), (indexes.iter().map(ToString::to_string).collect(), sorts), "{page}");
            let count = format!("SELECT count(*) FROM vpn_connection WHERE {}", search.clause());
            assert_eq!(plan(&count).0, indexes, "{count}");
        }
    }

    /// However many connections a gateway has, what is half-way is found without looking at the others.
    #[test]
    fn what_is_half_way_is_looked_for_by_itself() {
        let indexes = ["vpn_connection_under_way", "INTEGER PRIMARY KEY", "vpn_connection_gateway"];
        assert_eq!(plan(UNDER_WAY), (indexes.map(str::to_owned).to_vec(), false));
    }

    /// A total is read from a tally if nothing but account and region restricts a list; attachments have their own.
    #[test]
    fn what_is_not_narrowed_is_not_counted() {
        let account = AccountId::new("1234567890123456");
        let attachments = ConnectionFilter { attachments: true, ..ConnectionFilter::default() };
        for (filter, tally) in
            [(ConnectionFilter::default(), "vpn_connection"), (attachments, "vpn_attachment")]
        {
            assert!(!filter.search(&account, "cn-hangzhou").narrowed && filter.tally() == tally);
        }
    }
}
