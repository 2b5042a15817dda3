//! Everything, one part after the other: what `make test` and `make torture` run.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tongguan_cluster::{Cluster, Mode};

use crate::damage::Kind;
use crate::{crash, faults, first_start, histories, nodes, tokens};

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub server: PathBuf,
    /// Kills.
    pub kills: u32,
    /// Concurrent calls.
    pub operations: usize,
    /// What determines everything random.
    pub seed: u64,
}

/// Counts what passed and what failed.
#[derive(Debug, Default)]
pub struct Tally {
    /// Parts that passed.
    pub passed: usize,
    /// Parts that failed.
    pub failed: usize,
}

impl Tally {
    /// Runs a part in a directory of its own, which is kept if the part fails.
    ///
    /// # Errors
    /// There is no place for the directory.
    pub async fn part<F>(&mut self, name: &str, seed: u64, part: impl FnOnce(PathBuf) -> F) -> Result<()>
    where
        F: Future<Output = Result<String>>,
    {
        let directory = tempfile::Builder::new().prefix("torture-").tempdir().context("no directory")?;
        let begun = Instant::now();
        match part(directory.path().to_path_buf()).await {
            Ok(text) => {
                eprintln!("{name}: {text} ({:.1} s)", begun.elapsed().as_secs_f64());
                self.passed += 1;
            }
            Err(error) => {
                let kept = directory.keep();
                eprintln!("{name} FAILED, seed {seed}, data in {}:\n{error:#}", kept.display());
                self.failed += 1;
            }
        }
        Ok(())
    }
}

/// Runs everything.
///
/// # Errors
/// A part could not be begun. Parts that fail are counted.
pub async fn run(options: &Options) -> Result<Tally> {
    let mut tally = Tally::default();
    let (server, seed) = (&options.server, options.seed);
    kills(&mut tally, &crash_options(options)).await?;
    for apply_delay in ["20ms", "1ms"] {
        let races = histories::Options {
            server: server.clone(),
            callers: 64,
            connections: 3,
            gateways: 4,
            operations: options.operations,
            apply_delay: apply_delay.to_owned(),
            seed,
        };
        race(&mut tally, &races).await?;
    }
    broken(&mut tally, server, seed).await?;
    repeats(&mut tally, server, seed).await?;
    dataplane(&mut tally, server, seed).await?;
    first_starts(&mut tally, server, seed).await?;
    Ok(tally)
}

fn crash_options(options: &Options) -> crash::Options {
    let server = options.server.clone();
    crash::Options { server, kills: options.kills, seed: options.seed, callers: 16, gateways: 6 }
}

/// Kills the server.
///
/// # Errors
/// As [`run`].
pub async fn kills(tally: &mut Tally, options: &crash::Options) -> Result<()> {
    let part = |directory| async move {
        let done = crash::run(options, directory).await?;
        eprint!("{}", done.points.report());
        let crash::Summary { kills, fired, requests, compared, .. } = done;
        ensure!(kills == options.kills, "{kills} kills, not {}", options.kills);
        Ok(format!("{kills} kills, {fired} at crash points, {requests} requests, {compared} calls compared"))
    };
    tally.part("kills", options.seed, part).await
}

/// Three nodes over a cluster that fails over; none where there is nothing to make one of.
///
/// # Errors
/// As [`run`].
pub async fn nodes(tally: &mut Tally, options: &nodes::Options) -> Result<()> {
    let Some(cluster) = Cluster::or_skip(Mode::Strict) else { return Ok(()) };
    let part = |directory| async move {
        let inner = options.clone();
        // On a thread of its own: with the cluster goes every process whose first thread is in the hub.
        let thread = std::thread::Builder::new().name("nodes".into()).spawn(move || {
            cluster.enter()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            tokio::task::LocalSet::new().block_on(&runtime, nodes::run(cluster, &inner, directory))
        });
        let thread = thread.context("no thread")?;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await.context("no thread")?;
        let done = joined.map_err(|_| anyhow::anyhow!("a panic"))??;
        Ok(format!("{} faults; {done}", options.plan.len()))
    };
    tally.part("nodes", options.seed, part).await
}

/// Many callers at once.
///
/// # Errors
/// As [`run`].
pub async fn race(tally: &mut Tally, options: &histories::Options) -> Result<()> {
    let part = |directory| async move {
        let done = histories::run(options, directory).await?;
        let (compared, checking) = (done.compared, done.checking);
        Ok(format!("{} callers, {compared} calls, compared in {checking:.2} s", options.callers))
    };
    let name = format!("histories, changes take {}", options.apply_delay);
    tally.part(&name, options.seed, part).await
}

/// Each kind of damage must be seen, and none where nothing is broken.
///
/// # Errors
/// As [`run`].
pub async fn broken(tally: &mut Tally, server: &Path, seed: u64) -> Result<()> {
    for kind in [Kind::Nothing].into_iter().chain(Kind::ALL) {
        let options = &histories::Options {
            server: server.to_owned(),
            callers: 4,
            connections: 2,
            gateways: 2,
            operations: 3_000,
            // Much is accepted: a fault shows in what is.
            apply_delay: "1ms".to_owned(),
            seed,
        };
        let part = |directory| async move {
            let window = histories::broken(options, kind, directory).await?;
            Ok(window.lines().next().unwrap_or_default().trim_end_matches(':').to_owned())
        };
        tally.part(&format!("broken {kind:?}"), seed, part).await?;
    }
    Ok(())
}

/// A data plane that fails for good.
///
/// # Errors
/// As [`run`].
pub async fn dataplane(tally: &mut Tally, server: &Path, seed: u64) -> Result<()> {
    let part = |directory| async move {
        match faults::run(server, directory, seed).await? {
            None => Ok("left out: this server has no points to fail at".into()),
            Some(deaths) => Ok(format!("every change was withdrawn, {deaths} deaths in the middle")),
        }
    };
    tally.part("data-plane faults", seed, part).await
}

/// First starts that die.
///
/// # Errors
/// As [`run`].
pub async fn first_starts(tally: &mut Tally, server: &Path, seed: u64) -> Result<()> {
    tally.part("first starts", seed, |directory| first_start::part(server, directory)).await
}

/// ClientTokens.
///
/// # Errors
/// As [`run`].
pub async fn repeats(tally: &mut Tally, server: &Path, seed: u64) -> Result<()> {
    let at_once =
        |directory| async { tokens::at_once(server, directory).await.map(|()| "one effect".into()) };
    tally.part("tokens at once", seed, at_once).await?;
    let mismatch = |directory| async { tokens::mismatch(server, directory).await.map(|()| "refused".into()) };
    tally.part("tokens mismatch", seed, mismatch).await?;
    let left_free = |directory| async { tokens::left_free(server, directory).await.map(|()| "free".into()) };
    tally.part("tokens of refused calls", seed, left_free).await?;
    let bounded = |directory| async { tokens::bounded(server, directory).await.map(|()| "they end".into()) };
    tally.part("tokens bounded", seed, bounded).await?;
    let after_commit = |directory| async {
        match tokens::after_commit(server, directory).await? {
            0 => Ok("left out: this server has no crash points".into()),
            deaths => Ok(format!("{deaths} deaths between commit and answer, each repeat got the result")),
        }
    };
    tally.part("tokens after the commit", seed, after_commit).await
}
