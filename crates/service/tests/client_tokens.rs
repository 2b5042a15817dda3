//! What is kept of calls under a ClientToken: it tells their repeats, also those of calls that an earlier release has
//! answered, and nothing of what they were sent.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::path::Path;

use common::{ACCOUNT, REGION, Rig, is_shared};
use tongguan_model::id::AccountId;
use tongguan_model::limits::Quotas;
use tongguan_store::{DATABASE_FILE, Options, Store, TokenName};

/// The fingerprint that is remembered of a call of the account's.
fn fingerprint(store: &Store, action: &str, token: &str) -> Vec<u8> {
    let account = AccountId::new(ACCOUNT);
    let stored = store.read(|snapshot| snapshot.token(TokenName { account: &account, action, token }));
    stored.unwrap().expect("it is remembered").fingerprint
}

/// Whoever has the database, and not its master key, cannot try what a call was sent: what is kept of it depends on a
/// key that each service has of its own, and equal calls do not look equal.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_call_cannot_be_guessed_at() {
    let mut kept = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let rig = Rig::new("0");
        for token in ["a", "b"] {
            rig.call("CreateVpc", &[("RegionId", REGION), ("ClientToken", token)]).await.ok();
            assert!(kept.insert(fingerprint(rig.store(), "CreateVpc", token)), "{token}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_an_earlier_release_answered_are_told_from_others() {
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/tests/schemas/3.db");
    let directory = tempfile::tempdir().unwrap();
    if is_shared() {
        // An earlier release had the embedded store alone.
        return;
    }
    std::fs::copy(old, directory.path().join(DATABASE_FILE)).unwrap();
    let token = ("CreateVpnGateway", "token-rest");
    let before = fingerprint(&Store::open(directory.path(), &Options::default()).unwrap(), token.0, token.1);
    // Tokens of any age count.
    let quotas = Quotas { client_token_hours: 1_000_000, ..Quotas::default() };
    let mut rig = Rig::within(directory, Options::default(), "0", quotas.clone());
    let gateways = rig.call("DescribeVpnGateways", &[("RegionId", REGION)]).await.ok();
    let gateways = gateways["VpnGateways"]["VpnGateway"].as_array().unwrap();
    let first = gateways.iter().find(|gateway| gateway["Name"] == "rest").unwrap().clone();
    let text = |name: &str| first[name].as_str().unwrap().to_owned();
    let (id, vpc, vswitch) = (text("VpnGatewayId"), text("VpcId"), text("VSwitchId"));
    // As `schemas/make` has it.
    let call = |bandwidth| {
        [
            ("RegionId", REGION),
            ("VpcId", vpc.as_str()),
            ("VSwitchId", vswitch.as_str()),
            ("Bandwidth", bandwidth),
            ("VpnType", "NationalStandard"),
            ("Name", "rest"),
            ("ClientToken", "token-rest"),
        ]
    };
    let kept = fingerprint(rig.store(), token.0, token.1);
    assert_ne!(kept, before, "what the earlier release kept is gone");
    for _ in 0..2 {
        assert_eq!(rig.call("CreateVpnGateway", &call("10")).await.ok()["VpnGatewayId"], id);
        assert_eq!(rig.call("CreateVpnGateway", &call("20")).await.code(), "IdempotentParameterMismatch");
        rig = rig.restart_with_quotas("0", quotas.clone());
        assert_eq!(fingerprint(rig.store(), token.0, token.1), kept, "it is replaced once");
    }
}
