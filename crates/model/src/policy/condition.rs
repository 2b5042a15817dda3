//! The `Condition` block: operators, typed values and the context they test.
//!
//! Values of a policy are parsed when the document is, so a date that is none is
//! refused with the document and not discovered at the first request. Values of
//! the context come from a request; one that cannot be read as the operator's
//! type equals nothing.
//!
//! One rule covers several values, several context values and absent keys: a
//! test holds when any pair of context value and listed value agrees; a Not
//! operator holds when the positive one would not. So an absent key fails the
//! positive operators and satisfies the Not operators, and a Deny with
//! `NotIpAddress` stays closed. The last is a proposal, no document speaks of it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::wildcard::{self, Case};

/// What is known about a request beyond action and resource: condition keys such
/// as `acs:SourceIp` with their values.
///
/// Keys are compared without ASCII case, as clients spell them differently. All
/// values are text: addresses as printed, times in ISO 8601
/// (`2026-01-31T08:00:00Z`), booleans `true` or `false`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Values by lower-case key.
    values: BTreeMap<String, Vec<String>>,
}

impl Context {
    /// A context without any key.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value to those of `key`.
    pub fn insert(&mut self, key: &str, value: impl Into<String>) {
        self.values.entry(key.to_ascii_lowercase()).or_default().push(value.into());
    }

    /// The values of `key`, none when it is absent.
    #[must_use]
    pub fn get(&self, key: &str) -> &[String] {
        self.values.get(&key.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }
}

/// Collects (key, value) pairs; a key may come several times.
impl<'a> FromIterator<(&'a str, &'a str)> for Context {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut context = Self::new();
        for (key, value) in pairs {
            context.insert(key, value);
        }
        context
    }
}

/// An operator of the policy language.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operator {
    name: &'static str,
    test: Test,
    /// A Not operator: holds when its positive counterpart does not.
    negated: bool,
}

impl Operator {
    /// The operator spelt exactly `name`.
    pub(super) fn find(name: &str) -> Option<Self> {
        OPERATORS.iter().find(|operator| operator.name == name).copied()
    }

    /// What a value of this operator must be, for messages.
    pub(super) fn expects(self) -> &'static str {
        match self.test {
            Test::Text(_) => "a string",
            Test::Number(_) => "a decimal number",
            Test::Date(_) => "a time in ISO 8601 with Z or an offset",
            Test::Bool => "true or false",
            Test::Address => "an IP address or CIDR block",
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Test {
    Text(TextTest),
    Number(Order),
    Date(Order),
    Bool,
    Address,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextTest {
    Equal,
    EqualIgnoringCase,
    Like,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    /// Whether a context value that compares so with the listed value passes.
    fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

const fn is(name: &'static str, test: Test) -> Operator {
    Operator { name, test, negated: false }
}

const fn is_not(name: &'static str, test: Test) -> Operator {
    Operator { name, test, negated: true }
}

/// All documented operators; there is no `...IfExists`, no `Null`, no `ForAllValues`.
const OPERATORS: [Operator; 21] = [
    is("StringEquals", Test::Text(TextTest::Equal)),
    is_not("StringNotEquals", Test::Text(TextTest::Equal)),
    is("StringEqualsIgnoreCase", Test::Text(TextTest::EqualIgnoringCase)),
    is_not("StringNotEqualsIgnoreCase", Test::Text(TextTest::EqualIgnoringCase)),
    is("StringLike", Test::Text(TextTest::Like)),
    is_not("StringNotLike", Test::Text(TextTest::Like)),
    is("NumericEquals", Test::Number(Order::Equal)),
    is_not("NumericNotEquals", Test::Number(Order::Equal)),
    is("NumericLessThan", Test::Number(Order::Less)),
    is("NumericLessThanEquals", Test::Number(Order::LessOrEqual)),
    is("NumericGreaterThan", Test::Number(Order::Greater)),
    is("NumericGreaterThanEquals", Test::Number(Order::GreaterOrEqual)),
    is("DateEquals", Test::Date(Order::Equal)),
    is_not("DateNotEquals", Test::Date(Order::Equal)),
    is("DateLessThan", Test::Date(Order::Less)),
    is("DateLessThanEquals", Test::Date(Order::LessOrEqual)),
    is("DateGreaterThan", Test::Date(Order::Greater)),
    is("DateGreaterThanEquals", Test::Date(Order::GreaterOrEqual)),
    is("Bool", Test::Bool),
    is("IpAddress", Test::Address),
    is_not("NotIpAddress", Test::Address),
];

/// One key under one operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    key: String,
    negated: bool,
    /// The listed values; never empty.
    operands: Vec<Operand>,
}

impl Condition {
    /// Parses the listed values; `Err` carries the one that is not of the operator's type.
    pub(super) fn new(operator: Operator, key: &str, values: Vec<String>) -> Result<Self, String> {
        let operands = values
            .into_iter()
            .map(|value| Operand::parse(operator.test, &value).ok_or(value))
            .collect::<Result<_, _>>()?;
        Ok(Self { key: key.to_owned(), negated: operator.negated, operands })
    }

    /// Whether the condition holds in this context.
    pub(super) fn holds(&self, context: &Context) -> bool {
        let given = context.get(&self.key);
        let agrees = given.iter().any(|value| self.operands.iter().any(|operand| operand.accepts(value)));
        agrees != self.negated
    }
}

/// A listed value, parsed, with the test it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Text(TextTest, String),
    Number(Order, Decimal),
    Date(Order, Instant),
    Bool(bool),
    Address(IpNet),
}

impl Operand {
    fn parse(test: Test, value: &str) -> Option<Self> {
        Some(match test {
            Test::Text(test) => Self::Text(test, value.to_owned()),
            Test::Number(order) => Self::Number(order, Decimal::parse(value)?),
            Test::Date(order) => Self::Date(order, Instant::parse(value)?),
            Test::Bool => Self::Bool(parse_bool(value)?),
            Test::Address => Self::Address(parse_block(value)?),
        })
    }

    /// Whether a value of the context passes; one of another type does not.
    fn accepts(&self, given: &str) -> bool {
        match self {
            Self::Text(TextTest::Equal, listed) => given == listed,
            Self::Text(TextTest::EqualIgnoringCase, listed) => {
                given.chars().flat_map(char::to_lowercase).eq(listed.chars().flat_map(char::to_lowercase))
            }
            Self::Text(TextTest::Like, listed) => wildcard::matches(listed, given, Case::Exact),
            Self::Number(order, listed) => {
                Decimal::parse(given).is_some_and(|given| order.accepts(given.cmp(listed)))
            }
            Self::Date(order, listed) => {
                Instant::parse(given).is_some_and(|given| order.accepts(given.cmp(listed)))
            }
            Self::Bool(listed) => parse_bool(given) == Some(*listed),
            Self::Address(listed) => {
                given.parse::<IpAddr>().is_ok_and(|given| listed.contains(&given.to_canonical()))
            }
        }
    }
}

fn parse_bool(text: &str) -> Option<bool> {
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
fn parse_block(text: &str) -> Option<IpNet> {
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
struct Decimal {
    /// Never set for zero.
    negative: bool,
    /// Digits before the point without leading zeros; empty for 0.
    integer: String,
    /// Digits after the point without trailing zeros.
    fraction: String,
}

impl Decimal {
    /// Sign, digits, and perhaps a point and more digits. No exponent.
    fn parse(text: &str) -> Option<Self> {
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
        let integer = integer.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let zero = integer.is_empty() && fraction.is_empty();
        Some(Self { negative: negative && !zero, integer, fraction })
    }

    /// Compares without the sign.
    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        let length = self.integer.len().cmp(&other.integer.len());
        length.then_with(|| self.integer.cmp(&other.integer)).then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Instant {
    /// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
    seconds: i64,
    nanoseconds: i64,
}

impl Instant {
    /// `YYYY-MM-DDThh:mm[:ss[.f]]` and `Z`, `+hh:mm`, `-hh:mm` or without the
    /// colon; at most nine digits of fraction. No leap second, no time without zone.
    fn parse(text: &str) -> Option<Self> {
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
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    digits(&format!("{text:0<9}"), 9)
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

    fn condition(operator: &str, values: &[&str]) -> Condition {
        let operator = Operator::find(operator).unwrap();
        Condition::new(operator, "acs:Key", values.iter().map(ToString::to_string).collect()).unwrap()
    }

    /// Whether `operator` with the listed values holds for one context value.
    fn holds(operator: &str, listed: &[&str], given: &str) -> bool {
        condition(operator, listed).holds(&Context::from_iter([("ACS:key", given)]))
    }

    #[test]
    fn operators_by_example() {
        for (operator, listed, yes, no) in [
            ("StringEquals", "a*", "a*", "A*"),
            ("StringNotEquals", "a", "A", "a"),
            ("StringEqualsIgnoreCase", "aÉ", "Aé", "b"),
            ("StringNotEqualsIgnoreCase", "a", "b", "A"),
            ("StringLike", "a?c*", "abc", "Abc"),
            ("StringNotLike", "a?c*", "Abc", "abcd"),
            ("NumericEquals", "10", "10.0", "11"),
            ("NumericNotEquals", "10", "1", "+010"),
            ("NumericLessThan", "10", "-11", "10"),
            ("NumericLessThanEquals", "10", "10", "10.01"),
            ("NumericGreaterThan", "-10", "-9.5", "-10"),
            ("NumericGreaterThanEquals", "9007199254740993", "9007199254740993", "9007199254740992"),
            ("DateEquals", "2026-01-01T08:00:00+08:00", "2026-01-01T00:00:00Z", "2026-01-01T08:00:00Z"),
            ("DateNotEquals", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2025-12-31T19:00-0500"),
            ("DateLessThan", "2026-01-01T00:00:00Z", "2025-12-31T23:59:59.999Z", "2026-01-01T00:00:00Z"),
            ("DateLessThanEquals", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.1Z"),
            (
                "DateGreaterThan",
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:00:00.000000001Z",
                "2026-01-01T00:00Z",
            ),
            ("DateGreaterThanEquals", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "1969-12-31T23:59:59Z"),
            ("Bool", "true", "true", "false"),
            ("IpAddress", "203.0.113.0/24", "203.0.113.9", "203.0.114.9"),
            ("NotIpAddress", "203.0.113.0/24", "203.0.114.9", "203.0.113.9"),
        ] {
            assert!(holds(operator, &[listed], yes), "{operator} {listed} {yes}");
            assert!(!holds(operator, &[listed], no), "{operator} {listed} {no}");
        }
        assert_eq!(OPERATORS.len(), 21);
    }

    #[test]
    fn absent_key_fails_positive_and_satisfies_not() {
        for operator in OPERATORS {
            let listed = match operator.test {
                Test::Text(_) => "a",
                Test::Number(_) => "1",
                Test::Date(_) => "2026-01-01T00:00:00Z",
                Test::Bool => "false",
                Test::Address => "::/0",
            };
            let negated = operator.name.contains("Not");
            assert_eq!(operator.negated, negated, "{}", operator.name);
            assert_eq!(
                condition(operator.name, &[listed]).holds(&Context::new()),
                negated,
                "{}",
                operator.name
            );
        }
    }

    #[test]
    fn any_value_is_enough_and_not_wants_none() {
        assert!(holds("StringEquals", &["a", "b"], "b"));
        assert!(!holds("StringNotEquals", &["a", "b"], "b"));
        assert!(holds("StringNotEquals", &["a", "b"], "c"));
        let both = Context::from_iter([("acs:key", "a"), ("acs:KEY", "x")]);
        assert!(condition("StringEquals", &["x"]).holds(&both));
        assert!(!condition("StringNotEquals", &["x"]).holds(&both));
        assert!(condition("StringNotEquals", &["y"]).holds(&both));
    }

    #[test]
    fn context_values_of_another_type_equal_nothing() {
        assert!(!holds("NumericLessThan", &["10"], "nine"));
        assert!(holds("NumericNotEquals", &["10"], "ten"));
        assert!(!holds("Bool", &["false"], ""));
        assert!(holds("NotIpAddress", &["0.0.0.0/0"], "somewhere"));
        assert!(!holds("DateLessThan", &["2026-01-01T00:00:00Z"], "yesterday"));
    }

    #[test]
    fn addresses() {
        assert!(holds("IpAddress", &["203.0.113.9"], "203.0.113.9"));
        assert!(holds("IpAddress", &["203.0.113.9/24"], "203.0.113.1"));
        assert!(holds("IpAddress", &["2001:db8::/32"], "2001:db8::1"));
        assert!(!holds("IpAddress", &["2001:db8::/32"], "2001:db9::1"));
        assert!(!holds("IpAddress", &["0.0.0.0/0"], "2001:db8::1"));
        assert!(holds("IpAddress", &["203.0.113.0/24"], "::ffff:203.0.113.9"));
        assert!(holds("IpAddress", &["::ffff:203.0.113.0/120"], "203.0.113.9"));
        assert!(holds("IpAddress", &["::ffff:203.0.113.9"], "203.0.113.9"));
    }

    #[test]
    fn operands_of_the_wrong_type_are_refused() {
        for (operator, bad) in [
            ("NumericEquals", "1e3"),
            ("NumericEquals", ""),
            ("NumericEquals", "-"),
            ("NumericEquals", "1."),
            ("NumericEquals", ".5"),
            ("NumericEquals", "NaN"),
            ("Bool", "yes"),
            ("IpAddress", "10.0.0.0/33"),
            ("IpAddress", "10.0.0"),
            ("NotIpAddress", "localhost"),
            ("DateEquals", "2026-01-01"),
        ] {
            let found = Operator::find(operator).unwrap();
            let refused = Condition::new(found, "k", vec![bad.to_owned()]);
            assert_eq!(refused, Err(bad.to_owned()), "{operator} {bad}");
        }
        assert!(Operator::find("StringEqualsIfExists").is_none());
        assert!(Operator::find("stringequals").is_none());
    }

    #[test]
    fn instants() {
        let seconds = |text: &str| Instant::parse(text).map(|instant| instant.seconds);
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-02-29T12:00:00Z"), Some(951_825_600));
        assert_eq!(seconds("2026-07-09T16:00:00+08:00"), Some(1_783_584_000));
        assert_eq!(seconds("1969-12-31T23:59Z"), Some(-60));
        assert_eq!(seconds("0000-03-01T00:00:00Z"), Some(-719_468 * 86_400));
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
            let decimal = |n: i64| Decimal::parse(&n.to_string()).unwrap();
            prop_assert_eq!(decimal(a).cmp(&decimal(b)), a.cmp(&b));
        }

        #[test]
        fn decimals_order_like_fixed_point(a in -99_999i32..=99_999, b in -99_999i32..=99_999) {
            let decimal = |n: i32| {
                let (whole, part) = (n.abs() / 100, n.abs() % 100);
                Decimal::parse(&format!("{}{whole}.{part:02}", if n < 0 { "-" } else { "" })).unwrap()
            };
            prop_assert_eq!(decimal(a).cmp(&decimal(b)), a.cmp(&b));
        }

        #[test]
        fn parsers_do_not_panic(text in any::<String>()) {
            for operator in OPERATORS {
                if let Some(operand) = Operand::parse(operator.test, &text) {
                    let _ = operand.accepts(&text);
                }
            }
        }
    }
}
