//! Breaks the server on purpose: kills, races, repeats. See `torture/README.md`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use tongguan_torture::crash;

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
        #[arg(long, default_value_t = 50)]
        kills: u32,
        /// Callers.
        #[arg(long, default_value_t = 16)]
        callers: usize,
        /// Gateways.
        #[arg(long, default_value_t = 6)]
        gateways: usize,
        /// Accept that audit records of reads and refusals of the last moment are lost.
        #[arg(long)]
        audit_of_changes_only: bool,
    },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    tokio::task::LocalSet::new().block_on(&runtime, run(cli.part))
}

async fn run(part: Part) -> Result<()> {
    match part {
        Part::Crash { common, kills, callers, gateways, audit_of_changes_only } => {
            let seed = common.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 32);
            let options = crash::Options {
                server: std::path::absolute(common.server)?,
                kills,
                seed,
                callers,
                gateways,
                audit_of_changes_only,
            };
            let directory = tempfile::Builder::new().prefix("torture-").tempdir()?;
            eprintln!("seed {seed}");
            match crash::run(&options, directory.path().to_path_buf()).await {
                Ok(summary) => {
                    eprintln!("{summary:?}");
                    Ok(())
                }
                Err(error) => {
                    let kept = directory.keep();
                    Err(error.context(format!("seed {seed}, data in {}", kept.display())))
                }
            }
        }
    }
}
