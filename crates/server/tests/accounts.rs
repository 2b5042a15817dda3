//! `tongguan account`: accounts made, listed and stopped while the service runs, and while it does not.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::path::Path;
use std::process::Output;

use common::program::program;
use common::{STS, Server, VPC};
use serde_json::Value;

fn account(data_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = program(&["account"]);
    command.args(arguments).arg("--data-dir").arg(data_dir);
    command.output().unwrap()
}

fn json(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_come_and_go_while_the_service_runs() {
    let server = Server::start(&[]);
    let data = server.data_dir();
    let made = json(&account(&data, &["create", "research", "--json"]));
    let key = (text(&made, "AccessKeyId"), text(&made, "AccessKeySecret"));
    let caller = server.call_as(key, STS, "GetCallerIdentity", &[]).await.json();
    assert_eq!(caller["AccountId"], made["AccountId"]);
    assert_eq!(caller["IdentityType"], "Account");

    // What it makes is its own, and what others have it does not see.
    let region = [("RegionId", "cn-hangzhou")];
    let vpc = server.call_as(key, VPC, "CreateVpc", &region).await.json();
    let named = [("RegionId", "cn-hangzhou"), ("VpcId", text(&vpc, "VpcId"))];
    assert_eq!(server.call_as(key, VPC, "DescribeVpcAttribute", &named).await.status, 200);
    let foreign = server.call(VPC, "DescribeVpcAttribute", &named).await;
    let unknown = [("RegionId", "cn-hangzhou"), ("VpcId", "vpc-bp1aaaaaaaaaaaaaaaaaa")];
    let unknown = server.call(VPC, "DescribeVpcAttribute", &unknown).await;
    assert_eq!((foreign.status, foreign.code()), (unknown.status, unknown.code()));
    assert_eq!(foreign.json()["Message"], unknown.json()["Message"]);

    let id = text(&made, "AccountId");
    assert!(account(&data, &["disable", id]).status.success());
    let refused = server.call_as(key, STS, "GetCallerIdentity", &[]).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "InvalidAccessKeyId.Inactive"));
    let listed = json(&account(&data, &["list", "--json"]));
    let row = listed.as_array().unwrap().iter().find(|row| row["AccountId"] == id).unwrap();
    assert_eq!((text(row, "Status"), text(row, "Name")), ("Disabled", "research"));
    assert!(account(&data, &["enable", id]).status.success());
    assert_eq!(server.call_as(key, VPC, "DescribeVpcAttribute", &named).await.status, 200);

    // A key of the configuration belongs to its account as well.
    assert!(account(&data, &["disable", "1234567890123456"]).status.success());
    assert_eq!(server.call(STS, "GetCallerIdentity", &[]).await.code(), "InvalidAccessKeyId.Inactive");

    for (arguments, said) in [
        (&["disable", "1000000000000000"][..], "there is no account `1000000000000000`"),
        (&["create", "again", "--account-id", id][..], "already"),
        (&["create", "--account-id", "12"][..], "sixteen decimal digits"),
        (&["create", "a\nb"][..], "control characters"),
    ] {
        let refused = account(&data, arguments);
        assert!(!refused.status.success());
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(error.contains(said), "{error}");
    }
    // The socket is its owner's alone.
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(data.join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_can_be_made_while_the_service_does_not_run() {
    let mut server = Server::start(&[]);
    server.signal("TERM");
    assert!(server.ended().await.success());
    let data = server.data_dir();
    let made = json(&account(&data, &["create", "--account-id", "1000000000000007", "--json"]));
    assert_eq!(text(&made, "AccountId"), "1000000000000007");
    let listed = json(&account(&data, &["list", "--json"]));
    assert!(listed.as_array().unwrap().iter().any(|row| row["AccountId"] == "1000000000000007"));
    let nowhere = tempfile::tempdir().unwrap();
    let refused = account(nowhere.path(), &["create"]);
    assert_eq!(refused.status.code(), Some(65));
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0, "nothing is made there");
}
