//! Whether what a writer was answered is true.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What a caller was told of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is committed.
    Acknowledged,
    /// It is not, and never will be.
    Refused,
    /// Nobody can say.
    Unknown,
}

/// One change and its answer.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// Its key; no other change has it.
    pub key: i64,
    /// When the caller asked.
    pub begun: Instant,
    /// When he was answered.
    pub ended: Instant,
    /// What.
    pub answer: Answer,
}

/// The keys found in the database, each with the number of times that its change was carried out.
pub type Table = BTreeMap<i64, u64>;

/// What is untrue: nothing, if all is well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Untrue {
    /// Acknowledged, and not there.
    pub lost: BTreeSet<i64>,
    /// Refused, and there.
    pub refused_yet_there: BTreeSet<i64>,
    /// Carried out more than once.
    pub repeated: BTreeSet<i64>,
    /// There, and nobody asked for it.
    pub strange: BTreeSet<i64>,
}

impl Untrue {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares answers with a table that was read after the last of them. `asked` says which changes were asked for;
/// those without an answer may be there or not.
pub fn check(records: &[Record], table: &Table, asked: impl Fn(i64) -> bool) -> Untrue {
    let with = |answer| records.iter().filter(move |record| record.answer == answer).map(|record| record.key);
    let there = |key: &i64| table.contains_key(key);
    Untrue {
        lost: with(Answer::Acknowledged).filter(|key| !there(key)).collect(),
        refused_yet_there: with(Answer::Refused).filter(there).collect(),
        repeated: table.iter().filter(|(_, times)| **times > 1).map(|(key, _)| *key).collect(),
        strange: table.keys().copied().filter(|key| !asked(*key)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: i64, answer: Answer) -> Record {
        let now = Instant::now();
        Record { key, begun: now, ended: now, answer }
    }

    fn of(table: &[(i64, u64)]) -> Untrue {
        let records =
            [record(1, Answer::Acknowledged), record(2, Answer::Refused), record(3, Answer::Unknown)];
        check(&records, &table.iter().copied().collect(), |key| key <= 4)
    }

    #[test]
    fn true_answers_are_true() {
        // The fourth was asked for, and has no answer yet.
        for table in [&[(1, 1)][..], &[(1, 1), (3, 1)], &[(1, 1), (4, 1)]] {
            assert!(of(table).is_empty(), "{table:?}");
        }
    }

    #[test]
    fn each_kind_of_untruth_is_seen() {
        assert_eq!(of(&[]).lost, BTreeSet::from([1]));
        assert_eq!(of(&[(1, 1), (2, 1)]).refused_yet_there, BTreeSet::from([2]));
        assert_eq!(of(&[(1, 1), (3, 2)]).repeated, BTreeSet::from([3]));
        assert_eq!(of(&[(1, 2)]).repeated, BTreeSet::from([1]));
        assert_eq!(of(&[(1, 1), (5, 1)]).strange, BTreeSet::from([5]));
    }
}
