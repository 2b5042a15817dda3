//! Whether a directory is ours. Naming the wrong one, a home directory or `/`, must not do any harm: before a byte,
//! a mode or an owner is changed, the directory is new, empty, or already ours; and in one of ours only what is
//! named here is touched.
//!
//! Our files are recognised by their names alone, and only where a database or its mark is there too, or nothing
//! that is not ours: a lone lock file beside somebody's files proves nothing. Files that are written in place are
//! never symbolic links, since they would be written through.

use std::fs::{DirEntry, FileType, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::put::PART;
use crate::{AUDIT_FOLDER, DATABASE_FILE, LOCK_FILE, MARK_FILE, StoreError};

/// A database that was not put in its place.
pub(crate) const DATABASE_PART: &str = "tongguan.db.part";
/// Name of the nonce log's directory inside a data directory.
pub const NONCE_FOLDER: &str = "nonces";

/// Name of the file in which a node over a database that several share keeps the highest timeline that it has seen.
pub const TIMELINE_FILE: &str = "database.timeline";

/// Files of a data directory that are written in place.
const WRITTEN: &[&str] =
    &[DATABASE_FILE, "tongguan.db-wal", "tongguan.db-shm", "tongguan.db-journal", MARK_FILE, LOCK_FILE];
/// Its other files, besides those that end with [`PART`]: each is replaced whole.
const REPLACED: &[&str] =
    &[TIMELINE_FILE, "control.sock", "master.key", "master.key.next", "root-access-key.env"];
/// Names of such files that are not one of its files with more at its end.
const PARTS: &[&str] = &["tongguan.part", "master.part"];
const FOLDERS: &[&str] = &[AUDIT_FOLDER, NONCE_FOLDER];

/// What is written in place: never through a link.
fn written_in_place() -> impl Iterator<Item = &'static str> {
    WRITTEN.iter().chain(FOLDERS).copied()
}

/// The file system's own directory for recovered files.
const FOUND: &str = "lost+found";

/// What a directory is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Territory {
    /// It does not exist.
    Absent,
    /// Nothing is in it.
    Empty,
    /// Nothing is in it but files of ours, and no database.
    Begun,
    /// It has a database, or had one.
    Ours,
}

/// Inspects a directory and changes nothing.
///
/// # Errors
/// [`StoreError::Foreign`] if it is not ours, and if it cannot be read.
pub fn look(directory: &Path) -> Result<Territory, StoreError> {
    let failed =
        |source| StoreError::File { what: "cannot look into", path: directory.to_path_buf(), source };
    match std::fs::metadata(directory) {
        Ok(there) if there.is_dir() => {}
        Ok(_) => return Err(foreign(directory, "it is a file".into())),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Territory::Absent),
        Err(error) => return Err(failed(error)),
    }
    let (mut entries, mut stranger, mut had_database) = (0, None, false);
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() && written_in_place().any(|ours| ours == name) {
            return Err(foreign(directory, link(&name)));
        }
        had_database |= proves(&entry, &name, kind);
        if name == FOUND && kind.is_dir() {
            continue;
        }
        if kind.is_dir() && FOLDERS.contains(&name.as_str()) {
            no_links_in(directory, &name).map_err(failed)??;
        }
        entries += 1;
        if !is_own(&name, kind) {
            stranger.get_or_insert(name);
        }
    }
    match stranger {
        _ if had_database => Ok(Territory::Ours),
        Some(name) => {
            Err(foreign(directory, format!("it holds other files, such as `{name}`, and no database")))
        }
        None if entries == 0 => Ok(Territory::Empty),
        None => Ok(Territory::Begun),
    }
}

/// Refuses a directory into which no database may be put: one that is not ours, that has one or had one, or that holds
/// anything but a master key, which may have been put there before, and what is left where somebody began to put one.
///
/// # Errors
/// [`StoreError::Foreign`], [`StoreError::Occupied`], and if it cannot be read.
pub fn vacant(directory: &Path) -> Result<(), StoreError> {
    const MAY_BE_THERE: &[&str] = &["master.key", FOUND, LOCK_FILE, DATABASE_PART];
    let occupied = |name: String| StoreError::Occupied { directory: directory.to_path_buf(), name };
    match look(directory)? {
        Territory::Absent | Territory::Empty => return Ok(()),
        Territory::Ours => return Err(occupied("a database, or had one".into())),
        Territory::Begun => {}
    }
    let failed =
        |source| StoreError::File { what: "cannot look into", path: directory.to_path_buf(), source };
    // Nonces come after the database that they are for, and before it is put in its place.
    let begun = directory.join(DATABASE_PART).exists();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if !(MAY_BE_THERE.contains(&name.as_str()) || begun && name == NONCE_FOLDER) {
            return Err(occupied(format!("`{name}`")));
        }
    }
    Ok(())
}

/// Our folders and files in a directory of ours, the directory itself first: what may be given another mode. Links
/// are not among them.
///
/// # Errors
/// A directory cannot be read.
pub fn own_entries(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = vec![directory.to_path_buf()];
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // What is gone meanwhile needs no care.
        let Ok(kind) = entry.file_type() else { continue };
        if !is_own(&name, kind) || kind.is_symlink() {
            continue;
        }
        found.push(entry.path());
        if kind.is_dir() {
            for inner in std::fs::read_dir(entry.path())? {
                let inner = inner?;
                let is_file = inner.file_type().is_ok_and(|kind| kind.is_file());
                if is_file && is_own_inside(&name, &inner.file_name().to_string_lossy()) {
                    found.push(inner.path());
                }
            }
        }
    }
    Ok(found)
}

/// Refuses a data directory in which a file that we would write is a symbolic link.
fn no_links_in(directory: &Path, folder: &str) -> std::io::Result<Result<(), StoreError>> {
    for entry in std::fs::read_dir(directory.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) && is_own_inside(folder, &name) {
            return Ok(Err(foreign(directory, link(&format!("{folder}/{name}")))));
        }
    }
    Ok(Ok(()))
}

fn link(name: &str) -> String {
    format!("`{name}` in it is a symbolic link, and nothing is written through one")
}

/// How a file of ours is opened that is written in place: not through a link.
pub(crate) fn in_place() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options
}

fn proves(entry: &DirEntry, name: &str, kind: FileType) -> bool {
    kind.is_file()
        && (name == MARK_FILE
            || name == DATABASE_FILE && entry.metadata().is_ok_and(|metadata| metadata.len() > 0))
}

fn is_own(name: &str, kind: FileType) -> bool {
    if kind.is_dir() {
        return FOLDERS.contains(&name);
    }
    let whole = name.strip_suffix(PART).unwrap_or(name);
    WRITTEN.contains(&whole) || REPLACED.contains(&whole) || PARTS.contains(&name)
}

fn is_own_inside(folder: &str, name: &str) -> bool {
    let numbered = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match folder {
        AUDIT_FOLDER => name.strip_suffix(".jsonl").is_some_and(numbered),
        _ => {
            matches!(name, "nonces.boot" | "nonces.boot.part" | "nonces.part")
                || name.strip_prefix("nonces-").is_some_and(numbered)
        }
    }
}

fn foreign(directory: &Path, why: String) -> StoreError {
    StoreError::Foreign { directory: directory.to_path_buf(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Moment, NonceLog, Options, Store};

    fn why(directory: &Path) -> String {
        look(directory).unwrap_err().to_string()
    }

    #[test]
    fn a_directory_is_ours_by_its_database_or_by_having_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        assert_eq!(look(&data).unwrap(), Territory::Absent);
        std::fs::create_dir(&data).unwrap();
        std::fs::create_dir(data.join(FOUND)).unwrap();
        assert_eq!(look(&data).unwrap(), Territory::Empty);
        // What a start that was cut short may have left.
        std::fs::write(data.join(LOCK_FILE), "1\n").unwrap();
        std::fs::write(data.join(DATABASE_FILE), "").unwrap();
        std::fs::create_dir(data.join(AUDIT_FOLDER)).unwrap();
        assert_eq!(look(&data).unwrap(), Territory::Begun);
        assert!(matches!(vacant(&data), Err(StoreError::Occupied { .. })));
        // Beside somebody's files that proves nothing.
        std::fs::write(data.join("letter.txt"), "").unwrap();
        assert!(why(&data).contains("`letter.txt`"), "{}", why(&data));
        std::fs::write(data.join(DATABASE_FILE), "x").unwrap();
        assert_eq!(look(&data).unwrap(), Territory::Ours);
        std::fs::remove_file(data.join(DATABASE_FILE)).unwrap();
        std::fs::write(data.join(MARK_FILE), "").unwrap();
        assert_eq!(look(&data).unwrap(), Territory::Ours);
        assert!(why(&data.join("letter.txt")).contains("it is a file"));
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let inside = [
            "audit/00000000000000000007.jsonl",
            "nonces/nonces.part",
            "nonces/nonces.boot.part",
            "nonces/nonces.boot",
            "nonces/nonces-3",
        ];
        for name in written_in_place().chain(inside) {
            let directory = tempfile::tempdir().unwrap();
            let (data, victim) = (directory.path().join("data"), directory.path().join("victim"));
            drop(Store::open(&data, &Options::default()).unwrap());
            std::fs::write(&victim, "a text of somebody's\n").unwrap();
            let path = data.join(name);
            let _ = std::fs::remove_file(&path);
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(&victim, &path).unwrap();
            let error = Store::open(&data, &Options::default()).unwrap_err();
            assert!(matches!(&error, StoreError::Foreign { why, .. } if why.contains(name)), "{error}");
            assert_eq!(std::fs::read_to_string(&victim).unwrap(), "a text of somebody's\n");
            // Nor by who opens it without having looked.
            assert!(in_place().open(&path).is_err());
        }
    }

    /// The table of names is complete: nothing that a store makes is strange to it.
    #[test]
    fn whatever_is_made_is_known() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let store = Store::open(&data, &Options::default()).unwrap();
        let moment = Moment { unix: 0, steady: 0 };
        let nonces = NonceLog::open(&data.join(NONCE_FOLDER), moment, 10).unwrap();
        let known = own_entries(&data).unwrap();
        let mut folders = vec![data.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                assert!(known.contains(&path), "{}", path.display());
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        drop((store, nonces));
        std::fs::write(data.join("audit/letter.txt"), "").unwrap();
        std::fs::write(data.join("nonces/letter.txt"), "").unwrap();
        assert!(own_entries(&data).unwrap().iter().all(|path| !path.ends_with("letter.txt")));
    }
}
