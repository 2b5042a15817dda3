//! `tongguan backup` and `tongguan restore`: a consistent copy of a running service's database, and a
//! data directory made from one.
//!
//! A backup is one SQLite file, readable with the database's own shell, and beside it its SHA-256 in the form
//! that `sha256sum --check` reads, with a seal: whoever changes both is found when it is restored. The master
//! key is not in it: whoever finds a backup must not be able to open the secrets in it.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use aws_lc_rs::digest;
use clap::Args;
use tongguan_service::{check, rights};
use tongguan_store::{AUDIT_RULE, Archive, DATABASE_FILE, NONCE_FOLDER, NonceLog, RightsKey, put, vacant};

use super::MarkArgs;
use super::terminal::{self, harmless};
use crate::database::DatabaseArgs;
use crate::exit;
use crate::permissions;
use crate::secrets::{self, KeyArgs};

/// Begins the line with the seal; to `sha256sum` it is a remark.
const SEAL: &str = "# tongguan seal ";

/// Copy the database while the service runs, and verify the copy
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// File to write; it must not exist
    target: PathBuf,
    /// Directory that holds the database
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR", default_value = super::data_directory())]
    data_dir: PathBuf,
    // The key seals the sum of the copy.
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    mark: MarkArgs,
    /// Do without the master key: the backup is not sealed, and can be restored only with --unverified
    #[arg(long)]
    unsealed: bool,
    // To say that it has tools of its own.
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Create a data directory from a backup
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    pub backup: PathBuf,
    /// Directory to create; if it exists, it may contain nothing but a master.key
    #[arg(long, env = "TONGGUAN_DATA_DIR", value_name = "DIR", default_value = "data")]
    pub data_dir: PathBuf,
    // That of the service that was backed up: it is tried on every secret, and a file is copied.
    #[command(flatten)]
    pub keys: KeyArgs,
    #[command(flatten)]
    pub mark: MarkArgs,
    /// Restore a backup whose seal cannot be checked: it has none, or there is no master key
    #[arg(long)]
    pub unverified: bool,
}

/// Carries out `tongguan backup`.
pub(crate) fn backup(args: &BackupArgs) -> Result<ExitCode> {
    if args.database.database.is_some() {
        let said = "a shared database is backed up by its own tools: pg_dump while nodes serve, or pg_basebackup with an \
                    archive of its log for recovery to a point in time; and keep a copy of the master key, elsewhere. \
                    What was restored is looked at by `tongguan check --database`";
        return Err(anyhow!(said).context(exit::Configuration));
    }
    let archive = Archive::open_with_mark(&args.data_dir, args.mark.mark_file.as_deref())?;
    let key = if args.unsealed { None } else { key_of_seals(args, &archive)? };
    archive.copy_to(&args.target)?;
    let sum = sha256(&args.target)?;
    let name = args.target.file_name().unwrap_or_default().to_string_lossy();
    let mut manifest = format!("{sum}  {name}\n");
    if let Some(key) = &key {
        manifest.push_str(&format!("{SEAL}{}\n", key.backup(&sum)));
    }
    write_owner_only(&sum_file(&args.target), &mut manifest.as_bytes())?;
    let size = std::fs::metadata(&args.target)?.len();
    let mut out = terminal::out();
    let target = harmless(&args.target.display().to_string());
    writeln!(out, "{target} ({size} bytes, sha256 {sum})")?;
    if key.is_none() {
        writeln!(out, "It is not sealed: it is restored only with --unverified.")?;
    }
    writeln!(out, "The master key is not in it: keep a copy of it, elsewhere.")?;
    Ok(ExitCode::SUCCESS)
}

/// The key that seals the backup; none if the database is from before there were seals.
fn key_of_seals(args: &BackupArgs, archive: &Archive) -> Result<Option<RightsKey>> {
    if !archive.current() || !archive.read(|snapshot| snapshot.rights_sealed())? {
        return Ok(None);
    }
    let Some(vault) = secrets::look(&args.data_dir, &args.keys, false, archive)? else {
        bail!(
            anyhow!(
                "there is no master key to seal the backup with: say where it is, or do without by --unsealed"
            )
            .context(exit::Configuration)
        );
    };
    match rights::key(archive, &vault)? {
        Some(key) => Ok(Some(key)),
        None => Err(secrets::other_key("what was given")),
    }
}

/// Carries out `tongguan restore`.
pub(crate) fn restore(args: &RestoreArgs) -> Result<ExitCode> {
    let Restored { keyless, unmarked } = match bring_back(args)? {
        Ok(restored) => restored,
        Err(what) => return damaged(&what),
    };
    let mut out = terminal::out();
    writeln!(out, "restored into {}", harmless(&args.data_dir.display().to_string()))?;
    if keyless {
        writeln!(
            out,
            "Put the master key into it as {} (mode 600) before the start.",
            permissions::MASTER_KEY_FILE
        )?;
    }
    if unmarked {
        writeln!(
            out,
            "It has no mark yet, which needs the master key: run `tongguan seal-anew` before the start."
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a data directory that was made from a backup still lacks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restored {
    /// The master key.
    pub keyless: bool,
    /// The mark.
    pub unmarked: bool,
}

/// Makes a data directory from a backup; or says what is wrong with that, and makes none.
///
/// # Errors
/// The directory is not empty; something cannot be read or written; the master key is missing or wrong.
pub(crate) fn bring_back(args: &RestoreArgs) -> Result<Result<Restored, String>> {
    vacant(&args.data_dir)?;
    if let Some(mark) = args.mark.mark_file.as_deref().filter(|mark| mark.exists()) {
        bail!("`{}` is there: nothing is overwritten, move it away first", mark.display());
    }
    let manifest = match Manifest::beside(&args.backup)? {
        Ok(manifest) => manifest,
        Err(what) => return Ok(Err(what)),
    };
    let archive = Archive::open_file(&args.backup)?;
    // One that was put into the new directory before counts as given.
    let vault = secrets::look(&args.data_dir, &args.keys, false, &archive)?;
    let verdicts = check::everything(&archive, vault.as_ref())?;
    let findings = || verdicts.iter().flat_map(|verdict| &verdict.findings);
    // A doubtful audit record is no reason to be without a service, and stays doubtful in the copy.
    for finding in findings().filter(|finding| finding.rule == AUDIT_RULE) {
        terminal::tell(&format!("{finding}; restored all the same"));
    }
    if let Some(finding) = findings().find(|finding| finding.rule != AUDIT_RULE) {
        return Ok(Err(format!("the backup is not sound ({finding}); see `tongguan check --file`")));
    }
    let key = match &vault {
        Some(vault) if archive.current() => rights::key(&archive, vault)?,
        _ => None,
    };
    if !args.unverified {
        if vault.is_none() {
            bail!(
                anyhow!(
                    "whether the backup was changed cannot be told without its master key: say where it is \
                 (--master-key-file), or restore it all the same by --unverified"
                )
                .context(exit::Configuration)
            );
        }
        if let Some(what) = manifest.fault(key.as_ref()) {
            return Ok(Err(format!("`{}` {what}", args.backup.display())));
        }
    }
    put_in_place(args, &archive, key.as_ref())?;
    let keyless = vault.is_none() && !args.data_dir.join(permissions::MASTER_KEY_FILE).exists();
    Ok(Ok(Restored { keyless, unmarked: key.is_none() && archive.current() }))
}

/// Makes the data directory.
fn put_in_place(args: &RestoreArgs, archive: &Archive, key: Option<&RightsKey>) -> Result<()> {
    let mut owner_only = std::fs::DirBuilder::new();
    owner_only
        .recursive(true)
        .mode(0o700)
        .create(&args.data_dir)
        .with_context(|| format!("cannot make data directory `{}`", args.data_dir.display()))?;
    if let Some(given) = &args.keys.master_key_file {
        let own = args.data_dir.join(permissions::MASTER_KEY_FILE);
        if !own.exists() {
            copy_owner_only(given, &own)?;
        }
    }
    // What was signed before the restoration may have been used, and is refused.
    NonceLog::forget(&args.data_dir.join(NONCE_FOLDER))?;
    if let Some(key) = key {
        archive.write_mark(&args.data_dir, args.mark.mark_file.as_deref(), key)?;
    }
    copy_owner_only(&args.backup, &args.data_dir.join(DATABASE_FILE))
}

/// The file beside a backup, in the form that `sha256sum --check` reads: its checksum, and in a comment the
/// seal of that.
#[derive(Default)]
struct Manifest {
    sum: Option<String>,
    seal: Option<String>,
}

impl Manifest {
    /// Reads it and compares the sum; or says what is wrong with that.
    fn beside(backup: &Path) -> Result<Result<Self, String>> {
        let beside = sum_file(backup);
        let text = match std::fs::read_to_string(&beside) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Ok(Self::default())),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", beside.display())),
        };
        let sum = sha256(backup)?;
        if text.split_whitespace().next() != Some(&sum) {
            return Ok(Err(format!("`{}` does not fit its `{}`", backup.display(), beside.display())));
        }
        let seal = text.lines().find_map(|line| line.strip_prefix(SEAL)).map(|seal| seal.trim().to_owned());
        Ok(Ok(Self { sum: Some(sum), seal }))
    }

    /// What is wrong with the seal.
    fn fault(&self, key: Option<&RightsKey>) -> Option<&'static str> {
        match (key, &self.sum, &self.seal) {
            (Some(key), Some(sum), Some(seal)) if key.backup_fits(sum, seal) => None,
            (Some(_), Some(_), Some(_)) => {
                Some("does not fit its seal: it, or its sum, was changed without the master key")
            }
            (None, ..) => Some(
                "is from before backups were sealed, or has lost its seals: --unverified restores it all the same",
            ),
            (Some(_), None, _) => Some("has no sum beside it: --unverified restores it all the same"),
            (Some(_), Some(_), None) => {
                Some("has a sum without a seal: --unverified restores it all the same")
            }
        }
    }
}

/// Says that nothing was restored, and why.
///
/// # Errors
/// Never.
pub(crate) fn damaged(what: &str) -> Result<ExitCode> {
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
pub(super) fn copy_owner_only(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).with_context(|| format!("cannot read `{}`", from.display()))?;
    write_owner_only(to, &mut source)
}

/// Writes a file for its owner alone, whole or not at all, and durably; a link in its place is not followed.
fn write_owner_only(to: &Path, source: &mut impl std::io::Read) -> Result<()> {
    let written = put(to, |file| std::io::copy(source, file).map(drop));
    written.map(drop).with_context(|| format!("cannot write `{}`", to.display()))
}
