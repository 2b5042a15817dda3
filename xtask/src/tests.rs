//! Runs the tests of the workspace, several programs of tests at a time: most of them wait longer than they work.
//!
//! `cargo test` runs one after the other. What each says is shown when it has ended.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::tree::Tree;

/// Those that take longest, and begin first.
const FIRST: &[&str] = &["tunnels", "shared"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Programs at a time
    #[arg(long, value_name = "N", default_value_t = 3)]
    at_once: usize,
    /// Arguments of `cargo test` that say which, such as `--test wire`
    #[arg(last = true, value_name = "ARGUMENT")]
    which: Vec<String>,
}

/// A program of tests.
struct Program {
    /// Its package and name.
    name: String,
    path: PathBuf,
    /// The folder of its package, where it is to run.
    folder: PathBuf,
}

/// Builds the tests and runs them.
///
/// # Errors
/// They cannot be built, or some fail.
pub(crate) fn run(arguments: &Arguments, tree: &Tree) -> Result<()> {
    let mut programs = built(tree, &arguments.which)?;
    programs.sort_by_key(|program| !FIRST.iter().any(|first| program.name.ends_with(first)));
    let (count, programs) = (programs.len(), Mutex::new(VecDeque::from(programs)));
    let failed = Mutex::new(Vec::new());
    let outcome = std::thread::scope(|scope| {
        let work = || -> Result<()> {
            while let Some(program) = next(&programs) {
                if !carry_out(&program)?.success() {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).push(program.name);
                }
            }
            Ok(())
        };
        let workers: Vec<_> = (0..arguments.at_once.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    });
    outcome?;
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(failed.is_empty(), "{} of {count} programs of tests failed: {}", failed.len(), failed.join(", "));
    Ok(())
}

fn next(programs: &Mutex<VecDeque<Program>>) -> Option<Program> {
    programs.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Builds them; answers where they are.
fn built(tree: &Tree, which: &[String]) -> Result<Vec<Program>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo)
        .args(["test", "--workspace", "--locked", "--no-run", "--message-format=json-render-diagnostics"])
        .args(which)
        .current_dir(tree.root())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo test")?;
    let said = build.stdout.take().context("cargo test says nothing")?;
    let mut programs = Vec::new();
    for line in BufReader::new(said).lines() {
        let message: Value = serde_json::from_str(&line?).context("cargo test says what is no JSON")?;
        if message["profile"]["test"] == true
            && let (Some(path), Some(manifest)) =
                (message["executable"].as_str(), message["manifest_path"].as_str())
        {
            let folder = PathBuf::from(manifest).parent().context("a manifest without a folder")?.to_owned();
            let package = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let kind = message["target"]["kind"][0].as_str().unwrap_or_default();
            let name = match kind {
                "test" => format!("{package} {}", message["target"]["name"].as_str().unwrap_or_default()),
                _ => format!("{package} {kind}"),
            };
            programs.push(Program { name, path: path.into(), folder });
        }
    }
    ensure!(build.wait()?.success(), "the tests cannot be built");
    ensure!(!programs.is_empty(), "there are no such tests");
    Ok(programs)
}

/// Runs one, and shows what it says.
fn carry_out(program: &Program) -> Result<ExitStatus> {
    let begun = Instant::now();
    let mut said: File = tempfile::tempfile()?;
    let status = Command::new(&program.path)
        .current_dir(&program.folder)
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said.try_clone()?)
        .status()
        .with_context(|| format!("cannot run {}", program.path.display()))?;
    let mut text = Vec::new();
    said.rewind()?;
    said.read_to_end(&mut text)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{} ({:.1} s): {status}", program.name, begun.elapsed().as_secs_f64())?;
    out.write_all(&text)?;
    Ok(status)
}
