//! The programs that this needs, and what is said where one is missing.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that is not here, and how it is had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Who runs a server that refuses to be run by root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The programs of a PostgreSQL, and who runs them.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// The folder that holds `initdb`, `postgres` and `psql`.
    pub bin: PathBuf,
    /// None where this process is not root's.
    pub owner: Option<Owner>,
}

impl Postgres {
    /// The one in the folder that `TONGGUAN_POSTGRES` names; else of those that `pg_config --bindir` or
    /// `/usr/lib/postgresql/*/bin` have, the first that is whole, newest first.
    ///
    /// # Errors
    /// There is none.
    pub fn find() -> Result<Self, Missing> {
        let whole =
            |bin: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|name| bin.join(name).is_file());
        let bin = match std::env::var_os("TONGGUAN_POSTGRES") {
            Some(named) => Some(PathBuf::from(named)).filter(whole),
            None => candidates().into_iter().find(whole),
        };
        let bin = bin.ok_or_else(|| {
            Missing("no PostgreSQL server (initdb, postgres, psql; Debian: postgresql)".into())
        })?;
        Ok(Self { bin, owner: owner()? })
    }

    /// One of its programs, to be run by its owner.
    pub fn command(&self, name: &str) -> Command {
        self.as_owner(Command::new(self.bin.join(name)))
    }

    /// A command that its owner runs.
    pub(crate) fn as_owner(&self, mut command: Command) -> Command {
        if let Some(Owner { uid, gid }) = self.owner {
            command.uid(uid).gid(gid);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Gives a file or folder to its owner.
    pub(crate) fn give(&self, path: &Path) -> std::io::Result<()> {
        match self.owner {
            Some(Owner { uid, gid }) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        found.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mut versions: Vec<u32> = versions.filter_map(number).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    found.extend(versions.iter().map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"))));
    found
}

/// Of root's processes it is the user `postgres`, which Debian's package makes.
fn owner() -> Result<Option<Owner>, Missing> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let fields = users.lines().find(|line| line.starts_with("postgres:")).map(|line| line.split(':'));
    let ids =
        fields.and_then(|mut fields| Some((fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?)));
    let (uid, gid) = ids.ok_or_else(|| {
        Missing("no user postgres, and PostgreSQL refuses to be run by root (Debian: postgresql)".into())
    })?;
    Ok(Some(Owner { uid, gid }))
}
