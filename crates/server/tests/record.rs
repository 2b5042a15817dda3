//! `tongguan record` between clients and a service, and `tongguan dev --replay` of what it wrote.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use common::program::{ended, program, signal, text};
use common::{Key, PATIENCE, RAM, REGION, STS, http_bytes};
use rustix::process::Signal;
use serde_json::{Value, json};
use tongguan_rpc::{Format, OutgoingRequest, SignatureMethod, encode};
use tongguan_testkit::dev::{Dev, place};
use tongguan_testkit::http::frame;
use tongguan_testkit::{Call, Manner, Stamp};

/// A `tongguan record` that has said where it is.
struct Recorder {
    child: Child,
    said: Value,
}

impl Recorder {
    fn command(folder: &Path, to: &str, more: &[&str]) -> Command {
        let mut command = program(&["record", "--json", "--listen", "127.0.0.1:0", "--to", to]);
        command.args(more).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn start(folder: &Path, to: &str, more: &[&str]) -> Self {
        let mut child = Self::command(folder, to, more).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            panic!("{}", text(&child.wait_with_output().unwrap()));
        }
        Self { said: serde_json::from_str(&line).unwrap(), child }
    }

    fn endpoint(&self) -> &str {
        self.said["endpoint"].as_str().unwrap()
    }

    fn address(&self) -> SocketAddr {
        self.endpoint().parse().unwrap()
    }

    /// Ends it in order; answers what it has said on standard error.
    fn stop(mut self) -> String {
        signal(&self.child, Signal::TERM);
        assert_eq!(ended(&mut self.child).code(), Some(0));
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body of what answers these bytes; none if the connection ends before.
fn sent(address: SocketAddr, bytes: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may be refused before it was read.
    let _ = stream.write_all(bytes);
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match frame(&answer).unwrap() {
            Some(frame) if answer.len() >= frame.end => {
                return Some((
                    frame.status,
                    String::from_utf8(answer[frame.body..frame.end].to_vec()).unwrap(),
                ));
            }
            _ => {}
        }
        match stream.read(&mut part) {
            Ok(read) if read > 0 => answer.extend_from_slice(&part[..read]),
            _ => return None,
        }
    }
}

/// A call, signed for a host.
fn signed(key: &Key, call: &Call<'_>, signature: SignatureMethod, host: &str) -> OutgoingRequest {
    key.sign(call, &Manner { signature, host, ..Manner::V1 }, &Stamp::now())
}

/// The same as a client sends it to a proxy.
fn absolute(request: &OutgoingRequest, authority: &str) -> Vec<u8> {
    let mut request = request.clone();
    request.path_and_query = format!("http://{authority}{}", request.path_and_query);
    http_bytes(&request, "proxy-connection: keep-alive\r\n")
}

fn pairs(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the test API of a service answers.
fn told(dev: &Dev, method: &str, path: &str) -> (u16, Value) {
    let address = dev.of("admin").trim_start_matches("http://").parse().unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    let (status, body) = sent(address, request.as_bytes()).unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(output)))
}

/// Secrets that a client sends.
const PSK: &str = "s3cret-of-ike/+&<";
const AUTH_KEY: &str = "s3cret-of-bgp";
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nczNjcmV0LW9mLWNhcw==\n-----END PRIVATE KEY-----\n";

/// What the session is made of by a signed client, beside `tongguan call`.
fn strange_calls(key: &Key, host: &str) -> Vec<OutgoingRequest> {
    let options = json!({"IkeVersion": "ikev2", "Psk": PSK}).to_string();
    let connection =
        Call::vpc("CreateVpnConnection", &[("VpnGatewayId", "vpn-none"), ("IkeConfig", &options)]);
    let identity = Call::new(STS, "GetCallerIdentity", &[]);
    let certificate = [("Name", "a"), ("Cert", "none"), ("Key", PRIVATE_KEY)];
    let upload = Call::new(common::CAS, "UploadUserCertificate", &certificate).form();
    let gateway =
        [("IpAddress", "192.0.2.7"), ("Asn", "65000"), ("AuthKey", AUTH_KEY), ("ClientToken", "once")];
    let gateway = Call::vpc("CreateCustomerGateway", &gateway);
    let wrong = Key { secret: "wrong".to_owned(), ..key.clone() };
    let mut requests = Vec::new();
    for method in [SignatureMethod::HmacSha1, SignatureMethod::Acs3HmacSha256, SignatureMethod::Acs3HmacSm3] {
        for call in [&identity, &connection, &upload, &gateway] {
            requests.push(signed(key, call, method, host));
        }
        // Its answer repeats the text that was signed.
        requests.push(signed(&wrong, &connection, method, host));
    }
    let xml = Manner { format: Format::Xml, host, ..Manner::V1 };
    requests.push(key.sign(&Call::vpc("DescribeVpcs", &[]), &xml, &Stamp::now()));
    requests
}

/// Signature, nonce and token of a request, as it has them.
fn marks(request: &OutgoingRequest) -> Vec<String> {
    let text = format!("{}&{}", request.path_and_query, String::from_utf8_lossy(&request.body));
    let query = text.split(['?', '&']).filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        ["Signature", "SignatureNonce", "SecurityToken"].contains(&name).then(|| value.to_owned())
    });
    let headers = request.headers.iter().filter_map(|(name, value)| match name.as_str() {
        "authorization" => value.split("Signature=").nth(1).map(str::to_owned),
        "x-acs-signature-nonce" | "x-acs-security-token" => Some(value.clone()),
        _ => None,
    });
    query.chain(headers).collect()
}

/// What is done by the command line, in this order; what it prints of a role goes on.
const WORDS: [&str; 8] = [
    "Vpc CreateVpc --VpcName lab --ClientToken one",
    "Vpc DescribeVpcs",
    "Vpc CreateVpc --VpcName second",
    "Vpc DescribeVpcs",
    "Ram CreateUser --UserName alice",
    "Ram CreateAccessKey --UserName alice",
    "Vpc DescribeVpcAttribute --VpcId vpc-none",
    "Ram GetUser --UserName alice --form --signature hmac-sha256",
];

/// A user's key and a role's session in a service.
fn session(dev: &Dev) -> Key {
    let endpoint: SocketAddr = dev.of("endpoint").parse().unwrap();
    let ask = |key: &Key, version: &str, action: &str, with: &[(&str, &str)]| -> Value {
        let call = Call::new(version, action, with);
        let request = signed(key, &call, SignatureMethod::Acs3HmacSha256, dev.of("endpoint"));
        let (status, body) = sent(endpoint, &http_bytes(&request, "")).unwrap();
        assert_eq!(status, 200, "{action}: {body}");
        serde_json::from_str(&body).unwrap()
    };
    let root = Key::of(dev.of("accessKeyId"), dev.of("accessKeySecret"));
    let account = dev.of("accountId");
    let trust = json!({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"RAM": [format!("acs:ram::{account}:root")]}}]})
    .to_string();
    ask(&root, RAM, "CreateRole", &[("RoleName", "tester"), ("AssumeRolePolicyDocument", &trust)]);
    ask(&root, RAM, "CreateUser", &[("UserName", "carol")]);
    let assume =
        [("PolicyType", "System"), ("PolicyName", "AliyunSTSAssumeRoleAccess"), ("UserName", "carol")];
    ask(&root, RAM, "AttachPolicyToUser", &assume);
    for policy in ["AliyunVPCFullAccess", "AliyunVPNGatewayFullAccess"] {
        let all = [("PolicyType", "System"), ("PolicyName", policy), ("RoleName", "tester")];
        ask(&root, RAM, "AttachPolicyToRole", &all);
    }
    let user = Key::created(&ask(&root, RAM, "CreateAccessKey", &[("UserName", "carol")]));
    let role = format!("acs:ram::{account}:role/tester");
    let session = [("RoleArn", role.as_str()), ("RoleSessionName", "session")];
    Key::session(&ask(&user, STS, "AssumeRole", &session))
}

/// Records a session, and answers the file, what was printed, and every secret of it.
fn record(folder: &Path, dev: &Dev) -> (PathBuf, Vec<Value>, BTreeSet<String>) {
    let session = session(dev);
    let recorder = Recorder::start(folder, dev.of("endpoint"), &["--file", "session.jsonl"]);
    let printed: Vec<Value> =
        WORDS.iter().map(|line| json_of(&dev.call_by(recorder.endpoint(), line))).collect();
    let mut secrets: BTreeSet<String> =
        [dev.of("accessKeySecret"), &session.secret, &session.id, AUTH_KEY, PSK, "czNjcmV0LW9mLWNhcw"]
            .map(str::to_owned)
            .into();
    secrets.insert(printed[5]["AccessKey"]["AccessKeySecret"].as_str().unwrap().to_owned());
    secrets.insert(session.token.clone().unwrap());
    for request in strange_calls(&session, recorder.endpoint()) {
        secrets.extend(marks(&request));
        let (status, body) = sent(recorder.address(), &http_bytes(&request, "")).unwrap();
        assert!(status < 500 && !body.contains("Recorder."), "{status} {body}");
    }
    let said = recorder.stop();
    let number = WORDS.len() + 16;
    assert!(said.contains(&format!("{number} calls recorded in `session.jsonl`, 0 passed on")), "{said}");
    (folder.join("session.jsonl"), printed, secrets)
}

#[test]
fn a_session_is_recorded_without_secrets_and_replayed() {
    let (directory, temporary) = place();
    let dev = Dev::start(&temporary, &[]);
    let (file, printed, secrets) = record(directory.path(), &dev);
    dev.stop();
    let text = std::fs::read_to_string(&file).unwrap();
    for secret in &secrets {
        for form in [secret.clone(), encode(secret), encode(&encode(secret)), json!(secret).to_string()] {
            let form = form.trim_matches('"');
            assert!(!text.contains(form), "{form}");
        }
    }
    let recorded = pairs(&file);
    assert_eq!(recorded.len(), WORDS.len() + 16);
    let codes: BTreeSet<&str> = recorded.iter().filter_map(|pair| pair["code"].as_str()).collect();
    assert!(codes.contains("SignatureDoesNotMatch") && codes.contains("InvalidVpcId.NotFound"), "{codes:?}");
    assert_eq!(recorded[0]["parameters"], json!({"RegionId": REGION, "VpcName": "lab"}));
    assert_eq!((&recorded[0]["product"], &recorded[0]["status"]), (&json!("Vpc"), &json!(200)));
    let masked = recorded[WORDS.len()]["accessKeyId"].as_str().unwrap();
    assert!(masked.starts_with("STS.") && masked.contains("***"), "{masked}");

    let replaying = Dev::start(&temporary, &["--replay", "session.jsonl", "--replay-only"]);
    for (line, printed) in WORDS.iter().zip(&printed) {
        let output = replaying.call(&line.replace("--ClientToken one", "--ClientToken another"));
        assert_eq!(
            output.status.success(),
            printed["Code"].is_null(),
            "{line}: {}",
            common::program::text(&output)
        );
        let again = json_of(&output);
        assert_ne!(again["RequestId"], printed["RequestId"], "{line}");
        // It stands in the address of a recommendation too.
        let (old, new) = (printed["RequestId"].as_str().unwrap(), again["RequestId"].as_str().unwrap());
        let mut printed: Value = serde_json::from_str(&printed.to_string().replace(old, new)).unwrap();
        if let Some(key) = printed.get_mut("AccessKey") {
            key["AccessKeySecret"] = "***".into();
        }
        assert_eq!(again, printed, "{line}");
    }
    // What is signed otherwise is the same request, and whoever signs wrongly is refused.
    let key = Key::of(replaying.of("accessKeyId"), replaying.of("accessKeySecret"));
    let address: SocketAddr = replaying.of("endpoint").parse().unwrap();
    let ask = |request: &OutgoingRequest| sent(address, &http_bytes(request, "")).unwrap();
    for request in strange_calls(&key, replaying.of("endpoint")) {
        let (status, body) = ask(&request);
        assert!(status < 500 && !body.contains("NotRecorded"), "{status} {body}");
    }
    let wrong = Key::of("tongguan-dev", "wrong");
    let (status, body) =
        ask(&signed(&wrong, &Call::vpc("DescribeVpcs", &[]), SignatureMethod::HmacSha1, "x"));
    assert!(status == 400 && body.contains("SignatureDoesNotMatch"), "{status} {body}");
    let (status, shown) = told(&replaying, "GET", "/test/replay");
    assert_eq!((status, &shown["only"], &shown["unmatched"]), (200, &json!(true), &json!([])));
    assert!(shown["pairs"].as_array().unwrap().iter().any(|pair| pair["used"] == 1), "{shown}");
    replaying.stop();
}

#[test]
fn what_was_not_recorded_is_answered_by_the_service_or_refused() {
    let (directory, temporary) = place();
    let heading = r#"{"tongguanRecording":1,"of":"https://vpc.example.com"}"#;
    let pair = |action: &str, parameters: Value, status: u16, code: Option<&str>, body: Value| {
        json!({
            "time": "2026-11-29T12:00:00Z", "version": "2016-04-28", "action": action, "parameters": parameters,
            "format": "json", "status": status, "code": code, "requestId": "AAAAAAAA-0000-4000-8000-000000000001",
            "body": body.to_string(),
        })
        .to_string()
    };
    let id = "AAAAAAAA-0000-4000-8000-000000000001";
    let region = json!({"RegionId": REGION});
    let first = [
        heading.to_owned(),
        pair("DescribeVpcs", region.clone(), 200, None, json!({"RequestId": id, "TotalCount": 41})),
        // One that this service does not have.
        pair("DescribeMoons", region.clone(), 200, None, json!({"RequestId": id, "Moons": 2})),
    ];
    let second = [
        heading.to_owned(),
        pair(
            "DescribeVpcs",
            region,
            429,
            Some("Busy"),
            json!({"RequestId": id, "Code": "Busy", "Message": "m"}),
        ),
    ];
    let folder = directory.path().join("recordings");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("b.jsonl"), second.join("\n") + "\n").unwrap();
    std::fs::write(folder.join("a.jsonl"), first.join("\n") + "\n{\"time\":\"cut").unwrap();
    std::fs::write(folder.join("notes.txt"), "no recording").unwrap();

    let dev = Dev::start(&temporary, &["--replay", "recordings"]);
    assert_eq!(dev.answer("Vpc DescribeVpcs")["TotalCount"], 41);
    assert_eq!(dev.answer("Vpc DescribeMoons")["Moons"], 2);
    assert!(dev.answer("Vpc CreateVpc --VpcName real")["VpcId"].is_string());
    let moons = dev.call("Vpc DescribeMoons --Planet mars");
    assert!(text(&moons).contains("InvalidAction.NotFound"), "{}", text(&moons));
    for _ in 0..2 {
        assert_eq!(json_of(&dev.call("Vpc DescribeVpcs"))["Code"], "Busy");
    }
    let (_, shown) = told(&dev, "GET", "/test/replay");
    let used: Vec<&Value> = shown["pairs"].as_array().unwrap().iter().map(|pair| &pair["used"]).collect();
    assert_eq!(used, [1, 1, 2]);
    assert_eq!((&shown["unused"], shown["unmatched"].as_array().unwrap().len()), (&json!(0), 2));
    assert_eq!(shown["unmatched"][0]["parameters"]["VpcName"], "real");
    assert!(shown["pairs"][2]["file"].as_str().unwrap().ends_with("b.jsonl"), "{shown}");
    // Tests see it as they see other requests.
    let (_, seen) = told(&dev, "GET", "/test/requests");
    let last = seen["requests"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["action"], &last["status"], &last["code"]),
        (&json!("DescribeVpcs"), &json!(429), &json!("Busy"))
    );
    assert_eq!(told(&dev, "POST", "/test/reset").0, 200);
    assert_eq!(dev.answer("Vpc DescribeVpcs")["TotalCount"], 41);
    dev.stop();

    let dev = Dev::start(&temporary, &["--replay", "recordings", "--replay-only"]);
    let refused = dev.call("Vpc CreateVpc --VpcName real");
    let answer = json_of(&refused);
    assert_eq!((refused.status.code(), &answer["Code"]), (Some(1), &json!("NotRecorded")));
    assert!(answer["Message"].as_str().unwrap().contains("CreateVpc"), "{answer}");
    dev.stop();
    // What --init does is really done, and uses up nothing of the recording.
    let init = directory.path().join("init");
    std::fs::create_dir(&init).unwrap();
    let calls = r#"[{"product": "Vpc", "action": "DescribeVpcs", "wait": "TotalCount=0"},
        {"product": "Vpc", "action": "CreateVpc", "parameters": {"VpcName": "init"}}]"#;
    std::fs::write(init.join("10-network.json"), calls).unwrap();
    let dev = Dev::start(&temporary, &["--replay", "recordings", "--init", "init"]);
    let (_, shown) = told(&dev, "GET", "/test/replay");
    assert_eq!((&shown["unused"], &shown["unmatched"]), (&json!(3), &json!([])));
    // A fault that is set comes before a recorded answer.
    let faults = r#"{"action": "DescribeVpcs", "code": "Throttling.User", "times": 1}"#;
    let head =
        format!("PUT /test/faults HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", faults.len());
    let admin = dev.of("admin").trim_start_matches("http://").parse().unwrap();
    assert_eq!(sent(admin, format!("{head}{faults}").as_bytes()).unwrap().0, 200);
    assert_eq!(json_of(&dev.call("Vpc DescribeVpcs"))["Code"], "Throttling.User");
    assert_eq!(dev.answer("Vpc DescribeVpcs")["TotalCount"], 41);
    assert_eq!(dev.answer("Vpc DescribeVpcs --VpcName init")["TotalCount"], 1);
    dev.stop();
    let dev = Dev::start(&temporary, &[]);
    assert_eq!(told(&dev, "GET", "/test/replay").0, 404);
    dev.stop();
}

#[test]
fn signatures_survive_the_way() {
    let (directory, temporary) = place();
    let dev = Dev::start(&temporary, &[]);
    let (endpoint, key) = (dev.of("endpoint"), Key::of(dev.of("accessKeyId"), dev.of("accessKeySecret")));
    let recorder = Recorder::start(directory.path(), endpoint, &[]);
    let none = Call::vpc("DescribeVpcAttribute", &[("VpcId", "vpc-none")]);
    // The host that the service was told: what V3 has signed; its own, where nothing has.
    for (method, host, told) in [
        (SignatureMethod::Acs3HmacSha256, recorder.endpoint(), recorder.endpoint()),
        (SignatureMethod::Acs3HmacSm3, endpoint, endpoint),
        (SignatureMethod::HmacSha1, recorder.endpoint(), endpoint),
        (SignatureMethod::HmacSha256, "vpc.example.com", "vpc.example.com"),
    ] {
        for call in [none.clone(), none.clone().form()] {
            let request = signed(&key, &call, method, host);
            let (_, body) = sent(recorder.address(), &http_bytes(&request, "")).unwrap();
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((&body["Code"], &body["HostId"]), (&json!("InvalidVpcId.NotFound"), &json!(told)));
        }
    }
    let v4 = key.sign_v4(&none, (REGION, "Vpc"), &Stamp::now());
    let (status, body) = sent(recorder.address(), &http_bytes(&v4, "")).unwrap();
    assert!(status == 404 && body.contains("InvalidVpcId.NotFound"), "{status} {body}");
    // As a proxy.
    let request = signed(&key, &none, SignatureMethod::Acs3HmacSha256, endpoint);
    let (status, body) = sent(recorder.address(), &absolute(&request, endpoint)).unwrap();
    assert!(status == 404 && body.contains("InvalidVpcId.NotFound"), "{status} {body}");
    let recorded = pairs(&directory.path().join("recording.jsonl"));
    assert_eq!(recorded.len(), 10);
    assert!(recorded.iter().all(|pair| pair["status"] == 404 && pair["code"] == "InvalidVpcId.NotFound"));

    // What the recorder refuses itself, and goes on.
    let request = signed(&key, &none, SignatureMethod::Acs3HmacSha256, "vpc.example.com");
    let large = Call::vpc("DescribeVpcs", &[("A", &"x".repeat(2 << 20))]).form();
    let large = signed(&key, &large, SignatureMethod::HmacSha1, endpoint);
    for (bytes, status, code) in [
        (absolute(&request, "vpc.example.com"), 421, "Recorder.OtherHost"),
        (
            b"CONNECT vpc.example.com:443 HTTP/1.1\r\nhost: vpc.example.com\r\n\r\n".to_vec(),
            405,
            "Recorder.Encrypted",
        ),
        (http_bytes(&large, ""), 413, "Recorder.BodyTooLarge"),
        (http_bytes(&large, "expect: 100-continue\r\n"), 413, "Recorder.BodyTooLarge"),
    ] {
        let (answered, body) = sent(recorder.address(), &bytes).unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((answered, &body["Code"]), (status, &json!(code)));
    }
    // What is passed on and is no call of the API.
    let (status, _) =
        sent(recorder.address(), b"PUT /x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi").unwrap();
    assert_eq!(status, 403);
    assert_eq!(pairs(&directory.path().join("recording.jsonl")).len(), 10);
    let said = recorder.stop();
    assert!(said.contains("10 calls recorded in `recording.jsonl`, 1 passed on"), "{said}");
    dev.stop();
}

#[test]
fn an_endpoint_that_does_not_answer_is_named() {
    let (directory, temporary) = place();
    let dev = Dev::start(&temporary, &["--https"]);
    let ca = dev.of("tlsCa");
    let recorder =
        Recorder::start(directory.path(), dev.of("endpoint"), &["--file", "tls.jsonl", "--ca", ca]);
    let output = dev.call_by(recorder.endpoint(), "Sts GetCallerIdentity");
    assert!(output.status.success(), "{}", text(&output));
    recorder.stop();
    assert_eq!(pairs(&directory.path().join("tls.jsonl")).len(), 1);

    // One that takes connections and ends them.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream)
        }
    });
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let untrusted = dev.of("endpoint").to_owned();
    for (name, to, status, code, told) in [
        ("nobody", &nobody, 502, "Recorder.Unreachable", "cannot connect to"),
        ("untrusted", &untrusted, 502, "Recorder.Unreachable", "cannot connect to"),
        ("silent", &silent, 504, "Recorder.NoAnswer", "no usable answer"),
    ] {
        let file = format!("{name}.jsonl");
        // A CA that is somebody's, and not of this endpoint.
        let other = directory.path().join("other");
        if !other.exists() {
            let made = program(&["ca", "new", "--algorithm", "p256"]).arg(&other).output().unwrap();
            assert!(made.status.success(), "{}", text(&made));
        }
        let other = other.join("ca.pem").display().to_string();
        let recorder = Recorder::start(directory.path(), to, &["--file", &file, "--ca", &other]);
        let output = dev.call_by(recorder.endpoint(), "Sts GetCallerIdentity");
        let answer = json_of(&output);
        assert_eq!(answer["Code"], code, "{name}: {}", text(&output));
        assert!(answer["Message"].as_str().unwrap().contains(told), "{name}: {answer}");
        let key = Key::of("a", "b");
        let request = signed(&key, &Call::new(STS, "GetCallerIdentity", &[]), SignatureMethod::HmacSha1, "x");
        assert_eq!(sent(recorder.address(), &http_bytes(&request, "")).unwrap().0, status);
        recorder.stop();
        assert_eq!(pairs(&directory.path().join(file)).len(), 0, "{name}");
    }
    dev.stop();
}

/// Whatever was answered is recorded, and what is half-written is left out.
#[test]
fn a_killed_recorder_leaves_whole_lines() {
    let (directory, temporary) = place();
    let dev = Dev::start(&temporary, &[]);
    let key = Key::of(dev.of("accessKeyId"), dev.of("accessKeySecret"));
    let file = directory.path().join("recording.jsonl");
    let mut answered = 0;
    for round in 0..3 {
        let mut recorder = Recorder::start(
            directory.path(),
            dev.of("endpoint"),
            if round == 0 { &[] } else { &["--append"] },
        );
        let (address, endpoint) = (recorder.address(), recorder.endpoint().to_owned());
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (key, count, endpoint) = (&key, &count, &endpoint);
                scope.spawn(move || {
                    for number in 0.. {
                        // Long enough that it takes more than one page of the file.
                        let name = format!("{round}-{thread}-{number}-{}", "x".repeat(20_000));
                        let call = Call::vpc("DescribeVpcs", &[("VpcName", &name)]).form();
                        let request = signed(key, &call, SignatureMethod::HmacSha1, endpoint);
                        if sent(address, &http_bytes(&request, "")).is_none() {
                            break;
                        }
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let begun = Instant::now();
            while count.load(Ordering::Relaxed) < 20 {
                assert!(begun.elapsed() < PATIENCE, "no call is answered");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            recorder.child.kill().unwrap();
        });
        ended(&mut recorder.child);
        answered += count.load(Ordering::Relaxed);
        let text = std::fs::read_to_string(&file).unwrap();
        let whole = &text[..text.rfind('\n').unwrap() + 1];
        let lines: Vec<Value> =
            whole.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.len() >= answered, "{} of {answered}", lines.len());
    }
    let replaying = Dev::start(&temporary, &["--replay", "recording.jsonl"]);
    let (_, shown) = told(&replaying, "GET", "/test/replay");
    assert!(shown["pairs"].as_array().unwrap().len() >= answered);
    replaying.stop();
    dev.stop();
}

/// A recorder that cannot write ends, and whoever called is told the outcome all the same.
#[test]
fn on_a_full_disk_it_ends_with_whole_lines() {
    let allowed = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        tongguan_testkit::skipped("no mounts in a user namespace");
        return;
    }
    let (directory, temporary) = place();
    let dev = Dev::start(&temporary, &[]);
    let script = "mkdir m; mount -t tmpfs -o size=64k none m; \"$@\" --file m/a.jsonl; code=$?
        cp m/a.jsonl a.jsonl; exit $code";
    let record = Recorder::command(directory.path(), dev.of("endpoint"), &[]);
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh"]).arg(record.get_program()).args(record.get_args());
    command.current_dir(directory.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let mut recorder = Recorder { child, said };
    let key = Key::of(dev.of("accessKeyId"), dev.of("accessKeySecret"));
    let mut answered = 0;
    for number in 0..20 {
        let call =
            Call::vpc("DescribeVpcs", &[("VpcName", &format!("{number}{}", "x".repeat(9_000)))]).form();
        let request = signed(&key, &call, SignatureMethod::HmacSha1, recorder.endpoint());
        match sent(recorder.address(), &http_bytes(&request, "")) {
            Some((200, _)) => answered += 1,
            Some(other) => panic!("{other:?}"),
            None => break,
        }
    }
    assert_eq!(ended(&mut recorder.child).code(), Some(74));
    let mut said = String::new();
    recorder.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("cannot write `m/a.jsonl`: No space left on device"), "{said}");
    let file = std::fs::read_to_string(directory.path().join("a.jsonl")).unwrap();
    assert!(file.ends_with('\n'), "part of a line is left");
    let kept = pairs(&directory.path().join("a.jsonl")).len();
    // The one that did not fit was answered.
    assert!((1..answered).contains(&kept), "{kept} of {answered}");
    dev.stop();
}

#[test]
fn mistakes_are_told_by_file_and_line() {
    let (directory, temporary) = place();
    let whole = "{\"tongguanRecording\":1,\"of\":\"http://127.0.0.1:1\"}\n";
    for (name, content) in [
        ("damaged.jsonl", format!("{whole}{{\"time\":\n")),
        ("other.jsonl", "{\"log\":{}}\n".to_owned()),
        ("good.jsonl", whole.to_owned()),
    ] {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    std::fs::create_dir(directory.path().join("empty")).unwrap();
    for (more, told) in [
        (&["--replay", "damaged.jsonl"][..], "`damaged.jsonl`: line 2"),
        (&["--replay", "other.jsonl"], "`other.jsonl`: line 1 is not that of a recording"),
        (&["--replay", "empty"], "`empty` has no recording"),
        (&["--replay", "none.jsonl"], "cannot read `none.jsonl`"),
    ] {
        let mut child = Dev::command(&temporary, more).spawn().unwrap();
        assert_eq!(ended(&mut child).code(), Some(78), "{more:?}");
        let said = text(&child.wait_with_output().unwrap());
        assert!(said.contains(told), "{told}: {said}");
    }
    assert_eq!(program(&["dev", "--replay-only"]).output().unwrap().status.code(), Some(2));
    for (to, more, told) in [
        ("127.0.0.1:1", &["--file", "good.jsonl"][..], "is there already"),
        ("127.0.0.1:2", &["--file", "good.jsonl", "--append"], "a recording of http://127.0.0.1:1"),
        ("127.0.0.1:1", &["--file", "damaged.jsonl", "--append"], "`damaged.jsonl`: line 2"),
        ("http://a/b", &["--file", "new.jsonl"], "--to"),
    ] {
        let output = Recorder::command(directory.path(), to, more).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{told}: {}", text(&output));
        assert!(text(&output).contains(told), "{told}: {}", text(&output));
    }
    let open = program(&["record", "--to", "127.0.0.1:1", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert!(open.status.code() == Some(78) && text(&open).contains("loopback"), "{}", text(&open));
    assert!(!directory.path().join("new.jsonl").exists());

    // It ends with the test that started it, and says where it is for a shell.
    let mut command = program(&["record", "--to", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--until-eof"]);
    let mut child =
        command.current_dir(directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("export TONGGUAN_ENDPOINT='127.0.0.1:") {
        assert_ne!(out.read_line(&mut said).unwrap(), 0, "{said}");
    }
    assert!(said.starts_with("# Calls to this endpoint go to http://127.0.0.1:1 "), "{said}");
    drop(child.stdin.take());
    assert_eq!(ended(&mut child).code(), Some(0));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(directory.path().join("recording.jsonl")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}
