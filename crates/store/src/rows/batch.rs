//! One question for all rows of a page, in place of one for each.

use std::collections::BTreeMap;

use crate::StoreError;
use crate::session::{Bind, FromRow, Session};

/// Ids in one statement at most.
const MOST: usize = 64;

/// The rows of a question for ids: `before` ends where the list of ids begins and may name the values of `fixed`, `after`
/// comes after the list. Ids may stand there more than once. A list is filled up with nothing to a power of two, so that few statements have to be kept.
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

/// What belongs to each of them, in the order in which it came.
pub(super) fn by_owner<K: Ord, T>(rows: impl IntoIterator<Item = (K, T)>) -> BTreeMap<K, Vec<T>> {
    let mut owners: BTreeMap<K, Vec<T>> = BTreeMap::new();
    for (owner, row) in rows {
        owners.entry(owner).or_default().push(row);
    }
    owners
}
