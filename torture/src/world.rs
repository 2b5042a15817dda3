//! What gateways need: a network and certificates, made through the API.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;
use tongguan_pki::{KeySpec, Usage};
use tongguan_testkit::world::{Ask, Network};
use tongguan_testkit::{Call, Issuer};

pub use tongguan_testkit::world::PAUSE;

use crate::api::{Pen, name_text, token_text};
use crate::damage::Damage;
use crate::lane::{Lane, Reach, Shared};
use crate::model::Text;

/// How long something may take to settle before it counts as stuck.
pub const SETTLE: Duration = Duration::from_secs(40);

/// Certificates and network.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Ids of SM2 certificates, ACTIVE.
    pub certificates: Vec<String>,
    /// Where gateways are made.
    pub network: Network,
}

impl World {
    /// The call that makes a gateway here.
    #[must_use]
    pub fn create_gateway(&self, name: Text, token: u32) -> Call<'static> {
        let call = self.network.create_gateway();
        call.with("Name", &name_text(name)).with("ClientToken", &token_text(token))
    }
}

/// Makes network, certificates and gateways; nothing of it is recorded but the gateways.
///
/// # Errors
/// A call is refused.
pub async fn make(reach: impl Into<Reach>, gateways: usize, damage: Damage) -> Result<Rc<Shared>> {
    let reach = reach.into();
    let builder = Rc::new(Shared::new(Pen::default(), World::default(), Damage::none()));
    let mut lane = Lane::open(&builder, reach.clone()).await?;
    let network = Network::make(&mut lane).await?;
    let issuer = Issuer::now(KeySpec::EcSm2);
    let mut certificates = Vec::new();
    // Callers bind any of them in any role.
    for usage in [Usage::Both; 4] {
        certificates.push(issuer.certificate(&mut lane, usage).await?);
    }
    let world = World { certificates, network };
    let described = Call::vpc("DescribeVSwitchAttributes", &[("VSwitchId", &world.network.vswitch)]);
    let begun = Instant::now();
    while lane.send(&described).await?.text("Status")? != "Available" {
        if begun.elapsed() > SETTLE {
            bail!("the vSwitch does not become Available");
        }
        tokio::time::sleep(PAUSE).await;
    }
    let shared = Rc::new(Shared::new(Pen::default(), world, damage));
    // The requests of this function stay in the audit record: they are answered requests like others.
    *shared.record.borrow_mut() = builder.record.take();
    let mut lane = Lane::open(&shared, reach).await?;
    for slot in 0..gateways {
        lane.create(slot).await?;
    }
    shared.no_faults()?;
    builder.no_faults()?;
    Ok(shared)
}

impl Ask for Lane {
    async fn ask(&mut self, call: &Call<'_>) -> Result<(u16, Value)> {
        let reply = self.send(call).await?;
        Ok((reply.status, reply.body))
    }
}
