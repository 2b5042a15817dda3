//! The highest timeline that a node has seen, kept in a file: so one that is started again refuses an old primary too,
//! also when that is the only host that answers.
//!
//! A file of the node's own, since there is nobody else to ask: what other nodes have written is in the database, and
//! an old primary has only what was written before. Timelines are those of one cluster, which has an identifier from
//! its beginning: what was seen of another cluster, which the database was moved from, says nothing of this one. A node
//! that has no such file knows as much as one that was never there.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tracing::warn;

use crate::StoreError;
use crate::put::put;

/// A cluster, and a timeline of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) system: String,
    pub(super) timeline: u32,
}

/// What a node has seen, in memory and in its file.
#[derive(Debug)]
pub(super) struct Remembered {
    path: PathBuf,
    seen: Mutex<Option<Seen>>,
}

impl Remembered {
    /// Reads the file, if it is there.
    pub(super) fn read(path: PathBuf) -> Result<Self, StoreError> {
        let seen = match std::fs::read_to_string(&path) {
            Ok(text) => Some(Seen::parse(&text).ok_or_else(|| {
                let wrong = std::io::Error::new(ErrorKind::InvalidData, "it is no timeline of a database");
                StoreError::File { what: "cannot use", path: path.clone(), source: wrong }
            })?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(source) => return Err(StoreError::File { what: "cannot read", path, source }),
        };
        Ok(Self { path, seen: Mutex::new(seen) })
    }

    /// The highest timeline that was seen of a cluster.
    pub(super) fn of(&self, system: &str) -> Option<u32> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().filter(|seen| seen.system == system).map(|seen| seen.timeline)
    }

    /// Keeps what was seen, if it is new. That it cannot be is no reason not to serve.
    pub(super) fn keep(&self, now: Seen) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |seen: &Seen| seen.system == now.system && seen.timeline >= now.timeline;
        if seen.as_ref().is_some_and(known) {
            return;
        }
        let text = format!("{} {}\n", now.system, now.timeline);
        if let Err(error) = put(&self.path, |file| file.write_all(text.as_bytes())) {
            warn!(%error, path = %self.path.display(), "the timeline of the database was not written down");
        }
        *seen = Some(now);
    }
}

impl Seen {
    fn parse(text: &str) -> Option<Self> {
        let (system, timeline) = text.trim_end().split_once(' ')?;
        system.parse::<u64>().ok()?;
        Some(Self { system: system.to_owned(), timeline: timeline.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_timeline_of_the_last_cluster_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("timeline");
        let read = || Remembered::read(path.clone()).unwrap();
        let seen = |system: &str, timeline| Seen { system: system.into(), timeline };
        assert_eq!(read().of("7"), None);
        for (now, kept) in [
            (seen("7", 3), [Some(3), None]),
            (seen("7", 2), [Some(3), None]),
            (seen("7", 4), [Some(4), None]),
            (seen("8", 1), [None, Some(1)]),
        ] {
            let remembered = read();
            remembered.keep(now);
            for known in [&remembered, &read()] {
                assert_eq!([known.of("7"), known.of("8")], kept);
            }
        }
        for wrong in ["", "7", "x 3", "7 -1", "7 3 4"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(Remembered::read(path.clone()).is_err(), "{wrong:?}");
        }
    }
}
