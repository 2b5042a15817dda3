//! What gateways need: a network and certificates, made through the API.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tongguan_pki::{Ca, KeySpec, Subject, Usage};

use crate::api::{Call, Caller, REGION};
use crate::damage::Damage;
use crate::lane::{Lane, Reply, Shared};
use crate::model::Text;

const DAY: i64 = 86_400;
/// How long something may take to settle before it counts as stuck.
pub const SETTLE: Duration = Duration::from_secs(20);
/// Pause between two looks.
pub const PAUSE: Duration = Duration::from_millis(2);

/// Certificates and network.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Ids of SM2 certificates, ACTIVE.
    pub certificates: Vec<String>,
    /// The VPC.
    pub vpc: String,
    /// A vSwitch in it.
    pub vswitch: String,
}

impl World {
    /// The call that makes a gateway here.
    #[must_use]
    pub fn create_gateway(&self, name: Text, token: u32) -> Call {
        Call::create_gateway(&self.vpc, &self.vswitch, name, token)
    }
}

/// Makes network, certificates and gateways; nothing of it is recorded but the gateways.
///
/// # Errors
/// A call is refused.
pub async fn make(address: SocketAddr, gateways: usize, damage: Damage) -> Result<Rc<Shared>> {
    let builder = Rc::new(Shared::new(Caller::new(), World::default(), Damage::none()));
    let mut lane = Lane::open(&builder, address).await?;
    let mut world = World::default();
    let reply = settled(&mut lane, &Call::vpc("CreateVpc", &[("CidrBlock", "10.0.0.0/8")])).await?;
    world.vpc = reply.text("VpcId")?.to_owned();
    let zone = format!("{REGION}-h");
    let parameters = [("VpcId", world.vpc.as_str()), ("ZoneId", &zone), ("CidrBlock", "10.0.0.0/16")];
    let reply = settled(&mut lane, &Call::vpc("CreateVSwitch", &parameters)).await?;
    world.vswitch = reply.text("VSwitchId")?.to_owned();
    let now = jiff::Timestamp::now().as_second();
    let subject = Subject::parse("CN=torture root,OU=torture,O=tongguan,C=CN")?;
    let ca = Ca::new(KeySpec::EcSm2, &subject, now - DAY, now + 30 * DAY)?;
    // Callers bind any of them in any role.
    for usage in [Usage::Both; 4] {
        world.certificates.push(certificate(&mut lane, &ca, usage, now).await?);
    }
    let described = Call::vpc("DescribeVSwitchAttributes", &[("VSwitchId", &world.vswitch)]);
    let begun = Instant::now();
    while lane.send(&described).await?.text("Status")? != "Available" {
        if begun.elapsed() > SETTLE {
            bail!("the vSwitch does not become Available");
        }
        tokio::time::sleep(PAUSE).await;
    }
    let shared = Rc::new(Shared::new(Caller::new(), world, damage));
    // The requests of this function stay in the audit record: they are answered requests like others.
    *shared.record.borrow_mut() = builder.record.take();
    let mut lane = Lane::open(&shared, address).await?;
    for slot in 0..gateways {
        lane.create(slot).await?;
    }
    shared.no_faults()?;
    builder.no_faults()?;
    Ok(shared)
}

async fn certificate(lane: &mut Lane, ca: &Ca, usage: Usage, now: i64) -> Result<String> {
    let subject = "CN=torture,OU=torture,O=tongguan,C=CN";
    let create = Call::kms("CreateCertificate", &[("KeySpec", "EC_SM2"), ("Subject", subject)]);
    let reply = settled(lane, &create).await?;
    let id = reply.text("CertificateId")?.to_owned();
    let leaf = ca.issue(reply.text("Csr")?, usage, now - DAY, now + 20 * DAY)?.to_pem();
    let chain = ca.certificate().to_pem();
    let parameters = [("CertificateId", id.as_str()), ("Certificate", &leaf), ("CertificateChain", &chain)];
    settled(lane, &Call::kms("UploadCertificate", &parameters)).await?;
    Ok(id)
}

/// Calls until the thing that the call is about has settled.
async fn settled(lane: &mut Lane, call: &Call) -> Result<Reply> {
    let begun = Instant::now();
    loop {
        let reply = lane.send(call).await.with_context(|| call.action)?;
        match reply.code() {
            "" => return Ok(reply),
            "IncorrectVpcStatus" | "IncorrectVSwitchStatus" if begun.elapsed() < SETTLE => {
                tokio::time::sleep(PAUSE).await;
            }
            code => bail!("{} was refused with {code}: {}", call.action, reply.body),
        }
    }
}
