//! The world of a measurement, made through the API: a network, certificates, gateways, bindings, connections.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::task::JoinSet;
use tongguan_pki::{KeySpec, Usage};
use tongguan_testkit::world::{Network, PAUSE, settled, text};
use tongguan_testkit::{Call, Caller, Issuer};

use crate::api::{self, Client, Role};
use crate::changes::{Slot, Slots};

/// Connections that make gateways.
const CONNECTIONS: usize = 256;
/// Gateways that a connection makes before it binds their certificates; meanwhile the first have settled.
const BATCH: usize = 32;
/// Connections that hang on a gateway.
const HANGING: usize = 10;
/// Pauses after which something must be wrong.
const PAUSES: u32 = 15_000;

/// What a measurement needs to know of the world it made.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// Gateways, each with both roles bound.
    pub(crate) gateways: Vec<String>,
    /// The certificate that all gateways have for encryption.
    pub(crate) encryption: String,
}

/// Gateways with connections, over each of which a route leads.
#[derive(Debug, Clone)]
pub(crate) struct Linked {
    /// The gateways.
    pub(crate) gateways: Vec<String>,
    /// The connections, ten on each gateway.
    pub(crate) connections: Vec<String>,
}

/// Makes `count` gateways without SM algorithms, and a customer gateway.
///
/// # Errors
/// As [`make`].
pub(crate) async fn plain(
    address: SocketAddr,
    caller: &Rc<Caller>,
    count: usize,
) -> Result<(Vec<String>, String)> {
    let mut client = Client::open(caller, address).await?;
    let network = Network::make(&mut client).await?;
    let customer = settled(&mut client, &api::customer("203.0.113.1")).await?;
    let customer = text(&customer, "CustomerGatewayId")?.to_owned();
    let order = Order {
        caller: Rc::clone(caller),
        gateway: network.create_gateway_of("Normal"),
        hanging: Hanging::Nothing,
        left: Cell::new(count),
    };
    let (gateways, _) = made(address, order).await?;
    wait_for_gateway(&mut client, gateways.last().context("no gateways")?).await?;
    Ok((gateways, customer))
}

/// Makes `count` connections, ten on each gateway, and a route over each.
///
/// # Errors
/// As [`make`].
pub(crate) async fn linked(address: SocketAddr, caller: &Rc<Caller>, count: usize) -> Result<Linked> {
    let mut client = Client::open(caller, address).await?;
    let network = Network::make(&mut client).await?;
    let mut customers = Vec::with_capacity(HANGING);
    for number in 0..HANGING {
        let customer = settled(&mut client, &api::customer(&format!("203.0.113.{number}"))).await?;
        customers.push(text(&customer, "CustomerGatewayId")?.to_owned());
    }
    let order = Order {
        caller: Rc::clone(caller),
        gateway: network.create_gateway_of("Normal"),
        hanging: Hanging::Connections(customers),
        left: Cell::new(count.div_ceil(HANGING)),
    };
    let (gateways, connections) = made(address, order).await?;
    for gateway in &gateways {
        wait_for_gateway(&mut client, gateway).await?;
    }
    Ok(Linked { gateways, connections })
}

/// Makes `count` gateways; if `bound`, both roles of all hold the same two certificates.
///
/// # Errors
/// A call is refused, or what was made is not all there in the end.
pub(crate) async fn make(
    address: SocketAddr,
    caller: &Rc<Caller>,
    count: usize,
    bound: bool,
) -> Result<World> {
    let mut client = Client::open(caller, address).await?;
    let network = Network::make(&mut client).await?;
    let issuer = Issuer::now(KeySpec::EcSm2);
    let encryption = issuer.certificate(&mut client, Usage::Encryption).await?;
    let signature = issuer.certificate(&mut client, Usage::Signature).await?;
    let bindings = vec![(Role::Encryption, encryption.clone()), (Role::Signature, signature)];
    let order = Order {
        caller: Rc::clone(caller),
        gateway: network.create_gateway(),
        hanging: if bound { Hanging::Bindings(bindings) } else { Hanging::Nothing },
        left: Cell::new(count),
    };
    let (gateways, _) = made(address, order).await?;
    wait_for_bindings(&mut client, if bound { 2 * count } else { 0 }).await?;
    wait_for_gateway(&mut client, gateways.last().context("no gateways")?).await?;
    Ok(World { gateways, encryption })
}

/// So many gateways, each with a certificate of its own, which is not bound.
///
/// # Errors
/// As [`make`].
pub(crate) async fn slots(address: SocketAddr, caller: &Rc<Caller>, count: usize) -> Result<Vec<Slots>> {
    let world = make(address, caller, count, false).await?;
    let issuer = Issuer::now(KeySpec::EcSm2);
    let mut client = Client::open(caller, address).await?;
    let mut slots = Vec::with_capacity(count);
    for gateway in world.gateways {
        let certificate = issuer.certificate(&mut client, Usage::Encryption).await?;
        let slot = Slot { gateway, role: Role::Encryption, certificate, bound: false };
        slots.push(Slots::new(caller, vec![slot]));
    }
    Ok(slots)
}

/// What the lanes make together.
struct Order {
    caller: Rc<Caller>,
    /// Makes a gateway.
    gateway: Call<'static>,
    hanging: Hanging,
    /// Gateways that are still to be made.
    left: Cell<usize>,
}

/// What hangs on each gateway.
enum Hanging {
    Nothing,
    /// These certificates, each in its role.
    Bindings(Vec<(Role, String)>),
    /// A connection to each of these customer gateways, and a route over it.
    Connections(Vec<String>),
}

/// Gateways, and the connections on them.
type Made = (Vec<String>, Vec<String>);

/// Makes what is ordered over many connections at once.
async fn made(address: SocketAddr, order: Order) -> Result<Made> {
    let order = Rc::new(order);
    let mut lanes = JoinSet::new();
    for _ in 0..CONNECTIONS.min(order.left.get()) {
        lanes.spawn_local(lane(address, Rc::clone(&order)));
    }
    let (mut gateways, mut connections) = (Vec::new(), Vec::new());
    while let Some(lane) = lanes.join_next().await {
        let (mut some, mut others) = lane.context("a lane panicked")??;
        gateways.append(&mut some);
        connections.append(&mut others);
    }
    Ok((gateways, connections))
}

async fn lane(address: SocketAddr, order: Rc<Order>) -> Result<Made> {
    let mut client = Client::open(&order.caller, address).await?;
    let (mut made, mut connections) = (Vec::new(), Vec::new());
    loop {
        let batch = BATCH.min(order.left.get());
        order.left.set(order.left.get() - batch);
        if batch == 0 {
            return Ok((made, connections));
        }
        let first = made.len();
        for _ in 0..batch {
            let answer = settled(&mut client, &order.gateway).await?;
            made.push(text(&answer, "VpnGatewayId")?.to_owned());
        }
        match &order.hanging {
            Hanging::Nothing => {}
            Hanging::Bindings(bindings) => {
                for (role, certificate) in bindings {
                    for gateway in &made[first..] {
                        settled(&mut client, &api::associate(gateway, *role, certificate)).await?;
                    }
                }
            }
            Hanging::Connections(customers) => {
                for (number, customer) in customers.iter().enumerate() {
                    for gateway in &made[first..] {
                        let answer = settled(&mut client, &api::connect(gateway, customer, number)).await?;
                        connections.push(text(&answer, "VpnConnectionId")?.to_owned());
                    }
                    let newest = connections.len() - (made.len() - first);
                    for (gateway, connection) in made[first..].iter().zip(&connections[newest..]) {
                        settled(&mut client, &api::route(gateway, connection, number)).await?;
                    }
                }
            }
        }
    }
}

/// The list shows settled bindings.
async fn wait_for_bindings(client: &mut Client<'_>, count: usize) -> Result<()> {
    let mut found = None;
    for _ in 0..PAUSES {
        let answer = settled(client, &api::associations()).await?;
        found = answer["TotalCount"].as_u64();
        ensure!(found.is_some(), "no TotalCount in {answer}");
        if found == u64::try_from(count).ok() {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("{found:?} bindings are listed, {count} were made")
}

async fn wait_for_gateway(client: &mut Client<'_>, id: &str) -> Result<()> {
    for _ in 0..PAUSES {
        let answer = settled(client, &api::gateway(id)).await?;
        if text(&answer, "Status")? == "active" {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("{id} does not become active")
}
