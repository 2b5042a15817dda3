//! RAM users, access keys and groups: what each operation answers, and every way in which it is refused.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::{
    ACCOUNT, RAM, RawCall, Reply, Rig, START_MS, STS, VPC, archive, is_shared, missing, ram, ram_as, refused,
    rest,
};
use serde_json::{Value, json};
use tongguan_model::limits::Quotas;
use tongguan_service::catalogue::Code;
use tongguan_service::context::iso8601;
use tongguan_service::operation::{self, Operation, Product};
use tongguan_store::DATABASE_FILE;

const ACTIONS: [&str; 18] = [
    "CreateUser",
    "GetUser",
    "UpdateUser",
    "DeleteUser",
    "ListUsers",
    "CreateAccessKey",
    "DeleteAccessKey",
    "UpdateAccessKey",
    "ListAccessKeys",
    "GetAccessKeyLastUsed",
    "CreateGroup",
    "GetGroup",
    "DeleteGroup",
    "ListGroups",
    "AddUserToGroup",
    "RemoveUserFromGroup",
    "ListGroupsForUser",
    "ListUsersForGroup",
];

async fn user(rig: &Rig, name: &str) -> Value {
    ram(rig, "CreateUser", &[("UserName", name)]).await.ok()["User"].take()
}

async fn group(rig: &Rig, name: &str) -> Value {
    ram(rig, "CreateGroup", &[("GroupName", name)]).await.ok()["Group"].take()
}

async fn join(rig: &Rig, user: &str, group: &str) -> Reply {
    ram(rig, "AddUserToGroup", &[("UserName", user), ("GroupName", group)]).await
}

/// Id and secret of a new key of a user.
async fn key_of(rig: &Rig, user: &str) -> (String, String) {
    let made = ram(rig, "CreateAccessKey", &[("UserName", user)]).await.ok();
    let text = |name: &str| made["AccessKey"][name].as_str().unwrap().to_owned();
    (text("AccessKeyId"), text("AccessKeySecret"))
}

/// A call signed with a key that was issued.
async fn signed(
    rig: &Rig,
    key: &(String, String),
    version: &str,
    action: &str,
    parameters: &[(&str, &str)],
) -> Reply {
    let nonce = rig.next_nonce();
    let raw = RawCall {
        key: &key.0,
        secret: Some(&key.1),
        version,
        nonce: &nonce,
        ..RawCall::new(action, parameters)
    };
    rig.send(&raw).await
}

/// Attaches a system policy to a user or a group, or detaches it.
async fn policy(rig: &Rig, action: &str, holder: (&str, &str)) {
    let given = [("PolicyType", "System"), ("PolicyName", "AdministratorAccess"), holder];
    ram(rig, action, &given).await.ok();
}

fn database(rig: &Rig) -> rusqlite::Connection {
    rusqlite::Connection::open(rig.directory().join(DATABASE_FILE)).unwrap()
}

/// Values of one member in a list.
fn column(list: &Value, member: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|row| row[member].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_made_shown_changed_and_removed() {
    let rig = Rig::new("0");
    let given = [
        ("UserName", "Alice.B-1_c"),
        ("DisplayName", "Alice 小"),
        ("MobilePhone", "86-18688888888"),
        ("Email", "alice@example.com"),
        ("Comments", "This is a cloud computing engineer."),
    ];
    let made = rest(ram(&rig, "CreateUser", &given).await);
    let id = made["User"]["UserId"].as_str().unwrap().to_owned();
    assert!(id.len() == 18 && id.bytes().all(|b| b.is_ascii_digit()), "{id}");
    let mut user = json!({
        "UserId": id, "UserName": "Alice.B-1_c", "DisplayName": "Alice 小", "MobilePhone": "86-18688888888",
        "Email": "alice@example.com", "Comments": "This is a cloud computing engineer.",
        "CreateDate": iso8601(START_MS),
    });
    assert_eq!(made, json!({ "User": user }));

    user["UpdateDate"] = iso8601(START_MS).into();
    assert_eq!(rest(ram(&rig, "GetUser", &[("UserName", "ALICE.b-1_C")]).await), json!({ "User": user }));
    let listed = rest(ram(&rig, "ListUsers", &[]).await);
    assert_eq!(listed, json!({ "IsTruncated": false, "Users": { "User": [user] } }));

    rig.advance(5_000);
    let changes = [("UserName", "alice.B-1_c"), ("NewUserName", "bob"), ("NewComments", "renamed")];
    (user["UserName"], user["Comments"]) = ("bob".into(), "renamed".into());
    user["UpdateDate"] = iso8601(START_MS + 5_000).into();
    assert_eq!(rest(ram(&rig, "UpdateUser", &changes).await), json!({ "User": user }));
    refused(&ram(&rig, "GetUser", &[("UserName", "Alice.B-1_c")]).await, 404, "EntityNotExist.User");
    assert_eq!(rest(ram(&rig, "GetUser", &[("UserName", "bob")]).await), json!({ "User": user }));

    let texts = [
        ("UserName", "bob"),
        ("NewDisplayName", "B"),
        ("NewEmail", "b@example.com"),
        ("NewMobilePhone", "1-5551234"),
    ];
    (user["DisplayName"], user["Email"], user["MobilePhone"]) =
        ("B".into(), "b@example.com".into(), "1-5551234".into());
    assert_eq!(rest(ram(&rig, "UpdateUser", &texts).await), json!({ "User": user }));

    assert_eq!(rest(ram(&rig, "DeleteUser", &[("UserName", "BOB")]).await), json!({}));
    refused(&ram(&rig, "GetUser", &[("UserName", "bob")]).await, 404, "EntityNotExist.User");
    let listed = rest(ram(&rig, "ListUsers", &[]).await);
    assert_eq!(listed, json!({ "IsTruncated": false, "Users": { "User": [] } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_break_a_rule_are_told_by_name() {
    let rig = Rig::new("0");
    user(&rig, "alice").await;
    group(&rig, "team").await;
    let (long, text) = ("n".repeat(65), "t".repeat(129));
    let (name, team) = (("UserName", "alice"), ("GroupName", "team"));
    for action in ACTIONS {
        let operation = operation::find(Product::Ram, action).unwrap();
        for parameter in ["UserName", "GroupName"] {
            if !operation.takes(parameter) {
                continue;
            }
            // Whatever else is required is given.
            let mut others: Vec<_> =
                [name, team, ("UserAccessKeyId", "LTAI5tNone"), ("Status", "Active")].into();
            others.retain(|(other, _)| operation.takes(other) && *other != parameter);
            for (value, end) in [("a b", "InvalidChars"), ("a@b", "InvalidChars"), (long.as_str(), "Length")]
            {
                let mut given = others.clone();
                given.push((parameter, value));
                let code = format!("InvalidParameter.{parameter}.{end}");
                refused(&ram(&rig, action, &given).await, 400, &code);
            }
            let required = operation.parameters.iter().any(|p| p.name == parameter && p.required);
            if required {
                missing(&ram(&rig, action, &others).await, parameter);
            }
        }
    }
    for (prefix, action) in [("", "CreateUser"), ("New", "UpdateUser")] {
        for (parameter, value, end) in [
            ("DisplayName", text.as_str(), "Length"),
            ("DisplayName", "a\u{7}", "InvalidChars"),
            ("Comments", &text, "Length"),
            ("MobilePhone", "18688888888", "Format"),
            ("Email", "alice", "Format"),
        ] {
            let parameter = format!("{prefix}{parameter}");
            let reply = ram(&rig, action, &[name, (&parameter, value)]).await;
            refused(&reply, 400, &format!("InvalidParameter.{parameter}.{end}"));
        }
    }
    for (value, end) in [("a b", "InvalidChars"), (long.as_str(), "Length")] {
        let reply = ram(&rig, "UpdateUser", &[name, ("NewUserName", value)]).await;
        refused(&reply, 400, &format!("InvalidParameter.NewUserName.{end}"));
    }
    let reply = ram(&rig, "CreateGroup", &[team, ("Comments", &text)]).await;
    refused(&reply, 400, "InvalidParameter.Comments.Length");
    assert_eq!(reply.body["Message"], "The parameter - \"Comments\" beyond the length limit.");
    for action in ["ListUsers", "ListGroups", "ListUsersForGroup"] {
        let operation = operation::find(Product::Ram, action).unwrap();
        let mut given = if operation.takes("GroupName") { vec![team] } else { vec![] };
        for (parameter, value) in [
            ("MaxItems", "0"),
            ("MaxItems", "1001"),
            ("MaxItems", "ten"),
            ("MaxItems", "+1"),
            ("Marker", "EXAMPLE"),
        ] {
            given.push((parameter, value));
            let reply = ram(&rig, action, &given).await;
            refused(&reply, 400, &format!("InvalidParameter.{parameter}"));
            given.pop();
        }
    }
    for action in ["DeleteAccessKey", "UpdateAccessKey", "GetAccessKeyLastUsed"] {
        let reply = ram(&rig, action, &[name, ("Status", "Active")]).await;
        missing(&reply, "UserAccessKeyId");
    }
    let key = ("UserAccessKeyId", "LTAI5tNone");
    missing(&ram(&rig, "UpdateAccessKey", &[name, key]).await, "Status");
    let reply = ram(&rig, "UpdateAccessKey", &[name, key, ("Status", "inactive")]).await;
    refused(&reply, 400, "InvalidParameter.Status");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_differ_in_more_than_case() {
    let rig = Rig::new("0");
    let alice = user(&rig, "Alice").await;
    user(&rig, "bob").await;
    refused(&ram(&rig, "CreateUser", &[("UserName", "aLICE")]).await, 409, "EntityAlreadyExists.User");
    let taken = [("UserName", "bob"), ("NewUserName", "ALICE")];
    refused(&ram(&rig, "UpdateUser", &taken).await, 409, "EntityAlreadyExists.User");
    let own = ram(&rig, "UpdateUser", &[("UserName", "alice"), ("NewUserName", "aLiCe")]).await.ok();
    assert_eq!(own["User"]["UserName"], "aLiCe");
    assert_eq!(own["User"]["UserId"], alice["UserId"]);
    group(&rig, "Team").await;
    refused(&ram(&rig, "CreateGroup", &[("GroupName", "TEAM")]).await, 409, "EntityAlreadyExists.Group");
    // A user and a group may have one name.
    group(&rig, "alice").await;
    ram(&rig, "DeleteUser", &[("UserName", "ALICE")]).await.ok();
    let again = user(&rig, "Alice").await;
    assert_ne!(again["UserId"], alice["UserId"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_user_keeps_keys_groups_and_policies() {
    let rig = Rig::new("0");
    user(&rig, "alice").await;
    group(&rig, "team").await;
    join(&rig, "alice", "team").await.ok();
    let key = key_of(&rig, "alice").await;
    policy(&rig, "AttachPolicyToUser", ("UserName", "alice")).await;
    ram(&rig, "UpdateUser", &[("UserName", "alice"), ("NewUserName", "carol")]).await.ok();
    let who = signed(&rig, &key, STS, "GetCallerIdentity", &[]).await.ok();
    assert_eq!(who["Arn"], format!("acs:ram::{ACCOUNT}:user/carol"));
    signed(&rig, &key, VPC, "DescribeRegions", &[]).await.ok();
    let keys = ram(&rig, "ListAccessKeys", &[("UserName", "carol")]).await.ok();
    assert_eq!(column(&keys["AccessKeys"]["AccessKey"], "AccessKeyId"), std::slice::from_ref(&key.0));
    let groups = ram(&rig, "ListGroupsForUser", &[("UserName", "carol")]).await.ok();
    assert_eq!(column(&groups["Groups"]["Group"], "GroupName"), ["team"]);
    let members = ram(&rig, "ListUsersForGroup", &[("GroupName", "team")]).await.ok();
    assert_eq!(column(&members["Users"]["User"], "UserName"), ["carol"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_has_something_is_not_removed() {
    let rig = Rig::new("0");
    user(&rig, "alice").await;
    group(&rig, "team").await;
    let name = [("UserName", "alice")];
    join(&rig, "alice", "team").await.ok();
    let key = key_of(&rig, "alice").await;
    policy(&rig, "AttachPolicyToUser", name[0]).await;
    refused(&ram(&rig, "DeleteUser", &name).await, 409, "DeleteConflict.User.Group");
    ram(&rig, "RemoveUserFromGroup", &[name[0], ("GroupName", "team")]).await.ok();
    let inactive = [name[0], ("UserAccessKeyId", key.0.as_str()), ("Status", "Inactive")];
    ram(&rig, "UpdateAccessKey", &inactive).await.ok();
    refused(&ram(&rig, "DeleteUser", &name).await, 409, "DeleteConflict.User.AccessKey");
    ram(&rig, "DeleteAccessKey", &inactive[..2]).await.ok();
    refused(&ram(&rig, "DeleteUser", &name).await, 409, "DeleteConflict.User.Policy");
    policy(&rig, "DetachPolicyFromUser", name[0]).await;
    ram(&rig, "DeleteUser", &name).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_made_shown_and_removed() {
    let rig = Rig::new("0");
    let made = rest(ram(&rig, "CreateGroup", &[("GroupName", "Dev-Team"), ("Comments", "us")]).await);
    let id = made["Group"]["GroupId"].as_str().unwrap().to_owned();
    let mut group = json!({
        "GroupId": id, "GroupName": "Dev-Team", "Comments": "us", "CreateDate": iso8601(START_MS),
    });
    assert_eq!(made, json!({ "Group": group }));
    group["UpdateDate"] = iso8601(START_MS).into();
    assert_eq!(rest(ram(&rig, "GetGroup", &[("GroupName", "dev-TEAM")]).await), json!({ "Group": group }));
    let listed = rest(ram(&rig, "ListGroups", &[]).await);
    assert_eq!(listed, json!({ "IsTruncated": false, "Groups": { "Group": [group] } }));

    user(&rig, "alice").await;
    join(&rig, "alice", "Dev-Team").await.ok();
    let name = [("GroupName", "DEV-team")];
    policy(&rig, "AttachPolicyToGroup", name[0]).await;
    refused(&ram(&rig, "DeleteGroup", &name).await, 409, "DeleteConflict.Group.User");
    ram(&rig, "RemoveUserFromGroup", &[("UserName", "alice"), name[0]]).await.ok();
    refused(&ram(&rig, "DeleteGroup", &name).await, 409, "DeleteConflict.Group.Policy");
    policy(&rig, "DetachPolicyFromGroup", name[0]).await;
    assert_eq!(rest(ram(&rig, "DeleteGroup", &name).await), json!({}));
    refused(&ram(&rig, "GetGroup", &name).await, 404, "EntityNotExist.Group");
    refused(&ram(&rig, "DeleteGroup", &name).await, 404, "EntityNotExist.Group");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_join_and_leave_groups() {
    let rig = Rig::new("0");
    for name in ["alice", "bob"] {
        user(&rig, name).await;
    }
    group(&rig, "team").await;
    rig.advance(1_000);
    // Who joins first is not listed first: the order is that of the users.
    assert_eq!(rest(join(&rig, "bob", "TEAM").await), json!({}));
    rig.advance(1_000);
    join(&rig, "ALICE", "team").await.ok();
    refused(&join(&rig, "alice", "Team").await, 409, "EntityAlreadyExists.User.Group");
    let members = rest(ram(&rig, "ListUsersForGroup", &[("GroupName", "Team")]).await);
    let row = |name: &str, after: i64| json!({ "UserName": name, "DisplayName": "", "JoinDate": iso8601(START_MS + after) });
    let rows = [row("alice", 2_000), row("bob", 1_000)];
    assert_eq!(members, json!({ "IsTruncated": false, "Users": { "User": rows } }));
    let groups = rest(ram(&rig, "ListGroupsForUser", &[("UserName", "Bob")]).await);
    let group = &groups["Groups"]["Group"][0];
    assert!(group["GroupId"].is_string());
    assert_eq!(group["GroupName"], "team");
    assert_eq!(group["Comments"], "");
    assert_eq!(group["JoinDate"], iso8601(START_MS + 1_000));
    assert_eq!(group.as_object().unwrap().len(), 4);

    let leave = [("UserName", "BOB"), ("GroupName", "Team")];
    assert_eq!(rest(ram(&rig, "RemoveUserFromGroup", &leave).await), json!({}));
    refused(&ram(&rig, "RemoveUserFromGroup", &leave).await, 404, "EntityNotExist.User.Group");
    let groups = rest(ram(&rig, "ListGroupsForUser", &[("UserName", "bob")]).await);
    assert_eq!(groups, json!({ "Groups": { "Group": [] } }));
    for action in ["AddUserToGroup", "RemoveUserFromGroup"] {
        let none = [("UserName", "none"), ("GroupName", "team")];
        refused(&ram(&rig, action, &none).await, 404, "EntityNotExist.User");
        let none = [("UserName", "bob"), ("GroupName", "none")];
        refused(&ram(&rig, action, &none).await, 404, "EntityNotExist.Group");
    }
    refused(&ram(&rig, "ListGroupsForUser", &[("UserName", "none")]).await, 404, "EntityNotExist.User");
    refused(&ram(&rig, "ListUsersForGroup", &[("GroupName", "none")]).await, 404, "EntityNotExist.Group");
    refused(&ram(&rig, "UpdateUser", &[("UserName", "none")]).await, 404, "EntityNotExist.User");
    refused(&ram(&rig, "DeleteUser", &[("UserName", "none")]).await, 404, "EntityNotExist.User");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_what_is_removed_makes_room() {
    if is_shared() {
        // It writes to the file of the embedded store.
        return;
    }
    let quotas = Quotas {
        ram_users_per_account: 2,
        ram_groups_per_account: 3,
        ram_groups_per_user: 2,
        ..Quotas::default()
    };
    let rig = Rig::with_quotas("0", quotas);
    for name in ["a", "b"] {
        user(&rig, name).await;
    }
    refused(&ram(&rig, "CreateUser", &[("UserName", "c")]).await, 409, "LimitExceeded.User");
    refused(&ram(&rig, "CreateUser", &[("UserName", "A")]).await, 409, "EntityAlreadyExists.User");
    for name in ["1", "2", "3"] {
        group(&rig, name).await;
    }
    refused(&ram(&rig, "CreateGroup", &[("GroupName", "4")]).await, 409, "LimitExceeded.Group");
    join(&rig, "a", "1").await.ok();
    join(&rig, "a", "2").await.ok();
    refused(&join(&rig, "a", "3").await, 409, "LimitExceeded.User.Group");
    join(&rig, "b", "3").await.ok();
    ram(&rig, "RemoveUserFromGroup", &[("UserName", "a"), ("GroupName", "1")]).await.ok();
    ram(&rig, "DeleteGroup", &[("GroupName", "1")]).await.ok();
    group(&rig, "4").await;
    join(&rig, "a", "4").await.ok();
    ram(&rig, "RemoveUserFromGroup", &[("UserName", "b"), ("GroupName", "3")]).await.ok();
    ram(&rig, "DeleteUser", &[("UserName", "b")]).await.ok();
    user(&rig, "c").await;
    // Another account has limits of its own.
    ram_as(&rig, "stranger", "CreateUser", &[("UserName", "a")]).await.ok();
    key_of(&rig, "a").await;
    assert_eq!(broken(&rig), [""; 0], "what is counted is what there is");
    let database = database(&rig);
    for (damage, rule) in [
        ("UPDATE tally SET value = 7 WHERE kind = 'ram_user'", "the tallies are right"),
        ("UPDATE ram_user SET folded = upper(folded)", "a name is looked up in lower case"),
        ("UPDATE ram_group SET account = '9999567890123456'", "a member and its group are of one account"),
        (
            "UPDATE access_key SET account = '9999567890123456'",
            "an access key and its user are of one account",
        ),
    ] {
        database.execute(damage, []).unwrap();
        assert!(broken(&rig).contains(&rule), "{rule}");
    }
}

/// Rules of the store that do not hold.
fn broken(rig: &Rig) -> Vec<&'static str> {
    let relations = archive(rig.directory()).relations().unwrap();
    relations.into_iter().filter(|(_, findings)| !findings.is_empty()).map(|(rule, _)| rule).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_against_calls_at_the_same_time() {
    let rig = Rig::new("0");
    user(&rig, "alice").await;
    let given = [("UserName", "alice")];
    let calls = (0..8).map(|_| ram(&rig, "CreateAccessKey", &given));
    let replies = futures(calls).await;
    let made = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(made, 2);
    assert!(replies.iter().all(|r| r.status == 200 || r.code() == "LimitExceeded.User.AccessKey"));
    let calls = (0..8).map(|_| ram(&rig, "CreateUser", &[("UserName", "one")]));
    let replies = futures(calls).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
}

/// Runs futures beside each other.
async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = all.map(|future| Some(Box::pin(future))).collect();
    let mut done: Vec<Option<F::Output>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (slot, out) in waiting.iter_mut().zip(&mut done) {
            if let Some(future) = slot
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                (*slot, *out) = (None, Some(output));
            }
        }
        if waiting.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_repeat_nor_hide_what_stays() {
    let rig = Rig::new("0");
    group(&rig, "team").await;
    for number in 0..9 {
        user(&rig, &format!("user{number}")).await;
        join(&rig, &format!("user{number}"), "team").await.ok();
    }
    for (action, given) in [("ListUsers", vec![]), ("ListUsersForGroup", vec![("GroupName", "team")])] {
        let mut seen = Vec::new();
        let mut marker = None::<String>;
        loop {
            let mut given = given.clone();
            given.push(("MaxItems", "4"));
            if let Some(marker) = &marker {
                given.push(("Marker", marker));
            }
            let page = ram(&rig, action, &given).await.ok();
            seen.push(column(&page["Users"]["User"], "UserName"));
            assert_eq!(page["IsTruncated"], page.get("Marker").is_some());
            match page["Marker"].as_str() {
                Some(next) => marker = Some(next.to_owned()),
                None => break,
            }
        }
        let expected: Vec<_> = (0..9).map(|number| format!("user{number}")).collect();
        assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 1]);
        assert_eq!(seen.concat(), expected);
    }
    // A page that ends the list says so.
    let whole = ram(&rig, "ListUsers", &[("MaxItems", "9")]).await.ok();
    assert_eq!(whole["IsTruncated"], false);

    // Between two pages: the row that the marker names goes, one before it, one after it; one comes.
    let first = ram(&rig, "ListUsers", &[("MaxItems", "4")]).await.ok();
    for gone in ["user1", "user3", "user5"] {
        ram(&rig, "RemoveUserFromGroup", &[("UserName", gone), ("GroupName", "team")]).await.ok();
        ram(&rig, "DeleteUser", &[("UserName", gone)]).await.ok();
    }
    user(&rig, "user9").await;
    let marker = first["Marker"].as_str().unwrap();
    let second = ram(&rig, "ListUsers", &[("Marker", marker)]).await.ok();
    assert_eq!(column(&second["Users"]["User"], "UserName"), ["user4", "user6", "user7", "user8", "user9"]);
    refused(&ram(&rig, "ListGroups", &[("Marker", marker)]).await, 400, "InvalidParameter.Marker");

    for name in ["a", "b"] {
        group(&rig, name).await;
    }
    let first = ram(&rig, "ListGroups", &[("MaxItems", "2")]).await.ok();
    assert_eq!(column(&first["Groups"]["Group"], "GroupName"), ["team", "a"]);
    let second = ram(&rig, "ListGroups", &[("Marker", first["Marker"].as_str().unwrap())]).await.ok();
    assert_eq!(column(&second["Groups"]["Group"], "GroupName"), ["b"]);
    assert_eq!(second["IsTruncated"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_sees_nothing() {
    let rig = Rig::new("0");
    user(&rig, "alice").await;
    group(&rig, "team").await;
    join(&rig, "alice", "team").await.ok();
    let key = key_of(&rig, "alice").await;
    let (name, team) = (("UserName", "alice"), ("GroupName", "team"));
    let id = ("UserAccessKeyId", key.0.as_str());
    for action in ACTIONS {
        let operation = operation::find(Product::Ram, action).unwrap();
        if matches!(action, "CreateUser" | "CreateGroup" | "ListUsers" | "ListGroups") {
            continue;
        }
        let mut given: Vec<_> = [name, team, id, ("Status", "Inactive")].into();
        given.retain(|(name, _)| operation.takes(name));
        let code = if operation.takes("UserName") { "EntityNotExist.User" } else { "EntityNotExist.Group" };
        refused(&ram_as(&rig, "stranger", action, &given).await, 404, code);
        // Nor does the key count as the other account's own.
        given.retain(|(name, _)| *name != "UserName");
        if operation.takes("UserAccessKeyId") {
            let reply = ram_as(&rig, "stranger", action, &given).await;
            refused(&reply, 404, "EntityNotExist.User.AccessKey");
            refused(&ram(&rig, action, &given).await, 404, "EntityNotExist.User.AccessKey");
        }
    }
    for (action, list) in [("ListUsers", "Users"), ("ListGroups", "Groups")] {
        let listed = ram_as(&rig, "stranger", action, &[]).await.ok();
        assert_eq!(listed[list][list.trim_end_matches('s')], json!([]));
    }
    // Names are free there.
    ram_as(&rig, "stranger", "CreateUser", &[name]).await.ok();
    ram_as(&rig, "stranger", "CreateGroup", &[team]).await.ok();
    let reply = ram_as(&rig, "stranger", "DeleteAccessKey", &[name, id]).await;
    refused(&reply, 404, "EntityNotExist.User.AccessKey");
    signed(&rig, &key, STS, "GetCallerIdentity", &[]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_issued_listed_switched_and_removed() {
    let rig = Rig::new("0");
    user(&rig, "alice").await;
    user(&rig, "bob").await;
    let name = ("UserName", "alice");
    let made = rest(ram(&rig, "CreateAccessKey", &[name]).await);
    let shown = &made["AccessKey"];
    let text = |member: &str| shown[member].as_str().unwrap().to_owned();
    let key = (text("AccessKeyId"), text("AccessKeySecret"));
    assert!(key.0.starts_with("LTAI5t") && key.0.len() == 24, "{}", key.0);
    assert_eq!(key.1.len(), 30);
    assert_eq!(shown["Status"], "Active");
    assert_eq!(shown["CreateDate"], iso8601(START_MS));
    assert_eq!(shown.as_object().unwrap().len(), 4);
    rig.advance(1_000);
    let second = key_of(&rig, "ALICE").await;
    refused(&ram(&rig, "CreateAccessKey", &[name]).await, 409, "LimitExceeded.User.AccessKey");
    refused(&ram(&rig, "CreateAccessKey", &[("UserName", "none")]).await, 404, "EntityNotExist.User");

    let who = signed(&rig, &key, STS, "GetCallerIdentity", &[]).await.ok();
    assert_eq!(who["Arn"], format!("acs:ram::{ACCOUNT}:user/alice"));
    let id = ("UserAccessKeyId", key.0.as_str());
    let inactive = ("Status", "Inactive");
    assert_eq!(rest(ram(&rig, "UpdateAccessKey", &[name, id, inactive]).await), json!({}));
    let reply = signed(&rig, &key, STS, "GetCallerIdentity", &[]).await;
    refused(&reply, 400, "InvalidAccessKeyId.Inactive");
    let row = |key: &str, status: &str, after: i64| json!({ "AccessKeyId": key, "Status": status, "CreateDate": iso8601(START_MS + after) });
    let rows = [row(&key.0, "Inactive", 0), row(&second.0, "Active", 1_000)];
    let listed = rest(ram(&rig, "ListAccessKeys", &[name]).await);
    assert_eq!(listed, json!({ "AccessKeys": { "AccessKey": rows } }));
    ram(&rig, "UpdateAccessKey", &[name, id, ("Status", "Active")]).await.ok();
    signed(&rig, &key, STS, "GetCallerIdentity", &[]).await.ok();

    // A key is another user's, or nobody's: the same to whoever asks.
    for (owner, key) in
        [("bob", key.0.as_str()), ("alice", "LTAI5tNobodys"), ("alice", &key.0.to_lowercase())]
    {
        let given = [("UserName", owner), ("UserAccessKeyId", key), inactive];
        for action in ["UpdateAccessKey", "DeleteAccessKey", "GetAccessKeyLastUsed"] {
            let operation = operation::find(Product::Ram, action).unwrap();
            let given: Vec<_> = given.iter().filter(|(name, _)| operation.takes(name)).copied().collect();
            refused(&ram(&rig, action, &given).await, 404, "EntityNotExist.User.AccessKey");
        }
    }
    // An active key can be removed.
    assert_eq!(rest(ram(&rig, "DeleteAccessKey", &[name, id]).await), json!({}));
    let reply = signed(&rig, &key, STS, "GetCallerIdentity", &[]).await;
    refused(&reply, 404, "InvalidAccessKeyId.NotFound");
    refused(&ram(&rig, "DeleteAccessKey", &[name, id]).await, 404, "EntityNotExist.User.AccessKey");
    let third = key_of(&rig, "alice").await;
    let rig = rig.restart("0");
    signed(&rig, &third, STS, "GetCallerIdentity", &[]).await.ok();
    refused(&ram(&rig, "CreateAccessKey", &[name]).await, 409, "LimitExceeded.User.AccessKey");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_name_the_keys_are_the_callers_own() {
    let rig = Rig::new("0");
    user(&rig, "alice").await;
    let first = key_of(&rig, "alice").await;
    // Allowed nothing, and so not even its own keys.
    refused(&signed(&rig, &first, RAM, "ListAccessKeys", &[]).await, 403, "NoPermission");
    policy(&rig, "AttachPolicyToUser", ("UserName", "alice")).await;
    ram(&rig, "UpdateUser", &[("UserName", "alice"), ("NewUserName", "carol")]).await.ok();
    let second = signed(&rig, &first, RAM, "CreateAccessKey", &[]).await.ok();
    let second = second["AccessKey"]["AccessKeyId"].as_str().unwrap();
    let id = ("UserAccessKeyId", second);
    let full = signed(&rig, &first, RAM, "CreateAccessKey", &[]).await;
    refused(&full, 409, "LimitExceeded.User.AccessKey");
    let listed = signed(&rig, &first, RAM, "ListAccessKeys", &[]).await.ok();
    let listed: BTreeSet<_> = column(&listed["AccessKeys"]["AccessKey"], "AccessKeyId").into_iter().collect();
    assert_eq!(listed, BTreeSet::from([first.0.clone(), second.to_owned()]));
    let used = signed(&rig, &first, RAM, "GetAccessKeyLastUsed", &[id]).await;
    assert_eq!(rest(used), json!({ "AccessKeyLastUsed": {} }));
    let off = [id, ("Status", "Inactive")];
    signed(&rig, &first, RAM, "UpdateAccessKey", &off).await.ok();
    signed(&rig, &first, RAM, "DeleteAccessKey", &[id]).await.ok();

    // The account's own keys, those of its users beside.
    let listed = ram(&rig, "ListAccessKeys", &[]).await.ok();
    assert_eq!(listed["AccessKeys"]["AccessKey"], json!([]));
    let own = ram(&rig, "CreateAccessKey", &[]).await.ok();
    let text = |member: &str| own["AccessKey"][member].as_str().unwrap().to_owned();
    let own = (text("AccessKeyId"), text("AccessKeySecret"));
    let who = signed(&rig, &own, STS, "GetCallerIdentity", &[]).await.ok();
    assert_eq!(who["IdentityType"], "Account");
    ram(&rig, "CreateAccessKey", &[]).await.ok();
    refused(&ram(&rig, "CreateAccessKey", &[]).await, 409, "LimitExceeded.User.AccessKey");
    let id = ("UserAccessKeyId", own.0.as_str());
    refused(
        &ram(&rig, "DeleteAccessKey", &[("UserName", "carol"), id]).await,
        404,
        "EntityNotExist.User.AccessKey",
    );
    ram(&rig, "UpdateAccessKey", &[id, ("Status", "Inactive")]).await.ok();
    let reply = signed(&rig, &own, STS, "GetCallerIdentity", &[]).await;
    refused(&reply, 400, "InvalidAccessKeyId.Inactive");
    ram(&rig, "DeleteAccessKey", &[id]).await.ok();

    // A session has no keys of its own; without permission nobody sees theirs.
    for action in ["CreateAccessKey", "ListAccessKeys"] {
        missing(&ram_as(&rig, "visitor", action, &[]).await, "UserName");
        ram_as(&rig, "visitor", action, &[("UserName", "carol")]).await.ok();
        refused(&ram_as(&rig, "nobody", action, &[]).await, 403, "NoPermission");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_of_a_key_is_told() {
    let rig = Rig::new("0");
    user(&rig, "alice").await;
    let key = key_of(&rig, "alice").await;
    let given = [("UserName", "alice"), ("UserAccessKeyId", key.0.as_str())];
    let never = rest(ram(&rig, "GetAccessKeyLastUsed", &given).await);
    assert_eq!(never, json!({ "AccessKeyLastUsed": {} }));
    rig.advance(1_000);
    signed(&rig, &key, STS, "GetCallerIdentity", &[]).await.ok();
    let used = iso8601(START_MS + 1_000);
    // The use is noted beside the call.
    let mut told = Value::Null;
    for _ in 0..500 {
        told = rest(ram(&rig, "GetAccessKeyLastUsed", &given).await);
        if told["AccessKeyLastUsed"] != json!({}) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(told, json!({ "AccessKeyLastUsed": { "LastUsedDate": used } }));
}

/// The secret is in the one answer, and in the store only under the master key.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_kept_sealed_and_nowhere_else() {
    if is_shared() {
        // It writes to the file of the embedded store.
        return;
    }
    let rig = Rig::new("0");
    user(&rig, "alice").await;
    // A token is no part of the operation: it neither repeats the answer nor keeps it.
    let given = [("UserName", "alice"), ("ClientToken", "one")];
    let first = ram(&rig, "CreateAccessKey", &given).await.ok();
    let second = ram(&rig, "CreateAccessKey", &given).await.ok();
    assert_ne!(first["AccessKey"]["AccessKeyId"], second["AccessKey"]["AccessKeyId"]);
    for action in ["ListAccessKeys", "GetUser"] {
        let shown = ram(&rig, action, &[("UserName", "alice")]).await.ok().to_string();
        assert!(!shown.contains("Secret"), "{shown}");
    }
    let secret = first["AccessKey"]["AccessKeySecret"].as_str().unwrap().as_bytes();
    let id = first["AccessKey"]["AccessKeyId"].as_str().unwrap().as_bytes();
    let mut id_found = false;
    for path in files_below(rig.directory()) {
        let bytes = std::fs::read(&path).unwrap();
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!holds(secret), "{}", path.display());
        id_found |= holds(id);
    }
    assert!(id_found, "the test looks where keys are");
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// Every refusal that a page documents is one that its operation answers, word for word.
#[test]
fn documented_errors_are_exact() {
    // There are no console logons and no MFA devices here.
    const ELSEWHERE: [&str; 2] = ["DeleteConflict.User.LoginProfile", "DeleteConflict.User.MFADevice"];
    for action in ACTIONS {
        let operation = operation::find(Product::Ram, action).unwrap();
        let path = format!("{}/../../docs/api/ram/{action}.json", env!("CARGO_MANIFEST_DIR"));
        let page: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for error in page["errors"].as_array().unwrap() {
            let code = error["code"].as_str().unwrap();
            let whole = error["http"].is_u64() && error["message"].is_string();
            if !whole || ELSEWHERE.contains(&code) {
                continue;
            }
            let known = operation.errors.iter().any(|ours| says(operation, ours, error));
            assert!(known, "{action} does not answer {code}: {}", error["message"]);
        }
    }
}

/// Whether a code, its slot filled with one of the operation's parameters, is the documented error.
fn says(operation: &Operation, ours: &Code, error: &Value) -> bool {
    operation.parameters.iter().any(|parameter| {
        let fill = |text: &str| text.replace("<Param>", parameter.name);
        error["code"] == fill(ours.code)
            && error["message"] == fill(ours.message)
            && error["http"] == ours.status
    }) || (error["code"] == ours.code && error["message"] == ours.message && error["http"] == ours.status)
}
