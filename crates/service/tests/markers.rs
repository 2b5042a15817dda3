//! Markers of pages: every list of the table is walked by two accounts whose rows lie between each other's,
//! and what they are given tells neither of the other.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{REGION, RawCall, Reply, Rig, issue_for, refused, triple};
use serde_json::Value;
use tongguan_pki::Usage;
use tongguan_service::operation;
use tongguan_service::operation::{Operation, Product};

const ACCOUNTS: [&str; 2] = ["root", "stranger"];
const AT: (&str, &str) = ("RegionId", REGION);
const TRUST: &str = r#"{"Version":"1","Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"RAM":"acs:ram::1234567890123456:root"}}]}"#;
const POLICY: &str =
    r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"vpc:Describe*","Resource":"*"}]}"#;

type Given<'a> = &'a [(&'a str, &'a str)];

/// How a list is walked.
struct Walk {
    operation: &'static Operation,
    /// Parameter for the marker, and member of the answer that holds the next one.
    marker: &'static str,
    /// Parameter for the number of entries on a page.
    size: &'static str,
    /// What else is sent.
    given: Given<'static>,
    /// Where the entries stand in the answer, and what tells them apart.
    entries: &'static str,
    names: &'static [&'static str],
}

impl Walk {
    /// The walk of every list that gives markers.
    fn all() -> Vec<Self> {
        let paged = operation::ALL.iter().filter(|known| known.takes("Marker") || known.takes("NextToken"));
        paged.map(|operation| Self::of(operation)).collect()
    }

    fn of(operation: &'static Operation) -> Self {
        let (size, given, entries, names): (_, Given<'_>, _, &[&str]) =
            match (operation.product, operation.action) {
                (Product::Ram, "ListUsers") => ("MaxItems", &[], "/Users/User", &["UserId"]),
                (Product::Ram, "ListGroups") => ("MaxItems", &[], "/Groups/Group", &["GroupName"]),
                (Product::Ram, "ListUsersForGroup") => {
                    ("MaxItems", &[("GroupName", "group-0")], "/Users/User", &["UserName"])
                }
                (Product::Ram, "ListRoles") => ("MaxItems", &[], "/Roles/Role", &["RoleId"]),
                (Product::Ram, "ListPolicies") => {
                    ("MaxItems", &[("PolicyType", "Custom")], "/Policies/Policy", &["PolicyName"])
                }
                (Product::Ram, "ListTagResources") => {
                    ("PageSize", &[("ResourceType", "role")], "/TagResources", &["ResourceName", "TagKey"])
                }
                (Product::ResourceManager, "ListTagResources") => {
                    ("MaxResults", &[], "/TagResources", &["ResourceId", "TagKey"])
                }
                (Product::Vpc, "ListTagResources") => (
                    "MaxResults",
                    &[AT, ("ResourceType", "VPC"), ("Tag.1.Key", "env")],
                    "/TagResources/TagResource",
                    &["ResourceId", "TagKey"],
                ),
                (Product::Vpc, "DescribeRouteEntryList") => {
                    ("MaxResult", &[AT], "/RouteEntrys/RouteEntry", &["DestinationCidrBlock"])
                }
                (Product::Vpc, "ListVpnCertificateAssociations") => {
                    ("MaxResults", &[AT], "/VpnCertificateRelations", &["CertificateId"])
                }
                (product, action) => panic!("{product:?} {action} gives markers, and no walk of it is here"),
            };
        let marker = if operation.takes("Marker") { "Marker" } else { "NextToken" };
        Self { operation, marker, size, given, entries, names }
    }

    async fn page(&self, rig: &Rig, key: &str, more: Given<'_>) -> Reply {
        let (product, action) = (self.operation.product, self.operation.action);
        let mut given = [self.given, more].concat();
        let tables = call(rig, key, Product::Vpc, "DescribeRouteTableList", &[AT]).await.ok();
        let table = tables["RouterTableList"]["RouterTableListType"][0]["RouteTableId"].as_str();
        if self.operation.takes("RouteTableId") {
            given.extend(table.map(|table| ("RouteTableId", table)));
        }
        call(rig, key, product, action, &given).await
    }

    fn shown(&self, page: &Value) -> Vec<String> {
        let entries = page.pointer(self.entries).and_then(Value::as_array);
        let entries = entries.unwrap_or_else(|| panic!("{} in {page}", self.entries));
        let name = |entry: &Value| self.names.iter().map(|name| entry[name].to_string()).collect();
        entries.iter().map(name).collect()
    }

    /// What pages of one entry show, and the markers between them.
    async fn pages(&self, rig: &Rig, key: &str) -> (Vec<String>, Vec<String>) {
        let (mut shown, mut markers) = (Vec::new(), Vec::<String>::new());
        loop {
            let mut given = vec![(self.size, "1")];
            given.extend(markers.last().map(|marker| (self.marker, marker.as_str())));
            let page = self.page(rig, key, &given).await.ok();
            shown.extend(self.shown(&page));
            match page[self.marker].as_str().filter(|marker| !marker.is_empty()) {
                Some(marker) => markers.push(marker.to_owned()),
                None => return (shown, markers),
            }
        }
    }

    /// The marker is refused as one that was made up is.
    async fn refuses(&self, rig: &Rig, key: &str, marker: &str) {
        let code = match self.operation.product {
            Product::Ram | Product::ResourceManager => format!("InvalidParameter.{}", self.marker),
            _ => format!("IllegalParam.{}", self.marker),
        };
        refused(&self.page(rig, key, &[(self.marker, marker)]).await, 400, &code);
    }
}

async fn call(rig: &Rig, key: &str, product: Product, action: &str, given: Given<'_>) -> Reply {
    let nonce = rig.next_nonce();
    let call = RawCall { key, version: product.version(), nonce: &nonce, ..RawCall::new(action, given) };
    rig.send(&call).await
}

/// Something for every list, three of each, made by the accounts in turn.
async fn interleaved(rig: &Rig) {
    let mut gateways = Vec::new();
    for number in 0..3 {
        for (place, key) in ACCOUNTS.into_iter().enumerate() {
            let ram =
                async |action: &str, given: Given<'_>| call(rig, key, Product::Ram, action, given).await.ok();
            let name = |kind: &str| format!("{kind}-{number}");
            let (user, group, role, policy) = (name("user"), name("group"), name("role"), name("policy"));
            ram("CreateUser", &[("UserName", &user)]).await;
            ram("CreateGroup", &[("GroupName", &group)]).await;
            ram("AddUserToGroup", &[("UserName", &user), ("GroupName", "group-0")]).await;
            ram("CreateRole", &[("RoleName", &role), ("AssumeRolePolicyDocument", TRUST)]).await;
            ram("CreatePolicy", &[("PolicyName", &policy), ("PolicyDocument", POLICY)]).await;
            let roles = format!(r#"["{role}"]"#);
            let tag = ("Tag", r#"[{"Key":"env","Value":"a"}]"#);
            ram("TagResources", &[("ResourceType", "role"), ("ResourceNames", &roles), tag]).await;
            let tag = [AT, ("Tag.1.Key", "env"), ("Tag.1.Value", "a")];
            let group = [("Name", &*name("group")), ("DisplayName", "a"), tag[1], tag[2]];
            call(rig, key, Product::ResourceManager, "CreateResourceGroup", &group).await.ok();
            let vpc = call(rig, key, Product::Vpc, "CreateVpc", &tag).await.ok();
            rig.settle().await;
            let at = [AT, ("VpcId", vpc["VpcId"].as_str().unwrap()), ("ZoneId", "cn-hangzhou-h")];
            let block = [("CidrBlock", "172.16.0.0/24")];
            call(rig, key, Product::Vpc, "CreateVSwitch", &[&at[..], &block].concat()).await.ok();
            rig.settle().await;
            if number == 0 {
                gateways.push(gateway(rig, key, vpc["VpcId"].as_str().unwrap()).await);
            }
            if let Some(role) = ["Signature", "Encryption"].get(number) {
                bind(rig, key, &gateways[place], role).await;
            }
        }
    }
}

async fn gateway(rig: &Rig, key: &str, vpc: &str) -> String {
    let given = [AT, ("VpcId", vpc), ("Bandwidth", "10"), ("VpnType", "NationalStandard")];
    let made = call(rig, key, Product::Vpc, "CreateVpnGateway", &given).await.ok();
    rig.settle().await;
    made["VpnGatewayId"].as_str().unwrap().to_owned()
}

async fn bind(rig: &Rig, key: &str, gateway: &str, role: &str) {
    let kms = async |action: &str, given: Given<'_>| call(rig, key, Product::Kms, action, given).await.ok();
    let made = kms("CreateCertificate", &[("KeySpec", "EC_SM2"), ("Subject", "CN=a,OU=b,O=c,C=CN")]).await;
    let id = ("CertificateId", made["CertificateId"].as_str().unwrap());
    let csr = kms("GetCertificate", &[id]).await;
    let (leaf, chain) = issue_for("EC_SM2".parse().unwrap(), csr["Csr"].as_str().unwrap(), Usage::Both);
    kms("UploadCertificate", &[id, ("Certificate", &leaf), ("CertificateChain", &chain)]).await;
    let given = triple(gateway, id.1, role);
    call(rig, key, Product::Vpc, "AssociateVpnGatewayWithCertificate", &given).await.ok();
    rig.settle().await;
}

/// Neither the list's name nor a row's number stands in it, in whatever way it is written.
fn tells_nothing(walk: &Walk, marker: &str) {
    let bytes = URL_SAFE_NO_PAD.decode(marker).unwrap();
    assert!(std::str::from_utf8(&bytes).is_err(), "{marker} is text");
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(!has(walk.operation.action.as_bytes()) && !has(b"role") && !has(b"vpc-"), "{marker}");
    for row in -1_000..1_000_i64 {
        assert!(!has(&row.to_be_bytes()) && !has(&row.to_le_bytes()), "{marker} holds {row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_tell_nothing_and_serve_their_own_list_and_account_alone() {
    let rig = Rig::new("0");
    interleaved(&rig).await;
    let walks = Walk::all();
    assert_eq!(walks.len(), 10);
    let mut firsts = Vec::new();
    for walk in &walks {
        let mut made = Vec::new();
        for key in ACCOUNTS {
            let whole = walk.shown(&walk.page(&rig, key, &[]).await.ok());
            let (shown, markers) = walk.pages(&rig, key).await;
            let action = walk.operation.action;
            assert!(whole.len() >= 2, "{action}: {whole:?}");
            assert_eq!(shown, whole, "{action}");
            assert_eq!(markers.len(), whole.len() - 1, "{action}");
            markers.iter().for_each(|marker| tells_nothing(walk, marker));
            made.push(markers);
        }
        for (key, theirs) in [(ACCOUNTS[0], &made[1]), (ACCOUNTS[1], &made[0])] {
            for marker in theirs {
                walk.refuses(&rig, key, marker).await;
            }
        }
        // How long it is tells no number either.
        if walk.operation.product == Product::Ram && walk.marker == "Marker" {
            assert!(made.concat().iter().all(|marker| marker.len() == 54), "{made:?}");
        }
        walk.refuses(&rig, "root", "EXAMPLE").await;
        firsts.push(made[0][0].clone());
    }
    // Every list refuses the markers of every other one, also of the same account.
    for (own, walk) in walks.iter().enumerate() {
        for (_, marker) in firsts.iter().enumerate().filter(|(other, _)| *other != own) {
            walk.refuses(&rig, "root", marker).await;
        }
    }
    // Pages go on after a restart.
    let rig = rig.restart("0");
    for (walk, marker) in walks.iter().zip(&firsts) {
        let whole = walk.shown(&walk.page(&rig, "root", &[]).await.ok());
        let rest = walk.shown(&walk.page(&rig, "root", &[(walk.marker, marker)]).await.ok());
        assert_eq!(rest, whole[1..], "{}", walk.operation.action);
    }
}
