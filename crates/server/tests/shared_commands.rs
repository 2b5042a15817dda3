//! What operators do with commands on a database that several nodes share, while nodes serve it and while none does.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;
#[path = "common/place.rs"]
mod place;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};
use std::sync::mpsc::channel;

use common::program::{ended, program, signal, text};
use common::{ACCOUNT, Key, PATIENCE, RAM, STS, Server, VPC};
use place::{Place, REGION, field, ok};
use rustix::process::Signal;
use serde_json::Value;

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: &Output, code: i32, said: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
    assert!(text(output).contains(said), "{}", text(output));
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&succeeded(output)).unwrap()
}

/// The lines of `audit` in JSON.
fn records(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let shown = place.command(&[&["audit", "--format", "json"], arguments].concat());
    succeeded(&shown).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_keys_are_changed_beside_the_nodes() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let nodes = [place.node(&[]), place.node(&[])];
    let made = json(&place.command(&["account", "create", "research", "--json"]));
    let (id, key) =
        (field(&made, "AccountId"), (field(&made, "AccessKeyId"), field(&made, "AccessKeySecret")));
    let key = (key.0.as_str(), key.1.as_str());
    let who = |node: &Server| node.sign_as(key, STS, "GetCallerIdentity", &[]);
    // Each node knows it with the next call, and knows no more of it with the next after that.
    for _ in 0..2 {
        for node in &nodes {
            assert_eq!(field(&ok(&node.send(&who(node)).await), "AccountId"), id);
        }
        succeeded(&place.command(&["account", "disable", &id]));
        for node in &nodes {
            assert_eq!(node.send(&who(node)).await.code(), "InvalidAccessKeyId.Inactive");
        }
        succeeded(&place.command(&["account", "enable", &id]));
    }
    let listed = json(&place.command(&["account", "list", "--json"]));
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|row| row["Name"].as_str().unwrap()).collect();
    assert!(names.contains(&"research"), "{listed}");

    // All sessions end at once, on every node.
    let trust = format!(
        r#"{{"Version":"1","Statement":[{{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{{"RAM":["acs:ram::{ACCOUNT}:root"]}}}}]}}"#
    );
    ok(&nodes[0].call(RAM, "CreateRole", &[("RoleName", "ops"), ("AssumeRolePolicyDocument", &trust)]).await);
    ok(&nodes[0].call(RAM, "CreateUser", &[("UserName", "alice")]).await);
    let policy = [("PolicyType", "System"), ("PolicyName", "AdministratorAccess"), ("UserName", "alice")];
    ok(&nodes[0].call(RAM, "AttachPolicyToUser", &policy).await);
    let alice = Key::created(&ok(&nodes[0].call(RAM, "CreateAccessKey", &[("UserName", "alice")]).await));
    let role = format!("acs:ram::{ACCOUNT}:role/ops");
    let assume = [("RoleArn", role.as_str()), ("RoleSessionName", "session")];
    let session = Key::session(&ok(&nodes[1].call_as(alice, STS, "AssumeRole", &assume).await));
    for node in &nodes {
        assert_eq!(node.call_as(session.clone(), STS, "GetCallerIdentity", &[]).await.status, 200);
    }
    succeeded(&place.command(&["token-key", "rotate", "--end-sessions"]));
    for node in &nodes {
        let reply = node.call_as(session.clone(), STS, "GetCallerIdentity", &[]).await;
        assert_eq!(reply.code(), "InvalidSecurityToken.Expired", "{}", reply.text());
    }

    // What policies say is read from the same rows.
    let explained = place.command(&[
        "policy",
        "explain",
        "--principal",
        "user/alice",
        "--account",
        ACCOUNT,
        "--action",
        "vpc:CreateVpc",
        "--assert-allowed",
    ]);
    assert!(succeeded(&explained).contains("AdministratorAccess"), "{}", text(&explained));
    let unknown =
        place.command(&["tunnel", "set-state", "vco-bp1aaaaaaaaaaaaaaaaaa", "ipsec_sa_established"]);
    refused(&unknown, 1, "there is no tunnel or connection");
    refused(&place.command(&["backup", "copy.db"]), 78, "pg_dump");
    let own = nodes[1].data_dir();
    let asked = place.command(&["tunnel", "status", "--json", "--data-dir", own.to_str().unwrap()]);
    assert_eq!(json(&asked), serde_json::json!([]));
    refused(&place.command(&["tunnel", "status"]), 1, "no service runs");
    let check = place.command(&["check"]);
    assert!(check.status.success(), "{}", text(&check));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nodes_do_is_seen_from_the_command_line() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let idle = succeeded(&place.command(&["status"]));
    assert!(idle.contains("not running") && idle.contains("0 of 32 taken"), "{idle}");
    let nodes = [place.node(&[]), place.node(&[])];
    let mut follow =
        program(&["audit", "--follow", "--format", "json", "--limit", "1", "--action", "CreateVpc"]);
    follow.envs(place.environment()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut follow = follow.spawn().unwrap();
    let (sender, shown) = channel::<Value>();
    let out = follow.stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _ = sender.send(serde_json::from_str(&line).unwrap());
        }
    });
    let mut lanes = Vec::new();
    for node in nodes.iter().chain(&nodes) {
        let made = ok(&node.call(VPC, "CreateVpc", &[REGION]).await);
        let record = shown.recv_timeout(PATIENCE).unwrap();
        assert_eq!((&record["requestId"], &record["chain"]), (&made["RequestId"], &"whole".into()));
        lanes.push(record["lane"].as_i64().unwrap());
    }
    signal(&follow, Signal::INT);
    assert!(ended(&mut follow).success());
    assert!(lanes[0] != lanes[1] && lanes[..2] == lanes[2..], "{lanes:?}");

    // All chains in the order of time, and of these only what is asked for.
    let all = records(&place, &["--limit", "0"]);
    assert!(all.is_sorted_by_key(|record| record["time"].as_str().map(str::to_owned)), "{all:?}");
    let made = records(&place, &["--action", "CreateVpc"]);
    assert_eq!(made.iter().map(|record| record["lane"].as_i64().unwrap()).collect::<Vec<_>>(), lanes);
    assert_eq!(records(&place, &["--action", "CreateVpc", "--limit", "3"]), made[1..]);
    assert_eq!(records(&place, &["--action", "CreateVpc", "--limit", "0"]), made);
    let heads = succeeded(&place.command(&["audit", "--head"]));
    assert!(lanes.iter().all(|lane| heads.contains(&format!("lane {lane} "))), "{heads}");
    // Those that were kept elsewhere are looked for, each in the chain of its lane.
    let check = |kept: &str| place.command(&["check", "--audit-head", kept]);
    succeeded(&check(&heads));
    let (lane, link) = heads.lines().next().unwrap().rsplit_once(' ').unwrap();
    let (number, _) = link.split_once(':').unwrap();
    let other = format!("{lane} {number}:{}", "7".repeat(64));
    refused(
        &check(&other),
        65,
        &format!("{lane}: the record that was kept elsewhere, {number}, has another hash"),
    );
    for kept in [link.to_owned(), format!("lane 33 {link}")] {
        refused(&check(&kept), 1, "a shared database has one for each lane");
    }

    let status = succeeded(&place.command(&["status"]));
    assert!(status.contains("running, 2 nodes") && status.contains(" of 32 taken: "), "{status}");
    let status = json(&place.command(&["status", "--json"]));
    assert_eq!(status["nodes"].as_array().unwrap().len(), 2, "{status}");
    let taken = |lane: &&Value| lane["taken"] == true && lane["auditHead"].is_string();
    let taken: Vec<_> = status["lanes"].as_array().unwrap().iter().filter(taken).collect();
    assert!(lanes.iter().all(|lane| taken.iter().any(|taken| taken["lane"] == *lane)), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_changed_while_no_node_lives() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let mut node = place.node(&[]);
    let made = ok(&node.call(RAM, "CreateUser", &[("UserName", "eve")]).await);
    assert_eq!(made["User"]["UserName"], "eve");
    let eve = Key::created(&ok(&node.call(RAM, "CreateAccessKey", &[("UserName", "eve")]).await));
    let next = place.folder.path().join("next.key");
    std::fs::write(&next, "ab".repeat(32)).unwrap();
    std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o600)).unwrap();
    let next = next.to_str().unwrap();
    let rotate = || place.command(&["master-key", "rotate", "--new-key-file", next]);
    refused(&place.command(&["master-key", "rotate"]), 78, "--new-key-file");
    refused(&rotate(), 75, "all nodes are stopped");
    let who = node.sign_as(eve.clone(), STS, "GetCallerIdentity", &[]);
    assert_eq!(node.send(&who).await.status, 200);
    node.signal("TERM");
    node.ended().await;

    assert!(succeeded(&rotate()).contains("sealed anew"));
    assert!(succeeded(&rotate()).contains("already"));
    refused(&place.command(&["account", "create"]), 78, "not the master key");
    std::fs::copy(next, place.master_key()).unwrap();
    let node = place.node(&[]);
    let who = node.sign_as(eve.clone(), STS, "GetCallerIdentity", &[]);
    assert_eq!(node.send(&who).await.status, 200);
    let check = place.command(&["check"]);
    assert!(check.status.success(), "{}", text(&check));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_broken_begins_anew_and_the_others_go_on() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let mut nodes = [place.node(&[]), place.node(&[])];
    for node in &nodes {
        ok(&node.call(VPC, "CreateVpc", &[REGION]).await);
    }
    let made = records(&place, &["--action", "CreateVpc"]);
    let (lane, other) = (made[0]["lane"].as_i64().unwrap(), made[1]["lane"].as_i64().unwrap());
    assert_ne!(lane, other);
    let tamper = format!("UPDATE lane_{lane}.audit SET source = '192.0.2.1' WHERE seq = {}", made[0]["seq"]);
    place.single.sql("tongguan", &tamper).unwrap();
    refused(&place.command(&["check"]), 65, &format!("lane {lane}: record {}", made[0]["seq"]));
    refused(&place.command(&["audit", "--begin-anew"]), 75, "nodes use the database");
    for node in &mut nodes {
        node.signal("TERM");
        node.ended().await;
    }
    let begun = succeeded(&place.command(&["audit", "--begin-anew"]));
    assert!(begun.contains(&format!("anew with lane {lane} ")), "{begun}");
    assert!(!begun.contains(&format!("lane {other} ")), "{begun}");
    let check = place.command(&["check"]);
    assert!(check.status.success(), "{}", text(&check));
    let begun = succeeded(&place.command(&["audit", "--begin-anew"]));
    assert!(begun.contains("every lane is whole"), "{begun}");
    let shown = records(&place, &["--action", "BeginAuditAnew"]);
    assert_eq!((shown.len(), &shown[0]["lane"], &shown[0]["chain"]), (1, &lane.into(), &"whole".into()));
    assert!(records(&place, &["--limit", "0"]).iter().any(|record| record["chain"] == "before"));
    let node = place.node(&[]);
    ok(&node.call(VPC, "CreateVpc", &[REGION]).await);
    assert!(place.command(&["check"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_mended_by_hand_is_sealed_anew_while_no_node_lives() {
    let Some(place) = Place::or_skip() else { return };
    place.init();
    let mut node = place.node(&[]);
    ok(&node.call(RAM, "CreateUser", &[("UserName", "eve")]).await);
    let eve = Key::created(&ok(&node.call(RAM, "CreateAccessKey", &[("UserName", "eve")]).await));
    let attach = "SET session_replication_role = replica; \
                  INSERT INTO ram_attachment (account, system, user_seq, attached_ms) \
                  SELECT account, 'AliyunVPCFullAccess', seq, 0 FROM ram_user WHERE name = 'eve'";
    place.single.sql("tongguan", attach).unwrap();
    refused(&place.command(&["check"]), 65, "user `eve`");
    refused(&place.command(&["seal-anew"]), 75, "nodes use the database");
    let create = |node: &Server| node.sign_as(eve.clone(), VPC, "CreateVpc", &[REGION]);
    assert_ne!(node.send(&create(&node)).await.status, 200);
    node.signal("TERM");
    node.ended().await;
    let said = succeeded(&place.command(&["seal-anew"]));
    assert!(said.contains("taken as it is: user `eve`") && !said.contains("mark"), "{said}");
    assert!(place.command(&["check"]).status.success());
    assert_eq!(records(&place, &["--action", "SealAnew"]).len(), 1);
    let node = place.node(&[]);
    ok(&node.send(&create(&node)).await);
    assert!(place.command(&["check"]).status.success());
}
