//! Decisions on rights, and the threads that make them.

use std::time::{Duration, Instant};

use crate::common::{Key, RAM, VPC};
use crate::world::{SOON, World, tenant_b};

/// The worst policies that a tenant may attach to a user, by the documented limits: 10 of its own, 5 groups with 5
/// each. Answers the user's key.
async fn worst_user(world: &World) -> Key {
    let server = &world.server;
    let call = async |action: &str, parameters: &[(&str, &str)]| {
        let reply = server.call_as(tenant_b(), RAM, action, parameters).await;
        assert_eq!(reply.status, 200, "{action}: {}", reply.text());
        reply.json()
    };
    call("CreateUser", &[("UserName", "u")]).await;
    let key = call("CreateAccessKey", &[("UserName", "u")]).await;
    let part = |name: &str| key["AccessKey"][name].as_str().unwrap().to_owned();
    let key = Key::of(&part("AccessKeyId"), &part("AccessKeySecret"));
    call(
        "AttachPolicyToUser",
        &[("PolicyName", "AdministratorAccess"), ("PolicyType", "System"), ("UserName", "u")],
    )
    .await;
    // As large as documents may be, and as slow as the service lets them be stored.
    let mut stored = 0;
    for patterns in [85, 40, 20, 10, 5, 2, 1] {
        let pattern = format!("*{}?b", "a".repeat(60));
        let document = format!(
            "{{\"Version\":\"1\",\"Statement\":[{{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\",\
             \"Condition\":{{\"StringLike\":{{\"acs:RequestTag/abcde\":[{}]}}}}}}]}}",
            vec![format!("\"{pattern}\""); patterns].join(",")
        );
        let made = server
            .call_as(tenant_b(), RAM, "CreatePolicy", &[("PolicyName", "p0"), ("PolicyDocument", &document)])
            .await;
        if made.status != 200 {
            continue;
        }
        for number in 1..35 {
            let name = format!("p{number}");
            call("CreatePolicy", &[("PolicyName", &name), ("PolicyDocument", &document)]).await;
        }
        stored = patterns;
        break;
    }
    assert!(stored > 0, "no document with a pattern is stored");
    for number in 0..10 {
        let name = format!("p{number}");
        call("AttachPolicyToUser", &[("PolicyName", &name), ("PolicyType", "Custom"), ("UserName", "u")])
            .await;
    }
    for group in 0..5 {
        let name = format!("g{group}");
        call("CreateGroup", &[("GroupName", &name)]).await;
        call("AddUserToGroup", &[("GroupName", &name), ("UserName", "u")]).await;
        for number in 0..5 {
            let policy = format!("p{}", 10 + group * 5 + number);
            call(
                "AttachPolicyToGroup",
                &[("PolicyName", &policy), ("PolicyType", "Custom"), ("GroupName", &name)],
            )
            .await;
        }
    }
    key
}

/// One TagResources with 50 ids and 20 tags of 128 letters.
async fn worst_call(world: &World, key: Key) -> Duration {
    let mut parameters = vec![
        ("RegionId".to_owned(), "cn-hangzhou".to_owned()),
        ("ResourceType".to_owned(), "VPC".to_owned()),
    ];
    for id in 1..=50 {
        parameters.push((format!("ResourceId.{id}"), format!("vpc-{id}")));
    }
    for tag in 1..=20_u32 {
        // Spellings of one key.
        let spell = |place: usize, c: char| if tag >> place & 1 == 1 { c.to_ascii_uppercase() } else { c };
        let name: String = "abcde".chars().enumerate().map(|(place, c)| spell(place, c)).collect();
        parameters.push((format!("Tag.{tag}.Key"), name));
        parameters.push((format!("Tag.{tag}.Value"), "a".repeat(128)));
    }
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let begun = Instant::now();
    let reply = world.server.call_as(key, VPC, "TagResources", &parameters).await;
    assert!((400..500).contains(&reply.status), "{} {}", reply.status, reply.text());
    begun.elapsed()
}

/// The worst policies of B at all limits at once, asked four times at once.
pub async fn rights_decision() {
    let world = World::start(&[], "").await;
    let key = worst_user(&world).await;
    let attack = async {
        for _ in 0..5 {
            let calls = (0..4).map(|_| worst_call(&world, key.clone()));
            for took in futures_util::future::join_all(calls).await {
                assert!(took < SOON, "{took:?}");
            }
        }
    };
    world.hold(attack).await;
}

/// The same, and meanwhile probes are answered and the service stops when it is told to.
pub async fn worker_threads() {
    let mut world = World::start(&[], "").await;
    let key = worst_user(&world).await;
    let probes = async {
        for _ in 0..10 {
            let begun = Instant::now();
            let (status, _) = world.server.look("/healthz").await;
            assert_eq!(status, 200);
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        }
    };
    let calls = async {
        for _ in 0..5 {
            futures_util::future::join_all((0..8).map(|_| worst_call(&world, key.clone()))).await;
        }
    };
    world.hold(futures_util::future::join(probes, calls)).await;
    world.server.signal("TERM");
    let begun = Instant::now();
    assert!(world.server.ended().await.success());
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}

/// B makes and uses more sessions than the cache keeps, for an account and at all: each holds five policies that are as
/// large as policies may be, some 500 KiB by the cache's reckoning.
pub async fn authority_cache() {
    let world = World::start(&[], "").await;
    let server = &world.server;
    let trust = "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\
         \"Principal\":{\"RAM\":[\"acs:ram::1999999999999999:root\"]}}]}";
    let made = server
        .call_as(tenant_b(), RAM, "CreateRole", &[("RoleName", "r"), ("AssumeRolePolicyDocument", trust)])
        .await;
    assert_eq!(made.status, 200, "{}", made.text());
    let statements: Vec<String> = (0..80)
        .map(|n| {
            format!("{{\"Effect\":\"Allow\",\"Action\":\"ecs:A{n:02}\",\"Resource\":\"acs:ecs:*:*:i/{n}\"}}")
        })
        .collect();
    let document = format!("{{\"Version\":\"1\",\"Statement\":[{}]}}", statements.join(","));
    for number in 0..5 {
        let name = format!("large-{number}");
        let policy = [("PolicyName", name.as_str()), ("PolicyDocument", document.as_str())];
        let made = server.call_as(tenant_b(), RAM, "CreatePolicy", &policy).await;
        assert_eq!(made.status, 200, "{}", made.text());
        let attach = [("PolicyName", name.as_str()), ("PolicyType", "Custom"), ("RoleName", "r")];
        let attached = server.call_as(tenant_b(), RAM, "AttachPolicyToRole", &attach).await;
        assert_eq!(attached.status, 200, "{}", attached.text());
    }
    // The account itself may not assume roles; a user may.
    let made = server.call_as(tenant_b(), RAM, "CreateUser", &[("UserName", "s")]).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let made = server.call_as(tenant_b(), RAM, "CreateAccessKey", &[("UserName", "s")]).await.json();
    let part = |name: &str| made["AccessKey"][name].as_str().unwrap().to_owned();
    let user = Key::of(&part("AccessKeyId"), &part("AccessKeySecret"));
    let attached = server
        .call_as(
            tenant_b(),
            RAM,
            "AttachPolicyToUser",
            &[("PolicyName", "AdministratorAccess"), ("PolicyType", "System"), ("UserName", "s")],
        )
        .await;
    assert_eq!(attached.status, 200, "{}", attached.text());
    let role = "acs:ram::1999999999999999:role/r";
    let attack = async {
        for number in 0..300 {
            let name = format!("s{number}");
            let parameters = [("RoleArn", role), ("RoleSessionName", name.as_str())];
            let reply = server.call_as(user.clone(), crate::common::STS, "AssumeRole", &parameters).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let answer = reply.json();
            let part = |name: &str| answer["Credentials"][name].as_str().unwrap().to_owned();
            let session = Key {
                id: part("AccessKeyId"),
                secret: part("AccessKeySecret"),
                token: Some(part("SecurityToken")),
            };
            let reply = server.call_as(session, crate::common::STS, "GetCallerIdentity", &[]).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    };
    world.hold(attack).await;
}
