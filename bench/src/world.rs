//! The world of a measurement, made through the API: a network, certificates, gateways, bindings.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::task::JoinSet;
use tongguan_pki::{KeySpec, Usage};
use tongguan_testkit::world::{Network, PAUSE, settled, text};
use tongguan_testkit::{Caller, Issuer};

use crate::api::{self, Client, Role};

/// Connections that make gateways.
const CONNECTIONS: usize = 256;
/// Gateways that a connection makes before it binds their certificates; meanwhile the first have settled.
const BATCH: usize = 32;
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
    let order = Rc::new(Order {
        caller: Rc::clone(caller),
        network,
        bindings: if bound {
            vec![(Role::Encryption, encryption.clone()), (Role::Signature, signature)]
        } else {
            Vec::new()
        },
        left: Cell::new(count),
    });
    let mut lanes = JoinSet::new();
    for _ in 0..CONNECTIONS.min(count) {
        lanes.spawn_local(lane(address, Rc::clone(&order)));
    }
    let mut gateways = Vec::with_capacity(count);
    while let Some(lane) = lanes.join_next().await {
        gateways.append(&mut lane.context("a lane panicked")??);
    }
    wait_for_bindings(&mut client, count * order.bindings.len()).await?;
    wait_for_gateway(&mut client, gateways.last().context("no gateways")?).await?;
    Ok(World { gateways, encryption })
}

/// What the lanes make together.
struct Order {
    caller: Rc<Caller>,
    network: Network,
    bindings: Vec<(Role, String)>,
    left: Cell<usize>,
}

async fn lane(address: SocketAddr, order: Rc<Order>) -> Result<Vec<String>> {
    let mut client = Client::open(&order.caller, address).await?;
    let mut made = Vec::new();
    loop {
        let batch = BATCH.min(order.left.get());
        order.left.set(order.left.get() - batch);
        if batch == 0 {
            return Ok(made);
        }
        let first = made.len();
        for _ in 0..batch {
            let answer = settled(&mut client, &order.network.create_gateway()).await?;
            made.push(text(&answer, "VpnGatewayId")?.to_owned());
        }
        for (role, certificate) in &order.bindings {
            for gateway in &made[first..] {
                settled(&mut client, &api::associate(gateway, *role, certificate)).await?;
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
