//! Lists in pages: `Marker` and `MaxItems` of the call, `IsTruncated` and `Marker` of the answer.
//!
//! A marker says after which row the next page begins, not how many came before: what is made or removed between two
//! pages neither repeats nor hides another row. It is sealed for its list and account ([`crate::marker`]).

use crate::api::ram::Text;
use crate::call::Call;
use crate::marker::Markers;
use crate::operation::Failure;

/// Which page is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    /// Place after which it begins; less than that of any row on the first page.
    pub after: i64,
    /// Entries at most.
    size: usize,
}

/// A page of a list, and where the next one begins.
#[derive(Debug)]
pub struct Listed<T> {
    /// Its entries.
    pub rows: Vec<T>,
    /// Whether another page follows.
    pub is_truncated: bool,
    /// Where that begins, for the call that asks for it.
    pub marker: Option<Text>,
}

impl Paging {
    /// The page of at most `max_items` entries that begins after the row of the call's marker, or with the first one.
    #[must_use]
    pub fn new(marker: Option<i64>, max_items: u64) -> Self {
        Self { after: marker.unwrap_or(i64::MIN), size: usize::try_from(max_items).unwrap_or(usize::MAX) }
    }

    /// Rows to ask the store for: one more than are shown tells whether another page follows.
    #[must_use]
    pub fn fetch(&self) -> u64 {
        self.size as u64 + 1
    }

    /// Cuts what was fetched to the page. `place_of` tells a row's place in the list.
    ///
    /// # Errors
    /// As [`Markers::of`] and [`Markers::make`].
    pub fn cut<T>(
        &self,
        call: &Call,
        rows: Vec<T>,
        place_of: impl Fn(&T) -> i64,
    ) -> Result<Listed<T>, Failure> {
        self.cut_with(rows, place_of, |place| Markers::of(call)?.of_row(place))
    }

    fn cut_with<T>(
        &self,
        mut rows: Vec<T>,
        place_of: impl Fn(&T) -> i64,
        marker_of: impl FnOnce(i64) -> Result<String, Failure>,
    ) -> Result<Listed<T>, Failure> {
        let is_truncated = rows.len() > self.size;
        rows.truncate(self.size);
        let last = rows.last().filter(|_| is_truncated).map(place_of);
        Ok(Listed { rows, is_truncated, marker: last.map(marker_of).transpose()?.map(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ram::LIST_USERS;

    #[test]
    fn a_page_is_cut_and_says_whether_more_follow() {
        let markers = Markers::under(&[7; 32], &LIST_USERS, "1234567890123456");
        let paging = Paging::new(None, 2);
        assert_eq!((paging.after, paging.fetch()), (i64::MIN, 3));
        let cut = |rows: Vec<i64>| paging.cut_with(rows, |row| *row, |place| markers.of_row(place)).unwrap();
        let page = cut(vec![4, 7, 9]);
        assert_eq!((page.rows, page.is_truncated), (vec![4, 7], true));
        assert_eq!(markers.row(&page.marker.unwrap()), Some(7));
        for rows in [vec![9], vec![4, 7]] {
            let page = cut(rows.clone());
            assert_eq!((page.rows, page.is_truncated, page.marker), (rows, false, None));
        }
    }
}
