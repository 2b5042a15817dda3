//! What a request says of its key before its body has come: whether it names one that exists and is active. That puts
//! it before strangers where there is not room for all; what it may do is not touched by it.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use common::{ACCOUNT, Caller, RAM, Rig, STS, refused};
use http::{HeaderMap, Method};
use serde_json::json;
use tongguan_rpc::HttpRequest;

/// Whether a request with this query, and in its head this V3 key and token, names an active key.
fn named(rig: &Rig, query: &str, key: Option<&str>, token: Option<&str>) -> bool {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let text = format!("ACS3-HMAC-SHA256 Credential={key},SignedHeaders=host,Signature=00");
        headers.insert("authorization", text.parse().unwrap());
    }
    if let Some(token) = token {
        headers.insert("x-acs-security-token", token.parse().unwrap());
    }
    let (method, body) = (&Method::POST, &[][..]);
    rig.service.names_active_key(HttpRequest { method, path: "/", query, headers: &headers, body })
}

fn in_header(rig: &Rig, caller: &Caller) -> bool {
    named(rig, "", Some(&caller.id), caller.token.as_deref())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_key_is_looked_up_and_not_believed() {
    let rig = Rig::new("0");
    let may = json!([{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]);
    let user = rig.user("somebody", &may).await;
    // V3 in the header, V1 in the query; in the body, or nowhere, is not known yet.
    assert!(in_header(&rig, &user));
    assert!(named(&rig, &format!("AccessKeyId={}&SignatureMethod=HMAC-SHA1", user.id), None, None));
    assert!(!named(&rig, "", None, None));
    assert!(!named(&rig, "AccessKeyId=&SignatureMethod=HMAC-SHA1", None, None));
    assert!(!named(&rig, "%zz", Some(&user.id), None));
    for unknown in ["LTAIunknown", "STS.unknown", &"x".repeat(10_000)] {
        assert!(!named(&rig, "", Some(unknown), None), "{unknown}");
    }

    // A temporary key with the token that came with it.
    let trust = json!({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"RAM": [format!("acs:ram::{ACCOUNT}:root")]}}]});
    let role = [("RoleName", "r"), ("AssumeRolePolicyDocument", &*trust.to_string())];
    rig.ram("CreateRole", &role).await;
    let arn = format!("acs:ram::{ACCOUNT}:role/r");
    let parameters = [("RoleArn", arn.as_str()), ("RoleSessionName", "name")];
    let session = Caller::session(&rig.by(&user, STS, "AssumeRole", &parameters).await.ok());
    assert!(in_header(&rig, &session));
    assert!(!in_header(&rig, &Caller { token: None, ..session.clone() }));
    assert!(!in_header(&rig, &Caller { token: Some("made up".into()), ..session.clone() }));

    // Nothing is proved by a name: the call itself is refused as ever.
    let forged = Caller { secret: "guessed".into(), ..user.clone() };
    assert!(in_header(&rig, &forged));
    refused(&rig.by(&forged, RAM, "ListUsers", &[]).await, 400, "SignatureDoesNotMatch");

    let inactive = [("UserName", "somebody"), ("UserAccessKeyId", user.id.as_str()), ("Status", "Inactive")];
    rig.ram("UpdateAccessKey", &inactive).await;
    assert!(!in_header(&rig, &user));
}
