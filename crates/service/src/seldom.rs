//! Log lines that are written once a second at most, however often there is reason to: callers can determine how
//! often something happens, but not how much is logged.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

/// One for each thing that is said, so that what somebody makes happen all the time does not keep another back.
#[derive(Debug)]
pub(crate) struct Seldom(AtomicI64);

impl Seldom {
    pub(crate) const fn new() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }

    /// Whether it is to be said now: it was not said in this second.
    pub(crate) fn now(&self) -> bool {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        self.at(i64::try_from(BEGINNING.elapsed().as_secs()).unwrap_or(i64::MAX))
    }

    fn at(&self, second: i64) -> bool {
        self.0.swap(second, Ordering::Relaxed) != second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_said_once_a_second_whatever_else_is() {
        let (one, other) = (Seldom::new(), Seldom::new());
        assert_eq!([7, 7, 7, 8].map(|second| one.at(second)), [true, false, false, true]);
        assert_eq!([7, 8, 8].map(|second| other.at(second)), [true, true, false]);
    }
}
