//! Rows that are taken over whole.
//!
//! SQLite gives a row to its caller column by column, with two to four calls for each, which is more than it takes to
//! find the row. It hands the arguments of a function over all at once. So the columns of a row type are the arguments
//! of a function of SQL ([`Whole::FUNCTION`]), which reads the row where it is, keeps it for the query that runs on the
//! thread ([`Taken`]), and gives the place where it is kept. A query may sort and cut what it selects: the places that
//! come back say which rows are meant.

use std::any::Any;
use std::cell::RefCell;

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};

use super::{Cells, FromRow, Rows};
use crate::{DatabaseError, StoreError};

/// A row type that is taken over whole.
pub(crate) trait Whole: FromRow + 'static {
    /// Name of the function that reads it.
    const FUNCTION: &'static str;
    /// Its arguments: the columns, in the order in which they are read.
    const ARGUMENTS: &'static str;
}

/// A function that reads rows of one type, to be made known to a connection.
pub(crate) struct Reader(fn(&Connection) -> rusqlite::Result<()>);

impl Reader {
    /// Of this row type.
    pub(crate) const fn of<T: Whole>() -> Self {
        Self(make_known::<T>)
    }
}

/// Makes the functions known to a connection; without them a query for whole rows cannot be prepared.
pub(crate) fn make_all_known(connection: &Connection, readers: &[Reader]) -> rusqlite::Result<()> {
    readers.iter().try_for_each(|Reader(known)| known(connection))
}

fn make_known<T: Whole>(connection: &Connection) -> rusqlite::Result<()> {
    // Nothing that is stored in a database may call it.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(T::FUNCTION, -1, flags, take::<T>)
}

/// A row that was read, or why it could not be.
type Read<T> = Result<T, DatabaseError>;
/// The rows of a query, until they are taken from their places.
type Kept<T> = Vec<Option<Read<T>>>;

/// A query and what takes its rows do not belong together.
const UNASKED: &str = "no whole rows of this type are asked for";

thread_local! {
    /// [`Kept`] rows of the query that runs on this thread.
    static KEPT: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

#[cold]
fn unasked<T>() -> Read<T> {
    Err(DatabaseError::unreadable(UNASKED.to_owned()))
}

/// The function: reads a row and keeps it, and gives its place.
fn take<T: Whole>(arguments: &Context<'_>) -> rusqlite::Result<i64> {
    let row: Read<T> = Cells::of_arguments(arguments, T::ARGUMENTS).next();
    KEPT.with_borrow_mut(|kept| {
        let kept = kept.as_mut().and_then(|kept| kept.downcast_mut::<Kept<T>>());
        let kept = kept.ok_or_else(|| rusqlite::Error::UserFunctionError(UNASKED.into()))?;
        kept.push(Some(row));
        Ok(kept.len() as i64 - 1)
    })
}

/// Takes the rows of one query, from before its first step until it is dropped.
pub(super) struct Taken {
    /// What was there before: queries may run within one another.
    outer: Option<Box<dyn Any>>,
}

impl Taken {
    /// Of a query that has about so many rows.
    pub(super) fn begin<T: Whole>(rows: usize) -> Self {
        Self { outer: KEPT.replace(Some(Box::new(Kept::<T>::with_capacity(rows)))) }
    }

    /// The row of a place that the query gives.
    pub(super) fn row<T: Whole>(&self, place: i64) -> Result<T, StoreError> {
        let row = KEPT.with_borrow_mut(|kept| {
            let kept = kept.as_mut()?.downcast_mut::<Kept<T>>()?;
            kept.get_mut(usize::try_from(place).ok()?)?.take()
        });
        Ok(row.unwrap_or_else(unasked)?)
    }

    /// The rows whose places the query gives, in its order.
    pub(super) fn rows<T: Whole>(self, mut places: Rows<'_>) -> Result<Vec<T>, StoreError> {
        let (mut along, mut others) = (0, Vec::new());
        while let Some(place) = places.next()? {
            let place: i64 = place.read()?;
            // Nearly every query gives them in the order in which the rows were read.
            if others.is_empty() && place == along {
                along += 1;
            } else {
                others.push(place);
            }
        }
        let kept = KEPT.take().and_then(|kept| kept.downcast::<Kept<T>>().ok());
        let mut kept = kept.map(|kept| *kept).unwrap_or_default();
        if others.is_empty() && along == kept.len() as i64 {
            return Ok(kept.into_iter().map(|row| row.unwrap_or_else(unasked)).collect::<Result<_, _>>()?);
        }
        let mut row = |place: i64| {
            let row = usize::try_from(place).ok().and_then(|place| kept.get_mut(place)?.take());
            row.unwrap_or_else(unasked)
        };
        Ok((0..along).chain(others).map(&mut row).collect::<Result<_, _>>()?)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        KEPT.set(self.outer.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;

    #[derive(Debug, PartialEq)]
    struct Pair {
        name: String,
        number: Option<u32>,
    }

    impl FromRow for Pair {
        fn from_row(cells: &mut Cells<'_>) -> Result<Self, DatabaseError> {
            Ok(Self { name: cells.next()?, number: cells.next()? })
        }
    }

    impl Whole for Pair {
        const FUNCTION: &'static str = "whole_pair";
        const ARGUMENTS: &'static str = "name, number";
    }

    fn pairs() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        make_all_known(&connection, &[Reader::of::<Pair>()]).unwrap();
        let script = "CREATE TABLE pair (name TEXT, number INTEGER); \
                      INSERT INTO pair VALUES ('b', 2), ('c', NULL), ('a', 1), ('', 4)";
        connection.execute_batch(script).unwrap();
        connection
    }

    fn pair(name: &str, number: impl Into<Option<u32>>) -> Pair {
        Pair { name: name.to_owned(), number: number.into() }
    }

    #[test]
    fn rows_are_those_of_the_query_in_its_order() {
        let connection = pairs();
        let session = Session::new(&connection);
        let all = |rest: &str| {
            let sql = format!("SELECT whole_pair(name, number) FROM pair {rest}");
            session.whole_rows::<Pair>(&sql, &[], 2).unwrap()
        };
        assert_eq!(all(""), [pair("b", 2), pair("c", None), pair("a", 1), pair("", 4)]);
        // There is no index: SQLite reads every row before it sorts.
        assert_eq!(all("ORDER BY name LIMIT 2 OFFSET 1"), [pair("a", 1), pair("b", 2)]);
        assert_eq!(all("WHERE number > 4"), []);
        let first = |rest: &str| {
            let sql = format!("SELECT whole_pair(name, number) FROM pair {rest}");
            session.whole_row::<Pair>(&sql, &[]).unwrap()
        };
        assert_eq!(first("ORDER BY number DESC"), Some(pair("", 4)));
        assert_eq!(first("WHERE name = 'x'"), None);
        let sql = "SELECT whole_pair(name, number), number > 1 FROM pair WHERE name = 'b'";
        assert_eq!(session.whole_row_with(sql, &[]).unwrap(), Some((pair("b", 2), true)));
    }

    #[test]
    fn a_column_that_cannot_be_read_is_named() {
        let connection = pairs();
        let session = Session::new(&connection);
        for (sql, told) in [
            ("SELECT whole_pair('x', 'y')", "column `number` holds a text"),
            ("SELECT whole_pair(1, 1)", "column `name` holds an integer"),
            ("SELECT whole_pair('x')", "column `number` is missing"),
            ("SELECT 0", UNASKED),
        ] {
            let error = session.whole_row::<Pair>(sql, &[]).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let error = session.one::<i64>("SELECT whole_pair('x', 1)", &[]).unwrap_err().to_string();
        assert!(error.contains(UNASKED), "{error}");
    }
}
