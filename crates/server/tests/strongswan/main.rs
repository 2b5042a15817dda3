//! Does Debian's strongSwan read what a connection's peer is told? `DownloadVpnConnectionConfig`, written by
//! `dist/swanctl.jq`, is loaded by swanctl into a charon of its own.
//!
//! Needs root, for a mount and a network of its own, and charon, swanctl and jq (`make judges`).
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tongguan_testkit::PATIENCE;
use tongguan_testkit::api::{REGION, VPC};
use tongguan_testkit::server::Server;

/// Where Debian has it.
const CHARON: &str = "/usr/lib/ipsec/charon";
/// Letters of a key that need care in a configuration.
const KEY: &str = r##"a"key\of#{letters};$1,%"##;

type Given<'a> = &'a [(&'a str, &'a str)];

/// What keeps the test from being run, if anything does.
fn missing() -> Option<String> {
    let works = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !works("unshare", &["--mount", "--net", "mount", "-t", "tmpfs", "tmpfs", "/run"]) {
        return Some("only root may give charon a mount and a network of its own".into());
    }
    let complete = works("jq", &["--version"]) && works("swanctl", &["--help"]) && Path::new(CHARON).exists();
    let packages = "jq strongswan-charon strongswan-swanctl";
    (!complete)
        .then(|| format!("charon, swanctl or jq is not installed (Debian: apt-get install {packages})"))
}

/// Calls until what the call is about has settled; answers a success.
async fn settled(server: &Server, action: &str, given: Given<'_>) -> Value {
    let given = [&[("RegionId", REGION)], given].concat();
    let begun = Instant::now();
    loop {
        let reply = server.call(VPC, action, &given).await;
        if reply.status == 200 {
            return reply.json();
        }
        assert_eq!(reply.code(), "VpnGateway.Configuring", "{action}: {}", reply.text());
        assert!(begun.elapsed() < PATIENCE, "{action} is never accepted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn text<'v>(answer: &'v Value, name: &str) -> &'v str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

/// What the peer of a connection is set to, in strongSwan's words.
async fn written(server: &Server, connection: &str, name: &str) -> String {
    let config = settled(server, "DownloadVpnConnectionConfig", &[("VpnConnectionId", connection)]).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/swanctl.jq");
    let mut jq = Command::new("jq");
    jq.args(["--raw-output", "--arg", "name", name, "--from-file"]).arg(script);
    let mut jq = jq.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    jq.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    let output = jq.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// What strongSwan says of loading this configuration, and of the connections that it has then.
fn loaded(configuration: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("swanctl.conf"), configuration).unwrap();
    // Nothing of the machine's own.
    std::fs::write(directory.path().join("strongswan.conf"), "").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/strongswan/load.sh");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "timeout", "60", "sh"]).arg(script);
    command.env("CHARON", CHARON).env("SWANCTL_DIR", directory.path());
    command.env("STRONGSWAN_CONF", directory.path().join("strongswan.conf"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = std::fs::read_to_string(directory.path().join("charon.log")).unwrap_or_default();
    assert!(output.status.success(), "{said}\n{}\n{log}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn strongswan_reads_what_peers_are_told() {
    if let Some(why) = missing() {
        tongguan_testkit::skipped(&why);
        return;
    }
    let server = Server::start(&[]);
    let vpc = settled(&server, "CreateVpc", &[("CidrBlock", "10.0.0.0/8")]).await;
    let vpc = text(&vpc, "VpcId").to_owned();
    let gateway = settled(&server, "CreateVpnGateway", &[("VpcId", &vpc), ("Bandwidth", "10")]).await;
    let gateway = text(&gateway, "VpnGatewayId").to_owned();
    let mut far = Vec::new();
    for address in ["203.0.113.7", "203.0.113.8"] {
        let made = settled(&server, "CreateCustomerGateway", &[("IpAddress", address)]).await;
        far.push(text(&made, "CustomerGatewayId").to_owned());
    }
    let one = [("VpnGatewayId", gateway.as_str()), ("CustomerGatewayId", &far[0])];
    let first = serde_json::json!({"Psk": KEY, "IkeVersion": "ikev1"}).to_string();
    let second = serde_json::json!({
        "Psk": "another.key", "IkeVersion": "ikev2", "IkeEncAlg": "aes256", "IkeAuthAlg": "sha256",
        "IkePfs": "group14", "IkeLifetime": 3600, "LocalId": "gate.example", "RemoteId": "office.example",
    });
    let second = second.to_string();
    let phase_2 =
        r#"{"IpsecEncAlg":"aes192","IpsecAuthAlg":"sha512","IpsecPfs":"disabled","IpsecLifetime":7200}"#;
    let connections: [(&str, Vec<(&str, &str)>); 3] = [
        ("one-v1", [&one[..], &[("IkeConfig", &first)]].concat()),
        ("one-v2", [&one[..], &[("IkeConfig", &second), ("IpsecConfig", phase_2)]].concat()),
        (
            "two",
            vec![
                ("VpnGatewayId", &gateway),
                ("TunnelOptionsSpecification.1.CustomerGatewayId", &far[0]),
                ("TunnelOptionsSpecification.1.TunnelIkeConfig.Psk", "the.first.key"),
                ("TunnelOptionsSpecification.1.TunnelIkeConfig.IkeVersion", "ikev2"),
                ("TunnelOptionsSpecification.2.CustomerGatewayId", &far[1]),
                ("TunnelOptionsSpecification.2.TunnelIkeConfig.Psk", "the.second.key"),
                ("TunnelOptionsSpecification.2.TunnelIkeConfig.IkeVersion", "ikev1"),
                ("TunnelOptionsSpecification.2.TunnelIkeConfig.IkeMode", "aggressive"),
            ],
        ),
    ];
    let mut configuration = String::new();
    for (number, (name, given)) in connections.iter().enumerate() {
        // No two have the same blocks.
        let remote = format!("10.9.{number}.0/24");
        let both = [("LocalSubnet", "10.0.1.0/24,10.0.2.0/24"), ("RemoteSubnet", remote.as_str())];
        let given = [&given[..], &both, &[("Name", *name)]].concat();
        let made = settled(&server, "CreateVpnConnection", &given).await;
        configuration.push_str(&written(&server, text(&made, "VpnConnectionId"), name).await);
    }
    let shown = settled(&server, "DescribeVpnGateway", &[("VpnGatewayId", &gateway)]).await;
    let gate = text(&shown, "InternetIp");
    let said = loaded(&configuration);
    let has = |line: &str| said.lines().any(|said| said == line);
    assert!(has("successfully loaded 4 connections, 0 unloaded"), "{said}");
    let expected = [
        Expected { name: "one-v1", version: 1, local: "203.0.113.7", ids: ["203.0.113.7", gate], block: 0 },
        Expected {
            name: "one-v2",
            version: 2,
            local: "203.0.113.7",
            ids: ["office.example", "gate.example"],
            block: 1,
        },
        Expected { name: "two", version: 2, local: "203.0.113.7", ids: ["203.0.113.7", gate], block: 2 },
        Expected { name: "two-2", version: 1, local: "203.0.113.8", ids: ["203.0.113.8", gate], block: 2 },
    ];
    for Expected { name, version, local, ids: [own, theirs], block } in expected {
        assert!(has(&format!("loaded ike secret 'ike-{name}'")), "{said}");
        let seconds = if name == "one-v2" { 7_200 } else { 86_400 };
        let lines = format!(
            "  local:  {local}\n  remote: {gate}\n  local pre-shared key authentication:\n    id: {own}\n  \
             remote pre-shared key authentication:\n    id: {theirs}\n  {name}: TUNNEL, rekeying every {seconds}s\n    \
             local:  10.9.{block}.0/24\n    remote: 10.0.1.0/24 10.0.2.0/24\n"
        );
        let (_, after) =
            said.split_once(&format!("\n{name}: IKEv{version}, ")).unwrap_or_else(|| panic!("{said}"));
        let (_, after) = after.split_once('\n').unwrap();
        assert!(after.starts_with(&lines), "{name}: {said}");
    }
}

/// How strongSwan shows a tunnel.
struct Expected<'a> {
    name: &'a str,
    version: u32,
    /// The peer's own address; the gateway has one.
    local: &'a str,
    /// The peer's own identity, and the gateway's.
    ids: [&'a str; 2],
    /// Number of the peer's block.
    block: u32,
}
