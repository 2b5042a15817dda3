//! File modes: a file with a secret is for its owner alone, and the service does not start otherwise.
//!
//! * **Secrets** (master key, root key, the listener's private key, a configuration that contains secrets, files
//!   with secrets that it names) are *refused* if their group or others have any access, as OpenSSH does: the
//!   secret may already have leaked, and only its owner can judge that. A file that belongs to root may be readable
//!   by a group that the service is in, as in PostgreSQL: that is how service managers pass files on. What is
//!   checked is what is read: a file is opened once, and its mode is that of the open file. Nor may others be able to
//!   put another file in its place, through any directory or link that leads to it.
//! * **The data directory** and what the service itself keeps there is *tightened* with a warning: to 0750 and 0640
//!   at most, so that a group that an operator has chosen may read it for a backup, and nobody else. None of these
//!   files contains a secret in the clear. A directory that is not ours is refused before that, and in one that is,
//!   only what `tongguan_store::own_entries` names is touched, and nothing through a link.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

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
/// In a directory with this bit only owners may remove what is theirs.
const STICKY: u32 = 0o1000;
/// Links on the way to a file, as many as the kernel follows.
const LINKS: usize = 40;

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
    /// Others may put another file in its place.
    #[error(
        "`{path}` holds a secret, and others may put another file in its place: `{directory}` is open to them (mode \
         {mode:03o}): chmod go-w '{directory}'", directory = directory.display()
    )]
    Replaceable {
        /// The file.
        path: String,
        /// The directory through which they may.
        directory: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else may, who owns a directory or a link that leads to it.
    #[error(
        "`{path}` holds a secret, and user {owner} may put another file in its place, who owns `{step}`: keep the file \
         elsewhere, or chown {user} '{step}'", step = step.display()
    )]
    Led {
        /// The file.
        path: String,
        /// The directory, or the link.
        step: PathBuf,
        /// Its owner's id.
        owner: u32,
        /// Whose it has to be, or root's.
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
    judge(&path.display().to_string(), metadata.uid(), metadata.mode() & 0o7777, user)?;
    // Pipes and the like stand in no directory that matters.
    if metadata.is_file() {
        // Whose a directory is says nothing to root either: it looks at a service's files, and in a container works in
        // folders of somebody outside.
        judge_way(path, user, |owner| user != 0 && is_mapped(owner))?;
    }
    Ok(())
}

/// Refuses a file in whose place others than this user and root may put another one. `matters` says of which owners
/// of a directory that is to be said.
fn judge_way(path: &Path, user: u32, matters: impl Fn(u32) -> bool) -> Result<(), Exposed> {
    // The file was opened; what cannot be followed are the links of `/proc` to files that are open.
    let Ok(way) = way(path) else { return Ok(()) };
    for (step, metadata) in way {
        let path = || path.display().to_string();
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
        if owner != 0 && owner != user && matters(owner) {
            return Err(Exposed::Led { path: path(), step, owner, user });
        }
        // Of a link the mode says nothing; where the sticky bit is set, only owners remove what is theirs.
        if !metadata.is_dir() || mode & STICKY != 0 {
            continue;
        }
        // Root's group, and that of the user's own number, have nobody else in them.
        let own_group = metadata.gid() == 0 || metadata.gid() == user;
        let forbidden = if own_group { 0o002 } else { 0o022 };
        if mode & forbidden != 0 {
            return Err(Exposed::Replaceable { path: path(), directory: step, mode });
        }
    }
    Ok(())
}

/// All directories and links that a path goes through, each with what the system says of it; at the end what it leads
/// to.
///
/// # Errors
/// One of them is not there, or there are too many links.
fn way(path: &Path) -> std::io::Result<Vec<(PathBuf, Metadata)>> {
    let steps = |path: &Path| -> Vec<PathBuf> {
        path.components().rev().map(|step| PathBuf::from(step.as_os_str())).collect()
    };
    let mut left = steps(&std::path::absolute(path)?);
    let (mut at, mut found, mut links) = (PathBuf::from("/"), Vec::new(), 0);
    while let Some(step) = left.pop() {
        if step.as_os_str() == ".." {
            at.pop();
            continue;
        }
        // An absolute one takes the place of all before.
        let next = at.join(&step);
        let metadata = std::fs::symlink_metadata(&next)?;
        if metadata.is_symlink() {
            links += 1;
            if links > LINKS {
                return Err(rustix::io::Errno::LOOP.into());
            }
            left.extend(steps(&std::fs::read_link(&next)?));
        } else {
            at.clone_from(&next);
        }
        found.push((next, metadata));
    }
    Ok(found)
}

/// Whether a user id is somebody's in this user namespace: all are in the first one; in others, what is not mapped
/// appears as the overflow id.
fn is_mapped(user: u32) -> bool {
    let overflow = std::fs::read_to_string("/proc/sys/kernel/overflowuid");
    if overflow.ok().and_then(|text| text.trim().parse().ok()) != Some(user) {
        return true;
    }
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let all: Vec<_> = map.split_whitespace().collect();
    all.is_empty() || all == ["0", "0", "4294967295"]
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

    /// A directory that others may write to is refused, wherever on the way it is; one where only owners may remove
    /// what is theirs is not, as /tmp is.
    #[test]
    fn nobody_may_put_another_file_in_the_place_of_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let (upper, lower) = (directory.path().join("upper"), directory.path().join("upper/lower"));
        std::fs::create_dir_all(&lower).unwrap();
        let (secret, link) = (lower.join("secret"), directory.path().join("link"));
        std::fs::write(&secret, "text").unwrap();
        set(&secret, 0o600);
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        for (open, mode, refused) in [
            (&upper, 0o755, false),
            (&upper, 0o757, true),
            (&upper, 0o1777, false),
            (&lower, 0o772, true),
            (&lower, 0o711, false),
        ] {
            set(open, mode);
            for path in [&secret, &link] {
                let read = read_secret(path);
                assert_eq!(read.is_err(), refused, "{mode:o} {}", path.display());
                let Err(error) = read else { continue };
                assert!(error.is::<Exposed>(), "{error:#}");
                let said = error.to_string();
                let mended = format!("chmod go-w '{}'", open.canonicalize().unwrap().display());
                assert!(said.ends_with(&mended), "{said}");
            }
            set(open, 0o755);
        }
        // Somebody else's, which only root can make.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&upper, Some(1), None).unwrap();
            let said = judge_way(&secret, 0, |_| true).unwrap_err().to_string();
            assert!(said.contains("user 1 may put another file in its place"), "{said}");
            assert!(judge_way(&secret, 0, |owner| owner != 1).is_ok(), "a user of outside this namespace");
            assert!(judge_way(&secret, 1, |_| true).is_ok());
            assert_eq!(*read_secret(&secret).unwrap(), "text");
        }
        // What is passed on as a file that is open has no directory.
        let opened = File::open(&secret).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&opened);
        std::fs::remove_file(&secret).unwrap();
        assert_eq!(*read_secret(Path::new(&format!("/proc/self/fd/{number}"))).unwrap(), "text");
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
