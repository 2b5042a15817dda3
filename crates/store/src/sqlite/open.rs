//! Opens the database: what is looked at before, how a connection is set up.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::journal::{Journal, Left};
use super::mark::{Found, Mark};
use super::{BUSY_TIME, schema, state, territory};
use crate::session::whole::make_all_known;
use crate::session::{Session, failed};
use crate::{StoreError, rows};

/// Creates a directory and its parents, accessible to their owner only; an existing one is left as it is.
pub(crate) fn make_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the database's file for its owner alone, if there is none: SQLite would leave that to the umask. Its
/// log gets the same mode.
pub(super) fn make_owner_only(path: &Path) -> Result<(), StoreError> {
    territory::in_place().open(path).map(drop).map_err(|source| StoreError::File {
        what: "cannot make database",
        path: path.to_path_buf(),
        source,
    })
}

pub(super) fn mark_failed(mark: &Mark, what: &'static str) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = mark.path().to_path_buf();
    move |source| StoreError::File { what, path, source }
}

/// Refuses, untouched, a database that is missing, lacks answered changes, or is a newer release's. Answers what is in
/// the place of the mark.
pub(super) fn look_before_opening(
    directory: &Path,
    path: &Path,
    mark: &Mark,
    take_as_it_is: bool,
) -> Result<Found, StoreError> {
    let found_mark = mark.read().map_err(mark_failed(mark, "cannot read the mark"))?;
    let answered = found_mark.groups().unwrap_or(0);
    if std::fs::metadata(path).map_or(0, |metadata| metadata.len()) == 0 {
        let had_one = answered > 0;
        let missing = || StoreError::Missing(directory.to_path_buf());
        return if had_one { Err(missing()) } else { Ok(found_mark) };
    }
    let connection = connect_read_only(path)?;
    let session = Session::new(&connection);
    schema::known(session)?;
    let found = state::groups(session)?;
    if found < answered && !take_as_it_is {
        let mark = mark.path().to_path_buf();
        return Err(StoreError::Lost { directory: directory.to_path_buf(), mark, found, answered });
    }
    Ok(found_mark)
}

/// What an earlier process left in the audit journal, and the journal for the records to come.
pub(super) fn open_journal(directory: &Path, session: Session<'_>) -> Result<(Left, Journal), StoreError> {
    let failed = |source| StoreError::File {
        what: "cannot take up the audit journal in",
        path: directory.to_path_buf(),
        source,
    };
    let mut left = Left::read(directory, state::journalled(session)?).map_err(failed)?;
    left.tidy().map_err(failed)?;
    let journal = Journal::begin(directory, left.last).map_err(failed)?;
    Ok((left, journal))
}

/// Triggers and views that somebody has put into the database would act as we: they do not run. Those of a
/// connection of its own do.
fn run_nothing_of_the_database(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    Ok(())
}

/// A connection that cannot write, for looking at a database that is, or may be, in use.
pub(super) fn connect_read_only(path: &Path) -> Result<Connection, StoreError> {
    let open = || {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY_TIME)?;
        run_nothing_of_the_database(&connection)?;
        make_all_known(&connection, rows::WHOLE)?;
        connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;")?;
        Ok(connection)
    };
    Ok(open().map_err(failed)?)
}

pub(super) fn connect(path: &Path, cache_kib: u32) -> Result<Connection, StoreError> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.set_prepared_statement_cache_capacity(128);
        // Without this every new value bound to a statement may plan it anew, which costs more than it saves.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.busy_timeout(BUSY_TIME)?;
        run_nothing_of_the_database(&connection)?;
        make_all_known(&connection, rows::WHOLE)?;
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{cache_kib}; \
         PRAGMA trusted_schema = OFF;"
        ))?;
        Ok(connection)
    };
    Ok(open().map_err(failed)?)
}

/// A new database in a file, in a transaction. It need not survive anything before it is whole.
pub(crate) fn begin_file(path: &Path) -> Result<Connection, StoreError> {
    let cannot = |source| StoreError::File { what: "cannot make database", path: path.to_path_buf(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot(error)),
        Ok(()) | Err(_) => {}
    }
    territory::in_place().open(path).map_err(cannot)?;
    let mut connection = Connection::open(path).map_err(failed)?;
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;")
        .map_err(failed)?;
    schema::migrate(&mut connection)?;
    Session::new(&connection).script("BEGIN")?;
    Ok(connection)
}
