//! The test API: what it does to a service that was started for it, and that any other service has none of it.
#![allow(clippy::disallowed_methods, reason = "whoever calls from outside goes by the time of day")]
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::program::{program, program_with_key, text};
use common::{
    KEY, KMS, Key, OTHER_ACCOUNT, OTHER_KEY, OTHER_SECRET, PATIENCE, RAM, SECRET, STS, Server, VPC,
};
use serde_json::{Value, json};
use tongguan_pki::{KeySpec, Usage};
use tongguan_testkit::Issuer;

/// Every path of the test API with each of its methods.
const ROUTES: [(&str, &str); 10] = [
    ("POST", "/test/reset"),
    ("PUT", "/test/faults"),
    ("GET", "/test/faults"),
    ("DELETE", "/test/faults"),
    ("POST", "/test/clock"),
    ("GET", "/test/clock"),
    ("PUT", "/test/apply-delay"),
    ("GET", "/test/requests"),
    ("GET", "/test/replay"),
    ("POST", "/test/accounts"),
];

async fn ask_as(server: &Server, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let request =
        format!("{method} {path} HTTP/1.1\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
    server.admin_request(&request).await
}

async fn ask(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, text) = ask_as(server, method, path, "host: 127.0.0.1:8081\r\n", &body).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}")))
}

/// What must succeed.
async fn told(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    let (status, answer) = ask(server, method, path, body).await;
    assert_eq!(status, 200, "{method} {path}: {answer}");
    answer
}

async fn created(
    server: &Server,
    version: &str,
    action: &str,
    parameters: &[(&str, &str)],
    id: &str,
) -> String {
    let reply = server.call(version, action, parameters).await;
    assert_eq!(reply.status, 200, "{action}: {}", reply.text());
    reply.json()[id].as_str().unwrap().to_owned()
}

async fn status(server: &Server, action: &str, name: &str, id: &str) -> String {
    let reply = server.call(VPC, action, &[("RegionId", "cn-hangzhou"), (name, id)]).await;
    if reply.status == 200 { reply.json()["Status"].as_str().unwrap().to_owned() } else { reply.code() }
}

async fn gateway_reaches(server: &Server, id: &str, wanted: &str) {
    let begun = Instant::now();
    loop {
        let now = status(server, "DescribeVpnGateway", "VpnGatewayId", id).await;
        if now == wanted {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "the gateway is {now}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn network(server: &Server) -> String {
    let vpc = created(server, VPC, "CreateVpc", &[("RegionId", "cn-hangzhou")], "VpcId").await;
    let begun = Instant::now();
    while status(server, "DescribeVpcAttribute", "VpcId", &vpc).await != "Available" {
        assert!(begun.elapsed() < PATIENCE, "the VPC does not settle");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    vpc
}

async fn gateway(server: &Server, vpc: &str) -> String {
    let parameters = [
        ("RegionId", "cn-hangzhou"),
        ("VpcId", vpc),
        ("Bandwidth", "10"),
        ("VpnType", "NationalStandard"),
        ("InstanceChargeType", "POSTPAY"),
    ];
    created(server, VPC, "CreateVpnGateway", &parameters, "VpnGatewayId").await
}

/// A certificate that is valid for so many days.
async fn certificate(server: &Server, usage: Usage, days: i64) -> String {
    let parameters =
        [("KeySpec", "EC_SM2"), ("Subject", "CN=gateway,OU=t,O=t,C=CN"), ("ExportablePrivateKey", "false")];
    let reply = server.call(KMS, "CreateCertificate", &parameters).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let made = reply.json();
    let now = jiff::Timestamp::now().as_second();
    let issuer = Issuer::new(KeySpec::EcSm2, now - 60, now + days * 86_400);
    let (leaf, chain) = issuer.issue(made["Csr"].as_str().unwrap(), usage);
    let id = made["CertificateId"].as_str().unwrap().to_owned();
    let upload = [("CertificateId", id.as_str()), ("Certificate", &leaf), ("CertificateChain", &chain)];
    let reply = server.call(KMS, "UploadCertificate", &upload).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    id
}

async fn bind(server: &Server, gateway: &str, certificate: &str, role: &str) -> String {
    let parameters = [
        ("RegionId", "cn-hangzhou"),
        ("VpnGatewayId", gateway),
        ("CertificateId", certificate),
        ("CertificateType", role),
    ];
    server.call(VPC, "AssociateVpnGatewayWithCertificate", &parameters).await.code()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_not_started_for_it_has_no_test_api() {
    let mut server = Server::start(&[]);
    for (method, path) in ROUTES {
        let (status, said) = ask_as(&server, method, path, "host: 127.0.0.1:8081\r\n", "{}").await;
        assert_eq!((status, said.as_str()), (404, "see /\n"), "{method} {path}");
    }
    let (_, index) = server.look("/").await;
    assert!(!index.contains("test"), "{index}");
    // Nor can it be served with it, once it was made; and the other way round.
    let data = server.data_dir();
    let named = |more: &[&str]| {
        let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "0", "--data-dir"]);
        command.arg(&data).args(more);
        let output = command.output().unwrap();
        (output.status.code(), text(&output))
    };
    end(&mut server).await;
    let (code, said) = named(&["--test-api"]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("made without the test API"), "{said}");
}

/// Ends the process; its directory stays.
async fn end(server: &mut Server) {
    server.signal("TERM");
    assert!(server.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_had_the_test_api_is_never_served_without_it() {
    let mut server = Server::start(&["--test-api"]);
    let data = server.data_dir();
    end(&mut server).await;
    let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"]);
    let output = command.arg(&data).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    assert!(text(&output).contains("made for the test API"), "{}", text(&output));
    // Nor is a copy of it.
    let copy = data.with_file_name("copy.db");
    let run = |words: &[&str]| {
        let output = program(words).current_dir(data.parent().unwrap()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output));
    };
    run(&["backup", copy.to_str().unwrap()]);
    run(&[
        "restore",
        copy.to_str().unwrap(),
        "--data-dir",
        "restored",
        "--master-key-file",
        "data/master.key",
    ]);
    let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"]);
    command.arg(data.with_file_name("restored")).arg("--master-key-file").arg(data.join("master.key"));
    assert_eq!(command.output().unwrap().status.code(), Some(78));
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_leaves_what_the_configuration_names_and_nothing_else() {
    let mut server = Server::start(&["--test-api", "--apply-delay", "60m"]);
    let delay = json!({"delay": "0"});
    let key = Key::of(OTHER_KEY, OTHER_SECRET);
    for _ in 0..2 {
        told(&server, "PUT", "/test/apply-delay", &delay).await;
        let vpc = network(&server).await;
        let first = gateway(&server, &vpc).await;
        gateway_reaches(&server, &first, "active").await;
        let bound = certificate(&server, Usage::Encryption, 30).await;
        assert_eq!(bind(&server, &first, &bound, "Encryption").await, "OK");
        gateway_reaches(&server, &first, "active").await;
        // Under way when it is emptied.
        told(&server, "PUT", "/test/apply-delay", &json!({"resource": first, "delay": "1m"})).await;
        let busy = certificate(&server, Usage::Signature, 30).await;
        assert_eq!(bind(&server, &first, &busy, "Signature").await, "OK");
        let user = [("UserName", "alice")];
        assert_eq!(server.call(RAM, "CreateUser", &user).await.status, 200);
        let made = server.call(RAM, "CreateAccessKey", &user).await.json();
        let alice = Key::created(&made);
        assert_eq!(server.call_as(alice.clone(), STS, "GetCallerIdentity", &[]).await.status, 200);
        let account = told(&server, "POST", "/test/accounts", &json!({"name": "worker"})).await;
        let worker =
            Key::of(account["AccessKeyId"].as_str().unwrap(), account["AccessKeySecret"].as_str().unwrap());
        assert_eq!(server.call_as(worker.clone(), VPC, "DescribeRegions", &[]).await.status, 200);

        told(&server, "POST", "/test/reset", &Value::Null).await;
        for gone in [&alice, &worker] {
            let reply = server.call_as(gone.clone(), STS, "GetCallerIdentity", &[]).await;
            assert_eq!(reply.code(), "InvalidAccessKeyId.NotFound");
        }
        let counts = |reply: Value| reply["TotalCount"].as_i64();
        for action in ["DescribeVpnGateways", "DescribeVpcs"] {
            let reply = server.call(VPC, action, &[("RegionId", "cn-hangzhou")]).await.json();
            assert_eq!(counts(reply), Some(0), "{action}");
        }
        let users = server.call(RAM, "ListUsers", &[]).await.json();
        assert_eq!(users["Users"]["User"], json!([]), "{users}");
        assert_eq!(server.call_as(key.clone(), STS, "GetCallerIdentity", &[]).await.status, 200);
        assert_eq!(
            told(&server, "GET", "/test/requests", &Value::Null).await["requests"][0]["code"],
            Value::from("InvalidAccessKeyId.NotFound")
        );
        // The delay is the one that it was started with.
        let vpc = created(&server, VPC, "CreateVpc", &[("RegionId", "cn-hangzhou")], "VpcId").await;
        assert_eq!(status(&server, "DescribeVpcAttribute", "VpcId", &vpc).await, "Pending");
    }
    let data = server.data_dir();
    end(&mut server).await;
    // Every relation between rows holds, and every seal.
    let output = program(&["check", "--data-dir"]).arg(&data).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_key_of_the_first_start_outlives_a_reset() {
    let directory = tempfile::tempdir().unwrap();
    let words = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "0", "--test-api"];
    let mut command = program(&words);
    command.current_dir(directory.path());
    let mut process = common::program::Process::start(command);
    let admin = process.told("admin on http://");
    let kept = std::fs::read_to_string(directory.path().join("data/root-access-key.env")).unwrap();
    let value = |name: &str| {
        kept.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned()
    };
    let (id, secret) = (value("ALIBABA_CLOUD_ACCESS_KEY_ID"), value("ALIBABA_CLOUD_ACCESS_KEY_SECRET"));
    let identity = || {
        let words = ["call", "Sts", "GetCallerIdentity", "--endpoint", &process.endpoint];
        program_with_key(&words, &id, &secret).output().unwrap()
    };
    assert!(identity().status.success());
    let mut stream = std::net::TcpStream::connect(&admin).unwrap();
    let request = format!("POST /test/reset HTTP/1.1\r\nhost: {admin}\r\ncontent-length: 0\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let output = identity();
    assert!(output.status.success(), "{}", text(&output));
    assert!(process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_answer_the_codes_that_a_test_sets() {
    let server = Server::start(&["--test-api"]);
    let vpc = network(&server).await;
    let rules = json!([
        {"action": "DescribeVpcAttribute", "code": "Throttling.User", "after": 1, "times": 2, "resource": vpc},
        {"product": "Ram", "action": "ListUsers", "code": "InternalError"},
    ]);
    told(&server, "PUT", "/test/faults", &rules).await;
    let mut found = Vec::new();
    for _ in 0..4 {
        found.push(status(&server, "DescribeVpcAttribute", "VpcId", &vpc).await);
        let other = status(&server, "DescribeVpcAttribute", "VpcId", "vpc-other").await;
        assert_eq!(other, "InvalidVpcId.NotFound");
    }
    assert_eq!(found, ["Available", "Throttling.User", "Throttling.User", "Available"]);
    let reply = server.call(RAM, "ListUsers", &[]).await;
    assert_eq!((reply.status, reply.code().as_str()), (500, "InternalError"));
    let met = told(&server, "GET", "/test/faults", &Value::Null).await;
    assert_eq!((&met["faults"][0]["seen"], &met["faults"][0]["hits"]), (&json!(4), &json!(2)), "{met}");
    // A caller who may not call is refused for that, and not for the fault.
    let stranger = Key::of("LTAInone", "x");
    assert_eq!(server.call_as(stranger, RAM, "ListUsers", &[]).await.code(), "InvalidAccessKeyId.NotFound");
    told(&server, "DELETE", "/test/faults", &Value::Null).await;
    assert_eq!(server.call(RAM, "ListUsers", &[]).await.status, 200);

    // What no operation answers cannot be had, and the answer says what can. Nothing is set then.
    let wrong = json!([
        {"action": "DescribeVpcAttribute", "code": "Throttling.User"},
        {"action": "AssociateVpnGatewayWithCertificate", "code": "Made.Up"},
    ]);
    let (status_of, answer) = ask(&server, "PUT", "/test/faults", &wrong).await;
    assert_eq!(status_of, 400, "{answer}");
    assert!(answer["codes"].as_array().unwrap().contains(&json!("VpnGateway.Configuring")), "{answer}");
    assert_eq!(told(&server, "GET", "/test/faults", &Value::Null).await, json!({"faults": []}));
    for wrong in [
        json!({"action": "NoSuchOperation", "code": "InternalError"}),
        json!({"action": "TagResources", "code": "InternalError"}),
        json!({"apply": "explode"}),
        json!({"apply": "fail", "chance": 0.5}),
        json!("text"),
    ] {
        assert_eq!(ask(&server, "PUT", "/test/faults", &wrong).await.0, 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_fail_as_a_test_sets_it() {
    let server = Server::start(&["--test-api"]);
    let vpc = network(&server).await;
    let first = gateway(&server, &vpc).await;
    gateway_reaches(&server, &first, "active").await;
    let bound = certificate(&server, Usage::Encryption, 30).await;
    let list = [("RegionId", "cn-hangzhou"), ("VpnGatewayId.1", first.as_str())];

    // Refused for good: withdrawn at once.
    let refuse = json!({"apply": "refuse", "resource": first, "reason": "the device is full"});
    told(&server, "PUT", "/test/faults", &refuse).await;
    assert_eq!(bind(&server, &first, &bound, "Encryption").await, "OK");
    gateway_reaches(&server, &first, "active").await;
    let relations = server.call(VPC, "ListVpnCertificateAssociations", &list).await.json();
    assert_eq!(relations["TotalCount"], 0, "{relations}");
    let met = told(&server, "GET", "/test/faults", &Value::Null).await;
    assert_eq!(met["faults"][0]["hits"], 1, "{met}");

    // Failed twice: applied by the third try.
    told(&server, "PUT", "/test/faults", &json!({"apply": "fail", "resource": first, "times": 2})).await;
    assert_eq!(bind(&server, &first, &bound, "Encryption").await, "OK");
    gateway_reaches(&server, &first, "active").await;
    let relations = server.call(VPC, "ListVpnCertificateAssociations", &list).await.json();
    assert_eq!(relations["TotalCount"], 1, "{relations}");
    assert_eq!(told(&server, "GET", "/test/faults", &Value::Null).await["faults"][0]["hits"], 2);

    // One that hangs is under way until the fault ends.
    told(&server, "PUT", "/test/faults", &json!({"apply": "hang", "resource": first})).await;
    let other = certificate(&server, Usage::Signature, 30).await;
    assert_eq!(bind(&server, &first, &other, "Signature").await, "OK");
    is_met(&server, 1).await;
    assert_eq!(status(&server, "DescribeVpnGateway", "VpnGatewayId", &first).await, "updating");
    told(&server, "DELETE", "/test/faults", &Value::Null).await;
    gateway_reaches(&server, &first, "active").await;

    // A slow one takes its time by the service's clock.
    told(&server, "PUT", "/test/faults", &json!({"apply": "slow", "resource": first, "delay": "1h"})).await;
    let parameters = [
        ("RegionId", "cn-hangzhou"),
        ("VpnGatewayId", first.as_str()),
        ("CertificateId", bound.as_str()),
        ("CertificateType", "Encryption"),
    ];
    assert_eq!(server.call(VPC, "DissociateVpnGatewayWithCertificate", &parameters).await.status, 200);
    is_met(&server, 1).await;
    assert_eq!(status(&server, "DescribeVpnGateway", "VpnGatewayId", &first).await, "updating");
    told(&server, "POST", "/test/clock", &json!({"advance": "1h"})).await;
    gateway_reaches(&server, &first, "active").await;
}

/// Waits until the first fault was met so often.
async fn is_met(server: &Server, times: u64) {
    let begun = Instant::now();
    while told(server, "GET", "/test/faults", &Value::Null).await["faults"][0]["hits"] != times {
        assert!(begun.elapsed() < PATIENCE, "nobody tries");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_stepped_forward_and_signatures_stay_fresh() {
    let mut server = Server::start(&["--test-api"]);
    let vpc = network(&server).await;
    let first = gateway(&server, &vpc).await;
    gateway_reaches(&server, &first, "active").await;
    let soon = certificate(&server, Usage::Encryption, 30).await;
    let late = certificate(&server, Usage::Encryption, 90).await;
    let before = told(&server, "GET", "/test/clock", &Value::Null).await;
    assert_eq!(before["aheadSeconds"], 0);
    let after = told(&server, "POST", "/test/clock", &json!({"advance": "40d"})).await;
    assert_eq!(after["aheadSeconds"], 40 * 86_400);
    let moment = |clock: &Value| clock["now"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(moment(&after).as_second() - moment(&before).as_second() >= 40 * 86_400);
    // Signed by the real clock, and let in; what has expired has.
    assert_eq!(bind(&server, &first, &soon, "Encryption").await, "IllegalParam.CertificateId");
    assert_eq!(bind(&server, &first, &late, "Encryption").await, "OK");
    gateway_reaches(&server, &first, "active").await;
    for wrong in ["-1d", "0", "soon", "", "1mo", "9000000d"] {
        let (status, answer) = ask(&server, "POST", "/test/clock", &json!({"advance": wrong})).await;
        assert_eq!(status, 400, "{wrong}: {answer}");
    }
    // A restart does not set it back.
    let data = server.data_dir();
    server.signal("TERM");
    assert!(server.ended().await.success());
    let words = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "0", "--test-api", "--data-dir"];
    let mut command = program_with_key(&words, KEY, SECRET);
    command.arg(&data);
    let mut process = common::program::Process::start(command);
    let admin = process.told("admin on http://");
    let mut stream = std::net::TcpStream::connect(&admin).unwrap();
    let request = format!("GET /test/clock HTTP/1.1\r\nhost: {admin}\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.contains(&format!("\"aheadSeconds\":{}", 40 * 86_400)), "{answer}");
    assert!(process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gateway_may_have_a_delay_of_its_own() {
    let server = Server::start(&["--test-api"]);
    let vpc = network(&server).await;
    let (first, second) = (gateway(&server, &vpc).await, gateway(&server, &vpc).await);
    for id in [&first, &second] {
        gateway_reaches(&server, id, "active").await;
    }
    told(&server, "PUT", "/test/apply-delay", &json!({"resource": first, "delay": "polls:3"})).await;
    for id in [&first, &second] {
        let parameters = [("RegionId", "cn-hangzhou"), ("VpnGatewayId", id.as_str()), ("Name", "renamed")];
        assert_eq!(server.call(VPC, "ModifyVpnGatewayAttribute", &parameters).await.status, 200);
    }
    gateway_reaches(&server, &second, "active").await;
    assert_eq!(ask(&server, "PUT", "/test/apply-delay", &json!({"delay": "later"})).await.0, 400);
    gateway_reaches(&server, &first, "active").await;
    // What waits to be looked at is applied when it needs no look any more.
    told(&server, "PUT", "/test/apply-delay", &json!({"resource": first, "delay": "polls:1000"})).await;
    let certificate = certificate(&server, Usage::Encryption, 30).await;
    assert_eq!(bind(&server, &first, &certificate, "Encryption").await, "OK");
    assert_eq!(status(&server, "DescribeVpnGateway", "VpnGatewayId", &first).await, "updating");
    told(&server, "PUT", "/test/apply-delay", &json!({"resource": first, "delay": "0"})).await;
    gateway_reaches(&server, &first, "active").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_called_is_told_without_secrets() {
    let server = Server::start(&["--test-api"]);
    let seen = told(&server, "GET", "/test/requests", &Value::Null).await;
    let since = seen["last"].as_u64().unwrap();
    let parameters = [
        ("RegionId", "cn-hangzhou"),
        ("IpAddress", "192.0.2.7"),
        ("AuthKey", "the-secret-of-bgp"),
        ("Asn", "65000"),
    ];
    server.call(VPC, "CreateCustomerGateway", &parameters).await;
    let options = r#"{"Psk":"the-secret-of-ike","IkeVersion":"ikev2"}"#;
    let parameters = [("RegionId", "cn-hangzhou"), ("VpnGatewayId", "vpn-none"), ("IkeConfig", options)];
    server.call(VPC, "CreateVpnConnection", &parameters).await;
    server.call_as(Key::of("LTAInone", "x"), STS, "GetCallerIdentity", &[]).await;
    let path = format!("/test/requests?since={since}");
    let seen = told(&server, "GET", &path, &Value::Null).await;
    assert!(!seen.to_string().contains("the-secret"), "{seen}");
    let requests = seen["requests"].as_array().unwrap();
    let actions: Vec<_> = requests.iter().map(|request| request["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["CreateCustomerGateway", "CreateVpnConnection", "GetCallerIdentity"]);
    assert_eq!(requests[0]["parameters"]["IpAddress"], "192.0.2.7");
    assert_eq!((&requests[0]["status"], &requests[0]["principal"]), (&json!(200), &json!("root")));
    assert_eq!(requests[2]["code"], "InvalidAccessKeyId.NotFound");
    assert_eq!((&seen["last"], &seen["lost"]), (&json!(since + 3), &json!(false)));
    let numbers: BTreeSet<u64> = requests.iter().map(|request| request["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), 3);
    assert_eq!(ask(&server, "GET", "/test/requests?since=x", &Value::Null).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_made_for_test_workers() {
    let server = Server::start(&["--test-api"]);
    let account = json!({"name": "worker 1", "id": "1000000000000077"});
    let made = told(&server, "POST", "/test/accounts", &account).await;
    assert_eq!(made["AccountId"], "1000000000000077");
    let (id, secret) = (made["AccessKeyId"].as_str().unwrap(), made["AccessKeySecret"].as_str().unwrap());
    let identity = server.call_as(Key::of(id, secret), STS, "GetCallerIdentity", &[]).await.json();
    assert_eq!(identity["AccountId"], "1000000000000077");
    assert_eq!(ask(&server, "POST", "/test/accounts", &account).await.0, 409);
    assert_eq!(ask(&server, "POST", "/test/accounts", &json!({"id": OTHER_ACCOUNT})).await.0, 409);
    assert_eq!(ask(&server, "POST", "/test/accounts", &json!({"id": "7"})).await.0, 400);
    assert_ne!(told(&server, "POST", "/test/accounts", &Value::Null).await["AccountId"], made["AccountId"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_not_let_in() {
    let server = Server::start(&["--test-api"]);
    for (method, path) in ROUTES {
        for headers in [
            "host: 127.0.0.1:8081\r\norigin: http://evil.example\r\n",
            "host: evil.example\r\n",
            "host: 127.0.0.1.evil.example:8081\r\n",
        ] {
            let (status, said) = ask_as(&server, method, path, headers, "").await;
            assert_eq!(status, 403, "{method} {path}: {said}");
        }
    }
    for (method, path) in [("GET", "/test/reset"), ("PATCH", "/test/faults"), ("POST", "/test/requests")] {
        assert_eq!(ask_as(&server, method, path, "host: localhost\r\n", "").await.0, 405, "{method} {path}");
    }
    assert_eq!(ask_as(&server, "GET", "/test/none", "host: localhost\r\n", "").await.0, 404);
    let long = "x".repeat(2 * 1024 * 1024);
    let begun = "PUT /test/faults HTTP/1.1\r\nhost: localhost\r\n";
    let request = format!("{begun}content-length: {}\r\n\r\n{}", long.len(), &long[..1024 * 1024 + 100]);
    assert_eq!(server.admin_request(&request).await.0, 400);

    // Where others reach it, it starts with a token alone, and asks for it.
    let directory = tempfile::tempdir().unwrap();
    let words = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0", "--test-api"];
    let output = program(&words).current_dir(directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    assert!(text(&output).contains("TONGGUAN_TEST_TOKEN"), "{}", text(&output));
    let output = program(&["serve", "--admin-listen", "off", "--test-api", "--check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    let mut command = program(&words);
    command.current_dir(directory.path()).env("TONGGUAN_TEST_TOKEN", "a token of this test");
    let mut process = common::program::Process::start(command);
    let admin = process.told("admin on http://").replace("0.0.0.0", "127.0.0.1");
    let look = |header: &str| {
        let mut stream = std::net::TcpStream::connect(&admin).unwrap();
        let request = format!("GET /test/clock HTTP/1.1\r\nhost: some.host\r\n{header}\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(look(""), "401");
    assert_eq!(look("authorization: Bearer another token\r\n"), "401");
    assert_eq!(look("authorization: Bearer a token of this test\r\n"), "200");
    assert!(!process.logged().contains("a token of this test"));
    assert!(process.stop().success());
}
