//! Where the present moment comes from: the machine's clock, a test's, or, of processes that share a store, that of its
//! database.
//!
//! Each of those that share one reads it when it begins and with each heartbeat, and goes on from there by a clock of
//! its own that never jumps. So moments that one process writes are compared by another with its own as if they had one
//! clock, however far those of their machines are apart; and to set the clock of a machine changes nothing.
//!
//! What else is on the machine has its clock all the same: certificates are verified by it, logs written. Nobody can
//! say which of two is wrong, so a process whose machine is further from the database than [`MOST_APART_MS`] says so
//! and refuses calls, until they agree again.

use std::fmt;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use tongguan_store::{Store, StoreError};

/// Where the present moment comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// UNIX milliseconds; may jump.
    fn now_ms(&self) -> i64;

    /// Milliseconds since any beginning, on a clock that never jumps.
    fn steady_ms(&self) -> i64;

    /// How far [`Clock::now_ms`] is ahead of the clocks that clients sign by, milliseconds: whether a request is
    /// fresh is decided by theirs.
    fn ahead_ms(&self) -> i64 {
        0
    }

    /// Takes note of what the clock of a database shows, if it is that.
    fn compared(&self, _reading: Reading) {}

    /// How far the clock of the machine is ahead of that of the database, milliseconds, when they were last compared;
    /// none if it is not the clock of a database.
    fn difference_ms(&self) -> Option<i64> {
        None
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the place that it comes from")]
    fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond().saturating_add(set_ahead_ms())
    }

    fn steady_ms(&self) -> i64 {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        i64::try_from(BEGINNING.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// How far a test has set the clock of the machine ahead, as the file says that this names, milliseconds: so processes
/// on one machine have clocks of several. Only in development builds.
const CLOCK_FILE: &str = "TONGGUAN_TEST_CLOCK_FILE";

fn set_ahead_ms() -> i64 {
    static FILE: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os(CLOCK_FILE).map(PathBuf::from));
    if !cfg!(debug_assertions) {
        return 0;
    }
    let Some(file) = FILE.as_ref() else { return 0 };
    std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// The machine's clock, which a test steps forward: what expires in forty days expires now.
#[derive(Debug, Default)]
pub struct SteppedClock {
    ahead_ms: AtomicI64,
}

impl SteppedClock {
    /// So far ahead of the machine's.
    #[must_use]
    pub fn new(ahead_ms: i64) -> Self {
        Self { ahead_ms: AtomicI64::new(ahead_ms.max(0)) }
    }

    /// Steps forward to be so far ahead of the machine's; never back.
    pub(crate) fn step_to(&self, ahead_ms: i64) {
        self.ahead_ms.fetch_max(ahead_ms, Ordering::SeqCst);
    }
}

impl Clock for SteppedClock {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms().saturating_add(self.ahead_ms())
    }

    fn steady_ms(&self) -> i64 {
        SystemClock.steady_ms()
    }

    fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::SeqCst)
    }
}

/// How far the clock of the machine may be from that of the database, milliseconds.
pub const MOST_APART_MS: i64 = 15_000;
/// A reading that took longer, milliseconds, says less than going on from an earlier one.
const SLOW_MS: i64 = 1_000;

/// The clocks of database and machine at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// UNIX milliseconds of the database.
    pub database_ms: i64,
    /// UNIX milliseconds of the machine.
    pub machine_ms: i64,
    /// The same moment on the machine's clock that never jumps.
    pub steady_ms: i64,
    /// How long it took to read them: half of that they may be off.
    pub took_ms: i64,
}

impl Reading {
    /// Reads them; none where the clock of the process is that of the store.
    ///
    /// # Errors
    /// The store fails.
    pub fn of(store: &Store) -> Result<Option<Self>, StoreError> {
        store.read(|snapshot| {
            let before_ms = SystemClock.steady_ms();
            let Some(database_ms) = snapshot.database_ms()? else { return Ok(None) };
            let (after_ms, machine_ms) = (SystemClock.steady_ms(), SystemClock.now_ms());
            let took_ms = after_ms - before_ms;
            let (steady_ms, machine_ms) = (after_ms - took_ms / 2, machine_ms - took_ms / 2);
            Ok(Some(Self { database_ms, machine_ms, steady_ms, took_ms }))
        })
    }
}

/// The clock of a database, as it was last read.
#[derive(Debug)]
pub struct DatabaseClock {
    /// How far it is ahead of the clock that never jumps, milliseconds.
    ahead_of_steady_ms: AtomicI64,
    /// How far that of the machine is ahead of it, milliseconds.
    difference_ms: AtomicI64,
}

impl DatabaseClock {
    /// As it was read.
    #[must_use]
    pub fn new(reading: Reading) -> Self {
        let clock = Self { ahead_of_steady_ms: AtomicI64::new(0), difference_ms: AtomicI64::new(0) };
        clock.take(reading);
        clock
    }

    fn take(&self, reading: Reading) {
        let Reading { database_ms, machine_ms, steady_ms, .. } = reading;
        self.ahead_of_steady_ms.store(database_ms - steady_ms, Ordering::Relaxed);
        self.difference_ms.store(machine_ms - database_ms, Ordering::Relaxed);
    }
}

impl Clock for DatabaseClock {
    fn now_ms(&self) -> i64 {
        self.steady_ms().saturating_add(self.ahead_of_steady_ms.load(Ordering::Relaxed))
    }

    fn steady_ms(&self) -> i64 {
        SystemClock.steady_ms()
    }

    fn compared(&self, reading: Reading) {
        if reading.took_ms <= SLOW_MS {
            self.take(reading);
        }
    }

    fn difference_ms(&self) -> Option<i64> {
        Some(self.difference_ms.load(Ordering::Relaxed))
    }
}

/// The clock of the machine is too far from that of the database: by so many milliseconds it is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apart(pub i64);

impl Apart {
    /// If they are so far apart.
    #[must_use]
    pub fn of(difference_ms: i64) -> Option<Self> {
        (difference_ms.saturating_abs() > MOST_APART_MS).then_some(Self(difference_ms))
    }
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, most) = (self.0.saturating_abs().saturating_add(500) / 1_000, MOST_APART_MS / 1_000);
        let side = if self.0 > 0 { "ahead of" } else { "behind" };
        write!(
            f,
            "the clock of this machine is {seconds} s {side} that of the database, {most} s are allowed"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_the_databases_whatever_the_machine_shows() {
        let steady_ms = SystemClock.steady_ms();
        let reading =
            |database_ms, machine_ms, took_ms| Reading { database_ms, machine_ms, steady_ms, took_ms };
        let clock = DatabaseClock::new(reading(1_000_000, 1_060_000, 4_000));
        assert!((1_000_000..1_010_000).contains(&clock.now_ms()), "{}", clock.now_ms());
        assert_eq!((clock.difference_ms(), clock.ahead_ms()), (Some(60_000), 0));
        // One that took long says nothing new.
        clock.compared(reading(1_500_000, 1_500_000, 1_001));
        assert_eq!(clock.difference_ms(), Some(60_000));
        clock.compared(reading(2_000_000, 1_999_000, 1_000));
        assert!((2_000_000..2_010_000).contains(&clock.now_ms()), "{}", clock.now_ms());
        assert_eq!(clock.difference_ms(), Some(-1_000));
    }

    #[test]
    fn what_is_too_far_is_said() {
        for near in [0, 10_000, -10_000, MOST_APART_MS, -MOST_APART_MS] {
            assert_eq!(Apart::of(near), None, "{near}");
        }
        let said = |difference_ms| Apart::of(difference_ms).unwrap().to_string();
        let most = "that of the database, 15 s are allowed";
        assert_eq!(said(60_400), format!("the clock of this machine is 60 s ahead of {most}"));
        assert_eq!(said(-15_001), format!("the clock of this machine is 15 s behind {most}"));
    }
}
