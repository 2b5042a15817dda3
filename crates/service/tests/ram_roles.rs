//! Roles, policies, versions and attachments, and service-linked roles: what each operation answers, and every way in
//! which it is refused.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use common::{
    ACCOUNT, RESOURCE_MANAGER, RawCall, Reply, Rig, START_MS, archive, missing, ram, ram_as, refused, rest,
};
use serde_json::{Value, json};
use tongguan_model::limits::Quotas;
use tongguan_service::context::{Clock as _, iso8601};
use tongguan_service::operations::ram::service_linked::TASK_KEPT_MS;
use tongguan_store::Verdict;

const STRANGER: &str = "9999567890123456";
const ALLOW: &str =
    r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"vpc:DescribeVpcs","Resource":"*"}]}"#;
const LINKED: &str = "AliyunServiceRoleForVPNCertificate";
const LINKED_POLICY: &str = "AliyunServiceRolePolicyForVPNCertificate";
const SERVICE: &str = "certificate.vpn.aliyuncs.com";

/// One call of product ResourceManager.
async fn manager_as(rig: &Rig, key: &str, action: &str, parameters: &[(&str, &str)]) -> Reply {
    let nonce = rig.next_nonce();
    rig.send(&RawCall { key, version: RESOURCE_MANAGER, nonce: &nonce, ..RawCall::new(action, parameters) })
        .await
}

async fn manager(rig: &Rig, action: &str, parameters: &[(&str, &str)]) -> Reply {
    manager_as(rig, "root", action, parameters).await
}

fn trust(principal: &str) -> String {
    json!({
        "Statement": [{"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"RAM": principal}}],
        "Version": "1"
    })
    .to_string()
}

fn root_trust() -> String {
    trust(&format!("acs:ram::{ACCOUNT}:root"))
}

async fn role(rig: &Rig, name: &str) -> Reply {
    ram(rig, "CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", &root_trust())]).await
}

async fn policy(rig: &Rig, name: &str) -> Reply {
    ram(rig, "CreatePolicy", &[("PolicyName", name), ("PolicyDocument", ALLOW)]).await
}

fn custom(name: &str) -> [(&str, &str); 2] {
    [("PolicyType", "Custom"), ("PolicyName", name)]
}

fn system(name: &str) -> [(&str, &str); 2] {
    [("PolicyType", "System"), ("PolicyName", name)]
}

/// What must hold between rows holds.
fn sound(rig: &Rig) {
    let archive = archive(rig.directory());
    for (rule, findings) in archive.relations().unwrap() {
        assert!(findings.is_empty(), "{rule}: {findings:?}");
    }
    assert!(archive.structure().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_made_shown_changed_and_deleted() {
    let rig = Rig::new("0");
    let document = root_trust();
    let parameters = [
        ("RoleName", "Ops.Admin-1"),
        ("AssumeRolePolicyDocument", document.as_str()),
        ("Description", "for operators"),
        ("MaxSessionDuration", "43200"),
        ("AllowConsoleLogin", "false"),
    ];
    let made = rest(ram(&rig, "CreateRole", &parameters).await);
    let id = made["Role"]["RoleId"].as_str().unwrap().to_owned();
    assert!(id.len() == 18 && id.bytes().all(|b| b.is_ascii_digit()));
    let arn = format!("acs:ram::{ACCOUNT}:role/Ops.Admin-1");
    let mut expected = json!({"Role": {
        "RoleId": id, "RoleName": "Ops.Admin-1", "Arn": arn, "Description": "for operators",
        "MaxSessionDuration": 43200, "AllowConsoleLogin": false, "AssumeRolePolicyDocument": document,
        "CreateDate": iso8601(START_MS),
    }});
    assert_eq!(made, expected);

    rig.advance(60_000);
    let changed = trust(&format!("acs:ram::{STRANGER}:user/whoever"));
    let parameters = [
        ("RoleName", "OPS.admin-1"),
        ("NewAssumeRolePolicyDocument", changed.as_str()),
        ("NewMaxSessionDuration", "3600"),
    ];
    let updated = rest(ram(&rig, "UpdateRole", &parameters).await);
    expected["Role"]["AssumeRolePolicyDocument"] = changed.into();
    expected["Role"]["MaxSessionDuration"] = 3600.into();
    expected["Role"]["UpdateDate"] = iso8601(START_MS + 60_000).into();
    assert_eq!(updated, expected);
    let parameters =
        [("RoleName", "Ops.Admin-1"), ("NewDescription", "other"), ("NewAllowConsoleLogin", "TRUE")];
    ram(&rig, "UpdateRole", &parameters).await.ok();
    expected["Role"]["Description"] = "other".into();
    expected["Role"]["AllowConsoleLogin"] = true.into();

    let shown = rest(ram(&rig, "GetRole", &[("RoleName", "ops.admin-1")]).await);
    expected["Role"]["IsServiceLinkedRole"] = false.into();
    expected["Role"]["RolePrincipalName"] = format!("Ops.Admin-1@role.{ACCOUNT}.onaliyun.com").into();
    assert_eq!(shown, expected);
    assert_eq!(rest(ram(&rig, "DeleteRole", &[("RoleName", "OPS.ADMIN-1")]).await), json!({}));
    refused(&ram(&rig, "GetRole", &[("RoleName", "Ops.Admin-1")]).await, 404, "EntityNotExist.Role");
    refused(&ram(&rig, "DeleteRole", &[("RoleName", "Ops.Admin-1")]).await, 404, "EntityNotExist.Role");
    sound(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_refused_for_what_is_wrong_with_them() {
    let rig = Rig::with_quotas("0", Quotas { ram_roles_per_account: 2, ..Quotas::default() });
    let document = root_trust();
    let create = async |name: &str, document: &str, more: &[(&str, &str)]| {
        let mut parameters = vec![("RoleName", name), ("AssumeRolePolicyDocument", document)];
        parameters.extend_from_slice(more);
        ram(&rig, "CreateRole", &parameters).await
    };
    let (long, very_long) = ("a".repeat(65), "d".repeat(1025));
    for (name, document, more, code) in [
        ("", &*document, ("", ""), "MissingParameter"),
        ("a", "", ("", ""), "MissingParameter"),
        ("a_b", &document, ("", ""), "InvalidParameter.RoleName.InvalidChars"),
        (&long, &document, ("", ""), "InvalidParameter.RoleName.Length"),
        ("aliyunserviceroleforx", &document, ("", ""), "InvalidParameter.RoleName"),
        ("a", &document, ("Description", &*very_long), "InvalidParameter.Description.Length"),
        ("a", &document, ("MaxSessionDuration", "3599"), "InvalidParameter.MaxSessionDuration"),
        ("a", &document, ("MaxSessionDuration", "43201"), "InvalidParameter.MaxSessionDuration"),
        ("a", &document, ("AllowConsoleLogin", "maybe"), "InvalidParameter.AllowConsoleLogin"),
        ("a", &document, ("Tag", "k1"), "InvalidParameter.Tag"),
        ("a", &document, ("Tag", r#"[{"Key":"acs:x","Value":""}]"#), "InvalidParameter.TagKey"),
        ("a", &document, ("Tag", r#"[{"Key":"k","Value":"acs:x"}]"#), "InvalidParameter.TagValue"),
        ("a", "{", ("", ""), "MalformedPolicyDocument"),
        ("a", ALLOW, ("", ""), "MalformedPolicyDocument"),
    ] {
        refused(&create(name, document, &[more]).await, 400, code);
    }
    let twice = [("Tag", r#"[{"Key":"k","Value":"1"},{"Key":"k","Value":"2"}]"#)];
    refused(&create("a", &document, &twice).await, 400, "Duplicated.TagKey");
    let padded = format!("{document}{}", " ".repeat(6_200));
    refused(&create("a", &padded, &[]).await, 400, "InvalidParameter.AssumeRolePolicyDocument.Length");
    let nobody = trust(&format!("acs:ram::{ACCOUNT}:user/ghost"));
    let reply = create("a", &nobody, &[]).await;
    refused(&reply, 400, "MalformedPolicyDocument");
    let message = format!("The principal acs:ram::{ACCOUNT}:user/ghost does not exist.");
    assert_eq!(reply.body["Message"], message);
    let nothing = trust(&format!("acs:ram::{ACCOUNT}:role/ghost"));
    refused(&create("a", &nothing, &[]).await, 400, "MalformedPolicyDocument");

    // One that only the configuration knows is there, but not as a role.
    let configured = trust(&format!("acs:ram::{ACCOUNT}:role/observer"));
    refused(&create("a", &configured, &[]).await, 400, "MalformedPolicyDocument");
    create("a", &configured.replace("role/", "user/"), &[]).await.ok();
    ram(&rig, "DeleteRole", &[("RoleName", "a")]).await.ok();
    ram(&rig, "CreateUser", &[("UserName", "Ghost")]).await.ok();
    create("a", &nobody, &[]).await.ok();
    create("b", &trust(&format!("acs:ram::{STRANGER}:user/ghost")), &[]).await.ok();
    refused(&create("A", &document, &[]).await, 409, "EntityAlreadyExists.Role");
    refused(&create("c", &document, &[]).await, 409, "LimitExceeded.Role");

    let update = async |more: (&str, &str)| ram(&rig, "UpdateRole", &[("RoleName", "a"), more]).await;
    refused(&update(("NewAssumeRolePolicyDocument", &nothing)).await, 400, "MalformedPolicyDocument");
    let code = "InvalidParameter.NewAssumeRolePolicyDocument.Length";
    refused(&update(("NewAssumeRolePolicyDocument", &padded)).await, 400, code);
    refused(&update(("NewDescription", &very_long)).await, 400, "InvalidParameter.NewDescription.Length");
    refused(&update(("NewMaxSessionDuration", "1")).await, 400, "InvalidParameter.NewMaxSessionDuration");
    refused(&update(("NewAllowConsoleLogin", "1")).await, 400, "InvalidParameter.NewAllowConsoleLogin");
    refused(&ram(&rig, "UpdateRole", &[("RoleName", "c")]).await, 404, "EntityNotExist.Role");
    refused(&ram(&rig, "GetRole", &[("RoleName", &long)]).await, 400, "InvalidParameter.RoleName.Length");
    let reply = ram(&rig, "DeleteRole", &[("RoleName", "a_b")]).await;
    refused(&reply, 400, "InvalidParameter.RoleName.InvalidChars");
    assert_eq!(reply.body["Message"], "The parameter - \"RoleNam\" contains invalid chars.");
    // What was refused is not there.
    assert_eq!(listed(&rig, "root").await, ["a", "b"]);
    sound(&rig);
}

async fn listed(rig: &Rig, key: &str) -> Vec<String> {
    let list = ram_as(rig, key, "ListRoles", &[]).await.ok();
    names(&list["Roles"]["Role"], "RoleName")
}

fn names(rows: &Value, member: &str) -> Vec<String> {
    rows.as_array().unwrap().iter().map(|row| row[member].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_listed_in_pages_and_by_tags() {
    let rig = Rig::new("0");
    let document = root_trust();
    for (number, tag) in ["red", "blue", "red", "blue", "red"].into_iter().enumerate() {
        let name = format!("r{number}");
        let tags = json!([{"Key": "colour", "Value": tag}, {"Key": "n", "Value": number.to_string()}]);
        let tags = tags.to_string();
        let parameters =
            [("RoleName", name.as_str()), ("AssumeRolePolicyDocument", &document), ("Tag", &tags)];
        ram(&rig, "CreateRole", &parameters).await.ok();
    }
    let first = rest(ram(&rig, "ListRoles", &[("MaxItems", "2")]).await);
    assert_eq!(first["IsTruncated"], true);
    assert_eq!(names(&first["Roles"]["Role"], "RoleName"), ["r0", "r1"]);
    let row = &first["Roles"]["Role"][0];
    let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = vec![
        "AllowConsoleLogin",
        "Arn",
        "CreateDate",
        "Description",
        "MaxSessionDuration",
        "RoleId",
        "RoleName",
        "Tags",
        "UpdateDate",
    ];
    expected.sort_by_key(|name| keys.iter().position(|key| key == name));
    assert_eq!(keys, expected);
    let tags = json!({"Tag": [
        {"TagKey": "colour", "TagValue": "red"}, {"TagKey": "n", "TagValue": "0"}
    ]});
    assert_eq!(row["Tags"], tags);
    // A role that goes between two pages hides no other.
    ram(&rig, "DeleteRole", &[("RoleName", "r1")]).await.ok();
    let marker = first["Marker"].as_str().unwrap();
    let second = rest(ram(&rig, "ListRoles", &[("MaxItems", "2"), ("Marker", marker)]).await);
    assert_eq!(names(&second["Roles"]["Role"], "RoleName"), ["r2", "r3"]);
    let marker = second["Marker"].as_str().unwrap();
    let third = rest(ram(&rig, "ListRoles", &[("MaxItems", "2"), ("Marker", marker)]).await);
    assert_eq!(names(&third["Roles"]["Role"], "RoleName"), ["r4"]);
    assert_eq!((&third["IsTruncated"], third.get("Marker")), (&json!(false), None));

    let tagged = async |tags: &str| {
        let list = ram(&rig, "ListRoles", &[("Tag", tags)]).await.ok();
        names(&list["Roles"]["Role"], "RoleName")
    };
    assert_eq!(tagged(r#"[{"Key":"colour","Value":"red"}]"#).await, ["r0", "r2", "r4"]);
    assert_eq!(tagged(r#"[{"Key":"colour","Value":"red"},{"Key":"n","Value":"2"}]"#).await, ["r2"]);
    assert_eq!(tagged(r#"[{"Key":"n"}]"#).await, ["r0", "r2", "r3", "r4"]);
    assert!(tagged(r#"[{"Key":"n","Value":"1"}]"#).await.is_empty());
    for (name, value) in [("MaxItems", "0"), ("MaxItems", "1001"), ("Marker", "EXAMPLE"), ("Tag", "{}")] {
        let code = format!("InvalidParameter.{name}");
        refused(&ram(&rig, "ListRoles", &[(name, value)]).await, 400, &code);
    }
    assert!(listed(&rig, "stranger").await.is_empty());
    sound(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_and_its_versions_live_and_go() {
    let rig = Rig::new("0");
    let parameters = [("PolicyName", "Watch-1"), ("PolicyDocument", ALLOW), ("Description", "looking")];
    let made = rest(ram(&rig, "CreatePolicy", &parameters).await);
    let expected = json!({"Policy": {
        "PolicyType": "Custom", "PolicyName": "Watch-1", "Description": "looking", "DefaultVersion": "v1",
        "CreateDate": iso8601(START_MS),
    }});
    assert_eq!(made, expected);
    rig.advance(1_000);
    let other = ALLOW.replace("DescribeVpcs", "DescribeVSwitches");
    let parameters = [("PolicyName", "watch-1"), ("PolicyDocument", other.as_str())];
    let added = rest(ram(&rig, "CreatePolicyVersion", &parameters).await);
    let expected = json!({"PolicyVersion": {
        "VersionId": "v2", "IsDefaultVersion": false, "PolicyDocument": other,
        "CreateDate": iso8601(START_MS + 1_000),
    }});
    assert_eq!(added, expected);
    let shown = rest(ram(&rig, "GetPolicy", &custom("WATCH-1")).await);
    assert_eq!(shown["Policy"]["DefaultVersion"], "v1");
    assert_eq!(shown["Policy"]["AttachmentCount"], 0);
    assert_eq!(shown["Policy"]["PolicyDocument"], ALLOW);
    assert_eq!(shown["Policy"]["UpdateDate"], iso8601(START_MS + 1_000));
    assert_eq!(shown["DefaultPolicyVersion"]["PolicyDocument"], ALLOW);
    assert_eq!(shown["DefaultPolicyVersion"]["VersionId"], "v1");

    let version = |number: &'static str| [("PolicyName", "Watch-1"), ("VersionId", number)];
    let typed =
        |number: &'static str| [("PolicyType", "Custom"), ("PolicyName", "Watch-1"), ("VersionId", number)];
    ram(&rig, "SetDefaultPolicyVersion", &version("v2")).await.ok();
    let shown = ram(&rig, "GetPolicyVersion", &typed("v2")).await.ok();
    assert_eq!(shown["PolicyVersion"]["IsDefaultVersion"], true);
    let shown = ram(&rig, "GetPolicy", &custom("Watch-1")).await.ok();
    assert_eq!(shown["DefaultPolicyVersion"]["PolicyDocument"], other);
    let code = "DeleteConflict.Policy.Version.Default";
    refused(&ram(&rig, "DeletePolicyVersion", &version("v2")).await, 409, code);
    ram(&rig, "DeletePolicyVersion", &version("v1")).await.ok();
    for action in ["DeletePolicyVersion", "SetDefaultPolicyVersion"] {
        refused(&ram(&rig, action, &version("v1")).await, 404, "EntityNotExist.Policy.Version");
        refused(&ram(&rig, action, &version("v4294967296")).await, 404, "EntityNotExist.Policy.Version");
        for bad in ["1", "v0", "v01", "v", "V1", "v-1", "v1 "] {
            refused(&ram(&rig, action, &version(bad)).await, 400, "InvalidParameter.VersionId.Format");
        }
        let unknown = [("PolicyName", "none"), ("VersionId", "v1")];
        refused(&ram(&rig, action, &unknown).await, 404, "EntityNotExist.Policy");
    }
    refused(&ram(&rig, "GetPolicyVersion", &typed("v1")).await, 404, "EntityNotExist.Policy.Version");
    refused(&ram(&rig, "GetPolicyVersion", &typed("x")).await, 400, "InvalidParameter.VersionId.Format");
    // Numbers are not used twice, not even that of the newest.
    let again = async |default: &str| {
        let parameters = [("PolicyName", "Watch-1"), ("PolicyDocument", ALLOW), ("SetAsDefault", default)];
        ram(&rig, "CreatePolicyVersion", &parameters).await.ok()["PolicyVersion"].clone()
    };
    assert_eq!(again("true").await["VersionId"], "v3");
    ram(&rig, "SetDefaultPolicyVersion", &version("v2")).await.ok();
    ram(&rig, "DeletePolicyVersion", &version("v3")).await.ok();
    let fourth = again("true").await;
    assert_eq!((&fourth["VersionId"], &fourth["IsDefaultVersion"]), (&json!("v4"), &json!(true)));
    let list = rest(ram(&rig, "ListPolicyVersions", &custom("Watch-1")).await);
    let list = &list["PolicyVersions"]["PolicyVersion"];
    assert_eq!(names(list, "VersionId"), ["v2", "v4"]);
    assert_eq!((&list[0]["IsDefaultVersion"], &list[1]["IsDefaultVersion"]), (&json!(false), &json!(true)));
    assert_eq!(list[1]["PolicyDocument"], ALLOW);

    let code = "DeleteConflict.Policy.Version";
    refused(&ram(&rig, "DeletePolicy", &[("PolicyName", "Watch-1")]).await, 409, code);
    let cascading = [("PolicyName", "watch-1"), ("CascadingDelete", "true")];
    ram(&rig, "DeletePolicy", &cascading).await.ok();
    refused(&ram(&rig, "DeletePolicy", &cascading).await, 404, "EntityNotExist.Policy");
    sound(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_make_room_only_if_asked_to() {
    let rig = Rig::new("0");
    policy(&rig, "p").await.ok();
    let add = async |strategy: &str| {
        let parameters = [("PolicyName", "p"), ("PolicyDocument", ALLOW), ("RotateStrategy", strategy)];
        ram(&rig, "CreatePolicyVersion", &parameters).await
    };
    for _ in 0..4 {
        add("DeleteOldestNonDefaultVersionWhenLimitExceeded").await.ok();
    }
    for strategy in ["", "None"] {
        refused(&add(strategy).await, 409, "LimitExceeded.Policy.Version");
    }
    refused(&add("Oldest").await, 400, "InvalidParameter.RotateStrategy");
    add("DeleteOldestNonDefaultVersionWhenLimitExceeded").await.ok();
    let list = ram(&rig, "ListPolicyVersions", &custom("p")).await.ok();
    let list = names(&list["PolicyVersions"]["PolicyVersion"], "VersionId");
    assert_eq!(list, ["v1", "v3", "v4", "v5", "v6"], "v1 is in force and stays");
    sound(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_refused_for_what_is_wrong_with_them() {
    let rig = Rig::with_quotas("0", Quotas { ram_policies_per_account: 1, ..Quotas::default() });
    let (long, very_long) = ("a".repeat(129), "d".repeat(1025));
    let padded = format!("{ALLOW}{}", " ".repeat(6_144));
    for (name, document, more, code) in [
        ("", ALLOW, ("", ""), "MissingParameter"),
        ("p", "", ("", ""), "MissingParameter"),
        ("a.b", ALLOW, ("", ""), "InvalidParameter.PolicyName.InvalidChars"),
        (&long, ALLOW, ("", ""), "InvalidParameter.PolicyName.Length"),
        ("p", &padded, ("", ""), "InvalidParameter.PolicyDocument.Length"),
        ("p", ALLOW, ("Description", &*very_long), "InvalidParameter.Description.Length"),
        ("p", r#"{"Version":"2"}"#, ("", ""), "MalformedPolicyDocument"),
        ("p", &root_trust(), ("", ""), "MalformedPolicyDocument"),
        ("p", ALLOW, ("Tag", "[1]"), "InvalidParameter.Tag"),
    ] {
        let parameters = [("PolicyName", name), ("PolicyDocument", document), more];
        refused(&ram(&rig, "CreatePolicy", &parameters).await, 400, code);
    }
    policy(&rig, "p").await.ok();
    let twice = policy(&rig, "P").await;
    refused(&twice, 409, "EntityAlreadyExists.Policy");
    assert_eq!(twice.body["Message"], "The group does already EXIST.");
    refused(&policy(&rig, "q").await, 409, "LimitExceeded.Policy");
    let version = async |name: &str, document: &str| {
        ram(&rig, "CreatePolicyVersion", &[("PolicyName", name), ("PolicyDocument", document)]).await
    };
    refused(&version("q", ALLOW).await, 404, "EntityNotExist.Policy");
    refused(&version("p", &padded).await, 400, "InvalidParameter.PolicyDocument.Length");
    let reply = version("p", "{}").await;
    refused(&reply, 400, "MalformedPolicyDocument");
    assert_eq!(reply.body["Message"], "The policy document must have the member Version.");
    for action in ["GetPolicy", "ListPolicyVersions", "ListEntitiesForPolicy"] {
        refused(&ram(&rig, action, &custom("q")).await, 404, "EntityNotExist.Policy");
        refused(&ram(&rig, action, &system("p")).await, 404, "EntityNotExist.Policy");
        refused(&ram(&rig, action, &custom("a.b")).await, 400, "InvalidParameter.PolicyName.InvalidChars");
        refused(&ram_as(&rig, "stranger", action, &custom("p")).await, 404, "EntityNotExist.Policy");
        let typed = ram(&rig, action, &[("PolicyType", "custom"), ("PolicyName", "p")]).await;
        refused(&typed, 400, "InvalidParameter.PolicyType");
        assert_eq!(typed.body["Message"], "The parameter - \"PolicyType\" is incorrect.");
    }
    let parameters = [("PolicyName", "p"), ("CascadingDelete", "yes")];
    refused(&ram(&rig, "DeletePolicy", &parameters).await, 400, "InvalidParameter.CascadingDelete");
    sound(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn system_policies_are_read_and_not_changed() {
    let rig = Rig::new("0");
    let shown = rest(ram(&rig, "GetPolicy", &system("aliyunvpcfullaccess")).await);
    assert_eq!(shown["Policy"]["PolicyName"], "AliyunVPCFullAccess");
    assert_eq!(shown["Policy"]["PolicyType"], "System");
    assert_eq!(shown["Policy"]["DefaultVersion"], "v12");
    assert!(shown["DefaultPolicyVersion"]["PolicyDocument"].as_str().unwrap().contains("vpc:*HaVip*"));
    let list = ram(&rig, "ListPolicyVersions", &system("AliyunVPCFullAccess")).await.ok();
    assert_eq!(names(&list["PolicyVersions"]["PolicyVersion"], "VersionId"), ["v12"]);
    let version = |id: &'static str| {
        [("PolicyType", "System"), ("PolicyName", "AliyunVPCFullAccess"), ("VersionId", id)]
    };
    ram(&rig, "GetPolicyVersion", &version("v12")).await.ok();
    let code = "EntityNotExist.Policy.Version";
    refused(&ram(&rig, "GetPolicyVersion", &version("v11")).await, 404, code);
    let name = ("PolicyName", "AliyunVPCFullAccess");
    let calls: [(&str, &[(&str, &str)]); 4] = [
        ("DeletePolicy", &[name]),
        ("CreatePolicyVersion", &[name, ("PolicyDocument", ALLOW)]),
        ("DeletePolicyVersion", &[name, ("VersionId", "v12")]),
        ("SetDefaultPolicyVersion", &[name, ("VersionId", "v12")]),
    ];
    for (action, parameters) in calls {
        refused(&ram(&rig, action, parameters).await, 404, "EntityNotExist.Policy");
    }
    // The type is part of the key.
    policy(&rig, "AliyunVPCFullAccess").await.ok();
    let own = ram(&rig, "GetPolicy", &custom("AliyunVPCFullAccess")).await.ok();
    assert_eq!(own["Policy"]["DefaultVersion"], "v1");

    let tags = r#"[{"Key":"k","Value":"v"}]"#;
    let parameters = [("PolicyName", "tagged"), ("PolicyDocument", ALLOW), ("Tag", tags)];
    ram(&rig, "CreatePolicy", &parameters).await.ok();
    let whole = rest(ram(&rig, "ListPolicies", &[]).await);
    let all = names(&whole["Policies"]["Policy"], "PolicyName");
    assert_eq!((all.len(), &*all[0]), (13, "AdministratorAccess"));
    assert_eq!(all[11..], ["AliyunVPCFullAccess", "tagged"]);
    let last = &whole["Policies"]["Policy"][12];
    assert_eq!(last["Tags"], json!({"Tag": [{"TagKey": "k", "TagValue": "v"}]}));
    assert_eq!(last["AttachmentCount"], 0);
    // Page by page the same.
    for size in ["1", "5", "11", "12"] {
        let (mut paged, mut marker) = (Vec::new(), String::new());
        loop {
            let page = ram(&rig, "ListPolicies", &[("MaxItems", size), ("Marker", &marker)]).await.ok();
            paged.extend(names(&page["Policies"]["Policy"], "PolicyName"));
            match page["Marker"].as_str() {
                Some(next) => next.clone_into(&mut marker),
                None => break,
            }
        }
        assert_eq!(paged, all, "{size} a page");
    }
    let only = async |parameters: &[(&str, &str)]| {
        let list = ram(&rig, "ListPolicies", parameters).await.ok();
        names(&list["Policies"]["Policy"], "PolicyName")
    };
    assert_eq!(only(&[("PolicyType", "System")]).await, all[..11]);
    assert_eq!(only(&[("PolicyType", "Custom")]).await, all[11..]);
    assert_eq!(only(&[("Tag", tags)]).await, ["tagged"]);
    let bad = ram(&rig, "ListPolicies", &[("PolicyType", "system")]).await;
    refused(&bad, 400, "InvalidParameter.PolicyType");
    sound(&rig);
}

const KINDS: [(&str, &str); 3] = [("User", "UserName"), ("Group", "GroupName"), ("Role", "RoleName")];

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_attached_listed_and_taken_away() {
    let rig = Rig::new("0");
    ram(&rig, "CreateUser", &[("UserName", "Alice"), ("DisplayName", "A.")]).await.ok();
    ram(&rig, "CreateGroup", &[("GroupName", "Team"), ("Comments", "us")]).await.ok();
    role(&rig, "Ops").await.ok();
    policy(&rig, "Watch").await.ok();
    rig.advance(5_000);
    let at = iso8601(START_MS + 5_000);
    for ((kind, parameter), name) in KINDS.into_iter().zip(["ALICE", "TEAM", "OPS"]) {
        let attach = format!("AttachPolicyTo{kind}");
        let own = [custom("watch"), [(parameter, name), ("", "")]].concat();
        let of_system = [system("administratoraccess"), [(parameter, name), ("", "")]].concat();
        assert_eq!(rest(ram(&rig, &attach, &own).await), json!({}));
        ram(&rig, &attach, &of_system).await.ok();
        let code = format!("EntityAlreadyExists.{kind}.Policy");
        refused(&ram(&rig, &attach, &own).await, 409, &code);
        refused(&ram(&rig, &attach, &of_system).await, 409, &code);
        let list = rest(ram(&rig, &format!("ListPoliciesFor{kind}"), &[(parameter, name)]).await);
        let expected = json!({"Policies": {"Policy": [
            {"PolicyType": "Custom", "PolicyName": "Watch", "Description": "", "DefaultVersion": "v1",
             "AttachDate": at},
            {"PolicyType": "System", "PolicyName": "AdministratorAccess", "DefaultVersion": "v1",
             "Description": "Full access to everything in the account.", "AttachDate": at},
        ]}});
        assert_eq!(list, expected);
    }
    for (named, count) in [(custom("Watch"), 3), (system("AdministratorAccess"), 3)] {
        let shown = ram(&rig, "GetPolicy", &named).await.ok();
        assert_eq!(shown["Policy"]["AttachmentCount"], count);
        let entities = rest(ram(&rig, "ListEntitiesForPolicy", &named).await);
        let user = &entities["Users"]["User"][0];
        assert_eq!((&user["UserName"], &user["DisplayName"]), (&json!("Alice"), &json!("A.")));
        assert_eq!((user["UserId"].as_str().unwrap().len(), &user["AttachDate"]), (18, &json!(at)));
        let group = json!({"GroupName": "Team", "Comments": "us", "AttachDate": at});
        assert_eq!(entities["Groups"]["Group"], json!([group]));
        let role = &entities["Roles"]["Role"][0];
        assert_eq!(role["Arn"], format!("acs:ram::{ACCOUNT}:role/Ops"));
        assert_eq!((&role["RoleName"], &role["Description"]), (&json!("Ops"), &json!("")));
    }
    let list = ram(&rig, "ListPolicies", &[("PolicyType", "Custom")]).await.ok();
    assert_eq!(list["Policies"]["Policy"][0]["AttachmentCount"], 3);
    // Another account has attached it to nobody.
    let theirs = ram_as(&rig, "stranger", "GetPolicy", &system("AdministratorAccess")).await.ok();
    assert_eq!(theirs["Policy"]["AttachmentCount"], 0);

    for ((kind, parameter), name) in KINDS.into_iter().zip(["Alice", "Team", "Ops"]) {
        let code = format!("DeleteConflict.Policy.{kind}");
        refused(&ram(&rig, "DeletePolicy", &[("PolicyName", "Watch")]).await, 409, &code);
        let detach = format!("DetachPolicyFrom{kind}");
        let own = [custom("WATCH"), [(parameter, name), ("", "")]].concat();
        ram(&rig, &detach, &own).await.ok();
        refused(&ram(&rig, &detach, &own).await, 404, &format!("EntityNotExist.{kind}.Policy"));
    }
    refused(&ram(&rig, "DeleteRole", &[("RoleName", "Ops")]).await, 409, "DeleteConflict.Role.Policy");
    ram(&rig, "DeletePolicy", &[("PolicyName", "Watch")]).await.ok();
    sound(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn attaching_is_refused_for_what_is_wrong_with_it() {
    let rig = Rig::with_quotas(
        "0",
        Quotas {
            ram_system_policies_per_principal: 1,
            ram_policies_per_user: 2,
            ram_policies_per_group: 1,
            ram_policies_per_role: 1,
            ..Quotas::default()
        },
    );
    ram(&rig, "CreateUser", &[("UserName", "x")]).await.ok();
    ram(&rig, "CreateGroup", &[("GroupName", "x")]).await.ok();
    role(&rig, "x").await.ok();
    for name in ["p", "q", "r"] {
        policy(&rig, name).await.ok();
    }
    let long = "n".repeat(65);
    for (kind, parameter) in KINDS {
        let (attach, detach) = (format!("AttachPolicyTo{kind}"), format!("DetachPolicyFrom{kind}"));
        let (chars, length) = (
            format!("InvalidParameter.{parameter}.InvalidChars"),
            format!("InvalidParameter.{parameter}.Length"),
        );
        for action in [&attach, &detach] {
            let call = async |named: [(&'static str, &'static str); 2], name: &str, more: (&str, &str)| {
                ram(&rig, action, &[named[0], named[1], (parameter, name), more]).await
            };
            let none = ("", "");
            missing(&call(custom("p"), "", none).await, parameter);
            missing(&call(custom(""), "x", none).await, "PolicyName");
            refused(&call(custom("p"), "a b", none).await, 400, &chars);
            refused(&call(custom("p"), &long, none).await, 400, &length);
            refused(&call(custom("a_b"), "x", none).await, 400, "InvalidParameter.PolicyName.InvalidChars");
            refused(&call(custom("p"), "y", none).await, 404, &format!("EntityNotExist.{kind}"));
            refused(&call(custom("s"), "x", none).await, 404, "EntityNotExist.Policy");
            refused(&call(system("p"), "x", none).await, 404, "EntityNotExist.Policy");
            let typed = [("PolicyType", "CUSTOM"), ("PolicyName", "p")];
            refused(&call(typed, "x", none).await, 400, "InvalidParameter.PolicyType");
            let group = ("ResourceGroupId", "rg-1");
            refused(&call(custom("p"), "x", group).await, 400, "InvalidParameter.ResourceGroupId");
            let theirs = [custom("p")[0], custom("p")[1], (parameter, "x")];
            let code = format!("EntityNotExist.{kind}");
            refused(&ram_as(&rig, "stranger", action, &theirs).await, 404, &code);
        }
        let code = format!("EntityNotExist.{kind}.Policy");
        let named = |policy: &'static str| [custom(policy)[0], custom(policy)[1], (parameter, "x")];
        refused(&ram(&rig, &detach, &named("p")).await, 404, &code);
        ram(&rig, &attach, &named("p")).await.ok();
        if kind == "User" {
            ram(&rig, &attach, &named("q")).await.ok();
        }
        let code = format!("LimitExceeded.{kind}.Policy");
        refused(&ram(&rig, &attach, &named("r")).await, 409, &code);
        let of_system = |policy: &'static str| [system(policy)[0], system(policy)[1], (parameter, "x")];
        refused(&ram(&rig, &attach, &of_system(LINKED_POLICY)).await, 403, "NoPermission");
        ram(&rig, &attach, &of_system("AliyunVPCFullAccess")).await.ok();
        refused(&ram(&rig, &attach, &of_system("AliyunKMSFullAccess")).await, 409, &code);
        ram(&rig, &detach, &of_system("AliyunVPCFullAccess")).await.ok();
        ram(&rig, &attach, &of_system("AliyunKMSFullAccess")).await.ok();

        let list = format!("ListPoliciesFor{kind}");
        refused(&ram(&rig, &list, &[(parameter, "y")]).await, 404, &format!("EntityNotExist.{kind}"));
        refused(&ram(&rig, &list, &[(parameter, "é")]).await, 400, &chars);
        refused(&ram(&rig, &list, &[(parameter, &long)]).await, 400, &length);
        missing(&ram(&rig, &list, &[]).await, parameter);
        let code = format!("EntityNotExist.{kind}");
        refused(&ram_as(&rig, "stranger", &list, &[(parameter, "x")]).await, 404, &code);
    }
    sound(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_has_its_own_roles_and_policies() {
    let rig = Rig::new("0");
    role(&rig, "Ops").await.ok();
    policy(&rig, "Watch").await.ok();
    for (action, parameters) in [
        ("GetRole", vec![("RoleName", "Ops")]),
        ("UpdateRole", vec![("RoleName", "Ops")]),
        ("DeleteRole", vec![("RoleName", "Ops")]),
    ] {
        refused(&ram_as(&rig, "stranger", action, &parameters).await, 404, "EntityNotExist.Role");
    }
    for (action, parameters) in [
        ("DeletePolicy", vec![("PolicyName", "Watch")]),
        ("CreatePolicyVersion", vec![("PolicyName", "Watch"), ("PolicyDocument", ALLOW)]),
        ("DeletePolicyVersion", vec![("PolicyName", "Watch"), ("VersionId", "v1")]),
        ("SetDefaultPolicyVersion", vec![("PolicyName", "Watch"), ("VersionId", "v1")]),
        ("GetPolicyVersion", [custom("Watch").as_slice(), &[("VersionId", "v1")]].concat()),
    ] {
        refused(&ram_as(&rig, "stranger", action, &parameters).await, 404, "EntityNotExist.Policy");
    }
    let document = trust(&format!("acs:ram::{STRANGER}:root"));
    let parameters = [("RoleName", "Ops"), ("AssumeRolePolicyDocument", document.as_str())];
    ram_as(&rig, "stranger", "CreateRole", &parameters).await.ok();
    let parameters = [("PolicyName", "Watch"), ("PolicyDocument", ALLOW)];
    ram_as(&rig, "stranger", "CreatePolicy", &parameters).await.ok();
    assert_eq!(
        (listed(&rig, "root").await, listed(&rig, "stranger").await),
        (vec!["Ops".into()], vec!["Ops".into()])
    );
    // A caller without permission changes nothing.
    refused(&ram_as(&rig, "nobody", "DeleteRole", &[("RoleName", "Ops")]).await, 403, "NoPermission");
    sound(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_linked_role_is_made_kept_and_refuses_changes() {
    let rig = Rig::with_quotas("0", Quotas { ram_roles_per_account: 1, ..Quotas::default() });
    role(&rig, "Ops").await.ok();
    let parameters = [("ServiceName", SERVICE), ("Description", "mine")];
    let made = rest(manager(&rig, "CreateServiceLinkedRole", &parameters).await);
    let arn = format!("acs:ram::{ACCOUNT}:role/aliyunserviceroleforvpncertificate");
    let document = json!({
        "Statement": [{"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"Service": [SERVICE]}}],
        "Version": "1"
    });
    let expected = json!({"Role": {
        "RoleId": made["Role"]["RoleId"], "RoleName": LINKED, "Arn": arn,
        "Description": "VPN Gateway uses this role to access your certificates.",
        "AssumeRolePolicyDocument": document.to_string(), "CreateDate": iso8601(START_MS),
        "IsServiceLinkedRole": true,
        "RolePrincipalName": format!("{LINKED}@role.{ACCOUNT}.onaliyunservice.com"),
    }});
    assert_eq!(made, expected);
    for again in [
        manager(&rig, "CreateServiceLinkedRole", &[("ServiceName", SERVICE)]).await,
        ram(&rig, "CreateServiceLinkedRole", &[("ServiceName", SERVICE)]).await,
    ] {
        refused(&again, 409, "EntityAlreadyExists.Role");
    }
    let theirs = ram_as(&rig, "stranger", "CreateServiceLinkedRole", &[("ServiceName", SERVICE)]).await;
    assert_eq!(theirs.ok()["Role"]["RoleName"], LINKED);
    for (parameters, code) in [
        (vec![], "MissingServiceName"),
        (vec![("ServiceName", "polardb.aliyuncs.com")], "InvalidParameter.ServiceName"),
        (vec![("ServiceName", SERVICE), ("CustomSuffix", "x")], "InvalidParameter.CustomSuffix"),
        (
            vec![("ServiceName", SERVICE), ("Description", "\u{1}")],
            "InvalidParameter.Description.InvalidChars",
        ),
    ] {
        refused(&manager(&rig, "CreateServiceLinkedRole", &parameters).await, 400, code);
    }
    assert_eq!(listed(&rig, "root").await, ["Ops", LINKED], "it is made beyond the limit");
    let shown = rest(ram(&rig, "GetRole", &[("RoleName", LINKED)]).await);
    assert_eq!((&shown["Role"]["IsServiceLinkedRole"], &shown["Role"]["Arn"]), (&json!(true), &json!(arn)));
    assert_eq!(shown["Role"].get("LatestDeletionTask"), None);
    let held = ram(&rig, "ListPoliciesForRole", &[("RoleName", LINKED)]).await.ok();
    assert_eq!(names(&held["Policies"]["Policy"], "PolicyName"), [LINKED_POLICY]);
    let entities = ram(&rig, "ListEntitiesForPolicy", &system(LINKED_POLICY)).await.ok();
    assert_eq!(entities["Roles"]["Role"][0]["Arn"], arn);

    let changed = root_trust();
    let calls: [(&str, Vec<(&str, &str)>); 5] = [
        ("UpdateRole", vec![("RoleName", LINKED), ("NewAssumeRolePolicyDocument", &changed)]),
        ("UpdateRole", vec![("RoleName", LINKED), ("NewDescription", "mine")]),
        ("DeleteRole", vec![("RoleName", LINKED)]),
        ("AttachPolicyToRole", [system("AdministratorAccess").as_slice(), &[("RoleName", LINKED)]].concat()),
        ("DetachPolicyFromRole", [system(LINKED_POLICY).as_slice(), &[("RoleName", LINKED)]].concat()),
    ];
    for (action, parameters) in calls {
        refused(&ram(&rig, action, &parameters).await, 403, "NoPermission");
    }
    refused(
        &manager(&rig, "DeleteServiceLinkedRole", &[("RoleName", "Ops")]).await,
        404,
        "EntityNotExist.Role",
    );
    refused(
        &manager(&rig, "DeleteServiceLinkedRole", &[("RoleName", "none")]).await,
        404,
        "EntityNotExist.Role",
    );
    refused(&manager(&rig, "DeleteServiceLinkedRole", &[]).await, 400, "MissingRoleName");
    sound(&rig);
}

async fn deletion(rig: &Rig) -> String {
    let reply = manager(rig, "DeleteServiceLinkedRole", &[("RoleName", LINKED)]).await.ok();
    reply["DeletionTaskId"].as_str().unwrap().to_owned()
}

async fn status(rig: &Rig, task: &str) -> Value {
    rest(manager(rig, "GetServiceLinkedRoleDeletionStatus", &[("DeletionTaskId", task)]).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_linked_role_goes_once_nothing_uses_it() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    rig.bind(&gateway, &certificate, "Signature").await.ok();
    let shown = ram(&rig, "GetRole", &[("RoleName", LINKED)]).await.ok();
    let first_id = shown["Role"]["RoleId"].clone();
    let held = ram(&rig, "ListPoliciesForRole", &[("RoleName", LINKED)]).await.ok();
    assert_eq!(names(&held["Policies"]["Policy"], "PolicyName"), [LINKED_POLICY]);
    rig.settle().await;

    let task = deletion(&rig).await;
    let beginning = format!("task/acs-service-role/{SERVICE}/{LINKED}/");
    assert_eq!(task.strip_prefix(&beginning).unwrap().len(), 36);
    assert_eq!(status(&rig, &task).await, json!({"Status": "IN_PROGRESS"}));
    assert_eq!(deletion(&rig).await, task, "one task at a time");
    let shown = ram(&rig, "GetRole", &[("RoleName", LINKED)]).await.ok();
    let latest = json!({"DeletionTaskId": task, "CreateDate": iso8601(rig.clock.now_ms())});
    assert_eq!(shown["Role"]["LatestDeletionTask"], latest);
    sound(&rig);
    rig.settle().await;
    let reason = json!({
        "Message": format!(
            "Service-Linked Role acs:ram::{ACCOUNT}:role/aliyunserviceroleforvpncertificate cannot be deleted as it is \
             in use by {SERVICE}."
        ),
        "RoleUsages": {"RoleUsage": [{"Region": "cn-hangzhou", "Resources": {"Resource": [gateway]}}]},
    });
    assert_eq!(status(&rig, &task).await, json!({"Status": "FAILED", "Reason": reason}));
    ram(&rig, "GetRole", &[("RoleName", LINKED)]).await.ok();

    // A binding on its way out is a binding.
    rig.unbind(&gateway, &certificate, "Signature").await.ok();
    let early = deletion(&rig).await;
    assert_ne!(early, task, "the first one has ended");
    rig.service.engine().step(&early).await.unwrap();
    assert_eq!(status(&rig, &early).await["Status"], "FAILED");
    rig.settle().await;
    rig.advance(1_000);
    let task = deletion(&rig).await;
    rig.settle().await;
    assert_eq!(status(&rig, &task).await, json!({"Status": "SUCCEEDED"}));
    refused(&ram(&rig, "GetRole", &[("RoleName", LINKED)]).await, 404, "EntityNotExist.Role");
    let entities = ram(&rig, "ListEntitiesForPolicy", &system(LINKED_POLICY)).await.ok();
    assert_eq!(entities["Roles"]["Role"], json!([]));
    let reply = manager(&rig, "DeleteServiceLinkedRole", &[("RoleName", LINKED)]).await;
    refused(&reply, 404, "EntityNotExist.Role");
    // The next binding makes another role.
    rig.bind(&gateway, &certificate, "Signature").await.ok();
    let shown = ram(&rig, "GetRole", &[("RoleName", LINKED)]).await.ok();
    assert_ne!(shown["Role"]["RoleId"], first_id);
    sound(&rig);

    let foreign = [("DeletionTaskId", task.as_str())];
    let action = "GetServiceLinkedRoleDeletionStatus";
    refused(&manager_as(&rig, "stranger", action, &foreign).await, 404, "EntityNotExist.Role");
    let unknown = [("DeletionTaskId", "task/acs-service-role/none")];
    refused(&manager(&rig, action, &unknown).await, 404, "EntityNotExist.Role");
    refused(&manager(&rig, action, &[]).await, 400, "MissingDeletionTaskId");
    // It is forgotten after a day.
    rig.advance(TASK_KEPT_MS);
    refused(&manager(&rig, action, &foreign).await, 404, "EntityNotExist.Role");
    let before_ms = rig.clock.now_ms();
    let expire = async |batch: u32| {
        let store = rig.store();
        store.write(move |tx| Ok(Verdict::Keep(tx.expire_role_deletions(before_ms, batch)?))).await.unwrap()
    };
    assert_eq!((expire(2).await, expire(2).await, expire(2).await), (2, 1, 0));
}

/// A binding that comes while the role's deletion waits never ends up without the role, whoever is first.
#[tokio::test(flavor = "multi_thread")]
async fn a_binding_and_the_deletion_of_the_role_may_race() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    // The binding first.
    manager(&rig, "CreateServiceLinkedRole", &[("ServiceName", SERVICE)]).await.ok();
    let task = deletion(&rig).await;
    rig.bind(&gateway, &certificate, "Signature").await.ok();
    rig.service.engine().step(&task).await.unwrap();
    assert_eq!(status(&rig, &task).await["Status"], "FAILED");
    ram(&rig, "GetRole", &[("RoleName", LINKED)]).await.ok();
    rig.settle().await;
    // Both at once, again and again.
    for _ in 0..10 {
        rig.unbind(&gateway, &certificate, "Signature").await.ok();
        rig.settle().await;
        let task = deletion(&rig).await;
        let engine = rig.service.engine();
        let (bound, stepped) =
            tokio::join!(rig.bind(&gateway, &certificate, "Signature"), engine.step(&task));
        bound.ok();
        stepped.unwrap();
        rig.settle().await;
        let status = status(&rig, &task).await["Status"].clone();
        assert!(status == "FAILED" || status == "SUCCEEDED", "{status}");
        ram(&rig, "GetRole", &[("RoleName", LINKED)]).await.ok();
        let held = ram(&rig, "ListPoliciesForRole", &[("RoleName", LINKED)]).await.ok();
        assert_eq!(names(&held["Policies"]["Policy"], "PolicyName"), [LINKED_POLICY]);
        sound(&rig);
    }
}

/// A deletion outlives the process, and a step may be run twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_goes_on_after_a_restart() {
    let rig = Rig::new("0");
    manager(&rig, "CreateServiceLinkedRole", &[("ServiceName", SERVICE)]).await.ok();
    let task = deletion(&rig).await;
    let rig = rig.restart("0");
    assert_eq!(status(&rig, &task).await["Status"], "IN_PROGRESS");
    let engine = rig.service.engine();
    let (one, two) = tokio::join!(engine.step(&task), engine.step(&task));
    one.and(two).unwrap();
    assert_eq!(status(&rig, &task).await["Status"], "SUCCEEDED");
    engine.step(&task).await.unwrap();
    assert_eq!(status(&rig, &task).await["Status"], "SUCCEEDED");
    assert!(listed(&rig, "root").await.is_empty());
    sound(&rig);
}

/// Asking again and again for what fails does not fill the disk: old tasks are forgotten early.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_has_a_bounded_number_of_remembered_deletions() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    rig.bind(&gateway, &certificate, "Signature").await.ok();
    rig.settle().await;
    let mut tasks = Vec::new();
    for _ in 0..103 {
        rig.advance(1);
        let task = deletion(&rig).await;
        rig.service.engine().step(&task).await.unwrap();
        tasks.push(task);
    }
    let action = "GetServiceLinkedRoleDeletionStatus";
    for (place, task) in tasks.iter().enumerate() {
        let reply = manager(&rig, action, &[("DeletionTaskId", task)]).await;
        assert_eq!(reply.status, if place < 3 { 404 } else { 200 }, "{place}");
    }
    sound(&rig);
}
