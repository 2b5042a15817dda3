//! A foreign id takes the time of an unknown one, as far as that can be measured: nobody finds out by asking what
//! another account has.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may stop where something is wrong")]

mod common;

use std::time::Instant;

use common::{Caller, KMS, Rig, VPC};

/// Rounds, in each of which both ids have their turn: what else the machine does meets both alike.
const ROUNDS: usize = 1_001;
/// How far the medians may be apart. What this finds is a path that only one of them takes.
const APART: f64 = 1.25;
/// Tries before it counts: such a path shows in each of them, a machine that is busy elsewhere does not.
const TRIES: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_id_takes_the_time_of_an_unknown_one() {
    let rig = Rig::new("0");
    let vpc = rig.call("CreateVpc", &[("RegionId", "cn-hangzhou")]).await.ok();
    rig.settle().await;
    let vpc = vpc["VpcId"].as_str().unwrap().to_owned();
    let gateway = rig.gateway_in(&vpc, "NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    let unknown = |id: &str| format!("{}{}", &id[..7], "z".repeat(id.len() - 7));
    let stranger = Caller::stranger();
    for (version, action, parameter, id, other) in [
        (VPC, "DescribeVpnGateway", "VpnGatewayId", &gateway, unknown(&gateway)),
        (VPC, "DeleteVpnGateway", "VpnGatewayId", &gateway, unknown(&gateway)),
        (VPC, "DescribeVpcAttribute", "VpcId", &vpc, unknown(&vpc)),
        (
            KMS,
            "GetCertificate",
            "CertificateId",
            &certificate,
            "ffffffff-ffff-4fff-bfff-ffffffffffff".to_owned(),
        ),
    ] {
        let ids = [id.as_str(), other.as_str()];
        let mut ratios = Vec::new();
        while ratios.last().is_none_or(|ratio| *ratio >= APART) {
            assert!(ratios.len() < TRIES, "{action}: {ratios:?}");
            ratios.push(apart(&rig, &stranger, (version, action, parameter), ids).await);
        }
    }
}

/// How far the medians of both ids are apart: the greater one over the other.
async fn apart(
    rig: &Rig,
    stranger: &Caller,
    (version, action, parameter): (&str, &str, &str),
    ids: [&str; 2],
) -> f64 {
    let mut times = [Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)];
    for round in 0..ROUNDS {
        for turn in 0..2 {
            let which = (turn + round) % 2;
            let parameters = [("RegionId", "cn-hangzhou"), (parameter, ids[which])];
            let begun = Instant::now();
            let reply = rig.by(stranger, version, action, &parameters).await;
            times[which].push(begun.elapsed().as_nanos());
            assert_eq!(reply.status, 404, "{}", reply.body);
        }
    }
    let [foreign, unknown] = times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2] as f64
    });
    println!("{action}: foreign {:.1} us, unknown {:.1} us", foreign / 1e3, unknown / 1e3);
    f64::max(foreign, unknown) / f64::min(foreign, unknown)
}
