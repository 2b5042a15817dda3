//! The mark: how many batches were committed, kept beside the database.
//!
//! SQLite cannot tell that its write-ahead log is missing, truncated or from another day: it opens the database as
//! if the answered changes in it had never happened. So the number of committed batches is in the database, written
//! with each batch, and in a file of its own, written after the commit and before the changes are answered. A
//! database with a smaller number than the mark has lost answered changes, and is refused. The mark is not synced
//! with each batch: after a power failure it may be behind, which is harmless.
//!
//! Once the rows that confer rights are sealed ([`crate::rights`]), so is the mark: somebody who writes the disk
//! can restore an older mark but cannot make one. An operator may keep it apart from the database, so that somebody
//! who can roll back the database cannot roll back the mark with it.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::put::put;
use crate::rights::RightsKey;

/// Name of the mark inside a data directory.
pub const MARK_FILE: &str = "tongguan.mark";

/// Digits of the number: always the same, so that it is written in place.
const DIGITS: usize = 20;
/// Digits of a seal.
const SEAL_DIGITS: usize = 64;

/// What is found in the place of a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// Something that is no mark.
    Other,
    /// A mark without a seal.
    Plain(u64),
    /// A mark, and the digits of its seal.
    Sealed(u64, String),
}

impl Found {
    /// Groups that it says were answered.
    pub(crate) fn groups(&self) -> Option<u64> {
        match self {
            Self::Nothing | Self::Other => None,
            Self::Plain(groups) | Self::Sealed(groups, _) => Some(*groups),
        }
    }

    /// What is wrong with it as a mark that must be sealed under this key.
    pub(crate) fn fault(&self, key: &RightsKey) -> Option<&'static str> {
        match self {
            Self::Nothing => Some("is missing"),
            Self::Other | Self::Plain(_) => Some("is not one that the service wrote"),
            Self::Sealed(groups, seal) if *seal != key.mark(*groups) => {
                Some("was changed without the master key, or belongs to another database")
            }
            Self::Sealed(..) => None,
        }
    }

    fn parse(text: &str) -> Self {
        let number = |digits: &str| -> Option<u64> {
            let plain = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
            if plain { digits.parse().ok() } else { None }
        };
        let Some(line) = text.strip_suffix('\n') else { return Self::Other };
        match line.split_once(' ') {
            None => number(line).map_or(Self::Other, Self::Plain),
            Some((digits, seal)) if seal.len() == SEAL_DIGITS => {
                number(digits).map_or(Self::Other, |groups| Self::Sealed(groups, seal.to_owned()))
            }
            Some(_) => Self::Other,
        }
    }
}

/// The mark of a data directory.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl Mark {
    /// The mark of a data directory, or the one at `elsewhere`.
    pub(crate) fn of(directory: &Path, elsewhere: Option<&Path>) -> Self {
        let path = elsewhere.map_or_else(|| directory.join(MARK_FILE), Path::to_path_buf);
        Self { path, file: Mutex::new(None) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The contents of the file. Read until two readings agree: the service may be writing it.
    pub(crate) fn read(&self) -> std::io::Result<Found> {
        const READINGS: u32 = 1_000;
        let mut last = self.read_once()?;
        for _ in 1..READINGS {
            let again = self.read_once()?;
            if again == last {
                break;
            }
            last = again;
        }
        Ok(last)
    }

    fn read_once(&self) -> std::io::Result<Found> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(Found::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Found::Nothing),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(Found::Other),
            Err(error) => Err(error),
        }
    }

    /// Puts a new file in the place of whatever is there, durably: a link is replaced and not followed.
    pub(crate) fn begin(&self, groups: u64, key: Option<&RightsKey>) -> std::io::Result<()> {
        // Who may read a mark that is there may read the new one.
        let there = std::fs::symlink_metadata(&self.path).ok().filter(std::fs::Metadata::is_file);
        let new = put(&self.path, |new| {
            if let Some(there) = there {
                new.set_permissions(there.permissions())?;
            }
            new.write_all(text(groups, key).as_bytes())
        })?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(new);
        Ok(())
    }

    /// Writes the number in place. To be called after [`Mark::begin`]; does nothing before.
    pub(crate) fn set(&self, groups: u64, key: Option<&RightsKey>) -> std::io::Result<()> {
        match &*self.file.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => file.write_all_at(text(groups, key).as_bytes(), 0),
            None => Ok(()),
        }
    }
}

fn text(groups: u64, key: Option<&RightsKey>) -> String {
    match key {
        None => format!("{groups:0DIGITS$}\n"),
        Some(key) => format!("{groups:0DIGITS$} {}\n", key.mark(groups)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_read_as_it_was_set() {
        let directory = tempfile::tempdir().unwrap();
        let mark = Mark::of(directory.path(), None);
        assert_eq!(mark.read().unwrap(), Found::Nothing);
        mark.begin(1, None).unwrap();
        mark.set(12_345, None).unwrap();
        mark.set(7, None).unwrap();
        assert_eq!(mark.read().unwrap(), Found::Plain(7));
        let (key, other) = (RightsKey::new(b"one"), RightsKey::new(b"other"));
        assert!(mark.read().unwrap().fault(&key).is_some());
        // It becomes sealed in place.
        mark.set(8, Some(&key)).unwrap();
        let found = mark.read().unwrap();
        assert_eq!((found.groups(), found.fault(&key)), (Some(8), None));
        assert!(found.fault(&other).is_some());
        // One digit less or more, of the number or the seal, is another mark.
        let text = std::fs::read_to_string(mark.path()).unwrap();
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            std::fs::write(mark.path(), bytes).unwrap();
            assert!(mark.read().unwrap().fault(&key).is_some(), "{place}");
        }
        for wrong in [&b"0000\xff"[..], b"", b"7\n", b"00000000000000000007", &text.as_bytes()[..40]] {
            std::fs::write(mark.path(), wrong).unwrap();
            assert_eq!(mark.read().unwrap(), Found::Other);
        }
    }

    #[test]
    fn a_link_in_the_place_of_the_mark_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let mark = Mark::of(directory.path(), None);
        let victim = directory.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        for name in [MARK_FILE, "tongguan.mark.part"] {
            std::os::unix::fs::symlink(&victim, directory.path().join(name)).unwrap();
            mark.begin(1, None).unwrap();
            mark.set(2, None).unwrap();
            assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
            assert!(!mark.path().is_symlink());
            assert_eq!(mark.read().unwrap(), Found::Plain(2));
            std::fs::remove_file(mark.path()).unwrap();
        }
    }
}
