//! PostgreSQL for whoever tries something by hand, until Ctrl-C or until the process is killed; and many faults.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a tool of developers")]

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use tongguan_cluster::faults::{carry_out, plan};
use tongguan_cluster::{Cluster, Mode, Options, Single, Writer};

/// PostgreSQL for tests.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One server: prints its URL and its folder; or runs a command with the URL in TONGGUAN_TEST_STORE.
    Single {
        /// The command.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Three members that fail over: prints their URL, for clients in the network namespace tgc-hub, and their folder.
    Up(Kind),
    /// The same, and fault after fault, with somebody who writes meanwhile.
    Faults {
        #[command(flatten)]
        kind: Kind,
        /// How many.
        #[arg(long, default_value_t = 10)]
        count: usize,
        /// What determines their order.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Connections that write.
        #[arg(long, default_value_t = 8)]
        lanes: usize,
    },
}

#[derive(Debug, Args)]
struct Kind {
    /// Any standby acknowledges, not one that is named (Patroni 4).
    #[arg(long)]
    quorum: bool,
}

impl Kind {
    fn raise(&self) -> Option<Cluster> {
        Cluster::or_skip(if self.quorum { Mode::Quorum } else { Mode::Strict })
    }
}

fn main() -> Result<()> {
    let Arguments { what } = Arguments::parse();
    match what {
        What::Single { command } => {
            // Tests side by side have some connections each.
            let options = Options::default().with("max_connections", "400");
            let Some(server) = Single::or_skip(&options) else { return Ok(()) };
            if let Some((program, arguments)) = command.split_first() {
                let mut command = std::process::Command::new(program);
                let status =
                    command.args(arguments).env("TONGGUAN_TEST_STORE", server.url("postgres")).status()?;
                anyhow::ensure!(status.success(), "`{program}` ended with {status}");
                return Ok(());
            }
            println!("{} {}", server.url("postgres"), server.home().display());
            until_interrupted()
        }
        What::Up(kind) => {
            let Some(cluster) = kind.raise() else { return Ok(()) };
            println!("{} {}", cluster.url("postgres"), cluster.home().display());
            until_interrupted()
        }
        What::Faults { kind, count, seed, lanes } => {
            let Some(mut cluster) = kind.raise() else { return Ok(()) };
            let mut writer = Writer::start(&cluster, lanes)?;
            let mut done = 0;
            carry_out(&mut cluster, &mut writer, &plan(count, seed), |round| {
                done += 1;
                println!("{done} of {count}: {round}");
            })?;
            println!("cluster: {done} passed, 0 failed");
            Ok(())
        }
    }
}

/// Waits for Ctrl-C.
fn until_interrupted() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(tokio::signal::ctrl_c())?)
}
