//! A real cluster, every kind of fault, and nothing that was answered is lost. As root, with PostgreSQL, etcd and
//! Patroni; without them a test says `skipped`, unless TONGGUAN_JUDGES is `required`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Instant;

use tongguan_cluster::faults::{carry_out, plan, untrue_from};
use tongguan_cluster::{Cluster, Fault, Mode, Patroni, Writer};

/// Lanes of the writer.
const LANES: usize = 8;

/// Every kind once; with `TONGGUAN_FAULTS` as many as it says.
#[test]
fn nothing_that_was_answered_is_lost() {
    let Some(mut cluster) = Cluster::or_skip(Mode::Strict) else { return };
    let count = std::env::var("TONGGUAN_FAULTS").map_or(Fault::ALL.len(), |count| count.parse().unwrap());
    let mut writer = Writer::start(&cluster, LANES).unwrap();
    carry_out(&mut cluster, &mut writer, &plan(count, 20_261_129), |round| println!("{round}")).unwrap();
}

/// In quorum mode, where any standby acknowledges: what is over before a lease ends, for leases are long there.
#[test]
fn nothing_is_lost_by_quorum() {
    let Some(mut cluster) = Cluster::or_skip(Mode::Quorum) else { return };
    let mut writer = Writer::start(&cluster, LANES).unwrap();
    let plan = [Fault::KillPostgres, Fault::Switchover];
    carry_out(&mut cluster, &mut writer, &plan, |round| println!("{round}")).unwrap();
}

/// Debian's Patroni on etcd loses what was acknowledged, and the check sees it.
#[test]
fn what_debians_patroni_loses_is_seen() {
    let Some(mut cluster) = Cluster::of_or_skip(Patroni::debian(), Mode::Strict) else { return };
    let mut writer = Writer::start(&cluster, LANES).unwrap();
    let stopped = cluster.fault(Fault::StopPostgres).unwrap();
    cluster.wait_other_leader(stopped).unwrap();
    writer.wait_acknowledged(Instant::now(), 100).unwrap();
    assert!(untrue_from(&cluster, &writer, 0).unwrap().is_empty());
    // The old primary goes on, and writes itself back as the leader.
    cluster.undo(stopped).unwrap();
    cluster.wait_leader(stopped.leader).unwrap();
    writer.stop();
    let untrue = untrue_from(&cluster, &writer, 0).unwrap();
    println!("{} acknowledged changes are lost", untrue.lost.len());
    assert!(untrue.lost.len() >= 100, "{} are lost", untrue.lost.len());
    assert!(untrue.repeated.is_empty() && untrue.strange.is_empty());
}
