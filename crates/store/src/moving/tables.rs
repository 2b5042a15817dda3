//! The rows of all tables but those of the audit record: carried over as they stand, and compared.
//!
//! Which tables and columns there are is taken from a schema made afresh, so that a new one is moved without being
//! listed; what is not moved, and what is moved otherwise, is listed here.

use std::cmp::Ordering;

use crate::Finding;
use crate::StoreError;
use crate::rights::{Id, RightsKey, Sum};
use crate::session::many::rows_of;
use crate::session::{AsBind as _, Bind, Owned, Row, Rows, Session};
use crate::sqlite::schema;

/// Tables that are not moved as they stand, each with the reason.
const LEFT: &[(&str, &str)] = &[
    ("audit", "the audit record is moved by its chains"),
    ("audit_chain", "the same"),
    ("audit_gap", "the same"),
    ("audit_trimmed", "the same"),
    ("node", "nobody serves what is moved"),
    ("store", "counts what was written there, and seals that"),
];

/// Columns that are read as something else: nobody has claimed anything any more.
const OTHERWISE: &[(&str, &str, &str)] =
    &[("intent", "owner", "NULL"), ("intent", "lease_until", "0"), ("lease", "until", "0")];

/// Names bearers of rights by texts and numbers alike, which PostgreSQL keeps as texts.
const SEALS: &str = "row_seal";

/// Values of a statement, and rows of it, at most.
const VALUES: usize = 2_048;
const ROWS: usize = 128;
/// Bytes of its values, about: what is beyond goes with the next.
const BYTES: usize = 1 << 20;
/// Findings of one table that are told; the rest are counted.
const TOLD: usize = 10;
/// What [`Finding`]s of rows that differ are called.
pub(super) const RULE: &str = "every row is on both sides, and the same";

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    name: String,
    columns: Vec<String>,
    /// Places of the columns of the primary key, in its order.
    key: Vec<usize>,
}

/// Every table that is moved as it stands.
pub(super) fn all() -> Result<Vec<Table>, StoreError> {
    let fresh = schema::fresh()?;
    let session = Session::new(&fresh);
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
    let mut names: Vec<String> = session.all(sql, &[])?;
    names.retain(|name| LEFT.iter().all(|(left, _)| left != name));
    names.into_iter().map(|name| Table::new(session, name)).collect()
}

/// The tables of one chain of audit records, the records first.
pub(super) fn of_chain() -> Result<Vec<Table>, StoreError> {
    let fresh = schema::fresh()?;
    let names = ["audit", "audit_chain", "audit_gap", "audit_trimmed"];
    names.into_iter().map(|name| Table::new(Session::new(&fresh), name.to_owned())).collect()
}

/// A table of a shared database that has rows already, if one has.
pub(super) fn occupied(session: Session<'_>) -> Result<Option<String>, StoreError> {
    let others = ["nonce", "audit"].map(str::to_owned);
    for name in all()?.into_iter().map(|table| table.name).chain(others) {
        if session.only(&format!("SELECT EXISTS (SELECT 1 FROM {name})"), &[])? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

impl Table {
    fn new(fresh: Session<'_>, name: String) -> Result<Self, StoreError> {
        let sql = "SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid";
        let found: Vec<(String, i64)> = fresh.all(sql, &binds![name])?;
        let mut key: Vec<(i64, usize)> =
            found.iter().enumerate().filter(|(_, (_, pk))| *pk > 0).map(|(at, (_, pk))| (*pk, at)).collect();
        key.sort_unstable();
        let key = key.into_iter().map(|(_, at)| at).collect();
        Ok(Self { name, columns: found.into_iter().map(|(column, _)| column).collect(), key })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Nonces on their way.
    pub(super) fn of_nonces() -> Self {
        Self {
            name: "moved_nonce".to_owned(),
            columns: ["print", "until"].map(str::to_owned).to_vec(),
            key: vec![0],
        }
    }

    /// The same without columns; without a key, if one of them is part of it.
    pub(super) fn without(mut self, columns: &[&str]) -> Self {
        let key: Vec<String> = self.key.iter().filter_map(|at| self.columns.get(*at)).cloned().collect();
        self.columns.retain(|column| !columns.contains(&column.as_str()));
        let places = key.iter().map(|part| self.columns.iter().position(|column| column == part));
        self.key = places.collect::<Option<_>>().unwrap_or_default();
        self
    }

    /// The same with one more column, the last.
    pub(super) fn with(mut self, column: &str) -> Self {
        self.columns.push(column.to_owned());
        self
    }

    /// Its columns, as they are read.
    pub(super) fn list(&self) -> String {
        let read = |column: &String| {
            let other = OTHERWISE.iter().find(|(table, name, _)| *table == self.name && name == column);
            match other {
                Some((_, _, other)) => (*other).to_owned(),
                None if self.name == SEALS && column == "id" => "CAST(id AS TEXT)".to_owned(),
                None => format!("\"{column}\""),
            }
        };
        self.columns.iter().map(read).collect::<Vec<_>>().join(", ")
    }

    /// The query for its rows in the order of their keys.
    fn select(&self, clause: &str) -> String {
        let order = self.key.iter().map(|at| match (self.name.as_str(), self.columns[*at].as_str()) {
            (SEALS, "id") => "CAST(id AS TEXT)".to_owned(),
            (_, column) => format!("\"{column}\""),
        });
        let order = order.collect::<Vec<_>>().join(", ");
        format!("SELECT {} FROM {} {clause} ORDER BY {order}", self.list(), self.name)
    }

    /// The columns of a row.
    pub(super) fn read(&self, row: Row<'_>) -> Result<Vec<Owned>, StoreError> {
        let mut cells = row.cells();
        let mut values = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let value = Owned::of(cells.value()?);
            values.push(value.ok_or_else(|| {
                StoreError::Damaged(format!("column `{column}` of `{}` cannot be read", self.name))
            })?);
        }
        Ok(values)
    }

    /// Gives each row of a query for its columns to `look`.
    pub(super) fn each(
        &self,
        session: Session<'_>,
        sql: &str,
        mut look: impl FnMut(Vec<Owned>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = session.prepare(sql)?;
        let mut rows = statement.query(&[])?;
        while let Some(row) = rows.next()? {
            look(self.read(row)?)?;
        }
        Ok(())
    }

    /// Copies all rows; answers how many there were.
    pub(super) fn copy(&self, source: Session<'_>, target: Session<'_>) -> Result<u64, StoreError> {
        let mut batch = Batch::new(self, target);
        self.each(source, &self.select(""), |row| batch.push(row))?;
        batch.end()
    }

    /// Lets a shared database go on counting rows where they end.
    pub(super) fn count_on(&self, target: Session<'_>) -> Result<(), StoreError> {
        let Some(column) = self.columns.iter().find(|column| *column == "seq") else { return Ok(()) };
        self.count_on_by(target, column)
    }

    pub(super) fn count_on_by(&self, target: Session<'_>, column: &str) -> Result<(), StoreError> {
        let name = &self.name;
        target.script(&format!(
            "SELECT setval(pg_get_serial_sequence('{name}', '{column}'), coalesce(max({column}), 1), \
             max({column}) IS NOT NULL) FROM {name}"
        ))
    }

    /// Compares the rows of both sides, in the order of their keys.
    pub(super) fn compare(
        &self,
        source: Session<'_>,
        target: Session<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        self.compare_where(source, target, "", findings)
    }

    /// The same with those rows of the target that a clause leaves.
    pub(super) fn compare_where(
        &self,
        source: Session<'_>,
        target: Session<'_>,
        clause: &str,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        let (mut ours, mut theirs) =
            (source.prepare(&self.select(""))?, target.prepare(&self.select(clause))?);
        let (mut ours, mut theirs) = (ours.query(&[])?, theirs.query(&[])?);
        let next = |rows: &mut Rows<'_>| -> Result<Option<Vec<Owned>>, StoreError> {
            rows.next()?.map(|row| self.read(row)).transpose()
        };
        let (mut one, mut other) = (next(&mut ours)?, next(&mut theirs)?);
        let mut differing = Differing::default();
        loop {
            let order = match (&one, &other) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(one), Some(other)) => self.key_of(one).cmp(self.key_of(other)),
            };
            match order {
                Ordering::Less => differing.tell(|| self.named(one.as_deref(), "is missing")),
                Ordering::Greater => differing.tell(|| self.named(other.as_deref(), "is too many")),
                Ordering::Equal if one != other => {
                    differing.tell(|| self.named(one.as_deref(), "is another"))
                }
                Ordering::Equal => {}
            }
            if order != Ordering::Greater {
                one = next(&mut ours)?;
            }
            if order != Ordering::Less {
                other = next(&mut theirs)?;
            }
        }
        differing.end(findings);
        Ok(())
    }

    fn key_of<'r>(&'r self, row: &'r [Owned]) -> impl Iterator<Item = &'r Owned> {
        self.key.iter().filter_map(|at| row.get(*at))
    }

    /// A row as it is told of: never what it holds beside its key.
    fn named(&self, row: Option<&[Owned]>, what: &str) -> String {
        let key = row.map(|row| self.key_of(row).map(|part| part.value().to_string()).collect::<Vec<_>>());
        format!("the row {} of `{}` {what}", key.unwrap_or_default().join(", "), self.name)
    }
}

/// What was found to differ, not more than can be read.
#[derive(Debug, Default)]
pub(super) struct Differing {
    told: Vec<String>,
    more: u64,
}

impl Differing {
    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.told.len() < TOLD {
            self.told.push(what());
        } else {
            self.more += 1;
        }
    }

    pub(super) fn end(mut self, findings: &mut Vec<Finding>) {
        if self.more > 0 {
            self.told.push(format!("and {} more", self.more));
        }
        findings.extend(self.told.into_iter().map(|what| Finding { rule: RULE, what }));
    }
}

/// Rows on their way into a table, many at once.
pub(super) struct Batch<'b> {
    table: &'b Table,
    target: Session<'b>,
    values: Vec<Owned>,
    bytes: usize,
    count: u64,
}

impl<'b> Batch<'b> {
    pub(super) fn new(table: &'b Table, target: Session<'b>) -> Self {
        Self { table, target, values: Vec::new(), bytes: 0, count: 0 }
    }

    pub(super) fn push(&mut self, row: Vec<Owned>) -> Result<(), StoreError> {
        let Table { name, columns, .. } = self.table;
        for (value, column) in row.iter().zip(columns) {
            self.bytes += match value {
                Owned::Null | Owned::Integer(_) => 8,
                Owned::Text(text) => text.len(),
                Owned::Blob(bytes) => bytes.len(),
            };
            if matches!(value, Owned::Text(text) if text.contains('\0')) && self.is_shared() {
                return Err(StoreError::NoText { table: name.clone(), column: column.clone() });
            }
        }
        self.values.extend(if name == SEALS { self.bearer(row) } else { row });
        self.count += 1;
        let rows = self.values.len() / columns.len();
        if rows >= ROWS.min(VALUES / columns.len()) || self.bytes >= BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn is_shared(&self) -> bool {
        matches!(self.target, Session::Postgres(_))
    }

    /// What names a bearer, as the target has it.
    fn bearer(&self, mut row: Vec<Owned>) -> Vec<Owned> {
        if let [Owned::Text(kind), id, ..] = row.as_mut_slice()
            && !self.is_shared()
            && let Id::Number(number) = Id::of_seal(kind, id.value())
        {
            *id = Owned::Integer(number);
        }
        row
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let Table { name, columns, .. } = self.table;
        let rows = self.values.len() / columns.len();
        if rows == 0 {
            return Ok(());
        }
        let list = columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
        let one = format!("INSERT INTO {name} ({list}) VALUES ({})", vec!["?"; columns.len()].join(", "));
        let sql = rows_of(&one, rows);
        let values: Vec<Bind<'_>> = self.values.iter().map(|value| value.bind()).collect();
        self.target.execute(&sql, &values)?;
        self.values.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Writes what is left; answers how many rows there were.
    pub(super) fn end(mut self) -> Result<u64, StoreError> {
        self.flush()?;
        Ok(self.count)
    }
}

/// What the database knows of itself: the sum of all seals stays, and is sealed with what was written there.
pub(super) fn carry_state(
    source: Session<'_>,
    target: Session<'_>,
    key: &RightsKey,
) -> Result<(), StoreError> {
    let root: Sum = source.only("SELECT rights_root FROM store", &[])?;
    // The embedded store counts its batches, of which this is the first; a shared database counts those of its lanes.
    // A mark is made with the first start.
    let groups: u64 = target.either(1, 0);
    let sql =
        "UPDATE store SET groups = ?1, journal = 0, rights_root = ?2, rights_seal = ?3, rights_mark = 0";
    target.execute(sql, &binds![groups, root, key.state(groups, &root, false)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_schema_has_a_key_and_is_moved_or_said_not_to_be() {
        let tables = all().unwrap();
        assert!(tables.iter().all(|table| !table.key.is_empty()), "{tables:?}");
        let fresh = schema::fresh().unwrap();
        let there = |name: &str| {
            let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = ?1 AND type = 'table')";
            Session::new(&fresh).only::<bool>(sql, &binds![name]).unwrap()
        };
        assert!(LEFT.iter().all(|(name, _)| there(name)));
        for (name, column, _) in OTHERWISE {
            let table = tables.iter().find(|table| table.name == *name).unwrap();
            assert!(table.columns.iter().any(|known| known == column), "{name}.{column}");
        }
    }

    #[test]
    fn whatever_differs_is_found_whichever_side_has_it() {
        let (one, other) = (schema::fresh().unwrap(), schema::fresh().unwrap());
        let (one, other) = (Session::new(&one), Session::new(&other));
        let table = all().unwrap().into_iter().find(|table| table.name == "tally").unwrap();
        let insert = "INSERT INTO tally (kind, account, region, value) VALUES ";
        one.script(&format!("{insert} ('a', '1', 'r', 1), ('b', '1', 'r', 1), ('c', '1', 'r', 1)")).unwrap();
        assert_eq!(table.copy(one, other).unwrap(), 3);
        let found = || {
            let mut findings = Vec::new();
            table.compare(one, other, &mut findings).unwrap();
            findings.into_iter().map(|finding| finding.what).collect::<Vec<_>>()
        };
        assert!(found().is_empty());
        one.script("DELETE FROM tally WHERE kind = 'a'").unwrap();
        other
            .script("UPDATE tally SET value = 2 WHERE kind = 'b'; DELETE FROM tally WHERE kind = 'c'")
            .unwrap();
        let told = found();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("\"a\"") && told[0].ends_with("is too many"), "{told:?}");
        assert!(told[1].contains("\"b\"") && told[1].ends_with("is another"), "{told:?}");
        assert!(told[2].contains("\"c\"") && told[2].ends_with("is missing"), "{told:?}");
        for number in 0..50 {
            other.script(&format!("{insert} ('x{number}', '1', 'r', 1)")).unwrap();
        }
        assert_eq!(found().last().unwrap(), "and 43 more");
    }
}
