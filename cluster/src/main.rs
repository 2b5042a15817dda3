//! PostgreSQL for whoever tries something by hand, until Ctrl-C or until the process is killed.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a tool of developers")]

use anyhow::Result;
use clap::{Parser, Subcommand};
use tongguan_cluster::{Options, Single};

/// PostgreSQL for tests.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// One server: prints its URL and its folder.
    Single,
}

fn main() -> Result<()> {
    let Arguments { command } = Arguments::parse();
    match command {
        What::Single => {
            let Some(server) = Single::or_skip(&Options::default()) else { return Ok(()) };
            println!("{} {}", server.url("postgres"), server.home().display());
            until_interrupted()
        }
    }
}

/// Waits for Ctrl-C.
fn until_interrupted() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(tokio::signal::ctrl_c())?)
}
