//! Two tenants, a powerless user and a stranger: each bounded resource is driven to its bound by who can fill it,
//! while another tenant works on. Its calls must succeed, be answered soon, and stand in the audit record.
//!
//! `tongguan limits` is the table; an entry without a case here fails. One case alone:
//! `BOUND=nonces cargo test -p tongguan --test bounds -- --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may stop where something is wrong, and shows figures"
)]

#[path = "../common/mod.rs"]
mod common;
mod listeners;
mod records;
mod rights;
mod signatures;
mod tenants;
mod world;

use std::collections::BTreeSet;
use std::pin::Pin;

use common::program::program;
use serde_json::Value;

/// A case: drives one bound.
type Case = fn() -> Pin<Box<dyn Future<Output = ()>>>;

/// Pairs the name of a bound with its case.
macro_rules! cases {
    ($($name:literal => $case:path,)+) => { &[$(($name, || Box::pin($case())),)+] };
}

const CASES: &[(&str, Case)] = cases! {
    "connections" => listeners::connections,
    "tls-handshakes" => listeners::tls_handshakes,
    "heads" => listeners::heads,
    "bodies" => listeners::bodies,
    "answers" => listeners::answers,
    "admin-places" => listeners::admin_places,
    "worker-threads" => rights::worker_threads,
    "long-work" => tenants::long_work,
    "request-rate" => tenants::request_rate,
    "failed-signatures" => signatures::failed_signatures,
    "nonces" => signatures::nonces,
    "nonce-log" => signatures::nonce_log,
    "rights-decision" => rights::rights_decision,
    "authority-cache" => rights::authority_cache,
    "client-tokens" => tenants::client_tokens,
    "writer-queue" => tenants::writer_queue,
    "audit-strangers" => records::strangers,
    "audit-accounts" => records::accounts,
    "audit-journal" => records::journal,
    "audit-folding" => records::folding,
    "resources" => tenants::resources,
    "engine" => tenants::engine,
};

fn table() -> Vec<Value> {
    let output = program(&["limits", "--format", "json"]).output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_bound_has_a_case() {
    let named: BTreeSet<String> =
        table().iter().map(|bound| bound["name"].as_str().unwrap().to_owned()).collect();
    let driven: BTreeSet<String> = CASES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(named, driven);
}

/// What the table calls the metric of a bound is shown.
#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_table_is_shown() {
    let world = world::World::start(&[], "").await;
    let (_, shown) = world.server.look("/metrics").await;
    for bound in table() {
        let Some(metric) = bound["metric"].as_str() else { continue };
        let family = metric.trim_end_matches("_total");
        assert!(shown.contains(&format!("# TYPE {family} ")), "{metric} of {} in {shown}", bound["name"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_fills_a_bound_decides_for_nobody_else() {
    let chosen = std::env::var("BOUND").ok();
    let files = common::raise_file_limit();
    assert!(files >= 4_096, "a limit of {files} open files is too low for a crowd");
    for (name, case) in CASES {
        if chosen.as_deref().is_none_or(|chosen| chosen == *name) {
            let begun = std::time::Instant::now();
            println!("{name} ...");
            case().await;
            println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
        }
    }
}
