//! Walks the table of operations: each that asks for a permission is allowed with it, refused without it,
//! refused against a Deny, refused for another resource, and of no use to another account. An operation that
//! this file does not know fails the test.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;
#[path = "common/world.rs"]
mod world;

use common::{ACCOUNT, Caller, Reply, Rig};
use serde_json::json;
use tongguan_service::operation::{self, DryRun, Operation, Product};
use world::World;

async fn send(rig: &Rig, caller: &Caller, operation: &Operation, parameters: &[(String, String)]) -> Reply {
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    rig.by(caller, operation.product.version(), operation.action, &parameters).await
}

/// Everything that only the account may see.
fn own(world: &World) -> Vec<&str> {
    let ids = [
        "vpc",
        "table",
        "default_vpc",
        "group",
        "empty_group",
        "empty_vpc",
        "vswitch",
        "gateway",
        "idle_gateway",
        "bound",
        "free",
        "pending",
        "upload",
        "pair",
        "csr",
        "key",
        "task",
        "customer",
        "linked",
        "connection",
        "redundant",
        "tunnel",
        "attachment",
        "diagnosis",
    ];
    let names = ["alice", "admins", "operator", "looking"];
    ids.into_iter().map(|name| world.named(name)).chain(names).collect()
}

/// The ARNs that an operation is checked on, filled the simple way.
fn arns(operation: &Operation, parameters: &[(String, String)]) -> Vec<String> {
    let value =
        |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if operation.action == "AssumeRole" {
        return vec![value("RoleArn").unwrap().to_owned()];
    }
    let owner = if value("PolicyType") == Some("System") { "system" } else { ACCOUNT };
    let fill = |template: &str| {
        let mut arn = template.replace("{accountId}|system", owner).replace("{accountId}", ACCOUNT);
        arn = arn.replace("{RegionId}", value("RegionId").unwrap_or("cn-hangzhou"));
        while let (Some(from), Some(to)) = (arn.find('{'), arn.find('}')) {
            let name = arn[from + 1..to].to_owned();
            arn.replace_range(from..=to, value(&name).unwrap_or("*"));
        }
        arn
    };
    operation.resource.split(" + ").map(fill).collect()
}

#[track_caller]
fn refused(operation: &Operation, reply: &Reply, kind: &str) {
    let action = operation.action;
    let (code, message) = match operation.product {
        Product::Vpc | Product::Cas | Product::Location | Product::Alb => {
            ("Forbidden", "User not authorized to operate on the specified resource.")
        }
        Product::Ecs => (
            "Forbidden.RAM",
            "User not authorized to operate on the specified resource, or this API doesn't support RAM.",
        ),
        Product::Kms => ("Forbidden.NoPermission", "This operation is forbidden by permission system."),
        Product::Sts => {
            ("NoPermission", "You are not authorized to do this action. You should be authorized by RAM.")
        }
        Product::Ram | Product::ResourceManager => {
            ("NoPermission", "You are not authorized to do this action.")
        }
    };
    assert_eq!((reply.status, reply.code()), (403, code), "{action}: {}", reply.body);
    assert_eq!(reply.body["Message"], message, "{action}");
    let detail = &reply.body["AccessDeniedDetail"];
    assert_eq!(detail["AuthAction"], operation.permission.unwrap());
    assert_eq!(detail["AuthPrincipalType"], "SubUser");
    assert_eq!(detail["AuthPrincipalOwnerId"], ACCOUNT);
    assert_eq!(detail["NoPermissionType"], kind, "{action}");
    assert_eq!(detail["PolicyType"], "AccountLevelIdentityBasedPolicy");
}

async fn without_rights(world: &World, operation: &Operation, parameters: &[(String, String)]) {
    let action = operation.permission.unwrap();
    let arns = arns(operation, parameters);
    let everything = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let silent = world.rig.user("silent", &json!([])).await;
    let barred = world
        .rig
        .user("barred", &json!([everything, {"Effect": "Deny", "Action": action, "Resource": arns}]))
        .await;
    let others = json!({"Effect": "Allow", "NotAction": action, "Resource": "*"});
    let others = world.rig.user("others", &json!([others])).await;
    let mut callers = vec![(&silent, "ImplicitDeny"), (&barred, "ExplicitDeny"), (&others, "ImplicitDeny")];
    // Only a literal star covers an operation that is not checked on single resources.
    let elsewhere = match operation.resource {
        "*" => vec!["acs:*".to_owned()],
        _ => arns.iter().map(|arn| format!("{arn}x")).collect(),
    };
    let elsewhere = json!([{"Effect": "Allow", "Action": action, "Resource": elsewhere}]);
    let elsewhere = world.rig.user("elsewhere", &elsewhere).await;
    callers.push((&elsewhere, "ImplicitDeny"));
    let wrong = json!([{"Effect": "Allow", "Action": action, "Resource": "acs:oss:*:*:x/*"}]);
    let wrong = world.rig.user("wrong", &wrong).await;
    callers.push((&wrong, "ImplicitDeny"));
    let first_only = json!([{"Effect": "Allow", "Action": action, "Resource": arns[0]}]);
    let first_only = world.rig.user("first-only", &first_only).await;
    if arns.len() > 1 {
        callers.push((&first_only, "ImplicitDeny"));
    }
    for (caller, kind) in callers {
        refused(operation, &send(&world.rig, caller, operation, parameters).await, kind);
        if operation.dry_run != DryRun::None {
            let mut dry = parameters.to_vec();
            dry.push(("DryRun".into(), "true".into()));
            refused(operation, &send(&world.rig, caller, operation, &dry).await, kind);
        }
    }
    // Permission is asked before the parameters are looked at.
    refused(operation, &send(&world.rig, &silent, operation, &[]).await, "ImplicitDeny");
}

/// Another account gets for what is ours what it gets for what is not there, and sees nothing of ours.
async fn from_another_account(world: &World, operation: &Operation, parameters: &[(String, String)]) {
    let stranger = Caller::stranger();
    let ours = send(&world.rig, &stranger, operation, parameters).await;
    let mut unknown = parameters.to_vec();
    for (_, value) in &mut unknown {
        if let Some(other) = world::unknown(&world.names, value) {
            *value = other;
        }
    }
    let named = unknown != parameters;
    let shown = ours.body.to_string();
    for own in own(world) {
        let echoed = parameters.iter().any(|(_, value)| value.contains(own));
        assert!(echoed || !shown.contains(own), "{} shows {own}: {shown}", operation.action);
    }
    if named {
        let nothing = send(&world.rig, &stranger, operation, &unknown).await;
        assert_eq!((ours.status, ours.code()), (nothing.status, nothing.code()), "{}", operation.action);
        let mut message = ours.body["Message"].to_string();
        for ((_, ours), (_, other)) in parameters.iter().zip(&unknown) {
            message = message.replace(ours, other);
        }
        assert_eq!(message, nothing.body["Message"].to_string(), "{}", operation.action);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_allowed_denied_and_closed_to_strangers() {
    for operation in operation::ALL {
        let Some(action) = operation.permission else {
            assert!(
                matches!(operation.action, "GetCallerIdentity" | "DescribeEndpoints"),
                "{}",
                operation.action
            );
            continue;
        };
        let world = World::new().await;
        let parameters = world.parameters(operation);
        from_another_account(&world, operation, &parameters).await;
        without_rights(&world, operation, &parameters).await;
        let allowed =
            json!([{"Effect": "Allow", "Action": action, "Resource": arns(operation, &parameters)}]);
        let allowed = world.rig.user("allowed", &allowed).await;
        let done = send(&world.rig, &allowed, operation, &parameters).await;
        // What some have been told by the time that they may make the call.
        let told = match operation.action {
            // The binding has made it already.
            "CreateServiceLinkedRole" => "EntityAlreadyExists.Role",
            // Nobody has one here.
            "DeleteLoginProfile" => "EntityNotExist.User.LoginProfile",
            "UnbindMFADevice" => "EntityNotExist.User.MFADevice",
            _ => "OK",
        };
        // Some answers have a member Code when all is well.
        let code = if done.status == 200 { "OK" } else { done.code() };
        assert_eq!(code, told, "{}: {}", operation.action, done.body);
    }
}
