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

use ipnet::IpNet;

use super::Budget;
use super::value::{Decimal, Instant, parse_block, parse_bool};
use super::wildcard::{Case, Pattern, Text};

/// What is known about a request beyond action and resource. A policy queries single
/// keys, and most query none: values may be computed when they are queried.
pub trait ConditionKeys {
    /// Calls `each` with every value of `key`, not at all when the key is absent.
    ///
    /// `key` is in lower case (`acs:sourceip`), as clients spell keys differently. All
    /// values are text: addresses as printed, times in ISO 8601
    /// (`2026-01-31T08:00:00Z`), booleans `true` or `false`.
    fn values(&self, key: &str, each: &mut dyn FnMut(&str));
}

/// Condition keys of the resources that a call names: `acs:ResourceTag/...`, whose values may differ from one
/// to the next.
pub trait ResourceKeys {
    /// How many there are: at least one, even if the call names none.
    fn count(&self) -> usize;

    /// As [`ConditionKeys::values`], of one of them, counted from 0.
    fn values(&self, resource: usize, key: &str, each: &mut dyn FnMut(&str));
}

/// Whether a condition key (in lower case) is one of [`ResourceKeys`].
#[must_use]
pub fn is_of_resource(key: &str) -> bool {
    key.starts_with(RESOURCE_TAG)
}

const RESOURCE_TAG: &str = "acs:resourcetag/";
const REQUEST_TAG: &str = "acs:requesttag/";

impl ConditionKeys for Context {
    fn values(&self, key: &str, each: &mut dyn FnMut(&str)) {
        self.values.get(key).into_iter().flatten().for_each(|value| each(value));
    }
}

/// [`ConditionKeys`] as a table; keys are compared without ASCII case.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// As it is written.
    pub(super) fn name(self) -> &'static str {
        self.name
    }

    /// What it compares, whether or not it is a Not operator.
    pub(super) fn test(self) -> Test {
        self.test
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    Text(TextTest),
    Number(Order),
    Date(Order),
    Bool,
    Address,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextTest {
    Equal,
    EqualIgnoringCase,
    Like,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
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
    operator: Operator,
    /// As it was written.
    key: String,
    /// In lower case, as [`ConditionKeys`] wants it.
    folded_key: String,
    /// Whether its key is one of [`ResourceKeys`].
    of_resource: bool,
    /// Steps that it takes to find the values of the key.
    lookup: usize,
    /// The listed values as they were written; never empty.
    listed: Vec<String>,
    operands: Operands,
}

impl Condition {
    /// About how many bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        // A value is kept as it was written and as it is compared.
        const CONDITION: usize = 256;
        const VALUE: usize = 192;
        let values: usize = self.listed.iter().map(|value| VALUE + 3 * value.len()).sum();
        CONDITION + 2 * self.key.len() + values
    }

    /// Parses the listed values; `Err` carries the one that is not of the operator's type.
    pub(super) fn new(operator: Operator, key: &str, listed: Vec<String>) -> Result<Self, String> {
        // A tag is looked for among twenty.
        const TAG: usize = 8;
        const OTHER: usize = 4;
        let operands = Operands::parse(operator.test, &listed)?;
        let folded_key = key.to_ascii_lowercase();
        let of_resource = is_of_resource(&folded_key);
        let lookup = if of_resource || folded_key.starts_with(REQUEST_TAG) { TAG } else { OTHER };
        Ok(Self { operator, key: key.to_owned(), folded_key, of_resource, lookup, listed, operands })
    }

    /// Whether its outcome may differ from one resource of a call to the next.
    pub(super) fn is_of_resource(&self) -> bool {
        self.of_resource
    }

    /// The key in lower case.
    pub(super) fn folded_key(&self) -> &str {
        &self.folded_key
    }

    /// The key as it was written.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The operator.
    pub(super) fn operator(&self) -> Operator {
        self.operator
    }

    /// The values as they were written.
    pub(super) fn listed(&self) -> &[String] {
        &self.listed
    }

    /// Steps that it takes at most for a value of up to 128 bytes.
    pub(super) fn cost(&self) -> usize {
        // Reading a value; folding one that is not ASCII.
        let value = if matches!(self.operands, Operands::EqualIgnoringCase(_)) { 8 * 128 } else { 32 };
        let patterns = self.patterns();
        let searched = patterns.iter().any(|pattern| pattern.searched() > 0);
        let text = if searched { Text::COST } else { 0 } + 128;
        let listed: usize = match &self.operands {
            Operands::Like(patterns) => patterns.iter().map(Pattern::cost).sum(),
            _ => self.listed.iter().map(|value| 2 + value.len() / 4).sum(),
        };
        self.lookup + value + text + listed
    }

    /// The patterns of `StringLike` and `StringNotLike`.
    pub(super) fn patterns(&self) -> &[Pattern] {
        if let Operands::Like(patterns) = &self.operands { patterns } else { &[] }
    }

    /// Whether the condition holds in this context. The answer is worth nothing once the budget is exhausted.
    pub(super) fn holds(&self, context: &dyn ConditionKeys, budget: &Budget) -> bool {
        self.decide(budget, |each| context.values(&self.folded_key, each))
    }

    /// As [`Self::holds`], for one of several resources.
    pub(super) fn holds_for(&self, resources: &dyn ResourceKeys, resource: usize, budget: &Budget) -> bool {
        self.decide(budget, |each| resources.values(resource, &self.folded_key, each))
    }

    fn decide(&self, budget: &Budget, values: impl FnOnce(&mut dyn FnMut(&str))) -> bool {
        budget.take(self.lookup);
        let mut agrees = false;
        values(&mut |value| agrees = agrees || self.operands.accept(value, budget));
        agrees != self.operator.negated
    }

    /// Why it does not hold, or `None` when it does.
    pub(super) fn unmet(&self, context: &dyn ConditionKeys) -> Option<Unmet> {
        if self.holds(context, &Budget::unlimited()) {
            return None;
        }
        let mut given = Vec::new();
        context.values(&self.folded_key, &mut |value| given.push(value.to_owned()));
        Some(Unmet {
            operator: self.operator.name,
            key: self.key.clone(),
            listed: self.listed.clone(),
            given,
        })
    }
}

/// A condition that does not hold, with the values that decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The operator.
    pub operator: &'static str,
    /// The condition key as the policy spells it.
    pub key: String,
    /// The values that the policy lists.
    pub listed: Vec<String>,
    /// The values of the request; none when the key is absent.
    pub given: Vec<String>,
}

/// The listed values, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Operands {
    Equal(Vec<String>),
    /// In lower case.
    EqualIgnoringCase(Vec<String>),
    Like(Vec<Pattern>),
    Number(Order, Vec<Decimal<'static>>),
    Date(Order, Vec<Instant>),
    Bool(Vec<bool>),
    Address(Vec<IpNet>),
}

impl Operands {
    fn parse(test: Test, listed: &[String]) -> Result<Self, String> {
        fn each<'a, T>(listed: &'a [String], parse: impl Fn(&'a str) -> Option<T>) -> Result<Vec<T>, String> {
            listed.iter().map(|value| parse(value).ok_or_else(|| value.clone())).collect()
        }
        Ok(match test {
            Test::Text(TextTest::Equal) => Self::Equal(listed.to_vec()),
            Test::Text(TextTest::EqualIgnoringCase) => {
                Self::EqualIgnoringCase(listed.iter().map(|text| lower(text)).collect())
            }
            Test::Text(TextTest::Like) => Self::Like(listed.iter().cloned().map(Pattern::new).collect()),
            Test::Number(order) => {
                Self::Number(order, each(listed, |value| Decimal::parse(value).map(Decimal::into_owned))?)
            }
            Test::Date(order) => Self::Date(order, each(listed, Instant::parse)?),
            Test::Bool => Self::Bool(each(listed, parse_bool)?),
            Test::Address => Self::Address(each(listed, parse_block)?),
        })
    }

    /// Whether a value of the context agrees with any; one of another type does not.
    fn accept(&self, given: &str, budget: &Budget) -> bool {
        // Steps that it takes to read a value: of a number for each 8 bytes, else at all.
        const READ: usize = 16;
        // Patterns for which it pays to look at the pairs of a value first.
        const MANY: usize = 4;
        match self {
            Self::Equal(listed) => listed.iter().any(|value| {
                budget.take(1 + if given.len() == value.len() { given.len() / 16 } else { 0 });
                given == value
            }),
            // ASCII letters fold without the heap.
            Self::EqualIgnoringCase(listed) if given.is_ascii() => listed.iter().any(|value| {
                budget.take(1 + if given.len() == value.len() { given.len() / 4 } else { 0 });
                given.eq_ignore_ascii_case(value)
            }),
            Self::EqualIgnoringCase(listed) => {
                budget.take(8 * given.len());
                let given = lower(given);
                listed.iter().any(|value| {
                    budget.take(1 + if given.len() == value.len() { given.len() / 16 } else { 0 });
                    given == *value
                })
            }
            Self::Like(listed) => {
                let text = Text::new(given, Case::Exact);
                let many = listed.len() >= MANY;
                if many {
                    budget.take(given.len());
                }
                listed.iter().any(|pattern| {
                    budget.take(1);
                    !budget.is_exhausted()
                        && (!many || text.pairs().cover(pattern.pairs()))
                        && pattern.matches(&text, budget)
                })
            }
            Self::Number(order, listed) => {
                budget.take(READ + given.len() / 8);
                Decimal::parse(given).is_some_and(|given| {
                    listed.iter().any(|value| {
                        budget.take(1 + value.bytes().min(given.bytes()) / 16);
                        order.accepts(given.cmp(value))
                    })
                })
            }
            Self::Date(order, listed) => {
                budget.take(READ + listed.len());
                Instant::parse(given)
                    .is_some_and(|given| listed.iter().any(|value| order.accepts(given.cmp(value))))
            }
            Self::Bool(listed) => {
                budget.take(1 + listed.len());
                parse_bool(given).is_some_and(|given| listed.contains(&given))
            }
            Self::Address(listed) => {
                budget.take(READ + 2 * listed.len());
                given.parse::<IpAddr>().is_ok_and(|given| {
                    let given = given.to_canonical();
                    listed.iter().any(|block| block.contains(&given))
                })
            }
        }
    }
}

/// Letter by letter, whatever stands around it.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
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
        condition(operator, listed).holds(&Context::from_iter([("ACS:key", given)]), &Budget::unlimited())
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
                condition(operator.name, &[listed]).holds(&Context::new(), &Budget::unlimited()),
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
        assert!(condition("StringEquals", &["x"]).holds(&both, &Budget::unlimited()));
        assert!(!condition("StringNotEquals", &["x"]).holds(&both, &Budget::unlimited()));
        assert!(condition("StringNotEquals", &["y"]).holds(&both, &Budget::unlimited()));
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

    /// The worst document that could be thought of must not cost more than is counted, so what is counted is written
    /// down here once: 4 to find a key that is no tag, then what the operator does.
    #[test]
    fn steps_are_counted_for_what_is_compared() {
        let (x40, y40) = ("x".repeat(40), "y".repeat(40));
        let accents = ("É".repeat(20), "ö".repeat(20));
        let (digits, more) = ("1".repeat(20) + "." + &"2".repeat(12), "1".repeat(20) + "." + &"2".repeat(13));
        for (operator, listed, given, expected) in [
            // A text of the same length is compared, 16 bytes a step; of another length only that is.
            ("StringEquals", vec!["short", "other", &y40], x40.as_str(), 4 + 1 + 1 + (1 + 2)),
            ("StringEqualsIgnoreCase", vec!["short", "other", &y40], &x40, 4 + 1 + 1 + (1 + 10)),
            // What is not ASCII is folded first.
            (
                "StringEqualsIgnoreCase",
                vec!["short", "other", &accents.1],
                &accents.0,
                4 + 8 * 40 + 1 + 1 + (1 + 2),
            ),
            // Each of a few patterns is tried; of many only those whose letters the value has.
            ("StringLike", vec!["pq*", "qr*", "rs*"], "abcdefgh", 4 + 3 * (1 + 1)),
            ("StringLike", vec!["pq*", "qr*", "rs*", "st*"], "abcdefgh", 4 + 8 + 4),
            ("StringLike", vec!["pq*", "qr*", "rs*", "abc*"], "abcdefgh", 4 + 8 + 4 + 1),
            ("NumericEquals", vec!["7", &digits], &more, 4 + (16 + 4) + 1 + (1 + 2)),
            ("DateEquals", vec!["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"], "2026", 4 + 16 + 2),
            ("Bool", vec!["true", "false"], "true", 4 + 1 + 2),
            ("IpAddress", vec!["10.0.0.0/8", "::1", "192.0.2.0/24"], "192.0.2.1", 4 + 16 + 2 * 3),
        ] {
            let budget = Budget::unlimited();
            let context = Context::from_iter([("acs:Key", given)]);
            condition(operator, &listed).holds(&context, &budget);
            assert_eq!(budget.spent(), expected, "{operator} {listed:?} {given}");
        }
        // A tag is looked for among others.
        let tag = Operator::find("StringEquals").unwrap();
        for key in ["acs:RequestTag/a", "acs:ResourceTag/a"] {
            let budget = Budget::unlimited();
            Condition::new(tag, key, vec!["a".to_owned()]).unwrap().holds(&Context::new(), &budget);
            assert_eq!(budget.spent(), 8, "{key}");
        }
    }

    /// What a condition takes at most: 4 for the key, what reading a value of 128 bytes takes, and what is listed.
    #[test]
    fn the_estimate_has_a_part_for_all_that_is_listed() {
        const READ: usize = 4 + 32 + 128;
        let (eight, seventeen) = ("x".repeat(8), "y".repeat(17));
        for (operator, listed, expected) in [
            ("StringEquals", vec![eight.as_str(), &seventeen], READ + (2 + 2) + (2 + 4)),
            (
                "StringEqualsIgnoreCase",
                vec![eight.as_str(), &seventeen],
                READ - 32 + 8 * 128 + (2 + 2) + (2 + 4),
            ),
            ("StringLike", vec!["x*", &seventeen], READ + 3 + (3 + 1)),
            ("StringLike", vec!["x*", "*y*"], READ + (512 + 256 + 128) + 3 + (3 + 3 * 3)),
            ("NumericEquals", vec!["123456789"], READ + 2 + 2),
        ] {
            assert_eq!(condition(operator, &listed).cost(), expected, "{operator} {listed:?}");
        }
    }

    proptest! {
        #[test]
        fn parsers_do_not_panic(text in any::<String>()) {
            for operator in OPERATORS {
                if let Ok(operands) = Operands::parse(operator.test, std::slice::from_ref(&text)) {
                    let _ = operands.accept(&text, &Budget::unlimited());
                }
            }
        }
    }
}
