//! A data plane that fails for good: the change is withdrawn, the operator is told why, and the server may
//! die in the middle of that.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tongguan_testkit::Call;
use tongguan_testkit::program::Program;

use crate::damage::Damage;
use crate::lane::{Lane, Shared};
use crate::random::Random;
use crate::server::{Life, Server};
use crate::world::{self, PAUSE, SETTLE};

/// Failed tries before a change is withdrawn.
const ATTEMPTS: u32 = 2;
/// What the data plane says.
const REASON: &str = "no route to the gateway";
/// Deaths in the middle of a change that fails.
const DEATHS: usize = 6;

struct Stage {
    server: Server,
    shared: Rc<Shared>,
    gateway: String,
    program: Option<Program>,
}

/// Binds on a data plane that fails; looks what the caller sees, and what `tongguan status` tells.
/// Answers how often the server died meanwhile; none if it has no points to fail at.
///
/// # Errors
/// The gateway does not come to rest, or is not as it was, or nobody is told.
pub async fn run(binary: &Path, directory: PathBuf, seed: u64) -> Result<Option<usize>> {
    let mut stage = Stage::set(binary, directory).await?;
    if stage.server.crash_points()?.is_empty() {
        return Ok(None);
    }
    // The change fails as often as it is tried, then what was before is brought back.
    stage.restart(&format!("{ATTEMPTS}*return({REASON})->off"))?;
    stage.change("AssociateVpnGatewayWithCertificate").await?;
    stage.rests(false).await?;
    stage.told("associate", "withdrawn")?;
    // Not even that can be done.
    stage.restart(&format!("return({REASON})"))?;
    stage.change("AssociateVpnGatewayWithCertificate").await?;
    stage.rests(false).await?;
    stage.told("associate", "diverged")?;
    // The next change that is applied clears the record; then an unbind fails.
    stage.restart("off")?;
    stage.change("AssociateVpnGatewayWithCertificate").await?;
    stage.rests(true).await?;
    ensure!(stage.faults()?.is_empty(), "a fault outlives the change that was applied");
    stage.restart(&format!("{ATTEMPTS}*return({REASON})->off"))?;
    stage.change("DissociateVpnGatewayWithCertificate").await?;
    stage.rests(true).await?;
    stage.told("dissociate", "withdrawn")?;
    // The server dies at any moment of it, and the next one finishes.
    let mut random = Random::new(seed);
    for _ in 0..DEATHS {
        stage.restart(&format!("return({REASON})"))?;
        stage.change("DissociateVpnGatewayWithCertificate").await?;
        tokio::time::sleep(Duration::from_millis(random.below(1_500) as u64)).await;
        stage.program.take().context("no server")?.kill()?;
        stage.restart("off")?;
        stage.settles().await?;
        if !stage.listed().await? {
            // It was not withdrawn when the server died, and was applied by the next one.
            stage.change("AssociateVpnGatewayWithCertificate").await?;
            stage.rests(true).await?;
        }
        stage.server.check()?;
    }
    Ok(Some(DEATHS))
}

impl Stage {
    async fn set(binary: &Path, directory: PathBuf) -> Result<Self> {
        let server = Server { binary: binary.to_owned(), directory };
        let program = server.start(&Life::with_delay("0"))?;
        let shared = world::make(program.address(), 1, Damage::none()).await?;
        let mut lane = Lane::open(&shared, program.address()).await?;
        let reply = lane.send(&Call::vpc("DescribeVpnGateways", &[])).await?;
        let gateway = reply.body["VpnGateways"]["VpnGateway"][0]["VpnGatewayId"].as_str();
        let gateway = gateway.context("no gateway")?.to_owned();
        Ok(Self { server, shared, gateway, program: Some(program) })
    }

    /// A new life in which the data plane behaves like this.
    fn restart(&mut self, apply: &str) -> Result<()> {
        if let Some(program) = self.program.take() {
            program.end()?;
        }
        let quotas = vec![format!("apply_attempts={ATTEMPTS}")];
        let failpoints = Some(format!("dataplane::apply={apply}"));
        self.program = Some(self.server.start(&Life { quotas, failpoints, ..Life::with_delay("0") })?);
        Ok(())
    }

    async fn lane(&self) -> Result<Lane> {
        let address = self.program.as_ref().context("no server")?.address();
        Lane::open(&self.shared, address).await
    }

    async fn change(&self, action: &'static str) -> Result<()> {
        self.settles().await?;
        let certificate = self.shared.world.certificates[0].as_str();
        let parameters = [
            ("VpnGatewayId", self.gateway.as_str()),
            ("CertificateId", certificate),
            ("CertificateType", "Encryption"),
        ];
        let reply = self.lane().await?.send(&Call::vpc(action, &parameters)).await?;
        ensure!(reply.status == 200, "{action}: {} {}", reply.status, reply.body);
        Ok(())
    }

    async fn settles(&self) -> Result<()> {
        let mut lane = self.lane().await?;
        let call = Call::vpc("DescribeVpnGateway", &[("VpnGatewayId", &self.gateway)]);
        let begun = Instant::now();
        while lane.send(&call).await?.text("Status")? != "active" {
            ensure!(begun.elapsed() < SETTLE, "the gateway does not come to rest");
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn listed(&self) -> Result<bool> {
        let call = Call::vpc("ListVpnCertificateAssociations", &[("VpnGatewayId.1", &self.gateway)]);
        let reply = self.lane().await?.send(&call).await?;
        Ok(reply.body["TotalCount"].as_u64().context("no total")? > 0)
    }

    async fn rests(&self, bound: bool) -> Result<()> {
        self.settles().await?;
        ensure!(self.listed().await? == bound, "the certificate is {}bound", if bound { "not " } else { "" });
        self.server.check()
    }

    fn faults(&self) -> Result<Vec<Value>> {
        let data = self.server.directory.join("data");
        let output =
            Command::new(&self.server.binary).args(["status", "--json", "--data-dir"]).arg(data).output();
        let output = output.context("cannot run the server")?;
        let status: Value = serde_json::from_slice(&output.stdout).context("the status is no JSON")?;
        Ok(status["faults"].as_array().context("no faults")?.clone())
    }

    fn told(&self, change: &str, outcome: &str) -> Result<()> {
        let faults = self.faults()?;
        let told = faults.iter().any(|fault| {
            fault["resource"] == self.gateway.as_str()
                && fault["change"] == change
                && fault["reason"] == REASON
                && fault["outcome"] == outcome
        });
        ensure!(told, "no {outcome} {change} in {faults:?}");
        Ok(())
    }
}
