//! Fault after fault, somebody who writes meanwhile, and a check of what he was told after each.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::check::{Answer, Untrue, check};
use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::writer::Writer;

/// Changes that have to be acknowledged after a fault, before it is undone.
const WRITES: usize = 20;

/// What one fault did.
#[derive(Debug, Clone)]
pub struct Round {
    /// Which.
    pub fault: Fault,
    /// The longest time without an acknowledged write since.
    pub without_writes: Duration,
    /// From its end until the cluster was whole again.
    pub until_whole: Duration,
    /// The member that did not come back by itself, from 0.
    pub helped: Option<usize>,
    /// Changes acknowledged since it began.
    pub acknowledged: usize,
    /// Those refused.
    pub refused: usize,
    /// Those of which nobody can say.
    pub unknown: usize,
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { fault, acknowledged, refused, unknown, .. } = self;
        let (without, whole) = (self.without_writes.as_secs_f32(), self.until_whole.as_secs_f32());
        write!(
            f,
            "{fault}: {without:.1} s without writes, whole again {whole:.1} s after its end; {acknowledged} acknowledged, \
             {refused} refused, {unknown} unknown"
        )?;
        self.helped.map_or(Ok(()), |member| write!(f, "; member {} was helped", member + 1))
    }
}

/// Every kind of fault once, then again, `count` in all, in an order that the seed determines.
pub fn plan(count: usize, seed: u64) -> Vec<Fault> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut plan = Vec::new();
    while plan.len() < count {
        let mut kinds = Fault::ALL;
        random.shuffle(&mut kinds);
        plan.extend(kinds);
    }
    plan.truncate(count);
    plan
}

/// Carries out a plan; `tell` hears of each fault when all is whole again. After each fault the answers since the fault
/// before are looked at, in the end all of them.
///
/// # Errors
/// An answer was untrue, or the cluster does not become whole.
pub fn carry_out(
    cluster: &mut Cluster,
    writer: &mut Writer,
    plan: &[Fault],
    mut tell: impl FnMut(&Round),
) -> Result<()> {
    let mut before = 0;
    for fault in plan {
        let now = writer.next();
        let round = round(cluster, writer, *fault, before)?;
        before = now;
        tell(&round);
    }
    end(cluster, writer)
}

/// No more faults: looks at all answers.
///
/// # Errors
/// One was untrue, or the cluster does not become whole.
pub fn end(cluster: &Cluster, writer: &mut Writer) -> Result<()> {
    writer.stop();
    cluster.wait_whole()?;
    true_from(cluster, writer, 0)
}

/// Carries out one fault, and looks at the answers to changes from this key on when all is whole again.
///
/// # Errors
/// An answer was untrue, or the cluster does not become whole.
pub fn round(cluster: &mut Cluster, writer: &Writer, fault: Fault, before: i64) -> Result<Round> {
    one(cluster, writer, fault, before).with_context(|| fault.to_string())
}

fn one(cluster: &mut Cluster, writer: &Writer, fault: Fault, before: i64) -> Result<Round> {
    let begun = Instant::now();
    let known = writer.records().len();
    let done = cluster.fault(fault)?;
    if fault.fails_over() {
        cluster.wait_other_leader(done)?;
    }
    writer.wait_acknowledged(Instant::now(), WRITES)?;
    cluster.undo(done)?;
    let undone = Instant::now();
    let helped = cluster.wait_whole()?;
    let until_whole = undone.elapsed();
    writer.wait_acknowledged(Instant::now(), WRITES)?;
    true_from(cluster, writer, before)?;
    let records = writer.records();
    let new = &records[known..];
    let mut ends: Vec<_> =
        new.iter().filter(|record| record.answer == Answer::Acknowledged).map(|r| r.ended).collect();
    ends.retain(|end| *end > begun);
    ends.sort_unstable();
    let starts = std::iter::once(&begun).chain(&ends);
    let count = |answer| new.iter().filter(|record| record.answer == answer).count();
    Ok(Round {
        fault,
        without_writes: starts.zip(&ends).map(|(start, end)| *end - *start).max().unwrap_or_default(),
        until_whole,
        helped,
        acknowledged: count(Answer::Acknowledged),
        refused: count(Answer::Refused),
        unknown: count(Answer::Unknown),
    })
}

/// Whether what was answered until now is true, for changes from this key on.
fn true_from(cluster: &Cluster, writer: &Writer, from: i64) -> Result<()> {
    let untrue = untrue_from(cluster, writer, from)?;
    ensure!(untrue.is_empty(), "untrue is {untrue:?}");
    Ok(())
}

/// What is untrue of all that was answered until now, for changes from this key on.
///
/// # Errors
/// The tables cannot be read.
pub fn untrue_from(cluster: &Cluster, writer: &Writer, from: i64) -> Result<Untrue> {
    let mut records = writer.records();
    records.retain(|record| record.key >= from);
    let table = writer.table(cluster, from)?;
    Ok(check(&records, &table, |key| writer.asked(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_every_kind_before_any_comes_again() {
        let long = plan(25, 7);
        assert_eq!(long.len(), 25);
        for tens in long.chunks(Fault::ALL.len()) {
            assert!(tens.iter().enumerate().all(|(n, fault)| !tens[..n].contains(fault)), "{tens:?}");
        }
        assert_eq!(long, plan(25, 7));
        assert_ne!(long, plan(25, 8));
    }
}
