//! The life of bindings: what is accepted, what is refused, what stays when the service ends.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use common::{REGION, Rig, START_MS, triple};
use tongguan_model::certificate::Issued;
use tongguan_model::id::AccountId;
use tongguan_model::limits::Quotas;
use tongguan_pki::Usage;
use tongguan_store::Verdict;

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_is_listed_from_force_to_removal() {
    let rig = Rig::new("1s");
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    rig.bind(&gateway, &certificate, "Encryption").await.ok();
    assert_eq!(rig.status(&gateway).await, "updating");
    assert!(rig.listed(&gateway).await.is_empty());
    rig.settle().await;
    assert_eq!(rig.status(&gateway).await, "active");
    let bound = vec![(certificate.clone(), "Encryption".to_owned())];
    assert_eq!(rig.listed(&gateway).await, bound);
    assert_eq!(dataplane_certificates(&rig, &gateway), serde_json::json!({"Encryption": certificate}));
    rig.unbind(&gateway, &certificate, "Encryption").await.ok();
    assert_eq!(rig.status(&gateway).await, "updating");
    assert_eq!(rig.listed(&gateway).await, bound);
    assert_eq!(
        rig.kms("DeleteCertificate", &[("CertificateId", &certificate)]).await.code(),
        "Rejected.CertificateInUse"
    );
    rig.settle().await;
    assert!(rig.listed(&gateway).await.is_empty());
    assert_eq!(dataplane_certificates(&rig, &gateway), serde_json::json!({}));
    rig.kms("DeleteCertificate", &[("CertificateId", &certificate)]).await.ok();
}

/// A gateway could not use an encryption certificate to sign, nor the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_one_usage_is_bound_in_its_role_alone() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let signs = rig.certificate_for("EC_SM2", Usage::Signature).await;
    let encrypts = rig.certificate_for("EC_SM2", Usage::Encryption).await;
    for (certificate, role, needs) in
        [(&signs, "Encryption", "keyEncipherment"), (&encrypts, "Signature", "digitalSignature")]
    {
        let mut parameters = triple(&gateway, certificate, role).to_vec();
        for dry in ["true", "false"] {
            parameters.push(("DryRun", dry));
            let refused = rig.call("AssociateVpnGatewayWithCertificate", &parameters).await;
            parameters.pop();
            assert_eq!(refused.code(), "IllegalParam.CertificateId");
            let message = refused.body["Message"].as_str().unwrap().to_owned();
            assert!(message.contains("keyUsage") && message.contains(needs), "{message}");
            assert!(message.contains(certificate.as_str()), "{message}");
        }
        assert!(rig.listed(&gateway).await.is_empty());
    }
    // As if uploaded before it was noted what the keys may do.
    for id in [&signs, &encrypts] {
        let (account, id) = (AccountId::new(common::ACCOUNT), id.clone());
        rig.store()
            .write(move |tx| {
                let stored = tx.certificate(&account, &id)?.unwrap();
                let issued = Issued { purposes: None, ..stored.issued.unwrap() };
                tx.certificate_issued(&stored.id, &issued, START_MS)?;
                Ok(Verdict::Keep(()))
            })
            .await
            .unwrap();
    }
    assert_eq!(rig.bind(&gateway, &signs, "Encryption").await.code(), "IllegalParam.CertificateId");
    rig.bind(&gateway, &signs, "Signature").await.ok();
    rig.settle().await;
    rig.bind(&gateway, &encrypts, "Encryption").await.ok();
    rig.settle().await;
    assert_eq!(rig.listed(&gateway).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_change_nothing() {
    let rig = Rig::new("0");
    let (sm, normal) = (rig.gateway("NationalStandard").await, rig.gateway("Normal").await);
    let (one, two) = (rig.certificate("EC_SM2").await, rig.certificate("EC_SM2").await);
    let (pending, p256) = (rig.pending_certificate("EC_SM2").await, rig.certificate("EC_P256").await);
    rig.bind(&sm, &one, "Encryption").await.ok();
    rig.settle().await;
    for (gateway, certificate, role, code) in [
        (&sm, &one, "Signature", "OperationDenied.CertificateDuplicated"),
        (&sm, &two, "Encryption", "OperationDenied.CertificateTypeOccupied"),
        (&sm, &pending, "Signature", "IllegalParam.CertificateId"),
        (&sm, &p256, "Signature", "IllegalParam.CertificateId"),
        (&normal, &two, "Signature", "OperationUnsupported.Certificate"),
        (&sm, &"none".to_owned(), "Signature", "Certificate.NotFound"),
        (&sm, &two, "encryption", "IllegalParam.CertificateType"),
    ] {
        assert_eq!(rig.bind(gateway, certificate, role).await.code(), code);
        assert_eq!(rig.status(gateway).await, "active");
    }
    for (certificate, role) in [(&one, "Signature"), (&two, "Encryption"), (&two, "Signature")] {
        assert_eq!(rig.unbind(&sm, certificate, role).await.code(), "InvalidCertificateAssociation.NotFound");
    }
    rig.bind(&sm, &one, "Encryption").await.ok();
    assert_eq!(rig.status(&sm).await, "active", "binding the very same triple again starts no work");
    assert_eq!(rig.listed(&sm).await, vec![(one, "Encryption".to_owned())]);
    let due = rig.store().read(|snapshot| snapshot.intents_due(i64::MAX, 10)).unwrap();
    assert!(due.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_checks_everything_and_leaves_nothing() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    let account = AccountId::new(common::ACCOUNT);
    let role = "AliyunServiceRoleForVPNCertificate";
    let dry = |action: &'static str| {
        let [a, b, c, d] = triple(&gateway, &certificate, "Encryption");
        let parameters = [a, b, c, d, ("DryRun", "True"), ("ClientToken", "once")];
        let rig = &rig;
        async move { rig.call(action, &parameters).await }
    };
    assert_eq!(
        dry("DissociateVpnGatewayWithCertificate").await.code(),
        "InvalidCertificateAssociation.NotFound"
    );
    let answer = dry("AssociateVpnGatewayWithCertificate").await.ok();
    assert_eq!(answer.as_object().unwrap().len(), 1, "RequestId alone: {answer}");
    assert_eq!(rig.status(&gateway).await, "active");
    assert!(rig.store().read(|s| s.role(&account, role)).unwrap().is_none());

    let [a, b, c, d] = triple(&gateway, &certificate, "Encryption");
    rig.call("AssociateVpnGatewayWithCertificate", &[a, b, c, d, ("ClientToken", "once")]).await.ok();
    assert!(rig.store().read(|s| s.role(&account, role)).unwrap().is_some());
    assert_eq!(dry("DissociateVpnGatewayWithCertificate").await.code(), "VpnGateway.Configuring");
    rig.settle().await;
    dry("DissociateVpnGatewayWithCertificate").await.ok();
    assert_eq!(rig.listed(&gateway).await.len(), 1);

    let vpc = [("RegionId", REGION), ("DryRun", "true")];
    assert_eq!(rig.call("CreateVpc", &vpc).await.code(), "DryRunOperation");
    let wrong = [("RegionId", REGION), ("DryRun", "true"), ("CidrBlock", "1.2.3.4/33")];
    assert_eq!(rig.call("CreateVpc", &wrong).await.code(), "InvalidParameter");
    let vpcs = rig.call("DescribeVpcs", &[("RegionId", REGION)]).await.ok();
    assert_eq!(vpcs["TotalCount"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_gives_one_effect_and_one_result() {
    let rig = Rig::new("0");
    let vpc = [("RegionId", REGION), ("ClientToken", "t")];
    let first = rig.call("CreateVpc", &vpc).await.ok();
    let again = rig.call("CreateVpc", &vpc).await.ok();
    assert_eq!(first["VpcId"], again["VpcId"]);
    assert_ne!(first["RequestId"], again["RequestId"]);
    let other = [("RegionId", REGION), ("ClientToken", "t"), ("VpcName", "x")];
    assert_eq!(rig.call("CreateVpc", &other).await.code(), "IdempotentParameterMismatch");
    let rig = rig.restart("0");
    assert_eq!(rig.call("CreateVpc", &vpc).await.ok()["VpcId"], first["VpcId"]);
    assert_ne!(rig.call_as("stranger", "CreateVpc", &vpc).await.ok()["VpcId"], first["VpcId"]);
    rig.advance(24 * 3_600_000 + 1);
    assert_ne!(rig.call("CreateVpc", &vpc).await.ok()["VpcId"], first["VpcId"], "a token expires");

    // A refused call leaves its token free.
    rig.settle().await;
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    let [a, b, c, d] = triple(&gateway, &certificate, "Signature");
    let unbind = [a, b, c, d, ("ClientToken", "u")];
    let action = "DissociateVpnGatewayWithCertificate";
    assert_eq!(rig.call(action, &unbind).await.code(), "InvalidCertificateAssociation.NotFound");
    rig.bind(&gateway, &certificate, "Signature").await.ok();
    rig.settle().await;
    rig.call(action, &unbind).await.ok();
    rig.call(action, &unbind).await.ok();
    assert_eq!(rig.unbind(&gateway, &certificate, "Signature").await.code(), "VpnGateway.Configuring");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_of_an_account_are_bounded() {
    let rig = Rig::with_quotas("0", Quotas { client_tokens_per_account: 2, ..Quotas::default() });
    let vpc = |token: &'static str| [("RegionId", REGION), ("ClientToken", token)];
    let first = rig.call("CreateVpc", &vpc("a")).await.ok();
    rig.call("CreateVpc", &vpc("b")).await.ok();
    assert_eq!(rig.call("CreateVpc", &vpc("c")).await.code(), "Throttling.User");
    let vpcs = rig.call("DescribeVpcs", &[("RegionId", REGION)]).await.ok();
    assert_eq!(vpcs["TotalCount"], 2, "nothing changed");
    // A known token, no token and another account's tokens are not bounded by it.
    assert_eq!(rig.call("CreateVpc", &vpc("a")).await.ok()["VpcId"], first["VpcId"]);
    rig.call("CreateVpc", &[("RegionId", REGION)]).await.ok();
    rig.call_as("stranger", "CreateVpc", &vpc("c")).await.ok();
    // An old token is replaced, and the number stays; once it is removed, there is room for a new one.
    rig.advance(24 * 3_600_000 + 1);
    rig.call("CreateVpc", &vpc("a")).await.ok();
    assert_eq!(rig.call("CreateVpc", &vpc("c")).await.code(), "Throttling.User");
    let now_ms = START_MS + 24 * 3_600_000;
    let store = rig.service.context().store.clone();
    let expired = store.write(move |tx| Ok(Verdict::Keep(tx.expire_tokens(now_ms, 10)?))).await.unwrap();
    assert_eq!(expired, 2, "one of each account");
    rig.call("CreateVpc", &vpc("c")).await.ok();
    assert_eq!(rig.call("CreateVpc", &vpc("d")).await.code(), "Throttling.User");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_token_from_many_connections_at_once_has_one_effect() {
    let rig = std::sync::Arc::new(Rig::new("0"));
    let calls: Vec<_> = (0..32)
        .map(|_| {
            let rig = std::sync::Arc::clone(&rig);
            tokio::spawn(async move {
                rig.call("CreateVpc", &[("RegionId", REGION), ("ClientToken", "t")]).await.ok()
            })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for call in calls {
        ids.insert(call.await.unwrap()["VpcId"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1);
    let vpcs = rig.call("DescribeVpcs", &[("RegionId", REGION)]).await.ok();
    assert_eq!(vpcs["TotalCount"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_s_ids_look_unknown() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    let unknown = |action: &'static str, gateway: String| {
        let (rig, certificate) = (&rig, certificate.clone());
        async move {
            let [a, b, c, d] = triple(&gateway, &certificate, "Encryption");
            let parameters: &[_] = if action == "DescribeVpnGateway" { &[a, b] } else { &[a, b, c, d] };
            let reply = rig.call_as("stranger", action, parameters).await;
            (reply.status, reply.code().to_owned(), reply.body["Message"].clone())
        }
    };
    for action in
        ["AssociateVpnGatewayWithCertificate", "DissociateVpnGatewayWithCertificate", "DescribeVpnGateway"]
    {
        let foreign = unknown(action, gateway.clone()).await;
        assert_eq!(foreign, unknown(action, "vpn-bp1aaaaaaaaaaaaaaaaa".into()).await);
        assert_eq!((foreign.0, foreign.1.as_str()), (404, "InvalidVpnGatewayInstanceId.NotFound"));
    }
    let listed = rig.call_as("stranger", "DescribeVpnGateways", &[("RegionId", REGION)]).await.ok();
    assert_eq!(listed["TotalCount"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_in_the_middle_of_updating() {
    let rig = Rig::new("1s");
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    rig.bind(&gateway, &certificate, "Signature").await.ok();
    let rig = rig.restart("1s");
    assert_eq!(rig.status(&gateway).await, "updating");
    assert_eq!(rig.unbind(&gateway, &certificate, "Signature").await.code(), "VpnGateway.Configuring");
    rig.settle().await;
    assert_eq!(rig.status(&gateway).await, "active");
    assert_eq!(rig.listed(&gateway).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_are_counted_and_the_change_is_there_for_the_next_one() {
    let rig = Rig::new("polls:2");
    let vpc = rig.call("CreateVpc", &[("RegionId", REGION)]).await.ok()["VpcId"].as_str().unwrap().to_owned();
    let look = || async {
        let parameters = [("RegionId", REGION), ("VpcId", vpc.as_str())];
        rig.call("DescribeVpcAttribute", &parameters).await.ok()["Status"].as_str().unwrap().to_owned()
    };
    assert_eq!([look().await, look().await, look().await], ["Pending", "Pending", "Available"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_deleted_with_its_bindings_and_quotas_count_it_no_more() {
    let mut quotas = Quotas::default();
    quotas.set("vpn_gateways_per_account", 1).unwrap();
    let rig = Rig::with_quotas("0", quotas);
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    rig.bind(&gateway, &certificate, "Signature").await.ok();
    rig.settle().await;
    let vpcs = rig.call("DescribeVpcs", &[("RegionId", REGION)]).await.ok();
    let vpc = vpcs["Vpcs"]["Vpc"][0]["VpcId"].as_str().unwrap().to_owned();
    let order = [("RegionId", REGION), ("VpcId", vpc.as_str()), ("Bandwidth", "5")];
    assert_eq!(rig.call("CreateVpnGateway", &order).await.code(), "Resource.QuotaFull");
    let one = [("RegionId", REGION), ("VpnGatewayId", gateway.as_str())];
    rig.call("DeleteVpnGateway", &one).await.ok();
    assert_eq!(rig.status(&gateway).await, "deleting");
    assert_eq!(rig.call("DeleteVpc", &[("VpcId", &vpc)]).await.code(), "DependencyViolation.Tunnel");
    rig.settle().await;
    assert_eq!(rig.call("DescribeVpnGateway", &one).await.code(), "InvalidVpnGatewayInstanceId.NotFound");
    rig.kms("DeleteCertificate", &[("CertificateId", &certificate)]).await.ok();
    rig.call("CreateVpnGateway", &order).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_tells_of_a_bound_certificate_that_is_out_of_service() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    rig.bind(&gateway, &certificate, "Signature").await.ok();
    rig.settle().await;
    let alert = || async {
        let parameters = [("RegionId", REGION), ("VpnGatewayId", gateway.as_str())];
        let shown = rig.call("DescribeVpnGateway", &parameters).await.ok();
        assert_eq!(shown["Status"], "active");
        let tag: serde_json::Value = serde_json::from_str(shown["Tag"].as_str().unwrap()).unwrap();
        tag["CertificateAlert"].as_str().map(ToOwned::to_owned)
    };
    let set = |status: &'static str| {
        let (rig, certificate) = (&rig, certificate.clone());
        async move {
            rig.kms("UpdateCertificateStatus", &[("CertificateId", &certificate), ("Status", status)])
                .await
                .ok()
        }
    };
    assert_eq!(alert().await, None);
    set("DISABLED").await;
    assert_eq!(alert().await, Some(format!("Signature {certificate} INACTIVE")));
    assert_eq!(rig.listed(&gateway).await.len(), 1);
    set("ACTIVE").await;
    assert_eq!(alert().await, None);
    set("REVOKED").await;
    assert_eq!(alert().await, Some(format!("Signature {certificate} REVOKED")));
    rig.unbind(&gateway, &certificate, "Signature").await.ok();
    rig.settle().await;
    assert_eq!(alert().await, None);
    assert_eq!(rig.bind(&gateway, &certificate, "Signature").await.code(), "IllegalParam.CertificateId");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_order_is_not_built_and_can_be_cancelled() {
    let rig = Rig::new("0");
    let vpc = rig.call("CreateVpc", &[("RegionId", REGION)]).await.ok()["VpcId"].as_str().unwrap().to_owned();
    rig.settle().await;
    let order = |extra: &'static [(&'static str, &'static str)]| {
        let (rig, vpc) = (&rig, vpc.clone());
        async move {
            let mut parameters = vec![("RegionId", REGION), ("VpcId", vpc.as_str()), ("Bandwidth", "10")];
            parameters.extend(extra);
            rig.call("CreateVpnGateway", &parameters).await
        }
    };
    assert_eq!(order(&[("InstanceChargeType", "PREPAY")]).await.code(), "MissingPeriod");
    let unpaid = order(&[("InstanceChargeType", "PREPAY"), ("Period", "1")]).await.ok();
    let unpaid = unpaid["VpnGatewayId"].as_str().unwrap();
    rig.settle().await;
    assert_eq!(rig.status(unpaid).await, "init");
    rig.call("DeleteVpnGateway", &[("RegionId", REGION), ("VpnGatewayId", unpaid)]).await.ok();
    let paid = order(&[("InstanceChargeType", "PREPAY"), ("Period", "1"), ("AutoPay", "true")]).await.ok();
    let paid = [("RegionId", REGION), ("VpnGatewayId", paid["VpnGatewayId"].as_str().unwrap())];
    rig.settle().await;
    assert_eq!(rig.call("DeleteVpnGateway", &paid).await.code(), "ForbiddenRelease");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_in_the_audit_record_without_its_secrets() {
    let rig = Rig::new("0");
    let mut requests = Vec::new();
    for (key, action, status) in [
        ("root", "DescribeRegions", 200),
        ("nobody", "DescribeRegions", 403),
        ("nokey", "DescribeRegions", 404),
        ("root", "CreateVpc", 200),
    ] {
        let reply = rig.call_as(key, action, &[("RegionId", REGION)]).await;
        assert_eq!(reply.status, status);
        requests.push((reply.body["RequestId"].as_str().unwrap().to_owned(), status));
    }
    for (request, status) in requests {
        let found = wait_for(|| rig.store().read(|snapshot| snapshot.audited(&request)).unwrap()).await;
        assert_eq!(found.0, status);
    }
}

async fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1_000 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("it did not come");
}

fn dataplane_certificates(rig: &Rig, gateway: &str) -> serde_json::Value {
    use tongguan_dataplane::DataPlane as _;
    let in_memory = rig.dataplane.applied(gateway).unwrap();
    let (_, durable) = rig.store().read(|snapshot| snapshot.applied(gateway)).unwrap().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&durable).unwrap(), in_memory);
    in_memory["certificates"].clone()
}
