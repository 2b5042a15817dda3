//! Walks the table of operations: each that asks for a permission is allowed with it, refused without it,
//! refused against a Deny, refused for another resource, and of no use to another account. An operation that
//! this file does not know fails the test.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use common::{ACCOUNT, Caller, RESOURCE_MANAGER, RawCall, Reply, Rig, issue, triple};
use serde_json::{Value, json};
use tongguan_service::operation::{self, DryRun, Operation, Product};

const TRUST: &str = r#"{"Version":"1","Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"RAM":"acs:ram::1234567890123456:root"}}]}"#;
const POLICY: &str =
    r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"vpc:Describe*","Resource":"*"}]}"#;
const SERVICE_ROLE: &str = "AliyunServiceRoleForVPNCertificate";
const NAMED: &str = r#"["operator"]"#;
const SERVICE: &str = "certificate.vpn.aliyuncs.com";

/// What one account has.
struct World {
    rig: Rig,
    vpc: String,
    empty_vpc: String,
    vswitch: String,
    idle_vswitch: String,
    gateway: String,
    idle_gateway: String,
    bound: String,
    free: String,
    pending: String,
    leaf: String,
    chain: String,
    key: String,
    task: String,
}

fn text(value: &Value, path: &[&str]) -> String {
    let found = path.iter().fold(value, |value, name| &value[*name]);
    found.as_str().unwrap_or_else(|| panic!("{path:?} in {value}")).to_owned()
}

async fn send(rig: &Rig, caller: &Caller, operation: &Operation, parameters: &[(String, String)]) -> Reply {
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    rig.by(caller, operation.product.version(), operation.action, &parameters).await
}

impl World {
    async fn new() -> Self {
        let rig = Rig::new("0");
        let region = ("RegionId", "cn-hangzhou");
        let vpc = text(&rig.call("CreateVpc", &[region]).await.ok(), &["VpcId"]);
        let empty_vpc = text(&rig.call("CreateVpc", &[region]).await.ok(), &["VpcId"]);
        rig.settle().await;
        let parameters =
            [region, ("VpcId", &vpc), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "172.16.7.0/24")];
        let vswitch = text(&rig.call("CreateVSwitch", &parameters).await.ok(), &["VSwitchId"]);
        rig.settle().await;
        let gateway = rig.gateway_in(&vpc, "NationalStandard").await;
        let idle_gateway = rig.gateway_in(&vpc, "NationalStandard").await;
        let parameters =
            [region, ("VpcId", &vpc), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "172.16.8.0/24")];
        let idle_vswitch = text(&rig.call("CreateVSwitch", &parameters).await.ok(), &["VSwitchId"]);
        rig.settle().await;
        let (bound, free) = (rig.certificate("EC_SM2").await, rig.certificate("EC_SM2").await);
        rig.bind(&gateway, &bound, "Encryption").await.ok();
        rig.settle().await;
        let tag = [region, ("ResourceType", "VPNGATEWAY"), ("ResourceId.1", gateway.as_str())];
        let tag: Vec<_> = tag.into_iter().chain([("Tag.1.Key", "team"), ("Tag.1.Value", "a")]).collect();
        rig.call("TagResources", &tag).await.ok();
        let pending = rig.pending_certificate("EC_SM2").await;
        let shown = rig.kms("GetCertificate", &[("CertificateId", &pending)]).await.ok();
        let (leaf, chain) = issue("EC_SM2".parse().unwrap(), shown["Csr"].as_str().unwrap());
        for name in ["alice", "bob", "unused"] {
            rig.ram("CreateUser", &[("UserName", name)]).await;
        }
        let key = rig.ram("CreateAccessKey", &[("UserName", "alice")]).await;
        let key = text(&key, &["AccessKey", "AccessKeyId"]);
        for name in ["admins", "nobodies"] {
            rig.ram("CreateGroup", &[("GroupName", name)]).await;
        }
        rig.ram("AddUserToGroup", &[("UserName", "alice"), ("GroupName", "admins")]).await;
        for name in ["operator", "unused-role"] {
            let parameters = [("RoleName", name), ("AssumeRolePolicyDocument", TRUST)];
            rig.ram("CreateRole", &parameters).await;
        }
        for name in ["looking", "unattached"] {
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
        let raw = RawCall {
            version: RESOURCE_MANAGER,
            nonce: &rig.next_nonce(),
            ..RawCall::new("DeleteServiceLinkedRole", &[("RoleName", SERVICE_ROLE)])
        };
        let task = text(&rig.send(&raw).await.ok(), &["DeletionTaskId"]);
        rig.settle().await;
        Self {
            rig,
            vpc,
            empty_vpc,
            vswitch,
            idle_vswitch,
            gateway,
            idle_gateway,
            bound,
            free,
            pending,
            leaf,
            chain,
            key,
            task,
        }
    }

    async fn user(&self, name: &str, statements: Value) -> Caller {
        self.rig.user(name, &statements).await
    }

    /// Parameters of a call that succeeds for who may make it.
    fn parameters(&self, operation: &Operation) -> Vec<(String, String)> {
        let region = ("RegionId", "cn-hangzhou");
        let network = ("CidrBlock", "172.16.1.0/24");
        let user = ("UserName", "alice");
        let group = ("GroupName", "admins");
        let role = ("RoleName", "operator");
        let policy = ("PolicyName", "looking");
        let custom = ("PolicyType", "Custom");
        fn certificate(id: &str) -> (&str, &str) {
            ("CertificateId", id)
        }
        let vpc = ("VpcId", self.vpc.as_str());
        let gateway = ("VpnGatewayId", self.gateway.as_str());
        let key = ("UserAccessKeyId", self.key.as_str());
        let document = ("PolicyDocument", POLICY);
        let to_group = ("NewResourceGroupId", "rg-acfmelsewhere1");
        let tagged = [("ResourceType", "role"), ("ResourceNames", NAMED)];
        let mut given = match (operation.product, operation.action) {
            (Product::Vpc, "AssociateVpnGatewayWithCertificate") => {
                triple(&self.gateway, &self.free, "Signature").to_vec()
            }
            (Product::Vpc, "DissociateVpnGatewayWithCertificate") => {
                triple(&self.gateway, &self.bound, "Encryption").to_vec()
            }
            (
                Product::Vpc,
                "ListVpnCertificateAssociations"
                | "DescribeVpnGateways"
                | "DescribeRegions"
                | "DescribeZones"
                | "CreateVpc"
                | "DescribeVpcs"
                | "DescribeVSwitches"
                | "DescribeRouteTableList",
            ) => vec![region],
            (Product::Vpc, "CreateVpnGateway") => {
                vec![region, vpc, ("Bandwidth", "10"), ("VpnType", "NationalStandard")]
            }
            (Product::Vpc, "DescribeVpnGateway") => vec![region, gateway],
            (Product::Vpc, "ModifyVpnGatewayAttribute") => vec![region, gateway, ("Name", "renamed")],
            (Product::Vpc, "DeleteVpnGateway") => vec![region, ("VpnGatewayId", &self.idle_gateway)],
            (Product::Vpc, "DescribeVpcAttribute") => vec![region, vpc],
            (Product::Vpc, "ModifyVpcAttribute") => vec![region, vpc, ("VpcName", "renamed")],
            (Product::Vpc, "ModifyVSwitchAttribute") => {
                vec![region, ("VSwitchId", &self.vswitch), ("VSwitchName", "renamed")]
            }
            (Product::Vpc, "MoveResourceGroup") => {
                vec![region, ("ResourceType", "VPC"), ("ResourceId", &self.vpc), to_group]
            }
            (Product::Vpc, "MoveVpnResourceGroup") => {
                vec![region, ("ResourceType", "VpnGateWay"), ("InstanceId", &self.gateway), to_group]
            }
            (Product::Vpc, "DeleteVpc") => vec![region, ("VpcId", &self.empty_vpc)],
            (Product::Vpc, "CreateVSwitch") => vec![region, vpc, ("ZoneId", "cn-hangzhou-h"), network],
            (Product::Vpc, "DescribeVSwitchAttributes") => vec![region, ("VSwitchId", &self.vswitch)],
            (Product::Vpc, "DeleteVSwitch") => vec![region, ("VSwitchId", &self.idle_vswitch)],
            (Product::Vpc, "TagResources") => {
                let tag = [("Tag.1.Key", "a"), ("Tag.1.Value", "b")];
                let on = [region, ("ResourceType", "VPNGATEWAY"), ("ResourceId.1", &self.gateway)];
                on.into_iter().chain(tag).collect()
            }
            (Product::Vpc, "UnTagResources") => vec![
                region,
                ("ResourceType", "VPNGATEWAY"),
                ("ResourceId.1", &self.gateway),
                ("TagKey.1", "team"),
            ],
            (Product::Vpc, "ListTagResources") => {
                vec![region, ("ResourceType", "VPNGATEWAY"), ("ResourceId.1", &self.gateway)]
            }
            (Product::Kms, "CreateCertificate") => {
                vec![("KeySpec", "EC_SM2"), ("Subject", "CN=a,OU=b,O=c,C=CN")]
            }
            (Product::Kms, "UploadCertificate") => vec![
                certificate(&self.pending),
                ("Certificate", &self.leaf),
                ("CertificateChain", &self.chain),
            ],
            (Product::Kms, "GetCertificate" | "DescribeCertificate" | "DeleteCertificate") => {
                vec![certificate(&self.free)]
            }
            (Product::Kms, "UpdateCertificateStatus") => {
                vec![certificate(&self.free), ("Status", "INACTIVE")]
            }
            (Product::Sts, "AssumeRole") => {
                vec![("RoleArn", "acs:ram::1234567890123456:role/operator"), ("RoleSessionName", "session")]
            }
            (Product::Ram, "CreateUser") => vec![("UserName", "new-user")],
            (
                Product::Ram,
                "GetUser"
                | "ListGroupsForUser"
                | "ListPoliciesForUser"
                | "ListAccessKeys"
                | "CreateAccessKey",
            ) => vec![user],
            (Product::Ram, "DeleteLoginProfile" | "UnbindMFADevice") => vec![user],
            (Product::Ram, "UpdatePolicyDescription") => vec![policy, ("NewDescription", "changed")],
            (Product::Ram, "TagResources") => {
                vec![tagged[0], tagged[1], ("Tag", r#"[{"Key":"k","Value":"v"}]"#)]
            }
            (Product::Ram, "UntagResources") => vec![tagged[0], tagged[1], ("TagKeys", r#"["k"]"#)],
            (Product::Ram, "ListTagResources") => tagged.to_vec(),
            (Product::Ram, "UpdateUser") => vec![user, ("NewComments", "changed")],
            (Product::Ram, "DeleteUser") => vec![("UserName", "unused")],
            (Product::Ram, "DeleteAccessKey" | "GetAccessKeyLastUsed") => vec![user, key],
            (Product::Ram, "UpdateAccessKey") => vec![user, key, ("Status", "Inactive")],
            (Product::Ram, "ListUsers" | "ListGroups" | "ListRoles" | "ListPolicies") => vec![],
            (Product::Ram, "CreateGroup") => vec![("GroupName", "new-group")],
            (Product::Ram, "GetGroup" | "ListUsersForGroup" | "ListPoliciesForGroup") => vec![group],
            (Product::Ram, "DeleteGroup") => vec![("GroupName", "nobodies")],
            (Product::Ram, "AddUserToGroup") => vec![("UserName", "bob"), group],
            (Product::Ram, "RemoveUserFromGroup") => vec![user, group],
            (Product::Ram, "CreateRole") => {
                vec![("RoleName", "new-role"), ("AssumeRolePolicyDocument", TRUST)]
            }
            (Product::Ram, "GetRole" | "ListPoliciesForRole") => vec![role],
            (Product::Ram, "UpdateRole") => vec![role, ("NewDescription", "changed")],
            (Product::Ram, "DeleteRole") => vec![("RoleName", "unused-role")],
            (Product::Ram, "CreatePolicy") => vec![("PolicyName", "new-policy"), document],
            (Product::Ram, "GetPolicy" | "ListPolicyVersions" | "ListEntitiesForPolicy") => {
                vec![policy, custom]
            }
            (Product::Ram, "GetPolicyVersion") => vec![policy, custom, ("VersionId", "v1")],
            (Product::Ram, "CreatePolicyVersion") => vec![policy, document],
            (Product::Ram, "DeletePolicyVersion" | "SetDefaultPolicyVersion") => {
                vec![policy, ("VersionId", "v2")]
            }
            (Product::Ram, "DeletePolicy") => vec![("PolicyName", "unattached")],
            (Product::Ram, "AttachPolicyToUser") => vec![("UserName", "bob"), policy, custom],
            (Product::Ram, "AttachPolicyToGroup") => vec![("GroupName", "nobodies"), policy, custom],
            (Product::Ram, "AttachPolicyToRole") => vec![("RoleName", "unused-role"), policy, custom],
            (Product::Ram, "DetachPolicyFromUser") => vec![user, policy, custom],
            (Product::Ram, "DetachPolicyFromGroup") => vec![group, policy, custom],
            (Product::Ram, "DetachPolicyFromRole") => vec![role, policy, custom],
            (_, "CreateServiceLinkedRole") => vec![("ServiceName", SERVICE)],
            (_, "DeleteServiceLinkedRole") => vec![("RoleName", SERVICE_ROLE)],
            (_, "GetServiceLinkedRoleDeletionStatus") => vec![("DeletionTaskId", self.task.as_str())],
            (product, action) => panic!("{product:?} {action} has no case: give it one"),
        };
        given.retain(|(_, value)| !value.is_empty());
        given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// A parameter's value that names something of this account, and one of the same form that names nothing.
    fn unknown(&self, value: &str) -> Option<String> {
        let other = match value {
            "alice" | "bob" | "unused" | "admins" | "nobodies" | "operator" | "unused-role" | "looking"
            | "unattached" => "nothing-here".to_owned(),
            NAMED => r#"["nothing-here"]"#.to_owned(),
            "acs:ram::1234567890123456:role/operator" => "acs:ram::1234567890123456:role/nothing-here".into(),
            SERVICE_ROLE => "AliyunServiceRoleForNothing".into(),
            value if value == self.task => {
                format!("task/acs-service-role/{SERVICE}/{SERVICE_ROLE}/{}", uuid::Uuid::nil())
            }
            value if value == self.key => "LTAI5tzzzzzzzzzzzzzzzzzz".into(),
            value if [&self.bound, &self.free, &self.pending].contains(&&value.to_owned()) => {
                uuid::Uuid::nil().to_string()
            }
            value if ["vpc-", "vsw-", "vpn-"].iter().any(|prefix| value.starts_with(prefix)) => {
                format!("{}{}", &value[..7], "z".repeat(value.len() - 7))
            }
            _ => return None,
        };
        Some(other)
    }

    /// Everything that only this account may see.
    fn own(&self) -> Vec<&str> {
        let ids = [&self.vpc, &self.empty_vpc, &self.vswitch, &self.gateway, &self.idle_gateway];
        let more = [&self.bound, &self.free, &self.pending, &self.key, &self.task];
        let names = ["alice", "admins", "operator", "looking"];
        ids.into_iter().chain(more).map(String::as_str).chain(names).collect()
    }
}

/// The ARNs that an operation is checked on, filled the simple way.
fn arns(operation: &Operation, parameters: &[(String, String)]) -> Vec<String> {
    let value =
        |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if operation.action == "AssumeRole" {
        return vec![value("RoleArn").unwrap().to_owned()];
    }
    let owner = if value("PolicyType") == Some("System") { "system" } else { ACCOUNT };
    let fill = |template: &str| {
        let mut arn = template.replace("{accountId}|system", owner).replace("{accountId}", ACCOUNT);
        arn = arn.replace("{RegionId}", "cn-hangzhou");
        while let (Some(from), Some(to)) = (arn.find('{'), arn.find('}')) {
            let name = arn[from + 1..to].to_owned();
            arn.replace_range(from..=to, value(&name).unwrap_or("*"));
        }
        arn
    };
    operation.resource.split(" + ").map(fill).collect()
}

#[track_caller]
fn refused(operation: &Operation, reply: &Reply, kind: &str) {
    let action = operation.action;
    let (code, message) = match operation.product {
        Product::Vpc | Product::Location => {
            ("Forbidden", "User not authorized to operate on the specified resource.")
        }
        Product::Kms => ("Forbidden.NoPermission", "This operation is forbidden by permission system."),
        Product::Sts => {
            ("NoPermission", "You are not authorized to do this action. You should be authorized by RAM.")
        }
        Product::Ram | Product::ResourceManager => {
            ("NoPermission", "You are not authorized to do this action.")
        }
    };
    assert_eq!((reply.status, reply.code()), (403, code), "{action}: {}", reply.body);
    assert_eq!(reply.body["Message"], message, "{action}");
    let detail = &reply.body["AccessDeniedDetail"];
    assert_eq!(detail["AuthAction"], operation.permission.unwrap());
    assert_eq!(detail["AuthPrincipalType"], "SubUser");
    assert_eq!(detail["AuthPrincipalOwnerId"], ACCOUNT);
    assert_eq!(detail["NoPermissionType"], kind, "{action}");
    assert_eq!(detail["PolicyType"], "AccountLevelIdentityBasedPolicy");
}

async fn without_rights(world: &World, operation: &Operation, parameters: &[(String, String)]) {
    let action = operation.permission.unwrap();
    let arns = arns(operation, parameters);
    let everything = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let silent = world.user("silent", json!([])).await;
    let barred = world
        .user("barred", json!([everything, {"Effect": "Deny", "Action": action, "Resource": arns}]))
        .await;
    let others = json!({"Effect": "Allow", "NotAction": action, "Resource": "*"});
    let others = world.user("others", json!([others])).await;
    let mut callers = vec![(&silent, "ImplicitDeny"), (&barred, "ExplicitDeny"), (&others, "ImplicitDeny")];
    // Only a literal star covers an operation that is not checked on single resources.
    let elsewhere = match operation.resource {
        "*" => vec!["acs:*".to_owned()],
        _ => arns.iter().map(|arn| format!("{arn}x")).collect(),
    };
    let elsewhere = json!([{"Effect": "Allow", "Action": action, "Resource": elsewhere}]);
    let elsewhere = world.user("elsewhere", elsewhere).await;
    callers.push((&elsewhere, "ImplicitDeny"));
    let wrong = json!([{"Effect": "Allow", "Action": action, "Resource": "acs:oss:*:*:x/*"}]);
    let wrong = world.user("wrong", wrong).await;
    callers.push((&wrong, "ImplicitDeny"));
    let first_only = json!([{"Effect": "Allow", "Action": action, "Resource": arns[0]}]);
    let first_only = world.user("first-only", first_only).await;
    if arns.len() > 1 {
        callers.push((&first_only, "ImplicitDeny"));
    }
    for (caller, kind) in callers {
        refused(operation, &send(&world.rig, caller, operation, parameters).await, kind);
        if operation.dry_run != DryRun::None {
            let mut dry = parameters.to_vec();
            dry.push(("DryRun".into(), "true".into()));
            refused(operation, &send(&world.rig, caller, operation, &dry).await, kind);
        }
    }
    // Permission is asked before the parameters are looked at.
    refused(operation, &send(&world.rig, &silent, operation, &[]).await, "ImplicitDeny");
}

/// Another account gets for what is ours what it gets for what is not there, and sees nothing of ours.
async fn from_another_account(world: &World, operation: &Operation, parameters: &[(String, String)]) {
    let stranger = Caller::stranger();
    let ours = send(&world.rig, &stranger, operation, parameters).await;
    let mut unknown = parameters.to_vec();
    for (_, value) in &mut unknown {
        if let Some(other) = world.unknown(value) {
            *value = other;
        }
    }
    let named = unknown != parameters;
    let shown = ours.body.to_string();
    for own in world.own() {
        let echoed = parameters.iter().any(|(_, value)| value.contains(own));
        assert!(echoed || !shown.contains(own), "{} shows {own}: {shown}", operation.action);
    }
    if named {
        let nothing = send(&world.rig, &stranger, operation, &unknown).await;
        assert_eq!((ours.status, ours.code()), (nothing.status, nothing.code()), "{}", operation.action);
        let mut message = ours.body["Message"].to_string();
        for ((_, ours), (_, other)) in parameters.iter().zip(&unknown) {
            message = message.replace(ours, other);
        }
        assert_eq!(message, nothing.body["Message"].to_string(), "{}", operation.action);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_allowed_denied_and_closed_to_strangers() {
    for operation in operation::ALL {
        let Some(action) = operation.permission else {
            assert!(
                matches!(operation.action, "GetCallerIdentity" | "DescribeEndpoints"),
                "{}",
                operation.action
            );
            continue;
        };
        let world = World::new().await;
        let parameters = world.parameters(operation);
        from_another_account(&world, operation, &parameters).await;
        without_rights(&world, operation, &parameters).await;
        let allowed =
            json!([{"Effect": "Allow", "Action": action, "Resource": arns(operation, &parameters)}]);
        let allowed = world.user("allowed", allowed).await;
        let done = send(&world.rig, &allowed, operation, &parameters).await;
        // What some have been told by the time that they may make the call.
        let told = match operation.action {
            // The binding has made it already.
            "CreateServiceLinkedRole" => "EntityAlreadyExists.Role",
            // Nobody has one here.
            "DeleteLoginProfile" => "EntityNotExist.User.LoginProfile",
            "UnbindMFADevice" => "EntityNotExist.User.MFADevice",
            _ => "OK",
        };
        assert_eq!(done.code(), told, "{}: {}", operation.action, done.body);
    }
}
