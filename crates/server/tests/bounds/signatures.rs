//! What requests can fill before anybody knows what they ask for.

use crate::common::{Key, OTHER_KEY, VPC};
use crate::world::{World, tenant_a, tenant_b};

/// B signs far more requests than there are places for nonces, on many connections.
pub(crate) async fn nonces() {
    let world = World::start(&["--quota", "nonces=8000"], "").await;
    let one = || async {
        let mut refused = 0;
        for _ in 0..200 {
            let reply = world.server.call_as(tenant_b(), VPC, "DescribeRegions", &[]).await;
            match reply.status {
                200 => {}
                400 => {
                    assert_eq!(reply.code(), "Throttling.User");
                    refused += 1;
                }
                _ => panic!("{}", reply.text()),
            }
        }
        refused
    };
    let attack = async { futures_util::future::join_all((0..32).map(|_| one())).await };
    let refused: u32 = world.hold(attack).await.iter().sum();
    assert!(refused > 0, "the bound was not reached");
    let (status, text) = world.server.look("/readyz").await;
    assert_eq!(status, 200, "one tenant makes the node unready: {text}");
}

/// Throttled requests are not written to the log of nonces.
pub(crate) async fn nonce_log() {
    let world = World::start(&["--rate-limit", "50", "--rate-burst", "100"], "").await;
    let bytes = || -> u64 {
        let entries = std::fs::read_dir(world.server.data_dir().join("nonces")).unwrap();
        entries.map(|entry| entry.unwrap().metadata().map_or(0, |metadata| metadata.len())).sum()
    };
    let before = bytes();
    let attack = async {
        let mut served = 0_u64;
        for _ in 0..2_000 {
            let reply = world.server.call_as(tenant_b(), VPC, "DescribeRegions", &[]).await;
            served += u64::from(reply.status == 200);
        }
        served
    };
    // A keeps well below its own rate.
    let served = attack.await;
    let grown = bytes() - before;
    println!("  {served} of 2000 served, {grown} bytes of nonces");
    assert!(served < 1_500, "nothing was throttled");
    // A record has 40 bytes.
    assert!(grown < (served + 50) * 40, "{grown} bytes for {served} requests");
    let reply = world.server.call_as(tenant_a(), VPC, "DescribeRegions", &[]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Wrong signatures with a known key id: the key's owner goes on, answers stay short.
pub(crate) async fn failed_signatures() {
    let world = World::start(&[], "").await;
    let wrong = Key::of(OTHER_KEY, "not the secret");
    let long = "\u{4e00}".repeat(100_000);
    let attack = async {
        for round in 0..300 {
            let value = if round % 50 == 0 { long.as_str() } else { "x" };
            let reply = world.server.call_as(wrong.clone(), VPC, "DescribeVpcs", &[("VpcName", value)]).await;
            assert!((400..500).contains(&reply.status), "{}", reply.status);
            assert!(reply.body.len() < 32 * 1024, "{} bytes", reply.body.len());
        }
        world.server.call_as(tenant_b(), VPC, "DescribeRegions", &[]).await
    };
    let owner = world.hold(attack).await;
    assert_eq!(owner.status, 200, "a stranger throttles the owner of a key: {}", owner.text());
}
