//! The memory of nonces has shares: who fills his own decides for nobody else.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use common::{Caller, RawCall, Rig, VPC, refused as is};
use serde_json::json;
use tongguan_model::limits::Quotas;
use tongguan_service::context::{Clock as _, iso8601};

fn rig(nonces: u64) -> Rig {
    Rig::with_quotas("0", Quotas { nonces, ..Quotas::default() })
}

/// `times` requests of another account, dated as far ahead as may be; how many were served.
async fn flood(rig: &Rig, times: usize) -> usize {
    let timestamp = Some(iso8601(rig.clock.now_ms() + 880_000));
    let mut served = 0;
    for _ in 0..times {
        let nonce = rig.next_nonce();
        let timestamp = timestamp.clone();
        let raw =
            RawCall { key: "stranger", nonce: &nonce, timestamp, ..RawCall::new("DescribeRegions", &[]) };
        match rig.send(&raw).await.code() {
            "OK" => served += 1,
            "Throttling.User" => {}
            other => panic!("{other}"),
        }
    }
    served
}

/// An account that is throttled all the while takes no places at all.
#[tokio::test(flavor = "multi_thread")]
async fn throttled_requests_take_no_place() {
    let rig = rig(20_000).rated(5, 10);
    assert_eq!(flood(&rig, 21_000).await, 10);
    assert_eq!(rig.service.admission().count(), 10);
    rig.service.admission().check().unwrap();
    for _ in 0..10 {
        rig.call("DescribeRegions", &[]).await.ok();
    }
}

/// An account without a rate fills its share; others go on, also after a restart, and the node stays ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_share_is_its_fillers_own() {
    let quotas = Quotas { nonces: 4_000, ..Quotas::default() };
    let rig = Rig::with_quotas("0", quotas.clone());
    let served = flood(&rig, 3_000).await;
    assert!((2_000..2_999).contains(&served), "{served}");
    for _ in 0..100 {
        rig.call("DescribeRegions", &[]).await.ok();
    }
    rig.service.admission().check().unwrap();
    // The answer names who is over his share, and why.
    let nonce = rig.next_nonce();
    let raw = RawCall { key: "stranger", nonce: &nonce, ..RawCall::new("DescribeRegions", &[]) };
    let refused = rig.send(&raw).await;
    is(&refused, 400, "Throttling.User");
    assert!(refused.body["Message"].as_str().unwrap().contains("nonces"), "{}", refused.body);
    let rig = rig.restart_with_quotas("0", quotas);
    for _ in 0..100 {
        rig.call("DescribeRegions", &[]).await.ok();
    }
    assert_eq!(flood(&rig, 1).await, 0);
    // It is over when they have expired.
    rig.advance(2 * 1_800_000);
    assert_eq!(flood(&rig, 100).await, 100);
}

/// A user without any right leaves places to the other users of its account, and to the account itself.
#[tokio::test(flavor = "multi_thread")]
async fn users_of_an_account_have_shares() {
    let rig = rig(2_000);
    let weak = rig.user("weak", &json!([])).await;
    let list = json!([{"Effect": "Allow", "Action": "vpc:Describe*", "Resource": "*"}]);
    let other = rig.user("other", &list).await;
    let of =
        async |caller: &Caller| rig.by(caller, VPC, "DescribeVpcs", &[("RegionId", common::REGION)]).await;
    let mut served = 0;
    loop {
        let reply = of(&weak).await;
        if reply.code() == "Throttling.User" {
            break;
        }
        is(&reply, 403, "Forbidden");
        served += 1;
    }
    assert!(served > 500, "{served}");
    for _ in 0..20 {
        of(&other).await.ok();
        rig.call("DescribeRegions", &[]).await.ok();
    }
}
