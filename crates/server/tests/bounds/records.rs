//! The audit record: nobody's act removes another's.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::common::VPC;
use crate::world::{ACCOUNT, OTHER_ACCOUNT, World, powerless, tenant_b};

/// Requests of a stranger, pipelined over one connection; answers are read and thrown away.
async fn strangers_requests(world: &World, count: usize) {
    const BATCH: usize = 200;
    let one = b"GET /?Action=x HTTP/1.1\r\nhost: a\r\n\r\n";
    let batch = one.repeat(BATCH);
    let stream = world.server.connect().await;
    let (mut read, mut write) = stream.into_split();
    let reader = tokio::spawn(async move {
        let (mut answers, mut buffer, mut seen) = (0, vec![0; 64 * 1024], Vec::new());
        while answers < count {
            let length = read.read(&mut buffer).await.unwrap_or(0);
            if length == 0 {
                break;
            }
            seen.extend_from_slice(&buffer[..length]);
            let lines = seen.windows(9).filter(|window| *window == b"HTTP/1.1 ").count();
            answers += lines;
            let keep = seen.len().min(8);
            seen.drain(..seen.len() - keep);
        }
        answers
    });
    for _ in 0..count.div_ceil(BATCH) {
        if write.write_all(&batch).await.is_err() {
            break;
        }
    }
    reader.await.unwrap();
}

/// More requests of a stranger than the whole record may hold.
pub async fn strangers() {
    let world = World::start(&["--quota", "audit_records=2000"], "").await;
    world.hold(strangers_requests(&world, 20_000)).await;
    world.recorded();
    let (code, text) = world.check();
    assert_eq!(code, 0, "{text}");
}

/// More reads of another tenant, and refusals of a powerless user, than the record of an account may hold.
pub async fn accounts() {
    let world = World::start(&["--quota", "audit_records=300"], "").await;
    let attack = async {
        for round in 0..600 {
            let key = if round % 2 == 0 { tenant_b() } else { powerless() };
            let reply = world.server.call_as(key, VPC, "DescribeRegions", &[]).await;
            assert!(matches!(reply.status, 200 | 400 | 403), "{}", reply.text());
        }
    };
    world.hold(attack).await;
    let of_b = world.audit(&["--account", OTHER_ACCOUNT]);
    assert!(!of_b.is_empty());
    // The powerless user's refusals are its account's, and have not removed what the account changed.
    let changes = world.audit(&["--account", ACCOUNT, "--action", "CreateVpc"]);
    assert_eq!(changes.len(), 1);
    let (code, text) = world.check();
    assert_eq!(code, 0, "{text}");
}

/// What waits to be moved into the database is no longer for a stranger's requests.
pub async fn journal() {
    let world = World::start(&[], "").await;
    world.hold(strangers_requests(&world, 10_000)).await;
    let directory = world.server.data_dir().join("audit");
    let bytes: u64 = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().map_or(0, |metadata| metadata.len()))
        .sum();
    println!("  journal: {bytes} bytes");
    // Folded by source: nothing like a line for each.
    assert!(bytes < 10_000 * 100, "{bytes}");
}
