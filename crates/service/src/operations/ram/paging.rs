//! Lists in pages: `Marker` and `MaxItems` of the call, `IsTruncated` and `Marker` of the answer.
//!
//! A marker says after which row the next page begins, not how many came before: what is made or removed between two
//! pages neither repeats nor hides another row. It names the list, so that a marker of another list is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::args::Args;
use crate::catalogue::Refusal;
use crate::operation::{Answer, Parameter, Shape, optional};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// List that it is a page of: the operation's name.
    list: &'static str,
    /// Place after which it begins; less than that of any row on the first page.
    pub after: i64,
    /// Entries at most.
    size: usize,
}

impl Page {
    /// The page that the call asks for, of the list of this name.
    ///
    /// # Errors
    /// `InvalidParameter.MaxItems`, or `InvalidParameter.Marker` if the marker is not one that this list has given.
    pub fn wanted(args: &Args<'_>, list: &'static str) -> Result<Self, Refusal> {
        let size = args.number("MaxItems", 1..=MOST)?.unwrap_or(DEFAULT) as usize;
        let after = match args.text("Marker") {
            None => i64::MIN,
            Some(marker) => place(list, marker).ok_or_else(|| args.illegal("Marker", marker))?,
        };
        Ok(Self { list, after, size })
    }

    /// Rows to ask the store for: one more than are shown tells whether another page follows.
    #[must_use]
    pub fn fetch(&self) -> u64 {
        self.size as u64 + 1
    }

    /// Cuts what was fetched to the page, and puts `IsTruncated` and `Marker` into the answer. `place_of` tells a
    /// row's place in the list.
    pub fn cut<T>(&self, rows: &mut Vec<T>, place_of: impl Fn(&T) -> i64, answer: &mut Answer) {
        let more = rows.len() > self.size;
        rows.truncate(self.size);
        answer.insert("IsTruncated".into(), more.into());
        if let Some(last) = rows.last().filter(|_| more) {
            answer.insert("Marker".into(), marker(self.list, place_of(last)).into());
        }
    }
}

fn marker(list: &str, place: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{place}"))
}

fn place(list: &str, marker: &str) -> Option<i64> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(marker).ok()?).ok()?;
    text.strip_prefix(list)?.strip_prefix(':')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_back_by_its_own_list_alone() {
        for at in [i64::MIN, -1, 0, 1, i64::MAX] {
            let text = marker("ListUsers", at);
            assert_eq!(place("ListUsers", &text), Some(at));
            assert_eq!(place("ListUser", &text), None);
            assert_eq!(place("ListUsersForGroup", &text), None);
        }
        for bad in ["EXAMPLE", "", "12", "TGlzdFVzZXJzOg", "TGlzdFVzZXJzOjE=", "\u{fffd}"] {
            assert_eq!(place("ListUsers", bad), None, "{bad}");
        }
    }

    #[test]
    fn a_page_is_cut_and_says_whether_more_follow() {
        let page = Page { list: "ListUsers", after: i64::MIN, size: 2 };
        assert_eq!(page.fetch(), 3);
        let mut answer = Answer::new();
        let mut rows = vec![4, 7, 9];
        page.cut(&mut rows, |row| *row, &mut answer);
        assert_eq!(rows, [4, 7]);
        assert_eq!(answer["IsTruncated"], true);
        assert_eq!(place("ListUsers", answer["Marker"].as_str().unwrap()), Some(7));
        let mut answer = Answer::new();
        let mut rows = vec![9];
        page.cut(&mut rows, |row| *row, &mut answer);
        assert_eq!(rows, [9]);
        assert_eq!(answer["IsTruncated"], false);
        assert!(!answer.contains_key("Marker"));
    }
}
