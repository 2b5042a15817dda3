//! Calls of the API as bytes ready to send: signed, each with a nonce of its own.

use std::cell::Cell;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::Value;
use tongguan_rpc::{ClientCall, Format, Placement, Secret, SignatureMethod, Signer};

use crate::connection::Connection;

/// The AccessKey id of the suite.
pub(crate) const ACCESS_KEY_ID: &str = "benchid";
/// Its secret.
pub(crate) const SECRET: &str = "0123456789abcdefghijklmnopqrst";
/// The account it belongs to.
pub(crate) const ACCOUNT: &str = "1234567890123456";
/// Where everything is made.
pub(crate) const REGION: &str = "cn-hangzhou";

const VPC: &str = "2016-04-28";
const KMS: &str = "2016-01-20";
const RAM: &str = "2015-05-01";

/// The signature of a request, and with it how SDKs send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// GET, everything in the query, HMAC-SHA1.
    V1,
    /// POST, system values in headers, ACS3-HMAC-SHA256.
    V3,
}

/// Role of a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The certificate for encryption.
    Encryption,
    /// The certificate for signatures.
    Signature,
}

/// An operation with its parameters, not signed yet.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    version: &'static str,
    action: &'static str,
    parameters: Vec<(String, String)>,
    placement: Placement,
}

/// Signs calls.
#[derive(Debug)]
pub(crate) struct Caller {
    v1: Signer,
    v3: Signer,
    run: u64,
    count: Cell<u64>,
}

/// A connection for calls whose answer matters.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    caller: &'a Caller,
    host: String,
    connection: Connection,
}

/// What an answer came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// 200.
    Done(Value),
    /// The resource is not settled yet: ask again.
    NotYet,
}

/// Codes that mean "later": `--apply-delay 0` makes later soon.
const NOT_YET: [&str; 3] = ["VpnGateway.Configuring", "IncorrectVpcStatus", "IncorrectVSwitchStatus"];

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Encryption => "Encryption",
            Self::Signature => "Signature",
        }
    }
}

impl Operation {
    fn new(version: &'static str, action: &'static str, parameters: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parameters = parameters.iter().map(owned).collect();
        Self { version, action, parameters, placement: Placement::Query }
    }

    fn vpc(action: &'static str, parameters: &[(&str, &str)]) -> Self {
        let mut operation = Self::new(VPC, action, parameters);
        operation.parameters.push(("RegionId".to_owned(), REGION.to_owned()));
        operation
    }

    /// DescribeRegions: the cheapest answer that proves that calls are served.
    pub(crate) fn regions() -> Self {
        Self::new(VPC, "DescribeRegions", &[])
    }

    /// CreateVpc.
    pub(crate) fn create_vpc() -> Self {
        Self::vpc("CreateVpc", &[("CidrBlock", "10.0.0.0/8")])
    }

    /// CreateVSwitch.
    pub(crate) fn create_vswitch(vpc: &str, zone: &str) -> Self {
        let parameters = [("VpcId", vpc), ("ZoneId", zone), ("CidrBlock", "10.0.0.0/16")];
        Self::vpc("CreateVSwitch", &parameters)
    }

    /// CreateVpnGateway for an SM gateway.
    pub(crate) fn create_gateway(vpc: &str, vswitch: &str) -> Self {
        let parameters = [
            ("VpcId", vpc),
            ("VSwitchId", vswitch),
            ("Bandwidth", "10"),
            ("InstanceChargeType", "POSTPAY"),
            ("VpnType", "NationalStandard"),
        ];
        Self::vpc("CreateVpnGateway", &parameters)
    }

    /// DescribeVpnGateway.
    pub(crate) fn gateway(id: &str) -> Self {
        Self::vpc("DescribeVpnGateway", &[("VpnGatewayId", id)])
    }

    /// DescribeVpnGateways, the first page of 50.
    pub(crate) fn gateways() -> Self {
        Self::vpc("DescribeVpnGateways", &[("PageNumber", "1"), ("PageSize", "50")])
    }

    /// ListVpnCertificateAssociations of one gateway.
    pub(crate) fn associations_of(gateway: &str) -> Self {
        Self::vpc("ListVpnCertificateAssociations", &[("VpnGatewayId.1", gateway)])
    }

    /// ListVpnCertificateAssociations, the first 20 of all.
    pub(crate) fn associations() -> Self {
        Self::vpc("ListVpnCertificateAssociations", &[("MaxResults", "20")])
    }

    /// AssociateVpnGatewayWithCertificate.
    pub(crate) fn associate(gateway: &str, role: Role, certificate: &str) -> Self {
        Self::binding("AssociateVpnGatewayWithCertificate", gateway, role, certificate)
    }

    /// DissociateVpnGatewayWithCertificate.
    pub(crate) fn dissociate(gateway: &str, role: Role, certificate: &str) -> Self {
        Self::binding("DissociateVpnGatewayWithCertificate", gateway, role, certificate)
    }

    fn binding(action: &'static str, gateway: &str, role: Role, certificate: &str) -> Self {
        let parameters =
            [("VpnGatewayId", gateway), ("CertificateType", role.name()), ("CertificateId", certificate)];
        Self::vpc(action, &parameters)
    }

    /// TagResources of fifty gateways with one long tag, as a form.
    pub(crate) fn tag_fifty() -> Self {
        let ids = (1..=50).map(|n| (format!("ResourceId.{n}"), format!("vpn-{n}")));
        let value = "a".repeat(128);
        let fixed = [("ResourceType", "VPNGATEWAY"), ("Tag.1.Key", "abcde"), ("Tag.1.Value", value.as_str())];
        let mut operation = Self { placement: Placement::Form, ..Self::vpc("TagResources", &fixed) };
        operation.parameters.extend(ids);
        operation
    }

    /// An operation of resource access management, as a form: policies are long.
    pub(crate) fn ram(action: &'static str, parameters: &[(&str, &str)]) -> Self {
        Self { placement: Placement::Form, ..Self::new(RAM, action, parameters) }
    }

    /// CreateCertificate: an SM2 key and its signing request.
    pub(crate) fn create_certificate() -> Self {
        let parameters = [("KeySpec", "EC_SM2"), ("Subject", "CN=bench,OU=bench,O=tongguan,C=CN")];
        Self::new(KMS, "CreateCertificate", &parameters)
    }

    /// UploadCertificate, as a form, because of its length.
    pub(crate) fn upload_certificate(id: &str, certificate: &str, chain: &str) -> Self {
        let parameters = [("CertificateId", id), ("Certificate", certificate), ("CertificateChain", chain)];
        Self { placement: Placement::Form, ..Self::new(KMS, "UploadCertificate", &parameters) }
    }
}

impl Caller {
    /// A caller whose nonces no other run repeats.
    pub(crate) fn new() -> Self {
        Self::with(ACCESS_KEY_ID, SECRET)
    }

    /// A caller with a key of its own.
    pub(crate) fn with(access_key_id: &str, secret: &str) -> Self {
        let signer = |method| Signer {
            access_key_id: access_key_id.to_owned(),
            secret: Secret::from(secret),
            security_token: None,
            method,
        };
        Self {
            v1: signer(SignatureMethod::HmacSha1),
            v3: signer(SignatureMethod::Acs3HmacSha256),
            run: uuid::Uuid::new_v4().as_u64_pair().0,
            count: Cell::new(0),
        }
    }

    /// The request as it goes over the wire to `host`.
    pub(crate) fn sign(&self, scheme: Scheme, host: &str, operation: &Operation) -> Vec<u8> {
        let count = self.count.get();
        self.count.set(count + 1);
        let nonce = format!("{:016x}{count:016x}", self.run);
        let timestamp = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let (signer, http_method) = match (scheme, operation.placement) {
            (Scheme::V1, Placement::Query) => (&self.v1, Method::GET),
            (Scheme::V1, Placement::Form) => (&self.v1, Method::POST),
            (Scheme::V3, Placement::Query | Placement::Form) => (&self.v3, Method::POST),
        };
        let request = signer.sign(&ClientCall {
            http_method,
            host,
            action: operation.action,
            version: operation.version,
            parameters: &operation.parameters,
            placement: operation.placement,
            format: Format::Json,
            timestamp: &timestamp,
            nonce: &nonce,
        });
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.path_and_query);
        for (name, value) in &request.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if request.method == Method::POST {
            head.push_str(&format!("content-length: {}\r\n", request.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&request.body);
        bytes
    }
}

impl<'a> Client<'a> {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub(crate) async fn open(caller: &'a Caller, address: SocketAddr) -> Result<Self> {
        Ok(Self { caller, host: address.to_string(), connection: Connection::open(address).await? })
    }

    /// Calls once, signed in V3, and answers the code of the refusal, if it is one.
    ///
    /// # Errors
    /// No answer, or none in JSON.
    pub(crate) async fn code(&mut self, operation: &Operation) -> Result<Option<String>> {
        let request = self.caller.sign(Scheme::V3, &self.host, operation);
        let answer = self.connection.exchange(&request).await?;
        let body: Value = serde_json::from_slice(answer.body).context("no JSON")?;
        Ok(body["Code"].as_str().map(str::to_owned))
    }

    /// Calls once, signed in V1.
    ///
    /// # Errors
    /// Any answer but 200 and "not yet".
    pub(crate) async fn ask(&mut self, operation: &Operation) -> Result<Outcome> {
        let request = self.caller.sign(Scheme::V1, &self.host, operation);
        let answer = self.connection.exchange(&request).await?;
        let body: Value = serde_json::from_slice(answer.body)
            .with_context(|| format!("{} answered no JSON: {}", operation.action, answer.text()))?;
        match (answer.status, body["Code"].as_str()) {
            (200, _) => Ok(Outcome::Done(body)),
            (_, Some(code)) if NOT_YET.contains(&code) => Ok(Outcome::NotYet),
            (status, _) => anyhow::bail!("{} was refused with {status}: {body}", operation.action),
        }
    }
}

/// A member of an answer that must be a text.
///
/// # Errors
/// It is none.
pub(crate) fn text<'v>(answer: &'v Value, name: &str) -> Result<&'v str> {
    answer[name].as_str().with_context(|| format!("no {name} in {answer}"))
}
