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
        let mut times = [Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)];
        for round in 0..ROUNDS {
            for turn in 0..2 {
                let which = (turn + round) % 2;
                let id = [id.as_str(), other.as_str()][which];
                let parameters = [("RegionId", "cn-hangzhou"), (parameter, id)];
                let begun = Instant::now();
                let reply = rig.by(&stranger, version, action, &parameters).await;
                times[which].push(begun.elapsed().as_nanos());
                assert_eq!(reply.status, 404, "{}", reply.body);
            }
        }
        let [foreign, unknown] = times.map(|mut times| {
            times.sort_unstable();
            times[ROUNDS / 2] as f64
        });
        println!("{action}: foreign {:.1} us, unknown {:.1} us", foreign / 1e3, unknown / 1e3);
        let ratio = f64::max(foreign, unknown) / f64::min(foreign, unknown);
        assert!(ratio < APART, "{action}: {foreign} ns and {unknown} ns");
    }
}
