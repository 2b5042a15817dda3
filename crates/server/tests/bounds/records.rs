//! The audit record: nobody's act removes another's.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::common::{ACCOUNT, OTHER_ACCOUNT, VPC};
use crate::world::{World, powerless, tenant_b};

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

/// A figure of the metrics.
async fn metric(world: &World, name: &str) -> u64 {
    let (_, shown) = world.server.look("/metrics").await;
    let line = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not shown")).parse().unwrap()
}

/// More requests of a stranger than their part of the record, or anybody's, may hold, each recorded by itself.
pub async fn strangers() {
    let quotas = [
        "audit_records=2000",
        "audit_changes=2000",
        "audit_strangers=50",
        "audit_strangers_per_minute=1000000",
    ];
    let arguments: Vec<_> = quotas.iter().flat_map(|quota| ["--quota", quota]).collect();
    let world = World::start(&arguments, "").await;
    world.hold(strangers_requests(&world, 20_000)).await;
    world.recorded();
    assert!(metric(&world, "tongguan_audit_removed_total{class=\"stranger\"}").await > 10_000);
    assert_eq!(metric(&world, "tongguan_audit_removed_total{class=\"call\"}").await, 0);
    assert_eq!(metric(&world, "tongguan_audit_removed_total{class=\"change\"}").await, 0);
    let (code, text) = world.check();
    assert_eq!(code, 0, "{text}");
}

/// More reads of another tenant than the record of an account may hold, and refusals of a powerless user.
pub async fn accounts() {
    let world = World::start(&["--quota", "audit_records=1500", "--quota", "audit_changes=1000"], "").await;
    let flood = || async {
        for round in 0..600 {
            let key = if round % 20 == 0 { powerless() } else { tenant_b() };
            let reply = world.server.call_as(key, VPC, "DescribeRegions", &[]).await;
            assert!(matches!(reply.status, 200 | 400 | 403), "{}", reply.text());
        }
    };
    world.hold(async { tokio::join!(flood(), flood(), flood(), flood(), flood(), flood()) }).await;
    let of_b = world.audit(&["--account", OTHER_ACCOUNT]);
    assert!(!of_b.is_empty());
    // The powerless user's refusals are its account's, and have not removed what the account changed.
    let changes = world.audit(&["--account", ACCOUNT, "--action", "CreateVpc", "--outcome", "granted"]);
    assert_eq!(changes.len(), 1);
    assert!(
        metric(&world, "tongguan_audit_removed_young_total{class=\"call\"}").await > 0,
        "B has lost its own"
    );
    let (code, text) = world.check();
    assert_eq!(code, 0, "{text}");
}

/// Bytes of what waits to be moved into the database.
fn journal_bytes(world: &World) -> u64 {
    let directory = world.server.data_dir().join("audit");
    // A file may go at any time.
    let sizes = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata());
    sizes.map(|metadata| metadata.map_or(0, |metadata| metadata.len())).sum()
}

/// What waits to be moved into the database is bounded, and nothing of it is for a stranger's requests.
pub async fn journal() {
    let world = World::start(&[], "").await;
    world.hold(strangers_requests(&world, 10_000)).await;
    let of_strangers = journal_bytes(&world);
    println!("  journal: {of_strangers} bytes");
    // Folded by source: nothing like a line for each.
    assert!(of_strangers < 10_000 * 100, "{of_strangers}");
    let attack = async {
        let long = "x".repeat(128);
        for _ in 0..500 {
            let parameters = [("RegionId", "cn-hangzhou"), ("VpcId", long.as_str())];
            world.server.call_as(tenant_b(), VPC, "DescribeVpcs", &parameters).await;
            assert!(journal_bytes(&world) < 16 * 1024 * 1024);
        }
    };
    world.hold(attack).await;
}

/// A flood of refusals becomes a record for source and code, and none of it is lost.
pub async fn folding() {
    let world = World::start(&["--quota", "audit_strangers_per_minute=20"], "").await;
    world.hold(strangers_requests(&world, 20_000)).await;
    let folded = metric(&world, "tongguan_audit_folded_total").await;
    // The minute may have ended once or twice meanwhile.
    assert!((20_000 - 200..20_000).contains(&folded), "{folded}");
    let recorded = world.audit(&["--source", "127.0.0.1", "--action", "x"]).len();
    assert!(recorded <= 210, "{recorded}");
    let (code, text) = world.check();
    assert_eq!(code, 0, "{text}");
}
