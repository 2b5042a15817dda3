//! One order of checks: a request that is wrong in two ways gets the earlier error.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::time::Duration;

use common::{KMS, RawCall, Rig, VPC, triple};
use tongguan_model::limits::Quotas;

/// Every fault at once; then one fault after the other is mended, in the order of the design, and each
/// time the next one is answered.
#[tokio::test(flavor = "multi_thread")]
async fn the_earlier_fault_is_answered() {
    let rig = Rig::new("0");
    let gateway = rig.gateway("NationalStandard").await;
    let certificate = rig.certificate("EC_SM2").await;
    let used = "a used nonce";
    rig.send(&RawCall { key: "observer", nonce: used, ..RawCall::new("DescribeRegions", &[]) }).await;

    let long_token = "t".repeat(65);
    let token = ("ClientToken", long_token.as_str());
    let bad = [
        ("RegionId", "cn-nowhere"),
        ("CertificateId", certificate.as_str()),
        ("CertificateType", "Both"),
        token,
    ];
    let action = "AssociateVpnGatewayWithCertificate";
    let mut raw = RawCall {
        key: "nokey",
        token: Some("a token"),
        version: "2016-04-29",
        action: "Associate",
        timestamp: Some("2027-01-15 08:00:00".into()),
        nonce: used,
        edits: &[
            ("AccessKeyId=nokey&", ""),
            ("SignatureMethod=HMAC-SHA1", "SignatureMethod=MD5"),
            ("Signature=", "Signature=AAAAAAAAAAAAAAAAAAAAAAAAAAA%3D&X="),
        ],
        ..RawCall::new("", &bad)
    };
    expect(&rig, &raw, "MissingAccessKeyId").await;
    let later = [raw.edits[1], raw.edits[2]];
    raw.edits = &later;
    expect(&rig, &raw, "InvalidAccessKeyId.NotFound").await;
    raw.key = "retired";
    expect(&rig, &raw, "InvalidAccessKeyId.Inactive").await;
    raw.key = "observer";
    expect(&rig, &raw, "InvalidSecurityToken.Malformed").await;
    raw.token = None;
    expect(&rig, &raw, "InvalidSignatureMethod").await;
    raw.edits = &later[1..];
    expect(&rig, &raw, "InvalidTimeStamp.Format").await;
    raw.timestamp = Some("2027-01-15T07:44:59Z".into());
    expect(&rig, &raw, "InvalidTimeStamp.Expired").await;
    raw.timestamp = None;
    expect(&rig, &raw, "SignatureDoesNotMatch").await;
    raw.edits = &[];
    expect(&rig, &raw, "SignatureNonceUsed").await;
    let fresh: Vec<String> = (0..20).map(|_| rig.next_nonce()).collect();
    let mut fresh = fresh.iter();
    let mut next =
        |raw: &mut RawCall<'_>| raw.nonce = Box::leak(fresh.next().unwrap().clone().into_boxed_str());
    next(&mut raw);
    expect(&rig, &raw, "InvalidVersion").await;
    raw.version = VPC;
    next(&mut raw);
    expect(&rig, &raw, "InvalidAction.NotFound").await;
    raw.action = action;
    next(&mut raw);
    expect(&rig, &raw, "Forbidden").await;
    raw.key = "root";
    next(&mut raw);
    expect(&rig, &raw, "MissingVpnGatewayId").await;
    let bad = [bad[0], bad[1], bad[2], token, ("VpnGatewayId", "vpn-unknown")];
    raw.parameters = &bad;
    next(&mut raw);
    expect(&rig, &raw, "InvalidRegionId.NotFound").await;
    let bad = [("RegionId", common::REGION), bad[1], bad[2], token, bad[4]];
    raw.parameters = &bad;
    next(&mut raw);
    expect(&rig, &raw, "IllegalParam.CertificateType").await;
    let bad = [bad[0], bad[1], ("CertificateType", "Encryption"), token, bad[4]];
    raw.parameters = &bad;
    next(&mut raw);
    expect(&rig, &raw, "InvalidParameter").await;
    raw.without = &["ClientToken"];
    next(&mut raw);
    expect(&rig, &raw, "InvalidVpnGatewayInstanceId.NotFound").await;
    let good = triple(&gateway, &certificate, "Encryption");
    raw.parameters = &good;
    next(&mut raw);
    expect(&rig, &raw, "OK").await;
    next(&mut raw);
    expect(&rig, &raw, "VpnGateway.Configuring").await;
}

/// The rate of an account is asked once the signature is right and the nonce unused: before version and action,
/// never for somebody who only pretends to be the account, and not for a replay. A throttled request has no effect:
/// its nonce is not kept, so that it may be sent again as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_checked_once_the_caller_is_known() {
    let rig = Rig::new("0").rated(1, 1);
    let wrong = RawCall { secret: Some("guessed"), nonce: "n", ..RawCall::new("DescribeRegions", &[]) };
    for _ in 0..10 {
        expect(&rig, &wrong, "SignatureDoesNotMatch").await;
    }
    let right = RawCall { secret: None, ..wrong };
    expect(&rig, &right, "OK").await;
    rig.advance(1_000);
    // Dated as before, so that it is the same request.
    let timestamp = Some("2027-01-15T08:00:00Z".to_owned());
    for _ in 0..10 {
        expect(&rig, &RawCall { timestamp: timestamp.clone(), ..right.clone() }, "SignatureNonceUsed").await;
    }
    let other_version = |nonce| RawCall { version: "2016-04-29", nonce, ..RawCall::new("Describe", &[]) };
    expect(&rig, &other_version("1"), "InvalidVersion").await;
    let held = rig.service.admission().count();
    let refused = rig.send(&other_version("2")).await;
    assert_eq!((refused.status, refused.code()), (400, "Throttling.User"));
    expect(&rig, &other_version("2"), "Throttling.User").await;
    assert_eq!(rig.service.admission().count(), held, "a throttled request keeps a nonce");
    let other_account = RawCall { key: "stranger", nonce: "3", ..RawCall::new("DescribeRegions", &[]) };
    expect(&rig, &other_account, "OK").await;
    assert_eq!(rig.service.throttle().refused(), 2);
    let timestamp = Some("2027-01-15T08:00:01Z".to_owned());
    rig.advance(1_000);
    expect(&rig, &RawCall { timestamp: timestamp.clone(), ..other_version("2") }, "InvalidVersion").await;
    expect(&rig, &RawCall { timestamp, ..other_version("2") }, "SignatureNonceUsed").await;
    // Refusals are audited like any other.
    let id = refused.body["RequestId"].as_str().unwrap();
    let begun = std::time::Instant::now();
    while rig.store().read(|snapshot| snapshot.audited(id)).unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let audited = rig.store().read(|snapshot| snapshot.audited(id)).unwrap();
    assert_eq!(audited, Some((400, Some("Throttling.User".to_owned()))));
}

/// A quota is looked at before the work that it would refuse, and permission before the quota.
#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_checked_before_the_work() {
    let quotas = Quotas { certificates_per_account: 1, ..Quotas::default() };
    let rig = Rig::with_quotas("0", quotas);
    let pending = rig.pending_certificate("EC_P256").await;
    let parameters = [("KeySpec", "RSA_2048"), ("Subject", "CN=a,OU=b,O=c,C=CN")];
    assert_eq!(rig.kms("CreateCertificate", &parameters).await.code(), "Rejected.LimitExceeded");
    // The form of parameters comes first.
    let names = ("SubjectAlternativeNames", r#"["a..b"]"#);
    for wrong in [
        vec![("KeySpec", "no such kind"), parameters[1]],
        vec![parameters[0], ("Subject", "CN=a")],
        vec![parameters[0], parameters[1], names],
        vec![parameters[0], parameters[1], ("ExportablePrivateKey", "perhaps")],
    ] {
        assert_eq!(rig.kms("CreateCertificate", &wrong).await.code(), "InvalidParameter", "{wrong:?}");
    }
    let nonce = rig.next_nonce();
    let weak = RawCall {
        key: "observer",
        version: KMS,
        nonce: &nonce,
        ..RawCall::new("CreateCertificate", &parameters)
    };
    expect(&rig, &weak, "Forbidden.NoPermission").await;
    // To read a certificate is to look at its form, which comes before what it is for.
    let upload = |id| [("CertificateId", id), ("Certificate", "no certificate")];
    assert_eq!(rig.kms("UploadCertificate", &upload("unknown")).await.code(), "InvalidParameter");
    assert_eq!(rig.kms("UploadCertificate", &upload(&pending)).await.code(), "InvalidParameter");
    rig.kms("DeleteCertificate", &[("CertificateId", &pending)]).await.ok();
    let issued = rig.certificate("EC_P256").await;
    assert_eq!(rig.kms("UploadCertificate", &upload(&issued)).await.code(), "InvalidParameter");
}

/// Who cannot sign cannot burn a nonce that somebody else is about to use.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_signature_burns_no_nonce() {
    let rig = Rig::new("0");
    let wrong = RawCall { secret: Some("guessed"), nonce: "n", ..RawCall::new("DescribeRegions", &[]) };
    expect(&rig, &wrong, "SignatureDoesNotMatch").await;
    let right = RawCall { secret: None, ..wrong };
    expect(&rig, &right, "OK").await;
    expect(&rig, &right, "SignatureNonceUsed").await;
    let rig = rig.restart("0");
    expect(&rig, &right, "SignatureNonceUsed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_may_be_off_by_fifteen_minutes_either_way() {
    let rig = Rig::new("0");
    for (timestamp, code) in [
        ("2027-01-15T07:44:59Z", "InvalidTimeStamp.Expired"),
        ("2027-01-15T07:45:00Z", "OK"),
        ("2027-01-15T08:15:00Z", "OK"),
        ("2027-01-15T08:15:01Z", "InvalidTimeStamp.Expired"),
    ] {
        let timestamp = Some(timestamp.to_owned());
        let raw = RawCall { timestamp, nonce: &rig.next_nonce(), ..RawCall::new("DescribeRegions", &[]) };
        expect(&rig, &raw, code).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_key_without_its_token_is_refused() {
    let rig = Rig::new("0");
    let raw = RawCall { key: "STS.unknown", nonce: "n", ..RawCall::new("DescribeRegions", &[]) };
    expect(&rig, &raw, "MissingSecurityToken").await;
    let raw = RawCall { token: Some("made up"), ..raw };
    expect(&rig, &raw, "InvalidSecurityToken.Malformed").await;
}

#[track_caller]
fn expect<'a>(rig: &'a Rig, raw: &'a RawCall<'a>, code: &'a str) -> impl Future<Output = ()> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let reply = rig.send(raw).await;
        assert_eq!(reply.code(), code, "at {caller}: {}", reply.body);
        assert!(!reply.body["RequestId"].as_str().unwrap().is_empty());
    }
}
