//! A store that nodes share, on PostgreSQL of this machine, alone and with a synchronous standby: changes and reads of
//! one node beside the statements alone ([`crate::postgres`]).
//!
//! Databases, node and ceiling have the server's core. Changes of one account follow each other, those of several
//! accounts are written side by side: both are measured.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use tongguan_cluster::{Missing, Options, Postgres, Single};
use tongguan_testkit::Caller;
use tongguan_testkit::program::{self, Program};

use super::{Suite, middle, say, target};
use crate::api::{self, Scheme};
use crate::changes::{self, CALLERS, Changes, Slots};
use crate::load::{self, Window};
use crate::report::Row;
use crate::{postgres, world};

/// Accounts whose changes are written side by side.
const ACCOUNTS: usize = 16;
/// Part of the statements alone that must be reached.
const PART: f64 = 0.6;

/// A node, and the databases under it.
struct Stage {
    /// Whose database the ceiling uses.
    ceiling: String,
    node: Program,
    one: Vec<Slots>,
    many: Vec<Slots>,
    // Dropped after the node.
    _standby: Option<Single>,
    _primary: Single,
}

impl Suite {
    /// Changes and reads of a node that shares its store.
    pub(super) async fn shared(&mut self) -> Result<()> {
        let programs = match Postgres::find() {
            Ok(programs) => programs,
            Err(Missing(what)) => {
                self.report.fact("a store that nodes share", format!("not measured: {what}"));
                return Ok(());
            }
        };
        for (standby, title) in [(false, "alone"), (true, "with a synchronous standby")] {
            say(&format!("a store that nodes share, PostgreSQL {title}"));
            let stage = self.shared_stage(&programs, standby).await?;
            self.beside_statements(stage, title).await?;
        }
        Ok(())
    }

    async fn shared_stage(&self, programs: &Postgres, standby: bool) -> Result<Stage> {
        let options = Options { fsync: true, ..Options::default() };
        let options = options.with("shared_buffers", "128MB").with("max_connections", "200");
        let (primary, standby) = self.cores.on_server(|| -> Result<_> {
            let primary = Single::start(programs.clone(), &options)?;
            let standby = standby.then(|| primary.synchronous_standby()).transpose()?;
            Ok((primary, standby))
        })?;
        primary.create_database("ceiling", "template1")?;
        primary.create_database("service", "template1")?;
        let name = if standby.is_some() { "standby" } else { "alone" };
        let directory = self.directory.join(format!("shared-{name}"));
        let callers: Vec<Rc<Caller>> = (0..ACCOUNTS)
            .map(|n| Rc::new(Caller::of(&format!("benchid{n}"), &format!("0123456789abcdefghijklmno{n:05}"))))
            .collect();
        let node = self.node(&directory, &primary.url("service"), &callers)?;
        let one = world::slots(node.address(), &self.caller, CALLERS).await?;
        let mut many = Vec::with_capacity(CALLERS);
        for caller in &callers {
            many.extend(world::slots(node.address(), caller, CALLERS / ACCOUNTS).await?);
        }
        let ceiling = primary.url("ceiling");
        Ok(Stage { ceiling, node, one, many, _standby: standby, _primary: primary })
    }

    /// A node on an empty database, with an account for each caller.
    fn node(&self, directory: &Path, url: &str, callers: &[Rc<Caller>]) -> Result<Program> {
        let config = directory.with_extension("toml");
        let principal = |(n, caller): (usize, &Rc<Caller>)| {
            let Caller { id, secret, .. } = &**caller;
            format!(
                "[[principal]]\naccount_id = \"15000000000000{n:02}\"\naccess_key_id = \"{id}\"\n\
                 access_key_secret = \"{secret}\"\n"
            )
        };
        std::fs::write(&config, callers.iter().enumerate().map(principal).collect::<String>())?;
        // It holds secrets, and is the service's own.
        std::fs::set_permissions(&config, Permissions::from_mode(0o600))?;
        let server = self.server()?;
        let key = directory.with_extension("key");
        let shared = |command: &mut Command| {
            command.env("TONGGUAN_DATABASE", url).env("TONGGUAN_MASTER_KEY_FILE", &key);
        };
        let mut init = program::command(server.binary());
        init.args(["database", "init", "--data-dir"]).arg(directory);
        shared(&mut init);
        let done = init.output().context("cannot make the database")?;
        ensure!(done.status.success(), "{}", program::text(&done));
        server.start_with(directory, |command| {
            shared(command);
            command.arg("--config").arg(&config);
        })
    }

    async fn beside_statements(&mut self, mut stage: Stage, title: &str) -> Result<()> {
        let (mut ceilings, mut one, mut many, mut reads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let gateway = api::gateway(stage.one[0].gateway());
        let (to, length) = (target(&stage.node), self.scale.length);
        let host = to.address.to_string();
        for round in 1..=self.scale.rounds {
            say(&format!("  round {round} of {}", self.scale.rounds));
            // Of one account by one connection, of several by all.
            ceilings.push([self.statements(&stage.ceiling, 1)?, self.statements(&stage.ceiling, lanes())?]);
            one.push(changes::measure(to, &mut stage.one, length).await?);
            many.push(changes::measure(to, &mut stage.many, length).await?);
            let mut make = || api::signed(&self.caller, Scheme::V1, &host, &gateway);
            reads.push(load::measure(to, self.plan(), &mut make).await?);
        }
        let of = |writers: usize, pick: fn(&postgres::Figures) -> f64| {
            middle(ceilings.iter().map(|both| pick(&both[writers])).collect())
        };
        let mut rows = Vec::new();
        let all = format!("{CALLERS} callers, {ACCOUNTS} accounts");
        for (what, windows, ceiling) in [
            (format!("{CALLERS} callers, one account"), one, of(0, |figures| figures.changes)),
            (all, many, of(1, |figures| figures.changes)),
        ] {
            let Changes { window, refusals } = changes::median(windows).context("no windows")?;
            rows.push(Row::new(what, window.rate, "changes/s").against(ceiling).at_least_part(PART));
            rows.extend(times(&window, "µs/change"));
            rows.push(Row::new("  VpnGateway.Configuring, tried again", refusals, "per change"));
        }
        let ceiling = of(1, |figures| figures.reads);
        let window = load::median(reads)?;
        rows.push(
            Row::new("DescribeVpnGateway, V1", window.rate, "requests/s")
                .against(ceiling)
                .at_least_part(PART),
        );
        rows.extend(times(&window, "µs/request"));
        self.report.section(
            format!("A store that nodes share, PostgreSQL {title}"),
            "the statements alone",
            rows,
        );
        Ok(())
    }

    fn statements(&self, url: &str, writers: usize) -> Result<postgres::Figures> {
        let mut command = Command::new(std::env::current_exe().context("where am I?")?);
        command.args([
            "postgres",
            "--milliseconds",
            &self.scale.length.as_millis().to_string(),
            "--url",
            url,
        ]);
        let readers = tongguan_store::Options::default().readers;
        command.args(["--writers", &writers.to_string(), "--readers", &readers.to_string()]);
        self.figures(&mut command)
    }
}

/// Connections by which a node writes.
fn lanes() -> usize {
    tongguan_store::Options::default().lanes
}

fn times(window: &Window, unit: &'static str) -> [Row; 3] {
    [
        Row::new("  p50", window.p50, "ms"),
        Row::new("  p99", window.p99, "ms"),
        Row::new("  processor time of the node", window.cpu_us, unit),
    ]
}
