//! What is measured, in which order, against what.
//!
//! All programs of a comparison run at the same time and are measured in turns, several rounds of them, so
//! that what the machine does beside us strikes all alike. Of the rounds the median counts.

mod growth;
mod hanging;
pub(crate) mod hold;
mod rights;
mod shared;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;
use tongguan_testkit::http::Connection;
use tongguan_testkit::program::Program;
use tongguan_testkit::world::settled;
use tongguan_testkit::{Call, Caller};

use crate::api::{self, Client, Scheme};
use crate::ceiling::Check;
use crate::changes::{self, CALLERS, Changes, Slots};
use crate::load::{self, Plan, Target, Window};
use crate::machine::{self, Cores};
use crate::report::{Report, Row, Verdicts};
use crate::server::{self, Server};
use crate::{Options, Part, sqlite, world};

/// Keep-alive connections of the reads.
const CONNECTIONS: usize = 16;
/// Part of its ceiling that a verified read must reach.
const READ_PART: f64 = 0.55;
/// Longest 99th percentile of a verified read, milliseconds.
const READ_P99_MS: f64 = 2.0;
/// Durable changes per second that are enough on any disk.
const CHANGES: f64 = 10_000.0;
/// Part of the grouped ceiling that is enough instead.
const CHANGES_PART: f64 = 0.5;
/// Longest 99th percentile of a durable change, milliseconds.
const CHANGES_P99_MS: f64 = 15.0;
/// Longest start with an empty store, milliseconds.
const START_MS: f64 = 50.0;
/// Most resident memory at rest, MiB.
const IDLE_MIB: f64 = 20.0;
/// Largest binary, MB.
const BINARY_MB: f64 = 25.0;
/// Starts that are measured.
const STARTS: usize = 5;

/// What the ceilings answer when no server is measured.
const SAMPLE: &str = r#"{"RequestId":"197AF2BD-547F-470C-B29A-8400400233EB","VpnGatewayId":"vpn-bp1q8bgx4xnkm2ogjabcd","VpcId":"vpc-bp1ub1yt9cvakoelj1234","VSwitchId":"vsw-bp1y9ovl1cu9ou4tv5678","InternetIp":"198.18.47.11","CreateTime":1492753580000,"EndTime":4102416000000,"Spec":"10M","Name":"","Description":"","Status":"active","BusinessStatus":"Normal","ChargeType":"POSTPAY","IpsecVpn":"enable","SslVpn":"disable","SslMaxConnections":0,"Tag":"{\"VpnEnableBgp\":\"false\"}","EnableBgp":false,"AutoPropagate":false,"VpnType":"NationalStandard","NetworkType":"public","ResourceGroupId":"rg-acfmabcdefghijk","Tags":{"Tag":[]},"ReservationData":{}}"#;

/// Length and number of windows.
#[derive(Debug, Clone, Copy)]
struct Scale {
    rounds: usize,
    length: Duration,
    /// Gateways of the growth part, fewest first.
    sizes: &'static [usize],
}

const QUICK: Scale = Scale { rounds: 3, length: Duration::from_millis(1_000), sizes: &[10, 1_000, 10_000] };
const FULL: Scale =
    Scale { rounds: 7, length: Duration::from_millis(3_000), sizes: &[10, 1_000, 10_000, 100_000] };

/// What the parts share.
struct Suite {
    scale: Scale,
    cores: Cores,
    caller: Rc<Caller>,
    directory: PathBuf,
    server: Option<Server>,
    report: Report,
    /// Windows of saturating load: those in which something else ran on the server's core, and all.
    disturbed: (usize, usize),
}

/// Measures, prints the report and saves it if asked to.
///
/// # Errors
/// Something could not be measured. A missed target is no error.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let cores = Cores::take();
    let beside = std::env::current_exe().context("where am I?")?;
    let beside = beside.parent().context("a program without a directory")?.to_owned();
    let parent = options.directory.as_deref().unwrap_or(&beside);
    let scratch =
        tempfile::Builder::new().prefix("bench-").tempdir_in(parent).context("no scratch directory")?;
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let with_server = [
        Part::Reads,
        Part::Rights,
        Part::Changes,
        Part::Connections,
        Part::Scaling,
        Part::Footprint,
        Part::Shared,
    ];
    let with_server = with_server.into_iter().any(wanted);
    let server = with_server.then(|| find_server(options, &beside)).transpose()?;
    let mut suite = Suite {
        scale: if options.quick { QUICK } else { FULL },
        cores,
        caller: Rc::new(api::root()),
        directory: scratch.path().to_owned(),
        server: server.map(|binary| Server::new(binary, cores)),
        report: Report::default(),
        disturbed: (0, 0),
    };
    suite.facts(options);
    if wanted(Part::Ceilings) || wanted(Part::Reads) {
        suite.reads(wanted(Part::Reads)).await?;
    }
    if wanted(Part::Rights) {
        suite.rights().await?;
    }
    if wanted(Part::Ceilings) || wanted(Part::Changes) {
        suite.changes(wanted(Part::Changes)).await?;
    }
    if wanted(Part::Connections) {
        suite.creation().await?;
    }
    if wanted(Part::Shared) {
        suite.shared().await?;
    }
    if wanted(Part::Footprint) {
        suite.footprint().await?;
    }
    if wanted(Part::Scaling) {
        suite.growth().await?;
    }
    if wanted(Part::Connections) {
        suite.hanging().await?;
    }
    let (disturbed, windows) = suite.disturbed;
    let disturbed = format!("{disturbed} of {windows}; left out where others remain");
    suite.report.fact("read windows in which something else ran on the core", disturbed);
    if let Some(path) = &options.markdown {
        suite.report.save(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let Verdicts { missed, disturbed, all } = suite.report.verdicts();
    let verdict = format!("{missed} of {all} targets missed, {disturbed} not judged");
    write!(std::io::stdout(), "{}\n{verdict}\n", suite.report.text()).context("cannot print the report")
}

/// The server's program file, built first unless one was named.
pub(crate) fn find_server(options: &Options, beside: &Path) -> Result<PathBuf> {
    if let Some(path) = &options.server {
        return path.canonicalize().with_context(|| format!("no server in {}", path.display()));
    }
    if let Some(cargo) = std::env::var_os("CARGO") {
        say("building the server");
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "--quiet", "--package", "tongguan", "--bin", "tongguan"]);
        ensure!(build.status().context("cannot run cargo")?.success(), "the server cannot be built");
    }
    let path = beside.join("tongguan");
    ensure!(path.is_file(), "no server beside this program: name one with --server");
    Ok(path)
}

/// Progress, for those who wait.
fn say(text: &str) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr(), "{text} ...");
}

impl Suite {
    fn facts(&mut self, options: &Options) {
        let report = &mut self.report;
        report.fact("machine", machine::describe());
        report.fact("pinning", self.cores.describe());
        report.fact("file system", machine::file_system(&self.directory));
        report.fact("date", jiff::Zoned::now().strftime("%Y-%m-%d").to_string());
        let quick = if options.quick { " -- --quick" } else { "" };
        report.fact("command", format!("cargo run --release -p tongguan-bench{quick}"));
        let Scale { rounds, length, .. } = self.scale;
        report.fact("windows", format!("{rounds} rounds of {length:?}, the median window counts"));
    }

    fn count_disturbed(&mut self, windows: &[Window]) {
        self.disturbed.0 += windows.iter().filter(|window| window.disturbed()).count();
        self.disturbed.1 += windows.len();
    }

    fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("no server was looked for")
    }

    fn plan(&self) -> Plan {
        Plan { connections: CONNECTIONS, length: self.scale.length }
    }

    /// Verified reads against axum with and without the signature check.
    async fn reads(&mut self, with_server: bool) -> Result<()> {
        say("reads and their ceilings");
        let (program, gateway) = if with_server {
            let program = self.server()?.start(&self.directory.join("reads"))?;
            let world = world::make(program.address(), &self.caller, 10, true).await?;
            (Some(program), world.gateways[0].clone())
        } else {
            (None, "vpn-bp1q8bgx4xnkm2ogjabcd".to_owned())
        };
        let body = self.directory.join("answer.json");
        let sample = match &program {
            Some(program) => self.fetch(target(program), &api::gateway(&gateway)).await?,
            None => SAMPLE.as_bytes().to_vec(),
        };
        std::fs::write(&body, sample).context("cannot write the answer")?;
        let ceiling = |check| server::ceiling(check, &body, self.cores);
        let (none, v1, v3) = (ceiling(Check::None)?, ceiling(Check::V1)?, ceiling(Check::V3)?);
        let describe = api::gateway(&gateway);
        let list = api::associations_of(&gateway);
        let mut contests = vec![
            Contest::new("bare axum, same bytes", &none, Scheme::V1, &describe),
            Contest::new("axum + V1 check", &v1, Scheme::V1, &describe),
            Contest::new("axum + V3 check", &v3, Scheme::V3, &describe),
        ];
        if let Some(program) = &program {
            contests.push(Contest::new("DescribeVpnGateway, V1", program, Scheme::V1, &describe));
            contests.push(Contest::new("DescribeVpnGateway, V3", program, Scheme::V3, &describe));
            contests.push(Contest::new("ListVpnCertificateAssociations, V1", program, Scheme::V1, &list));
            contests.push(Contest::new("ListVpnCertificateAssociations, V3", program, Scheme::V3, &list));
        }
        for round in 1..=self.scale.rounds {
            say(&format!("  round {round} of {}", self.scale.rounds));
            for contest in &mut contests {
                let mut make =
                    || api::signed(&self.caller, contest.scheme, &contest.host, &contest.operation);
                let window = load::measure(contest.target, self.plan(), &mut make).await;
                contest.windows.push(window.with_context(|| contest.name.clone())?);
            }
        }
        self.report_reads(contests)
    }

    fn report_reads(&mut self, contests: Vec<Contest>) -> Result<()> {
        let mut rows = Vec::new();
        let mut ceilings: [Option<Window>; 2] = [None; 2];
        for (i, contest) in contests.into_iter().enumerate() {
            self.count_disturbed(&contest.windows);
            let window = load::median(load::undisturbed(&contest.windows))?;
            let row = Row::new(&contest.name, window.rate, "requests/s");
            if i < 3 {
                if i > 0 {
                    ceilings[i - 1] = Some(window);
                }
                rows.extend([row, Row::new("  p99", window.p99, "ms")]);
                continue;
            }
            let of = match contest.scheme {
                Scheme::V1 => ceilings[0],
                Scheme::V3 => ceilings[1],
            };
            let of = of.context("the ceilings come first")?;
            let disturbed = window.disturbed() || of.disturbed();
            rows.push(row.against(of.rate).at_least_part(READ_PART).disturbed(disturbed));
            rows.push(Row::new("  p50", window.p50, "ms").against(of.p50));
            let p99 = Row::new("  p99", window.p99, "ms").against(of.p99).at_most(READ_P99_MS);
            rows.push(p99.disturbed(window.disturbed()));
            rows.push(Row::new("  processor time", window.cpu_us, "µs/request").against(of.cpu_us));
        }
        let title = format!("Verified reads, {CONNECTIONS} connections");
        self.report.section(title, "with check only", rows);
        Ok(())
    }

    /// Durable changes against the statements alone.
    async fn changes(&mut self, with_server: bool) -> Result<()> {
        say("durable changes and their ceiling");
        let started = if with_server { Some(self.start_with_slots().await?) } else { None };
        let mut ceilings = Vec::new();
        let mut windows: Vec<Changes> = Vec::new();
        let mut lanes = Vec::new();
        let program = started.map(|(program, slots)| {
            lanes = slots;
            program
        });
        for round in 1..=self.scale.rounds {
            say(&format!("  round {round} of {}", self.scale.rounds));
            ceilings.push(self.sqlite(round)?);
            if let Some(program) = &program {
                let length = self.scale.length;
                windows.push(changes::measure(target(program), &mut lanes, length).await?);
            }
        }
        let what = format!("{CALLERS} callers, Associate and Dissociate");
        self.report_changes("Durable changes", &what, CHANGES, &ceilings, windows);
        Ok(())
    }

    /// A table of changes beside the statements of a binding: there must be `enough` of them in a second, or half as
    /// many.
    fn report_changes(
        &mut self,
        title: &str,
        what: &str,
        enough: f64,
        ceilings: &[sqlite::Figures],
        windows: Vec<Changes>,
    ) {
        let middle = |pick: fn(&sqlite::Figures) -> f64| middle(ceilings.iter().map(pick).collect());
        let (single, grouped) = (middle(|figures| figures.single), middle(|figures| figures.grouped));
        let mut rows = vec![
            Row::new("SQLite, one commit each", single, "bindings/s"),
            Row::new(format!("SQLite, one commit for {CALLERS}"), grouped, "bindings/s"),
        ];
        if let Some(Changes { window, refusals }) = changes::median(windows) {
            let target = format!("≥ {enough:.0} or ≥ {:.0} %", CHANGES_PART * 100.0);
            let enough = window.rate >= enough || window.rate >= CHANGES_PART * grouped;
            rows.push(Row::new(what, window.rate, "changes/s").against(grouped).target(target, enough));
            rows.push(Row::new("  p50", window.p50, "ms"));
            rows.push(Row::new("  p99", window.p99, "ms").at_most(CHANGES_P99_MS));
            rows.push(Row::new("  processor time, refusals included", window.cpu_us, "µs/change"));
            rows.push(Row::new("  VpnGateway.Configuring, tried again", refusals, "per change"));
        }
        self.report.section(title, "grouped SQLite", rows);
    }

    /// A server with a gateway and a certificate for each caller.
    async fn start_with_slots(&self) -> Result<(Program, Vec<Slots>)> {
        let program = self.server()?.start(&self.directory.join("changes"))?;
        let lanes = world::slots(program.address(), &self.caller, CALLERS).await?;
        Ok((program, lanes))
    }

    fn sqlite(&self, round: usize) -> Result<sqlite::Figures> {
        let directory = self.directory.join(format!("sqlite-{round}"));
        std::fs::create_dir(&directory).context("cannot make the directory of SQLite")?;
        let mut command = Command::new(std::env::current_exe().context("where am I?")?);
        command.args(["sqlite", "--milliseconds", &self.scale.length.as_millis().to_string(), "--directory"]);
        let figures = self.figures(command.arg(&directory))?;
        std::fs::remove_dir_all(&directory).context("cannot remove the directory of SQLite")?;
        Ok(figures)
    }

    /// What a ceiling says that is run on the server's core.
    fn figures<T: DeserializeOwned>(&self, command: &mut Command) -> Result<T> {
        command.stderr(Stdio::inherit()).stdout(Stdio::piped());
        let child = self.cores.on_server(|| command.spawn()).context("cannot start a ceiling")?;
        let output = child.wait_with_output().context("cannot wait")?;
        ensure!(output.status.success(), "{command:?} ended with {}", output.status);
        serde_json::from_slice(&output.stdout).context("a ceiling said no figures")
    }

    /// Binary, memory at rest, start with an empty store.
    async fn footprint(&mut self) -> Result<()> {
        say("start with an empty store, memory at rest");
        let mut starts = Vec::new();
        let mut idle = f64::NAN;
        for n in 1..=STARTS {
            let directory = self.directory.join(format!("empty-{n}"));
            let (program, milliseconds) = self.first_answer(&directory).await?;
            starts.push(milliseconds);
            if n == STARTS {
                tokio::time::sleep(Duration::from_secs(2)).await;
                idle = machine::resident_mib(program.pid())?;
            }
            program.end()?;
        }
        let size = std::fs::metadata(self.server()?.binary()).context("no binary")?.len() as f64 / 1e6;
        let rows = vec![
            Row::new("start to first answer, no store yet", middle(starts), "ms").at_most(START_MS),
            Row::new("resident memory, idle", idle, "MiB").at_most(IDLE_MIB),
            Row::new("binary", size, "MB").at_most(BINARY_MB),
        ];
        self.report.section("Footprint", "", rows);
        Ok(())
    }

    /// Starts the server; milliseconds until it has answered a signed DescribeRegions.
    async fn first_answer(&self, directory: &Path) -> Result<(Program, f64)> {
        let begun = Instant::now();
        let program = self.server()?.start(directory)?;
        let mut client = Client::open(&self.caller, program.address()).await?;
        settled(&mut client, &api::regions()).await?;
        Ok((program, begun.elapsed().as_secs_f64() * 1e3))
    }

    /// An answer as it comes over the wire.
    async fn fetch(&self, target: Target, operation: &Call<'_>) -> Result<Vec<u8>> {
        let mut connection = Connection::open(target.address).await?;
        let request = api::signed(&self.caller, Scheme::V1, &target.address.to_string(), operation);
        let answer = connection.exchange(&request).await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        Ok(answer.body.to_vec())
    }
}

/// Something that is measured in turns with others.
struct Contest {
    name: String,
    target: Target,
    host: String,
    scheme: Scheme,
    operation: Call<'static>,
    windows: Vec<Window>,
}

impl Contest {
    fn new(name: &str, program: &Program, scheme: Scheme, operation: &Call<'static>) -> Self {
        let target = target(program);
        Self {
            name: name.to_owned(),
            target,
            host: target.address.to_string(),
            scheme,
            operation: operation.clone(),
            windows: Vec::new(),
        }
    }
}

fn target(program: &Program) -> Target {
    Target { address: program.address(), pid: program.pid() }
}

/// The median.
fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
