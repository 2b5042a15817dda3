//! A real cluster in quorum mode, and one that loses what was acknowledged. Every kind of fault in strict mode is with
//! nodes of the service under it, in `torture`. As root, with PostgreSQL, etcd and Patroni; without them a test says
//! `skipped`, unless TONGGUAN_JUDGES is `required`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Instant;

use tongguan_cluster::faults::{carry_out, untrue_from};
use tongguan_cluster::{Cluster, Fault, Mode, Patroni, Writer};

/// Lanes of the writer.
const LANES: usize = 8;

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
