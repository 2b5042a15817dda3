//! A parameter that is sent empty sets the empty value wherever an attribute can be empty, and is refused
//! where it cannot. Walks the table: a text of a Modify or Update operation without a case here fails the
//! test.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use common::{Caller, REGION, RESOURCE_MANAGER, Reply, Rig, VPC, fixtures, issue, ram, refused};
use serde_json::Value;
use tongguan_service::operation::{self, Empty, Operation, Parameter, Product, Shape};

const TRUST: &str = r#"{"Version":"1","Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"RAM":"acs:ram::1234567890123456:root"}}]}"#;
const POLICY: &str =
    r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"vpc:Describe*","Resource":"*"}]}"#;

/// What comes of sending a parameter empty.
enum Case {
    /// The attribute that this read shows by this path was the second, and is empty afterwards.
    Emptied { read: &'static str, path: &'static [&'static str], full: &'static str },
    /// Refused with this code, and nothing changes.
    Refused(&'static str),
    /// It is required: refused as if it were not sent.
    Missing(&'static str),
    /// The attribute is always empty here: done, and nothing changes.
    AlwaysEmpty,
}

use Case::{AlwaysEmpty, Emptied, Missing, Refused};

const VPC_READ: &str = "DescribeVpcAttribute";
const VSWITCH_READ: &str = "DescribeVSwitchAttributes";
const TABLE_READ: &str = "DescribeRouteTableList";
const LIST: &str = "RouterTableList";

/// Whether a parameter names what is changed, or is no attribute of it.
fn names(product: Product, action: &str, parameter: &str) -> bool {
    match product {
        _ if ["RegionId", "ClientToken", "DryRun"].contains(&parameter) => true,
        Product::Vpc => matches!(
            (action, parameter),
            ("ModifyVpnGatewayAttribute", "VpnGatewayId")
                | ("ModifyCustomerGatewayAttribute", "CustomerGatewayId" | "AuthKey")
                | ("ModifyRouteTableAttributes", "RouteTableId")
                | ("ModifyVpnConnectionAttribute", "VpnConnectionId" | "RemoteCaCertificate")
                | (
                    "ModifyVpnAttachmentAttribute",
                    "VpnConnectionId" | "CustomerGatewayId" | "NetworkType" | "RemoteCaCert"
                )
                // Documents of several attributes; an empty one says nothing of any.
                | (
                    "ModifyVpnConnectionAttribute" | "ModifyVpnAttachmentAttribute",
                    "IkeConfig" | "IpsecConfig" | "BgpConfig" | "HealthCheckConfig"
                )
                | (
                    "ModifyVpnPbrRouteEntryAttribute"
                        | "ModifyVpnPbrRouteEntryPriority"
                        | "ModifyVpnPbrRouteEntryWeight"
                        | "ModifyVpnRouteEntryWeight",
                    "VpnGatewayId" | "RouteSource" | "RouteDest" | "NextHop" | "OverlayMode"
                )
                | ("ModifyVpcAttribute", "VpcId")
                | ("ModifyVSwitchAttribute", "VSwitchId")
        ),
        Product::Ram => matches!(
            (action, parameter),
            ("UpdateUser" | "UpdateAccessKey", "UserName")
                | ("UpdateAccessKey", "UserAccessKeyId")
                | ("UpdateRole", "RoleName")
                | ("UpdatePolicyDescription", "PolicyName")
        ),
        _ => matches!(
            (action, parameter),
            ("UpdateResourceGroup", "ResourceGroupId")
                | ("UpdateCertificateStatus", "CertificateId")
                | ("UpdateCsr", "CsrId")
        ),
    }
}

/// What an empty text does that a change can set. `None`: the parameter is none of these.
fn case(product: Product, action: &str, parameter: &str) -> Option<Case> {
    if names(product, action, parameter) {
        return None;
    }
    Some(match (product, action, parameter) {
        (Product::Vpc, "ModifyVpnGatewayAttribute", "Name") => Refused("InvalidName"),
        (Product::Vpc, "ModifyVpnGatewayAttribute", "Description") => {
            Emptied { read: "DescribeVpnGateway", path: &["Description"], full: "before" }
        }
        (Product::Vpc, "ModifyCustomerGatewayAttribute", "Name") => {
            Emptied { read: "DescribeCustomerGateway", path: &["Name"], full: "before" }
        }
        (Product::Vpc, "ModifyCustomerGatewayAttribute", "Description") => {
            Emptied { read: "DescribeCustomerGateway", path: &["Description"], full: "before" }
        }
        (Product::Vpc, "ModifyVpnConnectionAttribute", "Name") => {
            Emptied { read: "DescribeVpnConnection", path: &["Name"], full: "before" }
        }
        (Product::Vpc, "ModifyVpnAttachmentAttribute", "Name") => {
            Emptied { read: "DescribeVpnAttachments", path: &["VpnAttachments", "0", "Name"], full: "before" }
        }
        (Product::Vpc, "ModifyVpnConnectionAttribute" | "ModifyVpnAttachmentAttribute", "LocalSubnet") => {
            Refused("IllegalParam.LocalSubnet")
        }
        (Product::Vpc, "ModifyVpnConnectionAttribute" | "ModifyVpnAttachmentAttribute", "RemoteSubnet") => {
            Refused("IllegalParam.RemoteSubnet")
        }
        (Product::Vpc, "ModifyVpcAttribute", "VpcName") => {
            Emptied { read: VPC_READ, path: &["VpcName"], full: "before" }
        }
        (Product::Vpc, "ModifyVpcAttribute", "Description") => {
            Emptied { read: VPC_READ, path: &["Description"], full: "before" }
        }
        (Product::Vpc, "ModifyVpcAttribute", "CidrBlock") => Refused("InvalidCidrBlock.Malformed"),
        (Product::Vpc, "ModifyVpcAttribute", "Ipv6CidrBlock" | "Ipv6Isp") => AlwaysEmpty,
        (Product::ResourceManager, "UpdateResourceGroup", "NewDisplayName") => {
            Missing("MissingNewDisplayName")
        }
        (Product::Vpc, "ModifyRouteTableAttributes", "RouteTableName") => Emptied {
            read: TABLE_READ,
            path: &[LIST, "RouterTableListType", "0", "RouteTableName"],
            full: "before",
        },
        (Product::Vpc, "ModifyRouteTableAttributes", "Description") => Emptied {
            read: TABLE_READ,
            path: &[LIST, "RouterTableListType", "0", "Description"],
            full: "before",
        },
        (Product::Vpc, "ModifyVSwitchAttribute", "VSwitchName") => {
            Emptied { read: VSWITCH_READ, path: &["VSwitchName"], full: "before" }
        }
        (Product::Vpc, "ModifyVSwitchAttribute", "Description") => {
            Emptied { read: VSWITCH_READ, path: &["Description"], full: "before" }
        }
        (Product::Vpc, "ModifyVSwitchAttribute", "VpcIpv6CidrBlock") => AlwaysEmpty,
        (Product::Kms, "UpdateCertificateStatus", "Status") | (Product::Ram, "UpdateAccessKey", "Status") => {
            Missing("MissingParameter")
        }
        (Product::Cas, "UpdateCsr", "Key") => Missing("MissingKey"),
        (Product::Ram, "UpdateUser", "NewUserName") => Refused("InvalidParameter.NewUserName.Length"),
        (Product::Ram, "UpdateUser", "NewDisplayName") => {
            Emptied { read: "GetUser", path: &["User", "DisplayName"], full: "before" }
        }
        (Product::Ram, "UpdateUser", "NewMobilePhone") => {
            Emptied { read: "GetUser", path: &["User", "MobilePhone"], full: "86-18688888888" }
        }
        (Product::Ram, "UpdateUser", "NewEmail") => {
            Emptied { read: "GetUser", path: &["User", "Email"], full: "a@example.com" }
        }
        (Product::Ram, "UpdateUser", "NewComments") => {
            Emptied { read: "GetUser", path: &["User", "Comments"], full: "before" }
        }
        (Product::Ram, "UpdateRole", "NewAssumeRolePolicyDocument") => Refused("MalformedPolicyDocument"),
        (Product::Ram, "UpdateRole", "NewDescription") => {
            Emptied { read: "GetRole", path: &["Role", "Description"], full: "before" }
        }
        (Product::Ram, "UpdatePolicyDescription", "NewDescription") => {
            Emptied { read: "GetPolicy", path: &["Policy", "Description"], full: "before" }
        }
        (product, action, parameter) => {
            panic!("{product:?} {action}: may {parameter} be emptied? Give it a case")
        }
    })
}

/// A service with one of each thing that can be changed.
struct World {
    rig: Rig,
    vpc: String,
    table: String,
    customer: String,
    group: String,
    vswitch: String,
    gateway: String,
    connection: String,
    attachment: String,
    certificate: String,
    csr: String,
    key: String,
}

fn text(value: &Value, path: &[&str]) -> String {
    let found = path.iter().fold(value, |value, name| match name.parse::<usize>() {
        Ok(place) => &value[place],
        Err(_) => &value[*name],
    });
    found.as_str().unwrap_or_else(|| panic!("{path:?} in {value}")).to_owned()
}

impl World {
    async fn new() -> Self {
        let rig = Rig::new("0");
        let gateway = rig.gateway("Normal").await;
        let shown = rig.call("DescribeVpnGateway", &[("VpnGatewayId", &gateway), ("RegionId", REGION)]).await;
        let vpc = text(&shown.ok(), &["VpcId"]);
        let at = [("VpcId", &*vpc), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "172.16.7.0/24")];
        let vswitch = text(&rig.call("CreateVSwitch", &at).await.ok(), &["VSwitchId"]);
        rig.settle().await;
        let group = rig.resource_group("group").await;
        let parameters = [("RegionId", REGION), ("IpAddress", "1.1.1.1")];
        let customer =
            text(&rig.call("CreateCustomerGateway", &parameters).await.ok(), &["CustomerGatewayId"]);
        let parameters = [
            ("RegionId", REGION),
            ("VpnGatewayId", &*gateway),
            ("CustomerGatewayId", &*customer),
            ("LocalSubnet", "10.0.0.0/24"),
            ("RemoteSubnet", "10.1.0.0/24"),
        ];
        let connection = text(&rig.call("CreateVpnConnection", &parameters).await.ok(), &["VpnConnectionId"]);
        rig.settle().await;
        let parameters = [
            ("RegionId", REGION),
            ("LocalSubnet", "10.0.0.0/24"),
            ("RemoteSubnet", "10.1.0.0/24"),
            ("TunnelOptionsSpecification.1.CustomerGatewayId", &*customer),
            ("TunnelOptionsSpecification.2.CustomerGatewayId", &*customer),
        ];
        let attachment = text(&rig.call("CreateVpnAttachment", &parameters).await.ok(), &["VpnConnectionId"]);
        let shown = rig.call("DescribeRouteTableList", &[("RegionId", REGION), ("VpcId", &vpc)]).await.ok();
        let table = text(&shown, &[LIST, "RouterTableListType", "0", "RouteTableId"]);
        let certificate = rig.pending_certificate("EC_SM2").await;
        let shown = rig.kms("GetCertificate", &[("CertificateId", &certificate)]).await.ok();
        let (leaf, chain) = issue("EC_SM2".parse().unwrap(), &text(&shown, &["Csr"]));
        let upload = [("CertificateId", &*certificate), ("Certificate", &leaf), ("CertificateChain", &chain)];
        rig.kms("UploadCertificate", &upload).await.ok();
        rig.ram("CreateUser", &[("UserName", "alice")]).await;
        let key = rig.ram("CreateAccessKey", &[("UserName", "alice")]).await;
        let key = text(&key, &["AccessKey", "AccessKeyId"]);
        rig.ram("CreateRole", &[("RoleName", "operator"), ("AssumeRolePolicyDocument", TRUST)]).await;
        rig.ram("CreatePolicy", &[("PolicyName", "looking"), ("PolicyDocument", POLICY)]).await;
        let csr = rig.cas("UploadCsr", &[("Csr", fixtures::REQUEST)]).await.ok()["CsrId"].to_string();
        Self {
            rig,
            vpc,
            table,
            group,
            vswitch,
            gateway,
            customer,
            connection,
            attachment,
            certificate,
            csr,
            key,
        }
    }

    /// What names the thing that an operation reads or changes.
    fn named(&self, action: &str) -> Vec<(&str, &str)> {
        match action {
            "ModifyVpnGatewayAttribute" | "DescribeVpnGateway" => {
                vec![("RegionId", REGION), ("VpnGatewayId", &self.gateway)]
            }
            "ModifyCustomerGatewayAttribute" | "DescribeCustomerGateway" => {
                vec![("RegionId", REGION), ("CustomerGatewayId", &self.customer)]
            }
            "ModifyVpnConnectionAttribute" | "DescribeVpnConnection" => {
                vec![("RegionId", REGION), ("VpnConnectionId", &self.connection)]
            }
            "ModifyVpnAttachmentAttribute" | "DescribeVpnAttachments" => {
                vec![("RegionId", REGION), ("VpnConnectionId", &self.attachment)]
            }
            "ModifyVpcAttribute" | VPC_READ => vec![("RegionId", REGION), ("VpcId", &self.vpc)],
            "UpdateResourceGroup" => vec![("ResourceGroupId", &self.group)],
            "ModifyRouteTableAttributes" | TABLE_READ => {
                vec![("RegionId", REGION), ("RouteTableId", &self.table)]
            }
            "ModifyVSwitchAttribute" | VSWITCH_READ => vec![("VSwitchId", &self.vswitch)],
            "UpdateCertificateStatus" => vec![("CertificateId", &self.certificate)],
            "UpdateCsr" => vec![("CsrId", &self.csr)],
            "UpdateUser" | "GetUser" => vec![("UserName", "alice")],
            "UpdateAccessKey" => vec![("UserName", "alice"), ("UserAccessKeyId", &self.key)],
            "UpdateRole" | "GetRole" => vec![("RoleName", "operator")],
            "UpdatePolicyDescription" => vec![("PolicyName", "looking")],
            "GetPolicy" => vec![("PolicyName", "looking"), ("PolicyType", "Custom")],
            action => panic!("what does {action} name?"),
        }
    }

    async fn call(&self, product: Product, action: &str, more: &[(&str, &str)]) -> Reply {
        let mut parameters = self.named(action);
        parameters.extend_from_slice(more);
        let reply = match product {
            Product::Kms => self.rig.kms(action, &parameters).await,
            Product::Cas => self.rig.cas(action, &parameters).await,
            Product::Ram => ram(&self.rig, action, &parameters).await,
            Product::ResourceManager => {
                self.rig.by(&Caller::named("root"), RESOURCE_MANAGER, action, &parameters).await
            }
            _ => self.rig.call(action, &parameters).await,
        };
        self.rig.settle().await;
        reply
    }

    async fn shown(&self, product: Product, read: &str, path: &[&str]) -> String {
        text(&self.call(product, read, &[]).await.ok(), path)
    }

    async fn emptied(&self, operation: &Operation, parameter: &str, case: &Case) {
        let Emptied { read, path, full } = case else { return };
        let (product, action) = (operation.product, operation.action);
        self.call(product, action, &[(parameter, full)]).await.ok();
        assert_eq!(self.shown(product, read, path).await, *full, "{action} {parameter}");
        // Not sent: it stays.
        if !operation.parameters.iter().any(|known| known.name == parameter && known.required) {
            self.call(product, action, &[]).await.ok();
            assert_eq!(self.shown(product, read, path).await, *full, "{action} {parameter}");
        }
        self.call(product, action, &[(parameter, "")]).await.ok();
        assert_eq!(self.shown(product, read, path).await, "", "{action} {parameter}");
    }
}

/// Texts and documents: an empty number or flag is none, and counts as not sent.
fn is_text(parameter: &Parameter) -> bool {
    matches!(parameter.shape, Shape::Text | Shape::Json)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_that_a_change_sets_is_emptied_or_refuses_to_be() {
    let world = World::new().await;
    let mut cases = 0;
    for operation in operation::ALL {
        let (product, action) = (operation.product, operation.action);
        let changes = action.starts_with("Modify") || action.starts_with("Update");
        for parameter in operation.parameters {
            if !changes {
                assert_eq!(parameter.empty, Empty::Absent, "{action} {}: no change", parameter.name);
                continue;
            }
            if !is_text(parameter) {
                assert_eq!(parameter.empty, Empty::Absent, "{action} {}: no text", parameter.name);
                continue;
            }
            let Some(case) = case(product, action, parameter.name) else { continue };
            cases += 1;
            let empty = [(parameter.name, "")];
            match &case {
                Emptied { .. } => {
                    assert_eq!(parameter.empty, Empty::Sets, "{action} {}", parameter.name);
                    world.emptied(operation, parameter.name, &case).await;
                }
                Refused(code) => {
                    let reply = world.call(product, action, &empty).await;
                    refused(&reply, 400, code);
                    assert!(!reply.body["Message"].as_str().unwrap().contains('%'), "{}", reply.body);
                }
                Missing(code) => refused(&world.call(product, action, &empty).await, 400, code),
                AlwaysEmpty => {
                    let before = world.call(product, VPC_READ, &[]).await.ok();
                    world.call(product, action, &empty).await.ok();
                    let mut after = world.call(product, VPC_READ, &[]).await.ok();
                    after["RequestId"] = before["RequestId"].clone();
                    assert_eq!(after, before);
                }
            }
        }
    }
    assert_eq!(cases, 32);
}

/// A change with nothing but what it names leaves all as it is, also where other attributes are emptied beside it.
#[tokio::test(flavor = "multi_thread")]
async fn one_attribute_is_emptied_beside_others_that_stay() {
    let world = World::new().await;
    let all = [
        ("NewDisplayName", "Alice"),
        ("NewMobilePhone", "86-18688888888"),
        ("NewEmail", "a@example.com"),
        ("NewComments", "before"),
    ];
    world.call(Product::Ram, "UpdateUser", &all).await.ok();
    world.call(Product::Ram, "UpdateUser", &[("NewComments", ""), ("NewEmail", "b@example.com")]).await.ok();
    let user = world.call(Product::Ram, "GetUser", &[]).await.ok();
    assert_eq!(user["User"]["Comments"], "");
    assert_eq!(user["User"]["Email"], "b@example.com");
    assert_eq!(user["User"]["DisplayName"], "Alice");
    assert_eq!(user["User"]["MobilePhone"], "86-18688888888");
    // A repeat under one token is the same call only if it empties the same.
    let token = ("ClientToken", "empties");
    let modify = "ModifyVpnGatewayAttribute";
    world.call(Product::Vpc, modify, &[("Description", ""), token]).await.ok();
    refused(&world.call(Product::Vpc, modify, &[token]).await, 400, "IdempotentParameterMismatch");
    assert_eq!(VPC, Product::Vpc.version());
}
