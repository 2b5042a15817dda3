//! Statements that are kept ready by the one thread that owns a connection.
//!
//! A connection's own cache of statements is asked with their text, which it hashes two or three times for each use:
//! for a change of thirty short statements that is a tenth of what the change takes. A text that is part of the
//! program lies where it lies as long as the program runs, so that its place stands for it. But what is kept so cannot
//! go to another thread with its connection, as those of readers do: the writer alone keeps its statements here.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rusqlite::{Connection, Statement};

use super::failed;
use crate::StoreError;

/// Statements kept at most: when there are more, all are let go, and those that are used come back.
const MOST: usize = 256;

/// The text of a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sql<'s> {
    /// It is part of the program.
    Fixed(&'static str),
    /// It was put together.
    Made(&'s str),
}

impl<'s> Sql<'s> {
    pub(crate) fn text(self) -> &'s str {
        match self {
            Self::Fixed(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl From<&'static str> for Sql<'_> {
    #[inline]
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

impl<'s> From<&'s String> for Sql<'s> {
    #[inline]
    fn from(text: &'s String) -> Self {
        Self::Made(text)
    }
}

/// What is done with a statement.
pub(super) type Use<'u> = dyn FnMut(&mut Statement<'_>) -> Result<(), StoreError> + 'u;

/// Whoever has statements ready.
pub(crate) trait HasReady {
    /// Does this with a statement.
    fn with(&self, sql: &'static str, work: &mut Use<'_>) -> Result<(), StoreError>;
}

/// The statements of a connection.
pub(crate) struct Ready<'c> {
    connection: &'c Connection,
    kept: RefCell<Kept<'c>>,
}

#[derive(Default)]
struct Kept<'c> {
    /// By where a text begins and how long it is, the place of its statement.
    places: BTreeMap<(usize, usize), usize>,
    /// None while it is in use.
    statements: Vec<Option<Statement<'c>>>,
    /// How often all were let go: a place is one of the present ones only.
    times: u64,
}

/// Where a statement goes back to.
#[derive(Clone, Copy)]
struct Seat {
    times: u64,
    place: usize,
}

impl<'c> Ready<'c> {
    /// None yet.
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self { connection, kept: RefCell::default() }
    }
}

impl HasReady for Ready<'_> {
    fn with(&self, sql: &'static str, work: &mut Use<'_>) -> Result<(), StoreError> {
        let (seat, kept) = self.kept.borrow_mut().take(sql);
        // None also while the same statement is in use: then there are two for a while. What was bound stays bound
        // until the next use, which then need not ask for memory.
        let mut statement = match kept {
            Some(statement) => statement,
            None => self.connection.prepare(sql).map_err(failed)?,
        };
        let done = work(&mut statement);
        self.kept.borrow_mut().put(seat, statement);
        done
    }
}

impl<'c> Kept<'c> {
    /// The seat of a statement, and the statement if it is there.
    fn take(&mut self, sql: &'static str) -> (Seat, Option<Statement<'c>>) {
        let name = (sql.as_ptr().addr(), sql.len());
        if let Some(&place) = self.places.get(&name) {
            let statement = self.statements.get_mut(place).and_then(Option::take);
            return (Seat { times: self.times, place }, statement);
        }
        if self.statements.len() >= MOST {
            *self = Self { times: self.times + 1, ..Self::default() };
        }
        let place = self.statements.len();
        self.statements.push(None);
        self.places.insert(name, place);
        (Seat { times: self.times, place }, None)
    }

    fn put(&mut self, seat: Seat, statement: Statement<'c>) {
        if seat.times != self.times {
            return;
        }
        if let Some(place) = self.statements.get_mut(seat.place) {
            *place = Some(statement);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;

    #[test]
    fn a_statement_is_prepared_once_and_can_be_used_within_itself() {
        let connection = Connection::open_in_memory().unwrap();
        let ready = Ready::new(&connection);
        let session = Session::keeping(&connection, &ready);
        session.script("CREATE TABLE t (a TEXT)").unwrap();
        for number in 0..3_u32 {
            session.execute("INSERT INTO t VALUES (?1)", &binds![number]).unwrap();
        }
        assert_eq!(session.all::<String>("SELECT a FROM t", &[]).unwrap(), ["0", "1", "2"]);
        assert_eq!(ready.kept.borrow().statements.len(), 2);
        const NESTED: &str = "SELECT count(*) FROM t";
        let mut counts = Vec::new();
        ready
            .with(NESTED, &mut |_| {
                counts.push(session.only::<i64>(NESTED, &[])?);
                Ok(())
            })
            .unwrap();
        assert_eq!((counts, session.only::<i64>(NESTED, &[]).unwrap()), (vec![3], 3));
        // One that fails is as good as any, and so is one whose table has become another.
        assert!(session.execute("INSERT INTO t VALUES (?1)", &binds![1_u32, 2_u32]).is_err());
        session.script("DROP TABLE t; CREATE TABLE t (a TEXT UNIQUE)").unwrap();
        for _ in 0..2 {
            session.execute("INSERT OR IGNORE INTO t VALUES (?1)", &binds!["x"]).unwrap();
            session.execute("DELETE FROM t WHERE a = 'y'", &[]).unwrap();
        }
        session.execute("INSERT INTO t VALUES (?1)", &binds!["y"]).unwrap();
        assert!(session.execute("INSERT INTO t VALUES (?1)", &binds!["y"]).is_err());
        assert_eq!(session.only::<i64>(NESTED, &[]).unwrap(), 2);
        // What was put together does not lie where it lay.
        let made = format!("SELECT {}", 7);
        let before = ready.kept.borrow().statements.len();
        assert_eq!(session.only::<i64>(&made, &[]).unwrap(), 7);
        assert_eq!(ready.kept.borrow().statements.len(), before);
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        let connection = Connection::open_in_memory().unwrap();
        let ready = Ready::new(&connection);
        let session = Session::keeping(&connection, &ready);
        // Every beginning of this text that is long enough is a statement of its own.
        let spread: &'static str = Box::leak(format!("SELECT 1{}", " ".repeat(2 * MOST)).into_boxed_str());
        ready
            .with("SELECT 2", &mut |_| {
                (8..spread.len()).try_for_each(|end| session.only::<i64>(&spread[..end], &[]).map(drop))
            })
            .unwrap();
        assert!(ready.kept.borrow().times > 0 && ready.kept.borrow().statements.len() <= MOST);
        assert_eq!(session.only::<i64>("SELECT 2", &[]).unwrap(), 2);
    }
}
