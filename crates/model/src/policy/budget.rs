//! The cost of a decision.
//!
//! Callers write both policies and requests, so only the evaluation itself can tell what one costs with the other.
//! It counts its work in *steps*: a byte compared while a pattern is searched for, a listed value compared, a
//! statement or condition visited; one step takes about a nanosecond, a few at worst. A decision that would take
//! more steps than its [`Budget`] has is abandoned: [`Exhausted`] allows nothing.

use std::cell::Cell;

/// The steps that are left of a decision, or of all decisions of one call.
#[derive(Debug)]
pub struct Budget {
    given: i64,
    left: Cell<i64>,
}

/// A decision was not made because it costs too much. Nothing is allowed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the policies need more steps than a decision may take")]
pub struct Exhausted;

impl Budget {
    /// Steps for the decisions of one call.
    ///
    /// The number is chosen so that a decision that uses it up takes some 100 to 200 µs (`tests/policy/worst.rs` prints
    /// it), and may therefore be made on the thread that serves the call: there is no second, slower way for costly
    /// ones, no pool and no queue. Thirty-five policies of sixty statements that are all about the same action take
    /// less than half of it.
    pub const STEPS: u32 = 100_000;

    /// So many steps.
    #[must_use]
    pub fn new(steps: u32) -> Self {
        Self { given: steps.into(), left: Cell::new(steps.into()) }
    }

    /// No bound, for the operator's own commands.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { given: i64::MAX, left: Cell::new(i64::MAX) }
    }

    /// Steps that were taken. The last piece of work may have gone beyond the budget by as much as one pattern takes.
    #[must_use]
    pub fn spent(&self) -> u64 {
        u64::try_from(self.given - self.left.get()).unwrap_or(0)
    }

    /// Whether more was taken than there was.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.left.get() < 0
    }

    /// Takes steps. Work continues until it next checks [`Self::is_exhausted`].
    #[inline]
    pub(super) fn take(&self, steps: usize) {
        self.left.set(self.left.get().saturating_sub(i64::try_from(steps).unwrap_or(i64::MAX)));
    }

    /// What is left, at least nothing.
    pub(super) fn left(&self) -> usize {
        usize::try_from(self.left.get()).unwrap_or(0)
    }
}

/// [`Budget::STEPS`].
impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::STEPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_exhausted_by_the_step_after_the_last() {
        let budget = Budget::new(3);
        budget.take(3);
        assert_eq!((budget.is_exhausted(), budget.spent(), budget.left()), (false, 3, 0));
        budget.take(2);
        assert_eq!((budget.is_exhausted(), budget.spent(), budget.left()), (true, 5, 0));
        budget.take(usize::MAX);
        assert!(budget.is_exhausted());
    }

    #[test]
    fn is_of_the_documented_size_or_has_no_bound() {
        let (bounded, unlimited) = (Budget::default(), Budget::unlimited());
        for budget in [&bounded, &unlimited] {
            budget.take(Budget::STEPS as usize);
            assert!(!budget.is_exhausted());
            budget.take(1);
        }
        assert_eq!((bounded.is_exhausted(), unlimited.is_exhausted()), (true, false));
    }
}
