//! What befalls the cluster and the nodes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tongguan_cluster::{Fault, faults};

use super::{NODES, Run};
use crate::random::Random;

/// How long a node stands still: longer than its leases.
const FROZEN: Duration = Duration::from_secs(12);

/// Of a hundred faults of the database so many have a node killed in them, at most so long after they began.
const KILLED: usize = 30;
const KILL_MS: usize = 6_000;

/// One thing that goes wrong, or is done by an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strike {
    /// A fault of the database.
    Database(Fault),
    /// A node is killed, and starts again.
    Kill,
    /// All nodes are killed, and start again.
    KillAll,
    /// A node stands still for longer than its leases, and goes on.
    Freeze,
    /// A node is stopped in order, and starts again.
    Restart,
    /// The database ends half of the sessions.
    EndSome,
    /// The database ends all sessions.
    EndAll,
}

/// Those after which the same member leads the database.
const QUICK: [Strike; 10] = [
    Strike::Kill,
    Strike::EndSome,
    Strike::Freeze,
    Strike::EndAll,
    Strike::Restart,
    Strike::Database(Fault::KillEtcdLeader),
    Strike::KillAll,
    Strike::EndSome,
    Strike::Database(Fault::KillStandby),
    Strike::Kill,
];

impl std::fmt::Display for Strike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Database(fault) => return fault.fmt(f),
            Self::Kill => "node killed",
            Self::KillAll => "all nodes killed",
            Self::Freeze => "node stopped for longer than its leases",
            Self::Restart => "node started again",
            Self::EndSome => "half of the sessions ended",
            Self::EndAll => "all sessions ended",
        })
    }
}

/// So many faults of the cluster, every kind before any comes again, and twice as many after which the same member
/// leads, among each other in an order that the seed determines.
#[must_use]
pub fn plan(count: usize, seed: u64) -> Vec<Strike> {
    let cluster = count.div_ceil(3);
    let mut random = Random::new(seed);
    let mut heavy = faults::plan(cluster, seed).into_iter().map(Strike::Database);
    let mut quick = QUICK.into_iter().cycle();
    let (mut left, mut plan) = (cluster, Vec::new());
    for rest in (1..=count).rev() {
        let fails_over = random.below(rest) < left;
        left -= usize::from(fails_over);
        plan.extend(if fails_over { heavy.next() } else { quick.next() });
    }
    plan
}

impl Run<'_> {
    /// Carries it out, undoes it, and waits until the cluster is whole. Answers what it did.
    pub(super) async fn strike(&mut self, strike: Strike) -> Result<String> {
        let begun = Instant::now();
        let node = self.random.below(NODES);
        match strike {
            Strike::Database(fault) => return self.fault(fault).await,
            Strike::Kill => {
                self.service.kill(node)?;
                self.service.boot(node).await?;
            }
            Strike::KillAll => {
                for number in 0..NODES {
                    self.service.kill(number)?;
                }
                for number in 0..NODES {
                    self.service.boot(number).await?;
                }
            }
            Strike::Freeze => {
                self.service.freeze(node, true)?;
                tokio::time::sleep(FROZEN).await;
                self.service.freeze(node, false)?;
            }
            Strike::Restart => {
                self.service.stop(node).await?;
                self.service.boot(node).await?;
            }
            Strike::EndSome => self.tables.terminate(false).await?,
            Strike::EndAll => self.tables.terminate(true).await?,
        }
        Ok(format!("{strike}: undone after {:.1} s", begun.elapsed().as_secs_f32()))
    }

    /// A fault of the database, in which now and then a node is killed as well.
    async fn fault(&mut self, fault: Fault) -> Result<String> {
        let (mut cluster, writer) = self.cluster.take().context("there is no cluster")?;
        let before = writer.next();
        let carried_out = tokio::task::spawn_blocking(move || {
            let round = faults::round(&mut cluster, &writer, fault, before);
            (cluster, writer, round)
        });
        let killed = self.random.chance(KILLED);
        if killed {
            let (node, after) = (self.random.below(NODES), self.random.below(KILL_MS));
            tokio::time::sleep(Duration::from_millis(after as u64)).await;
            self.service.kill(node)?;
            self.service.boot(node).await?;
        }
        let (cluster, writer, round) = carried_out.await.context("a thread panicked")?;
        self.cluster = Some((cluster, writer));
        Ok(format!("{}{}", round?, if killed { "; a node was killed meanwhile" } else { "" }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_faults_have_every_kind() {
        let short = plan(30, 7);
        assert_eq!(short.len(), 30);
        for strike in Fault::ALL.map(Strike::Database).into_iter().chain(QUICK) {
            assert!(short.contains(&strike), "{strike}");
        }
        let stay = |strike: &&Strike| !matches!(strike, Strike::Database(fault) if fault.fails_over());
        // Seven kinds are followed by a failover, and each is there once.
        assert_eq!(short.iter().filter(stay).count(), 23);
        assert_eq!(short, plan(30, 7));
        assert_ne!(short, plan(30, 8));
    }
}
