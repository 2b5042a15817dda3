//! Lists: conditions that a caller may combine, pages, totals.

use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};
use std::fmt::Write as _;
use tongguan_model::id::AccountId;

use super::Answer;
use super::tag::TagFilter;
use crate::Snapshot;

/// A page of a list with the number of all that match.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Those on the page.
    pub items: Vec<T>,
    /// All that match.
    pub total: u64,
}

/// Conditions of a list, with the values that they name.
pub(super) struct Search {
    pub(super) account: AccountId,
    pub(super) region: Option<String>,
    pub(super) conditions: String,
    pub(super) values: Vec<Value>,
    /// Whether anything but account and region restricts it, so that totals must be counted.
    pub(super) narrowed: bool,
    /// Whether ids are named: then they choose the index, and account and region only check.
    by_id: bool,
}

impl Search {
    pub(super) fn of(account: &AccountId, region: Option<&str>) -> Self {
        let mut values = vec![Value::Text(account.as_str().into())];
        values.extend(region.map(|region| Value::Text(region.into())));
        let region = region.map(Into::into);
        let conditions = String::with_capacity(128);
        Self { account: account.clone(), region, conditions, values, narrowed: false, by_id: false }
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

    pub(super) fn raw(&mut self, condition: &str) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.narrowed = true;
    }

    pub(super) fn equal(&mut self, column: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.values.push(Value::Text(value.into()));
            let place = self.values.len();
            self.raw(&format!("{column} = ?{place}"));
        }
    }

    pub(super) fn any(&mut self, column: &str, values: &[String]) {
        if values.is_empty() {
            return;
        }
        self.by_id = true;
        let mut places = String::new();
        for value in values {
            self.values.push(Value::Text(value.clone()));
            let comma = if places.is_empty() { "" } else { ", " };
            let _ = write!(places, "{comma}?{}", self.values.len());
        }
        self.raw(&format!("{column} IN ({places})"));
    }

    pub(super) fn tags(&mut self, column: &str, tags: &[TagFilter]) {
        for tag in tags {
            self.by_id = true;
            self.values.push(Value::Text(tag.key.clone()));
            let mut condition = format!(
                "{column} IN (SELECT t.resource FROM tag t WHERE t.account = ?1 AND t.key = ?{}",
                self.values.len()
            );
            if let Some(value) = &tag.value {
                self.values.push(Value::Text(value.clone()));
                let _ = write!(condition, " AND t.value = ?{}", self.values.len());
            }
            condition.push(')');
            self.raw(&condition);
        }
    }
}

impl Snapshot<'_> {
    pub(super) fn page<T>(
        &self,
        table: &str,
        columns: &str,
        search: &Search,
        offset: u64,
        limit: u64,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Answer<Page<T>> {
        let clause = search.clause();
        let sql = format!(
            "SELECT {columns} FROM {table} WHERE {clause} ORDER BY seq DESC LIMIT {limit} OFFSET {offset}"
        );
        let items = self.all(&sql, params_from_iter(&search.values), read)?;
        let total = match (&search.region, search.narrowed) {
            _ if offset == 0 && (items.len() as u64) < limit => items.len() as u64,
            (Some(region), false) => self.tally(table, &search.account, region)?,
            (None, false) => self.tally_everywhere(table, &search.account)?,
            (_, true) => self.count_where(table, &clause, &search.values)?,
        };
        Ok(Page { items, total })
    }
}
