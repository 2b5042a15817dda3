//! `cargo xtask dist`: the release, from one list of files (`dist/files.toml`).
//!
//! For each target a static program, an archive, a `.deb`, a `.rpm` and an image for `docker load`; for all of them
//! one OCI layout, notices and SBOM in each, and `SHA256SUMS`. Nothing of it has the time, the folder or the user that
//! made it: the same commit gives the same bytes.

mod archive;
mod build;
mod deb;
mod image;
mod list;
mod made;
mod redhat;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::manual::{self, Files};
use crate::tree::Tree;

/// Make the release of this commit
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder for what is made
    #[arg(long, default_value = "target/dist", value_name = "DIR")]
    out: PathBuf,
    /// Make it for this architecture alone: x86_64 or aarch64
    #[arg(long, value_name = "ARCH")]
    only: Option<String>,
    /// Take a program that is there instead of building it, e.g. x86_64=target/release/tongguan
    #[arg(long, value_name = "ARCH=FILE", value_parser = program)]
    program: Vec<(String, PathBuf)>,
}

fn program(text: &str) -> Result<(String, PathBuf), String> {
    let (arch, file) = text.split_once('=').ok_or("not ARCH=FILE")?;
    Ok((arch.to_owned(), file.into()))
}

/// What a release is made for, by the names that it has in different places.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// Cargo's, the kernel's, and that of `.rpm`
    arch: &'static str,
    triple: &'static str,
    /// Debian's, and that of images
    debian: &'static str,
}

const TARGETS: &[Target] = &[
    Target { arch: "x86_64", triple: "x86_64-unknown-linux-musl", debian: "amd64" },
    Target { arch: "aarch64", triple: "aarch64-unknown-linux-musl", debian: "arm64" },
];

/// What everything of a release has in common.
struct Release {
    version: String,
    homepage: String,
    summary: String,
    licence: String,
    /// Seconds since 1970, of the commit: the time of every file.
    epoch: u32,
}

impl Release {
    fn of(tree: &Tree) -> Result<Self> {
        let manifest = tree.toml("Cargo.toml")?;
        let text = |of: &toml::Table, key: &str| -> Result<String> {
            Ok(of.get(key).and_then(toml::Value::as_str).with_context(|| format!("no {key}"))?.to_owned())
        };
        let package = manifest
            .get("workspace")
            .and_then(|workspace| workspace.get("package"))
            .and_then(toml::Value::as_table)
            .context("Cargo.toml has no [workspace.package]")?;
        let program = tree.toml("crates/server/Cargo.toml")?;
        let program = program.get("package").and_then(toml::Value::as_table).context("no [package]")?;
        Ok(Self {
            version: text(package, "version")?,
            homepage: text(package, "repository")?,
            licence: text(package, "license")?,
            summary: text(program, "description")?,
            epoch: epoch(tree.root())?,
        })
    }
}

/// `SOURCE_DATE_EPOCH`, or the time of the commit.
fn epoch(root: &Path) -> Result<u32> {
    if let Ok(given) = std::env::var("SOURCE_DATE_EPOCH") {
        return given.parse().context("SOURCE_DATE_EPOCH is no number of seconds");
    }
    let output = Command::new("git")
        .args(["log", "-1", "--format=%ct"])
        .current_dir(root)
        .output()
        .context("cannot run git: set SOURCE_DATE_EPOCH")?;
    ensure!(output.status.success(), "the time of the commit is not known: set SOURCE_DATE_EPOCH");
    String::from_utf8_lossy(&output.stdout).trim().parse().context("git says no time")
}

/// Makes the release and lists what was made. What cannot be made for want of a tool is named, and fails the chore
/// after the rest was made.
///
/// # Errors
/// A target was left out, or a step failed.
pub(crate) fn run(arguments: &Arguments, tree: &Tree) -> Result<()> {
    let (wanted, missing) = programs(arguments, tree)?;
    let out = tree.root().join(&arguments.out);
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let manual = manual::made(tree)?;
    let without_manual = manual.is_none();
    for (name, bytes) in carry(tree, &wanted, manual.unwrap_or_default())? {
        writeln!(std::io::stdout(), "{:>11}  {name}", bytes.len()).context("standard output")?;
        std::fs::write(out.join(&name), bytes).with_context(|| format!("cannot write {name}"))?;
    }
    for missing in &missing {
        eprintln!("left out: {missing}");
    }
    if without_manual {
        eprintln!("left out: the manual needs {}", manual::LACKING);
    }
    ensure!(missing.is_empty(), "{} of {} targets were left out", missing.len(), TARGETS.len());
    ensure!(!without_manual, "the release is without its manual");
    Ok(())
}

/// A program for each target, and why there is none for others.
type Programs = (Vec<(&'static Target, Vec<u8>)>, Vec<String>);

fn programs(arguments: &Arguments, tree: &Tree) -> Result<Programs> {
    for arch in arguments.program.iter().map(|(arch, _)| arch).chain(&arguments.only) {
        ensure!(TARGETS.iter().any(|target| target.arch == arch), "there is no target {arch}");
    }
    let (mut wanted, mut missing) = (Vec::new(), Vec::new());
    for target in TARGETS {
        let given = arguments.program.iter().find(|(arch, _)| arch == target.arch).map(|(_, file)| file);
        let asked = match &arguments.only {
            Some(only) => only == target.arch,
            None => arguments.program.is_empty() || given.is_some(),
        };
        if !asked {
            continue;
        }
        let lacking = build::lacking(target)?;
        if let Some(file) = given {
            let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            wanted.push((target, bytes));
        } else if lacking.is_empty() {
            wanted.push((target, build::program(tree.root(), target, epoch(tree.root())?)?));
        } else {
            missing.push(format!("{} needs {}", target.arch, lacking.join(", and ")));
        }
    }
    if wanted.is_empty() {
        bail!("nothing can be made: {}", missing.join("; "));
    }
    Ok((wanted, missing))
}

/// Everything that is published: names and contents, the sums last.
fn carry(tree: &Tree, programs: &[(&'static Target, Vec<u8>)], manual: Files) -> Result<Files> {
    let release = Release::of(tree)?;
    let list = list::read(tree)?;
    let mut everywhere = made::printed(programs)?;
    everywhere.insert("manual".to_owned(), manual);
    let mut files = Vec::new();
    let mut images = Vec::new();
    for (target, program) in programs {
        let made = made::all(tree, &release, target, program, &everywhere)?;
        let stem = format!("tongguan-{}-{}", release.version, target.arch);
        let entries = list::entries(tree, &list, &made, list::Place::Archive)?;
        files.push((format!("{stem}.tar.gz"), archive::gzip(&archive::tar(&entries, &stem, &release)?)?));
        let entries = list::entries(tree, &list, &made, list::Place::Deb)?;
        files.push((
            format!("tongguan_{}_{}.deb", release.version, target.debian),
            deb::package(tree, &entries, target, &release)?,
        ));
        let entries = list::entries(tree, &list, &made, list::Place::Rpm)?;
        files.push((
            format!("tongguan-{}-1.{}.rpm", release.version, target.arch),
            redhat::package(tree, &entries, target, &release)?,
        ));
        let entries = list::entries(tree, &list, &made, list::Place::Image)?;
        let image = image::Image::new(&entries, target, &release)?;
        files.push((format!("{stem}-docker.tar.gz"), archive::gzip(&image.for_docker(&release)?)?));
        images.push(image);
    }
    files.push((format!("tongguan-{}-oci.tar", release.version), image::layout(&images, &release)?));
    let mut sums = String::new();
    for (name, bytes) in &files {
        writeln!(sums, "{}  {name}", sha256(bytes)).expect("a String takes everything");
    }
    files.push(("SHA256SUMS".to_owned(), sums.into_bytes()));
    Ok(files)
}

/// SHA-256 in hex.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

#[cfg(test)]
mod tests;
