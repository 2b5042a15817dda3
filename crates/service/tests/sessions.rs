//! Role sessions and keys: what they may, until when, and what ends them.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use common::{ACCOUNT, Caller, KMS, RAM, RawCall, Reply, Rig, STS, VPC, is_shared, refused as is};
use rusqlite::Connection;
use serde_json::{Value, json};
use tongguan_model::limits::Quotas;
use tongguan_service::accounts::{Order, Whose};
use tongguan_store::DATABASE_FILE;

const ROLE: &str = "acs:ram::1234567890123456:role/operator";
const REGION: (&str, &str) = ("RegionId", "cn-hangzhou");

fn may_assume() -> Value {
    json!([{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "acs:ram:*:*:role/*"}])
}

/// A role that trusts this principal, on this condition, and has this system policy.
async fn role(rig: &Rig, principal: &str, condition: Value, policy: &str) {
    let mut statement =
        json!({"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"RAM": principal}});
    if !condition.is_null() {
        statement["Condition"] = condition;
    }
    let trust = json!({"Version": "1", "Statement": [statement]}).to_string();
    let parameters = [("RoleName", "operator"), ("AssumeRolePolicyDocument", trust.as_str())];
    rig.ram("CreateRole", &parameters).await;
    attach(rig, policy).await;
}

async fn attach(rig: &Rig, policy: &str) {
    let attach = [("RoleName", "operator"), ("PolicyName", policy), ("PolicyType", "System")];
    rig.ram("AttachPolicyToRole", &attach).await;
}

fn account_root() -> String {
    format!("acs:ram::{ACCOUNT}:root")
}

async fn assume(rig: &Rig, caller: &Caller, further: &[(&str, &str)]) -> Reply {
    let mut parameters = vec![("RoleArn", ROLE), ("RoleSessionName", "night-shift")];
    parameters.retain(|(name, _)| further.iter().all(|(other, _)| other != name));
    parameters.extend(further);
    rig.by(caller, STS, "AssumeRole", &parameters).await
}

async fn gateways(rig: &Rig, caller: &Caller) -> Reply {
    rig.by(caller, VPC, "DescribeVpnGateways", &[REGION]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_what_its_role_may_until_it_ends() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &may_assume()).await;
    role(&rig, &account_root(), Value::Null, "AliyunVPNGatewayReadOnlyAccess").await;
    let answer = assume(&rig, &alice, &[("DurationSeconds", "900")]).await.ok();
    let session = Caller::session(&answer);
    assert!(session.id.starts_with("STS."), "{}", session.id);
    let user = &answer["AssumedRoleUser"];
    assert_eq!(user["Arn"], format!("{ROLE}/night-shift"));
    assert_eq!(answer["Credentials"]["Expiration"], "2027-01-15T08:15:00Z");

    let caller = rig.by(&session, STS, "GetCallerIdentity", &[]).await.ok();
    assert_eq!(caller["IdentityType"], "AssumedRoleUser");
    assert_eq!(caller["Arn"], format!("acs:ram::{ACCOUNT}:assumed-role/operator/night-shift"));
    assert_eq!(caller["PrincipalId"], user["AssumedRoleId"]);
    assert_eq!(caller["AccountId"], ACCOUNT);
    assert!(caller.get("UserId").is_none());
    assert_eq!(format!("{}:night-shift", caller["RoleId"].as_str().unwrap()), user["AssumedRoleId"]);

    gateways(&rig, &session).await.ok();
    let refused = rig.by(&session, VPC, "CreateVpc", &[REGION]).await;
    is(&refused, 403, "Forbidden");
    let detail = &refused.body["AccessDeniedDetail"];
    assert_eq!(detail["AuthPrincipalType"], "AssumedRoleUser");
    assert_eq!(detail["AuthPrincipalDisplayName"], user["AssumedRoleId"]);

    // Tokens are kept nowhere, and outlive the process.
    let rig = rig.restart("0");
    gateways(&rig, &session).await.ok();
    rig.advance(899_000);
    gateways(&rig, &session).await.ok();
    rig.advance(1_000);
    is(&gateways(&rig, &session).await, 400, "InvalidSecurityToken.Expired");
    is(&gateways(&rig.restart("0"), &session).await, 400, "InvalidSecurityToken.Expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_own_key_alone() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &may_assume()).await;
    role(&rig, &account_root(), Value::Null, "AliyunVPNGatewayReadOnlyAccess").await;
    let one = Caller::session(&assume(&rig, &alice, &[]).await.ok());
    let two = Caller::session(&assume(&rig, &alice, &[]).await.ok());
    assert_ne!(one.id, two.id);
    let with =
        |caller: &Caller, token: Option<&str>| Caller { token: token.map(Into::into), ..caller.clone() };
    is(&gateways(&rig, &with(&one, None)).await, 400, "MissingSecurityToken");
    // Before and after both were used: what is remembered of a key makes no difference.
    for _ in 0..2 {
        let swapped = with(&one, two.token.as_deref());
        is(&gateways(&rig, &swapped).await, 400, "InvalidSecurityToken.MismatchWithAccessKey");
        for bad in ["", "x", "AAAA", "CAIS", &"A".repeat(2_000)] {
            let code = if bad.is_empty() { "MissingSecurityToken" } else { "InvalidSecurityToken.Malformed" };
            is(&gateways(&rig, &with(&one, Some(bad))).await, 400, code);
        }
        let mut cut = one.token.clone().unwrap();
        cut.pop();
        is(&gateways(&rig, &with(&one, Some(&cut))).await, 400, "InvalidSecurityToken.Malformed");
        // A permanent key has no token: it is told whether this is one of another key, or none at all. Whether the key
        // exists is told first.
        let root = Caller::named("root");
        let nobody = Caller { id: "LTAInobody".into(), ..root.clone() };
        for key in [&alice, &root] {
            let token = one.token.as_deref();
            is(&gateways(&rig, &with(key, token)).await, 400, "InvalidSecurityToken.MismatchWithAccessKey");
            is(&gateways(&rig, &with(key, Some("AAAA"))).await, 400, "InvalidSecurityToken.Malformed");
            is(&gateways(&rig, &with(&nobody, token)).await, 404, "InvalidAccessKeyId.NotFound");
        }
        // The other session's secret, and no secret at all.
        let wrong = Caller { secret: two.secret.clone(), ..one.clone() };
        is(&gateways(&rig, &wrong).await, 400, "SignatureDoesNotMatch");
        let invented = Caller { id: "STS.NTnothing".into(), ..one.clone() };
        is(&gateways(&rig, &invented).await, 400, "InvalidSecurityToken.MismatchWithAccessKey");
        gateways(&rig, &one).await.ok();
        gateways(&rig, &two).await.ok();
    }
    // A request of a session is taken once.
    let raw = RawCall {
        key: &one.id,
        secret: Some(&one.secret),
        token: one.token.as_deref(),
        nonce: "once",
        ..RawCall::new("DescribeVpnGateways", &[REGION])
    };
    rig.send(&raw).await.ok();
    is(&rig.send(&raw).await, 400, "SignatureNonceUsed");
    rig.advance(3_600_000);
    is(&rig.send(&raw).await, 400, "InvalidSecurityToken.Expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_policy_narrows_and_never_widens() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &may_assume()).await;
    role(&rig, &account_root(), Value::Null, "AliyunVPNGatewayFullAccess").await;
    let document = |statement: Value| json!({"Version": "1", "Statement": [statement]}).to_string();
    let reading = document(json!({"Effect": "Allow", "Action": "vpc:Describe*", "Resource": "*"}));
    let narrow = Caller::session(&assume(&rig, &alice, &[("Policy", &reading)]).await.ok());
    gateways(&rig, &narrow).await.ok();
    let gateway = [REGION, ("VpnGatewayId", "vpn-none"), ("Name", "renamed")];
    let refused = rig.by(&narrow, VPC, "ModifyVpnGatewayAttribute", &gateway).await;
    is(&refused, 403, "Forbidden");
    assert_eq!(refused.body["AccessDeniedDetail"]["PolicyType"], "SessionPolicy");
    assert_eq!(refused.body["AccessDeniedDetail"]["NoPermissionType"], "ImplicitDeny");
    // What the role may not, no session policy gives.
    let all = document(json!({"Effect": "Allow", "Action": "*", "Resource": "*"}));
    let wide = Caller::session(&assume(&rig, &alice, &[("Policy", &all)]).await.ok());
    is(&rig.by(&wide, RAM, "ListUsers", &[]).await, 403, "NoPermission");
    is(
        &rig.by(&wide, VPC, "ModifyVpnGatewayAttribute", &gateway).await,
        404,
        "InvalidVpnGatewayInstanceId.NotFound",
    );
    let denying = document(json!({"Effect": "Deny", "Action": "*", "Resource": "*"}));
    let closed = Caller::session(&assume(&rig, &alice, &[("Policy", &denying)]).await.ok());
    let refused = gateways(&rig, &closed).await;
    assert_eq!(refused.body["AccessDeniedDetail"]["NoPermissionType"], "ExplicitDeny");

    let long = format!("{reading}{}", " ".repeat(2_048));
    let statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": {"RAM": "*"}});
    for (policy, code) in [
        ("{", "InvalidParameter.PolicyGrammar"),
        (document(statement).as_str(), "InvalidParameter.PolicyGrammar"),
        (long.as_str(), "InvalidParameter.PolicySize"),
    ] {
        is(&assume(&rig, &alice, &[("Policy", policy)]).await, 400, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_must_allow_an_assumption() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &may_assume()).await;
    let bob = rig.user("bob", &may_assume()).await;
    let carol = rig.user("carol", &json!([])).await;
    let alone = format!("acs:ram::{ACCOUNT}:user/alice");
    let condition = json!({"StringEquals": {"sts:ExternalId": "abcd1234"}});
    role(&rig, &alone, condition, "AliyunVPNGatewayReadOnlyAccess").await;
    let id = ("ExternalId", "abcd1234");
    assume(&rig, &alice, &[id]).await.ok();
    for (caller, further) in [(&alice, vec![]), (&alice, vec![("ExternalId", "abcd1235")]), (&bob, vec![id])]
    {
        let refused = assume(&rig, caller, &further).await;
        is(&refused, 403, "NoPermission");
        assert!(
            refused.body["Message"].as_str().unwrap().starts_with("No permission perform sts:AssumeRole")
        );
        assert_eq!(refused.body["AccessDeniedDetail"]["PolicyType"], "AssumeRolePolicy");
    }
    let refused = assume(&rig, &carol, &[id]).await;
    is(&refused, 403, "NoPermission");
    assert_eq!(refused.body["AccessDeniedDetail"]["PolicyType"], "AccountLevelIdentityBasedPolicy");
    let root = Caller::named("root");
    let refused = assume(&rig, &root, &[id]).await;
    is(&refused, 403, "NoPermission");
    assert_eq!(refused.body["Message"], "Roles may not be assumed by root accounts.");

    // A role that is not there, here and elsewhere: of another account nothing is told.
    let here = format!("acs:ram::{ACCOUNT}:role/nobody");
    is(&assume(&rig, &alice, &[("RoleArn", &here)]).await, 404, "EntityNotExist.Role");
    let trust = json!({"Version": "1", "Statement": [{"Action": "sts:AssumeRole", "Effect": "Allow",
        "Principal": {"RAM": "acs:ram::9999567890123456:root"}}]});
    let parameters = [("RoleName", "closed"), ("AssumeRolePolicyDocument", &trust.to_string())];
    rig.by(&Caller::stranger(), RAM, "CreateRole", &parameters).await.ok();
    let closed = assume(&rig, &alice, &[("RoleArn", "acs:ram::9999567890123456:role/closed")]).await;
    let nothing = assume(&rig, &alice, &[("RoleArn", "acs:ram::9999567890123456:role/nothing")]).await;
    let nobody = assume(&rig, &alice, &[("RoleArn", "acs:ram::7777567890123456:role/nothing")]).await;
    for refused in [&closed, &nothing, &nobody] {
        is(refused, 403, "NoPermission");
        assert_eq!(refused.body["Message"], closed.body["Message"]);
        assert_eq!(refused.body["AccessDeniedDetail"], closed.body["AccessDeniedDetail"]);
    }

    for (name, value, code) in [
        ("RoleArn", "acs:ram::1:user/a", "InvalidParameter.RoleArn"),
        ("RoleSessionName", "a", "InvalidParameter.RoleSessionName"),
        ("RoleSessionName", "a b", "InvalidParameter.RoleSessionName"),
        ("DurationSeconds", "899", "InvalidParameter.DurationSeconds"),
        ("DurationSeconds", "3601", "InvalidParameter.DurationSeconds"),
        ("DurationSeconds", "soon", "InvalidParameter.DurationSeconds"),
        ("DurationSeconds", "+900", "InvalidParameter.DurationSeconds"),
        ("SourceIdentity", "a b", "InvalidParameter.SourceIdentity"),
    ] {
        // Who may do anything with roles is told what is wrong with the call.
        let refused = assume(&rig, &alice, &[id, (name, value)]).await;
        if name == "RoleArn" {
            is(&refused, 403, "NoPermission");
        } else {
            is(&refused, 400, code);
        }
    }
    is(&assume(&rig, &alice, &[("ExternalId", "a")]).await, 400, "InvalidParameter.ExternalId");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_assumed_across_accounts_and_one_after_another() {
    let rig = Rig::new("0");
    let everything = json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}]);
    let alice = rig.user("alice", &everything).await;
    let trust = json!({"Version": "1", "Statement": [{"Action": "sts:AssumeRole", "Effect": "Allow",
        "Principal": {"RAM": "acs:ram::1234567890123456:user/alice"}}]});
    let parameters = [("RoleName", "Guest"), ("AssumeRolePolicyDocument", &trust.to_string())];
    let stranger = Caller::stranger();
    rig.by(&stranger, RAM, "CreateRole", &parameters).await.ok();
    let attach = [("RoleName", "guest"), ("PolicyName", "AdministratorAccess"), ("PolicyType", "System")];
    rig.by(&stranger, RAM, "AttachPolicyToRole", &attach).await.ok();
    let there = ("RoleArn", "acs:ram::9999567890123456:role/guest");
    let guest = Caller::session(&assume(&rig, &alice, &[there]).await.ok());
    let vpc = rig.by(&guest, VPC, "CreateVpc", &[REGION]).await.ok();
    // It belongs to the account of the role.
    let vpc = [REGION, ("VpcId", vpc["VpcId"].as_str().unwrap())];
    rig.by(&stranger, VPC, "DescribeVpcAttribute", &vpc).await.ok();
    is(&rig.call("DescribeVpcAttribute", &vpc).await, 404, "InvalidVpcId.NotFound");

    // The session assumes a further role, whose trust names the first.
    role(&rig, "acs:ram::9999567890123456:role/guest", Value::Null, "AliyunVPNGatewayReadOnlyAccess").await;
    let back = Caller::session(&assume(&rig, &guest, &[]).await.ok());
    assert_eq!(rig.by(&back, STS, "GetCallerIdentity", &[]).await.ok()["AccountId"], ACCOUNT);
    is(&assume(&rig, &alice, &[]).await, 403, "NoPermission");
    // A session is no user: it has no keys of its own.
    let refused = rig.by(&guest, RAM, "CreateAccessKey", &[]).await;
    assert_ne!(refused.status, 200, "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_is_in_force_for_the_next_call() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &may_assume()).await;
    role(&rig, &account_root(), Value::Null, "AliyunVPNGatewayReadOnlyAccess").await;
    let session = Caller::session(&assume(&rig, &alice, &[]).await.ok());
    gateways(&rig, &session).await.ok();
    is(&gateways(&rig, &alice).await, 403, "Forbidden");

    let reading = ("PolicyName", "AliyunVPNGatewayReadOnlyAccess");
    let system = ("PolicyType", "System");
    rig.ram("DetachPolicyFromRole", &[("RoleName", "operator"), reading, system]).await;
    is(&gateways(&rig, &session).await, 403, "Forbidden");
    attach(&rig, "AliyunVPNGatewayReadOnlyAccess").await;
    gateways(&rig, &session).await.ok();

    rig.ram("CreateGroup", &[("GroupName", "readers")]).await;
    rig.ram("AttachPolicyToGroup", &[("GroupName", "readers"), reading, system]).await;
    is(&gateways(&rig, &alice).await, 403, "Forbidden");
    rig.ram("AddUserToGroup", &[("UserName", "alice"), ("GroupName", "readers")]).await;
    gateways(&rig, &alice).await.ok();
    rig.ram("RemoveUserFromGroup", &[("UserName", "alice"), ("GroupName", "readers")]).await;
    is(&gateways(&rig, &alice).await, 403, "Forbidden");

    // A version that is put in force.
    let all = json!({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let version = [("PolicyName", "alice"), ("PolicyDocument", &all.to_string()), ("SetAsDefault", "true")];
    rig.ram("CreatePolicyVersion", &version).await;
    gateways(&rig, &alice).await.ok();
    rig.ram("SetDefaultPolicyVersion", &[("PolicyName", "alice"), ("VersionId", "v1")]).await;
    is(&gateways(&rig, &alice).await, 403, "Forbidden");

    let key = [("UserName", "alice"), ("UserAccessKeyId", alice.id.as_str())];
    rig.ram("UpdateAccessKey", &[key[0], key[1], ("Status", "Inactive")]).await;
    is(&gateways(&rig, &alice).await, 400, "InvalidAccessKeyId.Inactive");
    rig.ram("UpdateAccessKey", &[key[0], key[1], ("Status", "Active")]).await;
    is(&gateways(&rig, &alice).await, 403, "Forbidden");
    rig.ram("UpdateUser", &[("UserName", "alice"), ("NewUserName", "alicia")]).await;
    let caller = rig.by(&alice, STS, "GetCallerIdentity", &[]).await.ok();
    assert_eq!(caller["Arn"], format!("acs:ram::{ACCOUNT}:user/alicia"));
    rig.ram("DeleteAccessKey", &[("UserName", "alicia"), key[1]]).await;
    is(&gateways(&rig, &alice).await, 404, "InvalidAccessKeyId.NotFound");

    // A role that is gone ends its sessions, also if another of its name is made.
    rig.ram("DetachPolicyFromRole", &[("RoleName", "operator"), reading, system]).await;
    rig.ram("DeleteRole", &[("RoleName", "operator")]).await;
    is(&gateways(&rig, &session).await, 400, "InvalidSecurityToken.Expired");
    role(&rig, &account_root(), Value::Null, "AliyunVPNGatewayReadOnlyAccess").await;
    is(&gateways(&rig, &session).await, 400, "InvalidSecurityToken.Expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_binding_needs_the_right_to_make_the_role() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    let binding =
        json!({"Effect": "Allow", "Action": "vpc:AssociateVpnGatewayWithCertificate", "Resource": "*"});
    let alice = rig.user("alice", &json!([binding])).await;
    let another = json!({"Effect": "Allow", "Action": "ram:CreateServiceLinkedRole", "Resource": "*",
        "Condition": {"StringEquals": {"ram:ServiceName": "other.aliyuncs.com"}}});
    let bob = rig.user("bob", &json!([binding, another])).await;
    let right = json!({"Effect": "Allow", "Action": "ram:CreateServiceLinkedRole", "Resource": "*",
        "Condition": {"StringEquals": {"ram:ServiceName": "certificate.vpn.aliyuncs.com"}}});
    let carol = rig.user("carol", &json!([binding, right])).await;
    let call = common::triple(&gateway, &certificate, "Encryption");
    let mut dry = call.to_vec();
    dry.push(("DryRun", "true"));
    for caller in [&alice, &bob] {
        for parameters in [&call[..], &dry[..]] {
            let refused = rig.by(caller, VPC, "AssociateVpnGatewayWithCertificate", parameters).await;
            is(&refused, 403, "Forbidden");
            assert_eq!(refused.body["AccessDeniedDetail"]["AuthAction"], "ram:CreateServiceLinkedRole");
        }
    }
    assert!(rig.listed(&gateway).await.is_empty() && rig.at_rest(&gateway));
    rig.by(&carol, VPC, "AssociateVpnGatewayWithCertificate", &call).await.ok();
    rig.settle().await;
    let role = rig.ram("GetRole", &[("RoleName", "AliyunServiceRoleForVPNCertificate")]).await;
    assert_eq!(role["Role"]["Arn"], format!("acs:ram::{ACCOUNT}:role/aliyunserviceroleforvpncertificate"));
    // It is there: nobody needs the right any more.
    let other = rig.certificate("EC_SM2").await;
    let call = common::triple(&gateway, &other, "Signature");
    rig.by(&alice, VPC, "AssociateVpnGatewayWithCertificate", &call).await.ok();
}

/// The region that a call names does not move the resource: a Deny for where it lies holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_deny_for_a_region_is_not_passed_by_naming_another() {
    let rig = Rig::new("0");
    let vpc = rig.call("CreateVpc", &[("RegionId", "cn-beijing")]).await.ok();
    let vpc = vpc["VpcId"].as_str().unwrap().to_owned();
    let certificate = rig.pending_certificate("EC_SM2").await;
    let alice = rig
        .user(
            "alice",
            &json!([
                {"Effect": "Allow", "Action": "*", "Resource": "*"},
                {"Effect": "Deny", "Action": "vpc:*", "Resource": "acs:vpc:cn-beijing:*:*"},
                {"Effect": "Deny", "Action": "kms:*", "Resource": "acs:kms:cn-hangzhou:*:*"},
            ]),
        )
        .await;
    rig.settle().await;
    is(&rig.by(&alice, VPC, "DeleteVpc", &[("VpcId", &vpc)]).await, 403, "Forbidden");
    let elsewhere = [("VpcId", vpc.as_str()), ("RegionId", "cn-shanghai")];
    is(&rig.by(&alice, VPC, "DeleteVpc", &elsewhere).await, 404, "InvalidVpcId.NotFound");
    let id = ("CertificateId", certificate.as_str());
    for further in [vec![], vec![("RegionId", "cn-beijing")], vec![("RegionId", "")]] {
        let parameters: Vec<_> = [id].into_iter().chain(further).collect();
        let refused = rig.by(&alice, KMS, "GetCertificate", &parameters).await;
        is(&refused, 403, "Forbidden.NoPermission");
    }
    let other = [("CertificateId", "00000000-0000-0000-0000-000000000000"), ("RegionId", "cn-beijing")];
    is(&rig.by(&alice, KMS, "GetCertificate", &other).await, 404, "Certificate.NotFound");
}

fn team_tag<'a>(gateway: &'a str, team: &'a str) -> [(&'a str, &'a str); 5] {
    [
        REGION,
        ("ResourceType", "VPNGATEWAY"),
        ("ResourceId.1", gateway),
        ("Tag.1.Key", "Team"),
        ("Tag.1.Value", team),
    ]
}

/// Tags decide, of the resource and of the request, and another account's tags do not.
#[tokio::test(flavor = "multi_thread")]
async fn tags_are_conditions() {
    let rig = Rig::new("0");
    let (ours, theirs) = (rig.gateway("NationalStandard").await, rig.gateway("NationalStandard").await);
    for (id, team) in [(&ours, "blue"), (&theirs, "red")] {
        rig.call("TagResources", &team_tag(id, team)).await.ok();
    }
    let alice = rig
        .user(
            "alice",
            &json!([
                {"Effect": "Allow", "Action": "vpc:DescribeVpnGateway", "Resource": "*",
                    "Condition": {"StringEquals": {"acs:ResourceTag/team": "blue"}}},
                {"Effect": "Allow", "Action": "vpc:TagResources", "Resource": "*",
                    "Condition": {"StringLike": {"acs:RequestTag/team": "blue*"}}},
            ]),
        )
        .await;
    let show = |id| [REGION, ("VpnGatewayId", id)];
    rig.by(&alice, VPC, "DescribeVpnGateway", &show(&ours)).await.ok();
    for id in [&theirs, "vpn-none"] {
        is(&rig.by(&alice, VPC, "DescribeVpnGateway", &show(id)).await, 403, "Forbidden");
    }
    for (team, status) in [("blue-2", 200), ("red", 403)] {
        let reply = rig.by(&alice, VPC, "TagResources", &team_tag(&ours, team)).await;
        assert_eq!(reply.status, status, "{}", reply.body);
    }
}

const HOUR: i64 = 3_600_000;
const STRANGER: &str = "9999567890123456";
const OVER: &str = "InvalidSecurityToken.Expired";

fn everything() -> Value {
    json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}])
}

/// A role of this name in the caller's account that may do everything and trusts these principals.
async fn mighty(rig: &Rig, caller: &Caller, name: &str, principals: &[&str]) {
    let trust = json!({"Version": "1", "Statement": [{"Action": "sts:AssumeRole", "Effect": "Allow",
        "Principal": {"RAM": principals}}]});
    let parameters = [
        ("RoleName", name),
        ("AssumeRolePolicyDocument", &trust.to_string()),
        ("MaxSessionDuration", "43200"),
    ];
    rig.by(caller, RAM, "CreateRole", &parameters).await.ok();
    let attach = [("RoleName", name), ("PolicyName", "AdministratorAccess"), ("PolicyType", "System")];
    rig.by(caller, RAM, "AttachPolicyToRole", &attach).await.ok();
}

fn root() -> Caller {
    Caller::named("root")
}

fn arn(account: &str, role: &str) -> String {
    format!("acs:ram::{account}:role/{role}")
}

async fn session_of(rig: &Rig, caller: &Caller, account: &str, role: &str) -> Caller {
    Caller::session(&assume(rig, caller, &[("RoleArn", &arn(account, role))]).await.ok())
}

fn end_sessions(rig: &Rig, id: &str, of: Whose) {
    rig.order(&Order::EndSessions { id: id.into(), of }).unwrap();
}

/// An inactive key ends what it made, directly and through a chain, for good; and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_the_key_that_made_it() {
    let rig = Rig::new("0");
    let (alice, bob) = (rig.user("alice", &may_assume()).await, rig.user("bob", &may_assume()).await);
    let second = rig.ram("CreateAccessKey", &[("UserName", "alice")]).await;
    let text = |name: &str| second["AccessKey"][name].as_str().unwrap().to_owned();
    let second = Caller { id: text("AccessKeyId"), secret: text("AccessKeySecret"), token: None };
    mighty(&rig, &root(), "operator", &[&account_root()]).await;
    mighty(&rig, &Caller::stranger(), "guest", &[&account_root()]).await;
    let made = session_of(&rig, &alice, ACCOUNT, "operator").await;
    let abroad = session_of(&rig, &alice, STRANGER, "guest").await;
    let chained = session_of(&rig, &made, STRANGER, "guest").await;
    let other = [
        session_of(&rig, &second, ACCOUNT, "operator").await,
        session_of(&rig, &bob, STRANGER, "guest").await,
    ];
    for session in [&made, &abroad, &chained] {
        gateways(&rig, session).await.ok();
    }
    let status = |status| [("UserName", "alice"), ("UserAccessKeyId", alice.id.as_str()), ("Status", status)];
    rig.ram("UpdateAccessKey", &status("Inactive")).await;
    let rig = {
        for session in [&made, &abroad, &chained] {
            is(&gateways(&rig, session).await, 400, OVER);
        }
        rig.restart("0")
    };
    // The key may come back; what ended does not.
    rig.ram("UpdateAccessKey", &status("Active")).await;
    for session in [&made, &abroad, &chained] {
        is(&gateways(&rig, session).await, 400, OVER);
        is(&assume(&rig, session, &[]).await, 400, OVER);
    }
    let again = session_of(&rig, &alice, STRANGER, "guest").await;
    gateways(&rig, &again).await.ok();
    rig.ram("DeleteAccessKey", &status("")[..2]).await;
    is(&gateways(&rig, &again).await, 400, OVER);
    let rig = rig.restart("0");
    is(&gateways(&rig, &again).await, 400, OVER);
    for session in &other {
        gateways(&rig, session).await.ok();
    }
}

/// A user who is gone took the sessions along. Trust policies name users: one of the same name is trusted again, as in
/// the vendor's service, and is still another user.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_the_user_who_made_it() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &may_assume()).await;
    mighty(&rig, &Caller::stranger(), "guest", &[&format!("acs:ram::{ACCOUNT}:user/alice")]).await;
    let session = session_of(&rig, &alice, STRANGER, "guest").await;
    gateways(&rig, &session).await.ok();
    let (user, policy) = (("UserName", "alice"), ("PolicyName", "alice"));
    rig.ram("DeleteAccessKey", &[user, ("UserAccessKeyId", &alice.id)]).await;
    rig.ram("DetachPolicyFromUser", &[user, policy, ("PolicyType", "Custom")]).await;
    rig.ram("DeletePolicy", &[policy]).await;
    rig.ram("DeleteUser", &[user]).await;
    is(&gateways(&rig, &session).await, 400, OVER);
    let again = rig.user("alice", &may_assume()).await;
    is(&gateways(&rig, &session).await, 400, OVER);
    gateways(&rig, &session_of(&rig, &again, STRANGER, "guest").await).await.ok();
    is(&gateways(&rig.restart("0"), &session).await, 400, OVER);
}

/// Of the role's account, of the origin's, and of those between: each is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_every_account_that_it_stands_on() {
    let rig = Rig::new("0");
    let (stranger, id) = (Caller::stranger(), |id: &str| id.to_owned());
    let alice = rig.user("alice", &everything()).await;
    let guest = arn(STRANGER, "guest");
    mighty(&rig, &root(), "operator", &[&account_root(), &guest]).await;
    mighty(&rig, &stranger, "guest", &[&account_root()]).await;
    // Here; abroad; abroad and back.
    let here = session_of(&rig, &alice, ACCOUNT, "operator").await;
    let abroad = session_of(&rig, &alice, STRANGER, "guest").await;
    let back = session_of(&rig, &abroad, ACCOUNT, "operator").await;
    for session in [&here, &abroad, &back] {
        gateways(&rig, session).await.ok();
    }
    // An account between.
    rig.order(&Order::Disable { id: id(STRANGER) }).unwrap();
    gateways(&rig, &here).await.ok();
    for session in [&abroad, &back] {
        is(&gateways(&rig, session).await, 400, OVER);
    }
    is(&assume(&rig, &alice, &[("RoleArn", &guest)]).await, 403, "NoPermission");
    rig.order(&Order::Enable { id: id(STRANGER) }).unwrap();
    let abroad = [abroad, session_of(&rig, &alice, STRANGER, "guest").await];
    is(&gateways(&rig, &abroad[0]).await, 400, OVER);
    gateways(&rig, &abroad[1]).await.ok();
    // The origin's.
    rig.order(&Order::Disable { id: id(ACCOUNT) }).unwrap();
    for session in [&here, &abroad[1], &back] {
        is(&gateways(&rig, session).await, 400, OVER);
    }
    is(&gateways(&rig, &alice).await, 400, "InvalidAccessKeyId.Inactive");
    let rig = rig.restart("0");
    is(&gateways(&rig, &abroad[1]).await, 400, OVER);
    rig.order(&Order::Enable { id: id(ACCOUNT) }).unwrap();
    for session in [&here, &abroad[1], &back] {
        is(&gateways(&rig, session).await, 400, OVER);
    }
    gateways(&rig, &session_of(&rig, &alice, STRANGER, "guest").await).await.ok();
}

/// A session that assumes its own role again and again ends all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_does_not_renew_itself_for_ever() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &may_assume()).await;
    mighty(&rig, &root(), "operator", &[&account_root()]).await;
    let refused = assume(&rig, &alice, &[("DurationSeconds", "43201")]).await;
    is(&refused, 400, "InvalidParameter.DurationSeconds");
    // What a user's key makes may last as long as the role allows; what a session makes, an hour.
    let mut session = Caller::session(&assume(&rig, &alice, &[("DurationSeconds", "43200")]).await.ok());
    let long = assume(&rig, &session, &[("DurationSeconds", "3601")]).await;
    is(&long, 400, "InvalidParameter.DurationSeconds");
    let mut ends = Vec::new();
    // Every forty minutes, as a thief would.
    for _ in 0..17 {
        let answer = assume(&rig, &session, &[("DurationSeconds", "3600")]).await.ok();
        ends.push(answer["Credentials"]["Expiration"].as_str().unwrap().to_owned());
        session = Caller::session(&answer);
        gateways(&rig, &session).await.ok();
        rig.advance(2_400_000);
    }
    // Twelve hours after the first all is over, whoever asked when.
    assert_eq!(ends[0], "2027-01-15T09:00:00Z");
    assert_eq!(ends[14], "2027-01-15T18:20:00Z");
    assert_eq!(ends[16], "2027-01-15T19:40:00Z");
    let last = assume(&rig, &session, &[]).await.ok();
    assert_eq!(last["Credentials"]["Expiration"], "2027-01-15T20:00:00Z");
    let last = Caller::session(&last);
    let rig = rig.restart("0");
    rig.advance(2_400_000 - 1_000);
    is(&gateways(&rig, &session).await, 400, OVER);
    let seconds = assume(&rig, &last, &[]).await.ok();
    assert_eq!(seconds["Credentials"]["Expiration"], "2027-01-15T20:00:00Z");
    rig.advance(1_000);
    for session in [&last, &Caller::session(&seconds)] {
        is(&gateways(&rig, session).await, 400, OVER);
        is(&assume(&rig, session, &[]).await, 400, OVER);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_bound_chains_or_forbid_them() {
    let rig = Rig::with_quotas("0", Quotas { session_chain_roles: 1, ..Quotas::default() });
    let alice = rig.user("alice", &may_assume()).await;
    for name in ["one", "two", "three"] {
        mighty(&rig, &root(), name, &[&account_root()]).await;
    }
    let one = session_of(&rig, &alice, ACCOUNT, "one").await;
    // The same role again is no further one.
    let one = session_of(&rig, &one, ACCOUNT, "one").await;
    let two = session_of(&rig, &one, ACCOUNT, "two").await;
    let third = assume(&rig, &two, &[("RoleArn", &arn(ACCOUNT, "three"))]).await;
    is(&third, 403, "NoPermission");
    let said = third.body["Message"].as_str().unwrap();
    assert_eq!(said, "The session may not assume a role. It has come through as many roles as it may.");
    // A chain that is older than it may be makes nothing more.
    let rig = rig.restart_with_quotas("0", Quotas { session_chain_seconds: 1_800, ..Quotas::default() });
    rig.advance(1_799_000);
    let three = assume(&rig, &two, &[("RoleArn", &arn(ACCOUNT, "three"))]).await.ok();
    assert_eq!(three["Credentials"]["Expiration"], "2027-01-15T08:30:00Z");
    rig.advance(1_000);
    is(&assume(&rig, &two, &[("RoleArn", &arn(ACCOUNT, "three"))]).await, 403, "NoPermission");
    is(&gateways(&rig, &Caller::session(&three)).await, 400, OVER);
    // No chains at all; users are not concerned.
    let rig = rig.restart_with_quotas("0", Quotas { session_chained_seconds: 0, ..Quotas::default() });
    is(&assume(&rig, &two, &[("RoleArn", &arn(ACCOUNT, "three"))]).await, 403, "NoPermission");
    session_of(&rig, &alice, ACCOUNT, "three").await;
}

/// A role that was left behind still counts: a session does not escape from its end by assuming another role.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_session_ends_all_that_came_of_it() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &may_assume()).await;
    for name in ["one", "two", "three"] {
        mighty(&rig, &root(), name, &[&account_root()]).await;
    }
    let chain = async |first: &Caller| {
        let mut sessions = vec![first.clone()];
        for role in ["two", "two", "three"] {
            let next = session_of(&rig, sessions.last().unwrap(), ACCOUNT, role).await;
            sessions.push(next);
        }
        sessions
    };
    let stolen = chain(&session_of(&rig, &alice, ACCOUNT, "one").await).await;
    let beside = session_of(&rig, &alice, ACCOUNT, "three").await;
    for session in &stolen {
        gateways(&rig, session).await.ok();
    }
    end_sessions(&rig, ACCOUNT, Whose::Role("ONE".into()));
    for session in &stolen {
        is(&gateways(&rig, session).await, 400, OVER);
    }
    gateways(&rig, &beside).await.ok();
    // The first time that a role was come through counts.
    let stolen = chain(&session_of(&rig, &alice, ACCOUNT, "one").await).await;
    end_sessions(&rig, ACCOUNT, Whose::Role("two".into()));
    gateways(&rig, &stolen[0]).await.ok();
    for session in &stolen[1..] {
        is(&gateways(&rig, session).await, 400, OVER);
    }
    // A role that is gone.
    let stolen = chain(&stolen[0]).await;
    let policy = [("RoleName", "two"), ("PolicyName", "AdministratorAccess"), ("PolicyType", "System")];
    rig.ram("DetachPolicyFromRole", &policy).await;
    rig.ram("DeleteRole", &policy[..1]).await;
    gateways(&rig, &stolen[0]).await.ok();
    for session in &stolen[1..] {
        is(&gateways(&rig, session).await, 400, OVER);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_sessions_of_a_role_a_user_or_an_account() {
    let mut rig = Rig::new("0");
    let (alice, bob) = (rig.user("alice", &may_assume()).await, rig.user("bob", &may_assume()).await);
    mighty(&rig, &root(), "operator", &[&account_root()]).await;
    mighty(&rig, &root(), "reader", &[&account_root()]).await;
    mighty(&rig, &Caller::stranger(), "guest", &[&account_root()]).await;
    // Who made it, where, and which of the orders end it.
    let orders = [
        (ACCOUNT, Whose::User("Alice".into())),
        (ACCOUNT, Whose::Role("operator".into())),
        (ACCOUNT, Whose::Account),
        (STRANGER, Whose::Account),
    ];
    let made = [
        (&alice, ACCOUNT, "operator", [true, true, true, false]),
        (&alice, ACCOUNT, "reader", [true, false, true, false]),
        (&alice, STRANGER, "guest", [true, false, true, true]),
        (&bob, ACCOUNT, "operator", [false, true, true, false]),
        (&bob, STRANGER, "guest", [false, false, true, true]),
    ];
    for (place, (id, of)) in orders.into_iter().enumerate() {
        let mut sessions = Vec::new();
        for (caller, account, role, ended) in &made {
            let session = session_of(&rig, caller, account, role).await;
            gateways(&rig, &session).await.ok();
            sessions.push((session, ended[place]));
        }
        end_sessions(&rig, id, of.clone());
        // In the record, as the operator's.
        let record = rig.recorded(|record| record.action.as_deref() == Some("EndSessions")).await;
        assert_eq!((record.principal.as_deref(), record.account.as_deref()), (Some("operator"), Some(id)));
        let resource = match of {
            Whose::Account => id.to_owned(),
            Whose::User(name) => format!("acs:ram::{id}:user/{name}"),
            Whose::Role(name) => format!("acs:ram::{id}:role/{name}"),
        };
        assert_eq!(record.resource.as_deref(), Some(resource.as_str()));
        // At once, and after a start; also while the clock is behind.
        for round in 0..2 {
            for (number, (session, over)) in sessions.iter().enumerate() {
                let reply = gateways(&rig, session).await;
                assert_eq!(reply.code(), if *over { OVER } else { "OK" }, "order {place}, {number}, {round}");
            }
            rig = rig.restart("0");
        }
    }
    // What is made afterwards is good, at the same moment and with a clock that was set back.
    rig.jump(-2 * HOUR);
    end_sessions(&rig, ACCOUNT, Whose::Account);
    let later = session_of(&rig, &alice, ACCOUNT, "operator").await;
    gateways(&rig, &later).await.ok();
    end_sessions(&rig, ACCOUNT, Whose::Account);
    is(&gateways(&rig, &later).await, 400, OVER);

    let unknown =
        |id: &str, of| rig.order(&Order::EndSessions { id: id.into(), of }).unwrap_err().to_string();
    assert_eq!(unknown("1000000000000000", Whose::Account), "there is no account `1000000000000000`");
    let said = unknown(ACCOUNT, Whose::User("guest".into()));
    assert_eq!(said, format!("account `{ACCOUNT}` has no user `guest` in RAM"));
    let said = unknown(STRANGER, Whose::Role("operator".into()));
    assert_eq!(said, format!("account `{STRANGER}` has no role `operator`"));
}

/// What a session was given first it keeps through the chain: no later call passes for another person.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_identity_sticks_to_a_chain() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &may_assume()).await;
    let named = |who: &str| json!({"StringEquals": {"sts:SourceIdentity": who}});
    mighty(&rig, &root(), "plain", &[&account_root()]).await;
    role(&rig, &account_root(), named("alice"), "AdministratorAccess").await;
    let trust = json!({"Version": "1", "Statement": [{"Action": "sts:AssumeRole", "Effect": "Allow",
        "Principal": {"RAM": account_root()}, "Condition": named("boss")}]});
    let parameters = [("RoleName", "throne"), ("AssumeRolePolicyDocument", &trust.to_string())];
    rig.ram("CreateRole", &parameters).await;
    let (operator, throne) = (arn(ACCOUNT, "operator"), arn(ACCOUNT, "throne"));
    let (as_alice, as_boss) = (("SourceIdentity", "alice"), ("SourceIdentity", "boss"));

    is(&assume(&rig, &alice, &[]).await, 403, "NoPermission");
    let first = assume(&rig, &alice, &[as_alice]).await.ok();
    assert_eq!(first["SourceIdentity"], "alice");
    let first = Caller::session(&first);
    // Another one is refused, whatever trusts it; saying nothing or the same changes nothing.
    for role in [&operator, &throne] {
        let refused = assume(&rig, &first, &[("RoleArn", role), as_boss]).await;
        is(&refused, 400, "InvalidParameter.SourceIdentity");
        assert_eq!(refused.body["Message"], "The source identity of a session cannot be changed.");
    }
    is(&assume(&rig, &first, &[("RoleArn", &throne)]).await, 403, "NoPermission");
    for further in [&[][..], &[as_alice][..]] {
        let next = assume(&rig, &first, further).await.ok();
        assert_eq!(next["SourceIdentity"], "alice");
        let next = assume(&rig, &Caller::session(&next), &[]).await.ok();
        assert_eq!(next["SourceIdentity"], "alice");
        is(&assume(&rig, &Caller::session(&next), &[as_boss]).await, 400, "InvalidParameter.SourceIdentity");
    }
    // A session without one may set it, once.
    let plain = session_of(&rig, &alice, ACCOUNT, "plain").await;
    assert!(
        assume(&rig, &plain, &[("RoleArn", &arn(ACCOUNT, "plain"))])
            .await
            .ok()
            .get("SourceIdentity")
            .is_none()
    );
    let set = Caller::session(&assume(&rig, &plain, &[as_alice]).await.ok());
    let rig = rig.restart("0");
    is(&assume(&rig, &set, &[as_boss]).await, 400, "InvalidParameter.SourceIdentity");
}

/// Conditions of later calls see source identity and time of issue, and cannot be told another by the call.
#[tokio::test(flavor = "multi_thread")]
async fn source_identity_and_time_of_issue_are_conditions() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &may_assume()).await;
    mighty(&rig, &root(), "plain", &[&account_root()]).await;
    role(&rig, &account_root(), Value::Null, "AliyunSTSAssumeRoleAccess").await;
    let document = json!({"Version": "1", "Statement": [
        {"Effect": "Allow", "Action": "vpc:Describe*", "Resource": "*",
            "Condition": {"StringEquals": {"acs:SourceIdentity": "alice"}}},
        {"Effect": "Deny", "Action": "*", "Resource": "*",
            "Condition": {"DateLessThan": {"acs:TokenIssueTime": "2027-01-15T08:10:00Z"}}},
        {"Effect": "Deny", "Action": "sts:AssumeRole", "Resource": "*",
            "Condition": {"StringEquals": {"sts:SourceIdentity": "alice"}}}]});
    rig.ram("CreatePolicy", &[("PolicyName", "later"), ("PolicyDocument", &document.to_string())]).await;
    let attach = [("RoleName", "operator"), ("PolicyName", "later"), ("PolicyType", "Custom")];
    rig.ram("AttachPolicyToRole", &attach).await;
    let made = async |identity: &str| {
        Caller::session(&assume(&rig, &alice, &[("SourceIdentity", identity)]).await.ok())
    };
    let early = made("alice").await;
    let refused = gateways(&rig, &early).await;
    assert_eq!(refused.body["AccessDeniedDetail"]["NoPermissionType"], "ExplicitDeny");
    rig.advance(600_000);
    // The time of issue is that of the token, not of the call.
    is(&gateways(&rig, &early).await, 403, "Forbidden");
    let (late, boss) = (made("alice").await, made("boss").await);
    gateways(&rig, &late).await.ok();
    let refused = gateways(&rig, &boss).await;
    assert_eq!(refused.body["AccessDeniedDetail"]["NoPermissionType"], "ImplicitDeny");
    // The call does not say otherwise: it is asked about what the session has.
    let plain = arn(ACCOUNT, "plain");
    for further in
        [&[("RoleArn", plain.as_str())][..], &[("RoleArn", plain.as_str()), ("SourceIdentity", "boss")][..]]
    {
        let refused = assume(&rig, &late, further).await;
        is(&refused, 403, "NoPermission");
        assert_eq!(refused.body["AccessDeniedDetail"]["NoPermissionType"], "ExplicitDeny");
    }
    assume(&rig, &boss, &[("RoleArn", &plain)]).await.ok();
    // Users have neither: a positive condition does not hold.
    let condition = json!({"Effect": "Allow", "Action": "vpc:Describe*", "Resource": "*",
        "Condition": {"DateGreaterThan": {"acs:TokenIssueTime": "2000-01-01T00:00:00Z"}}});
    is(&gateways(&rig, &rig.user("carol", &json!([condition])).await).await, 403, "Forbidden");
}

/// Whose act it was stands in every record of a session, also if another one bears its name.
#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_session_leads_to_who_made_it() {
    let rig = Rig::new("0");
    let (alice, bob) = (rig.user("alice", &may_assume()).await, rig.user("bob", &may_assume()).await);
    mighty(&rig, &root(), "operator", &[&account_root()]).await;
    let record = async |body: &Value| rig.record(body["RequestId"].as_str().unwrap()).await;
    let mut keys = Vec::new();
    for (name, caller) in [("alice", &alice), ("bob", &bob)] {
        // Under the same name, bob's.
        let further = [("RoleSessionName", "user-bob"), ("SourceIdentity", name)];
        let answer = assume(&rig, caller, &further).await.ok();
        let (made, session) = (record(&answer).await, Caller::session(&answer));
        assert_eq!(made.issued.as_deref(), Some(session.id.as_str()));
        assert_eq!((made.access_key.as_deref(), made.origin.as_deref()), (Some(caller.id.as_str()), None));
        let origin = format!("{ACCOUNT}:user/{name}:{}", caller.id);
        // A read, a write, a refusal, and what a session of the session does.
        let chained = assume(&rig, &session, &[("RoleSessionName", "user-bob")]).await.ok();
        let further = Caller::session(&chained);
        let bodies = [
            gateways(&rig, &session).await.ok(),
            rig.by(&session, VPC, "CreateVpc", &[REGION]).await.ok(),
            rig.by(&session, VPC, "DeleteVpc", &[REGION, ("VpcId", "vpc-none")]).await.body,
            chained,
            gateways(&rig, &further).await.ok(),
        ];
        for (place, body) in bodies.iter().enumerate() {
            let written = record(body).await;
            assert_eq!(written.principal.as_deref(), Some("assumed-role/operator/user-bob"), "{place}");
            assert_eq!(written.origin.as_deref(), Some(origin.as_str()), "{place}");
            assert_eq!(written.source_identity.as_deref(), Some(name), "{place}");
            let key = if place == 4 { &further.id } else { &session.id };
            assert_eq!(written.access_key.as_deref(), Some(key.as_str()), "{place}");
            let issued = (place == 3).then_some(further.id.as_str());
            assert_eq!(written.issued.as_deref(), issued, "{place}");
        }
        keys.push(session.id);
    }
    assert_ne!(keys[0], keys[1]);
    // A call that is refused made nothing.
    let refused = record(&assume(&rig, &alice, &[("DurationSeconds", "1")]).await.body).await;
    assert_eq!((refused.issued, refused.origin), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn token_keys_change_without_a_session_noticing_or_all_end() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &may_assume()).await;
    mighty(&rig, &root(), "operator", &[&account_root()]).await;
    let keys = |rig: &Rig| {
        let names = rig.store().read(|snapshot| snapshot.sealed_service_keys("security-token:")).unwrap();
        names.into_iter().map(|(name, ..)| name).collect::<Vec<_>>()
    };
    let first = Caller::session(&assume(&rig, &alice, &[("DurationSeconds", "43200")]).await.ok());
    let begun = keys(&rig);
    rig.service.keep_token_keys().await.unwrap();
    assert_eq!((keys(&rig), begun.len()), (begun.clone(), 1));
    // By the operator's word, and a session does not notice.
    rig.order(&Order::RotateTokenKey { end_sessions: false }).unwrap();
    let second = session_of(&rig, &alice, ACCOUNT, "operator").await;
    let rig = {
        for session in [&first, &second] {
            gateways(&rig, session).await.ok();
        }
        assert_eq!(keys(&rig).len(), 2);
        rig.restart("0")
    };
    for session in [&first, &second] {
        gateways(&rig, session).await.ok();
    }
    // The longest session has its time; then the key goes by which it was made, and a day brings another.
    rig.advance(12 * HOUR - 1_000);
    rig.service.keep_token_keys().await.unwrap();
    gateways(&rig, &first).await.ok();
    rig.advance(12 * HOUR + 2_000);
    rig.service.keep_token_keys().await.unwrap();
    let now = keys(&rig);
    assert!(now.len() == 2 && !now.contains(&begun[0]), "{now:?}");

    let third = session_of(&rig, &alice, ACCOUNT, "operator").await;
    gateways(&rig, &third).await.ok();
    rig.order(&Order::RotateTokenKey { end_sessions: true }).unwrap();
    assert_eq!(keys(&rig).len(), 1);
    is(&gateways(&rig, &third).await, 400, OVER);
    gateways(&rig, &session_of(&rig, &alice, ACCOUNT, "operator").await).await.ok();
    is(&gateways(&rig.restart("0"), &third).await, 400, OVER);
}

/// A rotation asks the store nothing after its commit: what is damaged there does not make it a half one, which the
/// operator is told failed and of which the next start knows more than the service.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_was_committed_is_in_force_whatever_cannot_be_read() {
    if is_shared() {
        // It writes to the file of the embedded store.
        return;
    }
    let rig = Rig::new("0");
    let alice = rig.user("alice", &may_assume()).await;
    mighty(&rig, &root(), "operator", &[&account_root()]).await;
    let database = Connection::open(rig.directory().join(DATABASE_FILE)).unwrap();
    let first = session_of(&rig, &alice, ACCOUNT, "operator").await;
    let damaged = "UPDATE service_key SET sealed_key = zeroblob(61) WHERE name LIKE 'security-token:%'";
    assert_eq!(database.execute(damaged, []).unwrap(), 1);
    rig.order(&Order::RotateTokenKey { end_sessions: false }).unwrap();
    // Both go on, and the later one is made with the new key: it outlives the process, once the damage is gone.
    let second = session_of(&rig, &alice, ACCOUNT, "operator").await;
    for session in [&first, &second] {
        gateways(&rig, session).await.ok();
    }
    assert_eq!(database.execute("DELETE FROM service_key WHERE sealed_key = zeroblob(61)", []).unwrap(), 1);
    let rig = rig.restart("0");
    is(&gateways(&rig, &first).await, 400, OVER);
    gateways(&rig, &second).await.ok();

    // Nothing at all can be read: the sessions end nevertheless, at once.
    database.execute(damaged, []).unwrap();
    rig.order(&Order::RotateTokenKey { end_sessions: true }).unwrap();
    is(&gateways(&rig, &second).await, 400, OVER);
    let third = session_of(&rig, &alice, ACCOUNT, "operator").await;
    gateways(&rig, &third).await.ok();
    is(&gateways(&rig.restart("0"), &second).await, 400, OVER);
}
