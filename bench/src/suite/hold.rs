//! One kind of load by itself, for as long as a profiler wants to look.

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use tongguan_testkit::Call;
use tongguan_testkit::program::Program;

use crate::api::{self, Scheme};
use crate::changes::{self, Places};
use crate::load::{self, Plan, Window};
use crate::machine::Cores;
use crate::report::Report;
use crate::server::Server;
use crate::world;

use super::{CONNECTIONS, QUICK, Suite, find_server, say, target};

/// What to load with, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The calls.
    calls: Calls,
    /// How long.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Gateways in the store; of no account for changes.
    #[arg(long, default_value_t = 64)]
    gateways: usize,
}

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Calls {
    DescribeV1,
    DescribeV3,
    ListV1,
    Page,
    Changes,
    /// Connections made on 2,560 gateways, each of which gets one after the other.
    Connections,
}

/// Starts the server, makes its world, tells its process id, and loads it.
///
/// # Errors
/// As the suite's.
pub(crate) async fn run(common: &crate::Options, options: &Options) -> Result<()> {
    let cores = Cores::take();
    let beside = std::env::current_exe().context("where am I?")?;
    let beside = beside.parent().context("a program without a directory")?;
    let scratch =
        tempfile::tempdir_in(common.directory.as_deref().unwrap_or(beside)).context("no directory")?;
    let suite = suite(common, cores, scratch.path(), beside)?;
    let mut places: Vec<Places> = Vec::new();
    let (program, mut lanes, gateway) = match options.calls {
        Calls::Changes => {
            let (program, lanes) = suite.start_with_slots().await?;
            (program, lanes, String::new())
        }
        Calls::Connections => {
            let (program, lanes) = suite.start_with_places("hold").await?;
            places = lanes;
            (program, Vec::new(), String::new())
        }
        Calls::DescribeV1 | Calls::DescribeV3 | Calls::ListV1 | Calls::Page => {
            let program = suite.server()?.start(&suite.directory.join("hold"))?;
            let world = world::make(program.address(), &suite.caller, options.gateways, true).await?;
            (program, Vec::new(), world.gateways[0].clone())
        }
    };
    say(&format!("process {}, for {} seconds", program.pid(), options.seconds));
    let end = Instant::now() + Duration::from_secs(options.seconds);
    while Instant::now() < end {
        let length = Duration::from_secs(2);
        let window = match options.calls {
            Calls::Changes => changes::measure(target(&program), &mut lanes, length).await?.window,
            Calls::Connections => changes::measure(target(&program), &mut places, length).await?.window,
            Calls::DescribeV1 => reads(&suite, &program, Scheme::V1, &api::gateway(&gateway)).await?,
            Calls::DescribeV3 => reads(&suite, &program, Scheme::V3, &api::gateway(&gateway)).await?,
            Calls::ListV1 => reads(&suite, &program, Scheme::V1, &api::associations_of(&gateway)).await?,
            Calls::Page => reads(&suite, &program, Scheme::V1, &api::gateways()).await?,
        };
        let Window { rate, p50, p99, cpu_us, .. } = window;
        say(&format!("{rate:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms, processor {cpu_us:.1} µs"));
    }
    program.end()
}

fn suite(common: &crate::Options, cores: Cores, directory: &Path, beside: &Path) -> Result<Suite> {
    Ok(Suite {
        scale: QUICK,
        cores,
        caller: Rc::new(api::root()),
        directory: directory.to_owned(),
        server: Some(Server::new(find_server(common, beside)?, cores)),
        report: Report::default(),
        disturbed: (0, 0),
    })
}

async fn reads(suite: &Suite, program: &Program, scheme: Scheme, operation: &Call<'_>) -> Result<Window> {
    let target = target(program);
    let host = target.address.to_string();
    let plan = Plan { connections: CONNECTIONS, length: Duration::from_secs(2) };
    load::measure(target, plan, &mut || api::signed(&suite.caller, scheme, &host, operation)).await
}
