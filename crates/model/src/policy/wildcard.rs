//! The wildcards of actions, resources and `StringLike`.
//!
//! `*` stands for any number of characters, also none, also `:` and `/`; `?` for
//! exactly one. A match never needs to reconsider any `*` but the last, so the
//! work is bounded by pattern length times text length and no pattern makes it
//! explode.
//!
//! Patterns are sorted into kinds when a document is parsed, so that the common ones
//! cost a comparison of slices. Without `?` bytes may be compared instead of
//! characters: in UTF-8 no character begins within another.

use std::str::Chars;

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

/// A pattern, ready to be matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: Box<str>,
    kind: Kind,
    pairs: Pairs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `*` alone.
    Any,
    /// No wildcard.
    Exact,
    /// One `*`, at the end.
    Prefix,
    /// No `?`; byte offsets of the first and the last `*`.
    Stars(usize, usize),
    /// With `?`.
    Chars,
}

impl Pattern {
    /// Compiles a pattern; every text is one.
    pub(super) fn new(text: String) -> Self {
        let kind = match (text.find('*'), text.rfind('*')) {
            _ if text.contains('?') => Kind::Chars,
            (Some(first), Some(last)) if first < last || last + 1 < text.len() => Kind::Stars(first, last),
            (Some(0), Some(_)) => Kind::Any,
            (Some(_), Some(_)) => Kind::Prefix,
            (None, _) | (_, None) => Kind::Exact,
        };
        let pairs = Pairs::of_pattern(&text);
        Self { text: text.into_boxed_str(), kind, pairs }
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

    /// Whether it matches the whole of `text`.
    pub(super) fn matches(&self, text: &str, case: Case) -> bool {
        let (wanted, given) = (self.text.as_bytes(), text.as_bytes());
        match self.kind {
            Kind::Any => true,
            Kind::Exact => same(wanted, given, case),
            Kind::Prefix => starts(given, &wanted[..wanted.len() - 1], case),
            Kind::Stars(first, last) => {
                let (head, tail) = (&wanted[..first], &wanted[last + 1..]);
                given.len() >= head.len() + tail.len()
                    && starts(given, head, case)
                    && same(&given[given.len() - tail.len()..], tail, case)
                    && in_order(&wanted[first..last], &given[head.len()..given.len() - tail.len()], case)
            }
            Kind::Chars => matches_chars(&self.text, text, case),
        }
    }
}

/// Whether the parts of `wanted` between its stars stand in `given` one after the other.
fn in_order(wanted: &[u8], mut given: &[u8], case: Case) -> bool {
    for part in wanted.split(|byte| *byte == b'*').filter(|part| !part.is_empty()) {
        let Some(at) = given.windows(part.len()).position(|window| same(window, part, case)) else {
            return false;
        };
        given = &given[at + part.len()..];
    }
    true
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

/// The general case, character by character.
fn matches_chars(pattern: &str, text: &str, case: Case) -> bool {
    let (mut wanted, mut given) = (pattern.chars(), text.chars());
    // What follows the last `*` seen, and the text from where it was tried last.
    let mut retry: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        match wanted.next() {
            Some('*') => {
                retry = Some((wanted.clone(), given.clone()));
                continue;
            }
            Some(want) => match given.next() {
                Some(got) if want == '?' || same_char(want, got, case) => continue,
                Some(_) => {}
                // Whatever `*` took before, too little text is left.
                None => return false,
            },
            None if given.as_str().is_empty() => return true,
            None => {}
        }
        let Some((after_star, rest)) = &mut retry else { return false };
        if rest.next().is_none() {
            return false;
        }
        (wanted, given) = (after_star.clone(), rest.clone());
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

    /// Matches, and checks what the sorting into kinds and the set of pairs promise.
    fn matches(pattern: &str, text: &str, case: Case) -> bool {
        let compiled = Pattern::new(pattern.to_owned());
        let matched = compiled.matches(text, case);
        assert_eq!(matched, matches_chars(pattern, text, case), "{compiled:?} {text}");
        assert!(!matched || Pairs::of(text).cover(compiled.pairs()), "{compiled:?} {text}");
        matched
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
            matches(&pattern, &text, Case::Ignored);
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
