//! The calls that are measured, and a client for those whose answer matters.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::Value;
use tongguan_rpc::Placement;
use tongguan_testkit::api::{RAM, VPC};
use tongguan_testkit::http::{self as wire, Connection};
use tongguan_testkit::world::Ask;
use tongguan_testkit::{Call, Caller, Manner, Stamp};

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

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Encryption => "Encryption",
            Self::Signature => "Signature",
        }
    }
}

/// The root key of the suite.
pub(crate) fn root() -> Caller {
    Caller::of("benchid", "0123456789abcdefghijklmnopqrst")
}

/// DescribeRegions: the cheapest answer that proves that calls are served.
pub(crate) fn regions() -> Call<'static> {
    Call::new(VPC, "DescribeRegions", &[])
}

/// DescribeVpnGateway.
pub(crate) fn gateway(id: &str) -> Call<'static> {
    Call::vpc("DescribeVpnGateway", &[("VpnGatewayId", id)])
}

/// DescribeVpnGateways, the first page of 50.
pub(crate) fn gateways() -> Call<'static> {
    Call::vpc("DescribeVpnGateways", &[("PageNumber", "1"), ("PageSize", "50")])
}

/// ListVpnCertificateAssociations of one gateway.
pub(crate) fn associations_of(gateway: &str) -> Call<'static> {
    Call::vpc("ListVpnCertificateAssociations", &[("VpnGatewayId.1", gateway)])
}

/// ListVpnCertificateAssociations, the first 20 of all.
pub(crate) fn associations() -> Call<'static> {
    Call::vpc("ListVpnCertificateAssociations", &[("MaxResults", "20")])
}

/// AssociateVpnGatewayWithCertificate.
pub(crate) fn associate(gateway: &str, role: Role, certificate: &str) -> Call<'static> {
    binding("AssociateVpnGatewayWithCertificate", gateway, role, certificate)
}

/// DissociateVpnGatewayWithCertificate.
pub(crate) fn dissociate(gateway: &str, role: Role, certificate: &str) -> Call<'static> {
    binding("DissociateVpnGatewayWithCertificate", gateway, role, certificate)
}

fn binding(action: &'static str, gateway: &str, role: Role, certificate: &str) -> Call<'static> {
    let parameters =
        [("VpnGatewayId", gateway), ("CertificateType", role.name()), ("CertificateId", certificate)];
    Call::vpc(action, &parameters)
}

/// CreateCustomerGateway.
pub(crate) fn customer(address: &str) -> Call<'static> {
    Call::vpc("CreateCustomerGateway", &[("IpAddress", address)])
}

/// The peer's block of a gateway's connection.
fn remote(number: usize) -> String {
    format!("10.{}.{}.0/24", 1 + number / 256, number % 256)
}

/// CreateVpnConnection, with one tunnel. The connections of a gateway differ in their number.
pub(crate) fn connect(gateway: &str, customer: &str, number: usize) -> Call<'static> {
    let remote = remote(number);
    let parameters = [
        ("VpnGatewayId", gateway),
        ("CustomerGatewayId", customer),
        ("LocalSubnet", "10.0.0.0/16"),
        ("RemoteSubnet", &remote),
        ("IkeConfig", r#"{"Psk":"a.key.of.the.measurement"}"#),
    ];
    Call::vpc("CreateVpnConnection", &parameters)
}

/// CreateVpnRouteEntry: the peer's block of a connection leads over it.
pub(crate) fn route(gateway: &str, connection: &str, number: usize) -> Call<'static> {
    let parameters = [
        ("VpnGatewayId", gateway),
        ("NextHop", connection),
        ("RouteDest", &remote(number)),
        ("Weight", "100"),
        ("PublishVpc", "false"),
    ];
    Call::vpc("CreateVpnRouteEntry", &parameters)
}

/// DescribeVpnRouteEntries of a gateway.
pub(crate) fn routes_of(gateway: &str) -> Call<'static> {
    Call::vpc("DescribeVpnRouteEntries", &[("VpnGatewayId", gateway), ("PageSize", "50")])
}

/// DescribeVpnConnection.
pub(crate) fn connection(id: &str) -> Call<'static> {
    Call::vpc("DescribeVpnConnection", &[("VpnConnectionId", id)])
}

/// DescribeVpnConnections, the first page of 50.
pub(crate) fn connections() -> Call<'static> {
    Call::vpc("DescribeVpnConnections", &[("PageNumber", "1"), ("PageSize", "50")])
}

/// DescribeVpnConnections of one gateway.
pub(crate) fn connections_of(gateway: &str) -> Call<'static> {
    Call::vpc("DescribeVpnConnections", &[("VpnGatewayId", gateway), ("PageSize", "50")])
}

/// TagResources of fifty gateways with one long tag, as a form.
pub(crate) fn tag_fifty() -> Call<'static> {
    let value = "a".repeat(128);
    let fixed = [("ResourceType", "VPNGATEWAY"), ("Tag.1.Key", "abcde"), ("Tag.1.Value", value.as_str())];
    let call = Call::vpc("TagResources", &fixed).form();
    (1..=50).fold(call, |call, n| call.with(&format!("ResourceId.{n}"), &format!("vpn-{n}")))
}

/// An operation of resource access management, as a form: policies are long.
pub(crate) fn ram(action: &'static str, parameters: &[(&str, &str)]) -> Call<'static> {
    Call::new(RAM, action, parameters).form()
}

/// The request as it goes over the wire to `host`.
pub(crate) fn signed(caller: &Caller, scheme: Scheme, host: &str, call: &Call<'_>) -> Vec<u8> {
    let manner = match (scheme, call.placement) {
        (Scheme::V1, Placement::Query) => Manner { http_method: Method::GET, host, ..Manner::V1 },
        (Scheme::V1, Placement::Form) => Manner { host, ..Manner::V1 },
        (Scheme::V3, Placement::Query | Placement::Form) => Manner { host, ..Manner::V3 },
    };
    wire::bytes(&caller.sign(call, &manner, &Stamp::now()), "")
}

/// A connection for calls whose answer matters.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    caller: &'a Caller,
    host: String,
    connection: Connection,
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
    pub(crate) async fn code(&mut self, call: &Call<'_>) -> Result<Option<String>> {
        let (_, body) = self.exchange(Scheme::V3, call).await?;
        Ok(body["Code"].as_str().map(str::to_owned))
    }

    async fn exchange(&mut self, scheme: Scheme, call: &Call<'_>) -> Result<(u16, Value)> {
        let request = signed(self.caller, scheme, &self.host, call);
        let answer = self.connection.exchange(&request).await?;
        let body = serde_json::from_slice(answer.body)
            .with_context(|| format!("{} answered no JSON: {}", call.action, answer.text()))?;
        Ok((answer.status, body))
    }
}

impl Ask for Client<'_> {
    async fn ask(&mut self, call: &Call<'_>) -> Result<(u16, Value)> {
        self.exchange(Scheme::V1, call).await
    }
}
