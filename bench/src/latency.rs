//! Latencies, kept one by one: percentiles are exact, and a window has few enough to sort.

use std::time::Duration;

/// Latencies of one window, nanoseconds each, at most 4.2 seconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// Room for `count` without growing while measuring.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Adds one.
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_nanos()).unwrap_or(u32::MAX));
    }

    /// Adds those of another caller.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Milliseconds that `percent` of the latencies do not exceed; for each of `percents`.
    pub(crate) fn milliseconds<const N: usize>(mut self, percents: [usize; N]) -> [f64; N] {
        self.0.sort_unstable();
        percents.map(|percent| {
            let rank = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
            self.0.get(rank).map_or(f64::NAN, |nanos| f64::from(*nanos) / 1e6)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_ranked_values() {
        let mut latencies = Latencies::default();
        (1..=200).rev().for_each(|ms| latencies.add(Duration::from_millis(ms)));
        assert_eq!(latencies.milliseconds([50, 99, 100]), [100.0, 198.0, 200.0]);
        assert!(Latencies::default().milliseconds([50])[0].is_nan());
    }
}
