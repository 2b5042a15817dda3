//! The wildcards of actions, resources and `StringLike`.
//!
//! `*` stands for any number of characters, also none, also `:` and `/`; `?` for
//! exactly one. Patterns are sorted into kinds when a document is parsed, so that the
//! common ones cost a comparison of slices. Without `?` bytes may be compared instead of
//! characters: in UTF-8 no character begins within another.
//!
//! What stands before the first `*` and after the last is compared where it must stand;
//! only parts between two `*` are searched for. A plain search is the fastest for nearly all
//! texts and takes pattern length times text length for some. So a text has a credit for
//! plain searches, of about what its [`Places`] cost; once it is used up, patterns are run
//! over all places of the text at once, two steps for each byte of the pattern. All patterns on
//! one text of up to 128 bytes together cost no more than twice their length and two such credits.
//! Longer texts are searched plainly until the budget is used up.

use std::cell::{Cell, OnceCell};

use super::Budget;

/// Whether letters of different case are the same; only ASCII letters are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Exact,
    Ignored,
}

/// A set of pairs of neighbouring bytes, ASCII letters folded. It may claim pairs
/// that it was not given, never miss one: where a text lacks a pair of a pattern's
/// literal parts, the pattern cannot match, whatever the case rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Pairs(u128);

impl Pairs {
    /// The pairs of a text without wildcards.
    pub(super) fn of(text: &str) -> Self {
        let mut set = Self::default();
        let bytes = text.as_bytes();
        for (a, b) in bytes.iter().zip(bytes.iter().skip(1)) {
            set.insert(*a, *b);
        }
        set
    }

    /// The pairs that every match of a pattern has.
    fn of_pattern(pattern: &str) -> Self {
        let mut set = Self::default();
        for literal in pattern.split(['*', '?']) {
            set.0 |= Self::of(literal).0;
        }
        set
    }

    fn insert(&mut self, a: u8, b: u8) {
        let pair = u32::from(a.to_ascii_lowercase()) << 8 | u32::from(b.to_ascii_lowercase());
        self.0 |= 1 << (pair.wrapping_mul(0x9E37_79B1) >> 25);
    }

    /// Whether all of `needed` may be in this set.
    pub(super) fn cover(self, needed: Self) -> bool {
        needed.0 & !self.0 == 0
    }
}

/// A text that patterns are compared with, and what is worked out once for all of them.
#[derive(Debug)]
pub(super) struct Text<'a> {
    text: &'a str,
    case: Case,
    pairs: OnceCell<Pairs>,
    /// Steps of plain search that are left.
    credit: Cell<usize>,
    /// On the heap, since most texts never need them.
    places: OnceCell<Box<Places>>,
}

/// Bytes of a text that has [`Places`], at most.
const PLACES: usize = u128::BITS as usize;
/// Steps that it takes to work them out, beside one for each byte.
const PLACES_COST: usize = 256;
/// Steps of plain search before they are worked out.
const CREDIT: usize = 512;
/// The same of the action and the resource of a decision, which are compared with more and harmless patterns.
const LONG_CREDIT: usize = 4_096;

impl<'a> Text<'a> {
    /// A text, and how it is compared.
    pub(super) fn new(text: &'a str, case: Case) -> Self {
        Self { text, case, pairs: OnceCell::new(), credit: Cell::new(CREDIT), places: OnceCell::new() }
    }

    /// Steps that a short text takes at most, beside those of the patterns.
    pub(super) const COST: usize = CREDIT + PLACES_COST + PLACES;
    /// The same of [`Self::long_lived`].
    pub(super) const LONG_COST: usize = LONG_CREDIT + PLACES_COST + PLACES;

    /// With more credit: a text that a whole set of policies is compared with.
    pub(super) fn long_lived(self) -> Self {
        self.credit.set(LONG_CREDIT);
        self
    }

    /// Its pairs.
    pub(super) fn pairs(&self) -> Pairs {
        *self.pairs.get_or_init(|| Pairs::of(self.text))
    }

    fn places(&self, budget: &Budget) -> &Places {
        self.places.get_or_init(|| {
            budget.take(PLACES_COST + self.text.len());
            Box::new(Places::of(self.text, self.case))
        })
    }
}

/// Where which byte stands in a text of at most [`PLACES`] bytes: bit n is its byte n.
#[derive(Debug)]
struct Places {
    of: [u128; 256],
    /// Every byte of the text.
    all: u128,
    /// First bytes of characters.
    first: u128,
    /// Last bytes of characters.
    last: u128,
}

impl Places {
    fn of(text: &str, case: Case) -> Self {
        let bytes = text.as_bytes();
        let mut places = Self { of: [0; 256], all: 0, first: 0, last: 0 };
        for (n, byte) in bytes.iter().enumerate() {
            let bit = 1 << n;
            places.of[usize::from(folded(*byte, case))] |= bit;
            places.all |= bit;
            if text.is_char_boundary(n) {
                places.first |= bit;
            }
            if text.is_char_boundary(n + 1) {
                places.last |= bit;
            }
        }
        places
    }

    /// Whether the pattern matches the whole text, and how many of its bytes were examined. `ends` holds
    /// every place at which the part of the pattern that was examined may end; `begin`: it may also end
    /// before the first byte.
    fn match_whole(&self, pattern: &[u8], case: Case) -> (bool, usize) {
        let (mut ends, mut begin) = (0_u128, true);
        for (n, byte) in pattern.iter().enumerate() {
            if *byte == b'*' {
                ends = if begin { self.all } else { self.all & (ends & ends.wrapping_neg()).wrapping_neg() };
                continue;
            }
            let next = ends << 1 | u128::from(begin);
            ends = match byte {
                b'?' => self.to_last(next & self.first),
                literal => next & self.of[usize::from(folded(*literal, case))],
            };
            begin = false;
            if ends == 0 {
                return (false, n + 1);
            }
        }
        let matched = if self.all == 0 { begin } else { ends & !(self.all >> 1) != 0 };
        (matched, pattern.len())
    }

    /// From first bytes of characters to their last ones, three further at most.
    fn to_last(&self, mut places: u128) -> u128 {
        for _ in 0..3 {
            let on = places & !self.last;
            if on == 0 {
                break;
            }
            places = places & self.last | on << 1;
        }
        places
    }
}

fn folded(byte: u8, case: Case) -> u8 {
    match case {
        Case::Exact => byte,
        Case::Ignored => byte.to_ascii_lowercase(),
    }
}

/// A pattern, ready to be matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: Box<str>,
    kind: Kind,
    pairs: Pairs,
    /// Bytes that a text must have to match.
    least: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `*` alone.
    Any,
    /// No wildcard.
    Exact,
    /// One `*`, at the end.
    Prefix,
    /// Another pattern with `*`: byte offsets of the first and the last one, and whether there is a `?`.
    Stars(usize, usize, bool),
    /// With `?` and without `*`.
    Fixed,
}

impl Pattern {
    /// Compiles a pattern; every text is one.
    pub(super) fn new(text: String) -> Self {
        let questions = text.contains('?');
        let kind = match (text.find('*'), text.rfind('*')) {
            (Some(0), Some(0)) if text.len() == 1 => Kind::Any,
            (Some(first), Some(last)) if first == last && last + 1 == text.len() && !questions => {
                Kind::Prefix
            }
            (Some(first), Some(last)) => Kind::Stars(first, last, questions),
            (None, _) | (_, None) if questions => Kind::Fixed,
            (None, _) | (_, None) => Kind::Exact,
        };
        let pairs = Pairs::of_pattern(&text);
        let least = text.bytes().filter(|byte| *byte != b'*').count();
        Self { text: text.into_boxed_str(), kind, pairs, least }
    }

    /// As it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// What a text must have to match.
    pub(super) fn pairs(&self) -> Pairs {
        self.pairs
    }

    /// Whether it matches every text.
    pub(super) fn is_any(&self) -> bool {
        self.kind == Kind::Any
    }

    /// Whether it has no wildcard.
    pub(super) fn is_exact(&self) -> bool {
        self.kind == Kind::Exact
    }

    /// Bytes of it that are searched for, or compared letter by letter: all of a pattern with `?`, else what stands
    /// between the first and the last `*`. Whatever is left costs a comparison of slices.
    pub(super) fn searched(&self) -> usize {
        match self.kind {
            Kind::Any | Kind::Exact | Kind::Prefix => 0,
            Kind::Stars(_, _, true) | Kind::Fixed => self.text.len(),
            Kind::Stars(first, last, false) => {
                self.text[first..last].bytes().filter(|byte| *byte != b'*').count()
            }
        }
    }

    /// Steps that it takes at most on a text of up to 128 bytes, beside what the text itself takes.
    pub(super) fn cost(&self) -> usize {
        3 + self.text.len() / 16 + if self.searched() == 0 { 0 } else { 3 * self.text.len() }
    }

    /// Whether it matches the whole of `text`. The answer is worth nothing once the budget is exhausted.
    pub(super) fn matches(&self, text: &Text<'_>, budget: &Budget) -> bool {
        let (wanted, given, case) = (self.text.as_bytes(), text.text.as_bytes(), text.case);
        budget.take(1);
        if given.len() < self.least {
            return false;
        }
        budget.take(wanted.len() / 16);
        match self.kind {
            Kind::Any => true,
            Kind::Exact => same(wanted, given, case),
            Kind::Prefix => starts(given, &wanted[..wanted.len() - 1], case),
            Kind::Fixed => {
                budget.take(wanted.len());
                front(&self.text, text.text, case).0 == Some(given.len())
            }
            Kind::Stars(first, last, questions) => {
                let (head, tail) = (&self.text[..first], &self.text[last + 1..]);
                let Some(middle) = within(head, tail, text.text, case, questions) else {
                    budget.take(if questions { head.len() + tail.len() } else { 0 });
                    return false;
                };
                self.text[first..last].bytes().all(|byte| byte == b'*')
                    || self.matches_middle(&self.text[first..last], middle, questions, text, budget)
            }
        }
    }

    /// Whether the parts between its stars stand in `middle` one after the other.
    fn matches_middle(
        &self,
        parts: &str,
        middle: &str,
        questions: bool,
        text: &Text<'_>,
        budget: &Budget,
    ) -> bool {
        let short = text.text.len() <= PLACES;
        let allowed = if short { text.credit.get() } else { budget.left() };
        let mut left = allowed;
        let found =
            if allowed == 0 { None } else { in_order(parts, middle, text.case, questions, &mut left) };
        budget.take(allowed - left);
        match found {
            Some(found) => {
                if short {
                    text.credit.set(left);
                }
                found
            }
            None if short => {
                text.credit.set(0);
                let (matched, looked_at) = text.places(budget).match_whole(self.text.as_bytes(), text.case);
                budget.take(2 * looked_at);
                matched
            }
            None => {
                budget.take(left + 1);
                false
            }
        }
    }
}

/// What is left of `text` between `head` at its front and `tail` at its end.
fn within<'t>(head: &str, tail: &str, text: &'t str, case: Case, questions: bool) -> Option<&'t str> {
    if !questions {
        let bytes = text.as_bytes();
        let fits = bytes.len() >= head.len() + tail.len()
            && starts(bytes, head.as_bytes(), case)
            && same(&bytes[bytes.len() - tail.len()..], tail.as_bytes(), case);
        // Where whole characters were the same, one ends.
        return fits.then(|| text.get(head.len()..text.len() - tail.len())).flatten();
    }
    let rest = &text[front(head, text, case).0?..];
    let mut letters = rest.chars();
    for wanted in tail.chars().rev() {
        let given = letters.next_back()?;
        if wanted != '?' && !same_char(wanted, given, case) {
            return None;
        }
    }
    Some(letters.as_str())
}

/// How many bytes at the front of `text` the part (without `*`) matches, if it does, and how many characters were
/// compared.
fn front(part: &str, text: &str, case: Case) -> (Option<usize>, usize) {
    let mut letters = text.chars();
    for (compared, wanted) in part.chars().enumerate() {
        match letters.next() {
            Some(given) if wanted == '?' || same_char(wanted, given, case) => {}
            Some(_) | None => return (None, compared + 1),
        }
    }
    (Some(text.len() - letters.as_str().len()), part.len())
}

/// Whether the parts of `parts` between stars stand in `given` one after the other; none when more than `left` steps
/// would be needed to tell.
fn in_order(parts: &str, mut given: &str, case: Case, questions: bool, left: &mut usize) -> Option<bool> {
    for part in parts.split('*').filter(|part| !part.is_empty()) {
        let after = if questions {
            find_chars(part, given, case, left)?
        } else {
            find(part.as_bytes(), given.as_bytes(), case, left)?
        };
        let Some(after) = after else { return Some(false) };
        // A whole part was found: a character ends there.
        given = given.get(after..)?;
    }
    Some(true)
}

/// Where the first place of `part` ends; none in place of it when `left` is used up.
fn find(part: &[u8], given: &[u8], case: Case, left: &mut usize) -> Option<Option<usize>> {
    if let [one] = part {
        let one = folded(*one, case);
        let at = given.iter().position(|byte| folded(*byte, case) == one);
        *left = left.checked_sub(1 + at.unwrap_or(given.len()) / 8)?;
        return Some(at.map(|at| at + 1));
    }
    for (at, window) in given.windows(part.len()).enumerate() {
        let equal =
            window.iter().zip(part).take_while(|(a, b)| folded(**a, case) == folded(**b, case)).count();
        *left = left.checked_sub(equal + 1)?;
        if equal == part.len() {
            return Some(Some(at + equal));
        }
    }
    Some(None)
}

/// As [`find`], of a part with `?`.
fn find_chars(part: &str, given: &str, case: Case, left: &mut usize) -> Option<Option<usize>> {
    for (at, _) in given.char_indices() {
        let (length, compared) = front(part, &given[at..], case);
        *left = left.checked_sub(2 * compared)?;
        if let Some(length) = length {
            return Some(Some(at + length));
        }
    }
    Some(None)
}

fn starts(text: &[u8], prefix: &[u8], case: Case) -> bool {
    text.get(..prefix.len()).is_some_and(|start| same(start, prefix, case))
}

fn same(a: &[u8], b: &[u8], case: Case) -> bool {
    match case {
        Case::Exact => a == b,
        Case::Ignored => a.eq_ignore_ascii_case(b),
    }
}

fn same_char(a: char, b: char, case: Case) -> bool {
    match case {
        Case::Exact => a == b,
        Case::Ignored => a.eq_ignore_ascii_case(&b),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Matches, and checks what the sorting into kinds and the set of pairs promise, and that all ways of matching
    /// say the same.
    fn matches(pattern: &str, text: &str, case: Case) -> bool {
        let compiled = Pattern::new(pattern.to_owned());
        let budget = Budget::unlimited();
        let matched = compiled.matches(&Text::new(text, case), &budget);
        let poor = Text::new(text, case);
        poor.credit.set(0);
        assert_eq!(compiled.matches(&poor, &budget), matched, "{compiled:?} {text}");
        if text.len() <= PLACES {
            let places = Places::of(text, case);
            assert_eq!(places.match_whole(pattern.as_bytes(), case).0, matched, "{compiled:?} {text}");
        }
        assert!(!matched || Pairs::of(text).cover(compiled.pairs()), "{compiled:?} {text}");
        matched
    }

    /// Steps that all patterns together take on one text.
    fn steps(patterns: &[String], text: &str, case: Case) -> u64 {
        let (budget, text) = (Budget::unlimited(), Text::new(text, case));
        for pattern in patterns {
            Pattern::new(pattern.clone()).matches(&text, &budget);
        }
        budget.spent()
    }

    #[test]
    fn examples() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "acs:vpc:*:*:*", true),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("?", "", false),
            ("?", "网", true),
            ("??", "网", false),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*b*c", "a:x/b:y/c", true),
            ("a*b*c", "acb", false),
            ("*ab", "aab", true),
            ("*?b", "b", false),
            ("**", "x", true),
            ("vpc:*Vpn*", "vpc:DescribeVpnGateway", true),
            ("vpc:*Vpn*", "vpc:DescribeVpcs", false),
        ] {
            assert_eq!(matches(pattern, text, Case::Exact), expected, "{pattern} {text}");
        }
        assert!(matches("VPC:describe*", "vpc:DescribeVpcs", Case::Ignored));
        assert!(!matches("VPC:describe*", "vpc:DescribeVpcs", Case::Exact));
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = "*a".repeat(3_000);
        let text = "a".repeat(2_999) + "b";
        assert!(!matches(&pattern, &text, Case::Exact));
        let pattern = "a*".repeat(2_000) + "c";
        assert!(!matches(&pattern, &"a".repeat(6_000), Case::Exact));
    }

    /// The worst that could be thought of for each part of the matcher, many of them on one text.
    #[test]
    fn patterns_on_a_short_text_cost_their_length() {
        let runs = [1, 2, 3, 7, 30, 60, 62, 64, 100, 127].map(|length| "a".repeat(length));
        let shapes = runs.iter().flat_map(|run| {
            let half = &run[..run.len() / 2];
            [
                format!("*{run}?b"),
                format!("*{run}?b*"),
                format!("*{run}b*"),
                format!("*?{run}b?*"),
                format!("*{half}?{half}b*a*"),
                format!("*b{run}*"),
                format!("{run}*{run}?*b"),
                "*a".repeat(run.len()) + "*b*",
                "*?".repeat(run.len()) + "b*",
                "?".repeat(run.len()),
                "*a?*".repeat(run.len()) + "b*",
            ]
        });
        let shapes: Vec<String> = shapes.collect();
        for case in [Case::Exact, Case::Ignored] {
            for text in
                ["a".repeat(128), "aA".repeat(64), "a".repeat(127) + "b", "ab".repeat(64), "网".repeat(42)]
            {
                for times in [1, 20] {
                    let patterns: Vec<String> = (0..times).flat_map(|_| shapes.clone()).collect();
                    let length: usize = patterns.iter().map(|pattern| pattern.len() + 2).sum();
                    let bound = (4 * length + CREDIT + PLACES_COST + PLACES) as u64;
                    let steps = steps(&patterns, &text, case);
                    assert!(steps <= bound, "{steps} steps, {length} bytes of patterns, {text}");
                }
            }
        }
    }

    /// One for a pattern and one for each 16 bytes of it; then what is searched.
    #[test]
    fn steps_are_counted_for_what_is_compared() {
        let y20 = "y".repeat(20);
        for (pattern, text, expected) in [
            ("abc", "ab", 1),
            ("abc", "abd", 1),
            ("a*", "abd", 1),
            ("a**b", "a-b", 1),
            (&"a".repeat(40), &"a".repeat(40), 1 + 2),
            // Letter by letter.
            ("a?c", "abd", 1 + 3),
            // The part before the first star and the one after the last, with a question mark.
            ("a?c*de", "abXXXde", 1 + (3 + 2)),
            // One letter is looked for in 8 bytes a step.
            ("*z*", &y20, 1 + (1 + 2)),
            // At each place what is equal there, and one more.
            ("*ab*", "aaca", 1 + (1 + 1) + (1 + 1) + 1),
            // With a question mark two for each letter that is compared.
            ("*a?c*", "xxabd", 1 + 2 * (1 + 1 + 3 + 1 + 1)),
        ] {
            assert_eq!(steps(&[pattern.to_owned()], text, Case::Exact), expected, "{pattern} {text}");
        }
        // Without credit for plain searches: the places of the text, and two for each byte of the pattern.
        let (budget, text) = (Budget::unlimited(), "x".repeat(100));
        let poor = Text::new(&text, Case::Exact);
        poor.credit.set(0);
        assert!(!Pattern::new("*xab*".to_owned()).matches(&poor, &budget));
        assert_eq!(budget.spent(), (1 + PLACES_COST + 100 + 2 * 3) as u64);
        assert!(Pattern::new("x**x".to_owned()).matches(&poor, &budget));
        assert_eq!(budget.spent(), (2 + PLACES_COST + 100 + 2 * 3) as u64);
    }

    #[test]
    fn patterns_are_sorted_into_kinds() {
        for (pattern, any, exact) in [
            ("*", true, false),
            ("**", false, false),
            ("?", false, false),
            ("a*", false, false),
            ("", false, true),
            ("acs:vpc", false, true),
        ] {
            let compiled = Pattern::new(pattern.to_owned());
            assert_eq!((compiled.is_any(), compiled.is_exact()), (any, exact), "{pattern}");
        }
    }

    /// A long text is searched plainly, and no further than the budget goes.
    #[test]
    fn a_long_text_is_searched_until_the_budget_is_used_up() {
        let (pattern, text) = (format!("*{}?b*", "a".repeat(500)), "a".repeat(1_224));
        assert!(steps(std::slice::from_ref(&pattern), &text, Case::Exact) > 100_000);
        let budget = Budget::new(5_000);
        assert!(!Pattern::new(pattern).matches(&Text::new(&text, Case::Exact), &budget));
        assert!(budget.is_exhausted() && budget.spent() < 8_000, "{budget:?}");
    }

    /// The definition, straight and exponential.
    fn reference(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|skip| reference(rest, &text[skip..])),
            [want, rest @ ..] => text
                .split_first()
                .is_some_and(|(got, tail)| (*want == '?' || want == got) && reference(rest, tail)),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?网]{0,8}", text in "[ab网]{0,10}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text, Case::Exact), reference(&p, &t));
        }

        #[test]
        fn kinds_agree_without_case(pattern in "[aAbB*?网]{0,8}", text in "[aAbB网]{0,10}") {
            let folded = |text: &str| text.to_ascii_lowercase().chars().collect::<Vec<_>>();
            let expected = reference(&folded(&pattern), &folded(&text));
            prop_assert_eq!(matches(&pattern, &text, Case::Ignored), expected);
        }

        #[test]
        fn all_ways_agree_around_the_longest_short_text(
            pattern in "(a{0,20}|é|[*]|[?]|𝄞|b){0,12}", text in "(a{10,40}|é|𝄞|b|[*]|[?]){0,9}",
        ) {
            matches(&pattern, &text, Case::Exact);
            matches(&format!("*{pattern}*"), &text, Case::Ignored);
        }

        #[test]
        fn every_text_matches_itself_and_the_star(text in "[^*?]{0,40}") {
            prop_assert!(matches(&text, &text, Case::Exact));
            prop_assert!(matches("*", &text, Case::Exact));
            let around = format!("*{text}*");
            prop_assert!(matches(&around, &text, Case::Ignored));
        }
    }
}
