//! `tongguan account`: accounts made, listed and stopped while the service runs, and while it does not.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::path::Path;
use std::process::Output;

use common::program::program;
use common::{Key, RAM, STS, Server, VPC};
use serde_json::{Value, json as object};

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

/// Makes a user of the caller's account, who may assume roles, and answers its key.
async fn user_of(server: &Server, key: &Key) -> Key {
    let user = ("UserName", "alice");
    assert_eq!(server.call_as(key.clone(), RAM, "CreateUser", &[user]).await.status, 200);
    let attach = [user, ("PolicyName", "AliyunSTSAssumeRoleAccess"), ("PolicyType", "System")];
    assert_eq!(server.call_as(key.clone(), RAM, "AttachPolicyToUser", &attach).await.status, 200);
    let made = server.call_as(key.clone(), RAM, "CreateAccessKey", &[user]).await.json();
    Key::of(text(&made["AccessKey"], "AccessKeyId"), text(&made["AccessKey"], "AccessKeySecret"))
}

/// The key of a session of the role `guest` of that account.
async fn session_of(server: &Server, key: &Key, account: &str) -> Key {
    let role = format!("acs:ram::{account}:role/guest");
    let assume = [("RoleArn", role.as_str()), ("RoleSessionName", "abroad")];
    let made = server.call_as(key.clone(), STS, "AssumeRole", &assume).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let made = &made.json()["Credentials"];
    let token = Some(text(made, "SecurityToken").to_owned());
    Key { token, ..Key::of(text(made, "AccessKeyId"), text(made, "AccessKeySecret")) }
}

async fn who(server: &Server, session: &Key) -> String {
    let reply = server.call_as(session.clone(), STS, "GetCallerIdentity", &[]).await;
    if reply.status == 200 { "OK".to_owned() } else { reply.code() }
}

/// A disabled account's sessions are refused wherever their role is; an operator ends them by account, user, role, or
/// all of them. Nothing of it is lost with the process.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_with_their_account_and_at_the_operators_word() {
    const OVER: &str = "InvalidSecurityToken.Expired";
    let mut server = Server::start(&[]);
    let data = server.data_dir();
    let [home, there] = ["home", "there"].map(|name| json(&account(&data, &["create", name, "--json"])));
    let key_of = |made: &Value| Key::of(text(made, "AccessKeyId"), text(made, "AccessKeySecret"));
    let (home_key, there_key) = (key_of(&home), key_of(&there));
    let (home, there) = (text(&home, "AccountId"), text(&there, "AccountId"));
    let alice = user_of(&server, &home_key).await;
    let trust = object!({"Version": "1", "Statement": [{"Action": "sts:AssumeRole", "Effect": "Allow",
        "Principal": {"RAM": format!("acs:ram::{home}:root")}}]});
    let role = [("RoleName", "guest"), ("AssumeRolePolicyDocument", &trust.to_string())];
    let made = server.call_as(there_key, RAM, "CreateRole", &role).await;
    assert_eq!(made.status, 200, "{}", made.text());

    let abroad = session_of(&server, &alice, there).await;
    assert_eq!(who(&server, &abroad).await, "OK");
    assert!(account(&data, &["disable", home]).status.success());
    assert_eq!(who(&server, &abroad).await, OVER);
    assert!(account(&data, &["enable", home]).status.success());
    assert_eq!(who(&server, &abroad).await, OVER);

    for order in [
        &["end-sessions", home][..],
        &["end-sessions", there],
        &["end-sessions", home, "--user", "alice"],
        &["end-sessions", there, "--role", "guest"],
    ] {
        let session = session_of(&server, &alice, there).await;
        assert_eq!(who(&server, &session).await, "OK");
        let done = account(&data, order);
        assert_eq!(String::from_utf8_lossy(&done.stdout), format!("{}\n", order[1]), "{order:?}");
        assert_eq!(who(&server, &session).await, OVER, "{order:?}");
    }
    for (order, said) in [
        (
            &["end-sessions", home, "--user", "guest"][..],
            format!("account `{home}` has no user `guest` in RAM"),
        ),
        (&["end-sessions", there, "--role", "alice"], format!("account `{there}` has no role `alice`")),
        (&["end-sessions", "1000000000000000"], "there is no account `1000000000000000`".to_owned()),
        (&["end-sessions", home, "--user", "a", "--role", "b"], "cannot be used with".to_owned()),
    ] {
        let refused = account(&data, order);
        assert!(!refused.status.success());
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(error.contains(&said), "{error}");
    }

    let rotate = |more: &[&str]| {
        let done =
            program(&["token-key", "rotate"]).args(more).arg("--data-dir").arg(&data).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let session = session_of(&server, &alice, there).await;
    assert_eq!(rotate(&[]), "Security tokens are made with a new key; sessions go on.\n");
    let later = session_of(&server, &alice, there).await;
    for session in [&session, &later] {
        assert_eq!(who(&server, session).await, "OK");
    }
    assert_eq!(
        rotate(&["--end-sessions"]),
        "Security tokens are made with a new key; all sessions have ended.\n"
    );
    for session in [&session, &later] {
        assert_eq!(who(&server, session).await, OVER);
    }
    // Offline as well.
    let session = session_of(&server, &alice, there).await;
    server.signal("TERM");
    assert!(server.ended().await.success());
    assert!(account(&data, &["end-sessions", home]).status.success());
    rotate(&[]);
    let server = server.again();
    assert_eq!(who(&server, &session).await, OVER);
    assert_eq!(who(&server, &session_of(&server, &alice, there).await).await, "OK");
    let shown = program(&["audit", "--format", "json"]).arg("--data-dir").arg(&data).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    for action in ["EndSessions", "RotateTokenKey", "RotateTokenKeyAndEndSessions", "DisableAccount"] {
        let found = shown
            .lines()
            .any(|line| line.contains(&format!("\"{action}\"")) && line.contains("\"operator\""));
        assert!(found, "{action}: {shown}");
    }
}
