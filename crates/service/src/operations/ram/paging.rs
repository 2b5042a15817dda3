//! Lists in pages: `Marker` and `MaxItems` of the call, `IsTruncated` and `Marker` of the answer.
//!
//! A marker says after which row the next page begins, not how many came before: what is made or removed between two
//! pages neither repeats nor hides another row. It is sealed for its list and account ([`crate::marker`]).

use crate::args::Args;
use crate::call::Call;
use crate::context::Context;
use crate::marker::Markers;
use crate::operation::{Answer, Failure, Parameter, Shape, optional};

/// `Marker`.
pub const MARKER: Parameter = optional(
    "Marker",
    Shape::Text,
    "Where the page begins: the Marker of the answer before. Absent: the first page.",
);
/// `MaxItems`.
pub const MAX_ITEMS: Parameter =
    optional("MaxItems", Shape::Integer, "Entries per page, 1 to 1000. Default 100.");

const MOST: u64 = 1000;
const DEFAULT: u64 = 100;

/// Which page is wanted.
#[derive(Debug)]
pub struct Page {
    /// Of the list that it is a page of.
    markers: Markers,
    /// Place after which it begins; less than that of any row on the first page.
    pub after: i64,
    /// Entries at most.
    size: usize,
}

impl Page {
    /// The page that the call asks for.
    ///
    /// # Errors
    /// `InvalidParameter.MaxItems`, or `InvalidParameter.Marker` if the marker is not one that this list has given to this
    /// account; else as [`Markers::of`].
    pub fn wanted(_: &Context, call: &Call, args: &Args<'_>) -> Result<Self, Failure> {
        let size = args.number("MaxItems", 1..=MOST)?.unwrap_or(DEFAULT) as usize;
        let markers = Markers::of(call)?;
        let after = match args.text("Marker") {
            None => i64::MIN,
            Some(marker) => markers.row(marker).ok_or_else(|| args.illegal("Marker", marker))?,
        };
        Ok(Self { markers, after, size })
    }

    /// Rows to ask the store for: one more than are shown tells whether another page follows.
    #[must_use]
    pub fn fetch(&self) -> u64 {
        self.size as u64 + 1
    }

    /// Cuts what was fetched to the page, and puts `IsTruncated` and `Marker` into the answer. `place_of` tells a
    /// row's place in the list.
    ///
    /// # Errors
    /// As [`Markers::make`].
    pub fn cut<T>(
        &self,
        rows: &mut Vec<T>,
        place_of: impl Fn(&T) -> i64,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let more = rows.len() > self.size;
        rows.truncate(self.size);
        answer.insert("IsTruncated".into(), more.into());
        if let Some(last) = rows.last().filter(|_| more) {
            answer.insert("Marker".into(), self.markers.of_row(place_of(last))?.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::ram::list_users::OPERATION;

    #[test]
    fn a_page_is_cut_and_says_whether_more_follow() {
        let page = Page {
            markers: Markers::under(&[7; 32], &OPERATION, "1234567890123456"),
            after: i64::MIN,
            size: 2,
        };
        assert_eq!(page.fetch(), 3);
        let mut answer = Answer::new();
        let mut rows = vec![4, 7, 9];
        page.cut(&mut rows, |row| *row, &mut answer).unwrap();
        assert_eq!(rows, [4, 7]);
        assert_eq!(answer["IsTruncated"], true);
        assert_eq!(page.markers.row(answer["Marker"].as_str().unwrap()), Some(7));
        let mut answer = Answer::new();
        let mut rows = vec![9];
        page.cut(&mut rows, |row| *row, &mut answer).unwrap();
        assert_eq!(rows, [9]);
        assert_eq!(answer["IsTruncated"], false);
        assert!(!answer.contains_key("Marker"));
    }
}
