//! What can go wrong.

use std::path::PathBuf;

use crate::{DATABASE_FILE, DatabaseError, Trouble};

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused.
    #[error("database: {0}")]
    Database(#[from] DatabaseError),
    /// A file could not be made, read or locked.
    #[error("{what} `{path}`: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Another process serves this data directory.
    #[error("data directory `{}` is in use by another tongguan process{}", .directory.display(), pid(*.process))]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// Id of the process, if it said so.
        process: Option<u32>,
    },
    /// The database lacks changes that were answered.
    #[error(
        "the database in `{}` holds {found} batches of changes, but {answered} were answered, as the mark `{}` says: its \
         write-ahead log `{DATABASE_FILE}-wal` is missing or cut short, or the database is an older copy. Nothing was \
         changed. Put the right files back or restore a backup; to go on without the lost changes, `tongguan seal-anew`",
        .directory.display(), .mark.display()
    )]
    Lost {
        /// The data directory.
        directory: PathBuf,
        /// The mark.
        mark: PathBuf,
        /// Groups that the database has.
        found: u64,
        /// Groups that were answered.
        answered: u64,
    },
    /// The database is missing from a directory that had one.
    #[error(
        "`{}` had a database and has none now. Nothing was changed. Put `{DATABASE_FILE}` and `{DATABASE_FILE}-wal` \
         back or restore a backup; to begin anew, use an empty directory",
        .0.display()
    )]
    Missing(PathBuf),
    /// The directory is not ours: nothing in it is touched.
    #[error(
        "`{}` is not a data directory of tongguan: {why}. Nothing was changed; name a new or empty directory, or the \
         right one",
        .directory.display()
    )]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A database was to be put where something is already.
    #[error(
        "`{}` holds {name}: restore into a new directory, nothing is overwritten",
        .directory.display()
    )]
    Occupied {
        /// The directory.
        directory: PathBuf,
        /// What is there.
        name: String,
    },
    /// The database was made for the test API, and is to be served without it.
    #[error(
        "the database was made for the test API, which empties it and steps its clock: it is never served without it \
         (--test-api)"
    )]
    ForTests,
    /// The database was not made for the test API, and is to be served with it.
    #[error(
        "the database was made without the test API, which could empty it: that needs a directory of its own \
         (--data-dir)"
    )]
    NotForTests,
    /// The database is not as this release keeps it.
    #[error("the database is not sound ({0}): run `tongguan check`, and restore a backup if it says so too")]
    Unsound(Finding),
    /// The mark is not the one that the service wrote.
    #[error(
        "the mark `{}` {what}. Nothing was changed. Put the right one back, or say where it is kept (--mark-file); to \
         take the database as it is, `tongguan seal-anew`",
        .path.display()
    )]
    Mark {
        /// Where it is looked for.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A row that confers rights does not fit its seal.
    #[error("{what} was changed without the master key, and is refused: run `tongguan check`")]
    Forged {
        /// Whose row.
        what: String,
        /// Whether somebody acts by it; if not it is a certificate, or a key of the service's own.
        principal: bool,
    },
    /// The rows that confer rights are sealed, and the key of the seals was not given: nothing may be changed.
    #[error("the rows that confer rights are sealed, and the key of the seals is not known")]
    RightsClosed,
    /// The store cannot be used now: full disk, I/O error, damaged database. Nothing was changed.
    #[error("{0}")]
    Unusable(Trouble),
    /// The database was written by a newer release.
    #[error("the database has schema {found}, this release knows up to {known}: use the newer release")]
    NewerSchema {
        /// Schema found.
        found: u32,
        /// Newest schema that this release knows.
        known: u32,
    },
    /// The shared database is of an older schema, or has none.
    #[error(
        "the database has schema {found}, this release needs {known}: `tongguan database {}` makes it",
        if *.found == 0 { "init" } else { "upgrade" }
    )]
    OlderSchema {
        /// Schema found; 0 if there is none.
        found: u32,
        /// Schema that this release needs.
        known: u32,
    },
    /// Changes of several nodes were in each other's way for too long. Nothing was changed.
    #[error("changes of several nodes were in each other's way for too long")]
    Busy,
    /// Only the embedded store can do this.
    #[error("this is for the embedded store; a shared database has tools of its own for it")]
    Embedded,
    /// As many nodes write to the shared database as there are places for.
    #[error("as many nodes as there are places for use this database already")]
    NoLane,
    /// Nodes use a shared database that one process has to have alone.
    #[error(
        "nodes use the database, and this needs it alone: stop all of them first; one that was killed counts for 10 s"
    )]
    NodesLive,
    /// A store was to be moved into a shared database that has rows.
    #[error("the database has rows already (in `{0}`): nothing is overwritten; name an empty one")]
    NotEmpty(String),
    /// A store was to be moved to a place of the same kind.
    #[error(
        "a store is moved from a data directory to a shared database, or back; between places of one kind it is copied: \
         `tongguan backup` and `restore`, or the database's own tools"
    )]
    OneKind,
    /// A text cannot be stored in PostgreSQL.
    #[error("a row of `{table}` has a zero byte in `{column}`, and PostgreSQL holds no text with one")]
    NoText {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The master key was changed while this process ran.
    #[error("the master key was changed while this process ran: start it again, with the new one")]
    KeyChanged,
    /// A row holds a value that no release writes.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A change ended with a panic; it left nothing behind.
    #[error("a change ended with a panic")]
    Panicked,
    /// The writer has stopped.
    #[error("the store is closed")]
    Closed,
    /// So many changes of this account wait already that one more would make others wait.
    #[error("too many changes of this account wait")]
    Crowded,
    /// More changes wait than there are places.
    #[error("too many changes wait")]
    Full,
}

impl StoreError {
    /// Whether the database engine reports that the file is malformed.
    #[must_use]
    pub fn malformed(&self) -> bool {
        matches!(self, Self::Database(error) if error.malformed())
    }

    /// Whether it says that it may not write.
    #[must_use]
    pub fn read_only(&self) -> bool {
        matches!(self, Self::Database(error) if error.read_only())
    }
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule is broken.
    pub rule: &'static str,
    /// Where, or what SQLite says.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

fn pid(process: Option<u32>) -> String {
    process.map(|process| format!(" (process {process})")).unwrap_or_default()
}
