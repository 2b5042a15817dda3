//! `tongguan backup` and `tongguan restore`: a consistent copy of a running service's database, and a
//! data directory made from one.
//!
//! A backup is one SQLite file, readable with the database's own shell, and beside it its SHA-256 in the
//! form that `sha256sum --check` reads. The master key is not in it: whoever finds a backup must not be
//! able to open the secrets in it.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use clap::Args;
use tongguan_service::check;
use tongguan_store::{AUDIT_RULE, Archive, DATABASE_FILE, NONCE_FOLDER, NonceLog, vacant};

use super::terminal::{self, harmless};
use crate::exit;
use crate::secrets::{self, KeyArgs};

/// Copy the database while the service goes on, and check the copy
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// File to write; it must not exist
    target: PathBuf,
    /// Directory that holds the database
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
}

/// Make a data directory from a backup
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup
    backup: PathBuf,
    /// Directory to make; if there is one, nothing may be in it but a master.key
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
    // That of the service that was backed up: it is tried on every secret, and a file is copied.
    #[command(flatten)]
    keys: KeyArgs,
}

/// Carries out `tongguan backup`.
pub fn backup(args: &BackupArgs) -> Result<ExitCode> {
    let archive = Archive::open(&args.data_dir)?;
    archive.copy_to(&args.target)?;
    let sum = sha256(&args.target)?;
    let name = args.target.file_name().unwrap_or_default().to_string_lossy();
    let beside = sum_file(&args.target);
    std::fs::write(&beside, format!("{sum}  {name}\n"))
        .with_context(|| format!("cannot write `{}`", beside.display()))?;
    let size = std::fs::metadata(&args.target)?.len();
    let mut out = terminal::out();
    let target = harmless(&args.target.display().to_string());
    writeln!(out, "{target} ({size} bytes, sha256 {sum})")?;
    writeln!(out, "The master key is not in it: keep a copy of it, elsewhere.")?;
    Ok(ExitCode::SUCCESS)
}

/// Carries out `tongguan restore`.
pub fn restore(args: &RestoreArgs) -> Result<ExitCode> {
    vacant(&args.data_dir)?;
    let target = args.data_dir.join(DATABASE_FILE);
    let beside = sum_file(&args.backup);
    if let Ok(expected) = std::fs::read_to_string(&beside) {
        let sum = sha256(&args.backup)?;
        if expected.split_whitespace().next() != Some(&sum) {
            return damaged(&format!("`{}` does not fit its `{}`", args.backup.display(), beside.display()));
        }
    }
    let archive = Archive::open_file(&args.backup)?;
    let vault = secrets::look(&args.data_dir, &args.keys, true, &archive)?;
    let verdicts = check::everything(&archive, vault.as_ref())?;
    let findings = || verdicts.iter().flat_map(|verdict| &verdict.findings);
    // A doubtful audit record is no reason to be without a service, and stays doubtful in the copy.
    for finding in findings().filter(|finding| finding.rule == AUDIT_RULE) {
        terminal::tell(&format!("{finding}; restored all the same"));
    }
    if let Some(finding) = findings().find(|finding| finding.rule != AUDIT_RULE) {
        return damaged(&format!("the backup is not sound ({finding}); see `tongguan check --file`"));
    }
    let mut owner_only = std::fs::DirBuilder::new();
    owner_only
        .recursive(true)
        .mode(0o700)
        .create(&args.data_dir)
        .with_context(|| format!("cannot make data directory `{}`", args.data_dir.display()))?;
    if let Some(given) = &args.keys.master_key_file {
        let own = args.data_dir.join(secrets::MASTER_KEY_FILE);
        if !own.exists() {
            copy_owner_only(given, &own)?;
        }
    }
    // What was signed before the restoration may have been used, and is refused.
    NonceLog::forget(&args.data_dir.join(NONCE_FOLDER))?;
    copy_owner_only(&args.backup, &target)?;
    let mut out = terminal::out();
    writeln!(out, "restored into {}", harmless(&args.data_dir.display().to_string()))?;
    if vault.is_none() && !args.data_dir.join(secrets::MASTER_KEY_FILE).exists() {
        writeln!(
            out,
            "Put the master key into it as {} (mode 600) before the start.",
            secrets::MASTER_KEY_FILE
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn damaged(what: &str) -> Result<ExitCode> {
    terminal::tell(&format!("{what}; nothing was restored"));
    Ok(ExitCode::from(exit::DATA))
}

fn sum_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sha256");
    name.into()
}

fn sha256(path: &Path) -> Result<String> {
    let failed = || format!("cannot read `{}`", path.display());
    let mut file = File::open(path).with_context(failed)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).with_context(failed)?;
        if read == 0 {
            return Ok(hex::encode(context.finish()));
        }
        context.update(&buffer[..read]);
    }
}

/// Copies a file for its owner alone, whole or not at all, and durably.
fn copy_owner_only(from: &Path, to: &Path) -> Result<()> {
    let part = to.with_extension("part");
    let failed = || format!("cannot write `{}`", to.display());
    let _ = std::fs::remove_file(&part);
    let mut source = File::open(from).with_context(|| format!("cannot read `{}`", from.display()))?;
    let mut target = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .with_context(failed)?;
    std::io::copy(&mut source, &mut target).with_context(failed)?;
    target.sync_all().with_context(failed)?;
    std::fs::rename(&part, to).with_context(failed)?;
    if let Some(directory) = to.parent() {
        File::open(directory).and_then(|directory| directory.sync_all()).with_context(failed)?;
    }
    Ok(())
}
