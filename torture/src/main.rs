//! Breaks the server on purpose: kills, races, repeats. See `torture/README.md`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use tongguan_torture::suite::{self, Tally};
use tongguan_torture::{crash, histories, nodes};

/// Breaks tongguan on purpose, and checks that nothing is lost and nothing half done.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    part: Part,
}

/// What every part needs.
#[derive(Debug, Clone, Args)]
struct Common {
    /// The server; built with `--features failpoints` it has crash points.
    #[arg(long, value_name = "PATH")]
    server: PathBuf,
    /// What determines everything random; drawn if absent, and shown.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Kills the server under load, again and again.
    Crash {
        #[command(flatten)]
        common: Common,
        /// How many kills.
        #[arg(long, default_value_t = 100)]
        kills: u32,
        /// Callers.
        #[arg(long, default_value_t = 16)]
        callers: usize,
        /// Gateways.
        #[arg(long, default_value_t = 6)]
        gateways: usize,
    },
    /// Lets many callers at few gateways at once.
    Histories {
        #[command(flatten)]
        common: Common,
        /// Callers.
        #[arg(long, default_value_t = 64)]
        callers: usize,
        /// Connections of each caller.
        #[arg(long, default_value_t = 3)]
        connections: usize,
        /// Gateways.
        #[arg(long, default_value_t = 4)]
        gateways: usize,
        /// Calls of all together.
        #[arg(long, default_value_t = 20_000)]
        operations: usize,
        /// How long a change takes.
        #[arg(long, default_value = "20ms")]
        apply_delay: String,
        /// Break the answers on the way, in every known way: the checker must see each.
        #[arg(long)]
        broken: bool,
    },
    /// Repeats calls under their tokens.
    Tokens {
        #[command(flatten)]
        common: Common,
    },
    /// Lets the data plane fail for good.
    Faults {
        #[command(flatten)]
        common: Common,
    },
    /// Lets first starts die.
    FirstStarts {
        #[command(flatten)]
        common: Common,
    },
    /// Lets the database of three nodes fail over, and the nodes die; as root, who makes network namespaces.
    Nodes {
        #[command(flatten)]
        common: Common,
        /// How many faults, of which one third is of the database.
        #[arg(long, default_value_t = 30)]
        faults: usize,
        /// Callers.
        #[arg(long, default_value_t = 12)]
        callers: usize,
        /// Gateways.
        #[arg(long, default_value_t = 6)]
        gateways: usize,
    },
    /// Everything that needs no cluster.
    All {
        #[command(flatten)]
        common: Common,
        /// About a minute of it.
        #[arg(long)]
        short: bool,
        /// How many kills; without it 1000, or 60 in short.
        #[arg(long)]
        kills: Option<u32>,
    },
}

impl Part {
    fn common(&mut self) -> &mut Common {
        match self {
            Self::Crash { common, .. }
            | Self::Histories { common, .. }
            | Self::Tokens { common }
            | Self::Faults { common }
            | Self::FirstStarts { common }
            | Self::Nodes { common, .. }
            | Self::All { common, .. } => common,
        }
    }
}

fn main() -> Result<ExitCode> {
    let Cli { mut part } = Cli::parse();
    let common = part.common();
    let server = std::path::absolute(&common.server).context("no path of the server")?;
    let drawn = uuid::Uuid::new_v4().as_u64_pair().0 >> 32;
    let seed = common.seed.unwrap_or(drawn);
    eprintln!("seed {seed}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let tally = tokio::task::LocalSet::new().block_on(&runtime, run(part, server, seed))?;
    writeln!(std::io::stdout(), "torture: {} passed, {} failed", tally.passed, tally.failed)?;
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(part: Part, server: PathBuf, seed: u64) -> Result<Tally> {
    let mut tally = Tally::default();
    match part {
        Part::Crash { kills, callers, gateways, .. } => {
            let options = crash::Options { server, kills, seed, callers, gateways };
            suite::kills(&mut tally, &options).await?;
        }
        Part::Histories { broken: true, .. } => suite::broken(&mut tally, &server, seed).await?,
        Part::Histories { callers, connections, gateways, operations, apply_delay, .. } => {
            let options =
                histories::Options { server, callers, connections, gateways, operations, apply_delay, seed };
            suite::race(&mut tally, &options).await?;
        }
        Part::Tokens { .. } => suite::repeats(&mut tally, &server, seed).await?,
        Part::Nodes { faults, callers, gateways, .. } => {
            let plan = nodes::plan(faults, seed);
            suite::nodes(&mut tally, &nodes::Options { server, plan, seed, callers, gateways }).await?;
        }
        Part::FirstStarts { .. } => suite::first_starts(&mut tally, &server, seed).await?,
        Part::Faults { .. } => suite::dataplane(&mut tally, &server, seed).await?,
        Part::All { short, kills, .. } => {
            let (fewest, operations) = if short { (60, 8_000) } else { (1_000, 100_000) };
            let kills = kills.unwrap_or(fewest);
            return suite::run(&suite::Options { server, kills, operations, seed }).await;
        }
    }
    Ok(tally)
}
