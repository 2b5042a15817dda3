//! Lists in pages: `Marker` and `MaxItems` of the call, `IsTruncated` and `Marker` of the answer.
//!
//! A marker says after which row the next page begins, not how many came before: what is made or removed between two
//! pages neither repeats nor hides another row. It is sealed for its list and account ([`crate::marker`]).

use crate::api::ram::Text;
use crate::args::Args;
use crate::call::Call;
use crate::context::Context;
use crate::marker::{self, Markers};
use crate::operation::{Answer, Failure, Parameter, Shape, optional};

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

/// `Marker`.
pub const MARKER: Parameter = optional(
    "Marker",
    Shape::Text,
    "Where the page begins: the Marker of the answer before. Absent: the first page.",
);
/// `MaxItems`.
pub const MAX_ITEMS: Parameter =
    optional("MaxItems", Shape::Integer, "Entries per page, 1 to 1000. Default 100.");

/// Which page is wanted, for operations without types.
#[derive(Debug)]
pub struct Page {
    paging: Paging,
    call: Call,
    /// As [`Paging::after`].
    pub after: i64,
}

impl Page {
    /// The page that the call asks for.
    ///
    /// # Errors
    /// `InvalidParameter.MaxItems`, or `InvalidParameter.Marker`.
    pub fn wanted(_: &Context, call: &Call, args: &Args<'_>) -> Result<Self, Failure> {
        let size = args.number("MaxItems", 1..=1_000)?.unwrap_or(100);
        let paging = Paging::new(marker::row(args, "Marker")?, size);
        Ok(Self { paging, call: call.clone(), after: paging.after })
    }

    /// As [`Paging::fetch`].
    #[must_use]
    pub fn fetch(&self) -> u64 {
        self.paging.fetch()
    }

    /// As [`Paging::cut`], into the answer.
    ///
    /// # Errors
    /// As [`Paging::cut`].
    pub fn cut<T>(
        &self,
        rows: &mut Vec<T>,
        place_of: impl Fn(&T) -> i64,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let listed = self.paging.cut(&self.call, std::mem::take(rows), place_of)?;
        *rows = listed.rows;
        answer.insert("IsTruncated".into(), listed.is_truncated.into());
        if let Some(marker) = listed.marker {
            answer.insert("Marker".into(), marker.into());
        }
        Ok(())
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
