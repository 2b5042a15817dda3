//! Does anything cost more when there are more gateways?
//!
//! A server for each size stands ready, and the sizes are measured in turns.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tongguan_testkit::Call;
use tongguan_testkit::program::Program;

use crate::api::{self, Role, Scheme};
use crate::changes::{self, Slot, Slots};
use crate::load::{self, Target, Window};
use crate::machine;
use crate::report::Row;
use crate::world::{self, World};

use super::{STARTS, Suite, middle, say, target};

/// Part of the rate with the fewest gateways that must be left.
const PART: f64 = 0.9;
/// By how much a change may take longer than with the fewest gateways.
const LONGER: f64 = 1.1;
/// Longest start with the most gateways, milliseconds.
const START_MS: f64 = 300.0;
/// Gateways at which memory has a target.
const MEMORY_SIZE: usize = 10_000;
/// Most resident memory then, MiB.
const MEMORY_MIB: f64 = 40.0;
/// Gateways that a single caller binds and unbinds in turn, spread over all.
const BOUND: usize = 10;

/// A server with a number of gateways, and what was measured on it.
struct Stage {
    size: usize,
    directory: PathBuf,
    program: Program,
    world: World,
    slots: Vec<Slots>,
    resident_mib: f64,
    /// By [`Kind`].
    windows: [Vec<Window>; 5],
}

/// What is measured at each size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gateway,
    Page,
    List,
    Filtered,
    Bind,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Gateway, Self::Page, Self::List, Self::Filtered, Self::Bind];

    fn name(self) -> &'static str {
        match self {
            Self::Gateway => "DescribeVpnGateway, any of them",
            Self::Page => "DescribeVpnGateways, PageSize=50",
            Self::List => "ListVpnCertificateAssociations, MaxResults=20",
            Self::Filtered => "ListVpnCertificateAssociations, any one gateway",
            Self::Bind => "one caller, Associate and Dissociate",
        }
    }

    /// Gateways from which on the answers are alike: the page is full and another one follows.
    fn fills(self) -> usize {
        match self {
            Self::Page => 51,
            Self::List => 11,
            Self::Gateway | Self::Filtered | Self::Bind => 10,
        }
    }
}

impl Suite {
    /// Reads, changes, memory and start by number of gateways.
    pub(super) async fn growth(&mut self) -> Result<()> {
        let mut stages = Vec::new();
        let mut seeding = Vec::new();
        for size in self.scale.sizes {
            say(&format!("making {size} gateways with two bindings each"));
            let begun = Instant::now();
            stages.push(self.stage(*size).await?);
            let seconds = begun.elapsed().as_secs_f64();
            let label = format!("{} gateways made and bound through the API", thousands(*size));
            seeding.push(Row::new(label, *size as f64 * 3.0 / seconds, "changes/s"));
        }
        for round in 1..=self.scale.rounds {
            say(&format!("growth, round {round} of {}", self.scale.rounds));
            for kind in Kind::ALL {
                for stage in &mut stages {
                    let window = self.window(stage, kind).await;
                    let window =
                        window.with_context(|| format!("{}, {} gateways", kind.name(), stage.size))?;
                    stage.windows[kind as usize].push(window);
                }
            }
        }
        for kind in Kind::ALL {
            self.report_kind(&stages, kind)?;
        }
        let rows = stages.iter().map(|stage| {
            let label = format!("resident memory after making {} gateways", thousands(stage.size));
            let row = Row::new(label, stage.resident_mib, "MiB");
            if stage.size == MEMORY_SIZE { row.at_most(MEMORY_MIB) } else { row }
        });
        let mut rows: Vec<_> = rows.chain(seeding).collect();
        let largest = stages.pop().context("no sizes")?;
        rows.push(self.restarts(largest).await?);
        self.report.section("Size", "", rows);
        Ok(())
    }

    async fn stage(&self, size: usize) -> Result<Stage> {
        let directory = self.directory.join(format!("gateways-{size}"));
        let program = self.server()?.start(&directory)?;
        let world = world::make(program.address(), &self.caller, size, true).await?;
        let resident_mib = machine::resident_mib(program.pid())?;
        let step = size / BOUND;
        let slots = (0..BOUND).map(|n| Slot {
            gateway: world.gateways[n * step].clone(),
            role: Role::Encryption,
            certificate: world.encryption.clone(),
            bound: true,
        });
        let slots = vec![Slots::new(&self.caller, slots.collect())];
        Ok(Stage { size, directory, program, world, slots, resident_mib, windows: Default::default() })
    }

    async fn window(&self, stage: &mut Stage, kind: Kind) -> Result<Window> {
        let Target { address, pid } = target(&stage.program);
        let host = address.to_string();
        let sign = |operation: &Call<'_>| api::signed(&self.caller, Scheme::V1, &host, operation);
        let (page, list) = (api::gateways(), api::associations());
        let mut drawn = 0_usize;
        let mut any = || {
            // A full-period step through all gateways that visits no neighbours in turn.
            drawn = (drawn + 7_919) % stage.world.gateways.len();
            stage.world.gateways[drawn].as_str()
        };
        let target = Target { address, pid };
        match kind {
            Kind::Gateway => load::measure(target, self.plan(), &mut || sign(&api::gateway(any()))).await,
            Kind::Page => load::measure(target, self.plan(), &mut || sign(&page)).await,
            Kind::List => load::measure(target, self.plan(), &mut || sign(&list)).await,
            Kind::Filtered => {
                load::measure(target, self.plan(), &mut || sign(&api::associations_of(any()))).await
            }
            Kind::Bind => {
                let measured = changes::measure(target, &mut stage.slots, self.scale.length);
                Ok(measured.await?.window)
            }
        }
    }

    fn report_kind(&mut self, stages: &[Stage], kind: Kind) -> Result<()> {
        let windows = stages.iter().map(|stage| (stage.size, stage.windows[kind as usize].as_slice()));
        if kind != Kind::Bind {
            return self.report_reads_by_size(kind.name(), "gateways", kind.fills(), windows);
        }
        let mut rows = Vec::new();
        let mut first = None;
        for (size, windows) in windows {
            let window = load::median(windows.to_vec())?;
            let first = *first.get_or_insert(window);
            let row = Row::new(format!("  {} gateways", thousands(size)), window.p50, "ms, p50");
            let row = row.against(first.p50);
            rows.push(row.target(format!("≤ {:.0} %", LONGER * 100.0), window.p50 <= LONGER * first.p50));
            rows.push(Row::new("    processor time", window.cpu_us, "µs/change").against(first.cpu_us));
        }
        self.report.section(kind.name(), "with fewest gateways", rows);
        Ok(())
    }

    /// A table of one read by the number of `things`: from the number on that fills its page, it must stay about as
    /// fast.
    pub(super) fn report_reads_by_size<'w>(
        &mut self,
        title: &str,
        things: &str,
        fills: usize,
        windows: impl Iterator<Item = (usize, &'w [Window])>,
    ) -> Result<()> {
        let mut rows = Vec::new();
        let mut first = None;
        for (size, windows) in windows {
            self.count_disturbed(windows);
            let window = load::median(load::undisturbed(windows))?;
            let label = format!("  {} {things}", thousands(size));
            if size < fills {
                rows.push(Row::new(format!("{label}, no further page"), window.rate, "requests/s"));
                continue;
            }
            let first = *first.get_or_insert(window);
            let row = Row::new(label, window.rate, "requests/s").against(first.rate);
            rows.push(row.at_least_part(PART).disturbed(window.disturbed() || first.disturbed()));
            rows.push(Row::new("    processor time", window.cpu_us, "µs/request").against(first.cpu_us));
        }
        self.report.section(title, "with the fewest", rows);
        Ok(())
    }

    /// Start to first answer after an orderly stop.
    async fn restarts(&self, stage: Stage) -> Result<Row> {
        say(&format!("start with {} gateways", stage.size));
        let mut starts = Vec::new();
        let mut program = stage.program;
        for _ in 0..STARTS {
            program.end()?;
            let (next, milliseconds) = self.first_answer(&stage.directory).await?;
            starts.push(milliseconds);
            program = next;
        }
        program.end()?;
        let label = format!("start to first answer, {} gateways", thousands(stage.size));
        Ok(Row::new(label, middle(starts), "ms").at_most(START_MS))
    }
}

pub(super) fn thousands(size: usize) -> String {
    if size < 1_000 { size.to_string() } else { format!("{},{:03}", size / 1_000, size % 1_000) }
}
