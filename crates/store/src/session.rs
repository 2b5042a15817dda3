//! The seam between what is stored and the database that stores it: statements with their values, and rows.
//!
//! Nothing above knows which database it is: SQLite, or PostgreSQL over a [`Link`]. Values are
//! bound as [`Bind`]s, borrowed. A row is read column by column in the order of the query ([`Cells`]), so that no
//! position is counted by hand; a raw value is a [`Value`]. Rows of a table are taken over [`whole`]. Each connection
//! caches its prepared statements by their text, and the writer keeps its own [`ready`]. Placeholders are `?1`, or `?`
//! where a macro counts them; what PostgreSQL says otherwise is [translated](crate::postgres). Transactions and
//! savepoints are the engine's.

use std::error::Error;
use std::sync::Arc;

use rusqlite::functions::Context;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, params_from_iter};

use crate::StoreError;
use crate::postgres::{self, Link};

#[macro_use]
mod value;
pub(crate) mod many;
pub(crate) mod ready;
pub(crate) mod whole;

use ready::HasReady;
pub(crate) use ready::Sql;
pub(crate) use value::{AsBind, Bind, FromColumn, Owned, Unreadable, Value};
use whole::Taken;
pub(crate) use whole::Whole;

/// An error of the database, or a row that cannot be read. Opaque: which database is behind it is not part of the API.
#[derive(Debug)]
pub struct DatabaseError(Box<Cause>);

#[derive(Debug)]
enum Cause {
    Sqlite(rusqlite::Error),
    Postgres(postgres::Failure),
    /// A query that always has a row had none.
    NoRow,
    /// A column has a value that no release writes.
    Unreadable(String),
}

impl DatabaseError {
    /// What SQLite says; none if it is a row that cannot be read.
    fn sqlite(&self) -> Option<&rusqlite::Error> {
        match &*self.0 {
            Cause::Sqlite(error) => Some(error),
            Cause::Postgres(_) | Cause::NoRow | Cause::Unreadable(_) => None,
        }
    }

    /// What went wrong with PostgreSQL, if that is where it went wrong.
    pub(crate) fn postgres(&self) -> Option<&postgres::Failure> {
        match &*self.0 {
            Cause::Postgres(failure) => Some(failure),
            Cause::Sqlite(_) | Cause::NoRow | Cause::Unreadable(_) => None,
        }
    }

    /// Whether the file is malformed.
    pub(crate) fn malformed(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }

    /// Whether nothing may be written.
    pub(crate) fn read_only(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied))
    }

    /// What SQLite calls it, if it says anything.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        self.sqlite()?.sqlite_error_code()
    }

    /// Whether a row is missing, or is not as any release writes it.
    pub(crate) fn is_of_a_row(&self) -> bool {
        matches!(*self.0, Cause::Unreadable(_) | Cause::NoRow)
    }

    pub(crate) fn unreadable(what: String) -> Self {
        Self(Box::new(Cause::Unreadable(what)))
    }
}

impl std::fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.0 {
            Cause::Sqlite(error) => error.fmt(f),
            Cause::Postgres(failure) => failure.fmt(f),
            Cause::NoRow => f.write_str("a row is missing"),
            Cause::Unreadable(what) => f.write_str(what),
        }
    }
}

impl Error for DatabaseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.0 {
            Cause::Sqlite(error) => error.source(),
            Cause::Postgres(failure) => failure.source(),
            Cause::NoRow | Cause::Unreadable(_) => None,
        }
    }
}

/// Wraps an error of SQLite. Not a `From`: that would be public.
#[cold]
pub(crate) fn failed(error: rusqlite::Error) -> DatabaseError {
    DatabaseError(Box::new(Cause::Sqlite(error)))
}

impl From<postgres::Failure> for StoreError {
    #[cold]
    fn from(failure: postgres::Failure) -> Self {
        Self::Database(DatabaseError(Box::new(Cause::Postgres(failure))))
    }
}

impl rusqlite::ToSql for Bind<'_> {
    #[inline]
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
            Self::Lines(lines) => return Ok(ToSqlOutput::from(lines.join("\n"))),
        }))
    }
}

/// A value as SQLite has it.
#[inline(always)]
pub(crate) fn value_of(value: ValueRef<'_>) -> Value<'_> {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(text),
        ValueRef::Blob(bytes) => Value::Blob(bytes),
    }
}

/// What is read from one or more columns of a row.
pub(crate) trait FromRow: Sized {
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError>;
}

impl<T: FromColumn> FromRow for T {
    #[inline(always)]
    fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        let at = cells.at;
        T::read(cells.value()?).map_err(|why| cells.unreadable(at, &why))
    }
}

/// Nothing.
impl FromRow for () {
    #[inline]
    fn from_row(_: &mut Cells<'_>) -> Result<Self, DatabaseError> {
        Ok(())
    }
}

macro_rules! tuples {
    ($($($part:ident)+;)+) => {$(
        impl<$($part: FromRow),+> FromRow for ($($part,)+) {
            #[inline]
            fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
                Ok(($($part::from_row(cells)?,)+))
            }
        }
    )+};
}
tuples! {
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
}

/// A row of a result.
#[derive(Clone, Copy)]
pub(crate) struct Row<'r>(Columns<'r>);

impl<'r> Row<'r> {
    /// A cursor at its first column.
    pub(crate) fn cells(self) -> Cells<'r> {
        Cells { columns: self.0, at: 0 }
    }

    /// Reads it from its first column on.
    pub(crate) fn read<T: FromRow>(self) -> Result<T, DatabaseError> {
        T::from_row(&mut self.cells())
    }
}

/// Where the columns of a row are.
#[derive(Clone, Copy)]
enum Columns<'r> {
    Row(&'r rusqlite::Row<'r>),
    Postgres(&'r postgres::Row),
    /// Arguments of a function, and their names as the query lists them.
    Arguments(&'r Context<'r>, &'static str),
}

impl<'r> Columns<'r> {
    // Called for every column of every row: what a value is shall be known where it is read.
    #[inline(always)]
    fn value(self, at: usize) -> Result<Value<'r>, DatabaseError> {
        match self {
            Self::Row(row) => row.get_ref(at).map(value_of).map_err(failed),
            Self::Postgres(row) => postgres::value(row, at).ok_or_else(|| self.missing(at)),
            Self::Arguments(arguments, _) if at < arguments.len() => Ok(value_of(arguments.get_raw(at))),
            Self::Arguments(..) => Err(self.missing(at)),
        }
    }

    /// The name of a column, for messages.
    fn name(self, at: usize) -> &'r str {
        match self {
            Self::Row(row) => row.as_ref().column_name(at).unwrap_or("?"),
            Self::Postgres(row) => row.columns().get(at).map_or("?", |column| column.name()),
            Self::Arguments(_, names) => names.split(',').nth(at).map_or("?", str::trim),
        }
    }

    #[cold]
    fn missing(self, at: usize) -> DatabaseError {
        DatabaseError::unreadable(format!("column `{}` is missing", self.name(at)))
    }
}

/// A cursor over the columns of a row.
pub(crate) struct Cells<'r> {
    columns: Columns<'r>,
    at: usize,
}

impl<'r> Cells<'r> {
    /// A cursor at the first argument of a function.
    fn of_arguments(arguments: &'r Context<'r>, names: &'static str) -> Self {
        Self { columns: Columns::Arguments(arguments, names), at: 0 }
    }

    /// Reads the next column or columns.
    #[inline(always)]
    pub(crate) fn next<T: FromRow>(&mut self) -> Result<T, DatabaseError> {
        T::from_row(self)
    }

    /// The raw value of the next column.
    #[inline(always)]
    pub(crate) fn value(&mut self) -> Result<Value<'r>, DatabaseError> {
        let value = self.columns.value(self.at)?;
        self.at += 1;
        Ok(value)
    }

    /// Skips columns.
    pub(crate) fn skip(&mut self, columns: usize) {
        self.at += columns;
    }

    /// Whether the next column is null; does not advance.
    pub(crate) fn is_null(&self) -> Result<bool, DatabaseError> {
        Ok(self.columns.value(self.at)? == Value::Null)
    }

    #[cold]
    fn unreadable(&self, at: usize, why: &Unreadable) -> DatabaseError {
        let name = self.columns.name(at);
        DatabaseError::unreadable(match why {
            Unreadable::Word(word) => {
                format!("the database is damaged: unknown word `{word}` in column `{name}`")
            }
            Unreadable::Kind => {
                let kind = self.columns.value(at).map_or("?", Value::kind);
                format!("the database is damaged: column `{name}` holds {kind}, which cannot be read")
            }
        })
    }
}

/// A connection, as rows and audit record see it.
#[derive(Clone, Copy)]
pub(crate) enum Session<'c> {
    Sqlite { connection: &'c Connection, ready: Option<&'c (dyn HasReady + 'c)> },
    Postgres(&'c Link),
}

impl<'c> Session<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self::Sqlite { connection, ready: None }
    }

    /// The same with statements that are kept ready.
    pub(crate) fn keeping(connection: &'c Connection, ready: &'c (dyn HasReady + 'c)) -> Self {
        Self::Sqlite { connection, ready: Some(ready) }
    }

    /// Of the two texts of a statement that the databases need in words of their own, the one for this.
    pub(crate) fn either<T>(self, sqlite: T, postgres: T) -> T {
        match self {
            Self::Sqlite { .. } => sqlite,
            Self::Postgres(_) => postgres,
        }
    }

    /// A prepared statement, to be run more than once or to fetch its rows one at a time.
    pub(crate) fn prepare(self, sql: &str) -> Result<Statement<'c>, StoreError> {
        Ok(match self {
            Self::Sqlite { connection, .. } => {
                Statement::Sqlite(connection.prepare_cached(sql).map_err(failed)?)
            }
            Self::Postgres(link) => Statement::Postgres(link, link.prepare(Sql::Made(sql))?),
        })
    }

    /// Does this with the rows of a query.
    fn with_rows<'s>(
        self,
        sql: impl Into<Sql<'s>>,
        values: &[Bind<'_>],
        mut work: impl FnMut(Rows<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match (self, sql.into()) {
            (Self::Sqlite { ready: Some(ready), .. }, Sql::Fixed(sql)) => ready.with(sql, &mut |statement| {
                work(Rows::Sqlite(statement.query(params_from_iter(values)).map_err(failed)?))
            }),
            (Self::Sqlite { connection, .. }, sql) => {
                let mut statement = connection.prepare_cached(sql.text()).map_err(failed)?;
                work(Rows::Sqlite(statement.query(params_from_iter(values)).map_err(failed)?))
            }
            (Self::Postgres(link), sql) => work(Rows::Postgres(link.query(&*link.prepare(sql)?, values)?)),
        }
    }

    /// Executes a statement; returns how many rows it changed.
    pub(crate) fn execute<'s>(
        self,
        sql: impl Into<Sql<'s>>,
        values: &[Bind<'_>],
    ) -> Result<usize, StoreError> {
        match (self, sql.into()) {
            (Self::Sqlite { ready: Some(ready), .. }, Sql::Fixed(sql)) => {
                let mut changed = 0;
                ready.with(sql, &mut |statement| {
                    changed = statement.execute(params_from_iter(values)).map_err(failed)?;
                    Ok(())
                })?;
                Ok(changed)
            }
            (Self::Sqlite { connection, .. }, sql) => {
                let mut statement = connection.prepare_cached(sql.text()).map_err(failed)?;
                Ok(statement.execute(params_from_iter(values)).map_err(failed)?)
            }
            (Self::Postgres(link), sql) => link.execute(&*link.prepare(sql)?, values),
        }
    }

    /// Executes a statement of which nobody asks how many rows it changed. If a database behind a network refuses it, a
    /// later statement of the transaction says so.
    pub(crate) fn run<'s>(self, sql: impl Into<Sql<'s>>, values: &[Bind<'_>]) -> Result<(), StoreError> {
        match (self, sql.into()) {
            (Self::Postgres(link), sql) => link.execute_later(&*link.prepare(sql)?, values),
            (sqlite, sql) => sqlite.execute(sql, values).map(drop),
        }
    }

    /// The first row, if there is one.
    pub(crate) fn one<'s, T: FromRow>(
        self,
        sql: impl Into<Sql<'s>>,
        values: &[Bind<'_>],
    ) -> Result<Option<T>, StoreError> {
        let mut first = None;
        self.with_rows(sql, values, |mut rows| {
            if let Some(row) = rows.next()? {
                first = Some(row.read()?);
            }
            Ok(())
        })?;
        Ok(first)
    }

    /// The row of a query that always has one.
    pub(crate) fn only<'s, T: FromRow>(
        self,
        sql: impl Into<Sql<'s>>,
        values: &[Bind<'_>],
    ) -> Result<T, StoreError> {
        Ok(self.one(sql, values)?.ok_or_else(|| DatabaseError(Box::new(Cause::NoRow)))?)
    }

    /// Every row.
    pub(crate) fn all<'s, T: FromRow>(
        self,
        sql: impl Into<Sql<'s>>,
        values: &[Bind<'_>],
    ) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        self.with_rows(sql, values, |mut rows| {
            while let Some(row) = rows.next()? {
                all.push(row.read()?);
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// The first row, taken over whole, if there is one. The query must select the places of rows ([`whole`]).
    pub(crate) fn whole_row<'s, T: Whole>(
        self,
        sql: impl Into<Sql<'s>>,
        values: &[Bind<'_>],
    ) -> Result<Option<T>, StoreError> {
        Ok(self.whole_row_with::<T, ()>(sql, values)?.map(|(row, ())| row))
    }

    /// The same with what the query selects beside the place.
    pub(crate) fn whole_row_with<'s, T: Whole, M: FromRow>(
        self,
        sql: impl Into<Sql<'s>>,
        values: &[Bind<'_>],
    ) -> Result<Option<(T, M)>, StoreError> {
        if let Self::Postgres(_) = self {
            return self.one(sql, values);
        }
        let taken = Taken::begin::<T>(1);
        let mut first = None;
        self.with_rows(sql, values, |mut rows| {
            if let Some(row) = rows.next()? {
                let (place, more) = row.read()?;
                first = Some((taken.row(place)?, more));
            }
            Ok(())
        })?;
        Ok(first)
    }

    /// Every row, taken over whole; there are at most so many. The query must select the places of rows ([`whole`]).
    pub(crate) fn whole_rows<'s, T: Whole>(
        self,
        sql: impl Into<Sql<'s>>,
        values: &[Bind<'_>],
        most: u64,
    ) -> Result<Vec<T>, StoreError> {
        /// Rows that room is made for at once.
        const USUAL: usize = 50;
        if let Self::Postgres(_) = self {
            return self.all(sql, values);
        }
        let mut all = Vec::new();
        self.with_rows(sql, values, |places| {
            all = Taken::begin::<T>(usize::try_from(most).unwrap_or(USUAL).min(USUAL)).rows(places)?;
            Ok(())
        })?;
        Ok(all)
    }

    /// Executes statements without values and results.
    pub(crate) fn script(self, sql: &str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { connection, .. } => Ok(connection.execute_batch(sql).map_err(failed)?),
            Self::Postgres(link) => link.script(sql),
        }
    }

    /// The row number that the last INSERT assigned.
    pub(crate) fn inserted(self) -> Result<i64, StoreError> {
        match self {
            Self::Sqlite { connection, .. } => Ok(connection.last_insert_rowid()),
            Self::Postgres(_) => self.only("SELECT lastval()", &[]),
        }
    }
}

/// A prepared statement; returns to the cache when it is dropped.
pub(crate) enum Statement<'c> {
    Sqlite(CachedStatement<'c>),
    Postgres(&'c Link, Arc<postgres::Prepared>),
}

impl Statement<'_> {
    /// Executes it; returns how many rows it changed.
    pub(crate) fn execute(&mut self, values: &[Bind<'_>]) -> Result<usize, StoreError> {
        match self {
            Self::Sqlite(statement) => Ok(statement.execute(params_from_iter(values)).map_err(failed)?),
            Self::Postgres(link, prepared) => link.execute(prepared, values),
        }
    }

    /// Executes it; nobody asks how many rows it changed ([`Session::run`]).
    fn run(&mut self, values: &[Bind<'_>]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => self.execute(values).map(drop),
            Self::Postgres(link, prepared) => link.execute_later(prepared, values),
        }
    }

    /// Executes it and returns its rows, of which there are few.
    pub(crate) fn query_few(&mut self, values: &[Bind<'_>]) -> Result<Rows<'_>, StoreError> {
        match self {
            Self::Sqlite(_) => self.query(values),
            Self::Postgres(link, prepared) => Ok(Rows::Postgres(link.query(prepared, values)?)),
        }
    }

    /// Executes it and returns its rows, however many there are.
    pub(crate) fn query(&mut self, values: &[Bind<'_>]) -> Result<Rows<'_>, StoreError> {
        Ok(match self {
            Self::Sqlite(statement) => {
                Rows::Sqlite(statement.query(params_from_iter(values)).map_err(failed)?)
            }
            Self::Postgres(link, prepared) => Rows::Postgres(link.stream(prepared, values)?),
        })
    }
}

/// What inserts rows.
pub(crate) trait Inserts {
    /// Inserts a row by this statement.
    fn insert(self, sql: &'static str, values: &[Bind<'_>]) -> Result<(), StoreError>;
}

impl Inserts for Session<'_> {
    fn insert(self, sql: &'static str, values: &[Bind<'_>]) -> Result<(), StoreError> {
        self.run(sql, values)
    }
}

/// Rows of a result, fetched one at a time.
pub(crate) enum Rows<'s> {
    Sqlite(rusqlite::Rows<'s>),
    Postgres(postgres::Rows<'s>),
}

impl Rows<'_> {
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, StoreError> {
        Ok(match self {
            Self::Sqlite(rows) => rows.next().map_err(failed)?.map(|row| Row(Columns::Row(row))),
            Self::Postgres(rows) => rows.next()?.map(|row| Row(Columns::Postgres(row))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were_bound() {
        let connection = Connection::open_in_memory().unwrap();
        let session = Session::new(&connection);
        let (text, bytes, none) = ("a text".to_owned(), vec![0_u8, 255], None::<String>);
        let values = binds![text, bytes, none, u64::MAX, true, 7_u32];
        let read: (String, Vec<u8>, Option<String>, u64, bool, u32) =
            session.only("SELECT ?, ?, ?, ?, ?, ?", &values).unwrap();
        assert_eq!(read, (text, bytes, none, u64::MAX, true, 7));
        let lines = vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(session.only::<Vec<String>>("SELECT ?", &binds![lines]).unwrap(), lines);
        assert_eq!(session.only::<Vec<String>>("SELECT ''", &[]).unwrap(), Vec::<String>::new());
        assert_eq!(session.one::<i64>("SELECT 1 WHERE 0", &[]).unwrap(), None);
        assert_eq!(session.all::<i64>("SELECT 1 UNION SELECT 2", &[]).unwrap(), [1, 2]);
    }

    #[test]
    fn a_column_that_cannot_be_read_is_named() {
        let connection = Connection::open_in_memory().unwrap();
        let session = Session::new(&connection);
        for (sql, told) in [
            ("SELECT 'x' AS a, 1 AS b", "column `b` holds an integer"),
            ("SELECT 'x' AS a, NULL AS b", "column `b` holds nothing"),
            ("SELECT X'00' AS a, 'y' AS b", "column `a` holds bytes"),
        ] {
            let error = session.one::<(String, String)>(sql, &[]).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(
            session.one::<u8>("SELECT 256", &[]).is_err() && session.one::<u32>("SELECT -1", &[]).is_err()
        );
        let error = session.one::<crate::IntentKind>("SELECT 'house' AS kind", &[]).unwrap_err().to_string();
        assert!(error.contains("unknown word `house` in column `kind`"), "{error}");
        assert!(!session.only::<i64>("SELECT 1 WHERE 0", &[]).unwrap_err().malformed());
    }
}
