//! File modes: a file with a secret is for its owner alone, and the service does not start otherwise.
//!
//! * **Secrets** (master key, root key, the listener's private key, a configuration that contains secrets, files
//!   with secrets that it names) are *refused* if their group or others have any access, as OpenSSH does: the
//!   secret may already have leaked, and only its owner can judge that. A file that belongs to root may be readable
//!   by a group that the service is in, as in PostgreSQL: that is how service managers pass files on. What is
//!   checked is what is read: a file is opened once, and its mode is that of the open file.
//! * **The data directory** and what the service itself keeps there is *tightened* with a warning: to 0750 and 0640
//!   at most, so that a group that an operator has chosen may read it for a backup, and nobody else. None of these
//!   files contains a secret in the clear. A directory that is not ours is refused before that, and in one that is,
//!   only what `tongguan_store::own_entries` names is touched, and nothing through a link.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::OFlags;
use tongguan_store::{Territory, look, own_entries};
use tracing::warn;
use zeroize::Zeroizing;

/// Master key inside a data directory.
pub(crate) const MASTER_KEY_FILE: &str = "master.key";
/// The one that takes its place, while it does.
pub(crate) const NEXT_KEY_FILE: &str = "master.key.next";
/// Root key inside a data directory, in a form that a shell can source.
pub(crate) const ROOT_KEY_FILE: &str = "root-access-key.env";
/// Access of others, and the group's writing: nothing in the data directory gives it.
const TOO_MUCH_FOR_DIRECTORY: u32 = 0o027;
/// The same, and the group's execution.
const TOO_MUCH_FOR_FILE: u32 = 0o037;

/// A file with a secret can be reached by others.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Exposed {
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

/// Opens a file with a secret in it, and refuses it if others than its owner can reach it.
///
/// # Errors
/// [`Exposed`], with the command that mends it; or the file cannot be opened.
pub(crate) fn open_secret(path: &Path) -> Result<File> {
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    judge_opened(path, &file)?;
    Ok(file)
}

/// Reads a text with a secret in it, and refuses it if others than its owner can reach its file.
///
/// # Errors
/// As [`open_secret`], and if it is not UTF-8.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = open_secret(path)?.read_to_string(&mut text);
    read.with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(text)
}

/// Refuses a file that was opened, if others than its owner can reach it. `path` is for the message.
///
/// # Errors
/// [`Exposed`], with the command that mends it.
pub(crate) fn judge_opened(path: &Path, file: &File) -> Result<()> {
    let metadata = file.metadata().with_context(|| format!("cannot read `{}`", path.display()))?;
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

/// Takes from others what they may do with a data directory and our files in it; says what was changed. Nothing else
/// is touched.
///
/// # Errors
/// The directory is not ours; something is open to others and cannot be changed.
pub(crate) fn tighten(data_dir: &Path) -> Result<()> {
    if look(data_dir)? == Territory::Absent {
        return Ok(());
    }
    let entries =
        own_entries(data_dir).with_context(|| format!("cannot look into `{}`", data_dir.display()))?;
    for path in entries.iter().filter(|path| !is_secret(path)) {
        // What was named may be a link to the directory; nothing in it may.
        let looked_at =
            if path == data_dir { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
        // What is gone meanwhile needs no care.
        let Ok(metadata) = looked_at else { continue };
        let too_much = match metadata.file_type() {
            kind if kind.is_dir() => TOO_MUCH_FOR_DIRECTORY,
            kind if kind.is_file() => TOO_MUCH_FOR_FILE,
            _ => continue,
        };
        if metadata.mode() & 0o7777 & too_much != 0 {
            tighten_one(path, path == data_dir, too_much)?;
        }
    }
    Ok(())
}

/// What holds a secret is refused, not mended.
fn is_secret(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    [MASTER_KEY_FILE, NEXT_KEY_FILE, ROOT_KEY_FILE].iter().any(|secret| name == *secret)
}

/// Changes the mode of what is opened, so that it is what was looked at.
fn tighten_one(path: &Path, through_link: bool, too_much: u32) -> Result<()> {
    let mut flags = OFlags::NONBLOCK;
    flags.set(OFlags::NOFOLLOW, !through_link);
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let opened = opened.with_context(|| format!("cannot take `{}` from others", path.display()))?;
    let mode =
        opened.metadata().with_context(|| format!("cannot look at `{}`", path.display()))?.mode() & 0o7777;
    let tight = mode & !too_much;
    opened.set_permissions(Permissions::from_mode(tight)).with_context(|| {
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

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_data_directory_is_tightened_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        tighten(&data).unwrap();
        let (folder, file, key) =
            (data.join("nonces"), data.join("nonces/nonces-1"), data.join("master.key"));
        let (inner, beside, link) = (data.join("nonces/notes"), data.join("letters"), data.join("audit"));
        let (letter, target) = (data.join("letters/a.sh"), directory.path().join("target"));
        for made in [&folder, &beside, &target] {
            std::fs::create_dir_all(made).unwrap();
        }
        for made in [&file, &key, &inner, &letter, &data.join("tongguan.mark")] {
            std::fs::write(made, "").unwrap();
        }
        let all = [&data, &folder, &file, &key, &inner, &beside, &letter, &target];
        for path in all {
            set(path, 0o777);
        }
        tighten(&data).unwrap();
        let expected = [0o750, 0o750, 0o740, 0o777, 0o777, 0o777, 0o777, 0o777];
        assert_eq!(all.map(|path| mode(path)), expected);
        // A folder of ours that is a link is refused before anything is changed.
        set(&data, 0o777);
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(tighten(&data).unwrap_err().to_string().contains("symbolic link"));
        assert_eq!((mode(&data), mode(&target)), (0o777, 0o777));
    }

    /// Exchanging the file between check and read does not make us read one that others can read.
    #[test]
    fn what_is_judged_is_what_is_read() {
        const TRIES: usize = 20_000;
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        for (name, mode) in [("tight", 0o600), ("loose", 0o644)] {
            std::fs::write(place(name), name).unwrap();
            set(&place(name), mode);
        }
        let (secret, next) = (place("secret"), place("next"));
        std::os::unix::fs::symlink(place("tight"), &secret).unwrap();
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for name in ["loose", "tight"].iter().cycle() {
                    if ended.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                    std::os::unix::fs::symlink(place(name), &next).unwrap();
                    std::fs::rename(&next, &secret).unwrap();
                }
            });
            let mut read = [0; 2];
            for _ in 0..TRIES {
                match read_secret(&secret) {
                    Ok(text) => {
                        read[0] += 1;
                        assert_eq!(*text, "tight");
                    }
                    Err(error) => {
                        read[1] += 1;
                        assert!(error.is::<Exposed>(), "{error:#}");
                    }
                }
            }
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(read.iter().sum::<usize>(), TRIES);
        });
    }
}
