//! `tongguan demo`: the lifecycle of an SM VPN gateway and its two certificates, shown request by request.
//!
//! Server and client are one process, but they talk like any server and client: HTTP on a loopback port with signed
//! requests. The store is a temporary directory, deleted at the end. Every line that is shown has been compared
//! with what is expected, so a demonstration that ends well is also a test that passed.

use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use http::Method;
use serde_json::Value;
use tongguan_pki::{Ca, KeySpec, Subject, Usage};
use tongguan_rpc::{Format, Placement, Secret, SignatureMethod, Signer};
use tongguan_service::context::{Clock as _, SystemClock};

use super::client::{Answer, Client, Endpoint, Request, Trust, known_version, random_hex};
use super::paint::{Paint, Style};
use super::terminal::{self, Screen, harmless};
use crate::config::Config;
use crate::serve;

const REGION: &str = "cn-hangzhou";
const ZONE: &str = "cn-hangzhou-h";
const SUBJECT: &str = "CN=vpn.example.com,OU=ops,O=example,C=CN";
const CA_SUBJECT: &str = "CN=Example SM2 Root,OU=ca,O=example,C=CN";
/// Validity of the certificates, in seconds.
const DAY: i64 = 86_400;
/// Pause between two looks at a state.
const POLL: Duration = Duration::from_millis(50);
/// Longest wait for a state.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest value shown, in characters.
const WIDTH: usize = 76;

/// The two roles of a certificate, and what the CA says its key may do.
const ROLES: [(&str, Usage); 2] = [("Encryption", Usage::Encryption), ("Signature", Usage::Signature)];

/// Command line of `tongguan demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How long the gateway takes to apply a change
    #[arg(long, value_name = "TIME", default_value = "300ms")]
    apply_delay: String,
}

/// Carries out `tongguan demo`.
///
/// # Errors
/// When the server does not start, or anything is not as the demonstration says.
pub(crate) async fn run(args: DemoArgs) -> Result<ExitCode> {
    let directory = tempfile::Builder::new().prefix("tongguan-demo-").tempdir();
    let directory = directory.context("cannot make a temporary directory")?;
    let access_key_id = format!("LTAI{}", random_hex::<10>()?);
    let secret = Secret::from(random_hex::<15>()?);
    let server = serve::start(Config {
        listen: "127.0.0.1:0".to_owned(),
        data_dir: directory.path().to_owned(),
        apply_delay: args.apply_delay,
        access_key_id: Some(access_key_id.clone()),
        access_key_secret: Some(secret.clone()),
        quiet: true,
        ..Config::default()
    })
    .await
    .context("the server does not start")?;
    let method = SignatureMethod::Acs3HmacSha256;
    let signer = Signer { access_key_id, secret, security_token: None, method };
    let outcome = tokio::select! {
        outcome = tell(&server.endpoint, signer) => outcome,
        _ = tokio::signal::ctrl_c() => {
            // It may have been in the middle of a line.
            writeln!(terminal::out())?;
            Err(anyhow!("interrupted"))
        }
    };
    server.stop().await.context("the server does not stop")?;
    match outcome {
        // Whoever was reading has seen enough.
        Err(error)
            if error.downcast_ref::<io::Error>().map(io::Error::kind) == Some(ErrorKind::BrokenPipe) =>
        {
            Ok(ExitCode::SUCCESS)
        }
        outcome => outcome.map(|()| ExitCode::SUCCESS),
    }
}

async fn tell(endpoint: &str, signer: Signer) -> Result<()> {
    let key = signer.access_key_id.clone();
    let client = Client::new(Endpoint::parse(endpoint, false)?, signer, &Trust::Platform)?;
    let mut stage = Stage::new(client);
    stage.opening(endpoint, &key)?;
    let outcome = story(&mut stage).await;
    match &outcome {
        Ok(()) => stage.closing()?,
        Err(_) => stage.blank()?,
    }
    outcome.with_context(|| format!("step {} ({}) did not go as it should", stage.step, stage.title))
}

/// All steps, in order.
async fn story(stage: &mut Stage) -> Result<()> {
    who_am_i(stage).await?;
    let (vpc, vswitch) = network(stage).await?;
    let gateway = gateway(stage, &vpc, &vswitch).await?;
    let [encryption, signature] = certificates(stage).await?;
    bind(stage, &gateway, &encryption, &signature).await?;
    try_to_unbind(stage, &gateway, &encryption).await?;
    unbind(stage, &gateway, [&encryption, &signature]).await?;
    clear_away(stage, &gateway, &vswitch, &vpc, [&encryption, &signature]).await
}

async fn who_am_i(stage: &mut Stage) -> Result<()> {
    stage.step("Who am I?", "Needs no permission, only a right signature: tells whose access key it is.")?;
    let answer = stage.call("Sts", "GetCallerIdentity", &[], &["AccountId", "IdentityType", "Arn"]).await?;
    let root = format!("acs:ram::{}:root", text(&answer, "AccountId")?);
    stage.check(text(&answer, "Arn")? == root, "the key is the account's own")
}

async fn network(stage: &mut Stage) -> Result<(String, String)> {
    stage.step("A VPC", "The private network behind the gateway.")?;
    let parameters = [("CidrBlock", "172.16.0.0/12"), ("VpcName", "demo")];
    let vpc = text(&stage.call("Vpc", "CreateVpc", &parameters, &["VpcId"]).await?, "VpcId")?;
    stage.wait("DescribeVpcAttribute", ("VpcId", &vpc), Goal::Status("Available")).await?;

    stage.step("A vSwitch", "A subnet of the VPC in one zone; the gateway stands in it.")?;
    let parameters = [("VpcId", vpc.as_str()), ("ZoneId", ZONE), ("CidrBlock", "172.16.1.0/24")];
    let vswitch = text(&stage.call("Vpc", "CreateVSwitch", &parameters, &["VSwitchId"]).await?, "VSwitchId")?;
    stage.wait("DescribeVSwitchAttributes", ("VSwitchId", &vswitch), Goal::Status("Available")).await?;
    Ok((vpc, vswitch))
}

async fn gateway(stage: &mut Stage, vpc: &str, vswitch: &str) -> Result<String> {
    stage.step(
        "A VPN gateway",
        "NationalStandard makes it one for SM2, SM3 and SM4, which takes certificates.",
    )?;
    let parameters = [
        ("VpcId", vpc),
        ("VSwitchId", vswitch),
        ("VpnType", "NationalStandard"),
        ("Bandwidth", "10"),
        ("InstanceChargeType", "POSTPAY"),
    ];
    let answer = stage.call("Vpc", "CreateVpnGateway", &parameters, &["VpnGatewayId"]).await?;
    let gateway = text(&answer, "VpnGatewayId")?;
    stage.wait("DescribeVpnGateway", ("VpnGatewayId", &gateway), ACTIVE).await?;
    Ok(gateway)
}

/// Both certificates: made in the service, certified by a CA outside, uploaded. Their ids.
async fn certificates(stage: &mut Stage) -> Result<[String; 2]> {
    let now = SystemClock.now_ms() / 1000;
    let ca = Ca::new(KeySpec::EcSm2, &Subject::parse(CA_SUBJECT)?, now - DAY, now + 365 * DAY)?;
    let chain = ca.certificate().to_pem();
    let certify = |answer: &Value, usage| -> Result<String> {
        Ok(ca.issue(&text(answer, "Csr")?, usage, now - 60, now + 90 * DAY)?.to_pem())
    };
    let [(_, encryption), (_, signature)] = ROLES;
    let parameters = [("KeySpec", "EC_SM2"), ("Subject", SUBJECT), ("ExportablePrivateKey", "false")];

    let why =
        "The service makes the key and keeps it; only a signing request comes out, for a CA to certify.";
    stage.step("A certificate for Encryption", why)?;
    let answer = stage.call("Kms", "CreateCertificate", &parameters, &["CertificateId", "Csr"]).await?;
    let first = text(&answer, "CertificateId")?;
    let leaf = certify(&answer, encryption)?;
    stage.note(&format!("the CA signs it for encryption: {CA_SUBJECT}"))?;
    let upload = [("CertificateId", first.as_str()), ("Certificate", &leaf), ("CertificateChain", &chain)];
    stage.call("Kms", "UploadCertificate", &upload, &[]).await?;
    stage.certified(&first).await?;

    stage.step(
        "A certificate for Signature",
        "The same once more; the roles need two different certificates.",
    )?;
    let answer = stage.brief("Kms", "CreateCertificate", &parameters, "EC_SM2").await?;
    let second = text(&answer, "CertificateId")?;
    let leaf = certify(&answer, signature)?;
    stage.note("the CA signs it for signature")?;
    let upload = [("CertificateId", second.as_str()), ("Certificate", &leaf), ("CertificateChain", &chain)];
    stage.brief("Kms", "UploadCertificate", &upload, &second).await?;
    stage.certified(&second).await?;
    Ok([first, second])
}

async fn bind(stage: &mut Stage, gateway: &str, encryption: &str, signature: &str) -> Result<()> {
    let of = |id, role| [("VpnGatewayId", gateway), ("CertificateId", id), ("CertificateType", role)];
    let looked_at = ("VpnGatewayId", gateway);

    stage.step(
        "Bind the one for Encryption",
        "Answered when it is written down; then the gateway is brought along.",
    )?;
    stage.call("Vpc", "AssociateVpnGatewayWithCertificate", &of(encryption, "Encryption"), &[]).await?;

    stage.step("A second change too early", "A gateway takes one change at a time.")?;
    let refusal = (400, "VpnGateway.Configuring");
    let second = of(signature, "Signature");
    stage.refused("Vpc", "AssociateVpnGatewayWithCertificate", &second, refusal).await.context(
        "the gateway should still be busy with the first change; a longer --apply-delay keeps it so",
    )?;
    stage.wait("DescribeVpnGateway", looked_at, ACTIVE).await?;

    stage.step("Bind the one for Signature", "The same request is welcome now.")?;
    stage.call("Vpc", "AssociateVpnGatewayWithCertificate", &second, &[]).await?;
    stage.wait("DescribeVpnGateway", looked_at, ACTIVE).await?;

    stage.step(
        "What is bound?",
        "One certificate for each role: what an SM gateway needs before connections.",
    )?;
    let bound = stage.bindings(gateway).await?;
    let pair = |role: &str, id: &str| bound.contains(&(role.to_owned(), id.to_owned()));
    let both = bound.len() == 2 && pair("Encryption", encryption) && pair("Signature", signature);
    stage.check(both, "both certificates are bound")
}

async fn try_to_unbind(stage: &mut Stage, gateway: &str, encryption: &str) -> Result<()> {
    stage.step("Try to unbind", "DryRun=true checks everything and changes nothing.")?;
    let parameters = [
        ("VpnGatewayId", gateway),
        ("CertificateId", encryption),
        ("CertificateType", "Encryption"),
        ("DryRun", "true"),
    ];
    stage.call("Vpc", "DissociateVpnGatewayWithCertificate", &parameters, &[]).await?;
    let bound = stage.bindings(gateway).await?;
    stage.check(bound.len() == 2, "both are still bound")?;

    stage.step("Delete a bound certificate", "Nothing is taken away from under a gateway.")?;
    let refusal = (409, "Rejected.CertificateInUse");
    stage.refused("Kms", "DeleteCertificate", &[("CertificateId", encryption)], refusal).await
}

async fn unbind(stage: &mut Stage, gateway: &str, ids: [&String; 2]) -> Result<()> {
    stage.step("Unbind both", "The same change without DryRun, one after the other.")?;
    for ((role, _), id) in ROLES.into_iter().zip(ids) {
        let parameters = [("VpnGatewayId", gateway), ("CertificateId", id), ("CertificateType", role)];
        stage.call("Vpc", "DissociateVpnGatewayWithCertificate", &parameters, &[]).await?;
        stage.wait("DescribeVpnGateway", ("VpnGatewayId", gateway), ACTIVE).await?;
    }
    let bound = stage.bindings(gateway).await?;
    stage.check(bound.is_empty(), "nothing is bound")
}

async fn clear_away(
    stage: &mut Stage,
    gateway: &str,
    vswitch: &str,
    vpc: &str,
    certificates: [&String; 2],
) -> Result<()> {
    stage.step("Clear away", "In the order of dependence; now the certificates may go.")?;
    for id in certificates {
        stage.brief("Kms", "DeleteCertificate", &[("CertificateId", id)], id).await?;
    }
    stage.brief("Vpc", "DeleteVpnGateway", &[("VpnGatewayId", gateway)], gateway).await?;
    let gone = Goal::Gone("InvalidVpnGatewayInstanceId.NotFound");
    stage.wait("DescribeVpnGateway", ("VpnGatewayId", gateway), gone).await?;
    stage.brief("Vpc", "DeleteVSwitch", &[("VSwitchId", vswitch)], vswitch).await?;
    stage.brief("Vpc", "DeleteVpc", &[("VpcId", vpc)], vpc).await?;
    let answer = stage.brief("Vpc", "DescribeVpcs", &[], REGION).await?;
    stage.check(answer.get("TotalCount") == Some(&Value::from(0)), "nothing is left")
}

/// What a wait is for.
#[derive(Debug, Clone, Copy)]
enum Goal {
    /// This value of `Status`.
    Status(&'static str),
    /// This error code.
    Gone(&'static str),
}

const ACTIVE: Goal = Goal::Status("active");

/// Makes the calls and shows them.
struct Stage {
    client: Client,
    out: Screen,
    paint: Paint,
    started: Instant,
    step: usize,
    title: String,
    calls: usize,
}

impl Stage {
    fn new(client: Client) -> Self {
        let out = terminal::out().watched();
        let paint = out.paint();
        Self { client, out, paint, started: Instant::now(), step: 0, title: "opening".to_owned(), calls: 0 }
    }

    fn opening(&mut self, endpoint: &str, key: &str) -> io::Result<()> {
        let title = self
            .paint
            .paint(Style::Strong, "An SM VPN gateway and its two certificates, from nothing to nothing");
        writeln!(self.out, "{title}")?;
        writeln!(self.out)?;
        writeln!(self.out, "    Server      {endpoint}, on a throw-away store")?;
        writeln!(self.out, "    Access key  {key}, signing with ACS3-HMAC-SHA256")?;
        writeln!(
            self.out,
            "    Region      {REGION}, a parameter of every Vpc request and not repeated below"
        )
    }

    fn closing(&mut self) -> io::Result<()> {
        let end = format!(
            "All as it should be: {} requests in {:.1} s. The store is thrown away.",
            self.calls,
            self.started.elapsed().as_secs_f64()
        );
        writeln!(self.out)?;
        writeln!(self.out, "{}", self.paint.paint(Style::Good, &end))
    }

    fn blank(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    fn step(&mut self, title: &str, why: &str) -> Result<()> {
        self.step += 1;
        title.clone_into(&mut self.title);
        let title = self.paint.paint(Style::Strong, &format!("{:>2}  {title}", self.step));
        writeln!(self.out)?;
        writeln!(self.out, "{title}")?;
        writeln!(self.out, "    {}", self.paint.paint(Style::Dim, why))?;
        Ok(())
    }

    fn note(&mut self, text: &str) -> Result<()> {
        writeln!(self.out, "    {}", self.paint.paint(Style::Dim, &format!("· {text}")))?;
        Ok(())
    }

    /// Shows a claim that holds; one that does not ends the demonstration.
    fn check(&mut self, holds: bool, claim: &str) -> Result<()> {
        if !holds {
            bail!("it is not so that {claim}");
        }
        writeln!(self.out, "    {}", self.paint.paint(Style::Good, &format!("✓ {claim}")))?;
        Ok(())
    }

    /// Makes a call that must succeed; shows request, parameters and some fields of the answer.
    async fn call(
        &mut self,
        product: &str,
        action: &str,
        parameters: &[(&str, &str)],
        show: &[&str],
    ) -> Result<Value> {
        let answer = self.request(product, action, parameters).await?;
        let value = self.success(action, &answer)?;
        let fields: Vec<_> =
            show.iter().map(|name| Ok((*name, text(&value, name)?))).collect::<Result<_>>()?;
        self.answered(&answer, &value)?;
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.fields(&fields)?;
        Ok(value)
    }

    /// Makes a call that must be refused.
    async fn refused(
        &mut self,
        product: &str,
        action: &str,
        parameters: &[(&str, &str)],
        expected: (u16, &str),
    ) -> Result<()> {
        let answer = self.request(product, action, parameters).await?;
        if answer.is_success() {
            bail!("{action} succeeded, expected was {} {}", expected.0, expected.1);
        }
        let error = answer.error().with_context(|| format!("HTTP {} without an error", answer.status))?;
        let line = format!("{} {}: {}", answer.status, error.code, error.message);
        writeln!(self.out, "    ← {}", self.paint.paint(Style::Bad, &harmless(&line)))?;
        if (answer.status, error.code.as_str()) != expected {
            bail!("{action} answered {line}, expected was {} {}", expected.0, expected.1);
        }
        Ok(())
    }

    /// Makes a call that must succeed and shows it on one line, with the one parameter that matters.
    async fn brief(
        &mut self,
        product: &str,
        action: &str,
        parameters: &[(&str, &str)],
        subject: &str,
    ) -> Result<Value> {
        let answer = self.send(product, action, parameters).await?;
        let status = if answer.is_success() { Style::Good } else { Style::Bad };
        let status = self.paint.paint(status, &answer.status.to_string());
        let name = self.paint.paint(Style::Name, action);
        writeln!(self.out, "    → POST {product} {name} {} ← {status}", harmless(subject))?;
        self.success(action, &answer)
    }

    /// Looks at a certificate that was uploaded.
    async fn certified(&mut self, id: &str) -> Result<()> {
        let answer = self.brief("Kms", "DescribeCertificate", &[("CertificateId", id)], id).await?;
        let active =
            text(&answer, "Status")? == "ACTIVE" && text(&answer, "SignatureAlgorithm")? == "SM2-SM3";
        self.check(active, "it is ACTIVE, and SM2 with SM3 throughout")
    }

    /// What is bound to a gateway: role and certificate.
    async fn bindings(&mut self, gateway: &str) -> Result<Vec<(String, String)>> {
        const ACTION: &str = "ListVpnCertificateAssociations";
        let answer = self.request("Vpc", ACTION, &[("VpnGatewayId.1", gateway)]).await?;
        let value = self.success(ACTION, &answer)?;
        let relations = value.get("VpnCertificateRelations").and_then(Value::as_array);
        let mut bound = Vec::new();
        for relation in relations.with_context(|| format!("{ACTION} answered no VpnCertificateRelations"))? {
            bound.push((text(relation, "CertificateType")?, text(relation, "CertificateId")?));
        }
        self.answered(&answer, &value)?;
        let total = bound.len().to_string();
        let mut fields = vec![("TotalCount", total.as_str())];
        fields.extend(bound.iter().map(|(role, id)| (role.as_str(), id.as_str())));
        self.fields(&fields)?;
        let count = value.get("TotalCount").and_then(Value::as_u64);
        if count != Some(bound.len() as u64) {
            bail!("{ACTION} answered {} relations and TotalCount {count:?}", bound.len());
        }
        Ok(bound)
    }

    /// Looks at a resource until it has reached a state; shows the states on the way on one line.
    async fn wait(&mut self, action: &str, subject: (&str, &str), goal: Goal) -> Result<()> {
        let started = Instant::now();
        let mut shown = String::new();
        write!(self.out, "    ⋯ {}: ", self.paint.paint(Style::Name, action))?;
        loop {
            let answer = self.send("Vpc", action, &[subject]).await?;
            let (state, reached) = state(action, &answer, goal)?;
            if state != shown {
                let dots = if shown.is_empty() { "" } else { " … " };
                let style = if reached { Style::Good } else { Style::Literal };
                write!(self.out, "{dots}{}", self.paint.paint(style, &harmless(&state)))?;
                self.out.flush()?;
                shown = state;
            }
            let passed = started.elapsed();
            if reached {
                writeln!(self.out, " ({:.1} s)", passed.as_secs_f64())?;
                return Ok(());
            }
            if passed > PATIENCE {
                bail!("{} is still {shown} after {} s", subject.1, PATIENCE.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Shows a request and sends it.
    async fn request(&mut self, product: &str, action: &str, parameters: &[(&str, &str)]) -> Result<Answer> {
        writeln!(self.out, "    → POST {product} {}", self.paint.paint(Style::Name, action))?;
        self.fields(parameters)?;
        self.out.flush()?;
        self.send(product, action, parameters).await
    }

    async fn send(&mut self, product: &str, action: &str, parameters: &[(&str, &str)]) -> Result<Answer> {
        self.calls += 1;
        let mut parameters: Vec<_> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        if product == "Vpc" {
            parameters.push(("RegionId".to_owned(), REGION.to_owned()));
        }
        let request = Request {
            action,
            version: known_version(product).context("the product is known")?,
            parameters: &parameters,
            method: Method::POST,
            placement: Placement::Query,
            format: Format::Json,
        };
        let signed = self.client.sign(&request)?;
        self.client.send(signed).await.with_context(|| format!("{product} {action}"))
    }

    /// The body of an answer that must be a success.
    fn success(&mut self, action: &str, answer: &Answer) -> Result<Value> {
        if !answer.is_success() {
            let line = described(answer);
            writeln!(self.out, "    ← {}", self.paint.paint(Style::Bad, &line))?;
            bail!("{action} answered {line}");
        }
        let value: Value =
            serde_json::from_slice(&answer.body).with_context(|| format!("{action} answered no JSON"))?;
        text(&value, "RequestId")?;
        Ok(value)
    }

    /// Shows that an answer is a success, and which one.
    fn answered(&mut self, answer: &Answer, value: &Value) -> Result<()> {
        let status = self.paint.paint(Style::Good, &answer.status.to_string());
        let id = self.paint.paint(Style::Dim, &harmless(&format!("RequestId {}", text(value, "RequestId")?)));
        writeln!(self.out, "    ← {status}  {id}")?;
        Ok(())
    }

    /// Names and values, aligned. Of PEM and of other long values the beginning.
    fn fields(&mut self, fields: &[(&str, &str)]) -> io::Result<()> {
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, value) in fields {
            let name = self.paint.paint(Style::Dim, &format!("{name:<width$}"));
            writeln!(self.out, "        {name}  {}", abridged(value))?;
        }
        Ok(())
    }
}

/// The state that an answer shows, and whether it is the one waited for.
fn state(action: &str, answer: &Answer, goal: Goal) -> Result<(String, bool)> {
    if answer.is_success() {
        let value =
            serde_json::from_slice(&answer.body).with_context(|| format!("{action} answered no JSON"))?;
        let status = text(&value, "Status")?;
        let reached = matches!(goal, Goal::Status(wanted) if wanted == status);
        return Ok((status, reached));
    }
    match (answer.error(), goal) {
        (Some(error), Goal::Gone(code)) if error.code == code && answer.status == 404 => {
            Ok((format!("{} {code}", answer.status), true))
        }
        _ => bail!("{action} answered {}", described(answer)),
    }
}

fn described(answer: &Answer) -> String {
    let status = answer.status;
    let error = answer.error();
    harmless(
        &error.map_or_else(
            || status.to_string(),
            |error| format!("{status} {}: {}", error.code, error.message),
        ),
    )
}

fn text(value: &Value, name: &str) -> Result<String> {
    let text = value.get(name).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("the answer has no {name}"))
}

fn abridged(value: &str) -> String {
    match value.split_once('\n') {
        Some((first, _)) => format!("{} … ({} bytes)", harmless(first), value.len()),
        None => match value.char_indices().nth(WIDTH) {
            Some((end, _)) => format!("{} … ({} bytes)", harmless(&value[..end]), value.len()),
            None => harmless(value),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_abridged() {
        assert_eq!(abridged("vpn-1"), "vpn-1");
        assert_eq!(abridged("-----BEGIN X-----\nAAAA\n"), "-----BEGIN X----- … (23 bytes)");
        assert_eq!(abridged(&"通".repeat(80)), format!("{} … (240 bytes)", "通".repeat(76)));
    }

    #[test]
    fn states_are_read_from_answers() {
        let answer = |status, body: &'static str| Answer {
            status,
            headers: http::HeaderMap::new(),
            body: body.into(),
        };
        let updating = answer(200, r#"{"Status":"updating"}"#);
        assert_eq!(state("A", &updating, ACTIVE).unwrap(), ("updating".to_owned(), false));
        assert_eq!(state("A", &updating, Goal::Gone("N")).unwrap(), ("updating".to_owned(), false));
        let active = answer(200, r#"{"Status":"active"}"#);
        assert!(state("A", &active, ACTIVE).unwrap().1);
        let gone = answer(404, r#"{"Code":"N","Message":"m","RequestId":"R"}"#);
        assert_eq!(state("A", &gone, Goal::Gone("N")).unwrap(), ("404 N".to_owned(), true));
        for (answer, goal) in [(&gone, ACTIVE), (&gone, Goal::Gone("M")), (&answer(502, "<html>"), ACTIVE)] {
            assert!(state("A", answer, goal).is_err());
        }
        let error = state("A", &gone, ACTIVE).unwrap_err();
        assert_eq!(error.to_string(), "A answered 404 N: m");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_demonstration_ends_well() {
        // Longer than a busy machine takes for a call.
        let args = DemoArgs { apply_delay: "1s".to_owned() };
        let code = run(args).await.unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
    }
}
