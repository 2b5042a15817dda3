//! Connections on gateways and routes over them: what is answered while things change in any order, what is seen of
//! the far ends, what is taken back, where keys are, and what a check finds.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{REGION, Rig, archive, is_shared, issue};
use serde_json::Value;
use tongguan_dataplane::{Applying, Attempt, DataPlane, Detached, GatewayState, Peers, Progress};
use tongguan_model::connection::Negotiation;
use tongguan_model::limits::Quotas;
use tongguan_service::accounts::Order;
use tongguan_service::check;
use tongguan_service::vault::Vault;
use tongguan_store::{DATABASE_FILE, FaultOutcome};

const AT: (&str, &str) = ("RegionId", REGION);
const ROLES: [&str; 2] = ["Encryption", "Signature"];
const UP: &str = "ipsec_sa_established";
const DOWN: &str = "ike_sa_not_established";

/// A data plane that refuses the next change of a gateway when it is told to, and whose peers answer.
#[derive(Debug)]
struct Moody {
    peers: Detached,
    refuses: Mutex<HashSet<String>>,
}

impl Moody {
    fn new() -> Self {
        let peers = Detached::new("0".parse().unwrap()).with_peers(Peers::Answer);
        Self { peers, refuses: Mutex::default() }
    }

    fn refuse(&self, resource: &str) {
        self.refuses.lock().unwrap().insert(resource.to_owned());
    }
}

impl DataPlane for Moody {
    fn apply(&self, attempt: &Attempt<'_>) -> Applying {
        if self.refuses.lock().unwrap().remove(attempt.desired.resource()) {
            return Progress::Refused("no".into()).into();
        }
        Progress::Applied.into()
    }

    fn observe(&self, state: &GatewayState<'_>) -> Option<Negotiation> {
        self.peers.observe(state)
    }

    fn applied(&self, _: &str) -> Option<Value> {
        None
    }
}

async fn customer(rig: &Rig, number: usize) -> String {
    let ip = format!("101.12.0.{}", number + 1);
    let made = rig.call("CreateCustomerGateway", &[AT, ("IpAddress", &ip), ("Asn", "65530")]).await.ok();
    made["CustomerGatewayId"].as_str().unwrap().to_owned()
}

/// The CA of some peer, PEM.
async fn authority(rig: &Rig) -> String {
    let pending = rig.pending_certificate("EC_SM2").await;
    issue("EC_SM2".parse().unwrap(), &rig.csr(&pending).await).1
}

fn local(selector: usize) -> String {
    format!("10.0.{selector}.0/24")
}

/// Creates a connection with this selector; `ca` is for SM gateways.
async fn connect(
    rig: &Rig,
    gateway: &str,
    customer: &str,
    selector: usize,
    ca: Option<&str>,
) -> common::Reply {
    let local = local(selector);
    let mut parameters = vec![
        AT,
        ("VpnGatewayId", gateway),
        ("CustomerGatewayId", customer),
        ("LocalSubnet", &*local),
        ("RemoteSubnet", "192.168.0.0/16"),
    ];
    parameters.extend(ca.map(|ca| ("RemoteCaCertificate", ca)));
    rig.call("CreateVpnConnection", &parameters).await
}

async fn shown(rig: &Rig, connection: &str) -> common::Reply {
    rig.call("DescribeVpnConnection", &[AT, ("VpnConnectionId", connection)]).await
}

async fn status(rig: &Rig, connection: &str) -> String {
    shown(rig, connection).await.ok()["Status"].as_str().unwrap().to_owned()
}

/// What breaks any rule of `tongguan check`.
fn broken(directory: &Path) -> Vec<String> {
    let vault = Vault::new(&[9; 32]).unwrap();
    let verdicts = check::everything(&archive(directory), Some(&vault)).unwrap();
    // Nothing seals the audit record of a rig.
    let findings = verdicts.into_iter().filter(|verdict| !verdict.rule.contains("audit"));
    findings
        .flat_map(|verdict| verdict.findings)
        .map(|finding| format!("{}: {}", finding.rule, finding.what))
        .collect()
}

// == Random histories ==

/// What is under way on a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Bind(usize, usize),
    Unbind(usize),
    Connect(usize),
    Modify(usize, usize),
    Disconnect(usize),
    Add(usize),
    Weigh(usize),
    Publish(Vec<usize>),
    Remove(usize),
    Delete,
}

#[derive(Debug, Default)]
struct Gateway {
    id: String,
    /// Route table of its VPC.
    table: String,
    sm: bool,
    gone: bool,
    change: Option<Change>,
    /// Certificates in force, by role.
    bound: BTreeMap<usize, usize>,
}

#[derive(Debug)]
struct Link {
    id: String,
    gateway: usize,
    customer: usize,
    selector: usize,
    /// What is seen of it.
    up: bool,
}

/// A route over a link, as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    link: usize,
    policy: bool,
    destination: usize,
    weight: usize,
    published: bool,
}

impl Way {
    fn block(&self) -> String {
        format!("192.168.{}.0/24", self.destination)
    }
}

/// The reference: what there is, and one change under way at most on each gateway.
#[derive(Debug, Default)]
struct Model {
    gateways: Vec<Gateway>,
    customers: Vec<Option<String>>,
    links: BTreeMap<usize, Link>,
    made: usize,
    ways: BTreeMap<usize, Way>,
    routed: usize,
}

const MOST_LINKS: usize = 2;
/// In each table of a gateway.
const MOST_WAYS: usize = 2;
const SOURCE: (&str, &str) = ("RouteSource", "10.0.0.0/8");
const CONFIGURING: &str = "VpnGateway.Configuring";
const NO_GATEWAY: &str = "InvalidVpnGatewayInstanceId.NotFound";
const NO_CUSTOMER: &str = "InvalidCustomerGatewayInstanceId.NotFound";

impl Model {
    /// Why a gateway takes no change now.
    fn busy(&self, gateway: usize) -> Option<&'static str> {
        let gateway = &self.gateways[gateway];
        if gateway.gone {
            return Some(NO_GATEWAY);
        }
        gateway.change.is_some().then_some(CONFIGURING)
    }

    fn able(&self, gateway: usize) -> bool {
        let gateway = &self.gateways[gateway];
        !gateway.sm || gateway.bound.len() == 2
    }

    fn on(&self, gateway: usize) -> impl Iterator<Item = (&usize, &Link)> {
        self.links.iter().filter(move |(_, link)| link.gateway == gateway)
    }

    fn collides(&self, gateway: usize, customer: usize, selector: usize, but: Option<usize>) -> bool {
        self.on(gateway)
            .any(|(at, link)| Some(*at) != but && link.customer == customer && link.selector == selector)
    }

    fn connect(&self, gateway: usize, customer: usize, selector: usize) -> &'static str {
        if let Some(busy) = self.busy(gateway) {
            return busy;
        }
        if !self.able(gateway) {
            return "OperationDenied.CertificateNotBound";
        }
        if self.on(gateway).count() >= MOST_LINKS {
            return "Resource.QuotaFull";
        }
        if self.customers[customer].is_none() {
            return NO_CUSTOMER;
        }
        if self.collides(gateway, customer, selector, None) {
            "InvalidVpnConnection.AlreadyExists"
        } else {
            "OK"
        }
    }

    fn disconnect(&self, link: usize) -> &'static str {
        match self.busy(self.links[&link].gateway) {
            Some(busy) => busy,
            None if self.ways.values().any(|way| way.link == link) => "DependencyViolation.VpnRouteEntry",
            None => "OK",
        }
    }

    /// Routes of one table of the gateway that this route is or would be of.
    fn beside(&self, way: &Way) -> impl Iterator<Item = (&usize, &Way)> {
        let (gateway, policy) = (self.links[&way.link].gateway, way.policy);
        self.ways
            .iter()
            .filter(move |(_, other)| self.links[&other.link].gateway == gateway && other.policy == policy)
    }

    fn conflicts(&self, way: &Way) -> bool {
        self.beside(way).any(|(_, other)| {
            other.link != way.link && other.destination == way.destination && other.weight == way.weight
        })
    }

    fn add(&self, way: &Way) -> &'static str {
        if let Some(busy) = self.busy(self.links[&way.link].gateway) {
            return busy;
        }
        if self.beside(way).count() >= MOST_WAYS {
            return "Resource.QuotaFull";
        }
        let same = |other: &Way| other.link == way.link && other.destination == way.destination;
        if self.beside(way).any(|(_, other)| same(other)) {
            return "InvalidRouteEntry.AlreadyExists";
        }
        if self.conflicts(way) { "InvalidRouteEntry.Conflict" } else { "OK" }
    }

    /// What publishing a route, or withdrawing it, changes.
    fn published_with(&self, number: usize, published: bool) -> Vec<usize> {
        let way = &self.ways[&number];
        let other_table = Way { policy: !way.policy, ..way.clone() };
        let others = self.beside(&other_table).filter(|(_, other)| other.destination == way.destination);
        let all = std::iter::once((&number, way)).chain(others.filter(|_| !published));
        all.filter(|(_, way)| way.published != published).map(|(number, _)| *number).collect()
    }

    /// The status of what the table of a gateway's VPC leads to the gateway.
    fn table(&self, gateway: usize) -> BTreeMap<String, &'static str> {
        let change = &self.gateways[gateway].change;
        let mut table: BTreeMap<String, (bool, bool)> = BTreeMap::new();
        for (number, way) in self.ways.iter().filter(|(_, way)| self.links[&way.link].gateway == gateway) {
            let (now, next) = match change {
                Some(Change::Add(changed)) if changed == number => (false, way.published),
                Some(Change::Remove(changed)) if changed == number => (way.published, false),
                Some(Change::Publish(changed)) if changed.contains(number) => (!way.published, way.published),
                Some(_) | None => (way.published, way.published),
            };
            let entry = table.entry(way.block()).or_default();
            *entry = (entry.0 || now, entry.1 || next);
        }
        let status = |(now, next)| match (now, next) {
            (true, true) => Some("Available"),
            (false, true) => Some("Pending"),
            (true, false) => Some("Deleting"),
            (false, false) => None,
        };
        table.into_iter().filter_map(|(block, both)| Some((block, status(both)?))).collect()
    }

    fn delete_customer(&self, customer: usize) -> &'static str {
        if self.customers[customer].is_none() {
            return NO_CUSTOMER;
        }
        let mut users = self.links.iter().filter(|(_, link)| link.customer == customer).peekable();
        if users.peek().is_none() {
            return "OK";
        }
        let leaving =
            |(at, link): (&usize, &Link)| self.gateways[link.gateway].change == Some(Change::Disconnect(*at));
        if users.all(leaving) { CONFIGURING } else { "DependencyViolation.VpnConnection" }
    }

    fn delete_gateway(&self, gateway: usize) -> &'static str {
        match self.busy(gateway) {
            Some(busy) => busy,
            None if self.on(gateway).next().is_some() => "DependencyViolation",
            None => "OK",
        }
    }

    fn bind(&self, gateway: usize, role: usize, certificate: usize) -> &'static str {
        if let Some(busy) = self.busy(gateway) {
            return busy;
        }
        let Gateway { sm, bound, .. } = &self.gateways[gateway];
        match bound.get(&role) {
            _ if !sm => "OperationUnsupported.Certificate",
            Some(held) if *held == certificate => "OK",
            _ if bound.values().any(|held| *held == certificate) => "OperationDenied.CertificateDuplicated",
            Some(_) => "OperationDenied.CertificateTypeOccupied",
            None => "OK",
        }
    }

    /// The change under way on a gateway comes into force, or is taken back.
    fn settle(&mut self, at: usize, refused: bool) {
        let Some(change) = self.gateways[at].change.take() else { return };
        match (change, refused) {
            (Change::Bind(role, certificate), false) => {
                self.gateways[at].bound.insert(role, certificate);
            }
            (Change::Unbind(role), false) => {
                self.gateways[at].bound.remove(&role);
            }
            (Change::Disconnect(link), false) | (Change::Connect(link), true) => {
                self.links.remove(&link);
            }
            (Change::Remove(way), false) | (Change::Add(way), true) => {
                self.ways.remove(&way);
            }
            (Change::Weigh(way), true) => {
                let way = self.ways.get_mut(&way).unwrap();
                way.weight = 100 - way.weight;
            }
            (Change::Publish(ways), true) => {
                for way in ways {
                    let way = self.ways.get_mut(&way).unwrap();
                    way.published = !way.published;
                }
            }
            (Change::Modify(link, before), true) => self.links.get_mut(&link).unwrap().selector = before,
            (Change::Delete, false) => self.gateways[at].gone = true,
            (
                Change::Connect(_)
                | Change::Modify(..)
                | Change::Add(_)
                | Change::Weigh(_)
                | Change::Publish(_),
                false,
            ) => {}
            (
                Change::Bind(..)
                | Change::Unbind(_)
                | Change::Disconnect(_)
                | Change::Remove(_)
                | Change::Delete,
                true,
            ) => {}
        }
        let able = self.able(at);
        self.links.values_mut().filter(|link| link.gateway == at).for_each(|link| link.up = able);
    }
}

/// A history under way: the service, the model, and what both are made of.
struct History {
    rig: Rig,
    driver: Arc<Moody>,
    model: Model,
    certificates: Vec<String>,
    ca: String,
    random: u64,
}

impl History {
    async fn new(seed: u64) -> Self {
        let driver = Arc::new(Moody::new());
        let rig = Rig::driven(Arc::clone(&driver) as Arc<dyn DataPlane>, quotas());
        let mut model = Model::default();
        for sm in [true, false, false] {
            let id = rig.gateway(if sm { "NationalStandard" } else { "Normal" }).await;
            let table = table_of(&rig, &id).await;
            model.gateways.push(Gateway { id, table, sm, ..Gateway::default() });
        }
        for number in 0..3 {
            model.customers.push(Some(customer(&rig, number).await));
        }
        let certificates = vec![rig.certificate("EC_SM2").await, rig.certificate("EC_SM2").await];
        let ca = authority(&rig).await;
        Self { rig, driver, model, certificates, ca, random: seed }
    }

    /// A number below `limit` (xorshift, so that a seed gives the same history everywhere).
    fn draw(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % limit as u64).unwrap()
    }

    async fn step(&mut self) {
        let (at, customer, selector) = (self.draw(3), self.draw(3), self.draw(3));
        match self.draw(90) {
            0..=9 => self.connect(at, customer, selector).await,
            10..=12 => self.modify(selector).await,
            13..=17 => self.disconnect().await,
            18..=22 => self.bind(at).await,
            23 => self.unbind(at).await,
            24..=25 => self.customer(customer).await,
            26 => self.delete_gateway(at).await,
            27 => {
                let Self { rig, driver, .. } = self;
                let kept = std::mem::replace(rig, Rig::new("0"));
                *rig = kept.restart_driven(Arc::clone(driver) as Arc<dyn DataPlane>, quotas());
            }
            28..=40 => self.add(selector).await,
            41..=43 => self.weigh().await,
            44..=48 => self.publish().await,
            49..=55 => self.remove().await,
            _ => self.settle(at).await,
        }
    }

    async fn connect(&mut self, at: usize, customer: usize, selector: usize) {
        let expected = self.model.connect(at, customer, selector);
        let gateway = &self.model.gateways[at];
        let to = self.model.customers[customer].clone().unwrap_or_else(|| "cgw-bp1gone".into());
        let ca = gateway.sm.then_some(&*self.ca);
        let reply = connect(&self.rig, &gateway.id, &to, selector, ca).await;
        assert_eq!(reply.code(), expected);
        if expected == "OK" {
            let id = reply.body["VpnConnectionId"].as_str().unwrap().to_owned();
            let number = self.model.made;
            self.model.made += 1;
            self.model.links.insert(number, Link { id, gateway: at, customer, selector, up: false });
            self.model.gateways[at].change = Some(Change::Connect(number));
        }
    }

    /// Some connection that there is.
    fn some_link(&mut self) -> Option<usize> {
        let links: Vec<usize> = self.model.links.keys().copied().collect();
        (!links.is_empty()).then(|| links[self.draw(links.len())])
    }

    async fn modify(&mut self, selector: usize) {
        let Some(number) = self.some_link() else { return };
        let Link { id, gateway, customer, selector: before, .. } = &self.model.links[&number];
        let (gateway, before) = (*gateway, *before);
        let expected = match self.model.busy(gateway) {
            Some(busy) => busy,
            None if self.model.collides(gateway, *customer, selector, Some(number)) => {
                "InvalidVpnConnection.AlreadyExists"
            }
            None => "OK",
        };
        let local = local(selector);
        let parameters = [AT, ("VpnConnectionId", id), ("LocalSubnet", &local)];
        assert_eq!(self.rig.call("ModifyVpnConnectionAttribute", &parameters).await.code(), expected);
        if expected == "OK" && before != selector {
            self.model.links.get_mut(&number).unwrap().selector = selector;
            self.model.gateways[gateway].change = Some(Change::Modify(number, before));
        }
    }

    async fn disconnect(&mut self) {
        let Some(number) = self.some_link() else { return };
        let Link { id, gateway, .. } = &self.model.links[&number];
        let expected = self.model.disconnect(number);
        let reply = self.rig.call("DeleteVpnConnection", &[AT, ("VpnConnectionId", id)]).await;
        assert_eq!(reply.code(), expected);
        if expected == "OK" {
            let gateway = *gateway;
            self.model.gateways[gateway].change = Some(Change::Disconnect(number));
        }
    }

    /// What names a route over some link, with its weight and these parameters besides.
    async fn route(&self, action: &str, way: &Way, more: &[(&str, &str)]) -> common::Reply {
        let Link { id, gateway, .. } = &self.model.links[&way.link];
        let (block, weight) = (way.block(), way.weight.to_string());
        let gateway = &*self.model.gateways[*gateway].id;
        let mut parameters = vec![
            AT,
            ("VpnGatewayId", gateway),
            ("RouteDest", &*block),
            ("NextHop", id),
            ("Weight", &*weight),
        ];
        parameters.extend(way.policy.then_some(SOURCE));
        parameters.extend(more);
        let action = if way.policy { action.replace("VpnRoute", "VpnPbrRoute") } else { action.to_owned() };
        self.rig.call(&action, &parameters).await
    }

    /// Some route that there is.
    fn some_way(&mut self) -> Option<(usize, Way)> {
        let ways: Vec<usize> = self.model.ways.keys().copied().collect();
        let number = (!ways.is_empty()).then(|| ways[self.draw(ways.len())])?;
        Some((number, self.model.ways[&number].clone()))
    }

    /// A change of a route was accepted.
    fn begun(&mut self, way: &Way, change: Change) {
        let gateway = self.model.links[&way.link].gateway;
        self.model.gateways[gateway].change = Some(change);
    }

    async fn add(&mut self, destination: usize) {
        let Some(link) = self.some_link() else { return };
        let [policy, published, active] = [self.draw(2) == 0, self.draw(2) == 0, self.draw(2) == 0];
        let way = Way { link, policy, destination, weight: if active { 100 } else { 0 }, published };
        let expected = self.model.add(&way);
        let told = if published { "true" } else { "false" };
        let reply = self.route("CreateVpnRouteEntry", &way, &[("PublishVpc", told)]).await;
        assert_eq!(reply.code(), expected, "{way:?}");
        if expected == "OK" {
            let number = self.model.routed;
            self.model.routed += 1;
            self.begun(&way, Change::Add(number));
            self.model.ways.insert(number, way);
        }
    }

    async fn weigh(&mut self) {
        let Some((number, way)) = self.some_way() else { return };
        let new = [0, 100][self.draw(2)];
        let changed = Way { weight: new, ..way.clone() };
        let expected = match self.model.busy(self.model.links[&way.link].gateway) {
            Some(busy) => busy,
            None if new != way.weight && self.model.conflicts(&changed) => "InvalidRouteEntry.Conflict",
            None => "OK",
        };
        let reply = self.route("ModifyVpnRouteEntryWeight", &way, &[("NewWeight", &new.to_string())]).await;
        assert_eq!(reply.code(), expected, "{way:?}");
        if expected == "OK" && new != way.weight {
            self.begun(&way, Change::Weigh(number));
            self.model.ways.insert(number, changed);
        }
    }

    async fn publish(&mut self) {
        let Some((number, way)) = self.some_way() else { return };
        let published = self.draw(2) == 0;
        let Link { id, gateway, .. } = &self.model.links[&way.link];
        let expected = self.model.busy(*gateway).unwrap_or("OK");
        let block = way.block();
        let parameters = [
            AT,
            ("VpnGatewayId", &*self.model.gateways[*gateway].id),
            ("RouteType", if way.policy { "pbr" } else { "dbr" }),
            ("RouteDest", &block),
            ("NextHop", id),
            ("PublishVpc", if published { "true" } else { "false" }),
        ];
        let reply = self.rig.call("PublishVpnRouteEntry", &parameters).await;
        assert_eq!(reply.code(), expected, "{way:?}");
        if expected == "OK" && way.published != published {
            let changed = self.model.published_with(number, published);
            for number in &changed {
                self.model.ways.get_mut(number).unwrap().published = published;
            }
            self.begun(&way, Change::Publish(changed));
        }
    }

    async fn remove(&mut self) {
        let Some((number, way)) = self.some_way() else { return };
        let expected = self.model.busy(self.model.links[&way.link].gateway).unwrap_or("OK");
        let reply = self.route("DeleteVpnRouteEntry", &way, &[]).await;
        assert_eq!(reply.code(), expected, "{way:?}");
        if expected == "OK" {
            self.begun(&way, Change::Remove(number));
        }
    }

    async fn bind(&mut self, at: usize) {
        let (role, certificate) = (self.draw(2), self.draw(2));
        let expected = self.model.bind(at, role, certificate);
        let Gateway { id, bound, .. } = &self.model.gateways[at];
        let again = bound.get(&role) == Some(&certificate);
        let reply = self.rig.bind(id, &self.certificates[certificate], ROLES[role]).await;
        assert_eq!(reply.code(), expected);
        if expected == "OK" && !again {
            self.model.gateways[at].change = Some(Change::Bind(role, certificate));
        }
    }

    async fn unbind(&mut self, at: usize) {
        let role = self.draw(2);
        let Gateway { id, bound, .. } = &self.model.gateways[at];
        let Some(certificate) = bound.get(&role) else { return };
        let expected = self.model.busy(at).unwrap_or("OK");
        let reply = self.rig.unbind(id, &self.certificates[*certificate], ROLES[role]).await;
        assert_eq!(reply.code(), expected);
        if expected == "OK" {
            self.model.gateways[at].change = Some(Change::Unbind(role));
        }
    }

    /// Deletes a customer gateway, or makes one again.
    async fn customer(&mut self, number: usize) {
        let expected = self.model.delete_customer(number);
        let Some(id) = self.model.customers[number].clone() else {
            self.model.customers[number] = Some(customer(&self.rig, number).await);
            return;
        };
        let reply = self.rig.call("DeleteCustomerGateway", &[AT, ("CustomerGatewayId", &id)]).await;
        assert_eq!(reply.code(), expected);
        if expected == "OK" {
            self.model.customers[number] = None;
        }
    }

    async fn delete_gateway(&mut self, at: usize) {
        let expected = self.model.delete_gateway(at);
        let id = [AT, ("VpnGatewayId", &*self.model.gateways[at].id)];
        assert_eq!(self.rig.call("DeleteVpnGateway", &id).await.code(), expected);
        if expected == "OK" {
            self.model.gateways[at].change = Some(Change::Delete);
        }
    }

    /// Lets the change under way on a gateway come into force, or refuses it for good. One that is gone is made again.
    async fn settle(&mut self, at: usize) {
        let refused = self.draw(3) == 0 && self.model.gateways[at].change.is_some();
        let id = self.model.gateways[at].id.clone();
        if refused {
            self.driver.refuse(&id);
        }
        // The second one brings back what was there before.
        for _ in 0..2 {
            self.rig.service.engine().step(&id).await.unwrap();
        }
        self.model.settle(at, refused);
        while let Some(gone) = self.model.gateways.iter().position(|gateway| gateway.gone) {
            let sm = self.model.gateways[gone].sm;
            // Until it is there, all else comes to rest.
            (0..self.model.gateways.len()).for_each(|other| self.model.settle(other, false));
            let id = self.rig.gateway(if sm { "NationalStandard" } else { "Normal" }).await;
            let table = table_of(&self.rig, &id).await;
            self.model.gateways[gone] = Gateway { id, table, sm, ..Gateway::default() };
        }
    }

    /// What is shown now; routes are compared of one gateway in each step.
    async fn compare(&self, step: usize) {
        for (number, gateway) in self.model.gateways.iter().enumerate() {
            let status = match gateway.change {
                None => "active",
                Some(Change::Delete) => "deleting",
                Some(_) => "updating",
            };
            assert_eq!(self.rig.status(&gateway.id).await, status);
            let list = [AT, ("VpnGatewayId", &*gateway.id)];
            let list = self.rig.call("DescribeVpnConnections", &list).await.ok();
            assert_eq!(list["TotalCount"], self.model.on(number).count());
            if step % self.model.gateways.len() == number {
                self.compare_routes(number).await;
            }
        }
        for (number, link) in &self.model.links {
            let state = match &self.model.gateways[link.gateway].change {
                Some(Change::Connect(changed)) if changed == number => "provisioning",
                Some(Change::Modify(changed, _)) if changed == number => "updating",
                Some(Change::Disconnect(changed)) if changed == number => "deleted",
                Some(_) | None => "active",
            };
            let shown = shown(&self.rig, &link.id).await.ok();
            let seen = [&shown["State"], &shown["Status"], &shown["LocalSubnet"]];
            let (up, local) = (if link.up { UP } else { DOWN }, local(link.selector));
            assert_eq!(seen.map(|value| value.as_str().unwrap()), [state, up, &*local], "{}", link.id);
        }
    }
}

impl History {
    /// Both tables of a gateway, and what the table of its VPC has of them.
    async fn compare_routes(&self, number: usize) {
        let Gateway { id, table, .. } = &self.model.gateways[number];
        for (policy, action, entries, entry) in [
            (false, "DescribeVpnRouteEntries", "VpnRouteEntries", "VpnRouteEntry"),
            (true, "DescribeVpnPbrRouteEntries", "VpnPbrRouteEntries", "VpnPbrRouteEntry"),
        ] {
            let list = self.rig.call(action, &[AT, ("VpnGatewayId", id)]).await.ok();
            let shown = list[entries][entry].as_array().unwrap().iter().map(|route| {
                let text = |member: &str| route[member].as_str().unwrap().to_owned();
                let source = route.get("RouteSource").map(|source| source.as_str().unwrap());
                assert_eq!(source, policy.then_some(SOURCE.1));
                (text("NextHop"), text("RouteDest"), route["Weight"].as_u64().unwrap(), text("State"))
            });
            let ways = self.model.ways.values();
            let here = ways
                .filter(|way| way.policy == policy && self.model.links[&way.link].gateway == number)
                .map(|way| {
                    let state = if way.published { "published" } else { "normal" };
                    let next_hop = self.model.links[&way.link].id.clone();
                    (next_hop, way.block(), way.weight as u64, state.to_owned())
                });
            let (shown, here): (BTreeSet<_>, BTreeSet<_>) = (shown.collect(), here.collect());
            assert_eq!(shown, here);
            assert_eq!(list["TotalCount"], here.len());
        }
        let parameters = [AT, ("RouteTableId", table), ("NextHopType", "VpnGateway"), ("MaxResult", "100")];
        let list = self.rig.call("DescribeRouteEntryList", &parameters).await.ok();
        let shown = list["RouteEntrys"]["RouteEntry"].as_array().unwrap().iter().map(|route| {
            assert_eq!(route["NextHops"]["NextHop"][0]["NextHopId"], **id);
            (route["DestinationCidrBlock"].as_str().unwrap(), route["Status"].as_str().unwrap())
        });
        let table = self.model.table(number);
        let wanted: Vec<_> = table.iter().map(|(block, status)| (&**block, *status)).collect();
        assert_eq!(shown.collect::<Vec<_>>(), wanted);
    }
}

/// The route table of a gateway's VPC.
async fn table_of(rig: &Rig, gateway: &str) -> String {
    let shown = rig.call("DescribeVpnGateway", &[AT, ("VpnGatewayId", gateway)]).await.ok();
    let vpc = shown["VpcId"].as_str().unwrap();
    let tables = rig.call("DescribeRouteTableList", &[AT, ("VpcId", vpc)]).await.ok();
    let table = &tables["RouterTableList"]["RouterTableListType"][0]["RouteTableId"];
    table.as_str().unwrap().to_owned()
}

fn quotas() -> Quotas {
    Quotas {
        vpn_connections_per_gateway: MOST_LINKS as u64,
        vpn_routes_per_gateway: MOST_WAYS as u64,
        vpcs_per_region: 10_000,
        ..Quotas::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_agree_with_the_model() {
    const STEPS: usize = 350;
    for seed in [0x7467_7561_6e31, 0x6970_7365_6331, 0x746f_6e67_6731] {
        let mut history = History::new(seed).await;
        for step in 0..STEPS {
            history.step().await;
            history.compare(step).await;
            if step % 50 == 49 {
                assert_eq!(
                    broken(history.rig.directory()),
                    Vec::<String>::new(),
                    "seed {seed:x}, step {step}"
                );
            }
        }
        let (made, routed) = (history.model.made, history.model.routed);
        assert!(made > 4 && routed > 6, "the history is a poor one: {:?}", history.model);
    }
}

/// A gateway that is locked for debt takes no more work on its connections, and can be emptied.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_gateway_can_be_emptied_and_nothing_else() {
    if is_shared() {
        // It writes to the file of the embedded store.
        return;
    }
    let rig = Rig::new("0");
    let (gateway, customer) = (rig.gateway("Normal").await, customer(&rig, 0).await);
    let made = connect(&rig, &gateway, &customer, 0, None).await.ok();
    let connection = made["VpnConnectionId"].as_str().unwrap();
    rig.settle().await;
    let database = rusqlite::Connection::open(rig.directory().join(DATABASE_FILE)).unwrap();
    database.execute("UPDATE vpn_gateway SET business_status = 'FinancialLocked'", []).unwrap();
    drop(database);
    let rig = rig.restart("0");
    assert_eq!(shown(&rig, connection).await.ok()["State"], "financialLocked");
    assert_eq!(connect(&rig, &gateway, &customer, 1, None).await.code(), "VpnGateway.FinancialLocked");
    let route = [
        AT,
        ("VpnGatewayId", &*gateway),
        ("RouteDest", "192.168.0.0/24"),
        ("NextHop", connection),
        ("Weight", "100"),
        ("PublishVpc", "false"),
    ];
    assert_eq!(rig.call("CreateVpnRouteEntry", &route).await.code(), "VpnGateway.FinancialLocked");
    let id = [AT, ("VpnConnectionId", connection)];
    let modify = [id[0], id[1], ("LocalSubnet", "10.9.0.0/24")];
    let refused = rig.call("ModifyVpnConnectionAttribute", &modify).await;
    assert_eq!((refused.status, refused.code()), (400, "VpnGateway.FinancialLocked"));
    rig.call("DeleteVpnConnection", &id).await.ok();
    rig.settle().await;
    assert_eq!(shown(&rig, connection).await.status, 404);
}

// == What is seen ==

/// An SM gateway with both certificates, and a connection on it.
struct Sm {
    rig: Rig,
    gateway: String,
    certificates: [String; 2],
    connection: String,
}

async fn sm(rig: Rig) -> Sm {
    let gateway = rig.gateway("NationalStandard").await;
    let certificates = [rig.certificate("EC_SM2").await, rig.certificate("EC_SM2").await];
    for (certificate, role) in certificates.iter().zip(ROLES) {
        rig.bind(&gateway, certificate, role).await.ok();
        rig.settle().await;
    }
    let (ca, customer) = (authority(&rig).await, customer(&rig, 0).await);
    let made = connect(&rig, &gateway, &customer, 0, Some(&ca)).await.ok();
    let connection = made["VpnConnectionId"].as_str().unwrap().to_owned();
    Sm { rig, gateway, certificates, connection }
}

fn set_state(rig: &Rig, id: &str, state: &str) -> Result<(), String> {
    let order = Order::SetTunnelState { id: id.into(), state: state.into() };
    rig.order(&order).map(drop).map_err(|error| error.to_string())
}

/// A silent peer is seen as it is reported; nothing but the loss of a certificate changes that.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_seen_of_a_silent_peer_is_what_is_reported() {
    let Sm { rig, gateway, certificates, connection } = sm(Rig::new("1s")).await;
    assert!(set_state(&rig, &connection, UP).unwrap_err().contains("not in force"));
    rig.settle().await;
    assert_eq!(status(&rig, &connection).await, DOWN);
    for state in ["ike_sa_established", "ipsec_sa_not_established", UP] {
        set_state(&rig, &connection, state).unwrap();
        assert_eq!(status(&rig, &connection).await, state);
    }
    let modify = [AT, ("VpnConnectionId", &*connection), ("LocalSubnet", "10.9.0.0/24")];
    rig.call("ModifyVpnConnectionAttribute", &modify).await.ok();
    rig.settle().await;
    assert_eq!(status(&rig, &connection).await, UP, "a change is no report");
    rig.unbind(&gateway, &certificates[1], ROLES[1]).await.ok();
    assert_eq!(status(&rig, &connection).await, UP, "the certificate is still in force");
    rig.settle().await;
    let down = shown(&rig, &connection).await.ok();
    assert_eq!((&down["State"], &down["Status"]), (&"active".into(), &DOWN.into()));
    assert!(set_state(&rig, &connection, UP).unwrap_err().contains("both certificates"));
    rig.bind(&gateway, &certificates[1], ROLES[1]).await.ok();
    rig.settle().await;
    assert_eq!(status(&rig, &connection).await, DOWN, "nobody has reported anything");
    let rig = rig.restart("0");
    set_state(&rig, &connection, UP).unwrap();
    let record = rig.recorded(|record| record.action.as_deref() == Some("SetTunnelState")).await;
    assert_eq!(record.resource.as_deref(), Some(&*connection));
    for (id, state, why) in [("vco-bp1none", UP, "no tunnel or connection"), (&*connection, "up", "no state")]
    {
        assert!(set_state(&rig, id, state).unwrap_err().contains(why));
    }
    let logs = [AT, ("VpnConnectionId", &*connection), ("MinutePeriod", "10")];
    let logs = rig.call("DescribeVpnConnectionLogs", &logs).await.ok();
    let logs: Vec<&str> =
        logs["Data"]["Logs"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(logs.len(), 6, "{logs:?}");
    assert!(logs[0].contains(DOWN) && logs[3].contains(UP) && logs[4].contains(DOWN) && logs[5].contains(UP));
    assert_eq!(broken(rig.directory()), Vec::<String>::new());
}

/// Peers that answer do so when the apply delay is over, and are not heard without both certificates.
#[tokio::test(flavor = "multi_thread")]
async fn peers_that_answer_do_so_once_the_tunnel_is_in_force() {
    let Sm { rig, gateway, certificates, connection } = sm(Rig::answered("1s")).await;
    assert_eq!(status(&rig, &connection).await, DOWN);
    rig.settle().await;
    assert_eq!(status(&rig, &connection).await, UP);
    for bound in [false, true] {
        if bound {
            rig.bind(&gateway, &certificates[0], ROLES[0]).await.ok();
        } else {
            rig.unbind(&gateway, &certificates[0], ROLES[0]).await.ok();
        }
        rig.settle().await;
        assert_eq!(status(&rig, &connection).await, if bound { UP } else { DOWN });
    }
}

// == What is taken back ==

/// A connection that is refused for good goes again, or is as it was, and the reason is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_connection_that_cannot_be_applied_is_taken_back() {
    let driver = Arc::new(Moody::new());
    let rig = Rig::driven(Arc::clone(&driver) as Arc<dyn DataPlane>, Quotas::default());
    let (gateway, first, second) =
        (rig.gateway("Normal").await, customer(&rig, 0).await, customer(&rig, 1).await);
    let refuse = async |change: &str| {
        driver.refuse(&gateway);
        rig.settle().await;
        let fault = rig.fault(&gateway).unwrap();
        assert_eq!((&*fault.change, fault.outcome), (change, FaultOutcome::Withdrawn));
        assert_eq!(rig.status(&gateway).await, "active");
        assert_eq!(broken(rig.directory()), Vec::<String>::new());
    };
    let made = connect(&rig, &gateway, &first, 0, None).await.ok();
    refuse("connect").await;
    let gone = shown(&rig, made["VpnConnectionId"].as_str().unwrap()).await;
    assert_eq!(gone.code(), "InvalidVpnConnectionInstanceId.NotFound");

    let tunnel = |number: usize, member: &str| format!("TunnelOptionsSpecification.{number}.{member}");
    let names =
        [tunnel(1, "CustomerGatewayId"), tunnel(2, "CustomerGatewayId"), tunnel(1, "TunnelIkeConfig.Psk")];
    let mut parameters =
        vec![AT, ("VpnGatewayId", &*gateway), ("LocalSubnet", "0.0.0.0/0"), ("RemoteSubnet", "0.0.0.0/0")];
    parameters.extend([(&*names[0], &*first), (&*names[1], &*first), (&*names[2], "the-key-before")]);
    let made = rig.call("CreateVpnConnection", &parameters).await.ok();
    let connection = made["VpnConnectionId"].as_str().unwrap();
    rig.settle().await;
    let before = shown(&rig, connection).await.ok();
    let modify = [
        AT,
        ("VpnConnectionId", connection),
        (&*names[0], &*second),
        (&*names[1], &*first),
        (&*names[2], "the-key-after"),
    ];
    let answer = rig.call("ModifyVpnConnectionAttribute", &modify).await.ok();
    assert!(!answer.to_string().contains("the-key"), "{answer}");
    let under_way = shown(&rig, connection).await.ok();
    let tunnel = &under_way["TunnelOptionsSpecification"]["TunnelOptions"][0];
    assert_eq!(tunnel["CustomerGatewayId"], *second);
    assert_eq!(tunnel["TunnelIkeConfig"]["Psk"], "the-key-after");
    // Both are in use: the one that is wanted, and the one that is in force.
    for customer in [&first, &second] {
        let delete = rig.call("DeleteCustomerGateway", &[AT, ("CustomerGatewayId", customer)]).await;
        assert_eq!(delete.code(), "DependencyViolation.VpnConnection");
    }
    refuse("modify-connection").await;
    let mut after = shown(&rig, connection).await.ok();
    after["RequestId"] = before["RequestId"].clone();
    assert_eq!(after, before);
    rig.call("DeleteCustomerGateway", &[AT, ("CustomerGatewayId", &second)]).await.ok();

    rig.call("DeleteVpnConnection", &[AT, ("VpnConnectionId", connection)]).await.ok();
    refuse("disconnect").await;
    assert_eq!(shown(&rig, connection).await.ok()["State"], "active");
    rig.call("DeleteVpnConnection", &[AT, ("VpnConnectionId", connection)]).await.ok();
    rig.settle().await;
    assert_eq!(rig.fault(&gateway), None);
    assert_eq!(shown(&rig, connection).await.status, 404);
}

// == Keys ==

/// Every file of a directory, whole.
fn files(directory: &Path) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path))
        } else {
            files.push(std::fs::read(path).unwrap())
        }
    }
    files
}

/// Keys are shown to who may read them, and stand in no file: neither rows nor audit record nor remembered answers.
#[tokio::test(flavor = "multi_thread")]
async fn keys_stand_in_no_file() {
    let rig = Rig::new("0");
    let (gateway, other) = (rig.gateway("Normal").await, customer(&rig, 7).await);
    let peer = [
        AT,
        ("IpAddress", "101.12.9.9"),
        ("Asn", "65530"),
        ("AuthKey", "bgp-key-in-clear"),
        ("ClientToken", "a"),
    ];
    let peer = rig.call("CreateCustomerGateway", &peer).await.ok();
    let peer = peer["CustomerGatewayId"].as_str().unwrap();
    let ike = |key: &str| format!("{{\"Psk\":\"{key}\"}}");
    let given = ike("shared-key-in-clear");
    let create = [
        AT,
        ("VpnGatewayId", &*gateway),
        ("CustomerGatewayId", peer),
        ("LocalSubnet", "10.0.0.0/24"),
        ("RemoteSubnet", "10.1.0.0/24"),
        ("IkeConfig", &given),
        ("ClientToken", "b"),
    ];
    let connection = rig.call("CreateVpnConnection", &create).await.ok();
    let connection = connection["VpnConnectionId"].as_str().unwrap();
    rig.settle().await;
    let again = ike("other-key-in-clear");
    let modify = [AT, ("VpnConnectionId", connection), ("IkeConfig", &again), ("ClientToken", "c")];
    rig.call("ModifyVpnConnectionAttribute", &modify).await.ok();
    assert_eq!(shown(&rig, connection).await.ok()["IkeConfig"]["Psk"], "other-key-in-clear");
    rig.settle().await;
    let made = connect(&rig, &gateway, &other, 5, None).await.ok();
    rig.settle().await;
    let made = shown(&rig, made["VpnConnectionId"].as_str().unwrap()).await.ok();
    let random = made["IkeConfig"]["Psk"].as_str().unwrap().to_owned();
    assert_eq!(random.len(), 16);
    let bad = ike("a bad-key-in-clear");
    let refused = [create[0], create[1], create[2], create[3], create[4], ("IkeConfig", &bad)];
    let refused = rig.call("CreateVpnConnection", &refused).await;
    assert_eq!(refused.code(), "IllegalParam.IkeConfig");
    assert!(!refused.body.to_string().contains("in-clear"), "{}", refused.body);
    rig.recorded(|record| record.code.as_deref() == Some("IllegalParam.IkeConfig")).await;
    let has = |file: &[u8], text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    for file in files(rig.directory()) {
        assert!(!has(&file, "key-in-clear") && !has(&file, &random));
    }
}

// == Damage ==

/// Whatever is changed in the rows of connections, a check names the rule that it breaks.
#[tokio::test(flavor = "multi_thread")]
async fn damage_to_connections_is_found() {
    if is_shared() {
        // It writes to the file of the embedded store.
        return;
    }
    let Sm { rig, gateway, connection, .. } = sm(Rig::answered("0")).await;
    rig.settle().await;
    let normal = rig.gateway("Normal").await;
    let (one, two) = (customer(&rig, 1).await, customer(&rig, 2).await);
    connect(&rig, &normal, &one, 0, None).await.ok();
    rig.settle().await;
    connect(&rig, &normal, &two, 1, None).await.ok();
    rig.settle().await;
    let tag = [AT, ("ResourceType", "VPNCONNECTION"), ("ResourceId.1", &*connection), ("Tag.1.Key", "a")];
    rig.call("TagResources", &tag).await.ok();
    let diagnose = [AT, ("VpnGatewayId", &*gateway), ("ResourceType", "IPsec"), ("ResourceId", &*connection)];
    rig.call("DiagnoseVpnGateway", &diagnose).await.ok();
    let policy = ("RouteSource", "10.0.0.0/8");
    let destination = [
        AT,
        ("VpnGatewayId", &*gateway),
        ("RouteDest", "192.168.0.0/24"),
        ("NextHop", &*connection),
        ("Weight", "100"),
        ("PublishVpc", "true"),
    ];
    rig.call("CreateVpnRouteEntry", &destination).await.ok();
    rig.settle().await;
    let destination: Vec<_> = destination.into_iter().chain([policy]).collect();
    rig.call("CreateVpnPbrRouteEntry", &destination).await.ok();
    rig.settle().await;
    let closed = tokio::task::block_in_place(|| rig.closed());
    let of = |id: &str| format!("WHERE id = '{id}'");
    for (rule, damage) in [
        ("half-way only on a gateway", format!("UPDATE vpn_connection SET state = 'creating' {}", of(&connection))),
        ("at most one thing", format!("UPDATE vpn_connection SET state = 'deleting' WHERE gateway = '{normal}'")),
        ("of one account and region", format!("UPDATE customer_gateway SET region = 'cn-beijing' {}", of(&one))),
        ("has what was before", format!("UPDATE vpn_connection SET before = settings {}", of(&connection))),
        ("every row can be read", format!("UPDATE vpn_connection SET selectors = '' {}", of(&connection))),
        ("those of its settings", format!("UPDATE vpn_tunnel SET customer_gateway = '{one}' WHERE customer_gateway = '{two}'")),
        ("one tunnel or two", format!("DELETE FROM vpn_observation; DELETE FROM vpn_tunnel WHERE connection = '{connection}'")),
        ("has what it needs", format!("DELETE FROM binding WHERE gateway = '{gateway}' AND role = 'Signature'")),
        ("what is connected", "UPDATE applied SET document = json_remove(document, '$.connections')".to_owned()),
        ("something else than what was seen", "UPDATE vpn_observation SET observed = (SELECT observed FROM vpn_tunnel WHERE id = tunnel)".to_owned()),
        ("an address of another", "UPDATE vpn_tunnel SET ip = (SELECT min(ip) FROM address) WHERE id = (SELECT min(id) FROM vpn_tunnel)".to_owned()),
        ("a route is half-way only", "UPDATE vpn_route SET state = 'deleting'".to_owned()),
        ("publish or withdraw one", "UPDATE vpn_route SET state = 'creating'".to_owned()),
        ("account, region and gateway", format!("UPDATE vpn_route SET gateway = '{normal}'")),
        ("leads over stays", format!("UPDATE vpn_connection SET state = 'deleting' {}", of(&connection))),
        ("what is of its kind", "UPDATE vpn_route SET weight = 50".to_owned()),
        ("what is of its kind", "UPDATE vpn_route SET priority = NULL".to_owned()),
        ("that is being changed", "UPDATE vpn_route SET before_weight = 0".to_owned()),
        ("active and one standby", format!("INSERT INTO vpn_route SELECT 99, account, region, kind, gateway, \
          (SELECT id FROM vpn_connection WHERE id <> '{connection}'), source, destination, weight, priority, published, \
          description, 0, 0, state, NULL, NULL, NULL FROM vpn_route WHERE kind = 'dbr'")),
        ("one route to a destination", "UPDATE vpn_route SET destination = '100.64.0.0/10'".to_owned()),
        ("what is routed", "UPDATE vpn_route SET weight = 0".to_owned()),
        ("what is routed", "UPDATE vpn_route SET published = 0".to_owned()),
        ("what is routed", "UPDATE applied SET document = json_remove(document, '$.routes[0]')".to_owned()),
        ("the tallies are right", "DELETE FROM vpn_route WHERE kind = 'pbr'".to_owned()),
        ("every row can be read", "UPDATE vpn_route SET kind = 'other'".to_owned()),
        ("the tallies are right", "UPDATE tally SET value = 7 WHERE kind = 'vpn_connection'".to_owned()),
        ("the tallies are right", "UPDATE tally SET value = 7 WHERE kind = 'customer_gateway'".to_owned()),
        ("tags are on what exists", "UPDATE tag SET resource = 'vco-bp1none'".to_owned()),
        ("a diagnosis and its gateway", "UPDATE vpn_diagnosis SET region = 'cn-beijing'".to_owned()),
        ("every row can be read", format!("UPDATE vpn_connection SET settings = '{{}}' {}", of(&connection))),
        ("key opens", format!("UPDATE vpn_connection SET sealed_keys = x'02' {}", of(&connection))),
    ] {
        let rig = Rig::on_copy(&closed);
        assert_eq!(broken(rig.directory()), Vec::<String>::new());
        let database = rusqlite::Connection::open(rig.directory().join(DATABASE_FILE)).unwrap();
        database.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        database.execute_batch(&damage).unwrap();
        assert!(database.changes() > 0, "{damage}");
        drop(database);
        let found = broken(rig.directory());
        assert!(found.iter().any(|finding| finding.contains(rule)), "{damage}: {found:?}");
    }
}
