//! Who may know whom (`ARCHITECTURE.md`): dependencies point one way.

use anyhow::Result;

use super::Faults;
use crate::metadata::{metadata, packages};
use crate::tree::Tree;

/// Each crate with the crates of ours that it may know.
const MAY_USE: &[(&str, &[&str])] = &[
    ("tongguan-rpc", &[]),
    ("tongguan-pki", &[]),
    ("tongguan-smcrypto", &[]),
    ("tongguan-ike", &["tongguan-pki", "tongguan-smcrypto"]),
    ("tongguan-esp", &["tongguan-smcrypto"]),
    ("tongguan-model", &[]),
    ("tongguan-store", &["tongguan-model"]),
    ("tongguan-dataplane", &["tongguan-model", "tongguan-pki"]),
    (
        "tongguan-gateway",
        &[
            "tongguan-pki",
            "tongguan-smcrypto",
            "tongguan-ike",
            "tongguan-esp",
            "tongguan-model",
            "tongguan-dataplane",
        ],
    ),
    ("tongguan-supervisor", &["tongguan-dataplane", "tongguan-gateway"]),
    (
        "tongguan-service",
        &["tongguan-rpc", "tongguan-pki", "tongguan-model", "tongguan-store", "tongguan-dataplane"],
    ),
    ("tongguan", PROGRAM),
    ("tongguan-testkit", EVERY_LAYER),
    (
        "tongguan-bench",
        &[
            "tongguan-rpc",
            "tongguan-pki",
            "tongguan-smcrypto",
            "tongguan-ike",
            "tongguan-esp",
            "tongguan-store",
            "tongguan-dataplane",
            "tongguan-supervisor",
            "tongguan-cluster",
        ],
    ),
    ("tongguan-fuzz", WITH_GATEWAY),
    ("tongguan-torture", &["tongguan-cluster", "tongguan-pki", "tongguan-rpc", "tongguan-store"]),
    ("tongguan-cluster", &["tongguan-store"]),
    ("xtask", &[]),
];

const EVERY_LAYER: &[&str] = &[
    "tongguan-rpc",
    "tongguan-pki",
    "tongguan-model",
    "tongguan-store",
    "tongguan-dataplane",
    "tongguan-service",
];

/// Those, and a gateway with what starts it.
const PROGRAM: &[&str] = &[
    "tongguan-rpc",
    "tongguan-pki",
    "tongguan-model",
    "tongguan-store",
    "tongguan-dataplane",
    "tongguan-service",
    "tongguan-gateway",
    "tongguan-supervisor",
];

/// Those of every layer, and the crates of a gateway that moves packets.
const WITH_GATEWAY: &[&str] = &[
    "tongguan-rpc",
    "tongguan-pki",
    "tongguan-model",
    "tongguan-store",
    "tongguan-dataplane",
    "tongguan-service",
    "tongguan-ike",
    "tongguan-esp",
    "tongguan-gateway",
];

/// For tests: nothing that is shipped knows it, but as a dependency of its tests.
const TESTKIT: &str = "tongguan-testkit";

/// The programs that test from outside, and are not shipped either.
const MAY_USE_TESTKIT: &[&str] = &["tongguan-bench", "tongguan-cluster", "tongguan-fuzz", "tongguan-torture"];

/// The crates that do no I/O.
pub(super) const PURE: &[&str] = &["rpc", "pki", "smcrypto", "ike", "esp", "model"];

/// What they must not depend on.
const IMPURE: &[&str] = &["tokio", "hyper", "rusqlite", "axum"];

/// No crate knows one that [`MAY_USE`] does not allow.
pub(super) fn check(tree: &Tree) -> Result<Faults> {
    let metadata = metadata(tree.root(), &["--no-deps"])?;
    let mut faults = Vec::new();
    for package in packages(&metadata)? {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
            faults.push(format!("{name} is not in the list of who may use whom"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if dependency["kind"] == "dev" {
                continue;
            }
            let other = dependency["name"].as_str().unwrap_or_default();
            let allowed = allowed.contains(&other) || other == TESTKIT && MAY_USE_TESTKIT.contains(&name);
            if MAY_USE.iter().any(|(ours, _)| *ours == other) && !allowed {
                faults.push(format!("{name} must not know {other}"));
            }
            let pure = name.strip_prefix("tongguan-").is_some_and(|short| PURE.contains(&short));
            if pure && IMPURE.contains(&other) {
                faults.push(format!("{name} must not use {other}"));
            }
        }
    }
    Ok(faults)
}
