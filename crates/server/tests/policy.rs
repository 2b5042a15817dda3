//! `tongguan policy`: what it explains is what the running service does.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use common::program::program;
use common::{KEY, Key, RAM, SECRET, STS, Server, VPC};
use serde_json::{Value, json};

const ACCOUNT: &str = "1234567890123456";
/// Two keys of one user of the configuration, which may different things, and the key of another.
const CONFIGURED: &str = "
[[principal]]
account_id = '1234567890123456'
user_name = 'observer'
access_key_id = 'LTAIobserver'
access_key_secret = 'the secret of the observer'
policies = ['AliyunVPCReadOnlyAccess']
[[principal]]
account_id = '1234567890123456'
user_name = 'twice'
access_key_id = 'LTAIfirst'
access_key_secret = 'the first secret'
[[principal]]
account_id = '1234567890123456'
user_name = 'twice'
access_key_id = 'LTAIsecond'
access_key_secret = 'the second secret'
policy_files = ['second.json']
";

fn policy(arguments: &[&str]) -> Command {
    let mut command = program(&["policy"]);
    command.args(arguments);
    command
}

fn explain(server: &Server, arguments: &[&str]) -> Output {
    let mut command = policy(&["explain", "--account", ACCOUNT]);
    command.args(arguments).arg("--data-dir").arg(server.data_dir()).output().unwrap()
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn document(statements: Value) -> String {
    json!({"Version": "1", "Statement": statements}).to_string()
}

async fn ram(server: &Server, action: &str, parameters: &[(&str, &str)]) -> Value {
    let reply = server.call(RAM, action, parameters).await;
    assert_eq!(reply.status, 200, "{action}: {}", reply.text());
    reply.json()
}

fn key_of(value: &Value) -> Key {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    Key {
        id: text("AccessKeyId").unwrap(),
        secret: text("AccessKeySecret").unwrap(),
        token: text("SecurityToken"),
    }
}

/// A user with a key and, if not empty, a policy of the same name.
async fn user(server: &Server, name: &str, statements: Value) -> Key {
    ram(server, "CreateUser", &[("UserName", name)]).await;
    if statements.as_array().is_some_and(|all| !all.is_empty()) {
        let policy = [("PolicyName", name), ("PolicyDocument", &document(statements))];
        ram(server, "CreatePolicy", &policy).await;
        let attached = [("UserName", name), ("PolicyName", name), ("PolicyType", "Custom")];
        ram(server, "AttachPolicyToUser", &attached).await;
    }
    key_of(&ram(server, "CreateAccessKey", &[("UserName", name)]).await["AccessKey"])
}

/// Version, operation, action, parameters, resource.
type Asked<'a> = (&'a str, &'a str, &'a str, Vec<(&'a str, &'a str)>, &'a str);

struct Caller<'a> {
    principal: &'a str,
    more: Vec<&'a str>,
    key: Key,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_explained_is_what_happens() {
    let server = Server::start_configured(CONFIGURED.split("policy_files").next().unwrap());
    let region = ("RegionId", "cn-hangzhou");
    let vpc = server.call(VPC, "CreateVpc", &[region]).await.json()["VpcId"].as_str().unwrap().to_owned();
    let other = server.call(VPC, "CreateVpc", &[region]).await.json()["VpcId"].as_str().unwrap().to_owned();
    let arn = |vpc: &str| format!("acs:vpc:cn-hangzhou:{ACCOUNT}:vpc/{vpc}");

    let reads = json!({"Effect": "Allow", "Action": "vpc:Describe*", "Resource": "*"});
    let not_other = json!({"Effect": "Deny", "Action": "vpc:*", "Resource": arn(&other)});
    let assumes = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"});
    let alice = user(&server, "alice", json!([reads, not_other, assumes])).await;
    let from_afar = json!({"Effect": "Allow", "Action": ["vpc:DescribeVpcAttribute", "sts:AssumeRole"],
        "Resource": "*", "Condition": {"NotIpAddress": {"acs:SourceIp": ["127.0.0.0/8"]}}});
    let bob = user(&server, "bob", json!([from_afar])).await;
    let carol = user(&server, "carol", json!([])).await;
    let group = [("GroupName", "creators")];
    ram(&server, "CreateGroup", &group).await;
    ram(&server, "AddUserToGroup", &[("UserName", "carol"), group[0]]).await;
    let creates =
        document(json!([{"Effect": "Allow", "NotAction": ["vpc:Delete*", "ram:*"], "Resource": "*"}]));
    ram(&server, "CreatePolicy", &[("PolicyName", "creates"), ("PolicyDocument", &creates)]).await;
    let attached = [group[0], ("PolicyName", "creates"), ("PolicyType", "Custom")];
    ram(&server, "AttachPolicyToGroup", &attached).await;

    let trust = document(json!([{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"RAM": [format!("acs:ram::{ACCOUNT}:user/alice"), format!("acs:ram::{ACCOUNT}:user/bob")]}}]));
    ram(&server, "CreateRole", &[("RoleName", "ops"), ("AssumeRolePolicyDocument", &trust)]).await;
    let attached = [("RoleName", "ops"), ("PolicyName", "AliyunVPCFullAccess"), ("PolicyType", "System")];
    ram(&server, "AttachPolicyToRole", &attached).await;
    let role = format!("acs:ram::{ACCOUNT}:role/ops");
    let narrowed = document(json!([reads]));
    let assume = [("RoleArn", role.as_str()), ("RoleSessionName", "one")];
    let whole = server.call_as(alice.clone(), STS, "AssumeRole", &assume).await;
    let narrow = [assume[0], assume[1], ("Policy", &narrowed)];
    let narrow = server.call_as(alice.clone(), STS, "AssumeRole", &narrow).await;
    let [whole, narrow] = [whole, narrow].map(|reply| key_of(&reply.json()["Credentials"]));
    let file = server.data_dir().join("../narrowed.json");
    std::fs::write(&file, &narrowed).unwrap();
    let file = file.to_str().unwrap();
    let config = server.config();
    let config = config.to_str().unwrap();

    let callers = [
        Caller { principal: "root", more: vec![], key: (KEY, SECRET).into() },
        Caller { principal: "user/alice", more: vec![], key: alice },
        Caller { principal: "user/BOB", more: vec![], key: bob },
        Caller { principal: "user/carol", more: vec![], key: carol },
        Caller { principal: "assumed-role/ops/one", more: vec![], key: whole },
        Caller { principal: "assumed-role/ops/one", more: vec!["--session-policy", file], key: narrow },
        Caller {
            principal: "user/observer",
            more: vec!["--config", config],
            key: ("LTAIobserver", "the secret of the observer").into(),
        },
    ];
    let (arn, other_arn, all) = (arn(&vpc), arn(&other), format!("acs:vpc:cn-hangzhou:{ACCOUNT}:vpc/*"));
    let calls: [Asked<'_>; 6] = [
        (VPC, "DescribeVpcAttribute", "vpc:DescribeVpcAttribute", vec![region, ("VpcId", &vpc)], &arn),
        (
            VPC,
            "DescribeVpcAttribute",
            "vpc:DescribeVpcAttribute",
            vec![region, ("VpcId", &other)],
            &other_arn,
        ),
        (VPC, "CreateVpc", "vpc:CreateVpc", vec![region, ("DryRun", "true")], &all),
        (VPC, "DeleteVpc", "vpc:DeleteVpc", vec![region, ("VpcId", &vpc), ("DryRun", "true")], &arn),
        (STS, "AssumeRole", "sts:AssumeRole", assume.to_vec(), &role),
        (RAM, "ListUsers", "ram:ListUsers", vec![], "*"),
    ];
    let mut decisions = std::collections::BTreeMap::<String, u32>::new();
    for caller in &callers {
        for (version, operation, action, parameters, resource) in &calls {
            let reply = server.call_as(caller.key.clone(), version, operation, parameters).await;
            let what = format!("{} {action} {resource}: {}", caller.principal, reply.text());
            let arguments = ["--principal", caller.principal, "--action", action, "--resource", resource];
            let arguments = [&arguments[..], &caller.more, &["--json", "--assert-allowed"]].concat();
            let output = explain(&server, &arguments);
            let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
                panic!("{what}: {}", String::from_utf8_lossy(&output.stderr));
            });
            let decision = said["Decision"].as_str().unwrap();
            assert_eq!(reply.status != 403, output.status.success(), "{what}\n{said:#}");
            assert_eq!(decision == "allow", output.status.success(), "{what}");
            if let Some(told) = reply.json()["AccessDeniedDetail"]["NoPermissionType"].as_str() {
                let told = if told == "ExplicitDeny" { "explicit deny" } else { "implicit deny" };
                assert_eq!(told, decision, "{what}\n{said:#}");
            }
            *decisions.entry(decision.to_owned()).or_default() += 1;
        }
    }
    assert!(decisions.len() == 3 && decisions.values().all(|count| *count >= 2), "{decisions:?}");

    // The source address of the question counts, as that of a call would.
    let arguments =
        ["--principal", "user/bob", "--action", "vpc:DescribeVpcAttribute", "--source-ip", "203.0.113.9"];
    let output = explain(&server, &arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("allow: vpc:DescribeVpcAttribute on *\n") && text.contains("policy/bob"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_the_configuration_is_explained_by_key() {
    let server = Server::start(&[]);
    let config = server.config();
    let given = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, given + CONFIGURED).unwrap();
    let allows = json!([{"Effect": "Allow", "Action": "vpc:DeleteVpc", "Resource": "*"}]);
    std::fs::write(config.with_file_name("second.json"), document(allows)).unwrap();
    let config = config.to_str().unwrap();
    let question = ["--principal", "user/twice", "--action", "vpc:DeleteVpc"];
    let ask = |more: &[&str]| explain(&server, &[&question[..], more].concat());

    let unnamed = complaint(&ask(&[]));
    assert!(unnamed.contains("--config"), "{unnamed}");
    let several = complaint(&ask(&["--config", config]));
    assert!(several.contains("--access-key"), "{several}");
    let unknown = complaint(&ask(&["--config", config, "--access-key", "LTAIobserver"]));
    assert!(unknown.contains("no key `LTAIobserver` of user `twice`"), "{unknown}");
    for (key, decision, reason) in [
        ("LTAIfirst", "implicit deny", "no statement applies"),
        ("LTAIsecond", "allow", "second.json, of the configuration"),
    ] {
        let output = ask(&["--config", config, "--access-key", key]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(decision) && text.contains(reason), "{text}");
    }
    let nobody = explain(&server, &["--principal", "user/nobody", "--action", "a:b", "--config", config]);
    assert!(complaint(&nobody).contains("neither in RAM nor in the configuration file"));
}

/// Warnings of a new policy come beside the answer, whose body has its documented members alone.
#[tokio::test(flavor = "multi_thread")]
async fn warnings_are_headers_of_the_answer() {
    let server = Server::start(&[]);
    let create = async |name: &str, action: &str| {
        let document = document(json!([{"Effect": "Deny", "Action": action, "Resource": "*"}]));
        let reply =
            server.call(RAM, "CreatePolicy", &[("PolicyName", name), ("PolicyDocument", &document)]).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json().as_object().unwrap().len(), 2, "{}", reply.text());
        let lines =
            reply.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("x-tongguan-warning:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(create("fine", "ecs:*").await, Vec::<String>::new());
    let warned = create("typo", "vcp:*").await;
    assert_eq!(warned.len(), 1, "{warned:?}");
    // Heads are read in lower case here.
    let expected = "PolicyDocument: Statement[0].Action: vcp:* names a product that is not known";
    assert!(warned[0].ends_with(&expected.to_ascii_lowercase()), "{warned:?}");
}

#[test]
fn documents_are_checked_as_the_service_does() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let good = document(json!([{"Effect": "Allow", "Action": "vpc:*", "Resource": "*"}]));
    let trust = document(json!([{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"RAM": [format!("acs:ram::{ACCOUNT}:root")]}}]));
    let (good, trust) = (write("good.json", &good), write("trust.json", &trust));
    let bad =
        write("bad.json", &document(json!([{"Effect": "Perhaps", "Action": "vpc:*", "Resource": "*"}])));
    let check = |more: &[&str], files: &[&std::path::PathBuf]| {
        policy(&["check"]).args(more).args(files).output().unwrap()
    };
    assert!(check(&[], &[&good]).status.success());
    assert!(check(&["--trust"], &[&trust]).status.success());
    assert!(!check(&["--trust"], &[&good]).status.success());
    let output = check(&[], &[&good, &bad]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("good.json: ok") && lines[1].contains("bad.json: "), "{text}");

    // What can never match is refused, what has no effect here is said.
    let never =
        document(json!([{"Effect": "Deny", "Action": "*", "Resource": "acs:ram:*:*:user/${ram:UserName}"}]));
    let output = check(&[], &[&write("never.json", &never)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("policies have no variables"));
    let typo = document(json!([{"Effect": "Deny", "Action": ["vcp:*", "vpc:CreatVpc"], "Resource": "*"}]));
    let output = check(&[], &[&write("typo.json", &typo)]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("typo.json: ok, with warnings"), "{text}");
    assert_eq!(lines[1], "  Statement[0].Action: vcp:* names a product that is not known");
    assert_eq!(lines[2], "  Statement[0].Action: vpc:CreatVpc names no operation of this release");

    let mut child = policy(&["check", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{}").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
