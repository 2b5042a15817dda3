//! What people read, compared with what is kept beside this file: help, `status`, `policy explain`, error bodies.
//!
//! `UPDATE_EXPECT=1 cargo test --workspace --locked --test snapshots` writes the files anew; review them like code.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;

use common::program::{program, text};
use common::{KMS, OTHER_KEY, OTHER_SECRET, RAM, Server, VPC, read_reply};
use expect_test::expect_file;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

const ACCOUNT: &str = "1234567890123456";
/// A user who may read gateways, but not from afar, and nobody else's.
const OBSERVER: &str = "
[[principal]]
account_id = '1234567890123456'
user_name = 'observer'
access_key_id = 'LTAIobserver'
access_key_secret = 'the secret of the observer'
policies = ['AliyunVPNGatewayReadOnlyAccess']
policy_files = ['near.json']
";
const NEAR: &str = r#"{"Version": "1", "Statement": [{"Effect": "Deny", "Action": "vpc:*", "Resource": "*",
    "Condition": {"NotIpAddress": {"acs:SourceIp": "127.0.0.0/8"}}}]}"#;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")
}

fn compare(name: &str, found: &str) {
    expect_file![folder().join(name)].assert_eq(found);
}

/// A text without what is another each time: ids, hashes, moments, numbers of bytes and processes.
fn normal(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let separators = |letter: char| !letter.is_ascii_alphanumeric() && letter != '-';
        let mut shown = line.to_owned();
        for word in line.split(separators).filter(|word| !word.is_empty()) {
            let uuid = word.len() == 36 && word.matches('-').count() == 4;
            let resource =
                word.split_once('-').is_some_and(|(_, rest)| rest.len() == 20 && rest.starts_with("bp1"));
            let hash = word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            if uuid || resource || hash {
                shown = shown.replace(
                    word,
                    if uuid {
                        "UUID"
                    } else if hash {
                        "HASH"
                    } else {
                        "ID"
                    },
                );
            }
        }
        lines.push(shown);
    }
    lines.join("\n") + "\n"
}

/// Lines of `status` that tell of a process, a size, a hash or an age: their numbers are any.
fn without_numbers(text: &str) -> String {
    let varies = |line: &str| {
        ["service", "database", "audit head", "  "].iter().any(|begin| line.starts_with(begin))
            || line.contains("oldest")
    };
    let number = |line: &str| {
        let mut shown = String::new();
        for letter in line.chars() {
            match letter {
                '0'..='9' if shown.ends_with('N') => {}
                '0'..='9' => shown.push('N'),
                other => shown.push(other),
            }
        }
        shown
    };
    let lines = text.lines().map(|line| if varies(line) { number(line) } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// `status --json` with what varies replaced by what it is.
fn without_figures(text: &str) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    for (pointer, kind) in [
        ("/auditHead", "number:hash"),
        ("/changes/0/since", "time"),
        ("/databaseBytes", "bytes"),
        ("/logBytes", "bytes"),
        ("/oldestUnderWaySeconds", "seconds"),
        ("/process", "id"),
    ] {
        *value.pointer_mut(pointer).unwrap() = kind.into();
    }
    normal(&serde_json::to_string_pretty(&value).unwrap())
}

fn help(command: &[&str]) -> String {
    let mut arguments = command.to_vec();
    arguments.push("--help");
    let output = program(&arguments).env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return vec![] };
    let list = list.split("\n\n").next().unwrap();
    let named = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    named.map(|line| line.split(' ').next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

#[test]
fn every_help_text_is_known() {
    let mut open = vec![Vec::<String>::new()];
    let mut seen = BTreeSet::new();
    while let Some(command) = open.pop() {
        let found = help(&command.iter().map(String::as_str).collect::<Vec<_>>());
        open.extend(subcommands(&found).into_iter().map(|name| [command.clone(), vec![name]].concat()));
        let name = [vec!["tongguan".to_owned()], command].concat().join("-") + ".txt";
        compare(&format!("help/{name}"), &found);
        seen.insert(name);
    }
    assert!(seen.len() > 20, "{seen:?}");
    let kept = std::fs::read_dir(folder().join("help")).unwrap();
    let kept: BTreeSet<String> =
        kept.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(kept, seen, "a command is gone, and its text is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_is_known() {
    let mut server = Server::start(&["--apply-delay", "polls:1000"]);
    assert_eq!(server.call(VPC, "CreateVpc", &[("RegionId", "cn-hangzhou")]).await.status, 200);
    let status = |more: &[&str]| {
        let output = program(&["status", "--data-dir"]).arg(server.data_dir()).args(more).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let found = [status(&[]), status(&["--json"])];
    server.signal("TERM");
    assert!(server.ended().await.success());
    let stopped = program(&["status", "--data-dir"]).arg(server.data_dir()).output().unwrap();
    let stopped = normal(&text(&stopped));
    let [shown, json] = found;
    compare("status.txt", &without_numbers(&normal(&shown)));
    compare("status.json", &without_figures(&json));
    assert!(stopped.starts_with("service       not running\n"), "{stopped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn explanations_are_known() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("near.json"), NEAR).unwrap();
    let near = directory.path().join("near.json").display().to_string();
    let server = Server::start_configured(&OBSERVER.replace("near.json", &near));
    let asked: [(&str, &[&str]); 4] = [
        ("allowed", &["--action", "vpc:DescribeVpnGateways", "--source-ip", "127.0.0.1"]),
        ("denied", &["--action", "vpc:DescribeVpnGateways", "--source-ip", "203.0.113.9"]),
        ("silent", &["--action", "vpc:DeleteVpnGateway", "--source-ip", "127.0.0.1"]),
        ("unknown-operation", &["--action", "vpc:DescribeNothing", "--source-ip", "127.0.0.1"]),
    ];
    for (name, more) in asked {
        let fixed = ["policy", "explain", "--principal", "user/observer", "--account", ACCOUNT, "--data-dir"];
        let mut command = program(&fixed);
        command.arg(server.data_dir()).arg("--config").arg(server.config()).args(more);
        let output = command.output().unwrap();
        let found = normal(&text(&output)).replace(&near, "near.json");
        compare(&format!("explain/{name}.txt"), &found);
    }
}

/// Name of the snapshot, version, operation, parameters.
type Call<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)]);

#[tokio::test(flavor = "multi_thread")]
async fn error_bodies_are_known() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("near.json"), NEAR).unwrap();
    let near = directory.path().join("near.json").display().to_string();
    let server = Server::start_configured(&OBSERVER.replace("near.json", &near));
    let region = ("RegionId", "cn-hangzhou");
    let xml = ("Format", "XML");
    let calls: [Call<'_>; 10] = [
        ("vpc-missing-parameter", VPC, "DescribeVpnGateway", &[region]),
        ("vpc-missing-parameter-xml", VPC, "DescribeVpnGateway", &[region, xml]),
        ("vpc-not-found", VPC, "DescribeVpnGateway", &[region, ("VpnGatewayId", "vpn-bp1none")]),
        ("vpc-illegal-value", VPC, "CreateVpc", &[region, ("CidrBlock", "10.0.0.0/33")]),
        ("vpc-unknown-action", VPC, "DescribeNothing", &[region]),
        ("unknown-version", "1999-01-01", "DescribeVpcs", &[region]),
        ("kms-missing-parameter", KMS, "GetCertificate", &[]),
        (
            "kms-not-found",
            KMS,
            "GetCertificate",
            &[("CertificateId", "b4991551-a142-498d-ae9a-c6a9faf0c3c9")],
        ),
        ("ram-missing-parameter", RAM, "CreateUser", &[]),
        ("ram-not-found-xml", RAM, "GetUser", &[("UserName", "nobody"), xml]),
    ];
    for (name, version, action, parameters) in calls {
        let reply = server.call(version, action, parameters).await;
        compare(&format!("errors/{name}.txt"), &told(reply.status, &reply.text()));
    }
    let observer = ("LTAIobserver", "the secret of the observer");
    let forbidden = server.call_as(observer, VPC, "DeleteVpc", &[region, ("VpcId", "vpc-bp1none")]).await;
    compare("errors/vpc-forbidden.txt", &told(forbidden.status, &forbidden.text()));
    let wrong = server.call_as((OTHER_KEY, "not its secret"), VPC, "DescribeVpcs", &[region]).await;
    compare("errors/wrong-signature.txt", &told(wrong.status, &shortened(&wrong.json())));
    let foreign = server.call_as((OTHER_KEY, OTHER_SECRET), VPC, "DescribeVpcAttribute", &[region]).await;
    compare("errors/foreign-missing-parameter.txt", &told(foreign.status, &foreign.text()));
    let long = format!("GET /?{} HTTP/1.1\r\nHost: vpc.test\r\n\r\n", "a=b&".repeat(40_000));
    let raw = [
        (
            "unsigned",
            "GET /?Action=DescribeVpcs&Version=2016-04-28&Format=JSON HTTP/1.1\r\nHost: vpc.test\r\n\r\n",
        ),
        ("no-host", "GET / HTTP/1.1\r\n\r\n"),
        ("not-http", "HELLO\r\n\r\n"),
        ("long-target", &long),
    ];
    for (name, bytes) in raw {
        let mut stream = server.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let reply = read_reply(&mut stream).await.unwrap();
        compare(&format!("errors/{name}.txt"), &told(reply.status, &reply.text()));
    }
}

/// Status and body, a member a line.
fn told(status: u16, body: &str) -> String {
    let body = match serde_json::from_str::<Value>(body) {
        Ok(value) => serde_json::to_string_pretty(&value).unwrap(),
        Err(_) => body.replace("><", ">\n<"),
    };
    normal(&format!("{status}\n{body}"))
}

/// The message of a wrong signature repeats what was signed, with its moment and nonce.
fn shortened(body: &Value) -> String {
    let mut body = body.clone();
    let message = body["Message"].as_str().unwrap();
    let begin: String = message.chars().take_while(|letter| *letter != ':').collect();
    body["Message"] = format!("{begin}: ...").into();
    body.to_string()
}
