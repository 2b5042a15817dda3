//! How the store is tuned.

use std::path::PathBuf;

/// What a database is for: it is made for one of them and stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A service that is relied on.
    Service,
    /// Tests: the test API empties it and steps its clock.
    Tests,
    /// The same, of a copy of another database: whatever that was made for, the copy is for tests from now on.
    TestsOnCopy,
}

/// How the store is tuned. Every limit has a name.
#[derive(Debug, Clone)]
pub struct Options {
    /// Operations committed in one batch at most.
    pub group: usize,
    /// Audit records of reads and refusals that may wait in memory for the next batch.
    pub audit_backlog: usize,
    /// Audit records of reads and refusals kept of each account; its older ones are removed.
    pub audit_records: u64,
    /// Audit records of changes kept of each account, and as many of temporary keys that it issued; its older ones are
    /// removed.
    pub audit_changes: u64,
    /// Audit records of refusals kept of all those together who have proved nothing; older ones are removed.
    pub audit_strangers: u64,
    /// Such refusals that are recorded individually, of one source in a minute; further ones are counted.
    pub audit_strangers_per_minute: u32,
    /// Days that audit records are kept at most; 0: as long as there is room.
    pub audit_days: u64,
    /// Days that audit records of changes are to be kept at least; a warning is logged if there was no room for that.
    pub audit_change_days: u64,
    /// Milliseconds that a waiting audit record may wait for company.
    pub audit_flush_ms: u64,
    /// Page cache of each reading connection, KiB.
    pub cache_kib: u32,
    /// Page cache of the writing connection, KiB.
    pub writer_cache_kib: u32,
    /// Of a shared database: connections that write at a time, each with a chain of audit records of its own. Changes
    /// of one account follow each other on one of them.
    pub lanes: usize,
    /// Of a shared database: connections that read at a time.
    pub readers: usize,
    /// Where the mark is kept; none: in the data directory.
    pub mark_file: Option<PathBuf>,
    /// Opens a database that lacks answered changes, or whose mark is not whole: for who takes it as it is.
    pub take_as_it_is: bool,
    /// What a database that is made is for; one that is there must be for the same. None: whatever it is for.
    pub purpose: Option<Purpose>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            group: 256,
            audit_backlog: 4_096,
            audit_records: 500_000,
            audit_changes: 500_000,
            audit_strangers: 50_000,
            audit_strangers_per_minute: 60,
            audit_days: 0,
            audit_change_days: 180,
            audit_flush_ms: 100,
            cache_kib: 2_048,
            writer_cache_kib: 4_096,
            lanes: 4,
            readers: 8,
            mark_file: None,
            take_as_it_is: false,
            purpose: None,
        }
    }
}
