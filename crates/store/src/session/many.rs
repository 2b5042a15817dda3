//! Rows inserted into one table, one after the other: by as few statements as hold them where each costs a journey and
//! a round of the planner's, by one statement each where it costs neither.

use super::{Bind, Inserts, Owned, Session, Sql, Statement};
use crate::StoreError;
use crate::postgres::Link;

/// Rows of one statement, from the most to the fewest: each number of rows is a text of its own, so there are few.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// Rows on their way.
pub(crate) enum Many<'c> {
    /// Each is inserted at once.
    Singly(Statement<'c>),
    /// They are inserted when there are many, and at the end.
    Together(Together<'c>),
}

/// Rows that wait for others.
pub(crate) struct Together<'c> {
    link: &'c Link,
    sql: &'static str,
    /// Values of each row.
    width: usize,
    values: Vec<Owned>,
}

impl<'c> Session<'c> {
    /// Rows that this statement inserts, which ends with the placeholders of one of them. They are there after
    /// [`Many::end`], and not without it.
    pub(crate) fn many(self, sql: &'static str) -> Result<Many<'c>, StoreError> {
        Ok(match self {
            Self::Sqlite { .. } => Many::Singly(self.prepare(sql)?),
            Self::Postgres(link) => {
                let width = sql.bytes().filter(|byte| *byte == b'?').count();
                Many::Together(Together { link, sql, width, values: Vec::new() })
            }
        })
    }
}

impl Many<'_> {
    /// Inserts what still waits.
    pub(crate) fn end(self) -> Result<(), StoreError> {
        match self {
            Self::Singly(_) => Ok(()),
            Self::Together(mut rows) => rows.insert(1),
        }
    }
}

impl Inserts for &mut Many<'_> {
    fn insert(self, _: &'static str, values: &[Bind<'_>]) -> Result<(), StoreError> {
        match self {
            Many::Singly(statement) => statement.run(values),
            Many::Together(rows) => {
                let row: Option<Vec<Owned>> = values.iter().map(|value| Owned::of_bind(*value)).collect();
                let Some(row) = row else {
                    rows.insert(1)?;
                    return Session::Postgres(rows.link).insert(rows.sql, values);
                };
                rows.values.extend(row);
                rows.insert(SIZES[0])
            }
        }
    }
}

impl Together<'_> {
    /// Inserts as many as fill statements of at least so many rows.
    fn insert(&mut self, least: usize) -> Result<(), StoreError> {
        for size in SIZES.into_iter().filter(|size| *size >= least) {
            while self.values.len() >= size * self.width {
                let values = self.values.drain(..size * self.width).collect();
                let statement = match size {
                    1 => self.link.prepare(Sql::Fixed(self.sql))?,
                    _ => self.link.prepare(Sql::Made(&rows_of(self.sql, size)))?,
                };
                self.link.execute_owned_later(&statement, values)?;
            }
        }
        Ok(())
    }
}

/// The statement for so many rows, of the one for a single row, which ends with its placeholders.
pub(crate) fn rows_of(sql: &str, rows: usize) -> String {
    let (head, row) = sql.split_at(sql.rfind('(').unwrap_or(sql.len()));
    format!("{head}{}", vec![row; rows].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_of_many_rows_has_the_placeholders_of_each() {
        let one = "INSERT INTO t (a, b) VALUES (?, ?)";
        assert_eq!(rows_of(one, 1), one);
        assert_eq!(rows_of(one, 3), "INSERT INTO t (a, b) VALUES (?, ?), (?, ?), (?, ?)");
    }
}
