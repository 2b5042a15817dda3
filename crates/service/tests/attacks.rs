//! What an attacker tries against signatures and permissions, each with the refusal that it meets. The forms
//! of signatures themselves are attacked in `crates/rpc/tests/wire.rs`, tokens in `sessions.rs`.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::net::{IpAddr, Ipv4Addr};

use common::{ACCOUNT, Caller, RAM, RawCall, Reply, Rig, STS, VPC, refused as is};
use http::{HeaderMap, HeaderName, Method};
use serde_json::{Value, json};
use tongguan_rpc::{
    ClientCall, Format, HttpRequest, OutgoingRequest, Placement, Secret, SignatureMethod, Signer,
};
use tongguan_service::context::iso8601;
use tongguan_service::gate::Peer;

const REGION: (&str, &str) = ("RegionId", "cn-hangzhou");

/// A signed request that can be spoilt before it is sent.
fn signed(
    rig: &Rig,
    caller: &Caller,
    method: SignatureMethod,
    placement: Placement,
    action: &str,
    parameters: &[(&str, &str)],
) -> OutgoingRequest {
    let owned: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let signer = Signer {
        access_key_id: caller.id.clone(),
        secret: Secret::from(caller.secret.as_str()),
        security_token: caller.token.clone(),
        method,
    };
    signer.sign(&ClientCall {
        http_method: Method::POST,
        host: "vpc.test",
        action,
        version: VPC,
        parameters: &owned,
        placement,
        format: Format::Json,
        timestamp: &iso8601(tongguan_service::context::Clock::now_ms(&*rig.clock)),
        nonce: &rig.next_nonce(),
    })
}

async fn deliver(rig: &Rig, request: &OutgoingRequest, from: IpAddr, secure: bool) -> Reply {
    let (path, query) = request.path_and_query.split_once('?').unwrap_or((&request.path_and_query, ""));
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let request =
        HttpRequest { method: &request.method, path, query, headers: &headers, body: &request.body };
    let response = rig.service.answer(request, Peer { address: from, secure }).await;
    Reply { status: response.status, body: serde_json::from_slice(&response.body).unwrap() }
}

async fn post(rig: &Rig, request: &OutgoingRequest) -> Reply {
    deliver(rig, request, IpAddr::V4(Ipv4Addr::LOCALHOST), false).await
}

fn allow(action: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": "*"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_taken_once_at_any_time() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &json!([allow("vpc:Describe*")])).await;
    for method in [SignatureMethod::HmacSha1, SignatureMethod::Acs3HmacSha256] {
        let request = signed(&rig, &alice, method, Placement::Form, "DescribeVpnGateways", &[REGION]);
        post(&rig, &request).await.ok();
        is(&post(&rig, &request).await, 400, "SignatureNonceUsed");
        rig.advance(10 * 60_000);
        is(&post(&rig, &request).await, 400, "SignatureNonceUsed");
        // Neither a clock that is set back nor forward makes it new.
        rig.jump(-20 * 60_000);
        let again = post(&rig, &request).await;
        assert!(["SignatureNonceUsed", "InvalidTimeStamp.Expired"].contains(&again.code()), "{}", again.body);
        rig.jump(20 * 60_000);
        rig.advance(6 * 60_000);
        is(&post(&rig, &request).await, 400, "InvalidTimeStamp.Expired");
    }
    let request =
        signed(&rig, &alice, SignatureMethod::HmacSha1, Placement::Query, "DescribeVpnGateways", &[REGION]);
    post(&rig, &request).await.ok();
    let rig = rig.restart("0");
    is(&post(&rig, &request).await, 400, "SignatureNonceUsed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_has_no_effect() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &json!([allow("vpc:Describe*"), allow("sts:AssumeRole")])).await;
    let trust = json!({"Version": "1", "Statement": [{"Action": "sts:AssumeRole", "Effect": "Allow",
        "Principal": {"RAM": format!("acs:ram::{ACCOUNT}:root")}}]});
    let parameters = [("RoleName", "operator"), ("AssumeRolePolicyDocument", &trust.to_string())];
    rig.ram("CreateRole", &parameters).await;
    let role = format!("acs:ram::{ACCOUNT}:role/operator");
    let assume = [("RoleArn", role.as_str()), ("RoleSessionName", "session")];
    let session = Caller::session(&rig.by(&alice, STS, "AssumeRole", &assume).await.ok());
    let (v1, v3) = (SignatureMethod::HmacSha1, SignatureMethod::Acs3HmacSha256);
    let list =
        |caller, method| signed(&rig, caller, method, Placement::Form, "DescribeVpnGateways", &[REGION]);

    // V3: a header that is read and not signed, for each of them.
    for (name, value) in [
        ("x-acs-security-token", session.token.as_deref().unwrap()),
        ("x-acs-signature-nonce", "another"),
        ("x-acs-action", "DeleteVpnGateway"),
        ("x-acs-version", RAM),
    ] {
        let mut request = list(&alice, v3);
        request.headers.push((name.to_owned(), value.to_owned()));
        let refused = post(&rig, &request).await;
        assert_eq!(refused.status, 400, "{name}: {}", refused.body);
    }
    // The header that is signed is the one that counts, wherever else the action stands.
    let mut request = list(&alice, v3);
    request.path_and_query = "/?Action=DeleteVpnGateway".to_owned();
    is(&post(&rig, &request).await, 400, "SignatureDoesNotMatch");
    // Action taken out of what is signed.
    let mut request = list(&alice, v3);
    for (name, value) in &mut request.headers {
        if name == "authorization" {
            *value = value.replace("x-acs-action;", "");
        }
    }
    is(&post(&rig, &request).await, 400, "IncompleteSignature");
    // The body after it was signed, and its hash along with it.
    let mut request = list(&alice, v3);
    request.body = b"RegionId=cn-beijing".to_vec();
    is(&post(&rig, &request).await, 400, "SignatureDoesNotMatch");

    // V1 reads no headers of V3: what they say changes nothing.
    let mut request = list(&alice, v1);
    request.headers.push(("x-acs-action".to_owned(), "DeleteVpnGateway".to_owned()));
    request.headers.push(("x-acs-security-token".to_owned(), session.token.clone().unwrap()));
    request.headers.push(("x-forwarded-for".to_owned(), "203.0.113.9".to_owned()));
    post(&rig, &request).await.ok();
    // A parameter added to the query of a signed form.
    let mut request = list(&alice, v1);
    request.path_and_query = "/?Action=DeleteVpnGateway".to_owned();
    let refused = post(&rig, &request).await;
    is(&refused, 400, "InvalidParameter");
    // A session's token, put to a permanent key's request.
    let mut request = list(&alice, v1);
    request.path_and_query = format!(
        "/?SecurityToken={}",
        session.token.as_deref().unwrap().replace('+', "%2B").replace('=', "%3D")
    );
    is(&post(&rig, &request).await, 400, "InvalidSecurityToken.MismatchWithAccessKey");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_has_one_value() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &json!([allow("vpc:Describe*")])).await;
    let form = |body: &str, query: &str| {
        let mut request = signed(
            &rig,
            &alice,
            SignatureMethod::HmacSha1,
            Placement::Form,
            "DescribeVpnGateways",
            &[REGION],
        );
        request.body = [&request.body[..], body.as_bytes()].concat();
        request.path_and_query = query.to_owned();
        request
    };
    for (body, query) in [
        ("", "/?RegionId=cn-beijing"),
        ("&RegionId=cn-beijing", "/"),
        ("&Action=DeleteVpnGateway", "/"),
        ("", "/?AccessKeyId=root"),
        ("&Version=2015-05-01", "/"),
        ("&%52egionId=cn-beijing", "/"),
    ] {
        is(&post(&rig, &form(body, query)).await, 400, "InvalidParameter");
    }
    // Also under a signature that covers both.
    let raw = RawCall {
        key: &alice.id,
        secret: Some(&alice.secret),
        nonce: &rig.next_nonce(),
        ..RawCall::new("DescribeVpnGateways", &[REGION, ("RegionId", "cn-beijing")])
    };
    is(&rig.send(&raw).await, 400, "InvalidParameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_path() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &json!([allow("vpc:Describe*")])).await;
    for path in ["/admin", "/.", "/%2e", "/Vpc/../", "/;x", "/\\"] {
        for method in [SignatureMethod::HmacSha1, SignatureMethod::Acs3HmacSha256] {
            let mut request =
                signed(&rig, &alice, method, Placement::Query, "DescribeVpnGateways", &[REGION]);
            request.path_and_query = request.path_and_query.replacen('/', path, 1);
            is(&post(&rig, &request).await, 400, "InvalidParameter");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_circumstances_are_the_connections_and_not_the_callers_word() {
    let rig = Rig::new("0");
    let only = json!({"Effect": "Allow", "Action": "vpc:*", "Resource": "*", "Condition": {
        "IpAddress": {"acs:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]}, "Bool": {"acs:SecureTransport": "true"}}});
    let alice = rig.user("alice", &json!([only])).await;
    let list =
        || signed(&rig, &alice, SignatureMethod::HmacSha1, Placement::Form, "DescribeVpnGateways", &[REGION]);
    for (address, secure, allowed) in [
        ("203.0.113.9", true, true),
        ("::ffff:203.0.113.9", true, true),
        ("2001:db8::7", true, true),
        ("203.0.113.9", false, false),
        ("203.0.114.9", true, false),
        ("127.0.0.1", true, false),
    ] {
        let mut request = list();
        for (name, value) in [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-real-ip", "203.0.113.9"),
            ("forwarded", "for=203.0.113.9;proto=https"),
            ("x-forwarded-proto", "https"),
        ] {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
        let reply = deliver(&rig, &request, address.parse().unwrap(), secure).await;
        assert_eq!(reply.status, if allowed { 200 } else { 403 }, "{address} {secure}: {}", reply.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_do_not_make_an_arn_another_one() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let one = format!("acs:vpc:cn-hangzhou:{ACCOUNT}:vpngateway/vpn-allowed*");
    let own = format!("acs:ram:*:{ACCOUNT}:user/alice");
    let alice = rig
        .user(
            "alice",
            &json!([
                {"Effect": "Allow", "Action": "vpc:*", "Resource": one},
                {"Effect": "Allow", "Action": "ram:*", "Resource": [own, format!("acs:ram:*:{ACCOUNT}:policy/*")]},
                {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": format!("acs:ram::{ACCOUNT}:role/a*")},
            ]),
        )
        .await;
    rig.user("bob", &json!([])).await;
    // A wildcard in a request is a character like others, and no part of the ARN can be pushed along.
    for id in [&gateway, "*", "vpn-*", "?", &format!("*:vpngateway/vpn-allowed/../{gateway}")] {
        let parameters = [REGION, ("VpnGatewayId", id)];
        is(&rig.by(&alice, VPC, "DescribeVpnGateway", &parameters).await, 403, "Forbidden");
    }
    let region = format!("cn-hangzhou:{ACCOUNT}:vpngateway/vpn-allowed");
    let parameters = [("RegionId", region.as_str()), ("VpnGatewayId", gateway.as_str())];
    let refused = rig.by(&alice, VPC, "DescribeVpnGateway", &parameters).await;
    assert_ne!(refused.status, 200, "{}", refused.body);
    let list = [REGION, ("VpnGatewayId.1", "vpn-allowed1"), ("VpnGatewayId", gateway.as_str())];
    assert_ne!(rig.by(&alice, VPC, "DescribeVpnGateway", &list).await.status, 200);

    // Whoever may act on one user may not on another, whatever the name looks like.
    rig.by(&alice, RAM, "GetUser", &[("UserName", "ALICE")]).await.ok();
    for name in ["bob", "alice/../bob", "alice*", "*", "bob\0", "alice,bob", ""] {
        let refused = rig.by(&alice, RAM, "GetUser", &[("UserName", name)]).await;
        assert!(refused.status == 403 || name.is_empty(), "{name}: {}", refused.body);
    }
    // The system's policies are not the account's: leave for one is no leave for the other.
    let attach = |kind: &'static str, name: &'static str| {
        [("UserName", "alice"), ("PolicyName", name), ("PolicyType", kind)]
    };
    let refused = rig.by(&alice, RAM, "AttachPolicyToUser", &attach("System", "AdministratorAccess")).await;
    is(&refused, 403, "NoPermission");
    for kind in ["system", "SYSTEM", "System ", "Custom\0", ""] {
        let refused = rig.by(&alice, RAM, "AttachPolicyToUser", &attach(kind, "AdministratorAccess")).await;
        assert_ne!(refused.status, 200, "{kind}: {}", refused.body);
    }
    for arn in [
        format!("acs:ram::{ACCOUNT}:role/b"),
        format!("acs:ram:*:{ACCOUNT}:role/a"),
        format!("acs:ram::{ACCOUNT}:role/a:role/b"),
        format!("acs:ram::{ACCOUNT}:role/a/b"),
        format!("acs:ram::{ACCOUNT}:role/a*"),
        "*".to_owned(),
    ] {
        let parameters = [("RoleArn", arn.as_str()), ("RoleSessionName", "session")];
        let refused = rig.by(&alice, STS, "AssumeRole", &parameters).await;
        assert!(
            refused.status == 403 || refused.code() == "InvalidParameter.RoleArn",
            "{arn}: {}",
            refused.body
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deny_holds_however_a_name_is_spelt() {
    let rig = Rig::new("0");
    let deny = json!({"Effect": "Deny", "Action": "RAM:deleteuser", "Resource": format!("acs:ram::{ACCOUNT}:user/Bob")});
    let alice = rig.user("alice", &json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}, deny])).await;
    rig.ram("CreateUser", &[("UserName", "bob")]).await;
    for name in ["bob", "Bob", "BOB"] {
        is(&rig.by(&alice, RAM, "DeleteUser", &[("UserName", name)]).await, 403, "NoPermission");
    }
    // Operations are found by their exact name, so there is no other spelling to pass by.
    for action in ["deleteuser", "DeleteUser ", "DELETEUSER"] {
        is(&rig.by(&alice, RAM, action, &[("UserName", "bob")]).await, 404, "InvalidAction.NotFound");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_policies_are_refused_early() {
    let rig = Rig::new("0");
    let statement = r#"{"Effect":"Allow","Action":"vpc:*","Resource":"*"}"#;
    let many = format!(r#"{{"Version":"1","Statement":[{}]}}"#, vec![statement; 200].join(","));
    let deep = format!("{}1{}", "[".repeat(3_000), "]".repeat(3_000));
    let stars = format!(
        r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Action":"vpc:{}","Resource":"*"}}]}}"#,
        "*a".repeat(2_900)
    );
    for (document, code) in [
        (many.as_str(), "InvalidParameter.PolicyDocument.Length"),
        (deep.as_str(), "MalformedPolicyDocument"),
        (&"x".repeat(60_000), "InvalidParameter.PolicyDocument.Length"),
    ] {
        let parameters = [("PolicyName", "big"), ("PolicyDocument", document)];
        let caller = Caller { id: "root".into(), secret: "root secret".into(), token: None };
        is(&rig.by(&caller, RAM, "CreatePolicy", &parameters).await, 400, code);
    }
    // What is accepted is decided in time whatever its patterns look like.
    rig.ram("CreatePolicy", &[("PolicyName", "stars"), ("PolicyDocument", &stars)]).await;
    let alice = rig.user("alice", &json!([])).await;
    let attach = [("UserName", "alice"), ("PolicyName", "stars"), ("PolicyType", "Custom")];
    rig.ram("AttachPolicyToUser", &attach).await;
    is(&rig.by(&alice, VPC, "DescribeVpnGateways", &[REGION]).await, 403, "Forbidden");
}

/// What is asked about is what is acted on: every item of a list, and nothing that the operation does not read.
#[tokio::test(flavor = "multi_thread")]
async fn tags_of_one_resource_do_not_open_another() {
    let rig = Rig::new("0");
    let (blue, red) = (rig.gateway("NationalStandard").await, rig.gateway("NationalStandard").await);
    for (id, team) in [(&blue, "blue"), (&red, "red")] {
        let tag =
            [REGION, ("ResourceType", "VPNGATEWAY"), ("ResourceId.1", id.as_str()), ("Tag.1.Key", "team")];
        let tag: Vec<_> = tag.into_iter().chain([("Tag.1.Value", team)]).collect();
        rig.call("TagResources", &tag).await.ok();
    }
    let resource_tag = json!({"Effect": "Allow", "Action": "vpc:*", "Resource": "*",
        "Condition": {"StringEquals": {"acs:ResourceTag/team": "blue"}}});
    let alice = rig.user("alice", &json!([resource_tag])).await;
    let tagging = [REGION, ("ResourceType", "VPNGATEWAY"), ("Tag.1.Key", "x"), ("Tag.1.Value", "y")];
    let ids: [&[(&str, &str)]; 5] = [
        &[("ResourceId.1", &blue), ("ResourceId.2", &red)],
        &[("ResourceId.1", &red), ("ResourceId.2", &blue)],
        &[("ResourceId", &blue), ("ResourceId.1", &red)],
        &[("ResourceId.1", ""), ("ResourceId.2", &red)],
        &[("ResourceId.1", "vpn-none")],
    ];
    for ids in ids {
        let parameters: Vec<_> = tagging.iter().chain(ids).copied().collect();
        is(&rig.by(&alice, VPC, "TagResources", &parameters).await, 403, "Forbidden");
    }
    let parameters: Vec<_> = tagging.iter().copied().chain([("ResourceId.1", blue.as_str())]).collect();
    rig.by(&alice, VPC, "TagResources", &parameters).await.ok();
    // A list that the operation does not take as one, and no resource at all.
    let decoy = [REGION, ("VpnGatewayId.1", blue.as_str())];
    for parameters in [&decoy[..], &[REGION]] {
        is(&rig.by(&alice, VPC, "DescribeVpnGateways", parameters).await, 403, "Forbidden");
    }
    is(&rig.by(&alice, VPC, "DeleteVpnGateway", &[REGION, ("VpnGatewayId", &red)]).await, 403, "Forbidden");

    // Tags of a request count where the operation takes tags.
    let request_tag = json!({"Effect": "Allow", "Action": "*", "Resource": "*",
        "Condition": {"StringEquals": {"acs:RequestTag/team": "blue"}}});
    let bob = rig.user("bob", &json!([request_tag])).await;
    let stray = [("Tag.1.Key", "team"), ("Tag.1.Value", "blue")];
    let delete = [REGION, ("VpnGatewayId", red.as_str()), stray[0], stray[1]];
    is(&rig.by(&bob, VPC, "DeleteVpnGateway", &delete).await, 403, "Forbidden");
    let policy = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    let create = |tag: &'static str| [("PolicyName", "mine"), ("PolicyDocument", policy), ("Tag", tag)];
    let refused = rig.by(&bob, RAM, "CreatePolicy", &create(r#"[{"Key":"team","Value":"red"}]"#)).await;
    is(&refused, 403, "NoPermission");
    rig.by(&bob, RAM, "CreatePolicy", &create(r#"[{"Key":"team","Value":"blue"}]"#)).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_a_list_is_no_name() {
    let rig = Rig::new("0");
    let keys =
        json!({"Effect": "Allow", "Action": "ram:CreateAccessKey", "Resource": "acs:ram:*:*:user/ci-*"});
    let assume = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*",
        "Condition": {"StringLike": {"sts:SourceIdentity": "?*"}}});
    let alice = rig.user("alice", &json!([keys, assume])).await;
    rig.ram("CreateUser", &[("UserName", "ci-1")]).await;
    is(&rig.by(&alice, RAM, "CreateAccessKey", &[("UserName.1", "ci-1")]).await, 403, "NoPermission");
    is(&rig.by(&alice, RAM, "CreateAccessKey", &[]).await, 403, "NoPermission");
    rig.by(&alice, RAM, "CreateAccessKey", &[("UserName", "ci-1")]).await.ok();
    let trust = json!({"Version": "1", "Statement": [{"Action": "sts:AssumeRole", "Effect": "Allow",
        "Principal": {"RAM": format!("acs:ram::{ACCOUNT}:root")}}]});
    let parameters = [("RoleName", "operator"), ("AssumeRolePolicyDocument", &trust.to_string())];
    rig.ram("CreateRole", &parameters).await;
    let role = format!("acs:ram::{ACCOUNT}:role/operator");
    let call =
        |name: &'static str| [("RoleArn", role.as_str()), ("RoleSessionName", "session"), (name, "alice")];
    is(&rig.by(&alice, STS, "AssumeRole", &call("SourceIdentity.1")).await, 403, "NoPermission");
    rig.by(&alice, STS, "AssumeRole", &call("SourceIdentity")).await.ok();
}

/// Rights hang on names: a name that means something already is not taken.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_a_name_that_means_something() {
    let rig = Rig::new("0");
    let own = json!({"Effect": "Allow", "Action": "ram:UpdateUser", "Resource": "acs:ram:*:*:user/alice"});
    let alice = rig.user("alice", &json!([own])).await;
    let rename = |to: &'static str| [("UserName", "alice"), ("NewUserName", to)];
    is(&rig.by(&alice, RAM, "UpdateUser", &rename("ci")).await, 403, "NoPermission");
    rig.by(&alice, RAM, "UpdateUser", &rename("Alice")).await.ok();
    // `observer` is a user of the configuration.
    let root = Caller { id: "root".into(), secret: "root secret".into(), token: None };
    let refused = rig.by(&root, RAM, "UpdateUser", &rename("observer")).await;
    is(&refused, 409, "EntityAlreadyExists.User");
    let refused = rig.by(&root, RAM, "CreateUser", &[("UserName", "Observer")]).await;
    is(&refused, 409, "EntityAlreadyExists.User");
}

/// A condition value that comes from a parameter is bounded like the rest.
#[tokio::test(flavor = "multi_thread")]
async fn long_values_do_not_make_patterns_work() {
    let rig = Rig::new("0");
    let pattern = format!("*{}?b", "a".repeat(2_500));
    let statement = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*",
        "Condition": {"StringLike": {"sts:ExternalId": [pattern, pattern]}}});
    let alice = rig.user("alice", &json!([statement])).await;
    let long = "a".repeat(100_000);
    let role = format!("acs:ram::{ACCOUNT}:role/operator");
    let call = [("RoleArn", role.as_str()), ("RoleSessionName", "session"), ("ExternalId", long.as_str())];
    is(&rig.by(&alice, STS, "AssumeRole", &call).await, 403, "NoPermission");
}
