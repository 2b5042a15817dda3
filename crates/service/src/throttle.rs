//! How many requests an account may make in a second.
//!
//! Counted after authentication, so that nobody uses up what is another's. Time is monotonic.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use tongguan_model::id::AccountId;

/// Requests per second and account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests in each second.
    pub per_second: NonZeroU32,
    /// Requests at once, after a rest.
    pub burst: NonZeroU32,
}

/// Lets requests through as long as their account keeps to its rate.
#[derive(Debug, Default)]
pub struct Throttle {
    limiter: Option<Box<dyn Limiter>>,
    refused: AtomicU64,
}

trait Limiter: Send + Sync + std::fmt::Debug {
    fn admits(&self, account: &AccountId) -> bool;
    fn forget(&self);
    fn accounts(&self) -> usize;
}

type Keyed<C> =
    RateLimiter<AccountId, HashMapStateStore<AccountId>, C, NoOpMiddleware<<C as Clock>::Instant>>;

impl<C> Limiter for Keyed<C>
where
    C: Clock + Send + Sync + std::fmt::Debug,
    C::Instant: Send + Sync,
{
    fn admits(&self, account: &AccountId) -> bool {
        self.check_key(account).is_ok()
    }

    fn forget(&self) {
        self.retain_recent();
        self.shrink_to_fit();
    }

    fn accounts(&self) -> usize {
        self.len()
    }
}

impl Throttle {
    /// Every account keeps to this rate; none: there is no limit.
    #[must_use]
    pub fn new(rate: Option<Rate>) -> Self {
        rate.map_or_else(Self::default, |rate| Self::with_clock(rate, MonotonicClock))
    }

    /// [`Throttle::new`] by another clock.
    #[must_use]
    pub fn with_clock<C>(rate: Rate, clock: C) -> Self
    where
        C: Clock + Send + Sync + std::fmt::Debug + 'static,
        C::Instant: Send + Sync + 'static,
    {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let limiter: Keyed<C> = RateLimiter::hashmap_with_clock(quota, clock);
        Self { limiter: Some(Box::new(limiter)), refused: AtomicU64::new(0) }
    }

    /// Whether one more request of this account keeps to its rate; it is counted if so.
    #[must_use]
    pub fn admits(&self, account: &AccountId) -> bool {
        let admitted = self.limiter.as_ref().is_none_or(|limiter| limiter.admits(account));
        if !admitted {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Requests refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Forgets accounts that have rested: to be called now and then.
    pub fn forget_rested(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.forget();
        }
    }

    /// Accounts remembered.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.limiter.as_ref().map_or(0, |limiter| limiter.accounts())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() }
    }

    #[test]
    fn an_account_gets_its_burst_then_its_rate() {
        let clock = FakeRelativeClock::default();
        let throttle = Throttle::with_clock(rate(10, 20), clock.clone());
        let (one, other) = (AccountId::new("1"), AccountId::new("2"));
        let admitted = |account, times| (0..times).filter(|_| throttle.admits(account)).count();
        assert_eq!(admitted(&one, 100), 20);
        assert_eq!(throttle.refused(), 80);
        assert_eq!(admitted(&other, 5), 5);
        clock.advance(Duration::from_millis(500));
        assert_eq!(admitted(&one, 100), 5);
        clock.advance(Duration::from_secs(60));
        assert_eq!(admitted(&one, 100), 20);
    }

    #[test]
    fn accounts_that_rest_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let throttle = Throttle::with_clock(rate(1, 1), clock.clone());
        for number in 0..1_000 {
            assert!(throttle.admits(&AccountId::new(number.to_string())));
        }
        throttle.forget_rested();
        assert_eq!(throttle.accounts(), 1_000);
        clock.advance(Duration::from_secs(10));
        assert!(throttle.admits(&AccountId::new("0")));
        throttle.forget_rested();
        assert_eq!(throttle.accounts(), 1);
    }

    #[test]
    fn without_a_rate_everything_is_let_through() {
        let throttle = Throttle::new(None);
        assert!((0..10_000).all(|_| throttle.admits(&AccountId::new("1"))));
        assert_eq!((throttle.accounts(), throttle.refused()), (0, 0));
    }
}
