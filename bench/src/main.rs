//! Measures the server against ceilings of the same machine, all in one run.
//!
//! An absolute figure says as much about the machine as about the server. So each figure stands beside
//! the one of a small program that does the indispensable part of the work only: answer the same bytes,
//! check the same signature, run the same statements. Server and ceilings take turns on one core, the
//! load generator has another.
//!
//! [`suite`] says what is measured, in which order; the other modules are its tools. The ceiling programs
//! are subcommands of this binary, run as child processes.
#![allow(clippy::disallowed_methods, reason = "whoever calls from outside goes by the time of day")]

mod api;
mod ceiling;
mod changes;
mod ciphers;
mod latency;
mod load;
mod machine;
mod postgres;
mod report;
mod server;
mod sqlite;
mod suite;
mod tunnels;
mod world;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures tongguan: reads, durable changes, growth and start, each against a ceiling of the same run.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    program: Option<Program>,
    #[command(flatten)]
    options: Options,
}

/// How the suite runs.
#[derive(Debug, Clone, Args)]
struct Options {
    /// Up to 10,000 gateways and short windows: about a minute, and more noise.
    #[arg(long)]
    quick: bool,
    /// Write the report as Markdown, too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// The server to measure; without it the release build, made up to date first.
    #[arg(long, value_name = "PATH", global = true)]
    server: Option<PathBuf>,
    /// Where throw-away data directories are made; without it beside this program.
    #[arg(long, value_name = "DIRECTORY", global = true)]
    directory: Option<PathBuf>,
    /// Measure these parts only.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
}

/// A part of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The ceiling programs alone; needs no server.
    Ceilings,
    /// Verified reads against the ceilings.
    Reads,
    /// Reads by users with many policies against those of the account itself.
    Rights,
    /// Durable changes against SQLite.
    Changes,
    /// Connections made by many callers against SQLite; cost of their lists by number of connections.
    Connections,
    /// Changes and reads over PostgreSQL against the statements alone.
    Shared,
    /// Cost by number of gateways; with it memory and start at that size.
    Scaling,
    /// Size of the binary, memory at rest, start with an empty store.
    Footprint,
}

/// Other things than the whole suite: one load by itself, ciphers, gateways, and the ceiling programs that the suite
/// runs.
#[derive(Debug, Subcommand)]
enum Program {
    /// Loads the server with one kind of call, to be looked at with a profiler.
    Hold(suite::hold::Options),
    /// Measures the ciphers of the data plane beside OpenSSL's; needs no server.
    Ciphers(ciphers::Options),
    /// Measures gateways: negotiations, idle connections, and as root what goes through a tunnel.
    Tunnels(tunnels::Options),
    /// Answers every request with the same bytes.
    #[command(hide = true)]
    Ceiling(ceiling::Options),
    /// Runs the statements of a binding on SQLite.
    #[command(hide = true)]
    Sqlite(sqlite::Options),
    /// Runs the statements of a binding and of a read on PostgreSQL.
    #[command(hide = true)]
    Postgres(postgres::Options),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    match cli.program {
        Some(Program::Ceiling(options)) => runtime.block_on(ceiling::serve(&options)),
        Some(Program::Sqlite(options)) => sqlite::run(&options),
        Some(Program::Postgres(options)) => postgres::run(&options),
        Some(Program::Ciphers(options)) => ciphers::run(&options),
        Some(Program::Tunnels(options)) => tunnels::run(&cli.options, &options),
        Some(Program::Hold(options)) => {
            tokio::task::LocalSet::new().block_on(&runtime, suite::hold::run(&cli.options, &options))
        }
        None => tokio::task::LocalSet::new().block_on(&runtime, suite::run(&cli.options)),
    }
}
