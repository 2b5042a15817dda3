//! What gateways need, made through the API: a network, and certificates.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tongguan_pki::Usage;

use crate::api::{KMS, REGION};
use crate::{Call, Issuer, PATIENCE};

/// Pause between two looks at something that settles.
pub const PAUSE: Duration = Duration::from_millis(2);
/// Codes that mean "later".
const NOT_YET: [&str; 3] = ["VpnGateway.Configuring", "IncorrectVpcStatus", "IncorrectVSwitchStatus"];

/// Who makes calls.
pub trait Ask {
    /// Makes one call; answers status and body.
    ///
    /// # Errors
    /// No answer, or none in JSON.
    fn ask(&mut self, call: &Call<'_>) -> impl Future<Output = Result<(u16, Value)>>;
}

/// The body of a success, none if what the call is about has not settled yet.
///
/// # Errors
/// Any other refusal.
pub fn unless_early(call: &Call<'_>, (status, body): (u16, Value)) -> Result<Option<Value>> {
    match (status, body["Code"].as_str()) {
        (200, _) => Ok(Some(body)),
        (_, Some(code)) if NOT_YET.contains(&code) => Ok(None),
        _ => bail!("{} was refused with {status}: {body}", call.action),
    }
}

/// Calls until what the call is about has settled.
///
/// # Errors
/// Any other refusal, or it does not settle.
pub async fn settled(caller: &mut impl Ask, call: &Call<'_>) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let answer = caller.ask(call).await.with_context(|| call.action.to_owned())?;
        if let Some(body) = unless_early(call, answer)? {
            return Ok(body);
        }
        if begun.elapsed() > PATIENCE {
            bail!("{call:?} is never accepted");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A member of an answer that must be a text.
///
/// # Errors
/// It is none.
pub fn text<'v>(answer: &'v Value, name: &str) -> Result<&'v str> {
    answer[name].as_str().with_context(|| format!("no {name} in {answer}"))
}

/// Where gateways are made.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// The VPC.
    pub vpc: String,
    /// A vSwitch in it.
    pub vswitch: String,
}

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// A call is refused.
    pub async fn make(caller: &mut impl Ask) -> Result<Self> {
        let answer = settled(caller, &Call::vpc("CreateVpc", &[("CidrBlock", "10.0.0.0/8")])).await?;
        let vpc = text(&answer, "VpcId")?.to_owned();
        let zone = format!("{REGION}-h");
        let parameters = [("VpcId", vpc.as_str()), ("ZoneId", &zone), ("CidrBlock", "10.0.0.0/16")];
        let answer = settled(caller, &Call::vpc("CreateVSwitch", &parameters)).await?;
        Ok(Self { vpc, vswitch: text(&answer, "VSwitchId")?.to_owned() })
    }

    /// The call that makes an SM gateway here.
    pub fn create_gateway(&self) -> Call<'static> {
        self.create_gateway_of("NationalStandard")
    }

    /// The call that makes a gateway of this type here.
    pub fn create_gateway_of(&self, kind: &str) -> Call<'static> {
        let parameters = [
            ("VpcId", self.vpc.as_str()),
            ("VSwitchId", &self.vswitch),
            ("Bandwidth", "10"),
            ("InstanceChargeType", "POSTPAY"),
            ("VpnType", kind),
        ];
        Call::vpc("CreateVpnGateway", &parameters)
    }
}

impl Issuer {
    /// A certificate in the service, ACTIVE.
    ///
    /// # Errors
    /// A call is refused.
    pub async fn certificate(&self, caller: &mut impl Ask, usage: Usage) -> Result<String> {
        self.certificate_until(caller, usage, self.to()).await
    }

    /// The same, of one that ends at this UNIX second.
    ///
    /// # Errors
    /// A call is refused.
    pub async fn certificate_until(&self, caller: &mut impl Ask, usage: Usage, to: i64) -> Result<String> {
        let parameters = [("KeySpec", self.spec().as_str()), ("Subject", "CN=a,OU=b,O=c,C=CN")];
        let answer = settled(caller, &Call::new(KMS, "CreateCertificate", &parameters).form()).await?;
        let id = text(&answer, "CertificateId")?;
        let (leaf, chain) = self.issue_until(text(&answer, "Csr")?, usage, to);
        let parameters = [("CertificateId", id), ("Certificate", &leaf), ("CertificateChain", &chain)];
        settled(caller, &Call::new(KMS, "UploadCertificate", &parameters).form()).await?;
        Ok(id.to_owned())
    }
}
