//! The types of condition values: booleans, address blocks, numbers and times.
//!
//! Nothing here allocates but [`Decimal::into_owned`], since values of a request are
//! read while it is decided.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// `true` or `false`, in any case.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// An address or a block. Bits to the right of the mask are accepted and without
/// effect; a block of IPv4-mapped IPv6 addresses becomes the IPv4 block.
pub(super) fn parse_block(text: &str) -> Option<IpNet> {
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => Ipv4Net::new(v4, v6.prefix_len() - 96).ok().map(IpNet::V4),
            None => Some(net),
        },
        IpNet::V6(_) | IpNet::V4(_) => Some(net),
    }
}

/// A decimal number of any size, compared exactly: account ids exceed what a
/// float can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal<'a> {
    /// Never set for zero.
    negative: bool,
    /// Digits before the point without leading zeros; empty for 0.
    integer: Cow<'a, str>,
    /// Digits after the point without trailing zeros.
    fraction: Cow<'a, str>,
}

impl<'a> Decimal<'a> {
    /// Sign, digits, and perhaps a point and more digits. No exponent.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (integer, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let plain = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if integer.is_empty() || !plain(integer) || !plain(fraction) {
            return None;
        }
        let integer = integer.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let zero = integer.is_empty() && fraction.is_empty();
        Some(Self { negative: negative && !zero, integer: integer.into(), fraction: fraction.into() })
    }

    /// The same number without the text that it was read from.
    pub(super) fn into_owned(self) -> Decimal<'static> {
        Decimal {
            negative: self.negative,
            integer: self.integer.into_owned().into(),
            fraction: self.fraction.into_owned().into(),
        }
    }

    /// Bytes that a comparison may read.
    pub(super) fn bytes(&self) -> usize {
        self.integer.len() + self.fraction.len()
    }

    /// Compares without the sign.
    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        let length = self.integer.len().cmp(&other.integer.len());
        length.then_with(|| self.integer.cmp(&other.integer)).then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant {
    /// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
    seconds: i64,
    nanoseconds: i64,
}

impl Instant {
    /// `YYYY-MM-DDThh:mm[:ss[.f]]` and `Z`, `+hh:mm`, `-hh:mm` or without the
    /// colon; at most nine digits of fraction. No leap second, no time without zone.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_once('T')?;
        let zone_at = rest.rfind(['Z', '+', '-'])?;
        let (time, zone) = rest.split_at(zone_at);
        let (clock, fraction) = match time.split_once('.') {
            Some((clock, fraction)) => (clock, Some(fraction)),
            None => (time, None),
        };
        let (of_day, has_seconds) = parse_clock(clock)?;
        let nanoseconds = match fraction {
            Some(fraction) if has_seconds => parse_fraction(fraction)?,
            Some(_) => return None,
            None => 0,
        };
        let seconds = parse_date(date)? * 86_400 + of_day - parse_offset(zone)?;
        Some(Self { seconds, nanoseconds })
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = digits(parts.next()?, 2).filter(|month| (1..=12).contains(month))?;
    let day = digits(parts.next()?, 2)?;
    if parts.next().is_some() || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    // Years from March on put the leap day last; an era is 400 years of 146 097 days.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Seconds of the day of `hh:mm` or `hh:mm:ss`, and whether seconds were given.
fn parse_clock(text: &str) -> Option<(i64, bool)> {
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = digits(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let second = match parts.next() {
        Some(second) => Some(digits(second, 2).filter(|second| *second < 60)?),
        None => None,
    };
    match parts.next() {
        Some(_) => None,
        None => Some((hour * 3_600 + minute * 60 + second.unwrap_or(0), second.is_some())),
    }
}

/// Nanoseconds of one to nine digits after the point.
fn parse_fraction(text: &str) -> Option<i64> {
    let missing = u32::try_from(9usize.checked_sub(text.len())?).ok()?;
    Some(digits(text, text.len())? * 10i64.pow(missing))
}

/// Seconds to subtract for `Z`, `+hh:mm`, `-hh:mm`, `+hhmm` or `-hhmm`.
fn parse_offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, amount) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(amount), _) => (1, amount),
        (None, Some(amount)) => (-1, amount),
        (None, None) => return None,
    };
    let (hours, minutes) = amount.split_once(':').or_else(|| amount.split_at_checked(2))?;
    let hours = digits(hours, 2).filter(|hours| *hours < 24)?;
    let minutes = digits(minutes, 2).filter(|minutes| *minutes < 60)?;
    Some(sign * (hours * 3_600 + minutes * 60))
}

/// The value of exactly `count` ASCII digits; `count` is at most 9.
fn digits(text: &str, count: usize) -> Option<i64> {
    if text.len() == count && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_in_the_order_of_their_values() {
        let numbers = ["-10.5", "-10", "-9.5", "-0.5", "0", "0.05", "0.5", "9.5", "10", "10.5"];
        let numbers = numbers.map(|text| Decimal::parse(text).unwrap());
        for (at, number) in numbers.iter().enumerate() {
            assert!(numbers[..at].iter().all(|less| less < number), "{number:?}");
        }
    }

    #[test]
    fn instants() {
        let seconds = |text: &str| Instant::parse(text).map(|instant| instant.seconds);
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-02-29T12:00:00Z"), Some(951_825_600));
        assert_eq!(seconds("2026-07-09T16:00:00+08:00"), Some(1_783_584_000));
        assert_eq!(seconds("1969-12-31T23:59Z"), Some(-60));
        assert_eq!(seconds("0000-03-01T00:00:00Z"), Some(-719_468 * 86_400));
        assert_eq!(seconds("1970-01-01T00:00:00-23:59"), Some(86_340));
        let nanoseconds = |text: &str| Instant::parse(text).map(|instant| instant.nanoseconds);
        assert_eq!(nanoseconds("2026-01-01T00:00:00Z"), Some(0));
        assert_eq!(nanoseconds("2026-01-01T00:00:00.25Z"), Some(250_000_000));
        assert_eq!(nanoseconds("2026-01-01T00:00:00.000000007Z"), Some(7));
        for bad in [
            "",
            "T",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-1-1T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00.5Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00+8",
            "2026-01-01T00:00:00+08:00:00",
            "2026-01-01T00:00:00ZZ",
            "2026-01-01T00:00:00Z+08:00",
            "2026-01-01-01T00:00:00Z",
            "2026-01-01T00:00:00+网",
            "1900-02-29T00:00:00Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+08:60",
        ] {
            assert_eq!(Instant::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn days_count_up_one_by_one(year in 1i64..=9998, month in 1i64..=12) {
            let last = days_in_month(year, month);
            let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            let end = parse_date(&format!("{year:04}-{month:02}-{last:02}")).unwrap();
            let next = parse_date(&format!("{next_year:04}-{next_month:02}-01")).unwrap();
            prop_assert_eq!(end + 1, next);
        }

        #[test]
        fn decimals_order_like_integers(a: i64, b: i64) {
            let decimal = |n: i64| Decimal::parse(&n.to_string()).unwrap().into_owned();
            prop_assert_eq!(decimal(a).cmp(&decimal(b)), a.cmp(&b));
        }

        #[test]
        fn decimals_order_like_fixed_point(a in -99_999i32..=99_999, b in -99_999i32..=99_999) {
            let decimal = |n: i32| {
                let (whole, part) = (n.abs() / 100, n.abs() % 100);
                let text = format!("{}{whole}.{part:02}", if n < 0 { "-" } else { "" });
                Decimal::parse(&text).unwrap().into_owned()
            };
            prop_assert_eq!(decimal(a).cmp(&decimal(b)), a.cmp(&b));
        }
    }
}
