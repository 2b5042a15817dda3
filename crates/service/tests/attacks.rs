//! What an attacker tries against signatures and permissions, each with the refusal that it meets. The forms
//! of signatures themselves are attacked in `crates/rpc/tests/wire.rs`, tokens in `sessions.rs`.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::net::{IpAddr, Ipv4Addr};

use common::{ACCOUNT, Call, Caller, KMS, Manner, RAM, RawCall, Reply, Rig, STS, VPC, refused as is};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tongguan_model::id::AccountId;
use tongguan_model::limits::Quotas;
use tongguan_rpc::{HttpRequest, OutgoingRequest, Placement, SignatureMethod};
use tongguan_service::access::Peer;
use tongguan_service::context::iso8601;
use tongguan_store::{PolicyRow, Verdict};

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
    signed_for(rig, caller, VPC, method, placement, action, parameters)
}

/// The same, of another API.
fn signed_for(
    rig: &Rig,
    caller: &Caller,
    version: &str,
    method: SignatureMethod,
    placement: Placement,
    action: &str,
    parameters: &[(&str, &str)],
) -> OutgoingRequest {
    let call = Call { placement, ..Call::new(version, action, parameters) };
    caller.sign(&call, &Manner { signature: method, ..Manner::V1 }, &rig.stamp())
}

async fn deliver(rig: &Rig, request: &OutgoingRequest, from: IpAddr, secure: bool) -> Reply {
    rig.respond(request, from, secure).await.into()
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
        rig.post(&request).await.ok();
        is(&rig.post(&request).await, 400, "SignatureNonceUsed");
        rig.advance(10 * 60_000);
        is(&rig.post(&request).await, 400, "SignatureNonceUsed");
        // Neither a clock that is set back nor forward makes it new.
        rig.jump(-20 * 60_000);
        let again = rig.post(&request).await;
        assert!(["SignatureNonceUsed", "InvalidTimeStamp.Expired"].contains(&again.code()), "{}", again.body);
        rig.jump(20 * 60_000);
        rig.advance(6 * 60_000);
        is(&rig.post(&request).await, 400, "InvalidTimeStamp.Expired");
    }
    let request =
        signed(&rig, &alice, SignatureMethod::HmacSha1, Placement::Query, "DescribeVpnGateways", &[REGION]);
    rig.post(&request).await.ok();
    let rig = rig.restart("0");
    is(&rig.post(&request).await, 400, "SignatureNonceUsed");
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
        let refused = rig.post(&request).await;
        assert_eq!(refused.status, 400, "{name}: {}", refused.body);
    }
    // The header that is signed is the one that counts, wherever else the action stands.
    let mut request = list(&alice, v3);
    request.path_and_query = "/?Action=DeleteVpnGateway".to_owned();
    is(&rig.post(&request).await, 400, "SignatureDoesNotMatch");
    // Action taken out of what is signed.
    let mut request = list(&alice, v3);
    for (name, value) in &mut request.headers {
        if name == "authorization" {
            *value = value.replace("x-acs-action;", "");
        }
    }
    is(&rig.post(&request).await, 400, "IncompleteSignature");
    // The body after it was signed, and its hash along with it.
    let mut request = list(&alice, v3);
    request.body = b"RegionId=cn-beijing".to_vec();
    is(&rig.post(&request).await, 400, "SignatureDoesNotMatch");

    // V1 reads no headers of V3: what they say changes nothing.
    let mut request = list(&alice, v1);
    request.headers.push(("x-acs-action".to_owned(), "DeleteVpnGateway".to_owned()));
    request.headers.push(("x-acs-security-token".to_owned(), session.token.clone().unwrap()));
    request.headers.push(("x-forwarded-for".to_owned(), "203.0.113.9".to_owned()));
    rig.post(&request).await.ok();
    // A parameter added to the query of a signed form.
    let mut request = list(&alice, v1);
    request.path_and_query = "/?Action=DeleteVpnGateway".to_owned();
    let refused = rig.post(&request).await;
    is(&refused, 400, "InvalidParameter");
    // A session's token, put to a permanent key's request.
    let mut request = list(&alice, v1);
    request.path_and_query = format!(
        "/?SecurityToken={}",
        session.token.as_deref().unwrap().replace('+', "%2B").replace('=', "%3D")
    );
    is(&rig.post(&request).await, 400, "InvalidSecurityToken.MismatchWithAccessKey");
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
        is(&rig.post(&form(body, query)).await, 400, "InvalidParameter");
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
            is(&rig.post(&request).await, 400, "InvalidParameter");
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
        let caller = Caller::named("root");
        is(&rig.by(&caller, RAM, "CreatePolicy", &parameters).await, 400, code);
    }
    // What is accepted is decided in time whatever its patterns look like.
    rig.ram("CreatePolicy", &[("PolicyName", "stars"), ("PolicyDocument", &stars)]).await;
    let alice = rig.user("alice", &json!([])).await;
    let attach = [("UserName", "alice"), ("PolicyName", "stars"), ("PolicyType", "Custom")];
    rig.ram("AttachPolicyToUser", &attach).await;
    is(&rig.by(&alice, VPC, "DescribeVpnGateways", &[REGION]).await, 403, "Forbidden");
}

/// A document of one Deny that compares a tag of the request with as many runs of one letter as it has room for.
fn bomb(patterns: usize, pattern: &str) -> String {
    let listed = vec![pattern; patterns];
    json!({"Version": "1", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {"StringLike": {"acs:RequestTag/abcde": listed}}}]})
    .to_string()
}

/// The worst set of policies that documented limits allow: ten of the user's own, five of each of five groups, each as
/// large as a document may be. Documents that this release refuses are stored as an older one did.
async fn worst_user(rig: &Rig, document: &str) -> Caller {
    let alice = rig.user("alice", &json!([allow("*")])).await;
    for n in 0..34 {
        let row = PolicyRow {
            seq: 0,
            account: AccountId::new(ACCOUNT),
            name: format!("bomb-{n}"),
            description: String::new(),
            default_version: 1,
            next_version: 2,
            created_ms: 0,
            updated_ms: 0,
        };
        let document = document.to_owned();
        let stored = rig.store().write(move |tx| {
            tx.insert_policy(&row, &document)?;
            Ok(Verdict::Keep(()))
        });
        stored.await.unwrap();
    }
    let attach = async |operation: &str, whom: (&str, &str), n: usize| {
        let name = format!("bomb-{n}");
        rig.ram(operation, &[whom, ("PolicyName", &name), ("PolicyType", "Custom")]).await;
    };
    for n in 0..9 {
        attach("AttachPolicyToUser", ("UserName", "alice"), n).await;
    }
    for group in 0..5 {
        let name = format!("group-{group}");
        rig.ram("CreateGroup", &[("GroupName", &name)]).await;
        rig.ram("AddUserToGroup", &[("GroupName", &name), ("UserName", "alice")]).await;
        for n in 0..5 {
            attach("AttachPolicyToGroup", ("GroupName", &name), 9 + 5 * group + n).await;
        }
    }
    alice
}

/// Parameters of TagResources for fifty resources, with these tags.
fn tag_fifty(tags: &[(String, String)]) -> Vec<(String, String)> {
    let mut parameters = vec![
        ("RegionId".to_owned(), "cn-hangzhou".to_owned()),
        ("ResourceType".to_owned(), "VPNGATEWAY".to_owned()),
    ];
    parameters.extend((1..=50).map(|n| (format!("ResourceId.{n}"), format!("vpn-{n}"))));
    for (n, (key, value)) in (1..).zip(tags) {
        parameters.push((format!("Tag.{n}.Key"), key.clone()));
        parameters.push((format!("Tag.{n}.Value"), value.clone()));
    }
    parameters
}

fn borrowed(parameters: &[(String, String)]) -> Vec<(&str, &str)> {
    parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// A decision has a budget of steps: one that would take more is none, and allows nothing. The steps themselves are
/// counted in `crates/model/tests/policy/worst.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn policy_bombs_are_refused_and_those_stored_go_off_cheaply() {
    let rig = Rig::new("0");
    let root = Caller::named("root");
    let run = "a".repeat(60);
    for (patterns, pattern) in
        [(85, format!("*{run}?b")), (80, format!("*{run}?b*")), (80, format!("*{run}b*"))]
    {
        let document = bomb(patterns, &pattern);
        let create = [("PolicyName", "new"), ("PolicyDocument", document.as_str())];
        let refused = rig.by(&root, RAM, "CreatePolicy", &create).await;
        is(&refused, 400, "MalformedPolicyDocument");
        assert!(refused.body["Message"].as_str().unwrap().contains("at most 4096"), "{}", refused.body);
    }
    let alice = worst_user(&rig, &bomb(80, &format!("*{run}?b*"))).await;
    let value = "a".repeat(128);
    let one = tag_fifty(&[("abcde".to_owned(), value.clone())]);
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        let refused = rig.by(&alice, VPC, "TagResources", &borrowed(&one)).await;
        is(&refused, 403, "Forbidden.PolicyTooComplex");
    }
    // Generous: without the budget one of them took half a minute.
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    // What does not reach the patterns is decided as ever: without the tag, and with a value that is settled early.
    rig.by(&alice, VPC, "DescribeVpnGateways", &[REGION]).await.ok();
    let harmless = tag_fifty(&[("abcde".to_owned(), "prod".to_owned())]);
    let refused = rig.by(&alice, VPC, "TagResources", &borrowed(&harmless)).await;
    is(&refused, 404, "InvalidVpnGatewayInstanceId.NotFound");
}

/// Keys of tags that differ in case only are one condition key: which value a policy is asked about must be clear.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_key_in_two_spellings_is_given_twice() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &json!([allow("*")])).await;
    // Nothing is decided about such tags: also who has no rights is told of them.
    let bob = rig.user("bob", &json!([])).await;
    let root = Caller::named("root");
    let spellings = |n: u32| {
        let letters = "abcde".chars().enumerate();
        let spelt = letters.map(|(at, c)| if n >> at & 1 == 1 { c.to_ascii_uppercase() } else { c });
        (spelt.collect::<String>(), "a".repeat(128))
    };
    let twenty: Vec<(String, String)> = (0..20).map(spellings).collect();
    let tag = tag_fifty(&twenty);
    let two =
        [REGION, ("Tag.1.Key", "Env"), ("Tag.1.Value", "a"), ("Tag.2.Key", "env"), ("Tag.2.Value", "b")];
    let vpc: Vec<_> = two.iter().copied().chain([("CidrBlock", "10.0.0.0/8")]).collect();
    let list: Vec<_> = two.iter().copied().chain([("ResourceType", "VPC")]).collect();
    for caller in [&alice, &bob, &root] {
        is(&rig.by(caller, VPC, "TagResources", &borrowed(&tag)).await, 400, "Duplicated.TagKey");
        is(&rig.by(caller, VPC, "CreateVpc", &vpc).await, 400, "Duplicated.TagKey");
        is(&rig.by(caller, VPC, "DescribeVpcs", &two).await, 400, "Duplicated.TagKey");
        is(&rig.by(caller, VPC, "ListTagResources", &list).await, 400, "Duplicated.TagKey");
        let document = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
        let tags = r#"[{"Key":"Env","Value":"a"},{"Key":"eNV","Value":"b"}]"#;
        let create = [("PolicyName", "p"), ("PolicyDocument", document), ("Tag", tags)];
        is(&rig.by(caller, RAM, "CreatePolicy", &create).await, 400, "Duplicated.TagKey");
    }
    assert_eq!(rig.call("DescribeVpcs", &[REGION]).await.ok()["TotalCount"], 0);
}

/// The trust policy and the session policy have the same bounds.
#[tokio::test(flavor = "multi_thread")]
async fn trust_and_session_policies_have_a_budget_too() {
    let rig = Rig::new("0");
    let alice = rig.user("alice", &json!([allow("sts:AssumeRole")])).await;
    let root = Caller::named("root");
    let trust = |patterns: &[String]| {
        json!({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"RAM": format!("acs:ram::{ACCOUNT}:root")},
            "Condition": {"StringNotLike": {"sts:ExternalId": patterns}}}]})
        .to_string()
    };
    let costly = trust(&vec![format!("*{}?b*", "a".repeat(60)); 80]);
    let create = [("RoleName", "no"), ("AssumeRolePolicyDocument", costly.as_str())];
    is(&rig.by(&root, RAM, "CreateRole", &create).await, 400, "MalformedPolicyDocument");
    // One pattern is fine, until somebody brings the longest external id, which it goes back over at every letter.
    let accepted = trust(&[format!("*{}?b*", "a".repeat(600))]);
    rig.ram("CreateRole", &[("RoleName", "operator"), ("AssumeRolePolicyDocument", &accepted)]).await;
    let role = format!("acs:ram::{ACCOUNT}:role/operator");
    let assume = async |external: &str, policy: Option<&str>| {
        let mut call =
            vec![("RoleArn", role.as_str()), ("RoleSessionName", "session"), ("ExternalId", external)];
        call.extend(policy.map(|policy| ("Policy", policy)));
        rig.by(&alice, STS, "AssumeRole", &call).await
    };
    is(&assume(&"a".repeat(1_224), None).await, 403, "Forbidden.PolicyTooComplex");
    assume("vendor-7", None).await.ok();
    let never = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*",
        "Condition":{"StringEquals":{"acs:SourceIp":"10.0.0.0/8"}}}]}"#;
    let refused = assume("vendor-7", Some(never)).await;
    is(&refused, 400, "InvalidParameter.PolicyGrammar");
    assert!(
        refused.body["Message"].as_str().unwrap().contains("IpAddress takes networks"),
        "{}",
        refused.body
    );
}

/// What can never apply by its form is refused; what has no effect here is made, and its author warned beside the answer.
#[tokio::test(flavor = "multi_thread")]
async fn policies_that_never_apply_are_refused_or_warned_of() {
    let rig = Rig::new("0");
    let root = Caller::named("root");
    let statement = |action: &str, resource: &str, condition: Value| {
        json!({"Version": "1", "Statement": [{"Effect": "Deny", "Action": action, "Resource": resource,
            "Condition": condition}]})
        .to_string()
    };
    for (document, named) in [
        (statement("*", "acs:ram:*:*:user/${ram:UserName}", json!({})), "variables"),
        (statement("*", "*", json!({"StringEquals": {"acs:SourceIp": "10.0.0.0/8"}})), "takes networks"),
        (statement("*", "*", json!({"Bool": {"acs:SourceIp": "true"}})), "is an address"),
    ] {
        let create = [("PolicyName", "never"), ("PolicyDocument", document.as_str())];
        let refused = rig.by(&root, RAM, "CreatePolicy", &create).await;
        is(&refused, 400, "MalformedPolicyDocument");
        assert!(refused.body["Message"].as_str().unwrap().contains(named), "{}", refused.body);
    }
    let warned = async |action: &str, parameters: &[(&str, &str)]| {
        let request = signed_for(
            &rig,
            &root,
            RAM,
            SignatureMethod::Acs3HmacSha256,
            Placement::Form,
            action,
            parameters,
        );
        let response = rig.respond(&request, IpAddr::V4(Ipv4Addr::LOCALHOST), false).await;
        let answer: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(response.status, 200, "{action}: {answer}");
        // The answer has the documented members alone.
        assert!(answer.as_object().unwrap().keys().all(|member| !member.contains("arning")), "{answer}");
        response.warnings
    };
    let condition = json!({"IpAddress": {"acs:SourceIpp": "10.0.0.0/8"}});
    let typos = statement("vcp:*", "acs:vpc:*:*:网${x}", condition);
    let create = [("PolicyName", "typos"), ("PolicyDocument", typos.as_str())];
    let expected = [
        "PolicyDocument: Statement[0].Action: vcp:* names a product that is not known",
        "PolicyDocument: Statement[0].Resource: acs:vpc:*:*:\\u{7f51}${x} is taken letter by letter: policies have no \
         variables here",
        "PolicyDocument: Statement[0].Condition.IpAddress: the condition key acs:SourceIpp is not known: it is absent \
         from every request",
    ];
    assert_eq!(warned("CreatePolicy", &create).await, expected);
    assert_eq!(warned("CreatePolicyVersion", &create).await, expected);
    let trust = json!({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"RAM": format!("acs:ram::{ACCOUNT}:root")},
        "Condition": {"StringEquals": {"acs:SourceVpc": "vpc-1"}}}]})
    .to_string();
    let create = [("RoleName", "r"), ("AssumeRolePolicyDocument", trust.as_str())];
    assert_eq!(warned("CreateRole", &create).await.len(), 1);
    let update = [("RoleName", "r"), ("NewAssumeRolePolicyDocument", trust.as_str())];
    assert_eq!(warned("UpdateRole", &update).await.len(), 1);
    let fine = statement("ecs:*", "acs:oss:*:*:*", json!({}));
    let create = [("PolicyName", "fine"), ("PolicyDocument", fine.as_str())];
    assert_eq!(warned("CreatePolicy", &create).await, Vec::<String>::new());
}

/// A condition on a resource's tags is about calls that name the resource. A list that names none is decided without
/// tags, and shows what it shows: a Deny hides nothing from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deny_on_tags_does_not_hide_from_lists() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let named = ("ResourceId.1", gateway.as_str());
    let tag = [REGION, ("ResourceType", "VPNGATEWAY"), named, ("Tag.1.Key", "env"), ("Tag.1.Value", "prod")];
    rig.call("TagResources", &tag).await.ok();
    let deny = json!({"Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {"StringEquals": {"acs:ResourceTag/env": "prod"}}});
    let alice = rig.user("alice", &json!([allow("*"), deny])).await;
    let one = [REGION, ("VpnGatewayId", gateway.as_str())];
    is(&rig.by(&alice, VPC, "DescribeVpnGateway", &one).await, 403, "Forbidden");
    is(&rig.by(&alice, VPC, "TagResources", &tag).await, 403, "Forbidden");
    let listed = rig.by(&alice, VPC, "DescribeVpnGateways", &[REGION]).await.ok();
    assert_eq!(listed["TotalCount"], 1);
    // Who must not see it must not list: a Deny of the list itself holds.
    let deny = json!({"Effect": "Deny", "Action": "vpc:DescribeVpnGateways", "Resource": "*"});
    let bob = rig.user("bob", &json!([allow("*"), deny])).await;
    is(&rig.by(&bob, VPC, "DescribeVpnGateways", &[REGION]).await, 403, "Forbidden");
}

/// However many resources the operator lets a call tag, the tags of each are asked about.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_many_resources_is_asked_about_too() {
    const MANY: usize = 150;
    let quotas = Quotas { tagged_resources_per_call: MANY as u64, ..Quotas::default() };
    let rig = Rig::with_quotas("0", quotas);
    let gateway = rig.gateway("NationalStandard").await;
    let tagging =
        |value| [REGION, ("ResourceType", "VPNGATEWAY"), ("Tag.1.Key", "env"), ("Tag.1.Value", value)];
    let one: Vec<_> = tagging("prod").into_iter().chain([("ResourceId.1", gateway.as_str())]).collect();
    rig.call("TagResources", &one).await.ok();
    let deny = json!({"Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {"StringEquals": {"acs:ResourceTag/env": "prod"}}});
    let alice = rig.user("alice", &json!([allow("*"), deny])).await;
    let names: Vec<String> = (1..=MANY).map(|number| format!("ResourceId.{number}")).collect();
    let call = |with_it: bool| {
        let ids = names.iter().enumerate().map(|(place, name)| {
            let id = if with_it && place + 1 == MANY { gateway.as_str() } else { "vpn-none" };
            (name.as_str(), id)
        });
        tagging("test").into_iter().chain(ids).collect::<Vec<_>>()
    };
    is(&rig.by(&alice, VPC, "TagResources", &call(true)).await, 403, "Forbidden");
    // Without it the call may be made, and is refused for what it names.
    let refused = rig.by(&alice, VPC, "TagResources", &call(false)).await;
    is(&refused, 404, "InvalidVpnGatewayInstanceId.NotFound");
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
    let root = Caller::named("root");
    let refused = rig.by(&root, RAM, "UpdateUser", &rename("observer")).await;
    is(&refused, 409, "EntityAlreadyExists.User");
    let refused = rig.by(&root, RAM, "CreateUser", &[("UserName", "Observer")]).await;
    is(&refused, 409, "EntityAlreadyExists.User");
}

/// A condition value that comes from a parameter is bounded like the rest.
#[tokio::test(flavor = "multi_thread")]
async fn long_values_do_not_make_patterns_work() {
    let rig = Rig::new("0");
    let pattern = format!("*{}?b", "a".repeat(2_000));
    let statement = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*",
        "Condition": {"StringLike": {"sts:ExternalId": [pattern, pattern]}}});
    let alice = rig.user("alice", &json!([statement])).await;
    let long = "a".repeat(100_000);
    let role = format!("acs:ram::{ACCOUNT}:role/operator");
    let call = [("RoleArn", role.as_str()), ("RoleSessionName", "session"), ("ExternalId", long.as_str())];
    is(&rig.by(&alice, STS, "AssumeRole", &call).await, 403, "NoPermission");
}

/// A request of the account's own key, signed by V4 under this scope of region and product.
async fn scoped(rig: &Rig, scope: (&str, &str), version: &str, action: &str, query: &str) -> Reply {
    let parameters: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let call = Call::new(version, action, &parameters);
    rig.post(&Caller::named("root").sign_v4(&call, scope, &rig.stamp())).await
}

/// A key that was derived for one product and region (V4) opens no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_derived_key_opens_what_it_was_derived_for() {
    let rig = Rig::new("0");
    let (kms, here) = (KMS, "cn-hangzhou");
    for (scope, version, action, query) in [
        ((here, "Vpc"), VPC, "DescribeRegions", ""),
        ((here, "vpc"), VPC, "DescribeRegions", ""),
        ((here, "Ram"), RAM, "ListUsers", ""),
        (("center", "Ram"), RAM, "ListUsers", ""),
        (("center", "sts"), STS, "GetCallerIdentity", ""),
        (("cn-beijing", "Vpc"), VPC, "DescribeVpcs", "RegionId=cn-beijing"),
        ((here, "Vpc"), VPC, "DescribeVpcs", "RegionId=cn-beijing"),
        ((here, "KMS"), kms, "CreateCertificate", "KeySpec=EC_P256&Subject=CN=a,OU=b,O=c,C=CN"),
    ] {
        let reply = scoped(&rig, scope, version, action, query).await;
        assert_eq!(reply.code(), "OK", "{scope:?} {action} {query}: {}", reply.body);
    }
    for (scope, version, action, query) in [
        (("us-west-1", "Oss"), RAM, "CreateUser", "UserName=mallory"),
        (("us-west-1", "Ram"), RAM, "CreateUser", "UserName=mallory"),
        // A parameter that the operation does not read makes no scope fit.
        (("us-west-1", "Ram"), RAM, "CreateUser", "UserName=mallory&RegionId=us-west-1"),
        ((here, "Vpc"), RAM, "ListUsers", ""),
        ((here, "Ram"), VPC, "DescribeVpcs", "RegionId=cn-hangzhou"),
        (("center", "Vpc"), VPC, "DescribeVpcs", "RegionId=cn-hangzhou"),
        (("cn-beijing", "Vpc"), VPC, "DescribeVpcs", "RegionId=cn-hangzhou"),
        (("cn-beijing", "Kms"), kms, "GetCertificate", "CertificateId=a"),
        (("", ""), RAM, "CreateUser", "UserName=mallory"),
        (("", "Ram"), RAM, "CreateUser", "UserName=mallory"),
        ((here, ""), RAM, "CreateUser", "UserName=mallory"),
    ] {
        let reply = scoped(&rig, scope, version, action, query).await;
        is(&reply, 400, "IncompleteSignature");
    }
    let users = rig.ram("ListUsers", &[]).await;
    assert_eq!(users["Users"]["User"].as_array().map_or(0, Vec::len), 0, "{users}");
}

/// A wrong signature over a long request is answered in a few kilobytes, in the form that clients read.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_signature_makes_no_long_answer() {
    let rig = Rig::new("0");
    let timestamp = iso8601(common::START_MS).replace(':', "%3A");
    let mut body = format!(
        "AccessKeyId=root&Action=DescribeRegions&Format=JSON&SignatureMethod=HMAC-SHA1&SignatureNonce=n&\
         SignatureVersion=1.0&Timestamp={timestamp}&Version={VPC}&Signature=AAAAAAAAAAAAAAAAAAAAAAAAAAA%3D"
    );
    (0..8).for_each(|number| body.push_str(&format!("&P{number}={}", "\u{4e00}".repeat(43_000))));
    assert!(body.len() > 1_030_000);
    let mut headers = HeaderMap::new();
    headers.insert("host", "vpc.test".parse().unwrap());
    headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    let request =
        HttpRequest { method: &Method::POST, path: "/", query: "", headers: &headers, body: body.as_bytes() };
    let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), secure: false };
    let response = rig.service.answer(request, peer).await;
    assert!(response.body.len() < 10_000, "{} bytes", response.body.len());
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(body["Code"], "SignatureDoesNotMatch");
    let message = body["Message"].as_str().unwrap();
    let (before, text) = message.split_once(':').unwrap();
    assert!(before.ends_with("server string to sign is"), "{before}");
    assert!(text.starts_with("POST&%2F&AccessKeyId%3Droot%26"), "{text}");
    let (_, told) = text.split_once("... (").unwrap();
    let (length, hash) = told.split_once(" bytes, SHA-256 ").unwrap();
    assert!(length.parse::<usize>().unwrap() > 5_000_000 && hash.trim_end_matches(')').len() == 64, "{told}");
}
