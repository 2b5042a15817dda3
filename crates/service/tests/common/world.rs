//! A service in which one account has a bit of everything, and a call of every operation that succeeds there.
#![allow(unreachable_pub, reason = "each test file has it as a module of its own")]
#![allow(dead_code, reason = "each test uses its part")]

use std::sync::LazyLock;

use serde_json::{Map, Value};
use tongguan_model::id::AccountId;
use tongguan_service::operation::Operation;
use tongguan_store::default_resource_group;

use crate::common::{ACCOUNT, RawCall, Rig, fixtures, issue};

/// Names and their values: what `${name}` stands for.
pub type Names = Map<String, Value>;

const RESOURCE_MANAGER: &str = "2020-03-31";
pub const TRUST: &str = r#"{"Version":"1","Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"RAM":"acs:ram::1234567890123456:root"}}]}"#;
pub const POLICY: &str =
    r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"vpc:Describe*","Resource":"*"}]}"#;
pub const SERVICE_ROLE: &str = "AliyunServiceRoleForVPNCertificate";
pub const NAMED: &str = r#"["operator"]"#;
pub const SERVICE: &str = "certificate.vpn.aliyuncs.com";

/// What one account has.
pub struct World {
    pub rig: Rig,
    pub names: Names,
}

/// A call that succeeds, as `calls.json` has it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Who makes it: root, or a name.
    pub caller: String,
    /// Parameters as on the wire, with names not yet in place.
    pub parameters: Vec<(String, String)>,
}

fn text(value: &Value, path: &[&str]) -> String {
    let found = path.iter().fold(value, |value, name| &value[*name]);
    found.as_str().unwrap_or_else(|| panic!("{path:?} in {value}")).to_owned()
}

/// Certificates and requests in Cas, and what more can be uploaded.
async fn uploads(rig: &Rig) -> Vec<(&'static str, String)> {
    let mut names = vec![
        ("rsa_cert", fixtures::RSA.to_owned()),
        ("rsa_key", fixtures::RSA_KEY.to_owned()),
        ("encrypt_cert", fixtures::SM_ENCRYPTION.to_owned()),
        ("encrypt_key", fixtures::SM_ENCRYPTION_KEY.to_owned()),
        ("sign_cert", fixtures::SM_SIGNATURE.to_owned()),
        ("sign_key", fixtures::SM_SIGNATURE_KEY.to_owned()),
    ];
    let rsa = [("Name", "rsa"), ("Cert", fixtures::RSA), ("Key", fixtures::RSA_KEY)];
    let pair = fixtures::pair("pair");
    let tags: Vec<_> = pair.into_iter().chain([("Tags.1.Key", "team"), ("Tags.1.Value", "a")]).collect();
    for (name, parameters) in [("upload", &rsa[..]), ("pair", &tags[..])] {
        let made = rig.cas("UploadUserCertificate", parameters).await.ok();
        names.push((name, made["CertId"].to_string()));
    }
    let subject = [
        ("Algorithm", "SM2"),
        ("KeySize", "256"),
        ("CommonName", "vpn.example.com"),
        ("CountryCode", "CN"),
        ("Province", "Zhejiang"),
        ("Locality", "Hangzhou"),
        ("Name", "first"),
    ];
    let made = rig.cas("CreateCsr", &subject).await.ok();
    names.push(("csr", made["CsrId"].to_string()));
    let uploaded = rig.cas("UploadCsr", &[("Csr", fixtures::REQUEST), ("Name", "second")]).await.ok();
    names.push(("keyless_csr", uploaded["CsrId"].to_string()));
    names.push(("request", fixtures::REQUEST.to_owned()));
    names.push(("request_key", fixtures::REQUEST_KEY.to_owned()));
    names
}

/// A customer gateway of this address.
async fn customer_gateway(rig: &Rig, ip: &str) -> String {
    let parameters = [("RegionId", "cn-hangzhou"), ("IpAddress", ip)];
    text(&rig.call("CreateCustomerGateway", &parameters).await.ok(), &["CustomerGatewayId"])
}

/// Customer gateways: one that others lead to, one that is not used, and one with everything.
async fn customers(rig: &Rig, group: &str) -> [(&'static str, String); 3] {
    let peer = [
        ("RegionId", "cn-hangzhou"),
        ("IpAddress", "1.0.0.3"),
        ("Name", "peer"),
        ("Description", "a peer that speaks BGP"),
        ("Asn", "123.456"),
        ("AuthKey", "key-of-the-peer"),
        ("ResourceGroupId", group),
        ("Tags.1.Key", "team"),
        ("Tags.1.Value", "a"),
    ];
    let (customer, idle) = (customer_gateway(rig, "1.0.0.1").await, customer_gateway(rig, "1.0.0.2").await);
    let peer = text(&rig.call("CreateCustomerGateway", &peer).await.ok(), &["CustomerGatewayId"]);
    [("customer", customer), ("idle_customer", idle), ("peer", peer)]
}

/// What one region has of connections, where nothing else is.
async fn far(rig: &Rig) -> [(&'static str, String); 8] {
    let at = ("RegionId", "cn-beijing");
    let call = async |action: &str, more: &[(&str, &str)], path: &str| {
        let parameters: Vec<_> = [at].iter().chain(more).copied().collect();
        let answer = rig.call(action, &parameters).await.ok();
        rig.settle().await;
        text(&answer, &[path])
    };
    let vpc = call("CreateVpc", &[], "VpcId").await;
    let order = [("VpcId", &*vpc), ("Bandwidth", "10"), ("EnableIpsec", "true")];
    let gateway = call("CreateVpnGateway", &order, "VpnGatewayId").await;
    let peer = [("IpAddress", "1.0.1.1"), ("Asn", "65530"), ("AuthKey", "key-of-the-far-end")];
    let customer = call("CreateCustomerGateway", &peer, "CustomerGatewayId").await;
    let other_customer =
        call("CreateCustomerGateway", &[("IpAddress", "1.0.1.2")], "CustomerGatewayId").await;
    let blocks =
        [("VpnGatewayId", &*gateway), ("LocalSubnet", "10.0.0.0/24"), ("RemoteSubnet", "10.1.0.0/24")];
    let one = [
        ("CustomerGatewayId", &*customer),
        ("Name", "first"),
        ("IkeConfig", r#"{"Psk":"key.of.the.first.one"}"#),
        ("BgpConfig", r#"{"EnableBgp":"true","TunnelCidr":"169.254.10.0/30","LocalBgpIp":"169.254.10.1"}"#),
        ("Tags.1.Key", "team"),
        ("Tags.1.Value", "a"),
    ];
    let one: Vec<_> = blocks.iter().chain(&one).copied().collect();
    let connection = call("CreateVpnConnection", &one, "VpnConnectionId").await;
    let two = [
        ("TunnelOptionsSpecification.1.CustomerGatewayId", &*customer),
        ("TunnelOptionsSpecification.1.TunnelIkeConfig.Psk", "key.of.the.master"),
        ("TunnelOptionsSpecification.2.CustomerGatewayId", &*other_customer),
        ("TunnelOptionsSpecification.2.TunnelIkeConfig.Psk", "key.of.the.second.one"),
    ];
    let blocks = [("VpnGatewayId", &*gateway), ("LocalSubnet", "0.0.0.0/0"), ("RemoteSubnet", "0.0.0.0/0")];
    let two: Vec<_> = blocks.iter().chain(&two).copied().collect();
    let redundant = call("CreateVpnConnection", &two, "VpnConnectionId").await;
    let shown = rig.call("DescribeVpnConnection", &[at, ("VpnConnectionId", &*redundant)]).await.ok();
    let tunnels = &shown["TunnelOptionsSpecification"]["TunnelOptions"];
    let tunnel = tunnels[0]["TunnelId"].as_str().unwrap().to_owned();
    let diagnose = [("VpnGatewayId", &*gateway), ("ResourceType", "IPsec"), ("ResourceId", &*connection)];
    let diagnosis = call("DiagnoseVpnGateway", &diagnose, "DiagnoseId").await;
    let both = [
        ("LocalSubnet", "0.0.0.0/0"),
        ("RemoteSubnet", "0.0.0.0/0"),
        ("Name", "attached"),
        ("TunnelOptionsSpecification.1.CustomerGatewayId", &*customer),
        ("TunnelOptionsSpecification.1.TunnelIkeConfig.Psk", "key.of.the.first.tunnel"),
        ("TunnelOptionsSpecification.2.CustomerGatewayId", &*other_customer),
        ("TunnelOptionsSpecification.2.TunnelIkeConfig.Psk", "key.of.the.second.tunnel"),
        ("Tag.1.Key", "team"),
        ("Tag.1.Value", "b"),
    ];
    let attachment = call("CreateVpnAttachment", &both, "VpnConnectionId").await;
    let route = [
        ("VpnGatewayId", &*gateway),
        ("RouteDest", "10.8.0.0/24"),
        ("NextHop", &*redundant),
        ("Weight", "100"),
        ("PublishVpc", "true"),
    ];
    call("CreateVpnRouteEntry", &route, "RouteDest").await;
    let route: Vec<_> = route.into_iter().chain([("RouteSource", "172.16.0.0/24")]).collect();
    call("CreateVpnPbrRouteEntry", &route, "RouteDest").await;
    [
        ("linked", gateway),
        ("far", customer),
        ("further", other_customer),
        ("connection", connection),
        ("redundant", redundant),
        ("tunnel", tunnel),
        ("diagnosis", diagnosis),
        ("attachment", attachment),
    ]
}

/// An attachment with a route.
async fn routed(rig: &Rig, customers: &[(&'static str, String); 3]) -> String {
    let at = ("RegionId", "cn-hangzhou");
    let [(_, one), _, (_, two)] = customers;
    let attachment = [
        at,
        ("LocalSubnet", "0.0.0.0/0"),
        ("RemoteSubnet", "0.0.0.0/0"),
        ("TunnelOptionsSpecification.1.CustomerGatewayId", one),
        ("TunnelOptionsSpecification.2.CustomerGatewayId", two),
    ];
    let made = rig.call("CreateVpnAttachment", &attachment).await.ok();
    let attachment = text(&made, &["VpnConnectionId"]);
    let over = [("VpnConnectionId", &*attachment), ("NextHop", &*attachment)];
    let route: Vec<_> =
        [at, ("RouteDest", "10.8.0.0/24"), ("Weight", "100")].into_iter().chain(over).collect();
    rig.call("CreateVcoRouteEntry", &route).await.ok();
    attachment
}

/// A role with such an id.
async fn fitting_role(rig: &Rig, name: &str, fits: impl Fn(&str) -> bool) -> String {
    loop {
        let parameters = [("RoleName", name), ("AssumeRolePolicyDocument", TRUST)];
        let id = text(&rig.ram("CreateRole", &parameters).await, &["Role", "RoleId"]);
        if fits(&id) {
            return id;
        }
        rig.ram("DeleteRole", &[("RoleName", name)]).await;
    }
}

/// The default VPC of another region, with a further block.
async fn default_vpc(rig: &Rig) -> String {
    let region = ("RegionId", "cn-beijing");
    let vpc = text(&rig.call("CreateDefaultVpc", &[region]).await.ok(), &["VpcId"]);
    rig.settle().await;
    let further = [region, ("VpcId", vpc.as_str()), ("SecondaryCidrBlock", "192.168.0.0/16")];
    rig.call("AssociateVpcCidrBlock", &further).await.ok();
    vpc
}

/// Users, groups, roles and policies, of each one that is used and one that is not. Answers the id of an access key.
async fn people(rig: &Rig) -> String {
    for name in ["alice", "bob", "unused"] {
        rig.advance(1_000);
        rig.ram("CreateUser", &[("UserName", name)]).await;
    }
    let key = rig.ram("CreateAccessKey", &[("UserName", "alice")]).await;
    let key = text(&key, &["AccessKey", "AccessKeyId"]);
    for name in ["admins", "nobodies"] {
        rig.advance(1_000);
        rig.ram("CreateGroup", &[("GroupName", name)]).await;
    }
    rig.ram("AddUserToGroup", &[("UserName", "alice"), ("GroupName", "admins")]).await;
    rig.advance(1_000);
    let operator = fitting_role(rig, "operator", |id| id < "35").await;
    rig.advance(1_000);
    fitting_role(rig, "unused-role", |id| id > operator.as_str()).await;
    for name in ["looking", "unattached"] {
        rig.advance(1_000);
        rig.ram("CreatePolicy", &[("PolicyName", name), ("PolicyDocument", POLICY)]).await;
    }
    rig.ram("CreatePolicyVersion", &[("PolicyName", "looking"), ("PolicyDocument", POLICY)]).await;
    let looking = [("PolicyName", "looking"), ("PolicyType", "Custom")];
    for (action, principal) in [
        ("AttachPolicyToUser", ("UserName", "alice")),
        ("AttachPolicyToGroup", ("GroupName", "admins")),
        ("AttachPolicyToRole", ("RoleName", "operator")),
    ] {
        rig.ram(action, &[looking[0], looking[1], principal]).await;
    }
    key
}

impl World {
    pub async fn new() -> Self {
        let rig = Rig::new("0");
        let region = ("RegionId", "cn-hangzhou");
        let made = rig.call("CreateVpc", &[region]).await.ok();
        let (vpc, table) = (text(&made, &["VpcId"]), text(&made, &["RouteTableId"]));
        // Ids begin with their moment, and tags are listed in the order of ids: things of one moment in any.
        rig.advance(1_000);
        let empty_vpc = text(&rig.call("CreateVpc", &[region]).await.ok(), &["VpcId"]);
        let default_vpc = default_vpc(&rig).await;
        let group = rig.resource_group("projects").await;
        let empty_group = rig.resource_group("empty").await;
        let parameters =
            [region, ("VpcId", &vpc), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "172.16.7.0/24")];
        let vswitch = text(&rig.call("CreateVSwitch", &parameters).await.ok(), &["VSwitchId"]);
        rig.settle().await;
        let gateway = rig.gateway_in(&vpc, "NationalStandard").await;
        rig.advance(1_000);
        let idle_gateway = rig.gateway_in(&vpc, "NationalStandard").await;
        rig.advance(1_000);
        let parameters =
            [region, ("VpcId", &vpc), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "172.16.8.0/24")];
        let idle_vswitch = text(&rig.call("CreateVSwitch", &parameters).await.ok(), &["VSwitchId"]);
        rig.settle().await;
        let bound = rig.certificate("EC_SM2").await;
        rig.advance(1_000);
        let free = rig.certificate("EC_SM2").await;
        rig.bind(&gateway, &bound, "Encryption").await.ok();
        rig.settle().await;
        let tag = [region, ("ResourceType", "VPNGATEWAY"), ("ResourceId.1", gateway.as_str())];
        let tag: Vec<_> = tag.into_iter().chain([("Tag.1.Key", "team"), ("Tag.1.Value", "a")]).collect();
        rig.call("TagResources", &tag).await.ok();
        let customers = customers(&rig, &group).await;
        let far = far(&rig).await;
        let routed = routed(&rig, &customers).await;
        let pending = rig.pending_certificate("EC_SM2").await;
        let shown = rig.kms("GetCertificate", &[("CertificateId", &pending)]).await.ok();
        let (leaf, chain) = issue("EC_SM2".parse().unwrap(), shown["Csr"].as_str().unwrap());
        let uploads = uploads(&rig).await;
        let key = people(&rig).await;
        let raw = RawCall {
            version: RESOURCE_MANAGER,
            nonce: &rig.next_nonce(),
            ..RawCall::new("DeleteServiceLinkedRole", &[("RoleName", SERVICE_ROLE)])
        };
        let task = text(&rig.send(&raw).await.ok(), &["DeletionTaskId"]);
        rig.settle().await;
        let names = [
            ("vpc", vpc),
            ("table", table),
            ("default_vpc", default_vpc),
            ("default_group", default_resource_group(&AccountId::new(ACCOUNT))),
            ("group", group),
            ("empty_group", empty_group),
            ("empty_vpc", empty_vpc),
            ("routed", routed),
            ("vswitch", vswitch),
            ("idle_vswitch", idle_vswitch),
            ("gateway", gateway),
            ("idle_gateway", idle_gateway),
            ("bound", bound),
            ("free", free),
            ("pending", pending),
            ("leaf", leaf),
            ("chain", chain),
            ("key", key),
            ("task", task),
            ("trust", TRUST.to_owned()),
            ("policy", POLICY.to_owned()),
            ("service", SERVICE.to_owned()),
            ("service_role", SERVICE_ROLE.to_owned()),
        ];
        let names = names.into_iter().chain(customers).chain(far).chain(uploads);
        let names = names.map(|(name, value)| (name.to_owned(), value.into())).collect();
        Self { rig, names }
    }

    /// The value of a name.
    pub fn named(&self, name: &str) -> &str {
        self.names[name].as_str().unwrap()
    }

    /// Parameters of a call that succeeds for who may make it.
    pub fn parameters(&self, operation: &Operation) -> Vec<(String, String)> {
        in_place(&Sample::minimal(operation).parameters, &self.names)
    }
}

impl Sample {
    /// A call of this operation with what it needs and no more.
    pub fn minimal(operation: &Operation) -> Self {
        let found = Self::of(operation, "minimal");
        found.unwrap_or_else(|| {
            panic!("{} {} has no call: give it one", operation.product.as_str(), operation.action)
        })
    }

    /// A call with as many parameters as go together; none: the minimal one has them all.
    pub fn full(operation: &Operation) -> Option<Self> {
        Self::of(operation, "full")
    }

    /// Reads that show what the call has done: `Product.Action` and parameters.
    pub fn then(operation: &Operation) -> Vec<(String, Vec<(String, String)>)> {
        let reads = calls(operation).and_then(|calls| calls.get("then")).and_then(Value::as_object);
        let read = |(call, with): (&String, &Value)| (call.clone(), flattened(with.as_object().unwrap()));
        reads.into_iter().flatten().map(read).collect()
    }

    fn of(operation: &Operation, kind: &str) -> Option<Self> {
        let calls = calls(operation)?;
        Some(Self {
            caller: calls.get("as").and_then(Value::as_str).unwrap_or("root").to_owned(),
            parameters: flattened(calls.get(kind)?.as_object().unwrap()),
        })
    }
}

fn calls(operation: &Operation) -> Option<&'static Value> {
    static CALLS: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(include_str!("calls.json")).unwrap());
    CALLS.get(format!("{}.{}", operation.product.as_str(), operation.action))
}

/// Parameters with their names in place.
pub fn in_place(parameters: &[(String, String)], names: &Names) -> Vec<(String, String)> {
    let value = |text: &String| substituted(&text.as_str().into(), names);
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    parameters.iter().map(|(name, value_of)| (name.clone(), text(value(value_of)))).collect()
}

/// The value with its names in place; a text that is nothing but one name becomes its value.
pub fn substituted(value: &Value, names: &Names) -> Value {
    match value {
        Value::String(text) => {
            if let Some(path) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'))
                && !path.contains('}')
            {
                return named(path, names);
            }
            let (mut out, mut rest) = (String::new(), text.as_str());
            while let Some((before, path)) = rest.split_once("${") {
                let (path, after) = path.split_once('}').expect("a name that ends");
                let value = named(path, names);
                out.push_str(before);
                out.push_str(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                rest = after;
            }
            Value::String(out + rest)
        }
        Value::Array(items) => items.iter().map(|item| substituted(item, names)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), substituted(value, names))).collect()
        }
        other => other.clone(),
    }
}

/// The value of a name; `65*a` is sixty-five letters a.
fn named(path: &str, names: &Names) -> Value {
    if let Some((number, piece)) = path.split_once('*') {
        return piece.repeat(number.parse().expect("how often")).into();
    }
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let value = names.get(name).unwrap_or_else(|| panic!("nothing is named {name}"));
    looked_up(value, rest).unwrap_or_else(|| panic!("no {path} in {value}")).clone()
}

/// What stands at a path. An element that came once is also the first of a list.
pub fn looked_up<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').filter(|part| !part.is_empty()).try_fold(value, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        Value::Object(members) => members.get(part).or((part == "0").then_some(value)),
        other => (part == "0").then_some(other),
    })
}

/// Parameters as on the wire: lists become `Name.1`, structures in them `Name.1.Key`; null is left out.
pub fn flattened(parameters: &Map<String, Value>) -> Vec<(String, String)> {
    fn add(name: String, value: &Value, out: &mut Vec<(String, String)>) {
        match value {
            Value::Null => {}
            Value::String(text) => out.push((name, text.clone())),
            Value::Bool(_) | Value::Number(_) => out.push((name, value.to_string())),
            Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    add(format!("{name}.{}", place + 1), item, out);
                }
            }
            Value::Object(members) => {
                for (member, value) in members {
                    add(format!("{name}.{member}"), value, out);
                }
            }
        }
    }
    let mut out = Vec::new();
    for (name, value) in parameters {
        add(name.clone(), value, &mut out);
    }
    out
}

/// A parameter's value that names something of this account, and one of the same form that names nothing.
pub fn unknown(names: &Names, value: &str) -> Option<String> {
    let named = |name: &str| names[name].as_str().unwrap();
    let other = match value {
        "alice" | "bob" | "unused" | "admins" | "nobodies" | "operator" | "unused-role" | "looking"
        | "unattached" => "nothing-here".to_owned(),
        NAMED => r#"["nothing-here"]"#.to_owned(),
        "acs:ram::1234567890123456:role/operator" => "acs:ram::1234567890123456:role/nothing-here".into(),
        SERVICE_ROLE => "AliyunServiceRoleForNothing".into(),
        value if ["upload", "pair", "csr", "keyless_csr"].iter().any(|name| value == named(name)) => {
            "1".into()
        }
        value if value == named("task") => {
            format!("task/acs-service-role/{SERVICE}/{SERVICE_ROLE}/{}", uuid::Uuid::nil())
        }
        value if value == named("key") => "LTAI5tzzzzzzzzzzzzzzzzzz".into(),
        value if ["bound", "free", "pending"].iter().any(|name| value == named(name)) => {
            uuid::Uuid::nil().to_string()
        }
        value
            if ["vpc-", "vsw-", "vpn-", "vtb-", "rg-", "cgw-", "vco-", "tun-", "vpndgn-"]
                .iter()
                .any(|prefix| value.starts_with(prefix)) =>
        {
            format!("{}{}", &value[..7], "z".repeat(value.len() - 7))
        }
        _ => return None,
    };
    Some(other)
}
