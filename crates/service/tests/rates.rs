//! Rates by account, by principal in it and by source; the places for ClientTokens and for long work.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Caller, KMS, RawCall, Rig, VPC, refused as is};
use serde_json::json;
use tongguan_model::limits::Quotas;
use tongguan_service::access::Peer;
use tongguan_service::catalogue;
use tongguan_service::throttle::FAILURES_BURST;
use tongguan_service::work::Work;

const REGION: (&str, &str) = ("RegionId", common::REGION);

async fn list(rig: &Rig, caller: &Caller) -> String {
    rig.by(caller, VPC, "DescribeVpcs", &[REGION]).await.code().to_owned()
}

/// A key without rights floods: the account's own key and its other users are served.
#[tokio::test(flavor = "multi_thread")]
async fn a_powerless_user_starves_nobody() {
    let rig = Rig::new("0");
    let weak = rig.user("weak", &json!([])).await;
    let allow = json!([{"Effect": "Allow", "Action": "vpc:Describe*", "Resource": "*"}]);
    let other = rig.user("other", &allow).await;
    let rig = rig.rated(50, 50);
    for second in 0..3 {
        let mut forbidden = 0;
        for _ in 0..500 {
            match list(&rig, &weak).await.as_str() {
                "Forbidden" => forbidden += 1,
                code => assert_eq!(code, "Throttling.User"),
            }
        }
        assert!((1..=8).contains(&forbidden), "{forbidden} in second {second}");
        for _ in 0..20 {
            assert_eq!(list(&rig, &other).await, "OK");
            rig.call("DescribeRegions", &[]).await.ok();
        }
        rig.advance(1_000);
    }
    // A user that may do what it does leaves the root key its reserve, and so it can be stopped.
    while list(&rig, &other).await == "OK" {}
    let stop = [("UserName", "other"), ("UserAccessKeyId", other.id.as_str()), ("Status", "Inactive")];
    rig.ram("UpdateAccessKey", &stop).await;
    assert_eq!(list(&rig, &other).await, "InvalidAccessKeyId.Inactive");
}

/// A key counts as a hundred reads, and a long request as more than a short one.
#[tokio::test(flavor = "multi_thread")]
async fn calls_count_what_they_cost() {
    let rig = Rig::new("0").rated(100, 500);
    let key = [("KeySpec", "EC_P256"), ("Subject", "CN=a,OU=b,O=c,C=CN")];
    for _ in 0..4 {
        rig.kms("CreateCertificate", &key).await.ok();
    }
    let mut reads = 0;
    while rig.call("DescribeRegions", &[]).await.code() == "OK" {
        reads += 1;
    }
    assert_eq!(reads, 96);
    rig.advance(1_000);
    let long = "x".repeat(100_000);
    rig.call("DescribeVpcs", &[REGION, ("VpcName", &long)]).await;
    let mut reads = 0;
    while rig.call("DescribeRegions", &[]).await.code() == "OK" {
        reads += 1;
    }
    assert_eq!(reads, 93);
}

/// A long request is not even verified for an account that is over its rate anyway.
#[tokio::test(flavor = "multi_thread")]
async fn long_requests_of_who_is_over_his_rate_are_not_verified() {
    let rig = Rig::new("0").rated(10, 10);
    let long = "x".repeat(20_000);
    let name = [REGION, ("VpcName", long.as_str())];
    let nonce = rig.next_nonce();
    let wrong = RawCall { secret: Some("guessed"), nonce: &nonce, ..RawCall::new("DescribeVpcs", &name) };
    assert_eq!(rig.send(&wrong).await.code(), "SignatureDoesNotMatch");
    while rig.call("DescribeRegions", &[]).await.code() == "OK" {}
    assert_eq!(rig.send(&wrong).await.code(), "Throttling.User");
    // A short one is, and nothing that is refused so counts against the account.
    let short = RawCall { secret: Some("guessed"), nonce: &nonce, ..RawCall::new("DescribeRegions", &[]) };
    assert_eq!(rig.send(&short).await.code(), "SignatureDoesNotMatch");
    rig.advance(1_000);
    for _ in 0..10 {
        rig.call("DescribeRegions", &[]).await.ok();
    }
}

/// Wrong signatures with a known key id: their source is answered in short, and the owner of the key is served, also
/// from that very source. Long ones are not even verified there.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_signatures_count_against_their_source() {
    let rig = Rig::new("0").rated(10_000, 10_000);
    let timestamp = tongguan_service::context::iso8601(common::START_MS).replace(':', "%3A");
    let forged = |number: u32, more: &str| {
        format!(
            "AccessKeyId=root&Action=DescribeRegions&Format=JSON&SignatureMethod=HMAC-SHA1&SignatureNonce=f{number}&\
             SignatureVersion=1.0&Timestamp={timestamp}&Version={VPC}&Signature=AAAAAAAAAAAAAAAAAAAAAAAAAAA%3D{more}"
        )
    };
    let (here, there): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "203.0.113.7".parse().unwrap());
    for number in 0..FAILURES_BURST {
        let reply = rig.bytes_from(&forged(number, ""), here).await;
        assert_eq!(reply.code(), "SignatureDoesNotMatch");
    }
    is(&rig.bytes_from(&forged(0, ""), here).await, 400, "Throttling");
    assert_eq!(rig.bytes_from(&forged(0, ""), there).await.code(), "SignatureDoesNotMatch");
    // The owner, from the same source.
    for _ in 0..20 {
        rig.call("DescribeRegions", &[]).await.ok();
    }
    // A long request with this key from this source waits until the source has rested.
    let long = "x".repeat(20_000);
    let name = [REGION, ("VpcName", long.as_str())];
    is(&rig.call("DescribeVpcs", &name).await, 400, "Throttling");
    assert_ne!(rig.call_as("stranger", "DescribeVpcs", &name).await.code(), "Throttling");
    // Who names no key, or one that nobody has, is one source's doing as well.
    is(&rig.bytes_from("Action=DescribeRegions", here).await, 400, "Throttling");
    assert_eq!(rig.bytes_from("Action=DescribeRegions", there).await.code(), "MissingAccessKeyId");
    // Want of room, and faults of ours, are no act of the source, and are told as what they are.
    let from_here = Peer { address: here, secure: false };
    let room = rig.service.refuse("", from_here, &catalogue::UNAVAILABLE).await;
    assert_eq!((room.status, room.code.as_deref()), (503, Some("ServiceUnavailable")));
    let failures = rig.service.failures();
    assert_eq!((failures.counted(), failures.cut_short()), (u64::from(FAILURES_BURST) + 5, 3));
    rig.advance(60_000);
    rig.call("DescribeRegions", &[]).await.ok();
    rig.service.forget_rested();
    assert_eq!(failures.remembered(), 0);
}

/// A user leaves ClientTokens to the other users of its account, and to the account itself.
#[tokio::test(flavor = "multi_thread")]
async fn client_tokens_have_shares_by_principal() {
    let quotas = Quotas { client_tokens_per_account: 40, vpcs_per_region: 1_000, ..Quotas::default() };
    let rig = Rig::with_quotas("0", quotas.clone());
    let allow = json!([{"Effect": "Allow", "Action": "vpc:*", "Resource": "*"}]);
    let (one, other) = (rig.user("one", &allow).await, rig.user("other", &allow).await);
    let make = async |rig: &Rig, caller: &Caller, token: &str| {
        rig.by(caller, VPC, "CreateVpc", &[REGION, ("ClientToken", token)]).await.code().to_owned()
    };
    let mut made = 0;
    while make(&rig, &one, &format!("one-{made}")).await == "OK" {
        made += 1;
    }
    assert_eq!(made, 28);
    assert_eq!(make(&rig, &one, "one more").await, "Throttling.User");
    assert_eq!(make(&rig, &one, "one-0").await, "OK", "a repeat gets its answer");
    assert_eq!(make(&rig, &other, "other").await, "OK");
    let root = Caller::named("root");
    for number in 0..5 {
        assert_eq!(make(&rig, &root, &format!("root-{number}")).await, "OK");
    }
    let findings = wrong_tallies(&rig);
    assert!(findings.is_empty(), "{findings:?}");
    // What is a day old is remembered no more, and its places are free.
    rig.advance(25 * 3_600_000);
    let before_ms = tongguan_service::context::Clock::now_ms(&*rig.clock) - 24 * 3_600_000;
    let expired =
        rig.store().write(move |tx| Ok(tongguan_store::Verdict::Keep(tx.expire_tokens(before_ms, 1_000)?)));
    assert_eq!(expired.await.unwrap(), 34);
    assert_eq!(make(&rig, &one, "fresh").await, "OK");
    let findings = wrong_tallies(&rig);
    assert!(findings.is_empty(), "{findings:?}");
}

/// Tallies that disagree with what they count.
fn wrong_tallies(rig: &Rig) -> Vec<String> {
    let connection = rusqlite::Connection::open(rig.directory().join(tongguan_store::DATABASE_FILE)).unwrap();
    let question = "SELECT kind || ' ' || region FROM (SELECT kind, account, region, value FROM tally \
                    WHERE kind = 'client_token_by' UNION ALL SELECT 'client_token_by', account, principal, \
                    -count(*) FROM client_token GROUP BY account, principal) GROUP BY kind, account, region \
                    HAVING sum(value) <> 0";
    let mut statement = connection.prepare(question).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Far more RSA keys are asked for at once than there may be certificates, and than there are threads: one account's
/// queue is bounded, the quota holds, and another account's call is not kept waiting for them.
#[tokio::test(flavor = "multi_thread")]
async fn long_work_of_one_account_holds_nobody_up() {
    let quotas = Quotas { certificates_per_account: 2, ..Quotas::default() };
    let rig = Arc::new(Rig::with_quotas("0", quotas).working(Work::new(1)));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..128 {
        let rig = Arc::clone(&rig);
        calls.spawn(async move {
            let key = [("KeySpec", "RSA_2048"), ("Subject", "CN=a,OU=b,O=c,C=CN")];
            rig.kms("CreateCertificate", &key).await.code().to_owned()
        });
    }
    let other = [("KeySpec", "EC_P256"), ("Subject", "CN=a,OU=b,O=c,C=CN")];
    let nonce = rig.next_nonce();
    let raw =
        RawCall { key: "stranger", version: KMS, nonce: &nonce, ..RawCall::new("CreateCertificate", &other) };
    rig.send(&raw).await.ok();
    let codes = calls.join_all().await;
    let count = |code: &str| codes.iter().filter(|found| *found == code).count();
    assert_eq!(count("OK"), 2);
    assert_eq!(count("OK") + count("Rejected.LimitExceeded") + count("Throttling.User"), 128, "{codes:?}");
    let begun = Instant::now();
    while rig.service.work().waiting() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
