//! How many instructions the hot paths take, compared with what is recorded: clearly more than that fails.
//!
//! Counted instructions do not wobble with what else the machine does, so that a path that has become more expensive is
//! told from noise. The counter is valgrind's callgrind, which needs no permission and no hardware: the program runs
//! itself under it and reads what it dumps between one path and the next. What the kernel does is not counted.
//!
//! `make instructions` builds and runs it, `make instructions-record` records anew. By itself (`cargo test`) it says
//! that it was skipped: our own code is not optimised there. The counts depend on the compilers, the processor's
//! instruction sets and valgrind, so a record is kept for each of them.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that people read")]

mod machine;
mod paths;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::machine::Machine;
use crate::paths::NAMES;

/// The program's own allocator, which counts too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Says what to do: `check`, `record`, or `run`, which the program calls itself with, under valgrind.
const TASK: &str = "TONGGUAN_INSTRUCTIONS";
/// How much more than recorded a path may take, per cent. Counts of one build differ by up to one between runs.
const TOLERATED: f64 = 3.0;

/// Instructions of one call, by path.
type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    match std::env::var(TASK).as_deref() {
        Ok("run") => {
            paths::run();
            ExitCode::SUCCESS
        }
        Ok("record") => drive(true),
        Ok("check") => drive(false),
        Ok(task) => panic!("{TASK} is `{task}`"),
        Err(_) => {
            println!("skipped: instructions are counted in a build of their own, by `make instructions`");
            ExitCode::SUCCESS
        }
    }
}

fn drive(record: bool) -> ExitCode {
    let Some(machine) = Machine::here() else {
        println!(
            "skipped: instructions are counted with valgrind, which is not installed (Debian: apt-get install valgrind)"
        );
        return ExitCode::SUCCESS;
    };
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/instructions/recorded/{machine}.txt"));
    let recorded = std::fs::read_to_string(&file).ok();
    if recorded.is_none() && !record {
        println!(
            "skipped: no instructions are recorded for {machine}; `make instructions-record` records them"
        );
        return ExitCode::SUCCESS;
    }
    let counts = count();
    if record {
        std::fs::write(&file, written(&counts)).unwrap();
        println!("recorded in {}", file.display());
    }
    let recorded = if record { counts.clone() } else { read(&recorded.unwrap_or_default()) };
    compare(&recorded, &counts)
}

/// Runs the paths under callgrind.
fn count() -> Counts {
    let directory = tempfile::tempdir().unwrap();
    let dumps = directory.path().join("dump");
    let child = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--fair-sched=try", "--compress-strings=no"])
        .arg(format!("--dump-before=*{}*", paths::BOUNDARY))
        .arg(format!("--callgrind-out-file={}", dumps.display()))
        .arg(std::env::current_exe().unwrap())
        .env(TASK, "run")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    // The first dump has what was before the first boundary; then paths and what lies between them take turns.
    let dump = |number: usize| -> PathBuf { directory.path().join(format!("dump.{number}")) };
    NAMES
        .iter()
        .enumerate()
        .map(|(index, (name, calls))| ((*name).to_owned(), total(&dump(2 * index + 2)) / *calls as u64))
        .collect()
}

/// The sum at the end of a dump.
fn total(dump: &Path) -> u64 {
    let text = std::fs::read_to_string(dump).unwrap_or_else(|error| panic!("{}: {error}", dump.display()));
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    total.unwrap_or_else(|| panic!("{} has no sum", dump.display())).trim().parse().unwrap()
}

fn written(counts: &Counts) -> String {
    let mut text = String::from("# Instructions of one call, counted by `make instructions-record`.\n");
    for (name, _) in NAMES {
        writeln!(text, "{name} {}", counts[*name]).unwrap();
    }
    text
}

fn read(text: &str) -> Counts {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, count) = line.split_once(' ').unwrap();
            (name.to_owned(), count.parse().unwrap())
        })
        .collect()
}

fn compare(recorded: &Counts, counts: &Counts) -> ExitCode {
    let mut failed = false;
    println!("{:<24}{:>12}{:>12}", "instructions of a call", "recorded", "now");
    for (name, _) in NAMES {
        let now = counts[*name];
        let Some(before) = recorded.get(*name) else {
            println!("{name:<24}{:>12}{now:>12}  not recorded", "");
            failed = true;
            continue;
        };
        let change = (now as f64 / *before as f64 - 1.0) * 100.0;
        let verdict = if change > TOLERATED {
            failed = true;
            "too many"
        } else if change < -TOLERATED {
            "fewer: record it"
        } else {
            ""
        };
        println!("{name:<24}{before:>12}{now:>12}{change:>+8.1} %  {verdict}");
    }
    if failed {
        println!("A path takes clearly more than is recorded. Is it meant? Then: make instructions-record");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
