//! Checkpoints: what keeps the write-ahead log short.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tracing::{error, warn};

use super::BUSY_TIME;
use super::writer::spawn;
use crate::StoreError;

/// WAL pages after which the checkpointer is woken.
pub(super) const CHECKPOINT_PAGES: u64 = 2_000;
/// WAL pages after which the writer itself waits for a full checkpoint, so that the log stays bounded.
pub(super) const CHECKPOINT_HARD_PAGES: u64 = 40_000;
/// Longest that such a checkpoint may wait for a reader, such as a backup: changes wait as long.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(100);
/// Pages written after a checkpoint that was held up before the next one is tried.
pub(super) const CHECKPOINT_AGAIN_PAGES: u64 = 10_000;

/// Moves the whole log into the database, so that it begins anew.
pub(super) fn checkpoint_now(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(CHECKPOINT_WAIT)?;
    let done = connection.execute_batch("PRAGMA wal_checkpoint(RESTART)");
    connection.busy_timeout(BUSY_TIME)?;
    done
}

/// Checkpoints beside the writer, which a passive checkpoint does not hold up.
///
/// Its connection is closed when it is dropped, not some time later: whoever ends the store may touch its
/// files at once.
pub(super) struct Checkpointer {
    sender: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (sender, receiver) = sync_channel(1);
        let thread = spawn("store-checkpoint", move || {
            while receiver.recv().is_ok() {
                if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)") {
                    warn!(%error, "checkpoint failed");
                }
            }
        })?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Requests a checkpoint; one pending request is enough.
    pub(super) fn ask(&self) {
        let _ = self.sender.as_ref().map(|sender| sender.try_send(()));
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the store's checkpoints ended with a panic");
        }
    }
}
