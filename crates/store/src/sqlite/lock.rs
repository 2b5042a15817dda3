//! The lock that keeps a second process out of a data directory.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use super::territory;
use crate::StoreError;

/// Name of the file whose lock keeps a second process out.
pub const LOCK_FILE: &str = "tongguan.lock";

/// Takes the lock; it is held for as long as the file is open.
pub(crate) fn take(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK_FILE);
    let mut file = territory::in_place().read(true).open(&path).map_err(|source| StoreError::File {
        what: "cannot open lock file",
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => {
            // Only for people and messages: the lock is the file's, not its text's.
            let named = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            named.map_err(|source| StoreError::File { what: "cannot write lock file", path, source })?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(StoreError::InUse { directory: directory.to_path_buf(), process: holder(directory) })
        }
        Err(std::fs::TryLockError::Error(source)) => {
            Err(StoreError::File { what: "cannot lock", path, source })
        }
    }
}

/// Whether a process serves a data directory, and which, if it said so.
#[must_use]
pub fn serving(directory: &Path) -> Option<Option<u32>> {
    let file = File::open(directory.join(LOCK_FILE)).ok()?;
    match file.try_lock_shared() {
        Err(std::fs::TryLockError::WouldBlock) => Some(holder(directory)),
        Ok(()) | Err(std::fs::TryLockError::Error(_)) => None,
    }
}

/// Id of the process that serves a data directory, as it wrote it down.
fn holder(directory: &Path) -> Option<u32> {
    std::fs::read_to_string(directory.join(LOCK_FILE)).ok()?.trim().parse().ok()
}
