//! The mark: how many groups of changes were committed, kept beside the database.
//!
//! SQLite cannot tell that its write-ahead log is missing, cut short or from another day: it opens the
//! database as if the answered changes in it had never been. So the number of committed groups stands in
//! the database, written with each group, and in a file of its own, written after the commit and before
//! the changes are answered. A database that knows fewer groups than the mark has lost answered changes,
//! and is refused. The mark is not synced: after a loss of power it may be behind, which is harmless.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Name of the mark inside a data directory.
pub const MARK_FILE: &str = "tongguan.mark";

/// Digits of the number: always the same, so that it is written in place.
const DIGITS: usize = 20;

/// The mark of a data directory, open for writing.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
}

impl Mark {
    pub(crate) fn open(directory: &Path) -> std::io::Result<Self> {
        let path = directory.join(MARK_FILE);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        Ok(Self { file })
    }

    pub(crate) fn set(&self, groups: u64) -> std::io::Result<()> {
        self.file.write_all_at(format!("{groups:0DIGITS$}\n").as_bytes(), 0)
    }
}

/// What the mark of a directory says; none if there is none, or if it is not whole.
pub(crate) fn read(directory: &Path) -> std::io::Result<Option<u64>> {
    match std::fs::read_to_string(directory.join(MARK_FILE)) {
        Ok(text) if text.len() == DIGITS + 1 => Ok(text.trim_end().parse().ok()),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_read_as_it_was_set() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap(), None);
        let mark = Mark::open(directory.path()).unwrap();
        mark.set(12_345).unwrap();
        mark.set(7).unwrap();
        assert_eq!(read(directory.path()).unwrap(), Some(7));
        std::fs::write(directory.path().join(MARK_FILE), b"0000\xff").unwrap();
        assert_eq!(read(directory.path()).unwrap(), None);
    }
}
