//! Role sessions and keys: what they may, until when, and what ends them.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use common::{ACCOUNT, Caller, RAM, RawCall, Reply, Rig, STS, VPC, refused as is};
use serde_json::{Value, json};

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
        // A permanent key has no token.
        let token = one.token.as_deref();
        is(&gateways(&rig, &with(&alice, token)).await, 400, "InvalidSecurityToken.Malformed");
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
    let root = Caller { id: "root".into(), secret: "root secret".into(), token: None };
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
        let refused = rig.by(&alice, "2016-01-20", "GetCertificate", &parameters).await;
        is(&refused, 403, "Forbidden.NoPermission");
    }
    let other = [("CertificateId", "00000000-0000-0000-0000-000000000000"), ("RegionId", "cn-beijing")];
    is(&rig.by(&alice, "2016-01-20", "GetCertificate", &other).await, 404, "Certificate.NotFound");
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
