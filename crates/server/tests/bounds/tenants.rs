//! What another tenant, or a powerless user of the same account, can fill by calls.

use crate::common::{KMS, STS, VPC};
use crate::world::{World, powerless, tenant_a, tenant_b};

/// B asks for far more keys than it may have, many at once: quota before work, a bounded pool for the rest.
pub(crate) async fn long_work() {
    let world = World::start(&["--quota", "certificates_per_account=2"], "").await;
    let ask = || async {
        let parameters = [
            ("KeySpec", "RSA_2048"),
            ("Subject", "CN=gw,O=o,OU=u,L=l,ST=s,C=CN"),
            ("ExportablePrivateKey", "false"),
        ];
        let reply = world.server.call_as(tenant_b(), KMS, "CreateCertificate", &parameters).await;
        assert!(matches!(reply.status, 200 | 400 | 403 | 409 | 503), "{} {}", reply.status, reply.text());
        reply.status
    };
    let attack = async {
        let mut all = Vec::new();
        for _ in 0..4 {
            all.extend(futures_util::future::join_all((0..64).map(|_| ask())).await);
        }
        all
    };
    let all = world.hold(attack).await;
    assert_eq!(all.iter().filter(|status| **status == 200).count(), 2);
}

/// A powerless user of A floods: A's own key is still served.
pub(crate) async fn request_rate() {
    let world = World::start(&["--rate-limit", "200", "--rate-burst", "200"], "").await;
    let attack = async {
        let flood = (0..4).map(|_| async {
            for _ in 0..400 {
                let reply = world.server.call_as(powerless(), VPC, "DescribeVpcs", &[]).await;
                assert!(matches!(reply.status, 400 | 403), "{}", reply.text());
            }
        });
        futures_util::future::join_all(flood).await;
    };
    let owner = async {
        for _ in 0..60 {
            let reply = world.server.call_as(tenant_a(), STS, "GetCallerIdentity", &[]).await;
            assert_eq!(reply.status, 200, "a user starves its account: {}", reply.text());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    futures_util::future::join(attack, owner).await;
    assert!(world.server.metric("tongguan_throttled_total").await > 0.0, "the bound was not reached");
    // B, which has its own rate, has noticed nothing of it.
    let reply = world.server.call_as(tenant_b(), STS, "GetCallerIdentity", &[]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// B uses more ClientTokens than are remembered for an account.
pub(crate) async fn client_tokens() {
    let world =
        World::start(&["--quota", "client_tokens_per_account=20", "--quota", "vpcs_per_region=1000"], "")
            .await;
    let attack = async {
        let mut refused = 0;
        for number in 0..60 {
            let token = format!("token-{number}");
            let parameters = [("RegionId", "cn-hangzhou"), ("ClientToken", token.as_str())];
            let reply = world.server.call_as(tenant_b(), VPC, "CreateVpc", &parameters).await;
            if reply.status != 200 {
                assert_eq!(reply.code(), "Throttling.User", "{}", reply.text());
                refused += 1;
            }
        }
        refused
    };
    assert!(world.hold(attack).await > 0, "the bound was not reached");
    let parameters = [("RegionId", "cn-hangzhou"), ("ClientToken", "mine")];
    let reply = world.server.call_as(tenant_a(), VPC, "CreateVpc", &parameters).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// B has hundreds of changes waiting at once.
pub(crate) async fn writer_queue() {
    let world = World::start(&["--quota", "vpcs_per_region=100000"], "").await;
    let attack = async {
        for _ in 0..5 {
            let calls = (0..200).map(|_| async {
                let reply =
                    world.server.call_as(tenant_b(), VPC, "CreateVpc", &[("RegionId", "cn-hangzhou")]).await;
                assert!(matches!(reply.status, 200 | 400 | 503), "{}", reply.text());
            });
            futures_util::future::join_all(calls).await;
        }
    };
    world.hold(attack).await;
}

/// B makes networks until its quota says no; A's quota is its own.
pub(crate) async fn resources() {
    let world = World::start(&[], "").await;
    let attack = async {
        let mut refused = 0;
        for _ in 0..30 {
            let reply =
                world.server.call_as(tenant_b(), VPC, "CreateVpc", &[("RegionId", "cn-hangzhou")]).await;
            refused += u32::from(reply.status != 200);
        }
        refused
    };
    assert!(world.hold(attack).await > 0, "the bound was not reached");
    let reply = world.server.call_as(tenant_a(), VPC, "CreateVpc", &[("RegionId", "cn-hangzhou")]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// B has as many gateways being made as it may; A's gateway is made meanwhile.
pub(crate) async fn engine() {
    let world = World::start(&[], "").await;
    let make = async |key: crate::common::Key| {
        let server = &world.server;
        let network = server.call_as(key.clone(), VPC, "CreateVpc", &[("RegionId", "cn-hangzhou")]).await;
        let network = network.json()["VpcId"].as_str().unwrap().to_owned();
        ready(&world, &key, &network).await;
        let parameters = [
            ("RegionId", "cn-hangzhou"),
            ("VpcId", network.as_str()),
            ("ZoneId", "cn-hangzhou-h"),
            ("CidrBlock", "172.16.0.0/24"),
        ];
        let switch = server.call_as(key.clone(), VPC, "CreateVSwitch", &parameters).await;
        assert_eq!(switch.status, 200, "{}", switch.text());
        (network, switch.json()["VSwitchId"].as_str().unwrap().to_owned())
    };
    let gateway = async |key: crate::common::Key, network: &str, switch: &str| {
        let parameters = [
            ("RegionId", "cn-hangzhou"),
            ("VpcId", network),
            ("VSwitchId", switch),
            ("Bandwidth", "5"),
            ("InstanceChargeType", "POSTPAY"),
            ("EnableIpsec", "true"),
            ("VpnType", "NationalStandard"),
        ];
        world.server.call_as(key, VPC, "CreateVpnGateway", &parameters).await
    };
    let (network_b, switch_b) = make(tenant_b()).await;
    let (network_a, switch_a) = make(tenant_a()).await;
    let attack = async {
        for _ in 0..40 {
            let reply = gateway(tenant_b(), &network_b, &switch_b).await;
            assert!(matches!(reply.status, 200 | 400), "{}", reply.text());
        }
    };
    world.hold(attack).await;
    let reply = gateway(tenant_a(), &network_a, &switch_a).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let id = reply.json()["VpnGatewayId"].as_str().unwrap().to_owned();
    let begun = std::time::Instant::now();
    loop {
        let parameters = [("RegionId", "cn-hangzhou"), ("VpnGatewayId", id.as_str())];
        let seen = world.server.call_as(tenant_a(), VPC, "DescribeVpnGateway", &parameters).await;
        if seen.json()["Status"] == "active" {
            return;
        }
        assert!(begun.elapsed() < crate::common::PATIENCE, "{}", seen.text());
    }
}

/// Waits until a VPC is there.
async fn ready(world: &World, key: &crate::common::Key, network: &str) {
    let begun = std::time::Instant::now();
    loop {
        let parameters = [("RegionId", "cn-hangzhou"), ("VpcId", network)];
        let seen = world.server.call_as(key.clone(), VPC, "DescribeVpcAttribute", &parameters).await;
        if seen.json()["Status"] == "Available" {
            return;
        }
        assert!(begun.elapsed() < crate::common::PATIENCE, "{}", seen.text());
    }
}
