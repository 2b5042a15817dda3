//! The world of a measurement, made through the API: a network, certificates, gateways, bindings.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::task::JoinSet;
use tongguan_pki::{Ca, KeySpec, Subject, Usage};

use crate::api::{Caller, Client, Operation, Outcome, REGION, Role, text};

/// Connections that make gateways.
const CONNECTIONS: usize = 256;
/// Gateways that a connection makes before it binds their certificates; meanwhile the first have settled.
const BATCH: usize = 32;
const PAUSE: Duration = Duration::from_millis(2);
/// Pauses after which something must be wrong.
const PAUSES: u32 = 15_000;
const DAY: i64 = 86_400;

/// What a measurement needs to know of the world it made.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// Gateways, each with both roles bound.
    pub(crate) gateways: Vec<String>,
    /// The certificate that all gateways have for encryption.
    pub(crate) encryption: String,
}

/// Where gateways are made.
#[derive(Debug, Clone)]
struct Network {
    vpc: String,
    vswitch: String,
}

/// Certifies the keys that the service makes.
#[derive(Debug)]
pub(crate) struct Issuer {
    ca: Ca,
    now: i64,
}

impl Issuer {
    /// A new root.
    ///
    /// # Errors
    /// No randomness.
    pub(crate) fn new() -> Result<Self> {
        let now = jiff::Timestamp::now().as_second();
        let subject = Subject::parse("CN=bench root,OU=bench,O=tongguan,C=CN")?;
        Ok(Self { ca: Ca::new(KeySpec::EcSm2, &subject, now - DAY, now + 30 * DAY)?, now })
    }

    /// A certificate in the service, ACTIVE.
    ///
    /// # Errors
    /// A call is refused.
    pub(crate) async fn certificate(&self, client: &mut Client<'_>, role: Role) -> Result<String> {
        let answer = settled(client, &Operation::create_certificate()).await?;
        let id = text(&answer, "CertificateId")?;
        let usage = match role {
            Role::Encryption => Usage::Encryption,
            Role::Signature => Usage::Signature,
        };
        let leaf = self.ca.issue(text(&answer, "Csr")?, usage, self.now - DAY, self.now + DAY)?;
        let chain = self.ca.certificate().to_pem();
        settled(client, &Operation::upload_certificate(id, &leaf.to_pem(), &chain)).await?;
        Ok(id.to_owned())
    }
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
    let answer = settled(&mut client, &Operation::create_vpc()).await?;
    let vpc = text(&answer, "VpcId")?.to_owned();
    let vswitch = Operation::create_vswitch(&vpc, &format!("{REGION}-h"));
    let answer = settled(&mut client, &vswitch).await?;
    let vswitch = text(&answer, "VSwitchId")?.to_owned();
    let issuer = Issuer::new()?;
    let encryption = issuer.certificate(&mut client, Role::Encryption).await?;
    let signature = issuer.certificate(&mut client, Role::Signature).await?;
    let order = Rc::new(Order {
        caller: Rc::clone(caller),
        network: Network { vpc, vswitch },
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
            let create = Operation::create_gateway(&order.network.vpc, &order.network.vswitch);
            let answer = settled(&mut client, &create).await?;
            made.push(text(&answer, "VpnGatewayId")?.to_owned());
        }
        for (role, certificate) in &order.bindings {
            for gateway in &made[first..] {
                settled(&mut client, &Operation::associate(gateway, *role, certificate)).await?;
            }
        }
    }
}

/// The list shows settled bindings.
async fn wait_for_bindings(client: &mut Client<'_>, count: usize) -> Result<()> {
    let mut found = None;
    for _ in 0..PAUSES {
        let answer = settled(client, &Operation::associations()).await?;
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
        let answer = settled(client, &Operation::gateway(id)).await?;
        if text(&answer, "Status")? == "active" {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("{id} does not become active")
}

/// Calls until what the call is about has settled.
async fn settled(client: &mut Client<'_>, operation: &Operation) -> Result<Value> {
    for _ in 0..PAUSES {
        match client.ask(operation).await? {
            Outcome::Done(answer) => return Ok(answer),
            Outcome::NotYet => tokio::time::sleep(PAUSE).await,
        }
    }
    bail!("{operation:?} is never accepted")
}
