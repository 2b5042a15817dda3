//! Lengths of time as people write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// A length of time: `250ms`, `10s`, `1h 30m`, `1.5h`, `2 weeks`, `PT5S`. A day has 24 hours. None if it is something
/// else, is below zero, or has months or years, which are of no fixed length.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(signed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("007s", 7_000),
            ("1m 30s", 90_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("2h", 7_200_000),
            ("40d", 3_456_000_000),
            ("1w", 604_800_000),
            ("2 weeks, 1 day", 1_296_000_000),
            ("4294967295s", 4_294_967_295_000),
            ("PT5S", 5_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in ["", "10", "s", "-1s", "1s ago", "1mo", "1y", "soon", "5é", "99999999999999999999s"] {
            assert!(duration(wrong).is_none(), "{wrong}");
        }
    }
}
