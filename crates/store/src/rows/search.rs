//! Lists: conditions that a caller may combine, pages, totals.

use std::fmt::Write as _;
use tongguan_model::id::AccountId;

use super::Answer;
use super::table::Table;
use super::tag::TagFilter;
use crate::Snapshot;
use crate::session::{AsBind, Bind, FromRow};

/// A page of a list with the number of all that match.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Those on the page.
    pub items: Vec<T>,
    /// All that match.
    pub total: u64,
}

impl<T> Page<T> {
    /// The page of a list that nothing matches.
    #[must_use]
    pub fn empty() -> Self {
        Self { items: Vec::new(), total: 0 }
    }
}

/// Conditions of a list, with the values that they name.
pub(super) struct Search<'v> {
    pub(super) account: &'v AccountId,
    pub(super) region: Option<&'v str>,
    conditions: String,
    pub(super) values: Vec<Bind<'v>>,
    /// Whether anything but account and region restricts it, so that totals must be counted.
    pub(super) narrowed: bool,
    /// Whether a condition chooses the index, such as named ids: then account and region only check.
    by_id: bool,
}

impl<'v> Search<'v> {
    pub(super) fn of(account: &'v AccountId, region: Option<&'v str>) -> Self {
        let mut values = Vec::with_capacity(8);
        values.push(account.bind());
        values.extend(region.map(Bind::Text));
        Self { account, region, conditions: String::new(), values, narrowed: false, by_id: false }
    }

    /// The WHERE clause. A plus sign keeps SQLite from using an index on the column.
    pub(super) fn clause(&self) -> String {
        let scope = match (self.by_id, self.region.is_some()) {
            (false, false) => "account = ?1",
            (false, true) => "account = ?1 AND region = ?2",
            (true, false) => "+account = ?1",
            (true, true) => "+account = ?1 AND +region = ?2",
        };
        [scope, &self.conditions].concat()
    }

    /// The query for a page, newest first.
    pub(super) fn statement(&self, (columns, tables): (&str, &str), offset: u64, limit: u64) -> String {
        format!("SELECT {columns} FROM {tables} WHERE {}{}", self.clause(), cut(offset, limit))
    }

    /// Takes a value; answers its number.
    pub(super) fn value(&mut self, value: &'v (impl AsBind + ?Sized)) -> usize {
        self.values.push(value.bind());
        self.values.len()
    }

    pub(super) fn raw(&mut self, condition: &str) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.narrowed = true;
    }

    /// A condition that holds for every row that is counted.
    pub(super) fn always(&mut self, condition: &str) {
        let narrowed = self.narrowed;
        self.raw(condition);
        self.narrowed = narrowed;
    }

    /// A text that any of these columns must hold, whatever the case of ASCII letters; `pattern` is one of [`part`].
    pub(super) fn holds(&mut self, columns: &[&str], pattern: Option<&'v String>) {
        let Some(pattern) = pattern else { return };
        let place = self.value(pattern);
        let columns = columns.iter().map(|column| format!("lower({column}) LIKE ?{place} ESCAPE '!'"));
        self.raw(&format!("({})", columns.collect::<Vec<_>>().join(" OR ")));
    }

    pub(super) fn equal(&mut self, column: &str, value: Option<&'v (impl AsBind + ?Sized)>) {
        if let Some(value) = value {
            let place = self.value(value);
            self.raw(&format!("{column} = ?{place}"));
        }
    }

    /// The conditions choose the index: they leave few rows of a large account.
    pub(super) fn choose(&mut self) {
        self.by_id = true;
    }

    /// One of these ids, if there are any: they choose the index.
    pub(super) fn any(&mut self, column: &str, values: &'v [String]) {
        self.by_id |= !values.is_empty();
        self.among(column, values);
    }

    /// One of these values, if there are any.
    pub(super) fn among(&mut self, column: &str, values: &'v [String]) {
        if values.is_empty() {
            return;
        }
        let mut places = String::new();
        for value in values {
            let place = self.value(value);
            let comma = if places.is_empty() { "" } else { ", " };
            let _ = write!(places, "{comma}?{place}");
        }
        self.raw(&format!("{column} IN ({places})"));
    }

    pub(super) fn tags(&mut self, column: &str, tags: &'v [TagFilter]) {
        for tag in tags {
            self.by_id = true;
            let key = self.value(&tag.key);
            let mut condition =
                format!("{column} IN (SELECT t.resource FROM tag t WHERE t.account = ?1 AND t.key = ?{key}");
            if let Some(value) = &tag.value {
                let place = self.value(value);
                let _ = write!(condition, " AND t.value = ?{place}");
            }
            condition.push(')');
            self.raw(&condition);
        }
    }
}

/// A pattern for every text that holds this one.
pub(super) fn part(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter.to_ascii_lowercase());
    }
    pattern.push('%');
    pattern
}

/// Newest first, and no more than a page.
fn cut(offset: u64, limit: u64) -> String {
    format!(" ORDER BY seq DESC LIMIT {limit} OFFSET {offset}")
}

impl Snapshot<'_> {
    /// A page of the rows that are searched for, newest first.
    pub(super) fn page<T: Table>(&self, search: &Search<'_>, offset: u64, limit: u64) -> Answer<Page<T>> {
        let clause = search.clause();
        // What every row of the page has need not be read from each.
        let same = if search.region.is_some() { ("account, region", "?1, ?2") } else { ("account", "?1") };
        let places = T::PLACES.replacen(same.0, same.1, 1);
        let sql = [&places, " WHERE ", &clause, &cut(offset, limit)].concat();
        let items = self.session.whole_rows(&sql, &search.values, limit)?;
        self.with_total(items, search, (T::NAME, T::NAME), &clause, offset, limit)
    }

    /// The same of columns that are selected from tables which are joined; `tally` counts what is not narrowed.
    pub(super) fn page_of<T: FromRow>(
        &self,
        search: &Search<'_>,
        tally: &str,
        (columns, tables): (&str, &str),
        offset: u64,
        limit: u64,
    ) -> Answer<Page<T>> {
        let clause = search.clause();
        let sql = search.statement((columns, tables), offset, limit);
        let items = self.session.all(&sql, &search.values)?;
        self.with_total(items, search, (tally, tables), &clause, offset, limit)
    }

    /// A page with the number of all rows that match, which are counted if neither the page nor the tally tells it.
    fn with_total<T>(
        &self,
        items: Vec<T>,
        search: &Search<'_>,
        (tally, tables): (&str, &str),
        clause: &str,
        offset: u64,
        limit: u64,
    ) -> Answer<Page<T>> {
        let total = match (search.region, search.narrowed) {
            _ if offset == 0 && (items.len() as u64) < limit => items.len() as u64,
            (Some(region), false) => self.tally(tally, search.account, region)?,
            (None, false) => self.tally_everywhere(tally, search.account)?,
            (_, true) => self.count_where(tables, clause, &search.values)?,
        };
        Ok(Page { items, total })
    }
}

/// Which indexes SQLite takes for a statement, and whether it sorts what it finds.
#[cfg(test)]
pub(super) fn plan(sql: &str) -> (Vec<String>, bool) {
    let database = crate::sqlite::schema::fresh().unwrap();
    let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    for place in 1..=plan.parameter_count() {
        plan.raw_bind_parameter(place, "a").unwrap();
    }
    let mut steps = Vec::new();
    let mut read = plan.raw_query();
    while let Some(step) = read.next().unwrap() {
        steps.push(step.get::<_, String>(3).unwrap());
    }
    assert!(!steps.iter().any(|step| step.starts_with("SCAN ")), "{sql}: {steps:?}");
    let sorts = steps.iter().any(|step| step.contains("TEMP B-TREE"));
    let name = |step: &String| {
        let (_, index) = step.split_once(" USING ")?;
        let index = index.trim_start_matches("COVERING ").trim_start_matches("INDEX ");
        Some(index.split(" (").next().unwrap().to_owned())
    };
    (steps.iter().filter_map(name).collect(), sorts)
}
