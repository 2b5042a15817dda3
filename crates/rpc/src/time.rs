//! The one form of time on this wire: `YYYY-MM-DDThh:mm:ssZ`.

/// Reads `YYYY-MM-DDThh:mm:ssZ` (UTC, years 0000 to 9999, Gregorian) as seconds since 1970.
///
/// `None` for any other form: fractions, offsets, lower-case letters, leap seconds, and days
/// the month does not have.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
    if separators.iter().any(|&(at, expected)| bytes[at] != expected) {
        return None;
    }
    let year = digits(&bytes[0..4])?;
    let month = digits(&bytes[5..7])?;
    let day = digits(&bytes[8..10])?;
    let hour = digits(&bytes[11..13])?;
    let minute = digits(&bytes[14..16])?;
    let second = digits(&bytes[17..19])?;
    let valid = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    valid.then(|| ((days_since_epoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, counting years from March so that the leap day comes last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        assert_eq!(parse_timestamp("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_timestamp("2016-02-23T12:46:24Z"), Some(1_456_231_584));
        assert_eq!(parse_timestamp("2000-02-29T23:59:59Z"), Some(951_868_799));
        assert_eq!(parse_timestamp("0000-01-01T00:00:00Z"), Some(-62_167_219_200));
    }

    #[test]
    fn every_day_of_every_year_is_one_day_after_the_last() {
        let mut expected = -719_528;
        for year in 0..=9999 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    assert_eq!(days_since_epoch(year, month, day), expected);
                    expected += 1;
                }
                let beyond = format!("{year:04}-{month:02}-{:02}T00:00:00Z", days_in(year, month) + 1);
                assert_eq!(parse_timestamp(&beyond), None);
            }
        }
    }

    #[test]
    fn every_second_of_a_day() {
        for second in 0..86_400 {
            let text = format!("1970-01-02T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60);
            assert_eq!(parse_timestamp(&text), Some(86_400 + second));
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2016-02-23T12:46:24",
            "2016-02-23T12:46:24z",
            "2016-02-23t12:46:24Z",
            "2016-02-23 12:46:24Z",
            "2016-02-23T12:46:24.0Z",
            "2016-02-23T12:46:24+00:00",
            "2016-02-23T12%3A46%3A24Z",
            "2016-02-30T12:46:24Z",
            "2015-02-29T12:46:24Z",
            "1900-02-29T12:46:24Z",
            "2016-00-23T12:46:24Z",
            "2016-13-23T12:46:24Z",
            "2016-02-00T12:46:24Z",
            "2016-02-23T24:00:00Z",
            "2016-02-23T12:60:24Z",
            "2016-02-23T12:46:60Z",
            "+016-02-23T12:46:24Z",
            "2016-02-23T12:46: 4Z",
            "\u{661}16-02-23T12:46:24Z",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
