//! The admin listener: health, readiness, metrics whose counts agree with what was sent; the log.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{KEY, KMS, OTHER_KEY, OTHER_SECRET, PATIENCE, SECRET, STS, Server, VPC, read_reply};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

/// Every sample of the text by name and labels; fails on a text that no scraper would take.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut types = BTreeMap::new();
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(types.insert(name.to_owned(), kind.to_owned()), None, "{name} is described twice");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert_eq!(samples.insert(name.to_owned(), value), None, "{name} is told twice");
            let family = name.split('{').next().unwrap();
            let known =
                |suffix: &str| family.strip_suffix(suffix).is_some_and(|name| types.contains_key(name));
            assert!(["", "_total", "_info", "_bucket", "_sum", "_count"].into_iter().any(known), "{line}");
        }
    }
    samples
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_agree_with_what_was_sent() {
    let server = Server::start(&[]);
    let gateway = |id| [("RegionId", "cn-hangzhou"), ("VpnGatewayId", id)];
    for _ in 0..7 {
        assert_eq!(server.call(STS, "GetCallerIdentity", &[]).await.status, 200);
    }
    for _ in 0..3 {
        assert_eq!(server.call(VPC, "DescribeVpnGateway", &gateway("vpn-none")).await.status, 404);
    }
    assert_eq!(server.call(VPC, "DescribeVpnGateway", &[("RegionId", "cn-hangzhou")]).await.status, 400);
    assert_eq!(server.call(VPC, "NoSuchOperation", &[]).await.status, 404);
    let vpc = server.call(VPC, "CreateVpc", &[("RegionId", "cn-hangzhou")]).await.json();
    let vpc = vpc["VpcId"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    loop {
        let parameters = [("RegionId", "cn-hangzhou"), ("VpcId", &vpc)];
        if server.call(VPC, "DescribeVpcAttribute", &parameters).await.json()["Status"] == "Available" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE);
    }
    let parameters = [("RegionId", "cn-hangzhou"), ("VpcId", &vpc), ("Bandwidth", "10")];
    assert_eq!(server.call(VPC, "CreateVpnGateway", &parameters).await.status, 200);
    let begun = Instant::now();
    let found = loop {
        let (status, text) = server.look("/metrics").await;
        assert_eq!(status, 200);
        for secret in [SECRET, OTHER_SECRET, KEY, "vpn-none", &vpc] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        let found = samples(&text);
        // The gauges of the store are a few seconds old at most.
        if found[r#"tongguan_gateways{status="active"}"#] == 1.0 {
            break found;
        }
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let requests = |product: &str, operation: &str, code: &str| {
        found[&format!(
            r#"tongguan_requests_total{{product="{product}",operation="{operation}",code="{code}"}}"#
        )]
    };
    assert_eq!(requests("Sts", "GetCallerIdentity", "OK"), 7.0);
    assert_eq!(requests("Vpc", "DescribeVpnGateway", "InvalidVpnGatewayInstanceId.NotFound"), 3.0);
    assert_eq!(requests("Vpc", "DescribeVpnGateway", "Missing<Param>"), 1.0);
    assert_eq!(requests("unknown", "unknown", "InvalidAction.NotFound"), 1.0);
    assert_eq!(requests("Vpc", "CreateVpnGateway", "OK"), 1.0);
    let times = |suffix: &str| found[&format!("tongguan_request_duration_seconds_{suffix}")];
    assert_eq!(times(r#"count{operation="GetCallerIdentity"}"#), 7.0);
    assert_eq!(times(r#"bucket{le="+Inf",operation="GetCallerIdentity"}"#), 7.0);
    assert!(times(r#"sum{operation="GetCallerIdentity"}"#) > 0.0);
    let all: f64 =
        found.iter().filter(|(name, _)| name.starts_with("tongguan_requests_total")).map(|(_, n)| n).sum();
    assert_eq!(found["tongguan_nonces"], all);
    assert_eq!(found["tongguan_intents"], 0.0);
    assert_eq!(found["tongguan_oldest_intent_age_seconds"], 0.0);
    assert_eq!(found[r#"tongguan_certificates_expiring{within="30d"}"#], 0.0);
    assert!(found["tongguan_store_changes_total"] >= 3.0);
    assert!(found["process_resident_memory_bytes"] > 1e6 && found["process_open_fds"] > 5.0);
    assert!(found["process_start_time_seconds"] > 1.7e9);
}

/// The page of metrics and the text of `/metrics` name the same.
#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented() {
    let server = Server::start(&[]);
    server.call(STS, "GetCallerIdentity", &[]).await;
    let (_, text) = server.look("/metrics").await;
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let name = match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        };
        assert!(page.contains(&format!("| `{name}")), "docs/metrics.md has no {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_and_nothing_else() {
    let server = Server::start(&[]);
    assert_eq!(server.look("/healthz").await, (200, "ok\n".to_owned()));
    let (status, text) = server.look("/readyz").await;
    assert_eq!(status, 200, "{text}");
    let checks: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(names, ["store_read", "store_write", "engine", "nonces", "workers"]);
    assert!(checks.iter().all(|check| check["ok"] == true), "{text}");
    let (status, index) = server.look("/").await;
    assert!(status == 200 && ["/healthz", "/readyz", "/metrics"].iter().all(|path| index.contains(path)));
    assert_eq!(server.look("/elsewhere").await.0, 404);
    let (status, _) =
        server.admin_request("POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(status, 405);
}

/// A tenant whose share of nonces is used up is told so; the node is ready, and others are served.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_does_not_make_the_node_unready() {
    let server = Server::start(&["--quota", "nonces=100"]);
    while server.call(STS, "GetCallerIdentity", &[]).await.status == 200 {}
    assert_eq!(server.call(STS, "GetCallerIdentity", &[]).await.code(), "Throttling.User");
    let (status, text) = server.look("/readyz").await;
    assert_eq!(status, 200, "{text}");
    let mut stream = server.connect().await;
    let other = server.sign_as((OTHER_KEY, OTHER_SECRET), STS, "GetCallerIdentity", &[]);
    stream.write_all(&other).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.unwrap().status, 200);
}

/// Idle connections, as many as there are places and more that are renewed all the time, keep no probe out.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_keep_no_probe_out() {
    /// No probe waits this long, however busy the machine is with other tests: an idle connection has five seconds.
    const PROMPT: Duration = Duration::from_secs(4);
    let server = Server::start(&[]);
    let admin = server.admin.unwrap();
    let connect = async || tokio::net::TcpStream::connect(admin).await.unwrap();
    let probe = async || {
        let begun = Instant::now();
        assert_eq!(server.look("/healthz").await, (200, "ok\n".to_owned()));
        assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
    };
    let mut idle = std::collections::VecDeque::new();
    for _ in 0..64 {
        idle.push_back(connect().await);
    }
    probe().await;
    while idle.len() < 256 {
        idle.push_back(connect().await);
    }
    for _ in 0..6 {
        for _ in 0..256 {
            idle.pop_front();
            idle.push_back(connect().await);
        }
        probe().await;
    }
    // A head that never ends waits as well, an answer that is not taken too.
    for mut stream in idle.drain(..) {
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost:").await;
    }
    probe().await;
    assert_eq!(server.look("/metrics").await.0, 200);
}

/// A server that cannot make nonces outlive it is not ready, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_serve_is_not_ready() {
    let server = Server::start(&[]);
    assert_eq!(server.look("/readyz").await.0, 200);
    std::fs::remove_dir_all(server.data_dir().join("nonces")).unwrap();
    let (status, text) = server.look("/readyz").await;
    assert_eq!(status, 503);
    let failing = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|check| check["ok"] == false);
    let failing = failing.unwrap();
    assert!(
        failing["check"] == "nonces" && failing["reason"].as_str().unwrap().contains("nonce log"),
        "{text}"
    );
    assert_eq!(server.look("/healthz").await.0, 200);
}

/// The admin listener is where it was asked to be, or the program does not start.
#[tokio::test(flavor = "multi_thread")]
async fn an_admin_address_that_cannot_be_had_is_an_error() {
    let server = Server::start(&[]);
    let taken = server.admin.unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tongguan"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", &taken, "--data-dir"])
        .arg(directory.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&taken) && said.contains("--admin-listen"), "{said}");
    assert_eq!(Server::start(&["--admin-listen", "off"]).admin, None);
}

/// systemd is told when the service listens and when it begins to stop (`Type=notify`).
#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let heard = async || {
        let mut text = [0; 256];
        let read = tokio::time::timeout(PATIENCE, socket.recv(&mut text)).await.unwrap().unwrap();
        String::from_utf8_lossy(&text[..read]).trim().to_owned()
    };
    let mut server = Server::start_with(&[], &[("NOTIFY_SOCKET", &path)]);
    assert_eq!(heard().await, "READY=1");
    server.well_behaved(1).await;
    server.signal("TERM");
    assert_eq!(heard().await, "STOPPING=1");
    assert!(server.ended().await.success());
}

/// In JSON mode every line is an object; those of requests have the id that the caller got; no line has a secret.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_json_with_request_ids_and_without_secrets() {
    let mut server = Server::start(&[]);
    let mut ids = Vec::new();
    let key = [("KeySpec", "EC_SM2"), ("Subject", "CN=a,OU=b,O=c,C=CN")];
    let certificate = server.call(KMS, "CreateCertificate", &key).await.json();
    ids.push(certificate["RequestId"].as_str().unwrap().to_owned());
    let refused = server.call(VPC, "DescribeVpnGateway", &[("RegionId", "cn-nowhere")]).await.json();
    ids.push(refused["RequestId"].as_str().unwrap().to_owned());
    let mut stream = server.connect().await;
    let forged = server.sign_as((KEY, "guessed secret"), STS, "GetCallerIdentity", &[]);
    stream.write_all(&forged).await.unwrap();
    let forged = read_reply(&mut stream).await.unwrap().json();
    ids.push(forged["RequestId"].as_str().unwrap().to_owned());
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/9.9\r\n\r\n").await.unwrap();
    assert_eq!(read_reply(&mut stream).await.unwrap().status, 400);
    server.signal("TERM");
    assert!(server.ended().await.success());

    let log = server.logged();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    for secret in [SECRET, OTHER_SECRET, "guessed secret", "PRIVATE KEY"] {
        assert!(!log.contains(secret), "{secret}");
    }
    for id in ids {
        let of_request = |line: &&Value| line["fields"]["request_id"] == id.as_str();
        assert!(lines.iter().any(|line| of_request(&line)), "no line of {id} in {log}");
    }
    let of_requests = lines.iter().filter(|line| line["target"] == "tongguan::request");
    assert_eq!(of_requests.filter(|line| line["fields"]["request_id"].is_string()).count(), 4);
}
