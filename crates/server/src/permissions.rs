//! Who may read the files: what holds a secret is for its owner alone, and the service does not start otherwise.
//!
//! * **Secrets** (master key, root key, the listener's private key, a configuration with secrets in it, files with
//!   secrets that it names) are *refused* if their group or others may do anything with them, as OpenSSH does: how
//!   long they have been open to whom is for their owner to think about. A file of root's may be readable by a group
//!   that the service is in, as PostgreSQL has it: that is how service managers hand files over.
//! * **The data directory** and what the service itself keeps there is *tightened* with a warning: to 0750 and 0640 at
//!   most, so that a group that an operator has chosen may read for a backup, and nobody else. Nothing in these
//!   files is a secret in the clear.

use std::fs::{Metadata, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use tracing::warn;

/// Access of others, and the group's writing: nothing in the data directory gives it.
const TOO_MUCH_FOR_DIRECTORY: u32 = 0o027;
/// The same, and the group's execution.
const TOO_MUCH_FOR_FILE: u32 = 0o037;
/// Folders inside folders of a data directory.
const DEPTH: u32 = 3;

/// A file with a secret can be reached by others.
#[derive(Debug, thiserror::Error)]
pub enum Exposed {
    /// By its mode.
    #[error("`{path}` holds a secret and is open to others (mode {mode:03o}): chmod 600 '{path}'")]
    Mode {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else, who can change it at any time.
    #[error(
        "`{path}` holds a secret and belongs to user {owner}: chown {user} '{path}' && chmod 600 '{path}'"
    )]
    Owner {
        /// The file.
        path: String,
        /// Its owner's id.
        owner: u32,
        /// This process's user id.
        user: u32,
    },
}

/// Refuses a file with a secret in it that others than its owner can reach.
///
/// # Errors
/// [`Exposed`], with the command that mends it; or the file cannot be looked at.
pub fn secret_file(path: &Path) -> Result<()> {
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let user = rustix::process::geteuid().as_raw();
    Ok(judge(&path.display().to_string(), metadata.uid(), metadata.mode() & 0o7777, user)?)
}

fn judge(path: &str, owner: u32, mode: u32, user: u32) -> Result<(), Exposed> {
    // Root reads every file; whose it is says nothing then.
    let forbidden = match owner {
        owner if owner == user || user == 0 => 0o077,
        0 => 0o037,
        owner => return Err(Exposed::Owner { path: path.to_owned(), owner, user }),
    };
    if mode & forbidden == 0 { Ok(()) } else { Err(Exposed::Mode { path: path.to_owned(), mode }) }
}

/// Takes from others what they may do with a data directory and the files in it; says what was changed.
///
/// # Errors
/// Something is open to others and cannot be changed.
pub fn tighten(data_dir: &Path) -> Result<()> {
    if data_dir.exists() { tighten_folder(data_dir, DEPTH) } else { Ok(()) }
}

fn tighten_folder(folder: &Path, depth: u32) -> Result<()> {
    let failed = || format!("cannot look into `{}`", folder.display());
    tighten_one(folder, &std::fs::metadata(folder).with_context(failed)?, TOO_MUCH_FOR_DIRECTORY)?;
    for entry in std::fs::read_dir(folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        // Not through links: what they point to is not ours. What is gone meanwhile needs no care.
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() && depth > 1 && !is_mount_artefact(&path) {
            tighten_folder(&path, depth - 1)?;
        } else if metadata.is_file() && !is_secret(&path) {
            tighten_one(&path, &metadata, TOO_MUCH_FOR_FILE)?;
        }
    }
    Ok(())
}

/// What holds a secret is refused, not mended.
fn is_secret(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    [crate::secrets::MASTER_KEY_FILE, crate::secrets::NEXT_KEY_FILE, crate::secrets::ROOT_KEY_FILE]
        .iter()
        .any(|secret| name == *secret)
}

/// The file system's own folder for what it has found: not ours.
fn is_mount_artefact(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "lost+found")
}

fn tighten_one(path: &Path, metadata: &Metadata, too_much: u32) -> Result<()> {
    let mode = metadata.mode() & 0o7777;
    if mode & too_much == 0 {
        return Ok(());
    }
    let tight = mode & !too_much;
    std::fs::set_permissions(path, Permissions::from_mode(tight)).with_context(|| {
        format!(
            "`{path}` is open to others (mode {mode:03o}): chmod {tight:03o} '{path}'",
            path = path.display()
        )
    })?;
    warn!(path = %path.display(), "was open to others (mode {mode:03o}); it is {tight:03o} now");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_for_their_owner() {
        for (owner, mode, user, allowed) in [
            (1000, 0o600, 1000, true),
            (1000, 0o400, 1000, true),
            (1000, 0o640, 1000, false),
            (1000, 0o604, 1000, false),
            (1000, 0o620, 1000, false),
            // Handed over by root.
            (0, 0o440, 1000, true),
            (0, 0o640, 1000, true),
            (0, 0o644, 1000, false),
            (0, 0o660, 1000, false),
            (0, 0o640, 0, false),
            (1001, 0o600, 1000, false),
            // Root looks at a service's files.
            (1000, 0o600, 0, true),
            (1000, 0o644, 0, false),
        ] {
            assert_eq!(judge("f", owner, mode, user).is_ok(), allowed, "{owner} {mode:o} {user}");
        }
        let said = judge("/d/f", 1000, 0o644, 1000).unwrap_err().to_string();
        assert!(said.contains("chmod 600 '/d/f'"), "{said}");
    }

    #[test]
    fn a_data_directory_is_tightened() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        tighten(&data).unwrap();
        let set = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        let (folder, file, key) = (data.join("nonces"), data.join("nonces/1"), data.join("master.key"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&file, "").unwrap();
        std::fs::write(&key, "").unwrap();
        for (path, now) in [(&data, 0o755), (&folder, 0o750), (&file, 0o666), (&key, 0o644)] {
            set(path, now);
        }
        tighten(&data).unwrap();
        assert_eq!([&data, &folder, &file, &key].map(|path| mode(path)), [0o750, 0o750, 0o640, 0o644]);
    }
}
