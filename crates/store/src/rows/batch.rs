//! One query for all rows of a page, in place of one for each.

use std::collections::BTreeMap;

use crate::StoreError;
use crate::session::{Bind, FromRow, Session};

/// Ids in one statement at most.
const MOST: usize = 64;

/// The rows of a query with a list of ids between `before` and `after`; `before` may name the values of `fixed`.
/// Ids may repeat. The list is padded with nulls to a power of two, so that few statements have to be cached.
pub(super) fn of_all<'i, T: FromRow>(
    session: Session<'_>,
    (before, after): (&str, &str),
    fixed: &[Bind<'_>],
    ids: impl Iterator<Item = &'i str>,
) -> Result<Vec<T>, StoreError> {
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let mut rows = Vec::new();
    for chunk in ids.chunks(MOST) {
        let places = chunk.len().next_power_of_two();
        let mut values = fixed.to_vec();
        values.extend(chunk.iter().copied().map(Bind::Text));
        values.resize(fixed.len() + places, Bind::Null);
        let list = vec!["?"; places].join(", ");
        rows.extend(session.all::<T>(&format!("{before} ({list}) {after}"), &values)?);
    }
    Ok(rows)
}

/// Groups rows by their owner; those of one owner stay in order.
pub(super) fn by_owner<K: Ord, T>(rows: impl IntoIterator<Item = (K, T)>) -> BTreeMap<K, Vec<T>> {
    let mut owners: BTreeMap<K, Vec<T>> = BTreeMap::new();
    for (owner, row) in rows {
        owners.entry(owner).or_default().push(row);
    }
    owners
}
